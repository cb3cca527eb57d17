"""A server for tests that answers with scripted bytes, and notes what it was asked and when the client went away."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"

# What a script is made of: bytes to write, a number of steps of the loop to let pass, or an event to wait for.
Step = bytes | int | asyncio.Event


class Asked(NamedTuple):
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON value of the body."""
        return json.loads(self.raw)


def chunk(content: str | None = None, *, finish: str | None = None, **delta: Any) -> bytes:
    """Give one event with a chunk."""
    fields = dict(delta) if content is None else {"content": content, **delta}
    return event(
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}
    )


def event(body: Any) -> bytes:
    """Give one event with a JSON body."""
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def plain(*events: bytes) -> list[Step]:
    """Give the script of a stream that ends with the connection."""
    return [SSE, *events]


def response(status: str, body: bytes, content_type: str = "application/json", headers: str = "") -> list[Step]:
    """Give the script of an answer that is no stream."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{headers}"
    return [f"{head}Connection: close\r\n\r\n".encode() + body]


class ScriptedServer:
    """Answers the first request with the first script, and so on; the last script again and again.

    After a script, ``hold`` keeps the connection open until the client leaves (a number: only that many times), and
    ``close`` closes it; otherwise it is closed where a header said so.
    """

    def __init__(self, *scripts: Sequence[Step], hold: bool | int = False, close: bool = False) -> None:
        self._scripts = scripts
        self._hold = hold
        self._close = close
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[Asked] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()

    @property
    def base_url(self) -> str:
        """What a client is given."""
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/v1"

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asked := await _read(reader)) is not None:
                script = self._scripts[min(len(self.asked), len(self._scripts) - 1)]
                self.asked.append(asked)
                self.arrived.set()
                await self._play(script, reader, writer)
                if self._close or b"Connection: close" in b"".join(step for step in script if isinstance(step, bytes)):
                    break
        except OSError:
            self.left.set()
        finally:
            writer.close()

    async def _play(self, script: Sequence[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for step in script:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, int):
                for _ in range(step):
                    await asyncio.sleep(0)
            else:
                await step.wait()
        if self._hold is True or len(self.asked) <= self._hold:
            await reader.read()
            self.left.set()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, target, headers, raw)
