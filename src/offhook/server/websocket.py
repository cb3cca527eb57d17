"""The server's WebSocket connection, as this house needs it: it says how full it is, and keeps what it hears secret."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from typing_extensions import override
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from offhook.errors import BadHttp
from offhook.server.flow import FAREWELL, FLOW, HOLD, Hold
from offhook.server.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.frames import Frame
    from websockets.http11 import Request

log = logging.getLogger("offhook.server")

# RFC 6455, 7.4.1: an endpoint is "going away", such as a server going down.
GOING_AWAY = 1001

# What uvicorn and websockets would log holds the URL, and so a key, or what callers say.
_NOWHERE = logging.Logger("offhook.nowhere", logging.CRITICAL + 1)

# The first byte of a pong, whole (RFC 6455, 5.2).
_PONG = b"\x8a"
# So many bytes at once are as many as come; then others have the loop.
_MUCH = 16 * 1024
# The version that is spoken, for who offers another one (RFC 6455, 4.4).
_VERSION = (b"sec-websocket-version", b"13")


class LineWebSocket(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket connection. It is the ``Flow`` of its scope, and leaves a ``Hold`` there.

    While ``write_paused`` is false uvicorn's ``send`` runs to its end without waiting. What the scope's ``FAREWELL``
    holds is called before the connection is closed because the server goes down.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _NOWHERE
        self.conn.logger = _NOWHERE
        self.conn.debug = False
        self._farewells: list[Callable[[], None]] = []
        # The newest one that found no room.
        self._pong = b""
        # Tells that no more is read for now, whatever the application takes.
        self._unread = False

    @property
    def write_paused(self) -> bool:
        """Tell whether the transport is full."""
        return not self.writable.is_set()

    async def drain(self) -> None:
        """Return when the transport takes bytes again, or the client has gone."""
        await self.writable.wait()

    @override
    def handle_connect(self, event: Request) -> None:
        if (reason := self._what_is_wrong(event)) is not None:
            self._refuse(reason)
            return
        super().handle_connect(event)
        ours: dict[str, Any] = {FLOW: self, HOLD: Hold(self.transport), FAREWELL: self._farewells}
        self.scope["extensions"] |= ours

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            # What passed as a request, and is none to the one who reads it now; nobody else would ever end it.
            self._refuse("The WebSocket handshake cannot be read.")
        elif len(data) >= _MUCH and not self.read_paused:
            # The transport would read on, and one client hold the others up with many frames that mean nothing.
            self._read_no_more()
            self.loop.call_soon(self._read_on)

    @override
    def handle_ping(self) -> None:
        """Answer the newest of the pings that came (RFC 6455, 5.5.3), once the client takes what it is sent.

        Of one that sends pings and reads nothing no more is read: the answers to all of them would be kept.
        """
        output = self.conn.data_to_send()
        self._pong = next((data for data in reversed(output) if data.startswith(_PONG)), self._pong)
        self.transport.write(b"".join(data for data in output if not data.startswith(_PONG)))
        self._answer_ping()
        if self._pong:
            self._read_no_more()

    @override
    def handle_cont(self, event: Frame) -> None:
        if event.data or event.fin:
            # A message of empty pieces would grow without end, and never be too large.
            super().handle_cont(event)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._answer_ping()
        self._read_on()

    @override
    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        # Closing waits until the rest is taken, and a client that reads nothing would keep it for ever.
        self.loop.call_later(self.close_timeout, self.transport.abort)

    @override
    def shutdown(self) -> None:
        """Say that the server goes down; by then its live replies have ended."""
        if not self.handshake_complete:
            super().shutdown()
            return
        self.stop_keepalive()
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = None
        # One that is closing already takes no second goodbye.
        if self.conn.state is State.OPEN and not self.close_sent:
            while self._farewells:
                self._farewells.pop()()
            self.queue.put_nowait({"type": "websocket.disconnect", "code": GOING_AWAY})
            self.conn.send_close(GOING_AWAY)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.transport.close()

    def _read_no_more(self) -> None:
        if not self.transport.is_closing():
            self._unread = self.read_paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        if not self._unread or self._pong:
            return
        self._unread = False
        # Otherwise whoever takes what waits reads on.
        if self.queue.empty() and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def _answer_ping(self) -> None:
        if self._pong and not self.write_paused:
            if self.conn.state is State.OPEN and not self.transport.is_closing():
                self.transport.write(self._pong)
            self._pong = b""

    def _what_is_wrong(self, request: Request) -> str | None:
        """Give what is wrong with a handshake, None for a good one (RFC 6455, 4.2.1)."""
        if len(request.headers.get_all("Host")) > 1:
            return "The WebSocket handshake names more than one host."
        if self.conn.accept(request).status_code == 101:
            return None
        if request.headers.get_all("Sec-WebSocket-Version") != ["13"]:
            return "The WebSocket handshake is not of version 13, which is spoken here (Sec-WebSocket-Version)."
        return "The WebSocket handshake has no good Sec-WebSocket-Key."

    def _refuse(self, reason: str) -> None:
        """Answer a handshake as a bad request is answered, and close."""
        error = BadHttp(reason)
        log.info("a request was refused: %(status)d %(code)s", {"status": error.status, "code": error.code})
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self.transport.write(refusal(error, [*self.default_headers, _VERSION]))
        self.transport.close()
