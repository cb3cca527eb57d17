"""What a connection tells the application of itself, and when a client that takes nothing is given up."""

from __future__ import annotations

import fcntl
import logging
import sys
import termios
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from offhook.clock import Timer

log = logging.getLogger("offhook.server")

# The names in the scope's extensions: of a ``Flow``, of a ``Hold``, and of a list of what is called before a WebSocket
# is closed because the server goes down.
FLOW = "offhook.flow"
HOLD = "offhook.hold"
FAREWELL = "offhook.farewell"

# With so many bytes that are not sent a transport is full.
MOST_UNSENT = 64 * 1024


class Flow(Protocol):
    """The sending side of a connection: whether its transport is full, and a wait until it is not."""

    write_paused: bool

    async def drain(self) -> None:
        """Return when the transport takes bytes again, or the client has gone."""


class Exit:
    """What a response is written to: the transport itself, save that closing it is the connection's to do."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class Hold:
    """What a connection holds for its client, and the end of it."""

    __slots__ = ("_cut", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._cut = False

    @property
    def gone(self) -> bool:
        """Tell whether nothing more can be sent."""
        return self._transport.is_closing()

    def pending(self) -> int:
        """Give how many bytes the client has not taken: those of this process and, on Linux, of the machine."""
        return self._transport.get_write_buffer_size() + _unsent(self._transport)

    def cut_off(self) -> None:
        """Break the connection off, since its client takes nothing; what it holds is lost. The log says so once."""
        if not self._cut:
            self._cut = True
            log.warning("a client that took nothing was cut off")
        self._transport.abort()


class Patience:
    """Calls ``give_up`` once a client has taken nothing for ``seconds``; one that takes a byte has as long again.

    Once all is taken it ends by itself. Nothing may be sent to it meanwhile: what is pending then only shrinks.
    """

    __slots__ = ("_give_up", "_hold", "_later", "_left", "_seconds", "_timer")

    def __init__(
        self,
        hold: Hold,
        later: Callable[[float, Callable[[], None]], Timer],
        seconds: float,
        give_up: Callable[[], None],
    ) -> None:
        self._hold = hold
        self._later = later
        self._seconds = seconds
        self._give_up = give_up
        self._left = hold.pending()
        self._timer = later(seconds, self._look)

    def cancel(self) -> None:
        """Wait for it no more."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._hold.pending()
        if not left:
            return
        if left < self._left:
            self._left = left
            self._timer = self._later(self._seconds, self._look)
        else:
            self._give_up()


def _unsent(transport: asyncio.Transport) -> int:
    """Give how many bytes the machine holds for the client; 0 where it does not say."""
    connection = transport.get_extra_info("socket")
    if connection is None or sys.platform != "linux":
        return 0
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError, RuntimeError):
        # The connection has gone.
        return 0
    return int.from_bytes(answer, sys.byteorder)
