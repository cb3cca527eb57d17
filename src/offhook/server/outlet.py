"""Writes ASGI messages from within a plain function, as long as the client keeps up."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from typing_extensions import override

from offhook.clock import SystemClock
from offhook.server.flow import FLOW, HOLD, Flow, Hold, Patience

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from starlette.types import Message, Scope, Send

    from offhook.clock import Clock


Mark = TypeVar("Mark")


class Channel(Generic[Mark]):
    """The way out to one client; one that takes nothing for ``patience`` seconds is cut off.

    On a server that says how full its transport is (``LineProtocol``) a message is on its way when ``put`` returns;
    on any other it waits until somebody awaits ``drain``.
    """

    __slots__ = ("_clock", "_flow", "_hold", "_patience", "_send", "_sending", "_waiting")

    def __init__(self, scope: Scope, send: Send, *, clock: Clock | None = None, patience: float = 30.0) -> None:
        self._send = send
        self._clock = clock or SystemClock()
        self._patience = patience
        extensions: dict[str, Any] = scope.get("extensions", {})
        self._flow: Flow | None = extensions.get(FLOW)
        self._hold: Hold | None = extensions.get(HOLD)
        self._waiting: deque[tuple[Message, Mark]] = deque()
        self._sending = asyncio.Lock()

    @property
    def blocked(self) -> bool:
        """Tell whether the client cannot take more now."""
        return bool(self._waiting) or self._flow is None or self._flow.write_paused

    def put(self, message: Message, mark: Mark) -> None:
        """Send a message, or keep it for ``drain`` when the client cannot take it; ``mark`` says what it is."""
        if self.blocked or self._sending.locked():
            self._waiting.append((message, mark))
        else:
            _finish(self._send(message))
            self._went(message, mark)

    async def drain(self) -> None:
        """Send what was kept, and return when the client can take more, or has gone.

        What is kept for a client that has gone is forgotten, and does not count as sent.
        """
        async with self._sending:
            while self._waiting:
                await self._room()
                if self._hold is not None and self._hold.gone:
                    self._waiting.clear()
                    return
                if not self._waiting:
                    # Taken back meanwhile.
                    break
                message, mark = self._waiting.popleft()
                await self._send(message)
                self._went(message, mark)
        await self._room()

    async def _room(self) -> None:
        """Return when the transport takes more, or the client has gone; a server that does not say so is not asked."""
        if self._flow is not None and self._flow.write_paused:
            with self._cut_off_when_slow():
                await self._flow.drain()

    @contextmanager
    def _cut_off_when_slow(self) -> Iterator[None]:
        """End the connection when its client takes nothing for too long; whoever waits for it then goes on."""
        if self._hold is None:
            yield
            return
        patience = Patience(self._hold, self._clock.call_later, self._patience, self._hold.cut_off)
        try:
            yield
        finally:
            patience.cancel()

    def _went(self, message: Message, mark: Mark) -> None:
        """Note that a message has gone out."""


class Outlet(Channel[int]):
    """The way out of one HTTP response. ``sent`` is the mark of the last message that has gone out.

    ``over`` tells that the body's end has.
    """

    __slots__ = ("over", "sent")

    def __init__(self, scope: Scope, send: Send, *, clock: Clock | None = None, patience: float = 30.0) -> None:
        super().__init__(scope, send, clock=clock, patience=patience)
        self.sent = 0
        self.over = False

    @override
    def _went(self, message: Message, mark: int) -> None:
        self.sent = mark
        self.over = message["type"] == "http.response.body" and not message.get("more_body", False)


def _finish(sending: Coroutine[Any, Any, None] | Any) -> None:
    """Run a coroutine that does not wait, without a task."""
    try:
        sending.send(None)
    except StopIteration:
        return
    raise RuntimeError("the server's send() waited although its transport was not full")
