"""One WebSocket of a platform: its turns, one after the other, until it closes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from offhook.dialects.base import Arrival
from offhook.errors import OffhookError, Overloaded, Stopping, TooMany
from offhook.server.doors.socket import FrameReader, SocketOutlet
from offhook.server.reception import Guest
from offhook.server.websocket import GOING_AWAY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Message

    from offhook.clock import Clock, Timer
    from offhook.dialects.base import Dialect
    from offhook.server.auth import Owner
    from offhook.server.door import Visit
    from offhook.server.doors.socket import Frames
    from offhook.server.reception import Prepared, Reception
    from offhook.turns.live import LiveTurn
    from offhook.wire.chat import ChatRequest

log = logging.getLogger("offhook.server")

# RFC 6455, 7.4.1, and the registry of close codes it opens: a policy is violated, the server failed, try again later.
POLICY, FAILED, LATER = 1008, 1011, 1013
# Seconds that turns which still wait to begin have to end when their WebSocket has closed.
_LONGEST_CLEAN_UP = 2.0


class Ended(Exception):
    """The server ends the WebSocket, with a close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Asking:
    """A turn that the platform asked for, from its frame until nobody wants it any more."""

    def __init__(self, prepared: Prepared, reader: FrameReader, reception: Reception) -> None:
        self.prepared = prepared
        self.reader = reader
        self._reception = reception
        self._gone = asyncio.Event()
        self._begun = False
        self._live: LiveTurn | None = None

    @property
    def wanted(self) -> bool:
        """Tell whether somebody wants it still."""
        return not self._gone.is_set()

    async def begin(self, on_refused: Callable[[str | None], None]) -> None:
        """Begin the turn, unless somebody leaves it before. Raises as ``Reception.begin`` does."""
        self._begun = True
        live = await self._reception.begin(self.prepared, self.reader, self._left, on_refused)
        if live is None:
            return
        self._live = live
        if self._gone.is_set():
            self._reception.leave(live, self.reader)

    def give_up(self) -> bool:
        """Do not begin the turn if it has not begun: a newer one is asked for. True where nothing was done for it."""
        if self._live is None:
            self._gone.set()
        return not self._begun

    def heard(self, characters: int) -> None:
        """Take how many characters of what went out were spoken."""
        if self._live is not None:
            self._reception.heard(self._live, self.reader.said_at(characters))

    def leave(self) -> None:
        """Want the turn no more: a reply that goes on is cancelled within this step; once."""
        self.reader.mute()
        if self._gone.is_set():
            return
        self._gone.set()
        if self._live is not None:
            self._reception.leave(self._live, self.reader)

    async def _left(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}


class Session:
    """What the WebSockets of all platforms have in common. A subclass says what the frames mean.

    ``check`` gives whose the session is, and raises BadKey or NotAllowed; it is asked again for every turn.
    """

    dialect: ClassVar[Dialect]

    def __init__(
        self,
        *,
        visit: Visit,
        check: Callable[[], Owner],
        model: str,
        outlet: SocketOutlet,
        reception: Reception,
        clock: Clock,
        on_refused: Callable[[str | None], None],
    ) -> None:
        self.visit = visit
        self.check = check
        self.model = model
        self.outlet = outlet
        self.reception = reception
        self.clock = clock
        self._on_refused = on_refused
        self._askings: list[Asking] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushing: asyncio.Task[None] | None = None
        self._puzzled = False
        # What the call of its turns is held under, None until there is one.
        self.call_key: str | None = None

    def opened(self) -> None:
        """Say what the platform expects to hear first."""

    def hear(self, frame: Mapping[str, Any]) -> None:
        """Take a frame. Raises Ended when the WebSocket is to be closed."""

    def last_words(self) -> None:
        """Send what waits for its time: the server goes down, and closes the WebSocket."""

    def closed(self) -> None:
        """Take that the WebSocket has closed; the turns have been left by then."""

    def puzzled(self, what: str) -> None:
        """Pass over a frame that says nothing to us; the log says so once for a WebSocket."""
        if not self._puzzled:
            self._puzzled = True
            said = {"what": what, "platform": self.dialect.name, "request": self.visit.request_id}
            log.warning("a frame was passed over: %(what)s (platform %(platform)s) request=%(request)s", said)

    def ask(self, request: ChatRequest, frames: Frames) -> Asking:
        """Ask for a turn; the one before it is left once this one has begun, and superseded by that.

        Raises Ended when the key that opened the session is good no more.
        """
        try:
            owner = self.check()
        except OffhookError as error:
            self._on_refused(error.code)
            raise Ended(POLICY, "The key is not good any more.") from None
        arrival = Arrival(request=request, headers=self.visit.headers, query=self.visit.query, path=self.visit.path)
        guest = Guest(arrival, self.dialect, owner, self.clock.new_id("req_"), self.clock.monotonic())
        prepared = self.reception.prepare(guest)
        self.call_key = prepared.opening.call_key
        asking = Asking(prepared, FrameReader(prepared.face, frames, self.outlet, self.clock), self.reception)
        # Those before it were given up when it came.
        if self._askings and self._askings[-1].give_up():
            # Of many frames that come at once only the newest becomes a turn.
            self._askings.pop()
        self._askings.append(asking)
        task = asyncio.get_running_loop().create_task(self._run(asking), name="turn that a frame asks for")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return asking

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Have something done after so many seconds; what it raises as Ended closes the WebSocket."""

        def ring() -> None:
            try:
                callback()
            except Ended as end:
                self.outlet.close(end.code, end.reason)
            self.flush()

        return self.clock.call_later(seconds, ring)

    def flush(self) -> None:
        """Have what waits sent as soon as the client takes it; one that takes nothing is cut off in the end."""
        if self.outlet.waiting and (self._flushing is None or self._flushing.done()):
            self._flushing = asyncio.get_running_loop().create_task(self.outlet.drain(), name="frames that wait")
            self._tasks.add(self._flushing)
            self._flushing.add_done_callback(self._tasks.discard)

    def leave(self) -> None:
        """Leave every turn, at once."""
        askings, self._askings = self._askings, []
        for asking in askings:
            asking.leave()

    async def close(self) -> None:
        """Leave every turn, and return when none is left that would still begin."""
        self.leave()
        self.closed()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=_LONGEST_CLEAN_UP)
            for task in late:
                task.cancel()

    async def _run(self, asking: Asking) -> None:
        if not asking.wanted:
            return
        try:
            await asking.begin(self._on_refused)
        except OffhookError as error:
            self._on_refused(error.code)
            self._refused(error)
        except Exception:
            # A defect of this server. The platform may come back, the log gets the rest.
            log.exception("a turn could not begin: request=%s", asking.prepared.opening.request_id)
            self.outlet.close(FAILED, "The server failed.")
        finally:
            self._leave_those_before(asking)

    def _leave_those_before(self, asking: Asking) -> None:
        if asking in self._askings:
            place = self._askings.index(asking)
            earlier, self._askings = self._askings[:place], self._askings[place:]
            for one in earlier:
                one.leave()

    def _refused(self, error: OffhookError) -> None:
        code = GOING_AWAY if isinstance(error, Stopping) else LATER
        said = {"code": error.code, "request": self.visit.request_id}
        log.info("a turn was refused: %(code)s request=%(request)s", said)
        if isinstance(error, Stopping | TooMany | Overloaded):
            self.outlet.close(code, "Try again later.")
        else:
            self.outlet.close(FAILED, "The turn cannot be answered.")


def model_of(named: str | None, reception: Reception) -> str:
    """Give the ModelId that a session is for: the one that is named, else the only one that there is.

    Raises UnknownModel when nobody answers for it, or when none is named and there are several.
    """
    ids = reception.directory.model_ids
    model = named or (ids[0] if len(ids) == 1 else "")
    reception.directory.answering(model)
    return model


def with_key(visit: Visit, key: str | None) -> Visit:
    """Give the visit with a key that came in another way, where it has none in its headers."""
    if key is None or "api-key" in visit.headers:
        return visit
    return msgspec.structs.replace(visit, headers={**visit.headers, "api-key": key})
