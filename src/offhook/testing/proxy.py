"""A TCP proxy whose network fails as it is told to, while it runs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from offhook.clock import SystemClock
from offhook.testing.clock import PATIENCE
from offhook.testing.thread import Door, bound_socket, end_tasks, in_thread, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Way = Literal["up", "down"]

_READ = 65536
# A way that holds so many bytes which are not due yet reads no more.
_HELD = 1024 * 1024
# By then, in seconds, a client that reads has read what was sent.
_READ_BY = 0.01
# A limited way passes what is due so many times a second.
_TICKS = 50


class _Cut(NamedTuple):
    """Connections end after so many bytes; ``number`` tells one order from the one before."""

    number: int
    size: int
    reset: bool


class _Flow:
    """One way of one connection: what was read and did not pass yet. None stands for a connection that broke."""

    def __init__(
        self, pair: _Pair, proxy: FaultProxy, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._pair = pair
        self._proxy = proxy
        self._way = way
        self._reader = reader
        self._writer = writer
        self._held: deque[tuple[float, bytes | None]] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._cut: _Cut | None = None
        self._left = 0
        self.closed = False

    async def run(self) -> None:
        """Pass bytes until the end came and has passed, or the pair was ended."""
        reading = asyncio.create_task(self._read())
        try:
            await self._write()
        except ConnectionError:
            self._pair.reset()
        finally:
            await reading

    def wake(self) -> None:
        """Look at the proxy's behaviour again."""
        self._changed.set()

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(_READ):
                self._hold(data)
                while self._size > _HELD and not self.closed:
                    await self._change(None)
        except ConnectionError:
            # That it broke comes late, and not through a freeze, as its bytes do.
            self._hold(None)
        else:
            self._hold(b"")

    def _hold(self, data: bytes | None) -> None:
        if not self.closed:
            self._held.append((self._proxy.clock.monotonic() + self._proxy.delay, data))
            self._size += len(data or b"")
            self.wake()

    async def _write(self) -> None:
        proxy = self._proxy
        while not self.closed:
            wait = self._wait()
            if wait is None or wait > 0 or proxy.is_frozen(self._way):
                await self._change(wait if wait is not None and wait > 0 else None)
                continue
            due, data = self._held.popleft()
            if data is None:
                raise ConnectionResetError
            if not data:
                with suppress(OSError):
                    self._writer.write_eof()
                return
            rest = await self._pass(data)
            if rest:
                self._held.appendleft((due, rest))
            self._size -= len(data) - len(rest)
            self.wake()

    def _wait(self) -> float | None:
        """Give the seconds until the next bytes are due, None when there are none."""
        if not self._held:
            return None
        return self._held[0][0] - self._proxy.clock.monotonic() if self._proxy.delay else 0.0

    async def _pass(self, data: bytes) -> bytes:
        """Pass what may pass now and give the rest. Raises ConnectionError when the other side has broken off."""
        proxy = self._proxy
        rate, cut = proxy.rate, proxy.cut if self._way == "down" else None
        allowed = len(data) if rate is None else max(1, rate // _TICKS)
        if cut is not None:
            if cut is not self._cut:
                self._cut, self._left = cut, cut.size
            allowed = min(allowed, self._left)
        passed = data[:allowed]
        if not proxy.let_pass(self._way, self._writer, passed):
            return data
        await self._writer.drain()
        if cut is not None:
            self._left -= len(passed)
            if not self._left:
                # A reset takes along what its client has not read yet.
                await proxy.clock.sleep(_READ_BY)
                self._pair.end(by_reset=cut.reset)
        if rate is not None:
            await proxy.clock.sleep(len(passed) / rate)
        return data[allowed:]

    async def _change(self, seconds: float | None) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()


class _Pair:
    """The connection of a client and the one to the target that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.flows: list[_Flow] = []

    def reset(self) -> None:
        """Break both off with RST."""
        self.end(by_reset=True)

    def end(self, *, by_reset: bool) -> None:
        """End both with RST or FIN; nothing passes any more."""
        for flow in self.flows:
            flow.closed = True
            flow.wake()
        for writer in self.writers:
            if by_reset:
                reset(writer.transport)
            else:
                with suppress(OSError):
                    writer.write_eof()


class FaultProxy:
    """Passes bytes between its clients and one target, as well as its behaviour lets it; change that from any thread.

    What is ordered is in force for every byte from the return of the method on; connections that are to end do so
    at once after it. ``delay`` is the latency in seconds, ``rate`` the limit in bytes per second.

    ``connections`` were made, ``live`` of them are open, ``bytes_up`` and ``bytes_down`` were passed to the target
    and to the clients.
    """

    def __init__(self, target_base_url: str) -> None:
        parts = urlsplit(target_base_url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError("the target is the base URL of an HTTP service, such as http://127.0.0.1:8000/v1")
        self._host, self._port, self._path = parts.hostname, parts.port or 80, parts.path
        self.clock = SystemClock()
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._holder: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._door = Door(self._serve)
        self._pairs: set[_Pair] = set()
        self._frozen: set[Way] = set()
        self._stopping = False
        self._cuts = 0
        self.delay = 0.0
        self.rate: int | None = None
        self.cut: _Cut | None = None
        self.connections = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.base_url = ""

    @property
    def live(self) -> int:
        """How many clients are connected."""
        return len(self._pairs)

    def restore(self) -> None:
        """Pass everything at once again, and what was held back first; listen again."""
        with self._lock:
            self.delay, self.rate, self.cut = 0.0, None, None
            self._frozen.clear()
        if self._listener is None:
            self._listener = self._listen()
        listener = self._listener
        self._do(lambda: self._door.accept_on(listener))

    def latency(self, seconds: float) -> None:
        """Pass what comes from now on so many seconds later, each way."""
        self.delay = seconds
        self._do()

    def freeze(self, way: Way | None = None) -> None:
        """Pass nothing ``up`` to the target, ``down`` to the clients, or both; ends and resets do not pass either."""
        with self._lock:
            self._frozen |= {"up", "down"} if way is None else {way}
        self._do()

    def limit(self, bytes_per_second: int) -> None:
        """Pass so many bytes per second, each way of each connection. Raises ValueError when that is none."""
        if bytes_per_second < 1:
            raise ValueError("a limit is at least one byte per second; freeze() passes none")
        self.rate = bytes_per_second
        self._do()

    def cut_after(self, size: int, *, reset: bool = False) -> None:
        """End each connection, new ones too, once ``size`` more bytes went to its client: by FIN, or by RST."""
        if size < 1:
            raise ValueError("at least one byte passes before the cut")
        self._cuts += 1
        self.cut = _Cut(self._cuts, size, reset)
        self._do()

    def reset(self) -> None:
        """Break every connection off with RST."""
        self._do(lambda: self._end_all(by_reset=True))

    def close(self) -> None:
        """End every connection with FIN on both sides; nothing passes on them any more."""
        self._do(lambda: self._end_all(by_reset=False))

    def refuse(self) -> None:
        """Close the port: new connections are refused; those that are open stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # Where a listening socket cannot be shut down it is closed a moment later.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            self._do(lambda: self._door.accept_on(None))

    def wait_for_live(self, count: int = 0, timeout: float = PATIENCE) -> None:
        """Return when exactly so many clients are connected. Raises TimeoutError after ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.live == count, timeout):
                raise TimeoutError(f"{self.live} clients are connected, not {count}")

    def is_frozen(self, way: Way) -> bool:
        """Tell whether nothing passes this way."""
        return way in self._frozen

    def let_pass(self, way: Way, writer: asyncio.StreamWriter, data: bytes) -> bool:
        """Write unless the way is frozen, and tell which: no byte passes once ``freeze`` has returned."""
        with self._lock:
            if self.is_frozen(way):
                return False
            if way == "up":
                self.bytes_up += len(data)
            else:
                self.bytes_down += len(data)
            writer.write(data)
        return True

    def _do(self, act: Callable[[], object] = lambda: None) -> None:
        """Do something on the loop of the proxy, and let every connection look at the behaviour again."""

        def do() -> None:
            act()
            for pair in self._pairs:
                for flow in pair.flows:
                    flow.wake()

        assert self._loop is not None, "the proxy runs"
        self._loop.call_soon_threadsafe(do)

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self._loop = asyncio.get_running_loop()
        # The port stays ours while nobody listens on it.
        self._holder = bound_socket()
        self._listener = self._listen()
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{self._path}"
        self._door.accept_on(self._listener)

    async def stop(self) -> None:
        """Break every connection off and close the port."""
        self._stopping = True
        self._listener = None
        self._door.accept_on(None)
        self._end_all(by_reset=True)
        await end_tasks()
        if self._holder is not None:
            self._holder.close()

    def _listen(self) -> socket.socket:
        assert self._holder is not None, "the proxy runs"
        listener = bound_socket(self._holder.getsockname()[1])
        listener.listen(128)
        return listener

    async def _serve(self, client: socket.socket) -> None:
        if self._stopping:
            client.close()
            return
        reader, writer = await asyncio.open_connection(sock=client)
        pair = _Pair(writer)
        with self._changed:
            self.connections += 1
            self._pairs.add(pair)
            self._changed.notify_all()
        try:
            target_reader, target_writer = await asyncio.open_connection(self._host, self._port)
            pair.writers.append(target_writer)
            if self._stopping or writer.transport.is_closing():  # It was reset while the target was called.
                pair.reset()
                return
            pair.flows = [
                _Flow(pair, self, "up", reader, target_writer),
                _Flow(pair, self, "down", target_reader, writer),
            ]
            await asyncio.gather(*(flow.run() for flow in pair.flows))
        except OSError:
            # The target is not there. The client is let connect before it learns that.
            await self.clock.sleep(_READ_BY)
            pair.reset()
        finally:
            await _let_go(pair)
            with self._changed:
                self._pairs.discard(pair)
                self._changed.notify_all()

    def _end_all(self, *, by_reset: bool) -> None:
        for pair in self._pairs:
            pair.end(by_reset=by_reset)


async def _let_go(pair: _Pair) -> None:
    """Close both connections, within a second each."""
    for writer in pair.writers:
        try:
            writer.close()
            async with asyncio.timeout(1.0):
                await writer.wait_closed()
        except (TimeoutError, OSError):
            writer.transport.abort()


@contextmanager
def fault_proxy(target_base_url: str) -> Iterator[FaultProxy]:
    """Run a ``FaultProxy`` on a free loopback port, in a thread of its own; its base URL has the target's path.

    Raises ValueError when the target is not the base URL of an HTTP service.
    """
    proxy = FaultProxy(target_base_url)
    with in_thread("fault-proxy", proxy):
        yield proxy
