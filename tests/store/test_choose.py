"""Stores by name, telephone numbers, backups, and the bounds of the store in memory."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from offhook.errors import SetupError, StoreError
from offhook.store.backup import backup
from offhook.store.base import Heard
from offhook.store.choose import database_path, make_store
from offhook.store.memory import MemoryStore
from offhook.store.sql import SqlStore
from tests.store.samples import NOW, call, kept

if TYPE_CHECKING:
    from offhook.store.base import Store


def made(name: str) -> Store | None:
    return make_store(name, data_dir=Path("data"), now=lambda: NOW)


def test_stores_have_names() -> None:
    """Each name gives its store, and "none" gives none."""
    assert isinstance(made("sqlite"), SqlStore)
    assert isinstance(made("sqlite:///file.db"), SqlStore)
    assert isinstance(made("memory"), MemoryStore)
    assert made("none") is None


def test_databases_have_paths() -> None:
    """The file of a SQLite store is in the data directory, or where its URL says."""
    names = ("sqlite", "sqlite:///a/b.db", "sqlite:////a/b.db", "memory", "none", "sqlite://", "sqlite:///", "x.db")
    paths = [database_path(name, Path("data")) for name in names]
    assert paths == [Path("data/offhook.db"), Path("a/b.db"), Path("/a/b.db"), *[None] * 5]


@pytest.mark.parametrize("name", ["", "mysql", "sqlite:", "sqlite://", "sqlite:///", "sqlite:///a?mode=ro", "SQLITE"])
def test_an_unknown_store_is_refused(name: str) -> None:
    """Any other name raises SetupError, which says what there is."""
    with pytest.raises(SetupError, match=r"Give sqlite .* memory .* or none"):
        made(name)


def test_choosing_is_light() -> None:
    """Neither choosing nor a store loads SQLAlchemy, and memory not even SQLite."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom offhook.store.choose import make_store\n"
        "make_store(sys.argv[1], data_dir=Path('.'), now=float)\n"
        "print(*sorted(name for name in ('alembic', 'sqlalchemy', 'sqlite3') if name in sys.modules))"
    )
    for name, loaded in (("none", ""), ("memory", ""), ("sqlite", "sqlite3")):
        run = [sys.executable, "-c", script, name]
        done = subprocess.run(run, capture_output=True, text=True, timeout=25, check=True)
        assert done.stdout.strip() == loaded


# --- backups ------------------------------------------------------------------------------------------------------


async def test_a_backup_of_a_live_database(sqlite: SqlStore, file: Path, tmp_path: Path) -> None:
    """A backup of a database in use is one file, its owner's alone, and holds what was committed."""
    await asyncio.gather(*(sqlite.write(kept(f"turn-{number}", sent="word " * 500)) for number in range(100)))
    target = tmp_path / "backup.db"
    await asyncio.to_thread(backup, file, target)
    await sqlite.write(kept("later"))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("SELECT count(*) FROM turns").fetchone() == (100,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert sorted(os.listdir(tmp_path)) == ["backup.db", "data"]
    copy = SqlStore(target, now=lambda: NOW)
    await copy.start()
    assert await copy.find("call-1") is not None
    await copy.close()


async def test_a_backup_writes_over_nothing(sqlite: SqlStore, file: Path, tmp_path: Path) -> None:
    """A target that exists is left alone."""
    await sqlite.write(kept())
    target = tmp_path / "backup.db"
    target.write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        await asyncio.to_thread(backup, file, target)
    assert target.read_text() == "mine"


def test_a_backup_of_nothing(tmp_path: Path) -> None:
    """Where there is no database, or a broken one, there is an error and no backup."""
    source, target = tmp_path / "offhook.db", tmp_path / "backup.db"
    with pytest.raises(StoreError, match="There is no database"):
        backup(source, target)
    source.write_bytes(b"no database " * 1000)
    with pytest.raises(StoreError, match="is damaged"):
        backup(source, target)
    with pytest.raises(StoreError, match="cannot be written"):
        backup(source, tmp_path / "no folder" / "backup.db")
    assert not target.exists()


# --- memory -------------------------------------------------------------------------------------------------------


async def test_memory_is_bounded() -> None:
    """Of more calls than it may hold, the store in memory forgets those that were changed longest ago."""
    store = MemoryStore(most_calls=3)
    await store.start()
    for number in range(3):
        await store.write(kept(f"turn-{number}", f"call-{number}"))
    await store.write(call("call-0", last_at=NOW + 1))
    await store.write(kept("turn-3", "call-3"))
    assert sorted(item.call.id for item in await store.calls()) == ["call-0", "call-2", "call-3"]
    await store.write(Heard(uid="turn-1", heard=1))
    assert await store.find("call-1") is None
    await store.close()
