"""The way out of a WebSocket, and the readers of the replies that share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
from typing_extensions import override

from offhook.dialects.base import Delivery
from offhook.events import Aside, Command, Event, Finish, Text, Usage
from offhook.server.outlet import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Message, Scope, Send

    from offhook.clock import Clock
    from offhook.dialects.base import Piece
    from offhook.server.stream import Face

# So many frames may wait for a client before nothing more is read of it.
MOST_WAITING = 64


class _Mark(NamedTuple):
    """Whose frame it is, how much of the reply's text it and those before it carry, and whether it is the last."""

    reader: FrameReader | None = None
    length: int = 0
    last: bool = False


class SocketOutlet(Channel[_Mark]):
    """The way out of one WebSocket: the frames of its replies, in the order in which they were written.

    A frame for a client that has gone, or after the end, goes nowhere.
    """

    __slots__ = ("_gone", "_over")

    def __init__(self, scope: Scope, send: Send, *, clock: Clock, patience: float) -> None:
        async def safely(message: Message) -> None:
            try:
                await send(message)
            except (OSError, RuntimeError):
                # ASGI: what is sent to a client that has gone may raise the one; the other comes behind a close.
                self._gone = self._over = True

        super().__init__(scope, safely, clock=clock, patience=patience)
        self._gone = self._over = False

    @property
    def waiting(self) -> int:
        """How many frames wait for the client."""
        return len(self._waiting)

    @property
    def _open(self) -> bool:
        return not self._over and not (self._hold is not None and self._hold.gone)

    def frame(self, text: str, reader: FrameReader | None = None, length: int = 0, *, last: bool = False) -> None:
        """Send a frame; ``length`` and ``last`` tell its reader how far it came once it has gone out."""
        if self._open:
            self.put({"type": "websocket.send", "text": text}, _Mark(reader, length, last))

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, behind what still waits; nothing goes out any more afterwards."""
        if self._open:
            self.put({"type": "websocket.close", "code": code, "reason": reason}, _Mark())
        self._over = True

    def take_back(self, reader: FrameReader) -> None:
        """Forget what waits of a reply that nobody wants any more."""
        kept = [waiting for waiting in self._waiting if waiting[1].reader is not reader]
        self._waiting.clear()
        self._waiting.extend(kept)

    @override
    def _went(self, message: Message, mark: _Mark) -> None:
        if mark.reader is not None and not self._gone:
            mark.reader.went(mark.length, last=mark.last)


class Frames(Protocol):
    """Writes one reply as a platform's frames. Pure."""

    def write(self, pieces: Sequence[Piece]) -> list[str]:
        """Give the frames of what comes next."""

    def finish(self) -> list[str]:
        """Give the frames that end the reply."""


class FrameReader:
    """A reader that writes a reply into a WebSocket, within the writer's own step.

    Where the end is held, all but the frames that end the reply goes out at once.
    """

    def __init__(self, face: Face, frames: Frames, outlet: SocketOutlet, clock: Clock) -> None:
        self._face = face
        self._frames = frames
        self._outlet = outlet
        self._clock = clock
        self._delivery = Delivery(face.options, face.offered)
        self._said: list[str] = []
        # Where in the text something was said that is no part of the reply, and how long that is.
        self._asides: list[tuple[int, int]] = []
        self._length = 0
        self._muted = False
        self._over = False
        self._ended = False
        self._held: list[str] = []
        self._sent = 0
        self._delivered = False
        self.first_byte: float | None = None
        # Called once the frames that end the reply are on their way.
        self.on_over: Callable[[], None] = lambda: None

    @property
    def blocked(self) -> bool:
        return not self._muted and self._outlet.blocked

    @property
    def sent(self) -> int:
        return self._sent

    @property
    def delivered(self) -> bool:
        return self._delivered

    @property
    def text(self) -> str:
        """What has gone out of the reply, as the caller is told it."""
        return "".join(self._said)[: self._sent]

    async def drain(self) -> None:
        if not self._muted:
            await self._outlet.drain()

    def read(self, events: Sequence[Event]) -> None:
        pieces: list[Piece] = []
        for event in events:
            if isinstance(event, Finish):
                self._put(self._frames.write(pieces))
                if not self._over:
                    self._finish(event)
                return
            if isinstance(event, Usage):
                continue
            if pieces and isinstance(event, Command):
                self._go_on()
            pieces.extend(self._face.dialect.write(event, self._delivery))
            if isinstance(event, Text | Aside):
                self._said.append(event.text)
                if isinstance(event, Aside):
                    self._asides.append((self._length, len(event.text)))
                self._length += len(event.text)
        self._put(self._frames.write(pieces))

    def end(self) -> None:
        held, self._held = self._held, []
        self._ended = self._ended or bool(held)
        for at, frame in enumerate(held, 1):
            self._out(frame, last=at == len(held))
        if held:
            self.on_over()

    def mute(self) -> None:
        """Say nothing more: the platform does not want this reply any more. What still waits is forgotten."""
        self._muted = True
        self._held = []
        self._outlet.take_back(self)

    def cut(self) -> None:
        """Say nothing more but that the reply ends here, where some of it has gone out."""
        unfinished = self.first_byte is not None and not self._ended and not self._muted
        self.mute()
        if unfinished:
            for frame in self._frames.finish():
                self._outlet.frame(frame)

    def said_at(self, place: int) -> int:
        """Give the offset into the reply's own words that belongs to an offset into ``text``."""
        return place - sum(min(length, max(0, place - start)) for start, length in self._asides)

    def went(self, length: int, *, last: bool) -> None:
        """Note that a frame has gone out."""
        self._sent = length
        self._delivered = self._delivered or last

    def _finish(self, finish: Finish) -> None:
        self._over = True
        if finish.reason in ("superseded", "cancelled") and not finish.excused:
            self.mute()
            return
        self._held = self._frames.finish()
        if not self._face.holds:
            self.end()

    def _put(self, frames: Sequence[str]) -> None:
        for frame in frames:
            self._out(frame)

    def _go_on(self) -> None:
        if not self._delivery.begun:
            self._delivery = msgspec.structs.replace(self._delivery, begun=True)

    def _out(self, frame: str, *, last: bool = False) -> None:
        if self._muted:
            return
        if self.first_byte is None:
            self.first_byte = self._clock.monotonic()
            self._go_on()
        self._outlet.frame(frame, self, self._length, last=last)


def frame_of(fields: dict[str, Any]) -> str:
    """Give an object as the text of a frame."""
    return msgspec.json.encode(fields).decode()
