"""Writes ASGI messages from within a plain function, as long as the client keeps up."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from offhook.server.protocol import FLOW, Flow

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import Message, Scope, Send


class Outlet:
    """The way out to one client.

    On a server that says how full its transport is (``LineProtocol``) a message is on its way when ``put`` returns;
    on any other it waits until somebody awaits ``drain``. ``sent`` is the mark of the last message that has gone out,
    and ``over`` tells that the body's end has.
    """

    __slots__ = ("_flow", "_send", "_sending", "_waiting", "over", "sent")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._flow: Flow | None = scope.get("extensions", {}).get(FLOW)
        self._waiting: deque[tuple[Message, int]] = deque()
        self._sending = asyncio.Lock()
        self.sent = 0
        self.over = False

    @property
    def blocked(self) -> bool:
        """Tell whether the client cannot take more now."""
        return bool(self._waiting) or self._flow is None or self._flow.write_paused

    def put(self, message: Message, mark: int = 0) -> None:
        """Send a message, or keep it for ``drain`` when the client cannot take it."""
        if self.blocked or self._sending.locked():
            self._waiting.append((message, mark))
        else:
            _finish(self._send(message))
            self._went(message, mark)

    async def drain(self) -> None:
        """Send what was kept, and return when the client can take more, or has gone."""
        async with self._sending:
            while self._waiting:
                message, mark = self._waiting.popleft()
                await self._send(message)
                self._went(message, mark)
        if self._flow is not None and self._flow.write_paused:
            await self._flow.drain()

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
