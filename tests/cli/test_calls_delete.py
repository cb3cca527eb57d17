"""``offhook calls delete``: what it deletes, whom it asks, and what it says of what may come back."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from offhook.errors import StoreError, UnknownCall
from offhook.store.sqlite import Database
from offhook.testing import live_server
from offhook.turns.spool import SpoolFiles
from tests.cli.kept import CALLEE, CALLER, FULL, HOUR, PLAIN, alone, call, ids, keep, listed, ran, refused, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from offhook import Turn
    from offhook.events import Event

ID = "68e00b66-1c8f-4b0f-9b5b-1f0d6c3f8f5e"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the data directory, which is not there yet."""
    return alone(tmp_path, monkeypatch)


def test_a_call_is_deleted(data: Path) -> None:
    """The call is gone with its turns, the others stay, and an id that is not there is an error."""
    for id in (ID, "other"):
        keep(data, call(data, id, ago=5 * HOUR), FULL)
    assert said("calls", "delete", ID, "--yes") == "1 call was deleted.\n"
    assert ids() == ["other"]
    assert refused("calls", "delete", ID, "--yes", by=UnknownCall) == f"There is no call {ID!r} in {data}/offhook.db."
    assert refused("calls", "delete", "oth", "--yes", by=UnknownCall) == (
        "There is no call 'oth'; to delete one give its whole id: 'other'."
    )
    assert listed("calls", "delete", "other", "--yes") == {"deleted": 1, "ids": ["other"]}
    assert listed("calls") == []


def test_all_calls_of_a_number_are_deleted(data: Path) -> None:
    """A number is found as caller and as callee, however it is written; a number without calls is no error."""
    keep(data, call(data, "from", ago=5 * HOUR), FULL)
    marked = call(data, "x").caller_mark
    keep(data, call(data, "to", ago=5 * HOUR, caller="1", callee_mark=marked), PLAIN)
    keep(data, call(data, "other", caller=CALLEE), PLAIN)
    number = f"{CALLER[:3]}-{CALLER[3:7]} {CALLER[7:]}"
    found = listed("calls", "delete", "--number", number, "--yes")
    assert (found["deleted"], sorted(found["ids"])) == (2, ["from", "to"])
    assert said("calls", "delete", "--number", number, "--yes") == "0 calls were deleted.\n"
    assert ids() == ["other"]


def test_without_its_secret_no_number_is_found(data: Path) -> None:
    """Where the secret is not there, that is said, and no other one is made."""
    keep(data, call(data, ID), PLAIN)
    (data / "number-secret").unlink()
    assert refused("calls", "delete", "--number", CALLER, "--yes").startswith(
        "Calls cannot be found by their number: the secret"
    )
    assert not (data / "number-secret").exists()
    assert ids() == [ID]


def test_what_to_delete_has_to_be_clear(data: Path) -> None:
    """An id or a number is needed and not both, and --yes where nobody can be asked."""
    keep(data, call(data, ID), PLAIN)
    for wrong in ([], [ID, "--number", CALLER]):
        assert refused("calls", "delete", *wrong, "--yes") == "Give either the ID of a call or --number."
    assert refused("calls", "delete", ID) == "Nobody can be asked here; add --yes to delete without asking."
    assert ids() == [ID]


def typed(*arguments: str, answer: str | signal.Signals) -> tuple[int, str]:
    """Run ``offhook calls`` at a pseudo-terminal, answer its question, and give its exit code and what it showed."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "offhook", "calls", *arguments], stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        shown = ""
        while "[y/N]" not in shown:
            shown += os.read(master, 4096).decode()
        if isinstance(answer, str):
            os.write(master, answer.encode())
        else:
            process.send_signal(answer)
        code = process.wait(20)
    # So Linux tells that nobody has the terminal open any more.
    with suppress(OSError):
        while more := os.read(master, 4096):
            shown += more.decode()
    os.close(master)
    return code, shown


def test_a_person_is_asked_first(data: Path) -> None:
    """At a terminal only a yes deletes; anything else, and Ctrl-C, leaves all as it was."""
    keep(data, call(data, ID), PLAIN)
    for answer, ends_with in (("\n", 1), ("no\n", 1), ("\x04", 1), (signal.SIGINT, 130)):
        code, shown = typed("delete", ID, answer=answer)
        assert (code, ids()) == (ends_with, [ID])
        assert "Traceback" not in shown
    assert typed("delete", "--number", CALLER, answer="n\n")[0] == 1
    code, shown = typed("delete", "--number", CALLER, answer="y\n")
    assert (code, ids()) == (0, [])
    assert "Delete every call from and to the number ***0001? [y/N]" in shown
    assert "1 call was deleted." in shown


def test_what_waits_in_the_spool_comes_back(data: Path) -> None:
    """While records wait in the spool it is said that they are not deleted yet."""
    one = keep(data, call(data, ID, ago=5 * HOUR), PLAIN)
    spool = SpoolFiles(data / "offhook.db-spool", size=65_536)
    spool.open()
    assert ran("calls", "delete", ID, "--yes").stderr == ""
    spool.put(one)
    result = ran("calls", "delete", "--number", CALLER, "--yes", "--json")
    assert json.loads(result.stdout) == {"deleted": 0, "ids": []}
    assert result.stderr == "Records wait in the spool: once the database has taken them, delete again.\n"
    spool.close()


def test_a_call_that_may_be_live_is_told(data: Path) -> None:
    """A call that was active just now and has not ended is told by id and by number, and no other one is."""
    for id, caller, more in (("over", "1", {"ended_at": 1.0}), ("old", "2", {}), ("live", "3", {}), ("b", "3", {})):
        keep(data, call(data, id, ago=5 * HOUR if id == "old" else 60, caller=f"1380000000{caller}", **more), PLAIN)
    keep(data, call(data, "too", caller="0", callee_mark=call(data, "x", caller="13800000004").caller_mark), PLAIN)
    for number in ("13800000001", "13800000002"):
        assert said("calls", "delete", "--number", number, "--yes") == "1 call was deleted.\n"
    live = "The call may still be live: what is said in it from now on is recorded again.\n"
    assert ran("calls", "delete", "b", "--yes").stderr == live
    for number in ("13800000003", "13800000004"):
        assert ran("calls", "delete", "--number", number, "--yes").stderr == live
    for id in ("d", "e"):
        keep(data, call(data, id), PLAIN)
    result = ran("calls", "delete", "--number", CALLER, "--yes", "--json")
    assert json.loads(result.stdout)["deleted"] == 2
    assert result.stderr == "2 calls may still be live: what is said in them from now on is recorded again.\n"


def left_over(data: Path) -> str:
    """Give what is said where words may have stayed."""
    return (
        f"The words of what was deleted may still stand in {data}/offhook.db, or the log beside it: the file was in "
        "use, or could not be written anew. They go with the next deletion while it is free.\n"
    )


def test_words_that_somebody_reads_are_told(data: Path) -> None:
    """While somebody reads the calls are deleted, and it is said that their words may still be there."""
    for id in (ID, "by number", "old"):
        keep(data, call(data, id, ago=5 * HOUR, caller="1" if id == ID else CALLER), PLAIN)
    with closing(sqlite3.connect(data / "offhook.db", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM turns").fetchone()
        for what, count in ((["calls", "delete", ID, "--yes"], 1), (["db", "purge", "--older-than", "1h"], 2)):
            result = ran(*what, "--json")
            assert (json.loads(result.stdout)["deleted"], result.stderr) == (count, left_over(data))
    keep(data, call(data, ID, ago=5 * HOUR), PLAIN)
    assert said("calls", "delete", "--number", CALLER, "--yes") == "1 call was deleted.\n"


def test_a_wipe_that_fails_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file cannot be written anew it is said how many calls are gone, and that words may have stayed."""

    def full(database: Database) -> None:
        raise StoreError("The disk is full.")

    keep(data, call(data, ID, ago=5 * HOUR), PLAIN)
    monkeypatch.setattr(Database, "rewrite", full)
    result = ran("calls", "delete", "--number", CALLER, "--yes")
    assert (result.stdout, result.stderr) == ("1 call was deleted.\n", left_over(data))
    assert ids() == []


# --- a server that runs -------------------------------------------------------------------------------------------


async def reply(turn: Turn) -> AsyncIterator[str | Event]:
    """Repeat what was said; fail and hang up when asked to."""
    turn.state["turns"] = turn.state.get("turns", 0) + 1
    yield f"You said: {turn.text}"
    if turn.text == "fail":
        raise ValueError
    if turn.text == "bye":
        yield turn.hangup()


def test_the_calls_of_a_live_server(data: Path) -> None:
    """While the server runs its calls can be listed, shown and deleted, and it goes on recording."""
    with live_server(reply, store="sqlite", data_dir=str(data)) as server:
        with server.call(caller=CALLER, callee=CALLEE, user_data={"a": 1}) as caller:
            caller.say("hello")
            (one,) = listed("calls")
            assert (one["caller"], one["callee"], one["turns"], one["ended_by"]) == ("***0001", "***0002", 1, None)
            shown = json.loads(said("calls", "show", one["id"][:6], "--json"))
            assert shown["call"]["state"] == {"turns": 1}
            assert [(turn["said"], turn["sent"]) for turn in shown["turns"]] == [("hello", "You said: hello")]
            result = ran("calls", "delete", one["id"], "--yes")
            assert result.stdout == "1 call was deleted.\n"
            assert result.stderr.startswith("The call may still be live")
            assert listed("calls") == []
            assert (data / "offhook.db-spool").is_dir()
            caller.say("again")
            assert [turn["said"] for turn in json.loads(said("calls", "show", one["id"], "--json"))["turns"]] == [
                "again"
            ]
        result = ran("calls", "delete", "--number", CALLEE, "--yes")
        assert result.stdout == "1 call was deleted.\n"
        assert result.stderr.startswith("The call may still be live")
    assert listed("calls") == []
