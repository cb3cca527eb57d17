"""SQLite: the file and who may read it, its start, locks, a full disk, other processes, SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from offhook.errors import SetupError, StoreError, UnfitRecord
from offhook.store.base import TurnKept
from offhook.store.sqlite import Database
from tests.store.samples import NOW, call, kept, turn

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.store.sql import SqlStore
    from tests.store.conftest import Clock, MakeSqlite

# What a child process begins with: a store on the file that it is given, and a turn to write.
CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from offhook.store.base import CallRecord, TurnKept, TurnRecord
from offhook.store.sql import SqlStore

store = SqlStore(Path(sys.argv[1]), now=lambda: 0.0)

def kept(uid, call_id):
    call = CallRecord(id=call_id, platform="plain", begun_at=0.0, last_at=0.0)
    return TurnKept(call=call, turn=TurnRecord(uid=uid, call_id=call_id, model="m"))
"""


def run_child(file: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in another process, to its end."""
    run = [sys.executable, "-c", CHILD + code, str(file)]
    return subprocess.run(run, capture_output=True, text=True, timeout=25, check=False)


def content(path: Path) -> bytes:
    return path.read_bytes()


def damage(path: Path, begin: int = 0) -> bytes:
    """Write what is no database into a file from an offset on; give all that is then in it."""
    path.parent.mkdir(exist_ok=True)
    before = path.read_bytes() if path.exists() else b"\xff" * 20_000
    path.write_bytes(before[:begin] + b"\xff" * (len(before) - begin))
    return path.read_bytes()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def uids(store: SqlStore, call_id: str = "call-1") -> list[str]:
    """Give the turns of a call that must be there."""
    stored = await store.find(call_id)
    assert stored is not None
    return [turn.uid for turn in stored.turns]


# --- the file -----------------------------------------------------------------------------------------------------


async def test_only_the_owner_may_read(sqlite: SqlStore, file: Path) -> None:
    """The database, the files beside it and their folder are their owner's alone."""
    await sqlite.write(kept())
    assert {path.name: mode(path) for path in file.parent.iterdir()} == {
        "offhook.db": 0o600,
        "offhook.db-wal": 0o600,
        "offhook.db-shm": 0o600,
    }
    assert mode(file.parent) == 0o700


async def test_a_closed_database_is_one_file(make: MakeSqlite, file: Path) -> None:
    """After closing all that was written is in the one file."""
    store = make()
    await store.start()
    await store.write(kept())
    await store.close()
    assert [path.name for path in file.parent.iterdir()] == ["offhook.db"]


async def test_what_was_written_is_there_after_a_restart(make: MakeSqlite) -> None:
    """A second store on the file finds what the first one wrote."""
    for uids_before in ([], ["turn-1"]):
        store = make()
        await store.start()
        stored = await store.find("call-1")
        assert [turn.uid for turn in stored.turns] == uids_before if stored else uids_before == []
        await store.write(kept())
        await store.close()


async def test_the_settings_of_a_connection(file: Path) -> None:
    """The writer's connection wipes what is deleted, keeps tables together, and syncs as it is told."""
    for sync, number in (("normal", 1), ("full", 2)):
        database = Database(file, sync=sync)
        await asyncio.to_thread(database.open)
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")

        def ask(connection: sqlite3.Connection, pragmas: tuple[str, ...] = pragmas) -> list[object]:
            connection.execute("ROLLBACK")
            values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
            connection.execute("BEGIN")
            return values

        assert await asyncio.to_thread(database.transact, ask) == ["wal", number, 1, 1]
        await asyncio.to_thread(database.close)


def test_several_may_make_the_file_at_once(file: Path) -> None:
    """Of many who open a new database at the same time, all succeed and find one schema."""
    databases = [Database(file) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(Database.open, databases))
        outcomes = threads.map(lambda number: databases[number].commit([kept(f"turn-{number}")]), range(8))
        assert list(outcomes) == [[None]] * 8
    for database in databases:
        database.close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM turns").fetchone() == (8,)


def test_a_start_loads_neither_sqlalchemy_nor_alembic(file: Path) -> None:
    """A store opens a new file, and one that is up to date, without loading what takes half a second."""
    code = """
async def main():
    await store.start()
    await store.write(kept("turn", "call"))
    await store.close()
asyncio.run(main())
print(sorted(name for name in ("sqlalchemy", "alembic") if name in sys.modules))
"""
    for _ in range(2):
        done = run_child(file, code)
        assert (done.stdout, done.stderr) == ("[]\n", "")


# --- files that cannot be used ------------------------------------------------------------------------------------


async def refusal(make: MakeSqlite) -> str:
    """Give what starting says; afterwards the store must be closed."""
    store = make(lock_wait=0.05)
    with pytest.raises((StoreError, SetupError)) as caught:
        await store.start()
    with pytest.raises(StoreError):
        await store.write(kept())
    await store.close()
    return f"{type(caught.value).__name__}: {caught.value.message}"


async def test_a_damaged_file_is_named(make: MakeSqlite, file: Path) -> None:
    """Starting on a file that is no database says which one it is and what to do, and leaves it as it was."""
    damaged = damage(file)
    said = await refusal(make)
    assert said.startswith(f"StoreError: The database {file} is damaged (file is not a database). Move it away")
    assert content(file) == damaged


async def test_damage_inside_the_file_fails_the_change(make: MakeSqlite, file: Path) -> None:
    """A change that meets damaged pages gets StoreError, which names the file."""
    store = make()
    await store.start()
    await asyncio.gather(*(store.write(kept(f"turn-{number}", sent="word " * 500)) for number in range(50)))
    await store.close()
    damage(file, 8192)
    with pytest.raises(StoreError, match="damaged"):
        await store.start()
        await store.write(kept("another"))
    await store.close()


async def test_a_folder_that_cannot_be_made(make: MakeSqlite, file: Path) -> None:
    """Starting where the folder cannot be made says which file cannot be used."""
    file.parent.write_text("a file where the folder should be")
    assert (await refusal(make)).startswith(f"SetupError: The database {file} cannot be used: ")


async def test_a_folder_that_cannot_be_written(make: MakeSqlite, file: Path) -> None:
    """Starting where nothing can be written says which file cannot be used."""
    if os.geteuid() == 0:
        pytest.skip("optional: root may write in any folder")
    file.parent.mkdir(mode=0o500)
    assert (await refusal(make)).startswith(f"SetupError: The database {file} cannot be used: ")


async def test_a_folder_in_its_place(make: MakeSqlite, file: Path) -> None:
    """Starting on a path that is a folder is a wrong setting, and no outage that may pass."""
    os.makedirs(file)
    assert await refusal(make) == (
        f"SetupError: The database {file} cannot be used: it is a directory. Name another with --store or --data-dir."
    )


async def test_a_file_of_a_newer_version_is_refused(make: MakeSqlite, file: Path) -> None:
    """Starting on a database of a newer version says so and what to do, and leaves it as it was."""
    store = make()
    await store.start()
    await store.close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = content(file)
    said = await refusal(make)
    assert said.startswith(f"SetupError: The database {file} was written by a newer version of offhook")
    assert "--store" in said
    assert content(file) == before


async def test_a_database_of_another_program_is_refused(make: MakeSqlite, file: Path) -> None:
    """Starting on somebody else's database says so, and leaves it as it was."""
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE calls (number TEXT)")
    before = content(file)
    assert (await refusal(make)).startswith(f"SetupError: {file} is a database, but not one of offhook's.")
    assert content(file) == before


# --- locks and a full disk ----------------------------------------------------------------------------------------


async def test_a_locked_database_fails_the_change_and_not_the_next(make: MakeSqlite, file: Path) -> None:
    """A change gets StoreError when another process holds the lock for too long, and the next one is kept."""
    store = make(lock_wait=0.05)
    await store.start()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"offhook\.db cannot be used: database is locked"):
            await store.write(kept("locked"))
        assert await store.find("call-1") is None
        other.execute("ROLLBACK")
    await store.write(kept("free"))
    assert await uids(store) == ["free"]
    await store.close()


async def test_a_short_lock_is_waited_for(sqlite: SqlStore, file: Path) -> None:
    """A change waits for a lock that is soon let go of."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        written = sqlite.write(kept())
        await sqlite.find("call-1")
        assert not written.done()
        other.execute("ROLLBACK")
    await written


async def test_a_full_disk_fails_the_change_and_not_the_next(make: MakeSqlite) -> None:
    """A change for which there is no room gets StoreError and leaves nothing, and one that fits is kept."""
    store = make(most_pages=30)
    await store.start()
    with pytest.raises(StoreError, match="is full"):
        await store.write(kept("large", sent="word " * 100_000))
    await store.write(kept("small"))
    assert await uids(store) == ["small"]
    await store.close()


async def test_a_bad_change_does_not_harm_its_batch(sqlite: SqlStore) -> None:
    """Of changes that wait together, only those that nobody can keep are refused, for good."""
    bad = TurnKept(call=call(), turn=turn("bad", prompt_tokens=object()))
    stray = TurnKept(call=call(), turn=turn("stray", "a call that is not here"))
    changes = (kept("first"), bad, stray, kept("surrogate", said="\ud800"), kept("last"))
    outcome = await asyncio.gather(*map(sqlite.write, changes), return_exceptions=True)
    assert [type(item) for item in outcome] == [type(None), UnfitRecord, UnfitRecord, type(None), type(None)]
    assert await uids(sqlite) == ["first", "surrogate", "last"]


# --- recent calls -------------------------------------------------------------------------------------------------


async def test_recent_calls_are_known_after_a_restart(make: MakeSqlite, now: Clock) -> None:
    """After a restart a call may go on for an hour, unless nobody can name it."""
    store = make()
    await store.start()
    for id, at, named in (("new", NOW - 3599, True), ("old", NOW - 3601, True), ("unnamed", NOW, False)):
        await store.write(TurnKept(call=call(id, last_at=at, named=named), turn=turn(f"turn of {id}", id)))
    await store.close()
    await store.start()
    assert await store.recent("new") == await store.find("new") is not None
    assert await store.recent("old") is None
    assert await store.recent("unnamed") is None
    now.time += 2
    assert await store.recent("new") is None
    await store.close()


async def test_a_new_call_costs_nothing(sqlite: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that was never here is not looked up."""
    monkeypatch.setattr(Database, "read", None)
    assert await sqlite.recent("nobody") is None


async def test_calls_of_long_ago_are_not_remembered_for_ever(sqlite: SqlStore, now: Clock) -> None:
    """Ten thousand calls later those that may no longer go on take no memory."""
    for number in range(10_000):
        now.time += 60
        sqlite.write(call(f"call-{number}", last_at=now.time))
    assert len(sqlite._recent) <= 1001
    assert "call-9999" in sqlite._recent


# --- other processes ----------------------------------------------------------------------------------------------


async def test_a_turn_that_was_promised_outlives_sigkill(sqlite: SqlStore, file: Path) -> None:
    """A process that is killed as soon as its future is done leaves the turn in the database."""
    code = """
async def main():
    await store.start()
    await store.write(kept("promised", "call-1"))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    done = await asyncio.to_thread(run_child, file, code)
    assert done.returncode == -signal.SIGKILL
    assert await uids(sqlite) == ["promised"]


def test_a_turn_that_was_promised_outlives_the_only_process(file: Path) -> None:
    """A database whose only process was killed has its turns, with the call known as recent."""
    code = """
async def main():
    await store.start()
    found = await store.recent("call-1")
    print(len(found.turns) if found else 0)
    sys.stdout.flush()
    await asyncio.gather(*(store.write(kept(f"turn-{os.getpid()}-{n}", "call-1")) for n in range(20)))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    assert [run_child(file, code).stdout for _ in range(3)] == ["0\n", "20\n", "40\n"]


async def test_two_processes_write_at_once(sqlite: SqlStore, file: Path) -> None:
    """What two processes write at the same time is all kept."""
    code = """
async def main():
    await store.start()
    for n in range(50):
        await store.write(kept(f"theirs-{n}", "call-1"))
    await store.close()
asyncio.run(main())
"""
    other = asyncio.create_task(asyncio.to_thread(run_child, file, code))
    count = 0
    while not other.done() or not count:
        await sqlite.write(kept(f"ours-{count}"))
        count += 1
    assert (await other).stderr == ""
    assert len(await uids(sqlite)) == 50 + count


async def test_a_foreign_key_error_is_none_of_the_database(sqlite: SqlStore) -> None:
    """A refused change leaves the connection as it was: the next one needs no new file."""
    with pytest.raises(StoreError, match="TurnKept cannot be kept"):
        await sqlite.write(TurnKept(call=call(), turn=turn(call_id="another")))
    await sqlite.write(kept("turn-2", "next"))
    assert [item.call.id for item in await sqlite.calls()] == ["next"]
