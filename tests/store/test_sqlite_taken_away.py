"""A database that is deleted or replaced while it is open: what is promised is in the file that is really there."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from offhook.errors import StoreError
from offhook.store.backup import backup
from offhook.store.sqlite import Database
from tests.store.samples import call, kept

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.store.sql import SqlStore
    from tests.store.conftest import MakeSqlite

FILES = ("offhook.db", "offhook.db-wal", "offhook.db-shm")


def uids(file: Path) -> list[str]:
    """Give the turns that are in the file at the path, as a new connection sees them."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True)) as connection:
        return [uid for (uid,) in connection.execute("SELECT uid FROM turns ORDER BY id")]


def move(path: Path, target: Path) -> None:
    path.rename(target)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("gone", [FILES, FILES[:1], FILES[:2], FILES[::2]], ids=["all", "file", "file+wal", "file+shm"])
async def test_a_deleted_file_is_made_anew(sqlite: SqlStore, file: Path, gone: tuple[str, ...]) -> None:
    """After the database was deleted, with or without the files beside it, a change goes into a new one."""
    await sqlite.write(kept("lost"))
    for name in gone:
        (file.parent / name).unlink()
    await asyncio.gather(sqlite.write(kept("one")), sqlite.write(kept("two")))
    assert uids(file) == ["one", "two"]
    await sqlite.write(kept("three"))
    stored = await sqlite.find("call-1")
    assert stored is not None
    assert [turn.uid for turn in stored.turns] == ["one", "two", "three"]
    await sqlite.close()
    assert uids(file) == ["one", "two", "three"]


@pytest.mark.parametrize("gone", FILES[1:], ids=["wal", "shm"])
async def test_without_the_file_beside_it_nothing_is_lost(sqlite: SqlStore, file: Path, gone: str) -> None:
    """After a file beside the database was deleted, what was promised before and after is in the database."""
    await sqlite.write(kept("before"))
    (file.parent / gone).unlink()
    await sqlite.write(kept("after"))
    assert uids(file) == ["before", "after"]
    await sqlite.write(kept("later"))
    await sqlite.close()
    assert uids(file) == ["before", "after", "later"]


async def test_a_deleted_folder_is_made_anew(sqlite: SqlStore, file: Path) -> None:
    """After the whole folder was deleted a change goes into a new one."""
    await sqlite.write(kept("lost"))
    shutil.rmtree(file.parent)
    await sqlite.write(kept("kept"))
    assert uids(file) == ["kept"]


async def test_a_backup_that_was_put_in_its_place_is_used(sqlite: SqlStore, file: Path, tmp_path: Path) -> None:
    """After a backup was moved over the database, it goes on from there, and the old log does not spoil it."""
    await sqlite.write(kept("in the backup"))
    await asyncio.to_thread(backup, file, tmp_path / "backup.db")
    await sqlite.write(kept("after the backup", sent="word " * 10_000))
    move(tmp_path / "backup.db", file)
    await sqlite.write(kept("after it was put back"))
    assert uids(file) == ["in the backup", "after it was put back"]
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_an_old_log_that_somebody_reads_does_not_spoil_a_backup(
    make: MakeSqlite, file: Path, tmp_path: Path
) -> None:
    """A backup that was moved over the database is whole, also when another process still reads the old log."""
    store = make(lock_wait=0.05)
    await store.start()
    await store.write(kept("in the backup"))
    await asyncio.to_thread(backup, file, tmp_path / "backup.db")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM turns").fetchone() == (1,)
        await store.write(kept("after the backup", sent="word " * 10_000))
        move(tmp_path / "backup.db", file)
        await store.write(kept("after it was put back"))
        assert uids(file) == ["in the backup", "after it was put back"]
    await store.close()
    assert uids(file) == ["in the backup", "after it was put back"]


async def test_a_file_that_was_moved_away_has_what_it_had(sqlite: SqlStore, file: Path, tmp_path: Path) -> None:
    """After the database was moved it has all that was promised before, and a change goes into a new one."""
    await sqlite.write(kept("before"))
    move(file, tmp_path / "moved.db")
    await sqlite.write(kept("after"))
    assert uids(file) == ["after"]
    assert uids(tmp_path / "moved.db")[0] == "before"


def test_a_file_that_goes_away_within_the_transaction(file: Path) -> None:
    """A transaction whose file was deleted before its commit is done again in a new file."""
    database = Database(file)
    database.open()
    rounds: list[int] = []

    def work(connection: sqlite3.Connection) -> str:
        rounds.append(len(rounds))
        connection.execute("INSERT INTO calls (id, platform, begun_at, last_at, named) VALUES ('x', 'p', 0, 0, 1)")
        if len(rounds) == 1:
            for path in list(file.parent.iterdir()):
                path.unlink()
        return "done"

    assert database.transact(work) == "done"
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT id FROM calls").fetchall() == [("x",)]
    assert rounds == [0, 1]
    database.close()


def test_a_file_that_goes_away_every_time(file: Path) -> None:
    """A database that is deleted again and again gives StoreError instead of trying for ever."""
    database = Database(file)
    database.open()
    with pytest.raises(StoreError, match="again and again"):
        database.transact(lambda connection: file.unlink())
    assert database.commit([call()]) == [None]
    database.close()


async def test_a_place_that_cannot_be_written_any_more(sqlite: SqlStore, file: Path) -> None:
    """Where the folder is gone and cannot be made again a change gets StoreError, and is kept once it can."""
    shutil.rmtree(file.parent)
    file.parent.write_text("a file in its place")
    with pytest.raises(StoreError, match="cannot be used"):
        await sqlite.write(kept("refused"))
    file.parent.unlink()
    await sqlite.write(kept("kept"))
    assert uids(file) == ["kept"]


async def test_reading_while_the_file_is_gone(sqlite: SqlStore, file: Path) -> None:
    """A question finds no database where it was deleted, and makes none."""
    remove(file)
    with pytest.raises(StoreError, match="cannot be used"):
        await sqlite.find("call-1")
    assert "offhook.db" not in [path.name for path in file.parent.iterdir()]
