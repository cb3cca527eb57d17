"""What was deleted is in no file any more."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from offhook.errors import StoreError
from offhook.store.base import EventRecord, TurnKept
from offhook.store.sqlite import Database
from tests.store.samples import NOW, call, files_holding, kept, turn
from tests.store.test_sqlite import run_child

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.store.sql import SqlStore
    from tests.store.conftest import MakeSqlite

CALLS = 12


def words(number: int) -> str:
    """Give a word that only this call has."""
    return f"secret{number:02}word "


async def fill(store: SqlStore, seed: int) -> None:
    """Write turns of all lengths in any order, so that pages are split and joined."""
    chosen = random.Random(seed)
    for start in range(0, 300, 10):
        changes = []
        for number in range(start, start + 10):
            which = chosen.randrange(CALLS)
            said = words(which) * chosen.choice([1, 3, 10, 50, 300, 800])
            events = (EventRecord(kind="tool_call", at=0.0, data={"arguments": said}),) * chosen.randrange(3)
            of = call(str(which), last_at=NOW + number, state=said[: chosen.randrange(2000)], caller_mark=f"m{which}")
            spoken = turn(f"turn-{number}", of.id, said=said, sent=said, generated=said, events=events)
            changes.append(TurnKept(call=of, turn=spoken))
        await asyncio.gather(*map(store.write, changes))


@pytest.mark.parametrize("seed", range(5))
async def test_deleted_words_are_in_no_file(sqlite: SqlStore, file: Path, seed: int) -> None:
    """The words of deleted calls are in no file of the folder while the database is in use, those of others are."""
    await fill(sqlite, seed)
    assert await sqlite.delete("0") == 1
    assert await sqlite.delete_number("m1") == ["1"]
    assert await asyncio.to_thread(files_holding, file.parent, words(0), words(1)) == []
    assert await asyncio.to_thread(files_holding, file.parent, words(2)) == ["offhook.db"]


async def test_purged_words_are_in_no_log(sqlite: SqlStore, file: Path) -> None:
    """After a purge of everything the words are in no file."""
    await fill(sqlite, 0)
    assert await sqlite.purge(NOW + 1000) == CALLS
    assert await asyncio.to_thread(files_holding, file.parent, "secret") == []


async def test_another_process_deletes(sqlite: SqlStore, file: Path) -> None:
    """A command in another process deletes for good while a server has the database open and goes on."""
    await fill(sqlite, 0)
    code = """
async def main():
    await store.start()
    print(await store.delete("0"), await store.delete_number("m1"), await store.delete("nobody"))
    await store.close()
asyncio.run(main())
"""
    done = await asyncio.to_thread(run_child, file, code)
    assert (done.stdout, done.stderr) == ("1 ['1'] 0\n", "")
    assert await sqlite.find("0") is None
    assert await asyncio.to_thread(files_holding, file.parent, words(0), words(1)) == []
    await sqlite.write(kept("after", "0"))
    assert await sqlite.find("0") is not None


async def test_words_that_somebody_reads_go_when_he_is_done(sqlite: SqlStore, file: Path) -> None:
    """While another connection reads, the log cannot be emptied; the next change does it."""
    await sqlite.write(kept(sent=words(0)))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM turns").fetchone() == (1,)
        assert await sqlite.delete("call-1") == 1
        assert await asyncio.to_thread(files_holding, file.parent, words(0)) != []
    await sqlite.write(kept("next"))
    assert await asyncio.to_thread(files_holding, file.parent, words(0)) == []


async def test_a_log_that_cannot_be_emptied_keeps_nobody_waiting(make: MakeSqlite, file: Path) -> None:
    """While another connection reads, a purge and the changes after it do not wait for the log, and it is told."""
    store = make(lock_wait=3600)
    await store.start()
    await store.write(kept(sent=words(0)))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM turns").fetchone() == (1,)
        assert await store.purge(NOW + 1) == 1
        await store.write(kept("next"))
        assert not store.wiped
    await store.write(kept("last"))
    assert store.wiped
    await store.close()


def test_a_lock_is_waited_for_after_the_log_was_not(file: Path) -> None:
    """The checkpoint that does not wait leaves the connection's waiting time as it was."""
    database = Database(file, lock_wait=3600)
    database.open()
    seen: list[str] = []
    assert database._connection is not None
    database._connection.set_trace_callback(seen.append)
    database.forget()
    assert seen == ["PRAGMA busy_timeout=0", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA busy_timeout=3600000"]
    database.close()


class NotWiping(sqlite3.Connection):
    """A connection of a SQLite that was built without wiping what is deleted."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.execute("PRAGMA secure_delete=OFF")


async def test_purged_words_are_wiped_where_they_stood(
    make: MakeSqlite, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge wipes the words of a call among others in the file itself, also if SQLite was built not to do so."""
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=NotWiping))
    store = make()
    await store.start()
    await store.write(TurnKept(call=call("old", last_at=NOW - 9), turn=turn("old", "old", sent=words(0) * 2000)))
    await store.write(kept("new", "new", sent=words(1)))
    assert await store.purge(NOW - 1) == 1
    await store.close()
    assert await asyncio.to_thread(files_holding, file.parent, words(0)) == []
    assert await asyncio.to_thread(files_holding, file.parent, words(1)) == ["offhook.db"]


async def test_a_wipe_that_fails_hides_no_deletion(sqlite: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file cannot be written anew the calls are deleted, and it is told that they are not wiped."""

    def full(database: Database) -> None:
        raise StoreError("The disk is full.")

    for id, mark in (("1", "m"), ("2", "n")):
        await sqlite.write(TurnKept(call=call(id, caller_mark=mark), turn=turn(id, id)))
    assert sqlite.wiped
    with monkeypatch.context() as patch:
        patch.setattr(Database, "rewrite", full)
        assert await sqlite.delete("1") == 1
        assert not sqlite.wiped
    assert await sqlite.delete_number("n") == ["2"]
    assert sqlite.wiped
    assert await sqlite.calls() == []


def test_the_look_into_files_can_fail(tmp_path: Path) -> None:
    """The helper of these tests finds words where they are."""
    (tmp_path / "file").write_bytes(b"\x00secret\x00")
    assert files_holding(tmp_path, "secret") == ["file"]
    assert sys.executable
