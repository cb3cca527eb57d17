"""A copy of a database that is in use."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from offhook.errors import StoreError
from offhook.store.sqlite_open import store_error

if TYPE_CHECKING:
    from pathlib import Path

# How many pages are copied before other processes are let in, if they have to be.
PAGES = 1000


def backup(path: Path, target: Path) -> None:
    """Copy the database at ``path``, as it is at one moment, to a new file that only its owner can read; it blocks.

    Raises StoreError when ``target`` exists, or one of the two cannot be used.
    """
    source = path.absolute()
    try:
        if not source.is_file():
            raise StoreError(f"There is no database {source}.")
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise StoreError(f"{target} exists already; a backup never writes over a file.") from None
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}.") from None
    try:
        _copy(source, target.absolute())
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise store_error(source, error) from None


def _copy(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        # One moment: while it reads, what others write goes to the log and does not begin the copy anew.
        old.execute("BEGIN")
        old.execute("SELECT 1 FROM sqlite_master").fetchone()
        old.backup(new, pages=PAGES)
        # A backup is one file: it has no log beside it that could be left behind.
        new.execute("PRAGMA journal_mode=DELETE")
