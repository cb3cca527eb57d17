"""What the spool took is there after a crash at any moment, once or twice but never not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import StoreError
from offhook.store.base import CallRecord, Change, Heard, TurnKept, TurnRecord
from offhook.turns.spool import SpoolFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 1 << 16
SECRET = "我的号码是13800001234"
# Puts changes 0, 1, 2 ... and says so on stdout, until it is killed.
CHILD = """
import sys
from pathlib import Path
from offhook.store.base import Heard
from offhook.turns.spool import SpoolFiles
spool = SpoolFiles(Path(sys.argv[1]), size=1 << 20)
spool.open()
for number in range(int(sys.argv[2])):
    spool.put(Heard(uid="child", heard=number))
    print(number, flush=True)
sys.stdin.read()
"""


def turn(uid: str, said: str = SECRET) -> Change:
    call = CallRecord(id="c1", platform="plain", begun_at=1.0, last_at=2.0, user_data='{"a": 1}')
    return TurnKept(call=call, turn=TurnRecord(uid=uid, call_id="c1", model="m", said=said, digest=b"\xffsp\xff"))


def some(count: int) -> list[Change]:
    return [Heard(uid=f"u{number}", heard=number) if number % 2 else turn(f"u{number}") for number in range(count)]


@contextlib.contextmanager
def opened(folder: Path, size: int = SIZE, *, sync: bool = False) -> Iterator[SpoolFiles]:
    """A spool that is open; letting go of its files is all that the death of its process would do."""
    spool = SpoolFiles(folder, size=size, sync=sync)
    spool.open()
    try:
        yield spool
    finally:
        spool.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(folder: Path, changes: list[Change]) -> tuple[bytes, list[int]]:
    """Give the bytes of a spool that holds these changes, and where each ends."""
    ends: list[int] = []
    path = folder / "spool-0.bin"
    with opened(folder) as spool:
        for change in changes:
            spool.put(change)
            ends.append(len(path.read_bytes().rstrip(b"\0")))
    return path.read_bytes()[: ends[-1]], ends


def recovered(folder: Path, content: bytes, size: int) -> list[Change]:
    """Give what a new process reads from a file, after it has shown that it can go on with it."""
    (folder / "spool-0.bin").write_bytes(content)
    more = Heard(uid="more", heard=1)
    with opened(folder, size) as spool:
        found = spool.read()
        spool.put(more)
    with opened(folder, size) as spool:
        assert spool.read() == [*found, more]
        assert spool.skipped == 0
    return found


# --- what is in the file ------------------------------------------------------------------------------------------


def test_what_was_put_is_read_in_order_by_the_next_process(tmp_path: Path) -> None:
    """Changes of every kind come back equal and in the order in which they were put."""
    call = CallRecord(id="c", platform="p", begun_at=1.0, last_at=1.5, state="{}")
    with opened(tmp_path) as spool:
        for change in [*some(5), call]:
            spool.put(change)
        assert spool.pending == 6
    with opened(tmp_path) as spool:
        assert spool.read() == [*some(5), call]
        assert spool.read(2) == some(2)


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    """The folder is made with mode 0700 and the file, of full size from the start, with 0600."""
    folder = tmp_path / "data" / "spool"
    with opened(folder) as spool:
        file = folder / "spool-0.bin"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert (file.stat().st_size, file.stat().st_blocks * 512 >= SIZE) == (SIZE, True)
        assert spool.problem is None


def test_a_file_that_ends_anywhere_gives_what_was_whole(tmp_path: Path) -> None:
    """A file cut after any number of bytes, or zero from there on, gives the records before the cut."""
    changes = some(3)
    content, ends = written(tmp_path, changes)
    for cut in range(len(content)):
        whole = changes[: sum(end <= cut for end in ends)]
        assert recovered(tmp_path, content[:cut], SIZE) == whole
        assert recovered(tmp_path, content[:cut] + bytes(len(content) - cut), SIZE) == whole


def test_a_damaged_byte_costs_its_record_and_no_other(tmp_path: Path) -> None:
    """Whichever byte is changed, every record but its own is read."""
    changes = some(3)
    content, ends = written(tmp_path, changes)
    for place in range(len(content)):
        hit = sum(end <= place for end in ends)
        damaged = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        assert recovered(tmp_path, damaged, SIZE) == changes[:hit] + changes[hit + 1 :]


@given(st.binary(max_size=300) | st.lists(st.sampled_from([b"\xffsp\xff", b"\0" * 8, b"\1\0\0\0", b"x"])).map(b"".join))
def test_a_file_of_anything_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A file that holds something else than records gives nothing, and is used all the same."""
    assert recovered(tmp_path_factory.mktemp("spool"), content, SIZE) == []


def test_a_change_of_another_version_is_skipped_and_counted(tmp_path: Path) -> None:
    """A whole record that is no change known here is left out, counted, and wiped."""

    class Later(msgspec.Struct, tag="later"):
        said: str = SECRET

    with opened(tmp_path) as spool:
        for change in (some(1)[0], cast("Any", Later()), some(2)[1]):
            spool.put(change)
        assert spool.read() == some(2)
        assert (spool.skipped, spool.pending) == (1, 2)
        spool.done(2)
    assert not (tmp_path / "spool-0.bin").read_bytes().strip(b"\0")


def test_nothing_of_a_transcript_stays_once_it_is_taken(tmp_path: Path) -> None:
    """A change that was taken is zeroed at once, and when all are taken the whole file is zeros."""
    path = tmp_path / "spool-0.bin"
    with opened(tmp_path) as spool:
        for uid in ("a", "b"):
            spool.put(turn(uid, said=SECRET + uid))
        assert (SECRET + "a").encode() in path.read_bytes()
        spool.done(1)
        assert (SECRET + "a").encode() not in path.read_bytes()
        assert spool.read() == [turn("b", said=SECRET + "b")]
        spool.done(1)
        assert path.read_bytes() == bytes(SIZE)
    with opened(tmp_path) as spool:
        assert spool.pending == 0


# --- crashes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_what_was_put_survives_sigkill(tmp_path: Path, count: int) -> None:
    """A process killed while it puts one change after the other leaves all whose put had returned."""
    child = start_child(tmp_path, 10_000, says=count)
    child.kill()
    rest = child.communicate()[0]
    told = count + rest.count(b"\n")
    with opened(tmp_path) as spool:
        changes = spool.read()
    assert changes == [Heard(uid="child", heard=number) for number in range(len(changes))]
    assert told <= len(changes) <= told + 1


def start_child(folder: Path, puts: int, says: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, str(folder), str(puts)]
    # Without a buffer, so that what is not read here is left for ``communicate``.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(says)] == [b"%d\n" % number for number in range(says)]
    return child


def cut_writes(patch: pytest.MonkeyPatch, after: int, code: int) -> None:
    """Let the disk fail once it has taken so many more bytes."""
    pwrite, left = os.pwrite, [after]

    def write(fd: int, data: memoryview, start: int) -> int:
        if not left[0]:
            raise OSError(code, os.strerror(code))
        count = pwrite(fd, data[: left[0]], start)
        left[0] -= count
        return count

    patch.setattr(os, "pwrite", write)


def test_a_write_that_breaks_anywhere_harms_nothing(tmp_path: Path) -> None:
    """A put that the disk ends after any number of bytes is refused, and what waits and what follows are whole."""
    length = len(written(tmp_path, some(1))[0])
    for after in range(length):
        with opened(tmp_path) as spool:
            assert spool.read() == some(1)
            with pytest.MonkeyPatch.context() as patch, pytest.raises(StoreError, match="No space left"):
                cut_writes(patch, after, errno.ENOSPC)
                spool.put(turn("x" * (length // 2)))
            assert spool.read() == some(1)
            if after % 2:
                spool.put(some(2)[1])
        with opened(tmp_path) as spool:
            assert spool.read() == some(1 + after % 2)
            spool.done(2)
            assert (tmp_path / "spool-0.bin").read_bytes() == bytes(SIZE)
            spool.put(some(1)[0])


def test_a_removal_that_breaks_anywhere_leaves_the_rest(tmp_path: Path) -> None:
    """When zeroing a taken change ends after any number of bytes it may come again, and the others are all there."""
    content, ends = written(tmp_path, some(4))
    for after in range(ends[1]):
        (tmp_path / "spool-0.bin").write_bytes(content)
        with opened(tmp_path) as spool:
            with pytest.MonkeyPatch.context() as patch:
                cut_writes(patch, after, errno.EIO)
                spool.done(2)
            assert spool.read() == some(4)[2:]
        with opened(tmp_path) as spool:
            assert spool.read()[-2:] == some(4)[2:]
            spool.put(turn("new"))
            assert spool.read()[-3:] == [*some(4)[2:], turn("new")]


def test_nothing_of_a_refused_change_stays(tmp_path: Path) -> None:
    """What a broken write left is zeroed when the spool is empty again."""
    with opened(tmp_path) as spool:
        spool.put(turn("a"))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(StoreError):
            cut_writes(patch, 200, errno.ENOSPC)
            spool.put(turn("b"))
        spool.done(1)
        assert (tmp_path / "spool-0.bin").read_bytes() == bytes(SIZE)


def test_a_change_that_could_not_be_zeroed_does_not_cost_another(tmp_path: Path) -> None:
    """Records that lie in no order, since one of an earlier round is still there, are all read and none overwritten."""
    length = len(written(tmp_path, [turn("0")])[0])
    with opened(tmp_path, 4 * length) as spool:
        for uid in "123":
            spool.put(turn(uid))
        spool.done(2)
        spool.put(turn("4"))
        spool.done(1)
        with pytest.MonkeyPatch.context() as patch:
            cut_writes(patch, 0, errno.EIO)
            spool.done(1)
        for uid in "56":
            spool.put(turn(uid))
        spool.done(2)
        spool.put(turn("7", said=SECRET * 2))
        assert spool.read() == [turn("6"), turn("7", said=SECRET * 2)]
    with opened(tmp_path, 4 * length) as spool:
        waiting = [turn("3"), turn("6"), turn("7", said=SECRET * 2)]
        assert spool.read() == waiting
        with pytest.raises(StoreError, match="full"):
            spool.put(turn("8"))
        assert spool.read() == waiting
        spool.done(3)
        spool.put(turn("8"))


# --- room ---------------------------------------------------------------------------------------------------------


def test_a_full_spool_refuses_until_there_is_room(tmp_path: Path) -> None:
    """What does not fit is refused and harms nothing; what was taken makes room before the spool is empty."""
    changes: list[Change] = [turn(f"{number:04}") for number in range(100)]
    with opened(tmp_path, 4096) as spool:
        with pytest.raises(StoreError, match="full"):
            for change in changes:
                spool.put(change)
        fit = spool.pending
        assert 1 < fit < 20
        for number in range(fit, 100):
            spool.done(1)
            spool.put(changes[number])
            assert spool.read() == changes[number - fit + 1 : number + 1]
    with opened(tmp_path, 4096) as spool:
        assert spool.read() == changes[-fit:]
    assert (tmp_path / "spool-0.bin").stat().st_size == 4096


def test_without_a_size_there_is_no_spool(tmp_path: Path) -> None:
    """A spool of size 0 makes no file and refuses everything, but still gives what an earlier one left."""
    with opened(tmp_path / "none", 0) as spool, pytest.raises(StoreError, match="size is 0"):
        spool.put(turn("a"))
    assert names(tmp_path) == []
    written(tmp_path, some(2))
    with opened(tmp_path, 0) as spool:
        assert spool.read() == some(2)
        spool.done(2)
    assert names(tmp_path) == []


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_at_the_start_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for its file the spool opens, says so, takes what the disk takes, and gets its size later."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_space)
        spool = SpoolFiles(tmp_path, size=SIZE)
        spool.open()
        assert "No space left" in str(spool.problem)
        with pytest.MonkeyPatch.context() as full, pytest.raises(StoreError, match="No space left"):
            full.setattr(os, "pwrite", no_space)
            spool.put(turn("a"))
        spool.put(turn("b"))
    assert spool.read() == [turn("b")]
    spool.done(1)
    assert (spool.problem, (tmp_path / "spool-0.bin").stat().st_size) == (None, SIZE)
    spool.close()


def test_a_folder_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    """A spool without its folder refuses and says why, until the folder can be made."""
    (tmp_path / "data").write_text("in the way")
    with opened(tmp_path / "data") as spool:
        assert "Not a directory" in str(spool.problem) or "File exists" in str(spool.problem)
        with pytest.raises(StoreError, match="no spool in"):
            spool.put(turn("a"))
        (tmp_path / "data").unlink()
        spool.put(turn("a"))
        assert (spool.problem, spool.read()) == (None, [turn("a")])


def test_a_file_system_that_cannot_preallocate_is_written_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where preallocation is not supported zeros are written, behind what waits."""
    content, _ = written(tmp_path, some(2))
    (tmp_path / "spool-0.bin").write_bytes(content)

    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    with opened(tmp_path) as spool:
        assert spool.read() == some(2)
        assert (tmp_path / "spool-0.bin").read_bytes() == content + bytes(SIZE - len(content))


def test_sync_waits_for_the_disk_at_every_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With sync each put calls fdatasync once, and is refused when that fails."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    with opened(tmp_path, sync=True) as spool:
        spool.put(turn("a"))
        spool.put(turn("b"))
        assert len(synced) == 2
        monkeypatch.setattr(os, "fdatasync", no_space)
        with pytest.raises(StoreError):
            spool.put(turn("c"))
        assert spool.read() == [turn("a"), turn("b")]


def test_what_cannot_be_encoded_is_refused_without_its_text(tmp_path: Path) -> None:
    """A change that cannot be written as bytes is refused, and the error does not quote it."""
    with opened(tmp_path) as spool:
        with pytest.raises(StoreError) as caught:
            spool.put(turn("a", said=SECRET + "\ud800"))
        assert (SECRET in repr(caught.value), caught.value.__cause__) == (False, None)
        assert spool.pending == 0


def test_a_spool_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    """When somebody deletes the file new changes go to a new one, and those in the old one can still be read."""
    with opened(tmp_path) as spool:
        spool.put(turn("a"))
        (tmp_path / "spool-0.bin").unlink()
        spool.put(turn("b"))
        assert spool.read() == [turn("a"), turn("b")]
        spool.done(1)
        assert names(tmp_path) == ["spool-0.bin"]
    with opened(tmp_path) as spool:
        assert spool.read() == [turn("b")]
