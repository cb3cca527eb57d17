"""The user's agent: a function from a ``Turn`` to strings and events.

It may be async or plain; it may return one value, return an iterable of values, or yield them. A plain function runs in
a pool of threads, one thread from its first line to its last, and is cancelled between its yields.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from offhook.agents.values import to_event
from offhook.errors import SetupError
from offhook.events import Finish
from offhook.tools.pool import DaemonPool

if TYPE_CHECKING:
    from offhook.agents.base import ReplyWriter
    from offhook.events import OpenCall, Turn

# After so many values without a pause the loop gets its turn, so that an agent that never awaits cannot hold it.
_BURST = 16
# How many values a plain function may be ahead of the client.
_AHEAD = 64


class FunctionAgent:
    """Runs a user's function. ``threads`` bounds how many plain functions run at once.

    Raises SetupError when the function does not take a turn alone.
    """

    def __init__(self, function: Callable[[Turn], Any], *, threads: int = 32) -> None:
        _check_signature(function)
        self._function = function
        self._threads = threads
        self._pool: DaemonPool | None = None
        self._on_call_start = _beside(function, "on_call_start")
        self._on_call_end = _beside(function, "on_call_end")

    @property
    def attends(self) -> bool:
        return self._on_call_start is not None or self._on_call_end is not None

    async def call_started(self, call: OpenCall) -> None:
        await self._tell(self._on_call_start, call)

    async def call_ended(self, call: OpenCall) -> None:
        await self._tell(self._on_call_end, call)

    async def _tell(self, function: Callable[[OpenCall], Any] | None, call: OpenCall) -> None:
        if function is None:
            return
        if inspect.iscoroutinefunction(function) or _async_call(function):
            await function(call)
            return
        made = await self._run_alone(function, call)
        if inspect.isawaitable(made):
            # A plain function that hands on a coroutine of an async one.
            await made

    async def _run_alone(self, function: Callable[[OpenCall], Any], call: OpenCall) -> Any:
        """Give what a plain function gives, run in a thread."""
        assert self._pool is not None, "FunctionAgent.start() was not awaited"
        loop = asyncio.get_running_loop()
        over: asyncio.Future[Any] = loop.create_future()

        def run() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = function(call)
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # The loop has been closed: nobody waits any more.
                loop.call_soon_threadsafe(_settle, over, result, error)

        self._pool.submit(run)
        return await over

    async def start(self) -> None:
        self._pool = DaemonPool(self._threads, "offhook-agent")

    async def close(self) -> None:
        if self._pool is not None:
            # A thread cannot be killed: it ends at its next yield, and is not waited for.
            self._pool.close()

    async def answer(self, turn: Turn, reply: ReplyWriter) -> None:
        function = self._function
        if inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function) or _async_call(function):
            result = function(turn)
            if inspect.isawaitable(result):
                result = await result
            await self._write(turn, result, _Pen(reply))
        else:
            await self._run_in_thread(turn, _Pen(reply))

    async def _write(self, turn: Turn, result: Any, pen: _Pen) -> None:
        if isinstance(result, AsyncIterable):
            await _write_async(result, pen)
        elif isinstance(result, Iterator):
            await self._run_in_thread(turn, pen, result)
        else:
            for value in _values(result):
                if not await pen.write(value):
                    break

    async def _run_in_thread(self, turn: Turn, pen: _Pen, values: Iterator[Any] | None = None) -> None:
        assert self._pool is not None, "FunctionAgent.start() was not awaited"
        bridge = _ThreadBridge(self._function, turn, values)
        self._pool.submit(bridge.run)
        try:
            async for value in bridge:
                if isinstance(value, AsyncIterable) or inspect.isawaitable(value):
                    # A plain function that hands on a coroutine or stream of an async one.
                    made = await value if inspect.isawaitable(value) else value
                    await self._write(turn, made, pen)
                elif not await pen.write(value):
                    break
        finally:
            bridge.cancel()


def _beside(function: Callable[..., Any], name: str) -> Callable[[OpenCall], Any] | None:
    """Give the function of that name on the agent, or beside it in its module; None when there is none."""
    found = getattr(function, name, None)
    # A decorator may come from another module.
    own = inspect.unwrap(function)
    if found is None and inspect.isfunction(own) and own.__qualname__ == own.__name__:
        found = own.__globals__.get(name)
    return found if callable(found) else None


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        future.set_exception(error)
    else:
        future.set_exception(RuntimeError(f"it raised {type(error).__name__}"))


def _check_signature(function: Callable[[Turn], Any]) -> None:
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise SetupError(f"The agent {name} must take the turn and nothing else ({error}): def {name}(turn).") from None
    except ValueError:
        return  # Something in C that does not tell.


def _async_call(function: Callable[..., Any]) -> bool:
    """Tell whether it is an object whose ``__call__`` is async, or a partial of an async function."""
    call = function.func if isinstance(function, partial) else type(function).__dict__.get("__call__")
    return inspect.isasyncgenfunction(call) or inspect.iscoroutinefunction(call)


async def _write_async(values: AsyncIterable[Any], pen: _Pen) -> None:
    iterator = aiter(values)
    try:
        async for value in iterator:
            if not await pen.write(value):
                break
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


class _Pen:
    """Writes the values of one reply, no faster than its readers take them."""

    def __init__(self, reply: ReplyWriter) -> None:
        self._reply = reply
        self._count = 0

    async def write(self, value: Any) -> bool:
        """Write a value as an event; tell whether more may follow.

        Raises AgentValueError when the value is no event.
        """
        event = to_event(value)
        if isinstance(event, Finish):
            self._reply.close(event)
            return False
        self._reply.write(event)
        if self._reply.blocked:
            await self._reply.drain()
        self._count += 1
        if self._count % _BURST == 0:
            await asyncio.sleep(0)
        return True


def _values(result: Any) -> Iterable[Any]:
    """Give the values of what a function returned: one, or those of a list or tuple."""
    return result if isinstance(result, list | tuple) else (result,)


class _ThreadBridge:
    """Carries values from the thread of a plain function to the event loop, a bounded number ahead."""

    def __init__(self, function: Callable[[Turn], Any], turn: Turn, values: Iterator[Any] | None) -> None:
        self._function = function
        self._turn = turn
        self._given = values
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(_AHEAD)
        self._values: deque[Any] = deque()
        self._wake = asyncio.Event()
        self._cancelled = False
        self._over = False
        self._error: BaseException | None = None

    def cancel(self) -> None:
        """Stop the function at its next yield."""
        self._cancelled = True
        self._room.release()

    def run(self) -> None:
        """Run the function, in its thread, until it ends or is cancelled; what it raises is raised to the reader."""
        error: BaseException | None = None
        try:
            self._carry()
        except (StopIteration, StopAsyncIteration) as stray:
            # Of a next() in the function: as it is it would read as the end of the reply.
            error = RuntimeError(f"the agent raised {type(stray).__name__}")
            error.__cause__ = stray
        except BaseException as raised:
            error = raised
        self._post(self._end, error)

    @property
    def _stopped(self) -> bool:
        # The signal is set within the disconnect's own step, a little before this turn's task hears of it.
        return self._cancelled or self._turn.cancelled.is_set()

    def _carry(self) -> None:
        if self._stopped:
            return
        result = self._function(self._turn) if self._given is None else self._given
        values = result if isinstance(result, Iterator) else iter(_values(result))
        try:
            for value in values:
                self._room.acquire()
                if self._stopped:
                    break
                self._post(self._take, value)
        finally:
            close = getattr(values, "close", None)
            if close is not None:
                close()

    def _post(self, callback: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # The loop has been closed: nobody listens any more.
            self._loop.call_soon_threadsafe(callback, *args)

    def _take(self, value: Any) -> None:
        self._values.append(value)
        self._wake.set()

    def _end(self, error: BaseException | None) -> None:
        self._error = error
        self._over = True
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        while not self._values:
            if self._over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        value = self._values.popleft()
        self._room.release()
        return value
