"""Reads lines from a file descriptor without blocking the event loop, and without keeping the process alive."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable

_READ = 4096


class Lines:
    """The lines of a descriptor, from ``open`` until ``close``.

    Terminals, pipes and sockets are watched by the loop. What it refuses to watch (regular files, ``/dev/null``) is
    read by a daemon thread. ``on_arrival`` is called when a line, or the end, has arrived; the line stays in the queue.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[str] = deque()
        self._rest = b""
        self._ended = False
        self._watched = False
        self._waiter: asyncio.Future[None] | None = None
        self.on_arrival: Callable[[], object] | None = None

    def open(self) -> None:
        """Begin to read, in the running loop."""
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(self._descriptor, self._readable)
            self._watched = True
        except (OSError, NotImplementedError, ValueError):
            threading.Thread(target=self._read_all, args=(loop,), name="stdin", daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        if self._watched:
            self._watched = False
            asyncio.get_running_loop().remove_reader(self._descriptor)

    async def next(self) -> str | None:
        """Give the next line without its end, None at the end of the input; may be cancelled without loss."""
        while not self._lines:
            if self._ended:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._lines.popleft()

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return
        except OSError:
            # A terminal that went away (EIO) is the end of the input.
            data = b""
        if not data:
            self.close()
        self._take(data)

    def _read_all(self, loop: asyncio.AbstractEventLoop) -> None:
        data = b"x"
        while data:
            try:
                data = os.read(self._descriptor, _READ)
            except OSError:
                data = b""
            try:
                loop.call_soon_threadsafe(self._take, data)
            except RuntimeError:
                return  # The loop is closed: nobody listens any more.

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data:
            self._ended = True
            if self._rest:
                lines.append(self._rest)
                self._rest = b""
        self._lines.extend(line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines)
        if not lines and data:
            return
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self.on_arrival is not None:
            self.on_arrival()
