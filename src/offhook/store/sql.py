"""Records in a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from offhook.errors import StoreError
from offhook.store import sqlite_texts as sql
from offhook.store.base import CallRecord, TurnKept
from offhook.store.reader import Reader
from offhook.store.rows import call_id as clean
from offhook.store.rows import stored_call, summary_of
from offhook.store.sqlite import Database
from offhook.store.writer import Writer

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from offhook.store.base import CallSummary, Change, Intent, StoredCall

Result = TypeVar("Result")

# How many calls are deleted in one transaction: the turns of calls that go on wait that long.
CHUNK = 50
# The same for intents that are old.
MANY = 500


class SqlStore:
    """Records in the SQLite file at ``path``, which other processes may have open as well.

    ``now`` gives the time, ``recent_for`` is how many seconds after its last change a call may go on. ``sync``,
    ``lock_wait`` and ``most_pages`` are as in ``Database``, ``close_wait`` as in ``Writer``.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float],
        sync: str = "normal",
        recent_for: float = 3600.0,
        lock_wait: float = 1.0,
        close_wait: float = 5.0,
        most_pages: int | None = None,
    ) -> None:
        self._database = Database(path, sync=sync, lock_wait=lock_wait, most_pages=most_pages)
        self._writer = Writer(self._database, close_wait=close_wait)
        self._now = now
        self._recent_for = recent_for
        self._reader = Reader()
        self._left_over = False
        # When each call that may go on was last active; those that no longer may are dropped now and then.
        self._recent: dict[str, float] = {}
        self._most_recent = 1000

    async def start(self) -> None:
        """Open the file, made and brought up to date where needed, and read which calls may go on.

        Raises StoreError when it cannot be reached or is damaged, SetupError when it belongs to a newer version of
        this program or to another.
        """
        await self._writer.start()
        self._reader.start()
        since = self._now() - self._recent_for
        try:
            rows = await self._read(lambda connection: connection.execute(sql.RECENT, (since,)).fetchall())
        except BaseException:
            await self.close()
            raise
        self._recent = dict(rows)

    async def close(self) -> None:
        """Commit what was written, within a few seconds, and let go."""
        await self._writer.close()
        self._reader.close()

    def write(self, change: Change) -> asyncio.Future[None]:
        """Take a change; the future is done when it is committed, or holds StoreError."""
        call = change.call if isinstance(change, TurnKept) else change
        if isinstance(call, CallRecord) and call.named:
            self._note(call)
        return self._writer.write(change)

    def _note(self, call: CallRecord) -> None:
        self._recent[clean(call.id)] = call.last_at
        if len(self._recent) > self._most_recent:
            since = self._now() - self._recent_for
            self._recent = {id: last_at for id, last_at in self._recent.items() if last_at >= since}
            self._most_recent = max(1000, 2 * len(self._recent))

    async def claim(self, intent: Intent) -> Intent | None:
        """Commit an intent unless there is one of its key; give that, and None when this one was committed."""
        return await self._writer.do(lambda: self._database.claim(intent))

    async def unclaim(self, key: str) -> None:
        """Forget an intent whose side effect has not begun and never will; one that has ended stays."""
        await self._writer.do(lambda: self._database.change(sql.UNCLAIM, key))

    async def find(self, call_id: str) -> StoredCall | None:
        """Give a call and its turns; None when it is not here."""
        values = (clean(call_id),)

        def ask(connection: sqlite3.Connection) -> StoredCall | None:
            call = connection.execute(sql.CALL, values).fetchone()
            if call is None:
                return None
            turns = connection.execute(sql.TURNS, values).fetchall()
            spoken = connection.execute(sql.SPOKEN, values).fetchall()
            return stored_call(call, turns, connection.execute(sql.EVENTS, values), spoken)

        return await self._read(ask)

    async def recent(self, call_id: str) -> StoredCall | None:
        """Give a call that may go on after a restart, as ``find`` does; costs nothing for a call that is new."""
        last_at = self._recent.get(clean(call_id))
        if last_at is None or last_at < self._now() - self._recent_for:
            return None
        return await self.find(call_id)

    async def calls(self, *, limit: int = 50, since: float | None = None) -> list[CallSummary]:
        """Give the calls that were last active after ``since``, the newest first."""
        values = (float("-inf") if since is None else since, max(limit, 0))
        rows = await self._read(lambda connection: connection.execute(sql.CALLS, values).fetchall())
        return [summary_of(row) for row in rows]

    async def delete(self, call_id: str) -> int:
        """Delete a call and all that belongs to it, and wipe what it left; give how many that were (0 or 1).

        The file is written anew, which takes a second for some 100 MB; what is written meanwhile waits. Where that
        cannot be done the call is deleted all the same, see ``wiped``.
        """
        id = clean(call_id)
        calls, intents = await self._writer.do(lambda: self._database.delete(id))
        if calls or intents:
            await self._wipe()
        return calls

    async def delete_number(self, mark: str) -> list[str]:
        """Delete the calls of a number by its mark, caller or callee, as ``delete`` does; give their ids."""
        ids = await self._delete_all(sql.OF_NUMBER, mark, mark)
        if ids:
            await self._wipe()
        return ids

    async def _wipe(self) -> None:
        try:
            await self._writer.do(self._database.rewrite)
        except StoreError:
            self._left_over = True
        else:
            self._left_over = False

    @property
    def wiped(self) -> bool:
        """Tell whether the words of what was deleted are gone: the file may not have been free for that."""
        return not (self._left_over or self._database.to_forget)

    async def purge(self, before: float) -> int:
        """Delete the calls that were last active before then, and the intents from before; give how many calls.

        What is written meanwhile hardly waits. For that traces of their words may stay in unused parts of the file
        until these are used again.
        """
        ids = await self._delete_all(sql.OLD, before)
        intents = 0
        while some := await self._writer.do(lambda: self._database.change(sql.DELETE_OLD_INTENTS, before, MANY)):
            intents += some
        if ids or intents:
            await self._writer.do(self._database.forget)
        return len(ids)

    async def _delete_all(self, query: str, *values: object) -> list[str]:
        """Delete the calls that ``query`` names, a few at a time: what is written meanwhile comes in between."""
        ids: list[str] = []
        while some := await self._writer.do(lambda: self._database.delete_some(query, *values, CHUNK)):
            ids += some
        return ids

    async def _read(self, ask: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._reader.do(lambda: self._database.read(ask))
