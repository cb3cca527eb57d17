"""Runs a line: binds its address, serves it, and ends it in good order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop
from typing_extensions import override

from offhook.errors import SetupError
from offhook.server.protocol import LineProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import FrameType

    from offhook.server.line import Line

_BACKLOG = 2048
# Longer than a person thinks between two sentences, so that the platform's connection is still there.
_KEEP_ALIVE = 75
# Seconds that a client has to take the last bytes of a reply when the server ends.
_LAST_BYTES = 1.0
# Seconds that tasks have to end when they are cancelled at the very end.
_LAST_TASKS = 1.0


def bind(host: str, port: int) -> socket.socket:
    """Give a socket bound to the address. Raises SetupError, in one line, when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, ValueError) as error:
        # ValueError: what Python's own rules for host names do not let through.
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise SetupError(f"The address {host!r} cannot be listened on: {why}.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listening already here: a second server on the same port is refused now, not later.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SetupError(
            f"Port {port} on {host} cannot be used: {error.strerror}. "
            "Stop the other program, or choose another with --port (0 takes a free one)."
        ) from None
    listener.setblocking(False)
    return listener


def base_url_of(listener: socket.socket) -> str:
    """Give the base URL at which a socket is reached from this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if listener.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


class _Server(uvicorn.Server):
    """Uvicorn's server; it gives live replies their time, and ends without raising the signal once more."""

    def __init__(self, line: Line, stop_timeout: float, on_started: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            uvicorn.Config(
                line.app,
                http=LineProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE,
                # By then no connection is left, see shutdown().
                timeout_graceful_shutdown=int(_LAST_BYTES) + 1,
            )
        )
        self._line = line
        self._stop_timeout = stop_timeout
        self._on_started = on_started
        self._loop: asyncio.AbstractEventLoop | None = None

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
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
        if self.should_exit and self._loop is not None:
            # Told a second time: do not wait for the live replies. In a step of its own: a signal may come anywhere.
            self._loop.call_soon_threadsafe(self._line.engine.hurry)
        self.should_exit = True

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
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
    line: Line, listener: socket.socket, *, stop_timeout: float, on_started: Callable[[], None] = lambda: None
) -> None:
    """Serve until SIGINT or SIGTERM; live replies then have ``stop_timeout`` seconds to end by themselves.

    ``on_started`` is called once requests are taken.
    """
    _run_to_end(_Server(line, stop_timeout, on_started).serve(sockets=[listener]))


class ServerThread:
    """A line that is served in a thread of its own, for the demo and for tests."""

    def __init__(self, line: Line, listener: socket.socket, *, stop_timeout: float = 0.0) -> None:
        self.base_url = base_url_of(listener)
        self._started = threading.Event()
        self._server = _Server(line, stop_timeout, self._started.set)
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="offhook-server", daemon=True)

    @property
    def connections(self) -> int:
        """How many connections are open, idle ones included."""
        return len(self._server.server_state.connections)

    def start(self) -> None:
        """Return when the server takes requests. Raises SetupError when it does not start."""
        self._thread.start()
        self._started.wait()
        if not self._server.started:
            raise SetupError("The server did not start; its log says why.")

    def stop(self) -> None:
        """End the server and return when its thread is over."""
        self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        try:
            _run_to_end(self._server.serve(sockets=[self._listener]))
        finally:
            self._started.set()
