"""The client side of the driver: many paced streams over kept-alive connections, read with as little work as can be."""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from typing import Any, cast

import msgspec
from typing_extensions import override

from bench.serve import KEY

_STAMP = re.compile(rb"t=(\d+);")
_END = b"0\r\n\r\n"


def request_bytes(says: str, *, request_id: str = "", **fields: Any) -> bytes:
    """Give a whole streaming chat request in which the caller says this; ``fields`` are added to its body."""
    messages = [{"role": "user", "content": says}]
    body = msgspec.json.encode({"model": "bench", "stream": True, "messages": messages, **fields})
    return http_request(body, request_id=request_id)


def http_request(body: bytes, *, request_id: str = "") -> bytes:
    """Give a whole chat request with this body."""
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {KEY}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *([f"X-Request-Id: {request_id}"] if request_id else []),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Load:
    """What all streams of a run measure together; times in nanoseconds."""

    def __init__(self, says: str, count: int) -> None:
        self.request = request_bytes(says)
        self.count = count
        self.events = 0
        self.torn = 0
        self.lost = 0
        self.running = True
        self._goal = 0
        self._there = asyncio.Event()
        self.first_frames = array("q")
        self.delays = array("q")

    def got(self, events: int) -> None:
        """Count events."""
        self.events += events
        if self.events >= self._goal:
            self._there.set()

    async def reach(self, events: int, within: float) -> None:
        """Return when so many events have come. Raises TimeoutError after so many seconds."""
        self._goal = events
        if self.events < events:
            self._there.clear()
            async with asyncio.timeout(within):
                await self._there.wait()

    def begin_window(self) -> None:
        """Forget what was measured while the streams were starting."""
        self.events = 0
        self.first_frames = array("q")
        self.delays = array("q")


class Stream(asyncio.Protocol):
    """Asks, reads the reply to its end, and asks again on the same connection while the load runs."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._asked = 0
        self._got = 0
        self._tail = b""
        self._transport: asyncio.Transport
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A transport of uvloop is none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        self._got = 0
        self._tail = b""
        self._transport.write(self._load.request)
        self._asked = time.monotonic_ns()

    @override
    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        load = self._load
        stamps = _STAMP.findall(data)
        if stamps:
            if not self._got:
                load.first_frames.append(now - self._asked)
            self._got += len(stamps)
            load.got(len(stamps))
            for stamp in stamps:
                load.delays.append(now - int(stamp))
        self._tail = data if len(data) >= len(_END) else (self._tail + data)[-len(_END) :]
        if self._tail.endswith(_END):
            load.torn += self._got != load.count
            if load.running:
                self._ask()
            else:
                self.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self._load.lost += 1
            self.over.set_result(None)

    def close(self) -> None:
        """Leave, whatever comes."""
        if not self.over.done():
            self.over.set_result(None)
        self._transport.abort()


async def open_stream(load: Load, port: int) -> Stream:
    """Connect and ask."""
    _, stream = await asyncio.get_running_loop().create_connection(lambda: Stream(load), "127.0.0.1", port)
    return stream
