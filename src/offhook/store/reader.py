"""The one thread that reads. It is a daemon: a read that hangs does not keep the process from ending."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from offhook.store.writer import CLOSED, Doing, Done, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class Reader:
    """Runs jobs in a thread of its own, in the order in which they came; used in one event loop."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Doing | None] = queue.SimpleQueue()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Take jobs from now on."""
        self._loop = asyncio.get_running_loop()
        self._items = queue.SimpleQueue()
        # Given both: a thread that hangs outlives the next start.
        given = (self._loop, self._items)
        threading.Thread(target=self._run, args=given, name="offhook store reader", daemon=True).start()

    async def do(self, job: Callable[[], Result]) -> Result:
        """Give what ``job`` gives. Raises StoreError when closed, also meanwhile, and what ``job`` raises."""
        loop = self._loop
        future: asyncio.Future[Result] = (loop or asyncio.get_running_loop()).create_future()
        if loop is None:
            refuse(future, CLOSED)
        else:
            self._waiting.add(future)
            self._items.put(Doing(future, job))
        return await future

    def close(self) -> None:
        """Take no more jobs; who still waits gets StoreError."""
        self._loop = None
        self._items.put(None)
        for future in self._waiting:
            refuse(future, CLOSED)
        self._waiting.clear()

    def _resolve(self, done: Done) -> None:
        self._waiting.discard(done.future)
        if done.future.done():
            return
        if done.error is None:
            done.future.set_result(done.result)
        else:
            done.future.set_exception(done.error)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _run(self, loop: asyncio.AbstractEventLoop, items: queue.SimpleQueue[Doing | None]) -> None:
        while (item := items.get()) is not None:
            if item.future.done():
                # Nobody waits any more.
                continue
            try:
                done = Done(item.future, result=item.job())
            except Exception as error:
                done = Done(item.future, error=error)
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._resolve, done)
