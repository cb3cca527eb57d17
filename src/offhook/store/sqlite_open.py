"""A SQLite file before it is used: made where it is missing, known for ours, brought up to date."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from offhook.errors import SetupError, StoreError
from offhook.store import sqlite_texts as sql

if TYPE_CHECKING:
    from pathlib import Path

# The versions of the schema, oldest first, as in ``migrations/versions``; "" is that of a database taken back to none.
REVISIONS = ("", "0001", "0002", "0003")

DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

# How often a lock is looked at while SQLite does not wait for it.
LOOKS = 20


class Identity(NamedTuple):
    """What tells a file from another of the same name."""

    device: int
    inode: int


def identity(path: Path | str) -> Identity:
    """Give the identity of a file. Raises OSError when it is not there."""
    status = os.stat(path)
    return Identity(status.st_dev, status.st_ino)


def present(path: Path) -> Identity | None:
    """Give the identity of a file, None when it is not there."""
    try:
        return identity(path)
    except OSError:
        return None


def make_file(path: Path) -> None:
    """Make an empty file, and its folder, that only their owner can read, unless it is there. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Never opened when it is there: closing it would drop the locks that SQLite holds in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def bring_up_to_date(connection: sqlite3.Connection, path: Path, lock_wait: float) -> bool:
    """Make the schema what it has to be; False when that was done by another connection, so that this one is stale.

    Raises SetupError when the file belongs to a newer version of this program, or to another.
    """
    version = version_of(connection)
    if version == REVISIONS[-1]:
        return True
    if version in REVISIONS:
        connection.close()
        # Alembic takes long to load, and is needed once in the life of a database.
        from offhook.store.migrate import sqlite_url, upgrade

        upgrade(sqlite_url(path))
        return False
    if version is not None:
        raise SetupError(
            f"The database {path} was written by a newer version of offhook (schema {version}, and this one knows "
            f"{REVISIONS[-1]}). Install that version, or name another database with --store or --data-dir."
        )
    if is_empty(connection):
        write_ahead(connection, lock_wait)
        create(connection)
    # Made by another process at the same time, maybe; if not, it is somebody else's.
    elif version_of(connection) is None:
        raise SetupError(f"{path} is a database, but not one of offhook's. Name another with --store or --data-dir.")
    return True


def version_of(connection: sqlite3.Connection) -> str | None:
    """Give the version of the schema; None when the database has nothing that tells."""
    try:
        row = connection.execute(sql.VERSION).fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return None
    return str(row[0]) if row else ""


def is_empty(connection: sqlite3.Connection) -> bool:
    """Tell whether a database has no tables."""
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def create(connection: sqlite3.Connection) -> None:
    """Make the newest schema in an empty database, unless another process does it first."""
    connection.execute("BEGIN IMMEDIATE")
    if is_empty(connection):
        for text in sql.CREATE:
            connection.execute(text)
        connection.execute(sql.ADD_VERSION, (REVISIONS[-1],))
    connection.execute("COMMIT")


def write_ahead(connection: sqlite3.Connection, lock_wait: float) -> None:
    """Have changes written to a log first, so that readers and the writer do not wait for each other."""
    for last in (*[False] * (LOOKS - 1), True):
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            # SQLite does not wait here, where two processes open a new file at once.
            if last or error.sqlite_errorcode & 0xFF not in LOCKED:
                raise
            threading.Event().wait(lock_wait / LOOKS)
        else:
            break
    if mode != "wal":
        raise sqlite3.OperationalError(f"its file system has no shared memory for a write-ahead log (it stays {mode})")


def store_error(path: Path, error: sqlite3.Error | OSError) -> StoreError:
    """Give the StoreError for what SQLite or the system said."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in DAMAGED:
        return StoreError(
            f"The database {path} is damaged ({error}). Move it away with its -wal and -shm files, and put a backup "
            "in its place or let a new one be made."
        )
    said = error.strerror if isinstance(error, OSError) else str(error)
    return StoreError(f"The database {path} cannot be used: {said}.")
