"""Carries records to the store, and says when one is safe: committed, or in the spool while the store is away.

The end of a reply waits for this, for ``wait`` seconds at most; nothing in front of it ever does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from offhook.errors import OffhookError, StoreError, UnfitRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from offhook.clock import Clock
    from offhook.store.base import Change, Intent, Store
    from offhook.turns.spool import Spool

log = logging.getLogger("offhook.turns")

# Seconds between two looks whether the store is back.
_LOOK_AGAIN = 0.5
# So many changes that neither store nor spool took are held in memory, in case that the store comes back.
_MOST_UNKEPT = 1000
# Seconds between two purges.
_PURGE_EVERY = 3600.0
# Seconds that the spool has to take a record, before the reply ends without: its disk hangs.
_SPOOL_WAIT = 1.0
# Seconds that a store which was away has to take what waits, before the server ends without that.
_LAST_LOOK = 3.0


class _Pending:
    """A change on its way: until when it is waited for, and who is told."""

    __slots__ = ("change", "deadline", "done", "over")

    def __init__(self, change: Change, deadline: float, done: Callable[[], None] | None) -> None:
        self.change = change
        self.deadline = deadline
        self.done = done
        self.over = False


class Journal:
    """Keeps changes in ``store``, and in ``spool``, where there is one, while that is away.

    ``wait`` is in seconds. ``keep_for`` is how many seconds after its last turn a call is deleted, 0 for never.
    ``degraded`` tells that the store is away. ``lost`` counts the changes that were safe nowhere when their reply
    ended, ``rescued`` those of them that the store took later all the same.
    """

    def __init__(
        self, store: Store, spool: Spool | None, clock: Clock, *, wait: float = 0.05, keep_for: float = 0.0
    ) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self._wait = wait
        self._keep_for = keep_for
        self._purge_at = float("-inf")
        self._waiting: deque[_Pending] = deque()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._healer: asyncio.Task[None] | None = None
        self._unkept: deque[Change] = deque(maxlen=_MOST_UNKEPT)
        self._probe: Change | None = None
        # How many changes are being put into the spool.
        self._on_the_way = 0
        self._opened = False
        self._skipped = 0
        self._closed = False
        self.degraded = False
        self.lost = 0
        self.rescued = 0

    async def start(self) -> None:
        """Open the store, and take up what an earlier process left in the spool.

        A store that is away is not waited for: the line goes on without. Raises SetupError when there can never be one.
        """
        try:
            await self._open()
        except StoreError as error:
            self._away(error)
        if self._spool is None:
            return
        await self._spool.start()
        if self._spool.problem:
            log.warning("the spool takes less than it should: %(problem)s", {"problem": self._spool.problem})
        if self.degraded:
            return
        try:
            taken = await self._spool.drain(self._write)
            self._tell_of_skipped()
        except StoreError as error:
            self._away(error)
        else:
            if taken:
                log.info("records that waited in the spool and are in the store now: %(records)d", {"records": taken})
            if self._spool.pending:
                self._away(StoreError("the store did not take what waited in the spool"))

    async def _open(self) -> None:
        if not self._opened:
            await self._store.start()
            self._opened = True

    def keep(self, change: Change, done: Callable[[], None] | None = None) -> None:
        """Keep a change; ``done`` is called in the event loop when it is safe, or cannot be made so."""
        pending = _Pending(change, self._clock.monotonic() + self._wait, done)
        if self.degraded:
            self._send_to_spool(pending)
            return
        self._purge_now_and_then()
        future = self._store.write(change)
        if future.done():
            self._written(pending, future)
            return
        future.add_done_callback(partial(self._written, pending))
        self._waiting.append(pending)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().create_task(self._watch(), name="journal")
        self._wake.set()

    @property
    def lag(self) -> float:
        """How many seconds the oldest change has waited that is not safe yet."""
        oldest = next((pending for pending in self._waiting if not pending.over), None)
        return 0.0 if oldest is None else max(0.0, self._clock.monotonic() - oldest.deadline + self._wait)

    @property
    def spooled(self) -> int:
        """How many changes wait in the spool."""
        return 0 if self._spool is None else self._spool.pending

    async def claim(self, intent: Intent) -> Intent | None:
        """Commit an intent to the store unless there is one of its key; give that, or None.

        Never to the spool, which cannot tell what is claimed. Raises StoreError while the store is away.
        """
        return await self._store.claim(intent)

    async def unclaim(self, key: str) -> None:
        """Let the store forget an intent whose side effect has not begun. Raises StoreError while it is away.

        Not by way of the spool: done twice, the second time might forget one that was claimed in between.
        """
        await self._store.unclaim(key)

    async def close(self) -> None:
        """Return when everything that was given is safe, or cannot be made so."""
        self._closed = True
        for task in (self._timer, self._healer):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self.degraded:
            # It may be back already; what waits would stand in the spool until another server starts, or be lost.
            with contextlib.suppress(OffhookError, TimeoutError):
                async with asyncio.timeout(_LAST_LOOK):
                    await self._catch_up()
        # What the store has not committed by its end comes back as an error, and goes to the spool.
        await self._store.close()
        # Its answers are told in the loop's next step; what it never answered is not safe there.
        await asyncio.sleep(0)
        for pending in self._waiting:
            if not pending.over:
                self._away(StoreError("the store was closed before it took a record"))
                self._send_to_spool(pending)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._spool is not None:
            await self._spool.close()
        if self.lost > self.rescued:
            said = {"records": self.lost - self.rescued}
            log.error("lost records: %(records)d; neither the store nor the spool took them", said)

    def _written(self, pending: _Pending, future: asyncio.Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        if pending.over:
            return
        if error is None and not future.cancelled():
            self._settle(pending)
            return
        if isinstance(error, UnfitRecord):
            self._unfit(error)
            self._settle(pending)
            return
        self._away(error or StoreError("the write was given up"), pending.change)
        self._send_to_spool(pending)

    def _unfit(self, error: UnfitRecord) -> None:
        self.lost += 1
        log.error("a record is lost: %(error)s", {"error": error})

    async def _watch(self) -> None:
        """Send to the spool what the store does not commit in time."""
        while True:
            while self._waiting and self._waiting[0].over:
                self._waiting.popleft()
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            pending = self._waiting[0]
            rest = pending.deadline - self._clock.monotonic()
            if rest > 0:
                await self._clock.sleep(rest)
                continue
            self._away(StoreError(f"no commit within {self._wait:.3f} s"), pending.change)
            self._send_to_spool(pending)

    def _send_to_spool(self, pending: _Pending) -> None:
        pending.over = True
        self._on_the_way += 1
        self._spawn(self._to_spool(pending))

    async def _to_spool(self, pending: _Pending) -> None:
        try:
            if self._spool is None:
                raise StoreError("there is no spool")
            # Longer than the store has: turns that end together wait for each other, and behind this there is nothing.
            async with asyncio.timeout(_SPOOL_WAIT):
                await self._spool.put(pending.change)
        except (StoreError, TimeoutError) as error:
            self.lost += 1
            self._unkept.append(pending.change)
            why = str(error) or f"no answer within {_SPOOL_WAIT:.0f} s"
            said = {"problem": why}
            log.error("a record is lost for now: the store is away, and the spool does not take it (%(problem)s)", said)
        finally:
            self._on_the_way -= 1
        self._settle(pending)

    def _settle(self, pending: _Pending) -> None:
        pending.over = True
        if pending.done is not None:
            pending.done()

    def _away(self, error: BaseException, probe: Change | None = None) -> None:
        """Note that the store is away, and look for it from now on."""
        self._probe = probe or self._probe
        if self.degraded:
            return
        self.degraded = True
        log.error("the store is away, and records go to the spool: %(error)s", {"error": error})
        if not self._closed:
            self._healer = asyncio.get_running_loop().create_task(self._heal(), name="journal until the store is back")

    async def _heal(self) -> None:
        while self.degraded:
            await self._clock.sleep(_LOOK_AGAIN)
            # Also a SetupError: somebody may have put another program's file in its place, and take it away again.
            with contextlib.suppress(OffhookError):
                await self._catch_up()

    async def _catch_up(self) -> None:
        """Give the store what waits; raises what it raises while it is away."""
        await self._open()
        if self._probe is not None:
            await self._write(self._probe)
        taken = 0 if self._spool is None else await self._spool.drain(self._write)
        self._tell_of_skipped()
        while self._unkept:
            await self._write(self._unkept[0])
            self._unkept.popleft()
            self.rescued += 1
        # What reaches the spool after this look would stay there.
        if self._on_the_way == 0 and (self._spool is None or self._spool.pending == 0):
            self.degraded = False
            self._probe = None
            log.warning("the store is back; records from the spool: %(records)d", {"records": taken})

    def _tell_of_skipped(self) -> None:
        skipped = 0 if self._spool is None else self._spool.skipped
        if skipped > self._skipped:
            said = {"records": skipped - self._skipped}
            log.error("records in the spool that could not be read, and are lost: %(records)d", said)
            self.lost += skipped - self._skipped
            self._skipped = skipped

    async def _write(self, change: Change) -> None:
        try:
            await self._store.write(change)
        except UnfitRecord as error:
            # What can never be kept must not hold up what waits behind it.
            self._unfit(error)

    def _purge_now_and_then(self) -> None:
        now = self._clock.monotonic()
        if self._keep_for > 0 and now >= self._purge_at:
            self._purge_at = now + _PURGE_EVERY
            self._spawn(self._purge())

    async def _purge(self) -> None:
        try:
            count = await self._store.purge(self._clock.now() - self._keep_for)
        except OffhookError as error:
            log.warning("old calls could not be deleted: %(error)s", {"error": error})
        else:
            if count:
                log.info("calls deleted for their age: %(calls)d", {"calls": count})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
