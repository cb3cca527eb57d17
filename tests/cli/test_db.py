"""``offhook db``: the database brought up to date, emptied of what is old, and copied."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from offhook.cli import db as module
from offhook.cli.main import app
from offhook.errors import StoreError
from offhook.store.sqlite_open import REVISIONS
from offhook.testing import live_server
from tests.cli.kept import FULL, HOUR, PLAIN, alone, call, ids, keep, listed, refused, said

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = REVISIONS[-1]
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the data directory, which is not there yet."""
    return alone(tmp_path, monkeypatch)


# --- upgrade ------------------------------------------------------------------------------------------------------


def test_an_upgrade_says_from_where_to_where(data: Path) -> None:
    """A database without a schema gets the newest, and one that has it stays as it is."""
    data.mkdir(mode=0o700)
    (data / "offhook.db").touch(0o600)
    assert said("db", "upgrade") == f"{data}/offhook.db was brought from version none to {NEWEST}.\n"
    assert said("db", "upgrade") == f"{data}/offhook.db is up to date: version {NEWEST}.\n"
    assert listed("db", "upgrade") == {"from": NEWEST, "to": NEWEST}


def test_an_upgrade_makes_no_database(data: Path) -> None:
    """Where nothing was recorded yet nothing is made."""
    assert said("db", "upgrade").startswith(f"Nothing was recorded yet: there is no database {data}/offhook.db. ")
    assert listed("db", "upgrade") == {"from": None, "to": None}
    assert not data.exists()


def test_a_database_of_a_newer_version_is_left_alone(data: Path) -> None:
    """It is refused with both versions, and so is a file that is no database."""
    keep(data, call(data, "a"), PLAIN)
    with closing(sqlite3.connect(data / "offhook.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    words = refused("db", "upgrade")
    assert "9999" in words
    assert NEWEST in words
    (data / "offhook.db").write_bytes(b"no database at all" * 100)
    assert "is damaged" in refused("db", "upgrade", by=StoreError)


# --- purge --------------------------------------------------------------------------------------------------------


def test_old_calls_are_purged(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The age is that of the setting unless it is given, and counts from a call's last turn."""
    for days in (1, 8, 29, 31):
        keep(data, call(data, f"d{days}", ago=days * DAY), FULL)
    keep(data, call(data, "long", ago=40 * DAY, lasts=39 * DAY), PLAIN)
    assert said("db", "purge") == "1 call was deleted.\n"
    assert sorted(ids()) == ["d1", "d29", "d8", "long"]
    monkeypatch.setenv("OFFHOOK_STORE_KEEP_DAYS", "20")
    assert listed("db", "purge") == {"deleted": 1}
    assert said("db", "purge", "--older-than", "1w") == "1 call was deleted.\n"
    assert said("db", "purge", "--older-than", "12h") == "2 calls were deleted.\n"
    assert said("db", "purge", "--older-than", "12h") == "0 calls were deleted.\n"


def test_a_purge_needs_an_age(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls are kept for ever the age has to be said, in words that are understood."""
    keep(data, call(data, "a", ago=9 * DAY), PLAIN)
    monkeypatch.setenv("OFFHOOK_STORE_KEEP_DAYS", "0")
    assert refused("db", "purge").startswith("store_keep_days is 0, so calls are kept for ever; ")
    assert refused("db", "purge", "--older-than", "30").startswith("--older-than is '30', which is no length of time")
    assert ids() == ["a"]
    assert said("db", "purge", "--older-than", "8d") == "1 call was deleted.\n"


def test_nothing_to_purge(data: Path) -> None:
    """Without a database nothing is deleted and nothing is made."""
    assert said("db", "purge") == f"Nothing was recorded yet: there is no database {data}/offhook.db.\n"
    assert listed("db", "purge") == {"deleted": 0}
    assert not data.exists()


# --- backup -------------------------------------------------------------------------------------------------------


async def reply(turn: object) -> str:
    """Say something."""
    return "Hello."


def test_a_backup_while_a_server_runs(data: Path, tmp_path: Path) -> None:
    """The copy has what was recorded up to then, only its owner can read it, and the server goes on."""
    copy = tmp_path / "calls.db"
    with live_server(reply, store="sqlite", data_dir=str(data)) as server, server.call() as caller:
        caller.say("one")
        done = subprocess.run(
            [sys.executable, "-m", "offhook", "db", "backup", str(copy)],
            capture_output=True,
            text=True,
            timeout=25,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{data}/offhook.db was copied to {copy}: {copy.stat().st_size} bytes.\n"
        caller.say("two")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("calls.db*")] == ["calls.db"]
    (one,) = ids()
    turns = [listed("calls", "show", one, "--store", store)["turns"] for store in ("sqlite:///calls.db", "sqlite")]
    assert [[turn["said"] for turn in some] for some in turns] == [["one"], ["one", "two"]]


def test_a_backup_never_writes_over_a_file(data: Path, tmp_path: Path) -> None:
    """A file that is there stays as it is, and without a database no file is made."""
    copy = tmp_path / "calls.db"
    assert refused("db", "backup", "calls.db", by=StoreError) == f"There is no database {data}/offhook.db."
    assert not copy.exists()
    keep(data, call(data, "a"), PLAIN)
    copy.write_text("precious", "utf-8")
    assert "exists already" in refused("db", "backup", "calls.db", by=StoreError)
    assert copy.read_text("utf-8") == "precious"
    told = listed("db", "backup", "other.db")
    assert told == {"from": f"{data}/offhook.db", "to": "other.db", "bytes": (tmp_path / "other.db").stat().st_size}


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupted_backup_leaves_no_half_of_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """After Ctrl-C the file is gone that was begun, and one that was there before is not."""
    keep(data, call(data, "a"), PLAIN)
    copy = tmp_path / "calls.db"

    def interrupted(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    if there:
        copy.touch()
    monkeypatch.setattr(module, "copy", interrupted)
    assert CliRunner().invoke(app, ["db", "backup", "calls.db"]).exit_code == 130
    assert copy.exists() == there


# --- all of them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["upgrade"], ["purge"], ["backup", "calls.db"]])
def test_a_store_without_a_database(command: list[str], tmp_path: Path) -> None:
    """What is only in a server's memory, or nowhere, is refused in one line, and a wrong file of settings too."""
    assert refused("db", *command, "--store", "memory").startswith("A server with the store 'memory' keeps no records")
    (tmp_path / "offhook.toml").write_text("[store]\nurll = 'sqlite'\n", "utf-8")
    assert refused("db", *command).startswith("offhook.toml: there is no setting 'store_urll'")
    assert list(tmp_path.iterdir()) == [tmp_path / "offhook.toml"]
