"""Keys that are made: what is kept of them, who may change them, and a server that follows."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from offhook.errors import SetupError
from offhook.server.keys import DEFAULT_SCOPES, FILE, LOCK, LOOK_EVERY, KeyBook, KeyFile, Limits, split_key
from offhook.testing import JumpClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CLOCK = JumpClock()


def kept(folder: Path) -> Any:
    return json.loads((folder / FILE).read_bytes())


# --- the file -----------------------------------------------------------------------------------------------------


def test_a_key_has_its_id_and_256_random_bits(tmp_path: Path) -> None:
    """The text of a key is ofk_, its id and 43 characters that need no quoting, and no two are alike."""
    file = KeyFile(tmp_path)
    one, two = file.create(CLOCK, "one"), file.create(CLOCK, "one")
    assert one.record.id != two.record.id
    for made in (one, two):
        parts = split_key(made.key)
        assert parts is not None
        id, secret = parts
        assert (id, len(secret), made.key) == (made.record.id, 43, f"ofk_{id}_{secret}")
        assert secret.replace("_", "").replace("-", "").isalnum()
    assert one.key[15:] != two.key[15:]


def test_the_secret_is_not_kept(tmp_path: Path) -> None:
    """The file has the SHA-256 of the secret, in hexadecimal, and the secret is nowhere in the folder."""
    made = KeyFile(tmp_path).create(CLOCK, "one")
    secret = made.key[15:]
    (key,) = kept(tmp_path)["keys"]
    assert key["sha256"] == sha256(secret.encode()).hexdigest()
    for path in tmp_path.iterdir():
        assert secret.encode() not in path.read_bytes()
    assert secret not in repr(made.record)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Name, scopes, limits and times come back as they were given, the oldest key first."""
    file, limits = KeyFile(tmp_path), Limits(calls=3, tokens_per_minute=9)
    one = file.create(CLOCK, "热线", scopes=("metrics",), expires_at=5.5, limits=limits).record
    two = file.create(CLOCK, "two").record
    assert file.read() == (one, two)
    assert (one.name, one.scopes, one.expires_at, one.limits) == ("热线", ("metrics",), 5.5, limits)
    assert (two.scopes, two.expires_at, two.revoked_at, two.limits) == (DEFAULT_SCOPES, None, None, Limits())
    assert two.created_at == CLOCK.now()


def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Whatever the umask is, files have mode 0600 and a folder that is made 0700, and nothing else is left there."""
    before = os.umask(0)
    try:
        KeyFile(tmp_path / "data").create(CLOCK, "one")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert modes == {FILE: 0o600, LOCK: 0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="optional: only root can give files away")
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """A server that runs as somebody else can read what root has changed."""
    os.chown(tmp_path, 12345, 12345)
    KeyFile(tmp_path).create(CLOCK, "one")
    assert {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()} == {(12345, 12345)}


def test_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    """Of many keys that are made and revoked at the same moment each is kept, and each is revoked."""

    def make(number: int) -> None:
        made = KeyFile(tmp_path / "new").create(JumpClock(now=number), f"key {number}")
        KeyFile(tmp_path / "new").revoke(CLOCK, made.record.id)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(make, range(48)))
    records = KeyFile(tmp_path / "new").read()
    assert {record.name for record in records} == {f"key {number}" for number in range(48)}
    assert len({record.id for record in records}) == 48
    assert all(record.revoked_at is not None for record in records)


def test_a_key_is_revoked_by_id_or_by_name(tmp_path: Path) -> None:
    """An id is looked for first; a name must mean one key that is not revoked, and a second time changes nothing."""
    file, clock = KeyFile(tmp_path), JumpClock()
    one, two = file.create(clock, "shop").record, file.create(clock, "shop").record
    with pytest.raises(SetupError, match=f"2 keys .*{one.id}, {two.id}"):
        file.revoke(clock, "shop")
    assert file.revoke(clock, two.id).revoked_at == clock.now()
    assert file.revoke(clock, "shop").id == one.id
    assert {record.state(clock.now()) for record in file.read()} == {"revoked"}
    before = file.read()
    clock.advance(9)
    assert file.revoke(clock, two.id) == before[1]
    assert file.revoke(clock, "shop") == before[1]
    assert file.read() == before
    with pytest.raises(SetupError, match="no key"):
        file.revoke(clock, "nobody")


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\x1b[2J", "a\u202eb", "x" * 65, "\udc80"])
def test_a_name_can_be_printed(tmp_path: Path, name: str) -> None:
    """What would upset a terminal or a log is no name."""
    with pytest.raises(SetupError, match="no name for a key"):
        KeyFile(tmp_path / "new").create(CLOCK, name)
    assert list(tmp_path.iterdir()) == []


NESTED = b'{"version":1,"x":' + b"[" * 100_000
DAMAGED = (
    b"",
    b'{"version":1,"keys":[',
    b"\xff\xfe",
    b"[]",
    b'{"version":2,"keys":[]}',
    b'{"version":1,"keys":[],"more":1}',
    b'{"version":1,"keys":[{"id":"a"}]}',
    NESTED,
    NESTED + b"]" * 100_000 + b"}",
)


@pytest.mark.parametrize("body", DAMAGED, ids=lambda body: body[:30].decode("latin-1"))
def test_a_damaged_file_is_one_line_and_stays_as_it_is(tmp_path: Path, body: bytes) -> None:
    """Neither reading nor changing the keys goes on from a file that is not understood."""
    (tmp_path / FILE).write_bytes(body)
    for work in (KeyFile(tmp_path).read, lambda: KeyFile(tmp_path).create(CLOCK, "one")):
        with pytest.raises(SetupError, match="cannot be read") as raised:
            work()
        assert str(tmp_path / FILE) in str(raised.value)
        assert "\n" not in str(raised.value)
    assert (tmp_path / FILE).read_bytes() == body


@pytest.mark.parametrize("change", [{"id": "../../etc/"}, {"sha256": "00"}, {"scopes": ["all"]}, {"max_calls": 1}])
def test_a_key_that_is_none_is_not_passed_over(tmp_path: Path, change: dict[str, Any]) -> None:
    """A field that is wrong or misspelt in a file edited by hand is told, since it may be a limit."""
    KeyFile(tmp_path).create(CLOCK, "one")
    book = kept(tmp_path)
    book["keys"][0] |= change
    (tmp_path / FILE).write_text(json.dumps(book))
    with pytest.raises(SetupError, match="cannot be read"):
        KeyFile(tmp_path).read()


def test_two_keys_with_one_id_are_refused(tmp_path: Path) -> None:
    """Of a key that was copied by hand nobody could tell which is meant."""
    KeyFile(tmp_path).create(CLOCK, "one")
    book = kept(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({**book, "keys": book["keys"] * 2}))
    with pytest.raises(SetupError, match="one id"):
        KeyFile(tmp_path).read()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """The error says what to give instead."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="--data-dir") as raised:
        KeyFile(tmp_path / "file" / "inside").create(CLOCK, "one")
    assert "\n" not in str(raised.value)


def test_a_write_that_fails_leaves_the_keys_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a full disk the old file stays whole, and nothing is left beside it."""
    file = KeyFile(tmp_path)
    file.create(CLOCK, "one")
    before = (tmp_path / FILE).read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match="No space left"):
        file.create(CLOCK, "two")
    assert (tmp_path / FILE).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {FILE, LOCK}


@pytest.mark.parametrize("key", ["", "ofk_" + "x" * 43, "ofk_0123456789" + "x" * 44, "sk_0123456789_" + "x" * 43])
def test_other_keys_are_not_taken_apart(key: str) -> None:
    """Only what has the form of a key that was made is looked up by its id."""
    assert split_key(key) is None


# --- the running server -------------------------------------------------------------------------------------------


class Watched:
    """A book that follows a folder on a jumping clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = JumpClock()
        self.file = KeyFile(folder)
        self.book = KeyBook(folder, self.clock)

    async def look(self) -> None:
        """Return when the book has looked again."""
        await asyncio.to_thread(self.clock.wait_for_sleepers)
        self.clock.advance(LOOK_EVERY)
        await asyncio.to_thread(self.clock.wait_for_sleepers)

    def state(self, id: str) -> str | None:
        found = self.book.find(id)
        return None if found is None else found[0].state(self.clock.now())


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    one = Watched(tmp_path)
    await one.book.start()
    yield one
    await one.book.close()


async def test_a_server_follows_the_keys(watched: Watched) -> None:
    """A key that is made or revoked while the server runs is good, or not, at its next look, within a second."""
    assert LOOK_EVERY < 1
    made = (await asyncio.to_thread(watched.file.create, watched.clock, "one")).record
    assert watched.state(made.id) is None
    await watched.look()
    assert watched.state(made.id) == "good"
    await asyncio.to_thread(watched.file.revoke, watched.clock, "one")
    await watched.look()
    assert watched.state(made.id) == "revoked"


async def test_a_server_knows_the_keys_from_before_its_start(tmp_path: Path) -> None:
    """What was made before is good at once, until its time is over."""
    one = Watched(tmp_path)
    made = await asyncio.to_thread(lambda: one.file.create(one.clock, "one", expires_at=one.clock.now() + 10).record)
    await one.book.start()
    try:
        assert one.state(made.id) == "good"
        one.clock.advance(10)
        assert one.state(made.id) == "expired"
    finally:
        await one.book.close()
    await one.book.close()


async def test_a_damaged_file_changes_nothing(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """The last good keys stay, the log says so once each time, and says that it is over."""
    made = (await asyncio.to_thread(watched.file.create, watched.clock, "one")).record
    await watched.look()
    good = watched.file.path.read_bytes()
    watched.file.path.write_bytes(good[:-20])
    with caplog.at_level(logging.INFO, "offhook.server"):
        for _ in range(3):
            await watched.look()
        assert watched.state(made.id) == "good"
        watched.file.path.write_bytes(good)
        await watched.look()
        watched.file.path.write_bytes(b"")
        await watched.look()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]
    assert "stay good" in caplog.messages[0]


@pytest.mark.parametrize("body", [b"{", NESTED], ids=["cut off", "nested"])
async def test_a_key_that_is_revoked_after_a_damage_is_revoked(
    watched: Watched, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the file held meanwhile, the server goes on following it."""
    made = (await asyncio.to_thread(watched.file.create, watched.clock, "one")).record
    await watched.look()
    good = watched.file.path.read_bytes()
    watched.file.path.write_bytes(body)
    await watched.look()
    assert watched.state(made.id) == "good"
    watched.file.path.write_bytes(good)
    await asyncio.to_thread(watched.file.revoke, watched.clock, "one")
    await watched.look()
    assert watched.state(made.id) == "revoked"
    assert "cannot be read" in caplog.text


async def test_a_defect_does_not_end_the_watch(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that nobody foresaw is told with its traceback, once, and later changes count."""
    made = (await asyncio.to_thread(watched.file.create, watched.clock, "one")).record
    with monkeypatch.context() as patched:
        patched.setattr(KeyFile, "read", lambda self: [][1])
        await watched.look()
        await watched.look()
    assert watched.state(made.id) is None
    await watched.look()
    assert watched.state(made.id) == "good"
    [told] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert told.getMessage().endswith("stay good: IndexError")
    assert told.exc_info is not None


async def test_a_removed_file_has_no_keys_and_a_removed_folder_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who removes the file revokes every key; where the folder is away too, as with a disk, the keys stay."""
    folder = tmp_path / "data"
    one = Watched(folder)
    made = (await asyncio.to_thread(one.file.create, one.clock, "one")).record
    await one.book.start()
    folder.rename(tmp_path / "away")
    await one.look()
    assert one.state(made.id) == "good"
    (tmp_path / "away").rename(folder)
    with caplog.at_level(logging.INFO, "offhook.server"):
        await one.look()
    assert one.state(made.id) == "good"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    one.file.path.unlink()
    await one.look()
    assert one.state(made.id) is None
    await one.book.close()


async def test_a_server_does_not_start_with_keys_that_it_cannot_read(tmp_path: Path) -> None:
    """Before the first good look there is nothing to go on with."""
    (tmp_path / FILE).write_bytes(b"{")
    with pytest.raises(SetupError, match="cannot be read"):
        await KeyBook(tmp_path, JumpClock()).start()
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be read"):
        await KeyBook(tmp_path / "file", JumpClock()).start()
