"""A SQLite file: opened and made, written in transactions, and checked that it is still where it was.

All of it blocks: it is called in threads, and in one of them only, but for ``read`` and ``interrupt``.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from offhook.errors import SetupError, StoreError, UnfitRecord
from offhook.store import sqlite_texts as sql
from offhook.store.rows import Rows, intent_of, intent_row, mended
from offhook.store.sqlite_open import bring_up_to_date, identity, make_file, present, store_error, write_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offhook.store.base import Change, Intent
    from offhook.store.sqlite_open import Identity

Result = TypeVar("Result")

# What of a batch is to blame, and not the database.
REFUSED = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
# How often a batch is written anew when its file is taken away meanwhile.
TRIES = 3


class Database:
    """The file at ``path`` and the one connection that writes to it.

    ``sync`` is "normal" (what is committed outlives the process) or "full" (also a power loss). ``lock_wait`` is how
    many seconds a writer of another process is waited for, ``most_pages`` the size that the file may have in pages.
    """

    def __init__(
        self, path: Path, *, sync: str = "normal", lock_wait: float = 1.0, most_pages: int | None = None
    ) -> None:
        self.path = path
        self._names: tuple[str, ...] = ()
        self._sync = sync
        self._lock_wait = lock_wait
        self._most_pages = most_pages
        self._connection: sqlite3.Connection | None = None
        self._files: tuple[Identity, ...] | None = None
        # Held while something is read: files that were taken away are let go of by all connections at once.
        self._reading = threading.Lock()
        # Whether the log still holds what was deleted.
        self.to_forget = False

    # --- opening and closing --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the file, made and brought up to date where needed.

        Raises StoreError when it cannot be reached or is damaged, SetupError when it cannot be made, or belongs to a
        newer version of this program or to another.
        """
        self.path = self.path.absolute()
        self._names = (str(self.path), *map(str, self._beside()))
        if self.path.is_dir():
            raise SetupError(
                f"The database {self.path} cannot be used: it is a directory. Name another with --store or --data-dir."
            )
        try:
            self._open()
        except StoreError as error:
            if self.path.exists():
                raise
            raise SetupError(f"{error} Name another with --store or --data-dir.") from None

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        try:
            for _ in range(TRIES):
                make_file(self.path)
                before = identity(self.path)
                connection = self._prepared()
                files = self._identities()
                if files is not None and files[0] == before:
                    self._connection, self._files = connection, files
                    return connection
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise store_error(self.path, error) from None
        raise self._taken_away()

    def _prepared(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            if bring_up_to_date(connection, self.path, self._lock_wait):
                write_ahead(connection, self._lock_wait)
                connection.execute("PRAGMA foreign_keys=ON")
                connection.execute("PRAGMA secure_delete=ON")
                connection.execute(f"PRAGMA synchronous={'FULL' if self._sync == 'full' else 'NORMAL'}")
                if self._most_pages is not None:
                    connection.execute(f"PRAGMA max_page_count={self._most_pages:d}")
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        return self._prepared()

    def _connect(self) -> sqlite3.Connection:
        # Not made when it is missing: SQLite would let everybody read it.
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=self._lock_wait,
        )

    def close(self) -> None:
        """Let go of the file; SQLite then puts all that was written into it."""
        if self.to_forget and self._connection is not None:
            with suppress(StoreError):
                self.forget()
        self._let_go()

    def _let_go(self) -> None:
        connection, files = self._connection, self._files
        self._connection = self._files = None
        if connection is None or files is None:
            return
        with self._reading:
            if self._identities() != files:
                # Where the file was moved to, or its log deleted alone, it still gets what was promised before.
                with suppress(sqlite3.Error):
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with suppress(sqlite3.Error):
                connection.close()
            if present(self.path) == files[0]:
                return
            # The log of a file that is gone would be played into the file that is there now.
            for file, was in zip(self._beside(), files[1:], strict=True):
                if present(file) == was:
                    with suppress(OSError):
                        file.unlink()

    # --- the files --------------------------------------------------------------------------------------------------

    def _beside(self) -> tuple[Path, Path]:
        return Path(f"{self.path}-wal"), Path(f"{self.path}-shm")

    def _identities(self) -> tuple[Identity, ...] | None:
        try:
            # At every commit, so as plain names: paths are slow to make.
            return tuple(map(identity, self._names))
        except OSError:
            return None

    def _was_taken_away(self) -> bool:
        """Tell whether one of the files is not the one that was opened: SQLite would go on writing into nothing."""
        return self._identities() != self._files

    def _taken_away(self) -> StoreError:
        return StoreError(f"The database {self.path} is taken away again and again while it is written.")

    # --- writing ----------------------------------------------------------------------------------------------------

    def transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do ``work`` in one transaction, and again in a new file when the file was taken away meanwhile.

        Raises StoreError when the database is to blame, and what ``work`` raises otherwise; then nothing was changed.
        """
        for _ in range(TRIES):
            connection = self._open()
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = work(connection)
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                if isinstance(error, REFUSED):
                    roll_back(connection)
                    raise
                taken_away = self._was_taken_away()
                self._let_go()
                if not taken_away:
                    raise store_error(self.path, error) from None
            except BaseException:
                roll_back(connection)
                raise
            else:
                if not self._was_taken_away():
                    return result
                self._let_go()
        raise self._taken_away()

    def commit(self, changes: Sequence[Change]) -> list[StoreError | None]:
        """Commit changes in one transaction; give for each of them None, or why it alone was not taken.

        Raises StoreError when the database is to blame; then none was taken.
        """
        try:
            rows = Rows(changes)
            self.transact(lambda connection: put(connection, rows))
            outcome: list[StoreError | None] = [None] * len(changes)
        except StoreError:
            raise
        except Exception:
            outcome = self.transact(lambda connection: [put_alone(connection, change) for change in changes])
        if self.to_forget:
            self.forget()
        return outcome

    def claim(self, intent: Intent) -> Intent | None:
        """Commit an intent unless there is one of its key; give that, or None."""
        row = intent_row(intent)

        def work(connection: sqlite3.Connection) -> Intent | None:
            if connection.execute(sql.ADD_INTENT, row).rowcount:
                return None
            return intent_of(connection.execute(sql.INTENT, row[:1]).fetchone())

        return self.transact(work)

    def change(self, text: str, *values: object) -> int:
        """Do one statement in a transaction of its own; give how many rows it changed."""
        return self.transact(lambda connection: connection.execute(text, values).rowcount)

    def delete(self, call_id: str) -> tuple[int, int]:
        """Delete a call with its turns and intents; give how many calls and how many intents that were."""

        def work(connection: sqlite3.Connection) -> tuple[int, int]:
            values = (call_id,)
            intents = connection.execute(sql.DELETE_INTENTS, values).rowcount
            return connection.execute(sql.DELETE_CALL, values).rowcount, intents

        return self.transact(work)

    def delete_some(self, query: str, *values: object) -> list[str]:
        """Delete the calls that ``query`` names, with their turns and intents; give their ids."""

        def work(connection: sqlite3.Connection) -> list[str]:
            ids = connection.execute(query, values).fetchall()
            connection.executemany(sql.DELETE_CALL, ids)
            connection.executemany(sql.DELETE_INTENTS, ids)
            return [id for (id,) in ids]

        return self.transact(work)

    def forget(self, *, wait: bool = False) -> None:
        """Empty the log, in which deleted rows still stand; while somebody reads from it, that is put off.

        With ``wait`` only after ``lock_wait``. Raises StoreError when the database is to blame.
        """
        self.to_forget = True
        (busy, *_) = self._outside("PRAGMA wal_checkpoint(TRUNCATE)", wait=wait)
        self.to_forget = bool(busy)

    def rewrite(self) -> None:
        """Write the whole file anew, without what deleted rows have left in it, and empty the log.

        With secure_delete SQLite wipes a row where it stands, but not the places where it stood before its page was
        split or joined with another. Raises StoreError when the database is to blame.
        """
        try:
            self._outside("VACUUM")
        finally:
            self.forget(wait=True)

    def _outside(self, text: str, *, wait: bool = True) -> tuple[Any, ...]:
        """Do what is not done within a transaction; without ``wait`` no lock is waited for."""
        connection = self._open()
        try:
            if wait:
                return tuple(connection.execute(text).fetchone() or ())
            connection.execute("PRAGMA busy_timeout=0")
            row = connection.execute(text).fetchone()
            connection.execute(f"PRAGMA busy_timeout={round(self._lock_wait * 1000)}")
            return tuple(row or ())
        except sqlite3.Error as error:
            self._let_go()
            raise store_error(self.path, error) from None

    # --- from other threads -----------------------------------------------------------------------------------------

    def read(self, ask: Callable[[sqlite3.Connection], Result]) -> Result:
        """Give what ``ask`` reads, all of it from one moment. Raises StoreError when the database is to blame."""
        try:
            with self._reading, closing(self._connect()) as connection:
                connection.execute("BEGIN")
                return ask(connection)
        except sqlite3.Error as error:
            raise store_error(self.path, error) from None

    def interrupt(self) -> None:
        """Make what the writer is doing fail, as far as SQLite can."""
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.interrupt()


def put(connection: sqlite3.Connection, rows: Rows) -> None:
    """Write the rows of changes."""
    for text, some in (
        (sql.PUT_CALL, rows.calls),
        (sql.ADD_TURN, rows.turns),
        (sql.ADD_EVENT, rows.events),
        (sql.SET_HEARD, rows.heard),
        (sql.TELL_CALL, rows.told),
        (sql.PUT_SPOKEN, rows.spoken),
        (sql.END_INTENT, rows.ended),
    ):
        if some:
            connection.executemany(text, some)


def put_alone(connection: sqlite3.Connection, change: Change) -> StoreError | None:
    """Write one change of a batch that was refused as a whole; give why, where it is the one to blame."""
    connection.execute("SAVEPOINT alone")
    problem = None
    try:
        put(connection, mended(change))
    except Exception as error:
        if isinstance(error, sqlite3.Error) and not isinstance(error, REFUSED):
            raise
        connection.execute("ROLLBACK TO alone")
        problem = UnfitRecord(f"A {type(change).__name__} cannot be kept: {error}")
    connection.execute("RELEASE alone")
    return problem


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo what was begun."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
