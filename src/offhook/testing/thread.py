"""A service that runs on an event loop in a thread of its own, and ends in bounded time."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from offhook.testing.clock import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

# How long the clean-up of a service may take, in seconds.
_STOP = 3.0


class Service(Protocol):
    """What runs in a thread: both methods are awaited on its loop."""

    async def start(self) -> None:
        """Be reachable when this returns."""

    async def stop(self) -> None:
        """Let everything go: connections, tasks, sockets."""


@contextmanager
def in_thread(name: str, service: Service) -> Iterator[None]:
    """Run ``service`` while the context lasts.

    Raises what ``start`` and ``stop`` raise, TimeoutError when it does not start or end in time.
    """
    started = threading.Event()
    failed: list[BaseException] = []
    loop = asyncio.SelectorEventLoop()
    stop = asyncio.Event()

    async def serve() -> None:
        try:
            await service.start()
            started.set()
            await stop.wait()
        finally:
            async with asyncio.timeout(_STOP):
                await service.stop()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())
        except BaseException as error:  # it is raised in the thread that asked for the service
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    in_time = started.wait(PATIENCE)
    try:
        if not in_time:
            raise TimeoutError(f"{name} did not start within {PATIENCE:g} s")
        if not failed:
            yield
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
            thread.join(PATIENCE)
        if thread.is_alive():
            failed.append(TimeoutError(f"{name} did not end within {PATIENCE:g} s"))
    if failed:
        raise failed[0]


async def end_tasks() -> None:
    """Wait for the other tasks of this loop and those that they start; after a second the rest is cancelled."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Door:
    """Accepts connections and gives each to a task of its own; used on one loop only."""

    def __init__(self, serve: Callable[[socket.socket], Coroutine[None, None, None]]) -> None:
        self._serve = serve
        self._open: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def accept_on(self, listener: socket.socket | None) -> None:
        """Accept on this listening socket and no other; the one before is closed."""
        loop = asyncio.get_running_loop()
        before, self._open = self._open, listener
        if before is listener:
            return
        if before is not None:
            loop.remove_reader(before)
            before.close()
        if listener is not None:
            loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            # The client has left already, or the socket was shut down and is closed in a moment.
            return
        client.setblocking(False)
        # asyncio does that only for sockets that it accepts itself; small writes would wait 40 ms for each other.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.create_task(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def bound_socket(port: int = 0) -> socket.socket:
    """Give a loopback socket that holds a port (a free one for 0) and does not listen yet."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", port))
    held.setblocking(False)
    return held


def reset(transport: asyncio.WriteTransport) -> None:
    """Break a connection off with RST; what was not sent is lost."""
    taken = transport.get_extra_info("socket")
    if taken is not None and not transport.is_closing():
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
