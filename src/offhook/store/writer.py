"""The one thread that writes: it takes all that waits, commits it at once, and says so in the loop with one call."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from offhook.errors import OffhookError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from offhook.store.base import Change

Result = TypeVar("Result")

# How many changes are committed at once.
MOST_AT_ONCE = 256
# How many may wait: a database that is locked for long must not fill the memory.
MOST_WAITING = 20_000

CLOSED = "The store is closed."


class Target(Protocol):
    """What is written to; all of it is called in the writer's thread, but for ``interrupt``."""

    def open(self) -> None:
        """Make it ready. Raises an error of ours when it cannot be."""

    def commit(self, changes: Sequence[Change]) -> list[StoreError | None]:
        """Commit changes; give for each of them None, or why it alone was not taken. Raises StoreError for all."""

    def close(self) -> None:
        """Let go of it."""

    def interrupt(self) -> None:
        """Make what is being done fail, as far as possible."""


class Writing(NamedTuple):
    """A change that waits, and who waits for it."""

    future: asyncio.Future[Any]
    change: Change


class Doing(NamedTuple):
    """Something else that waits for its turn in the thread, such as a deletion."""

    future: asyncio.Future[Any]
    job: Callable[[], Any]


class Done(NamedTuple):
    """What became of a change or a job."""

    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Writer:
    """Gives changes to a database, and runs jobs, in the order in which they came, in a thread of its own.

    Everything but the thread's own part is called in one event loop. ``close_wait`` is how many seconds what waits may
    take when it is closed.
    """

    def __init__(self, database: Target, *, close_wait: float = 5.0) -> None:
        self._database = database
        self._close_wait = close_wait
        self._items: queue.SimpleQueue[Writing | Doing | None] = queue.SimpleQueue()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[None] | None = None
        self._given_up = False

    # --- in the loop ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the database in the thread. Raises what that raises."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._ended = self._loop.create_future()
        self._items = queue.SimpleQueue()
        self._given_up = False
        self._thread = threading.Thread(target=self._run, args=(opened,), name="offhook store", daemon=True)
        self._thread.start()
        try:
            await opened
        except BaseException:
            self._thread = None
            self._items.put(None)
            raise

    def write(self, change: Change) -> asyncio.Future[None]:
        """Take a change; the future is done when it is committed, or holds StoreError."""
        future = self._new()
        if not future.done():
            self._items.put(Writing(future, change))
        return future

    async def do(self, job: Callable[[], Result]) -> Result:
        """Run ``job`` in the thread, after the changes that came before it. Raises StoreError, or what it raises."""
        future = self._new()
        if not future.done():
            self._items.put(Doing(future, job))
        result: Result = await future
        return result

    def _new(self) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = (self._loop or asyncio.get_running_loop()).create_future()
        if self._thread is None:
            refuse(future, CLOSED)
        elif len(self._waiting) >= MOST_WAITING:
            refuse(future, f"{MOST_WAITING} changes wait for the database already.")
        else:
            self._waiting.add(future)
        return future

    async def close(self) -> None:
        """Let the thread commit what waits, for a limited time, and end; the rest gets StoreError."""
        thread, self._thread = self._thread, None
        if thread is None or self._ended is None:
            return
        self._items.put(None)
        done, _ = await asyncio.wait([self._ended], timeout=self._close_wait)
        if not done:
            self._given_up = True
            self._database.interrupt()
            for future in self._waiting:
                refuse(future, CLOSED)
            self._waiting.clear()
        await asyncio.to_thread(thread.join, 1)

    def _resolve(self, outcomes: Iterable[Done]) -> None:
        for future, result, error in outcomes:
            self._waiting.discard(future)
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                fail(future, error)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _run(self, opened: asyncio.Future[None]) -> None:
        try:
            self._database.open()
        except Exception as error:
            self._tell([Done(opened, error=error)])
        else:
            self._tell([Done(opened)])
            while self._work(self._take()):
                pass
            self._database.close()
        if self._ended is not None:
            self._tell([Done(self._ended)])

    def _take(self) -> list[Writing | Doing | None]:
        items = [self._items.get()]
        with suppress(queue.Empty):
            while len(items) < MOST_AT_ONCE and items[-1] is not None:
                items.append(self._items.get_nowait())
        return items

    def _work(self, items: list[Writing | Doing | None]) -> bool:
        """Do what was taken; False when it was the last."""
        batch: list[Writing] = []
        for item in items:
            if isinstance(item, Writing):
                batch.append(item)
                continue
            self._commit(batch)
            batch = []
            if item is None:
                return False
            self._do(item)
        self._commit(batch)
        return True

    def _commit(self, batch: list[Writing]) -> None:
        if not batch or self._given_up:
            return
        try:
            outcome = self._database.commit([item.change for item in batch])
        except Exception as error:
            problem = store_error(error)
            self._tell([Done(item.future, error=problem) for item in batch])
        else:
            self._tell([Done(item.future, error=error) for item, error in zip(batch, outcome, strict=True)])

    def _do(self, item: Doing) -> None:
        if self._given_up:
            return
        try:
            done = Done(item.future, result=item.job())
        except Exception as error:
            done = Done(item.future, error=store_error(error))
        self._tell([done])

    def _tell(self, outcomes: list[Done]) -> None:
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._resolve, outcomes)


def store_error(error: Exception) -> Exception:
    """Give an error of ours as it is, and a StoreError for any other."""
    return error if isinstance(error, OffhookError) else StoreError(f"The store failed: {error!r}")


def refuse(future: asyncio.Future[Any], why: str) -> None:
    """Let a future hold a StoreError, unless it is done."""
    if not future.done():
        fail(future, StoreError(why))


def fail(future: asyncio.Future[Any], error: Exception) -> None:
    """Let a future hold an error that nobody has to look at: what waits for a change may have gone on without."""
    future.set_exception(error)
    future.exception()
