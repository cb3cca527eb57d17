"""The connection of a WebSocket ends in good order, in whatever state it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from offhook.server.flow import FAREWELL, FLOW, HOLD
from offhook.server.websocket import GOING_AWAY, LineWebSocket

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

HANDSHAKE = (
    b"GET /llm-websocket/c1 HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# Masked with zeros (RFC 6455, 5.3): the code 1000, and "a" of a text that is not over.
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
HALF = b"\x01\x81\0\0\0\0a"
EMPTY, REST = b"\x00\x80\0\0\0\0", b"\x80\x81\0\0\0\0b"


class Transport:
    """The machine's side: what was written to it, and whether it was closed."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = 0
        self.aborted = asyncio.Event()
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.aborted.set()

    def is_closing(self) -> bool:
        return False  # As long as its last bytes are on their way.

    def get_extra_info(self, name: str) -> Any:
        return None

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class App:
    """Accepts, keeps what it is told, and ends with the connection."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.scope: Scope = {}
        self.accepted = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.heard.append(await receive())
        await send({"type": "websocket.accept"})
        self.accepted.set()
        while self.heard[-1]["type"] != "websocket.disconnect":
            self.heard.append(await receive())


async def opened(app: App) -> tuple[LineWebSocket, Transport]:
    """Give a connection whose handshake is over."""
    config = uvicorn.Config(app, ws=LineWebSocket, log_config=None, ws_ping_interval=None)
    config.load()
    protocol = LineWebSocket(config=config, server_state=ServerState(), app_state={})
    transport = Transport()
    protocol.connection_made(cast("asyncio.BaseTransport", transport))
    protocol.data_received(HANDSHAKE)
    await app.accepted.wait()
    assert b"101 " in transport.written
    return protocol, transport


@pytest.mark.parametrize(
    ("came", "code"), [(b"", GOING_AWAY), (HALF, GOING_AWAY), (CLOSE, 1000)], ids=["open", "half", "closing"]
)
async def test_a_server_that_goes_down_closes_it_once(came: bytes, code: int) -> None:
    """One close frame goes out, whatever came before, and the application hears of the end."""
    app = App()
    protocol, transport = await opened(app)
    protocol.data_received(came)
    protocol.shutdown()
    protocol.shutdown()
    assert transport.written.count(b"\x88\x02") == 1
    assert transport.written.endswith(b"\x88\x02" + code.to_bytes(2, "big"))
    assert transport.closed
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
    assert app.heard[-1]["code"] == code


async def test_it_tells_the_application_how_full_it_is() -> None:
    """What writes within its own step asks the connection itself."""
    app = App()
    protocol, _ = await opened(app)
    flow = app.scope["extensions"][FLOW]
    assert HOLD in app.scope["extensions"]
    assert not flow.write_paused
    protocol.pause_writing()
    assert flow.write_paused
    waiting = asyncio.create_task(flow.drain())
    protocol.connection_lost(None)
    await waiting
    await asyncio.gather(*protocol.tasks)


async def test_a_handshake_that_cannot_be_read_ends_with_a_response() -> None:
    """Nobody else would ever close it."""
    config = uvicorn.Config(App(), ws=LineWebSocket, log_config=None)
    config.load()
    protocol = LineWebSocket(config=config, server_state=ServerState(), app_state={})
    transport = Transport()
    protocol.connection_made(cast("asyncio.BaseTransport", transport))
    protocol.data_received(HANDSHAKE.replace(b"Host: test", b"Host : test"))
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    assert transport.closed


def ping(text: bytes) -> bytes:
    return b"\x89" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text


def pong(text: bytes) -> bytes:
    return b"\x8a" + bytes([len(text)]) + text


async def test_of_many_pings_the_newest_is_answered() -> None:
    """Of those that come at once, and of those of a client that reads nothing: nothing is kept but one answer."""
    app = App()
    protocol, transport = await opened(app)
    transport.written = b""
    protocol.data_received(b"".join(ping(b"%d" % number) for number in range(100)))
    assert transport.written == pong(b"99")
    protocol.pause_writing()
    for number in range(100, 10_000):
        protocol.data_received(ping(b"%d" % number))
    assert transport.written == pong(b"99")
    assert not transport.reading
    protocol.resume_writing()
    assert transport.written == pong(b"99") + pong(b"9999")
    assert transport.reading
    protocol.data_received(ping(b"one more"))
    assert transport.written.endswith(pong(b"one more"))
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)


async def test_a_ping_before_the_goodbye_is_answered_before_it_or_not_at_all() -> None:
    """Nothing follows a close frame (RFC 6455, 5.5.1)."""
    app = App()
    protocol, transport = await opened(app)
    protocol.data_received(ping(b"x") + CLOSE)
    assert transport.written.endswith(b"\x88\x02\x03\xe8")
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)


async def test_a_message_in_pieces_keeps_no_empty_ones() -> None:
    """They would be counted by nobody, and the message is the same without them."""
    app = App()
    protocol, _ = await opened(app)
    protocol.data_received(HALF + EMPTY * 10_000)
    assert len(protocol.frames) == 1
    protocol.data_received(REST)
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
    assert app.heard[1] == {"type": "websocket.receive", "text": "ab"}


async def test_much_that_comes_at_once_gives_others_their_step() -> None:
    """A transport would read block after block within one step of the loop, whatever little stands in them."""
    app = App()
    protocol, transport = await opened(app)
    protocol.data_received(ping(b"x" * 100) * 500)
    assert not transport.reading
    await asyncio.sleep(0)
    assert transport.reading
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)


async def test_a_client_that_reads_nothing_is_not_closed_for_ever() -> None:
    """One that answers no ping of the server is broken off, since closing waits for what it does not take."""
    app = App()
    protocol, transport = await opened(app)
    protocol.close_timeout = 0.0
    protocol.keepalive_timeout()
    assert transport.closed and not transport.aborted.is_set()
    await transport.aborted.wait()
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)


async def test_the_farewell_stands_before_the_goodbye() -> None:
    """What a session has still to send goes out when the server goes down, once."""
    app = App()
    protocol, transport = await opened(app)
    app.scope["extensions"][FAREWELL].append(lambda: transport.write(b"last words"))
    protocol.shutdown()
    protocol.shutdown()
    assert transport.written.endswith(b"last words\x88\x02" + GOING_AWAY.to_bytes(2, "big"))
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
