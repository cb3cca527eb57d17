"""A model service that keeps the pace it is asked for, in the driver's process; its text is the time of sending."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import msgspec
from typing_extensions import override

from bench.agents import WORD, Wish, read_wish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_START = (
    b'data: {"id":"chatcmpl-bench-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"bench","system_fingerprint":null,"choices":[{"index":0,"delta":{'
)
_ROLE = _START + b'"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n'
_TEXT = _START + b'"content":"t=%d;"},"logprobs":null,"finish_reason":null}]}\n\n'
_WORD = _START + b'"content":"%b"},"logprobs":null,"finish_reason":null}]}\n\n' % WORD.encode()
_FINISH = _START + b'},"logprobs":null,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
_COMMENT = b": keep-alive\n\n"
_END = b"0\r\n\r\n"


class _Message(msgspec.Struct):
    content: str = ""


class _Body(msgspec.Struct):
    messages: list[_Message]


_decoder = msgspec.json.Decoder(_Body)


def framed(data: bytes) -> bytes:
    """Give a chunk of a chunked body (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream:
    """What all connections of the service share: when a round reached its hold, and when its connection was closed.

    The bodies of the requests are kept in ``bodies`` where that is a list.
    """

    def __init__(self) -> None:
        self.port = 0
        self.bodies: list[bytes] | None = None
        self._reached: dict[str, asyncio.Future[None]] = {}
        self._closed: dict[str, asyncio.Future[float]] = {}

    def expect(self, number: str) -> tuple[asyncio.Future[None], asyncio.Future[float]]:
        """Give two futures of a round: its hold is reached, and its connection was seen closed (monotonic seconds)."""
        loop = asyncio.get_running_loop()
        reached, closed = loop.create_future(), loop.create_future()
        self._reached[number], self._closed[number] = reached, closed
        return reached, closed

    def reached(self, number: str) -> None:
        future = self._reached.pop(number, None)
        if future is not None and not future.done():
            future.set_result(None)

    def closed(self, number: str) -> None:
        future = self._closed.pop(number, None)
        if future is not None and not future.done():
            future.set_result(time.monotonic())


class Connection(asyncio.Protocol):
    """One connection: a request, its paced events, the next request."""

    def __init__(self, upstream: Upstream, loop: asyncio.AbstractEventLoop) -> None:
        self._upstream = upstream
        self._loop = loop
        self._buffer = b""
        self._wish = Wish()
        self._sent = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A transport of uvloop is none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return
        self._buffer = b""
        if self._upstream.bodies is not None:
            self._upstream.bodies.append(body)
        self._begin(read_wish(_decoder.decode(body).messages[-1].content))

    @override
    def eof_received(self) -> None:
        self._left()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._left()

    def _left(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._upstream.closed(self._wish.round)

    def _begin(self, wish: Wish) -> None:
        self._wish = wish
        self._sent = 0
        self._due = self._loop.time()
        if wish.hold == "headers":
            self._upstream.reached(wish.round)
            return
        if wish.hold == "first":
            self._transport.write(_HEAD + framed(_ROLE))
        else:
            self._transport.write(_HEAD + framed(_ROLE + _TEXT % time.monotonic_ns()))
            self._sent = 1
        self._upstream.reached(wish.round)
        if not wish.hold or wish.chatty:
            self._later()

    def _later(self) -> None:
        self._due += self._wish.pace / 1000
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        if self._wish.hold == "first":
            self._transport.write(framed(_COMMENT))
        elif self._sent >= self._wish.count:
            self._transport.write(framed(_FINISH) + _END)
            return
        else:
            text = _WORD if self._sent % self._wish.stamps else _TEXT % time.monotonic_ns()
            self._transport.write(framed(text))
            self._sent += 1
        self._later()


@asynccontextmanager
async def running() -> AsyncIterator[Upstream]:
    """Serve on a free port."""
    loop = asyncio.get_running_loop()
    upstream = Upstream()
    server = await loop.create_server(lambda: Connection(upstream, loop), "127.0.0.1", 0, backlog=2048)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
