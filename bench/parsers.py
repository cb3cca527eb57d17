"""What a connection costs by its parser: ours, uvicorn's httptools, uvicorn's h11. Run: python -m bench.parsers.

No sockets and no client: each connection is given the bytes of a request and a transport that throws away what it
writes, so that the time of the process is that of the connection, the event loop's step and a minimal application.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any, cast

import uvicorn
import uvloop
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from offhook.server.protocol import LineProtocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

ROUNDS = 5
REQUESTS = 2000
EVENTS = 20_000
KINDS: tuple[tuple[str, Any], ...] = (
    ("httptools (uvicorn)", HttpToolsProtocol),
    ("LineProtocol (offhook)", LineProtocol),
    ("h11 (uvicorn)", H11Protocol),
)
EVENT = b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","choices":[]}\n\n'


class Nowhere(asyncio.Transport):
    """A transport that takes everything and is never full."""

    @override
    def write(self, data: Any) -> None:
        pass

    @override
    def is_closing(self) -> bool:
        return False

    @override
    def close(self) -> None:
        pass

    @override
    def pause_reading(self) -> None:
        pass

    @override
    def resume_reading(self) -> None:
        pass


def request(body: bytes) -> tuple[bytes, bytes]:
    """Give the head and body of a request as a voice platform sends it."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: voice.example.com\r\nUser-Agent: okhttp/4.12.0\r\n"
        "Accept: */*\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {'k' * 43}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body


class App:
    """Reads the body and answers with so many events."""

    def __init__(self, events: int) -> None:
        self._events = events
        self.done = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(self._events):
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.done.set()


async def measure(kind: Any, pieces: tuple[bytes, ...], *, requests: int, events: int) -> float:
    """Give the CPU seconds that so many requests take on one kept connection."""
    app = App(events)
    config = uvicorn.Config(cast("Any", app), http=kind, ws="none", log_config=None, access_log=False)
    connection = kind(config, ServerState(), {}, asyncio.get_running_loop())
    connection.connection_made(Nowhere())
    begun = time.process_time()
    for _ in range(requests):
        app.done.clear()
        for piece in pieces:
            connection.data_received(piece)
        await app.done.wait()
    took = time.process_time() - begun
    connection.connection_lost(None)
    return took


async def row(kind: Any) -> tuple[float, float, float]:
    """Give microseconds per request, per request with a large body in a second block, and per event."""
    small, large = request(b"x" * 300), request(b"x" * 16384)
    plain = await measure(kind, (small[0] + small[1],), requests=REQUESTS, events=0)
    with_body = await measure(kind, large, requests=REQUESTS, events=0)
    stream = await measure(kind, (small[0] + small[1],), requests=5, events=EVENTS)
    event = (stream - 5 * plain / REQUESTS) / (5 * EVENTS)
    return plain / REQUESTS * 1e6, with_body / REQUESTS * 1e6, event * 1e6


async def table() -> list[str]:
    """Give the lines of the table; the kinds take turns, so that a slow moment of the machine hits all of them."""
    rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name, _ in KINDS}
    for _ in range(ROUNDS):
        for name, kind in KINDS:
            rounds[name].append(await row(kind))
    lines = [
        "| connection | per request | per request with a 16 KiB body | per event of a stream |",
        "| --- | --- | --- | --- |",
    ]
    for name, values in rounds.items():
        one, two, event = (statistics.median(column) for column in zip(*values, strict=True))
        lines.append(f"| {name} | {one:.1f} | {two:.1f} | {event:.2f} |")
    return lines


if __name__ == "__main__":
    print("\n".join(uvloop.run(table())))
