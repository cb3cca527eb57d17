"""``offhook keys``: a key is made and shown once, listed without its secret, and revoked."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.clock import SystemClock
from offhook.server.auth import Keys
from offhook.server.keys import KeyBook, KeyFile
from tests.cli.kept import alone, listed, refused, said

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the data directory, which is not there yet."""
    return alone(tmp_path, monkeypatch)


def made(*arguments: str) -> dict[str, Any]:
    """Make a key, and give it as JSON."""
    new: dict[str, Any] = listed("keys", "create", *arguments)
    return new


def rows() -> list[list[str]]:
    """Give the cells of the list, without its head."""
    return [re.split(r"\s{2,}", line.strip()) for line in said("keys").splitlines()[1:]]


def test_the_key_that_is_shown_is_one_that_a_server_takes(data: Path) -> None:
    """What stands in the last line is the whole key, and it is said that it is shown this once."""
    out = said("keys", "create", "hotline")
    assert "id " in out and "this once" in out and "good for ever, no limits" in out
    key = out.splitlines()[-1]
    book = KeyBook(data, SystemClock())

    async def read() -> None:
        await book.start()
        await book.close()

    asyncio.run(read())
    assert Keys((), book).check({"authorization": f"Bearer {key}"}, {}, "chat").name == "hotline"
    for shown in (said("keys"), said("keys", "--json"), said("keys", "revoke", "hotline"), said("keys", "list")):
        assert key not in shown and key[15:] not in shown
        assert KeyFile(data).read()[0].sha256 not in shown


def test_a_key_is_made_as_it_was_asked_for(data: Path) -> None:
    """Scopes, end and limits are those of the options; without them it is for a platform, for ever, without limits."""
    now = SystemClock().now()
    plain = made("plain")
    assert plain.pop("key").startswith(f"ofk_{plain['id']}_")
    created = datetime.fromisoformat(plain.pop("created_at"))
    assert created.tzinfo == UTC and now - 1 <= created.timestamp() <= now + 60
    no_limits = {"calls": None, "turns_per_minute": None, "tokens_per_minute": None}
    assert plain == {
        **{"id": plain["id"], "name": "plain", "state": "good", "scopes": ["chat", "models", "calls"]},
        **{"expires_at": None, "revoked_at": None, "limits": no_limits, "speech": None},
    }
    scopes = ("--scope", "metrics", "--scope", "models", "--scope", "metrics")
    limits = ("--max-calls", "20", "--turns-per-minute", "300", "--tokens-per-minute", "5000")
    full = made("full", *scopes, *limits, "--expires", "90d", "--speech", "think,tags")
    assert full["speech"] == "think,tags"
    assert full["scopes"] == ["models", "metrics"]
    assert full["limits"] == {"calls": 20, "turns_per_minute": 300, "tokens_per_minute": 5000}
    assert abs(datetime.fromisoformat(full["expires_at"]).timestamp() - now - 90 * DAY) < 60


def test_the_list_tells_what_each_key_is_worth(data: Path) -> None:
    """Every key has a row: good, expired or revoked, what it is for and how much; the oldest first."""
    ids = [made("one", "--max-calls", "2")["id"], made("two", "--scope", "metrics")["id"]]
    clock = SystemClock()
    ids.append(KeyFile(data).create(clock, "three", expires_at=clock.now() - 1).record.id)
    said("keys", "revoke", "two")
    found = rows()
    assert [row[:4] for row in found] == [
        [ids[0], "one", "good", "chat, models, calls"],
        [ids[1], "two", "revoked", "metrics"],
        [ids[2], "three", "expired", "chat, models, calls"],
    ]
    assert [row[5:] for row in found[:2]] == [["never", "2 calls"], ["never", "no limits"]]
    assert [(one["id"], one["state"]) for one in listed("keys")] == list(
        zip(ids, ("good", "revoked", "expired"), strict=True)
    )


def test_without_keys_the_list_says_so_and_makes_nothing(data: Path) -> None:
    """Looking for keys makes neither a file nor the folder."""
    assert said("keys") == f"There are no keys in {data}/keys.json; 'offhook keys create NAME' makes one.\n"
    assert listed("keys", "list") == []
    assert not data.exists()


def test_a_key_is_revoked_by_id_or_name(data: Path) -> None:
    """The key is named, and the time since when; as JSON it is the key."""
    one, two = made("shop"), made("shop")
    assert "give the id" in refused("keys", "revoke", "shop")
    assert listed("keys", "revoke", one["id"])["state"] == "revoked"
    assert f"The key 'shop', id {two['id']}, is revoked since " in said("keys", "revoke", "shop")
    assert "'offhook keys list'" in refused("keys", "revoke", "nobody")


def test_the_data_directory_is_the_servers(data: Path, tmp_path: Path) -> None:
    """--data-dir and --config name another directory, as for the other commands, and what is made there is private."""
    said("keys", "create", "there", "--data-dir", str(tmp_path / "there"))
    (tmp_path / "other.toml").write_text(f"data_dir = {json.dumps(str(tmp_path / 'file'))}\n")
    CliRunner().invoke(app, ["keys", "create", "file", "--config", "other.toml"], env={"OFFHOOK_DATA_DIR": ""})
    for name in ("there", "file"):
        assert [one["name"] for one in listed("keys", "--data-dir", str(tmp_path / name))] == [name]
        assert stat.S_IMODE((tmp_path / name / "keys.json").stat().st_mode) == 0o600
    assert not data.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--scope", "all"], "there are: chat, models, calls, metrics"),
        (["--expires", "soon"], "no length of time"),
        (["--expires", "0d"], "more than nothing"),
        (["--expires", "99999999999w"], "at most 36500d"),
    ],
)
def test_what_no_key_can_have_is_refused(data: Path, options: list[str], told: str) -> None:
    """A wrong word is one line that says what would do, and no key is made."""
    assert told in refused("keys", "create", "one", *options)
    assert not data.exists()


def test_a_limit_is_at_least_one(data: Path) -> None:
    """A key that may do nothing is no key."""
    for option in ("--max-calls", "--turns-per-minute", "--tokens-per-minute"):
        result = CliRunner().invoke(app, ["keys", "create", "one", option, "0"])
        assert (result.exit_code, result.stdout) == (2, "")
        assert option in result.stderr


def test_a_damaged_file_is_told_and_kept(data: Path) -> None:
    """Each command says in one line that the keys cannot be read, and changes nothing."""
    data.mkdir()
    (data / "keys.json").write_text("{")
    for command in (["create", "one"], ["list"], ["revoke", "one"]):
        assert "cannot be read" in refused("keys", *command)
    assert (data / "keys.json").read_text() == "{"
