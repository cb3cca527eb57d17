"""The line and the answers of a platform that speaks WebSocket: one connection for the whole call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

from typing_extensions import override

from offhook.client import EndpointSocket, socket_address
from offhook.errors import EndpointError, OffhookError
from offhook.node.answer import Answer
from offhook.node.platforms.sockets import Part
from offhook.node.request import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.client import EndpointClient
    from offhook.clock import Clock
    from offhook.node.hearing import Hearing
    from offhook.node.platforms.base import Asking, Order
    from offhook.node.platforms.sockets import Frame, SocketWire


class SocketLine:
    """The connection of one call. Frames that nobody waits for are answered where they have to be, and forgotten."""

    def __init__(
        self, wire: SocketWire, base_url: str, api_key: str | None, *, model_id: str, call_id: str, clock: Clock
    ) -> None:
        key = api_key or ""
        url = socket_address(base_url, wire.path(key, model_id), wire.query(key, model_id))
        if wire.names_call:
            url = url.with_path(f"{url.raw_path.rstrip('/')}/{quote(call_id, safe='')}", encoded=True, keep_query=True)
        # The path may hold the key.
        self.at = str(url.origin())
        self.wire = wire
        self.clock = clock
        self._socket = EndpointSocket(url, at=self.at)
        self._reader: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._taker: Callable[[Frame | OffhookError], None] | None = None
        self._asking: Asking | None = None
        self._introduced = asyncio.Event()
        self._error: OffhookError | None = None
        self._cut_at: float | None = None
        # Is given what ends the call while no reply is waited for.
        self.on_late: Callable[[Order], None] | None = None

    async def ask(self, asking: Asking, take: Callable[[Frame | OffhookError], None]) -> None:
        """Ask, connected or not; ``take`` is given every frame from then on, and what breaks the line."""
        self._asking = asking
        if self._reader is None:
            # A server may speak first.
            self._taker = take
            await self._socket.open()
            await self._send(self.wire.opening(asking))
            self._reader = asyncio.get_running_loop().create_task(self._read(), name="socket")
            if self.wire.introduces:
                await self._introduce()
        elif self._cut_at is not None:
            left = self._cut_at + self.wire.settles - self.clock.monotonic()
            self._cut_at = None
            if left > 0:
                await self.clock.sleep(left)
        self._taker = take
        if self._error is not None:
            raise self._error
        await self._send(self.wire.asking(asking))

    async def _introduce(self) -> None:
        """Let the server ask who calls, before it is asked anything."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._introduced.wait()), loop.create_task(self.clock.sleep(self.wire.introduces))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def cut(self, heard: str, seconds: float) -> None:
        """Tell the server that the caller cut in, and forget what still comes of the reply."""
        self._taker = None
        self._cut_at = self.clock.monotonic()
        task = asyncio.get_running_loop().create_task(self._send_quietly(self.wire.cutting(heard, seconds)))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def leave(self) -> None:
        """Stop taking frames."""
        self._taker = None

    async def close(self) -> None:
        """End the call's connection."""
        tasks = [*self._sending, *([self._reader] if self._reader is not None else [])]
        if self._sending:
            await asyncio.wait(self._sending)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._socket.close()

    async def _read(self) -> None:
        try:
            while True:
                frame = await self._socket.receive()
                asking, taker = self._asking, self._taker
                assert asking is not None
                if answers := self.wire.answering(frame, asking):
                    await self._send(answers)
                    self._introduced.set()
                if taker is not None:
                    taker(frame)
                elif self.wire.late and self.on_late is not None:
                    for order in self.wire.read(frame, asking).orders:
                        self.on_late(order)
        except OffhookError as error:
            self._error = error
            if self._taker is not None:
                self._taker(error)

    async def _send(self, frames: tuple[Frame, ...]) -> None:
        for frame in frames:
            await self._socket.send(frame)

    async def _send_quietly(self, frames: tuple[Frame, ...]) -> None:
        try:
            await self._send(frames)
        except OffhookError as error:
            # The next question tells of it.
            self._error = error


class SocketAnswer(Answer):
    """The reply to one question on a call's WebSocket; what it gives is what ``Answer`` gives."""

    def __init__(
        self, client: EndpointClient, clock: Clock, line: SocketLine, asking: Asking, hearing: Hearing
    ) -> None:
        super().__init__(client, clock, _nothing, hearing)
        self._line = line
        self._asking = asking
        self._complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @override
    def cut_in(self, heard: str) -> None:
        self._line.cut(heard, self._passed())
        self.disconnect()

    @override
    async def _read(self, outgoing: Outgoing) -> None:
        self._line.on_late = self.on_late
        try:
            await self._line.ask(self._asking, self._take)
            self._first_byte = self._passed()
            await self._complete
        except OffhookError as error:
            self._gathering.error = error
        finally:
            if not self._complete.done():
                self._line.leave()
                self._complete.cancel()
            elif not self._complete.cancelled():
                # What broke the line has been raised by the question itself.
                self._complete.exception()
            self._end()

    def _take(self, frame: Frame | OffhookError) -> None:
        """Take a frame; what comes behind the last one of the reply is no part of it."""
        error = frame if isinstance(frame, OffhookError) else None
        part = Part() if isinstance(frame, OffhookError) else self._line.wire.read(frame, self._asking)
        if part.error is not None:
            error = EndpointError(f"the server reported an error: {part.error}")
        if error is not None:
            self._line.leave()
            self._complete.set_exception(error)
            return
        gathering = self._gathering
        if part.text or part.orders or part.complete:
            gathering.chunks += 1
        self._give(gathering.say(part.text, *part.orders))
        if part.complete:
            gathering.done = True
            self._line.leave()
            self._complete.set_result(None)


async def _nothing() -> Outgoing:
    """Give what stands for the HTTP request that is not made."""
    return Outgoing({})
