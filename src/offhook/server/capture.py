"""What the platform really sends and what went back: shown on the terminal, or kept as files.

For trying things out, and off unless asked for: both hold what callers said. Keys are masked. Files and
terminal are written by a thread of their own, never by the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from offhook.dialects.base import KEY_PARAMETERS
from offhook.errors import SetupError
from offhook.server.door_address import masked

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from offhook.clock import Clock

SECRET_HEADERS = frozenset(
    {"authorization", "api-key", "x-api-key", "cookie", "proxy-authorization", "x-livekit-worker-token"}
    | {"x-vapi-secret", "x-retell-signature", "x-twilio-signature"}
)
MASK = "***"
_SCHEMES = frozenset({"bearer", "basic", "digest", "token", "apikey"})

# What comes from outside is shown, never obeyed: a terminal acts on these.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# A string is passed over whole: what stands in it nests nothing.
_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_STEP = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_DEEPEST_INDENTED = 32

log = logging.getLogger("offhook.server")


class Exchange(msgspec.Struct):
    """One request and its answer as they went over the wire, secrets masked; ``received`` is seconds since 1970."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    received: float
    body: bytearray = msgspec.field(default_factory=bytearray)
    status: int = 0
    reply_headers: list[tuple[str, str]] = []
    reply: bytearray = msgspec.field(default_factory=bytearray)
    ended: str = "complete"


Sink = Callable[[Exchange], None]

# Bytes that are kept of one reply: an agent may talk for ever.
MOST_KEPT = 8 * 1024 * 1024


class Tap:
    """Stands in front of the application and hands each exchange over.

    ``arrivals`` get it when its request is there, ``sinks`` when it has ended.
    """

    def __init__(self, app: ASGIApp, sinks: Sequence[Sink], clock: Clock, *, arrivals: Sequence[Sink] = ()) -> None:
        self._app = app
        self._sinks = tuple(sinks)
        self._arrivals = tuple(arrivals)
        self._clock = clock
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="offhook-capture")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, self._before_the_end(send))
            return
        exchange = _begin(scope, self._clock.now())
        complete = arrived = False

        def arrive() -> None:
            nonlocal arrived
            if not arrived:
                arrived = True
                self._submit(self._arrivals, exchange)

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                exchange.body += message.get("body", b"")
                if not message.get("more_body", False):
                    arrive()
            elif not complete:
                exchange.ended = "the client disconnected"
            return message

        async def sent(message: Message) -> None:
            nonlocal complete
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                exchange.reply_headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in message["headers"]]
            else:
                exchange.reply += message.get("body", b"")[: MOST_KEPT - len(exchange.reply)]
                complete = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, heard, sent)
        finally:
            # A request that was refused before its body was read is told of now.
            arrive()
            self._submit(self._sinks, exchange)

    def _before_the_end(self, send: Send) -> Send:
        """Give a ``send`` that writes what is still to be written before the server is told that all is over."""

        async def sent(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                # In a thread: it must not hold up the loop.
                await asyncio.to_thread(self._writer.shutdown)
            await send(message)

        return sent

    def _submit(self, sinks: Sequence[Sink], exchange: Exchange) -> None:
        for sink in sinks:
            self._writer.submit(_take, sink, exchange)


def _take(sink: Sink, exchange: Exchange) -> None:
    """Hand an exchange to a sink; a full disk or a closed terminal costs the record, and says so, not the call."""
    try:
        sink(exchange)
    except Exception as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        log.error("an exchange could not be kept or shown: %(error)s", {"error": why})


def _begin(scope: Scope, received: float) -> Exchange:
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return Exchange(
        method=scope["method"],
        path=masked(scope["path"]),
        query=[(name, MASK if name.lower() in KEY_PARAMETERS else value) for name, value in query],
        headers=[(name, _masked(value) if name in SECRET_HEADERS else value) for name, value in headers],
        received=received,
    )


def _masked(value: str) -> str:
    scheme, _, rest = value.partition(" ")
    return f"{scheme} {MASK}" if rest and scheme.lower() in _SCHEMES else MASK


def _readable(body: bytearray) -> Any:
    """Give the JSON value of a body, or its text when it is none."""
    try:
        return msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(body).decode("utf-8", "replace")


def _indent(exchange: Exchange) -> int | None:
    """Give how far to indent the request's body: not at all where it is nested so deep that it would swell."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(exchange.body):
        depth += _STEP.get(bracket[0], 0)
        deepest = max(deepest, depth)
    return 2 if deepest <= _DEEPEST_INDENTED else None


def as_file(exchange: Exchange) -> dict[str, Any]:
    """Give the object that a capture file holds; ``offhook call --resend`` sends it again."""
    return {
        "offhook_capture": 1,
        "received": datetime.fromtimestamp(exchange.received, UTC).isoformat(),
        "request": {
            "method": exchange.method,
            "path": exchange.path,
            "query": exchange.query,
            "headers": exchange.headers,
            "body": _readable(exchange.body),
        },
        "reply": {
            "status": exchange.status,
            "headers": exchange.reply_headers,
            "body": exchange.reply.decode("utf-8", "replace"),
            "ended": exchange.ended,
        },
    }


def capture_to(folder: Path) -> Sink:
    """Give a sink that writes each exchange to a file of its own in ``folder`` (mode 0700, files 0600).

    Raises SetupError when there can be no such folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SetupError(f"Nothing can be captured in {folder}: {error.strerror}.") from None
    count = 0

    def write(exchange: Exchange) -> None:
        nonlocal count
        count += 1
        when = datetime.fromtimestamp(exchange.received, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path = folder / f"{when}-{count:06d}.json"
        text = json.dumps(as_file(exchange), ensure_ascii=False, indent=_indent(exchange)) + "\n"
        try:
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        except OSError:
            # Half a file says nothing, and the disk may be full.
            path.unlink(missing_ok=True)
            raise

    return write


def show_request_on(write: Callable[[str], None]) -> Sink:
    """Give a sink that writes a request as text for a person."""

    def show(exchange: Exchange) -> None:
        query = f"?{urlencode(exchange.query, safe='*')}" if exchange.query else ""
        body = _readable(exchange.body)
        shown = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, indent=_indent(exchange))
        write(_harmless([f"--> {exchange.method} {exchange.path}{query}", *_lines(exchange.headers), "", shown, ""]))

    return show


def show_reply_on(write: Callable[[str], None]) -> Sink:
    """Give a sink that writes what went back as text for a person."""

    def show(exchange: Exchange) -> None:
        first = f"<-- {exchange.status or 'no answer'} ({exchange.ended}) to {exchange.method} {exchange.path}"
        write(_harmless([first, *_lines(exchange.reply_headers), "", exchange.reply.decode("utf-8", "replace")]))

    return show


def _lines(headers: Sequence[tuple[str, str]]) -> list[str]:
    return [f"    {name}: {value}" for name, value in headers]


def _harmless(lines: Sequence[str]) -> str:
    return _CONTROL.sub(lambda control: f"\\x{ord(control[0]):02x}", "\n".join(lines)) + "\n"
