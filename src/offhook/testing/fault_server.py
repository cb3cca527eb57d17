"""A model service that fails as it is told to, over a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from typing_extensions import override

from offhook.clock import SystemClock
from offhook.testing import fault_chunks as say
from offhook.testing.clock import PATIENCE
from offhook.testing.faults import Answer
from offhook.testing.thread import Door, bound_socket, end_tasks, in_thread, reset
from offhook.testing.upstream import read_request
from offhook.wire import sse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from offhook.testing.faults import Fault
    from offhook.testing.upstream import Request

    Plan = Answer | Sequence[Answer] | Callable[[int, Request], Answer]

_CHAT = "/chat/completions"
# A write of its own should be a read of its own: so many seconds stand between two that are cut.
_APART = 0.001
# By then, in seconds, a client that reads has read what was sent.
_READ_BY = 0.01
# More connections than this fill the queue of a socket that listens for one.
_FILLERS = 16


class Left(NamedTuple):
    """A client left before the end of its answer: the number of its request, from 0, and the monotonic seconds."""

    request: int
    at: float


class _Gone(Exception):
    """The client has left."""


class _Line:
    """One connection of a client; ``gone`` is set as soon as it leaves."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        self.reader = reader
        self.writer = writer
        self.gone = gone
        self.sent = 0

    async def send(self, data: bytes) -> None:
        """Send bytes as they are. Raises _Gone when the client has left."""
        if self.gone.is_set():
            raise _Gone
        self.sent += len(data)
        self.writer.write(data)
        await self.writer.drain()

    async def pause(self, seconds: float | None) -> None:
        """Wait so many seconds, None for ever. Raises _Gone as soon as the client leaves."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gone.wait()
                raise _Gone

    async def end(self, fault: Fault | None) -> None:
        """End the connection by RST, or by FIN and then wait for the client to leave too."""
        if fault == "reset":
            # A reset takes along what its client has not read yet, or lets its connecting fail.
            await self.pause(_READ_BY)
            reset(self.writer.transport)
            return
        with suppress(OSError):
            self.writer.write_eof()
        await self.gone.wait()

    async def close(self) -> None:
        """Let the connection go, within a second."""
        try:
            self.writer.close()
            async with asyncio.timeout(1.0):
                await self.writer.wait_closed()
        except (TimeoutError, ConnectionError):
            self.writer.transport.abort()


class _Protocol(asyncio.StreamReaderProtocol):
    """Tells at once when the client leaves, also while nobody reads."""

    def __init__(self, server: FaultUpstream) -> None:
        loop = asyncio.get_running_loop()
        self._gone = asyncio.Event()
        super().__init__(
            asyncio.StreamReader(loop=loop),
            lambda reader, writer: server.serve(_Line(reader, writer, self._gone)),
            loop=loop,
        )

    @override
    def eof_received(self) -> bool | None:
        self._gone.set()
        return super().eof_received()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        super().connection_lost(exc)


class _Body:
    """The chunked body of one answer; ``shape`` is the fault that cuts or merges what follows."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._held = b""
        self.shape: Fault | None = None

    async def put(self, data: bytes, *, framed: bool = True) -> None:
        """Send bytes, in the body or as they are. Raises _Gone when the client has left."""
        for part in say.shaped(data, self.shape, framed=framed):
            if self.shape == "merged":
                self._held += part
                continue
            await self._line.send(part)
            if self.shape == "cut":
                await self._line.pause(_APART)
            elif self.shape == "dribble":
                await asyncio.sleep(0)

    async def end(self, data: bytes = b"") -> None:
        """Send the last bytes and end the body, in one write unless they are cut."""
        if self.shape in ("dribble", "cut"):
            await self.put(data)
            data = b""
        last = b"".join(say.shaped(data, None, framed=True)) + say.LAST
        await self._line.send(self._held + last)


class FaultUpstream:
    """Answers each chat request as the plan says: one answer, a sequence of them whose last one repeats, or a function.

    The function takes the number of the request, from 0, and the request. A sequence that comes to an answer with a
    fault in the phase ``connect`` fails at the next connection, or at the next request on a kept one. A closed port
    and connections that are never accepted are the state of a whole service: such an answer stands alone, else
    ValueError is raised. A usage chunk comes where the request asks for it. Other paths get 404 and no answer.

    ``requests`` came at the monotonic seconds ``times``; ``disconnects`` are the clients that left before the end of
    their answer; ``connections`` were made, ``live`` of them are open, and ``sent`` bytes were written.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan: Sequence[Answer] | Callable[[int, Request], Answer] = [plan] if isinstance(plan, Answer) else plan
        if not callable(self._plan):
            if not self._plan:
                raise ValueError("the plan holds no answer")
            if len(self._plan) > 1 and any(map(_is_state, self._plan)):
                raise ValueError("a service whose port is closed or never served has no other answers")
        self._clock = SystemClock()
        self._changed = threading.Condition()
        self._taken = 0
        self._lines: set[_Line] = set()
        self._sockets: list[socket.socket] = []
        self._door = Door(self._connected)
        self._failed: list[Exception] = []
        self._past = 0
        self._stopping = False
        self.requests: list[Request] = []
        self.times: list[float] = []
        self.disconnects: list[Left] = []
        self.connections = 0
        self.base_url = ""

    @property
    def live(self) -> int:
        """How many connections are open."""
        return len(self._lines)

    @property
    def sent(self) -> int:
        """How many bytes were written, over all connections."""
        with self._changed:
            return self._past + sum(line.sent for line in self._lines)

    def wait_for_requests(self, count: int = 1, timeout: float = PATIENCE) -> list[Request]:
        """Give the requests when so many came. Raises TimeoutError after ``timeout`` seconds."""
        self._wait(lambda: len(self.requests) >= count, timeout, f"{count} requests did not come")
        return list(self.requests)

    def wait_for_disconnects(self, count: int = 1, timeout: float = PATIENCE) -> list[Left]:
        """Give who left before the end when so many did. Raises TimeoutError after ``timeout`` seconds."""
        self._wait(lambda: len(self.disconnects) >= count, timeout, f"{count} clients did not leave")
        return list(self.disconnects)

    def wait_for_live(self, count: int = 0, timeout: float = PATIENCE) -> None:
        """Return when exactly so many connections are open. Raises TimeoutError after ``timeout`` seconds."""
        self._wait(lambda: self.live == count, timeout, f"there were never {count} connections")

    def _wait(self, happened: Callable[[], bool], timeout: float, otherwise: str) -> None:
        with self._changed:
            if not self._changed.wait_for(happened, timeout):
                raise TimeoutError(otherwise)

    async def start(self) -> None:
        """Bind a free loopback port, and listen on it unless the plan says otherwise."""
        listener = bound_socket()
        self._sockets.append(listener)
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        first = None if callable(self._plan) else self._plan[0]
        if first is None or not _is_state(first):
            listener.listen(128)
            self._door.accept_on(listener)
        elif first.fault == "stall":
            await self._fill(listener)

    async def stop(self) -> None:
        """Break every connection off. Raises what the plan's function raised."""
        self._stopping = True
        self._door.accept_on(None)
        for line in tuple(self._lines):
            line.writer.transport.abort()
        for held in self._sockets:
            held.close()
        await end_tasks()
        if self._failed:
            raise self._failed[0]

    async def _fill(self, listener: socket.socket) -> None:
        """Fill the queue of connections that nobody accepts, until the next one is not even made."""
        loop = asyncio.get_running_loop()
        listener.listen(0)
        for _ in range(_FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            self._sockets.append(filler)
            try:
                async with asyncio.timeout(0.05):
                    await loop.sock_connect(filler, listener.getsockname())
            except TimeoutError:
                return

    async def _connected(self, client: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: _Protocol(self), client)

    async def serve(self, line: _Line) -> None:
        """Answer the requests of one connection."""
        with self._changed:
            self.connections += 1
            self._lines.add(line)
            self._changed.notify_all()
        try:
            if not self._stopping:
                await self._serve(line)
        except (_Gone, ConnectionError, asyncio.IncompleteReadError):
            pass  # It left while it asked, or while we were closing.
        except Exception as error:
            # A plan that fails must not look like a service that does.
            self._failed.append(error)
        finally:
            await line.close()
            with self._changed:
                self._lines.discard(line)
                self._past += line.sent
                self._changed.notify_all()

    async def _serve(self, line: _Line) -> None:
        if not callable(self._plan) and (answer := self._planned(self._taken)).phase == "connect":
            self._taken += 1
            await line.end(answer.fault)
            return
        while (request := await read_request(line.reader)) is not None:
            if not request.path.partition("?")[0].endswith(_CHAT):
                await line.send(say.response(404, say.JSON_TYPE, say.error_body(404)))
                continue
            number = self._taken
            self._taken += 1
            with self._changed:
                self.requests.append(request)
                self.times.append(self._clock.monotonic())
                asked = len(self.requests) - 1
                self._changed.notify_all()
            answer = self._plan(number, request) if callable(self._plan) else self._planned(number)
            if callable(self._plan) and _is_state(answer):
                raise ValueError("a port that is closed or never served stands alone in the plan")
            try:
                if not await self._answer(line, answer, request):
                    return
            except (_Gone, ConnectionError):
                with self._changed:
                    self.disconnects.append(Left(asked, self._clock.monotonic()))
                    self._changed.notify_all()
                return

    def _planned(self, number: int) -> Answer:
        assert not callable(self._plan)
        return self._plan[min(number, len(self._plan) - 1)]

    async def _answer(self, line: _Line, answer: Answer, request: Request) -> bool:
        """Tell whether another request may come on the line. Raises _Gone when the client leaves before the end."""
        if answer.phase == "connect":
            await line.end(answer.fault)
            return False
        options = request.body.get("stream_options") if isinstance(request.body, dict) else None
        with_usage = isinstance(options, dict) and options.get("include_usage") is True
        body = _Body(line)
        for phase, data, pause in say.steps(answer, with_usage=with_usage):
            if pause:
                await line.pause(pause)
            if phase is not None and phase == answer.phase:
                kept = await self._fail(line, body, answer)
                if kept is not None:
                    return kept
            if phase == "before_done":
                await body.end(data)
            else:
                await body.put(data, framed=phase != "before_headers")
        return True

    async def _fail(self, line: _Line, body: _Body, answer: Answer) -> bool | None:
        """Do the fault; None when the answer goes on, else whether another request may come on the line."""
        if answer.phase == "before_headers" and (whole := say.refusal(answer)) is not None:
            await line.send(whole)
            return True
        match answer.fault:
            case "delay":
                await line.pause(answer.seconds)
            case "dribble" | "merged" | "cut":
                body.shape = answer.fault
            case "wrong_json":
                await body.put(sse.encode(say.WRONG))
            case "reset" | "half_close":
                await line.end(answer.fault)
                return False
            case "html":
                await body.end(say.HTML)
                return True
            case "error_event":
                await body.end(sse.encode(say.error_body(500)))
                return True
            case "empty":
                await body.end(say.chunk({}, "stop") + sse.DONE)
                return True
            case _:
                await _go_on_for_ever(line, body, answer)
        return None


async def _go_on_for_ever(line: _Line, body: _Body, answer: Answer) -> None:
    """Say what has no end, or nothing. Raises _Gone when the client leaves, and ends in no other way."""
    fault = str(answer.fault)
    if fault == "role_only":
        await body.put(say.chunk(say.ROLE))
    if fault == "comments":
        first = again = say.COMMENT
    elif fault in say.FOREVER:
        first, again = (say.chunk(delta) for delta in say.FOREVER[fault])
    else:
        await line.pause(None)
    await body.put(first)
    while True:
        await line.pause(answer.beat)
        await body.put(again)


def _is_state(answer: Answer) -> bool:
    """Tell whether the fault is one of the listening socket, and so of every connection."""
    return answer.phase == "connect" and answer.fault in ("refuse", "stall")


@contextmanager
def fault_upstream(plan: Plan) -> Iterator[FaultUpstream]:
    """Run a ``FaultUpstream`` on a free loopback port, in a thread of its own.

    Raises ValueError for a plan that cannot be, and on leaving what the plan's function raised.
    """
    service = FaultUpstream(plan)
    with in_thread("fault-upstream", service):
        yield service
