"""A clock that does not wait."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading

PATIENCE = 10.0


class JumpClock:
    """A clock that stands still until ``advance`` is called, from any thread; sleepers wake when their time comes."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._start = now
        self._passed = 0.0
        self._ids = itertools.count(1)
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._changed = threading.Condition()

    def now(self) -> float:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._ids):024d}"

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._changed:
            heapq.heappush(self._sleepers, (self._passed + max(0.0, seconds), next(self._order), loop, future))
            self._changed.notify_all()
        try:
            await future
        finally:
            with self._changed:
                self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[3] is not future]
                heapq.heapify(self._sleepers)

    def wait_for_sleepers(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Return when so many tasks sleep. Raises TimeoutError after ``timeout`` real seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._sleepers) >= count, timeout):
                raise TimeoutError(f"{len(self._sleepers)} tasks sleep on the clock, not {count}")

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass and wake those whose time has come."""
        with self._changed:
            self._passed += seconds
            due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._passed]
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self._passed]
            heapq.heapify(self._sleepers)
        for _, _, loop, future in sorted(due, key=lambda sleeper: sleeper[:2]):
            loop.call_soon_threadsafe(_wake, future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
