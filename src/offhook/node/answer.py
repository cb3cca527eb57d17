"""One answer while it comes: pieces of text to iterate over, and a way out at any moment."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from offhook.errors import OffhookError, WireError
from offhook.node.record import AnswerRecord, Gathering

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from offhook.client import EndpointClient, EndpointStream
    from offhook.clock import Clock
    from offhook.node.hearing import Hearing
    from offhook.node.platforms.base import Order
    from offhook.node.request import Outgoing


class Answer:
    """The reply to one request: ``async with`` sends it, ``async for`` gives its text, leaving early disconnects.

    The reply is read as it comes, by a task of its own, whether or not somebody iterates: what the caller hears lags
    behind what the model says. What goes wrong on the line is in ``result.error`` and is never raised.
    """

    def __init__(
        self,
        client: EndpointClient,
        clock: Clock,
        prepare: Callable[[], Awaitable[Outgoing]],
        hearing: Hearing | None = None,
    ) -> None:
        # Is told what ends the call after the reply, where the platform has a connection for the whole call.
        self.on_late: Callable[[Order], None] | None = None
        self._client = client
        self._clock = clock
        self._prepare = prepare
        self._gathering = Gathering(hearing)
        self._pieces: deque[str] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stream: EndpointStream | None = None
        self._started = 0.0
        self._first_byte: float | None = None
        self._first_token: float | None = None
        self._total: float | None = None
        self._disconnected_at: float | None = None

    @property
    def result(self) -> AnswerRecord:
        """The record of the answer, as far as it has come; it changes no more once the context is left."""
        return self._gathering.record(
            started_at=self._started,
            first_byte=self._first_byte,
            first_token=self._first_token,
            total=self._total,
            disconnected_at=self._disconnected_at,
        )

    @property
    def over(self) -> bool:
        """Tell whether nothing more will come."""
        return self._total is not None

    @property
    def protected(self) -> bool:
        """Tell whether the caller cannot cut in on it."""
        return self._gathering.protected

    async def __aenter__(self) -> Answer:
        outgoing = await self._prepare()
        self._started = self._clock.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._read(outgoing), name="answer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.interrupt()

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> str:
        while not self._pieces:
            if self.over or self._task is None:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._pieces.popleft()

    def cut_in(self, heard: str) -> None:
        """Let the caller cut in after ``heard``: disconnect, as far as the platform's protocol says no more of it."""
        self.disconnect()

    def disconnect(self) -> None:
        """Cut the connection within this step of the event loop; an answer that is complete stays as it is."""
        if self._task is None or self.over:
            return
        self._disconnected_at = self._clock.monotonic()
        if self._stream is not None:
            self._stream.close()
        self._end()
        self._task.cancel()

    async def interrupt(self) -> None:
        """Disconnect, and return when nothing of the answer is running any more."""
        self.disconnect()
        if self._task is None:
            return
        # Waits for the task without taking its cancellation for our own.
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def _read(self, outgoing: Outgoing) -> None:
        try:
            if outgoing.stream:
                await self._read_stream(outgoing)
            else:
                await self._read_completion(outgoing)
        except OffhookError as error:
            self._gathering.error = error
        finally:
            self._end()

    async def _read_stream(self, outgoing: Outgoing) -> None:
        gathering = self._gathering
        async with self._client.post_stream(outgoing.body, headers=outgoing.headers, query=outgoing.query) as stream:
            self._stream = stream
            self._first_byte = self._passed()
            while not gathering.over and (events := await stream.read()):
                self._give(gathering.feed(events))
            self._give(gathering.end())
            if not gathering.chunks and not gathering.over:
                gathering.error = WireError("the stream ended without a single event")
            self._end()
            if gathering.done:
                await stream.finish()

    async def _read_completion(self, outgoing: Outgoing) -> None:
        completion = await self._client.post_json(outgoing.body, headers=outgoing.headers, query=outgoing.query)
        self._first_byte = self._passed()
        self._give(self._gathering.feed_completion(completion))

    def _passed(self) -> float:
        return self._clock.monotonic() - self._started

    def _give(self, pieces: list[str]) -> None:
        if self._first_token is None and self._gathering.useful:
            self._first_token = self._passed()
        if pieces:
            self._pieces.extend(pieces)
            self._wake()

    def _end(self) -> None:
        if self._total is None:
            self._total = self._passed()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
