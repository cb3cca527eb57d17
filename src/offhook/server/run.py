"""Runs a line: serves it on a socket, and ends it in good order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
import uvloop
from typing_extensions import override

from offhook.errors import OffhookError, SetupError
from offhook.server.door_address import is_door
from offhook.server.edge import Edge
from offhook.server.listen import BACKLOG
from offhook.server.listen import base_url_of as base_url_of
from offhook.server.listen import bind as bind
from offhook.server.protocol import LineProtocol
from offhook.server.websocket import LineWebSocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterator
    from types import FrameType

    from starlette.types import ASGIApp

    from offhook.server.line import Line

T = TypeVar("T")

# Longer than a person thinks between two sentences, so that the platform's connection is still there.
_KEEP_ALIVE = 75
# Seconds that a client has to take the last bytes of a reply when the server ends.
_LAST_BYTES = 1.0
# So many new objects before the garbage collector looks at the youngest.
_NEW_OBJECTS = 10_000
# Seconds that tasks have to end when they are cancelled at the very end.
_LAST_TASKS = 1.0


class _Config(uvicorn.Config):
    """Uvicorn's configuration; ``limits`` are those of each connection, ``is_door`` tells where a WebSocket is."""

    def __init__(self, app: ASGIApp, edge: Edge) -> None:
        super().__init__(
            app,
            http=LineProtocol,
            ws=LineWebSocket,
            ws_max_size=edge.max_frame,
            # Frames of a few words gain nothing by it.
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(edge.proxies),
            forwarded_allow_ips=list(edge.proxies),
            backlog=BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE,
            # By then no connection is left, see shutdown().
            timeout_graceful_shutdown=int(_LAST_BYTES) + 1,
        )
        self.limits = edge.limits
        self.is_door = is_door
        self.certificate = edge.certificate

    @override
    def load(self) -> None:
        super().load()
        if self.certificate is not None:
            self.ssl = self.certificate.context


class _Server(uvicorn.Server):
    """Uvicorn's server; it gives live replies their time, and ends without raising the signal once more."""

    def __init__(
        self, line: Line, edge: Edge, stop_timeout: float, on_started: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(_Config(line.app, edge))
        self._certificate = edge.certificate
        self._line = line
        line.connections = lambda: len(self.server_state.connections)
        self._stop_timeout = stop_timeout
        self._on_started = on_started
        self.failure: OffhookError | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        try:
            # Before the server's own start, which would tell of a failure in many lines.
            await self._line.start()
        except OffhookError as error:
            self.failure = error
            self.should_exit = True
            return
        await super().startup(sockets)
        if self._certificate is not None:
            self._certificate.start()
        self._on_started()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and self.loop is not None:
            # Told a second time: do not wait for the live replies. In a step of its own: a signal may come anywhere.
            self.loop.call_soon_threadsafe(self._line.engine.hurry)
        self.should_exit = True

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._certificate is not None:
            self._certificate.stop()
        # Nobody waits any more for a place that will not come.
        self._line.admission.close()
        await self._line.engine.close(self._stop_timeout)
        # The live replies have ended; only their last bytes may still be on the way, to a client that may not read.
        asyncio.get_running_loop().call_later(_LAST_BYTES, self._abort_connections)
        await super().shutdown(sockets)

    def _abort_connections(self) -> None:
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()


def _run_to_end(serving: Coroutine[Any, Any, None]) -> None:
    """Run the server in a loop of its own.

    What still runs when it has ended is cancelled, and left behind when it ignores that; ``asyncio.Runner`` would
    wait for it without end.
    """
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(serving)
    finally:
        try:
            loop.run_until_complete(_end_tasks())
        finally:
            loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_LAST_TASKS)
        if late:
            return
    await asyncio.get_running_loop().shutdown_asyncgens()


def run(
    line: Line,
    listener: socket.socket,
    *,
    stop_timeout: float,
    edge: Edge | None = None,
    on_started: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGINT or SIGTERM; live replies then have ``stop_timeout`` seconds to end by themselves.

    ``on_started`` is called once requests are taken. Raises SetupError when the line cannot be started.
    """

    def started() -> None:
        # What is there for good is not looked at again: a full collection stops every call for as long as it takes.
        gc.collect()
        gc.freeze()
        # What comes and goes with a turn is mostly freed without it, and a full collection stops every call: the less
        # often it looks, the fewer callers wait for it.
        gc.set_threshold(_NEW_OBJECTS, 20, 20)
        on_started()

    server = _Server(line, edge or Edge(), stop_timeout, started)
    _run_to_end(server.serve(sockets=[listener]))
    if server.failure is not None:
        raise server.failure


class ServerThread:
    """A line that is served in a thread of its own, for the demo and for tests."""

    def __init__(
        self, line: Line, listener: socket.socket, *, stop_timeout: float = 0.0, edge: Edge | None = None
    ) -> None:
        edge = edge or Edge()
        self.base_url = base_url_of(listener, tls=edge.certificate is not None)
        self._started = threading.Event()
        self._server = _Server(line, edge, stop_timeout, self._started.set)
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="offhook-server", daemon=True)

    @property
    def connections(self) -> int:
        """How many connections are open, idle ones included."""
        return len(self._server.server_state.connections)

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Give what a coroutine gives in the server's loop; for other threads, while it runs."""
        assert self._server.loop is not None, "the server has not started"
        return asyncio.run_coroutine_threadsafe(work, self._server.loop).result()

    def start(self) -> None:
        """Return when the server takes requests. Raises SetupError when it does not start."""
        self._thread.start()
        self._started.wait()
        if not self._server.started:
            raise self._server.failure or SetupError("The server did not start; its log says why.")

    def stop(self) -> None:
        """End the server and return when its thread is over."""
        self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        try:
            _run_to_end(self._server.serve(sockets=[self._listener]))
        finally:
            self._started.set()
