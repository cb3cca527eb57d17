"""A clock that does not wait."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 10.0


class JumpClock:
    """A clock that stands still until ``advance`` is called, from any thread; sleepers wake when their time comes.

    Timers (``call_later``) and sleepers are counted apart.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._start = now
        self._passed = 0.0
        self._ids = itertools.count(1)
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._timers: dict[_JumpTimer, asyncio.AbstractEventLoop] = {}
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

    def call_later(self, seconds: float, callback: Callable[[], None]) -> _JumpTimer:
        timer = _JumpTimer(self._forget, self._passed + max(0.0, seconds), next(self._order), callback)
        with self._changed:
            self._timers[timer] = asyncio.get_running_loop()
            self._changed.notify_all()
        return timer

    def _forget(self, timer: _JumpTimer) -> None:
        with self._changed:
            self._timers.pop(timer, None)

    def wait_for_timers(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Return when so many timers wait. Raises TimeoutError after ``timeout`` real seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._timers) >= count, timeout):
                raise TimeoutError(f"{len(self._timers)} timers wait on the clock, not {count}")

    def wait_for_sleepers(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Return when so many tasks sleep. Raises TimeoutError after ``timeout`` real seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._sleepers) >= count, timeout):
                raise TimeoutError(f"{len(self._sleepers)} tasks sleep on the clock, not {count}")

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, wake those and call the timers whose time has come."""
        with self._changed:
            self._passed += seconds
            timers = [timer for timer in self._timers if timer.due <= self._passed]
            loops = [self._timers.pop(timer) for timer in timers]
            due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._passed]
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self._passed]
            heapq.heapify(self._sleepers)
        for _, _, loop, future in sorted(due, key=lambda sleeper: sleeper[:2]):
            loop.call_soon_threadsafe(_wake, future)
        for timer, loop in sorted(zip(timers, loops, strict=True), key=lambda pair: (pair[0].due, pair[0].number)):
            loop.call_soon_threadsafe(timer.ring)


class _JumpTimer:
    """A callback that waits for the clock to be advanced."""

    def __init__(
        self, forget: Callable[[_JumpTimer], None], due: float, number: int, callback: Callable[[], None]
    ) -> None:
        self.due = due
        self.number = number
        self._forget = forget
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None
        self._forget(self)

    def ring(self) -> None:
        if self._callback is not None:
            self._callback()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
