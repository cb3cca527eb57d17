"""A model service that says what it is told to, over a real socket."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from offhook.clock import SystemClock
from offhook.testing.clock import PATIENCE
from offhook.wire import sse
from offhook.wire.chat import CallDelta, ChunkWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WRITER = ChunkWriter(id="chatcmpl-scripted", created=1_700_000_000, model="scripted")


class _Hold:
    """Say nothing more until the client leaves."""


HOLD: Final = _Hold()

Step = str | bytes | CallDelta | _Hold


class Request(msgspec.Struct, frozen=True):
    """A request that the service got: its path, headers in lower case, and decoded body."""

    path: str
    headers: dict[str, str]
    body: Any


class ScriptedUpstream:
    """Answers every request with the same steps, in order.

    A ``str`` is a chunk of text, ``bytes`` go out as they are, a ``CallDelta`` is a chunk with a whole tool call,
    ``HOLD`` waits until the client leaves. A finish chunk and ``[DONE]`` follow unless ``whole`` is false or a ``HOLD``
    came. With ``status`` other than 200 the steps, bytes only, are the body of an error response. A ``HOLD`` before
    everything else comes before the response headers. ``connections`` counts those that were made.
    """

    def __init__(
        self, steps: Sequence[Step], *, status: int = 200, headers: Sequence[str] = (), whole: bool = True
    ) -> None:
        self._steps = tuple(steps)
        self._status = status
        self._headers = tuple(headers)
        self._whole = whole
        self._clock = SystemClock()
        self._changed = threading.Condition()
        self.requests: list[Request] = []
        self.disconnects: list[float] = []
        self.base_url = ""
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wait_for_requests(self, count: int = 1, timeout: float = PATIENCE) -> list[Request]:
        """Give the requests when so many came. Raises TimeoutError after ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} requests came, not {count}")
            return list(self.requests)

    def wait_for_disconnects(self, count: int = 1, timeout: float = PATIENCE) -> list[float]:
        """Give when (monotonic seconds) clients left before the end. Raises TimeoutError after ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.disconnects) >= count, timeout):
                raise TimeoutError(f"{len(self.disconnects)} clients left, not {count}")
            return list(self.disconnects)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self._loop = asyncio.get_running_loop()
        self.connections += 1
        self._writers.add(writer)
        try:
            while (request := await read_request(reader)) is not None:
                with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                if not await self._answer(reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self._left()
        finally:
            self._writers.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def abort(self) -> None:
        """Break every connection off; safe in any thread."""
        for writer in tuple(self._writers):
            assert self._loop is not None, "connections were made in a loop"
            self._loop.call_soon_threadsafe(writer.transport.abort)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self._steps and self._steps[0] is HOLD:
            await self._hold(reader)
            return False
        if self._status != 200:
            body = b"".join(step for step in self._steps if isinstance(step, bytes))
            head = _head(self._status, [*self._headers, f"content-length: {len(body)}"])
            writer.write(head + body)
            await writer.drain()
            return True
        writer.write(_head(200, ["content-type: text/event-stream", "transfer-encoding: chunked", *self._headers]))
        for step in self._steps:
            if isinstance(step, _Hold):
                await writer.drain()
                await self._hold(reader)
                return False
            _write_chunk(writer, _bytes_of(step))
            await writer.drain()
        if self._whole:
            _write_chunk(writer, _WRITER.finish("stop") + sse.DONE)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _hold(self, reader: asyncio.StreamReader) -> None:
        """Wait until the client leaves: nothing else comes on this connection before."""
        with suppress(ConnectionError):
            await reader.read(1)
        self._left()

    def _left(self) -> None:
        with self._changed:
            self.disconnects.append(self._clock.monotonic())
            self._changed.notify_all()


def _bytes_of(step: Step) -> bytes:
    if isinstance(step, bytes):
        return step
    if isinstance(step, str):
        return _WRITER.text(step)
    assert isinstance(step, CallDelta)
    return ChunkWriter(id="chatcmpl-scripted", created=1_700_000_000, model="scripted").call(step)


def _write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    if data:
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))


def _head(status: int, headers: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} Scripted", *headers, "")).encode("latin-1")


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None  # Between two requests a client may leave as it likes.
    first, *lines = head.rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(path=first.split(" ")[1], headers=headers, body=msgspec.json.decode(body) if body else None)


@contextmanager
def scripted_upstream(
    *steps: Step, status: int = 200, headers: Sequence[str] = (), whole: bool = True
) -> Iterator[ScriptedUpstream]:
    """Run a ``ScriptedUpstream`` on a free loopback port, in a thread of its own."""
    upstream = ScriptedUpstream(steps, status=status, headers=headers, whole=whole)
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        upstream.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        started.set()
        await stop.wait()
        server.close()
        upstream.abort()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="scripted-upstream", daemon=True)
    thread.start()
    started.wait(PATIENCE)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
