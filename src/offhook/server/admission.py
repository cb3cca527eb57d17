"""Admission: which turn may begin now, which waits for a place, and which is refused."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

from offhook.errors import OffhookError, Overloaded, Stopping
from offhook.server.quota import Brake, Quota

if TYPE_CHECKING:
    from starlette.types import Receive

    from offhook.clock import Clock, Timer
    from offhook.server.auth import Owner
    from offhook.server.quota import Claim, KeyUse

# Seconds after a refusal in which the server counts as overloaded: longer than a proxy takes to ask again.
RECENT = 2.0
# Seconds that a client is asked to stay away where waiting was not allowed at all.
_LEAST_RETRY = 1.0


class Place:
    """The right of one turn to run. It is left, or given back, once; what is done to it afterwards does nothing."""

    __slots__ = ("_admission", "_claim")

    def __init__(self, admission: Admission, claim: Claim) -> None:
        self._admission = admission
        self._claim: Claim | None = claim

    def leave(self, tokens: int = 0) -> None:
        """End the turn; ``tokens`` are charged to its key, and the place goes to whoever waits."""
        claim, self._claim = self._claim, None
        if claim is not None:
            self._admission._left(claim, tokens)

    def give_back(self) -> None:
        """Leave as if the turn had never asked: it was not begun, and counts against no limit."""
        claim, self._claim = self._claim, None
        if claim is not None:
            self._admission._given_back(claim)


class Waiting:
    """A new call that waits for a place. Whoever has it awaits ``place``, at once."""

    __slots__ = ("_admission", "answer", "claim", "timer")

    def __init__(self, admission: Admission, claim: Claim, timer: Timer | None = None) -> None:
        self._admission = admission
        self.claim = claim
        self.timer = timer
        # A place, why there is none, or None where the one who waits has gone.
        self.answer: asyncio.Future[Place | OffhookError | None] = asyncio.get_running_loop().create_future()

    async def place(self) -> Place | None:
        """Give the place when it comes, None once ``abandon`` was called. A cancellation leaves no trace.

        Raises Overloaded when none came in time, or another key had more right to wait; Stopping when the server ends.
        """
        try:
            answer = await self.answer
        except asyncio.CancelledError:
            # It may have been given a place in the same step.
            if self.answer.done() and not self.answer.cancelled() and isinstance(given := self.answer.result(), Place):
                given.give_back()
            self._admission._gone(self)
            raise
        if isinstance(answer, OffhookError):
            raise answer
        return answer

    def abandon(self) -> None:
        """Stop waiting; nothing happens when the answer is already there."""
        self._admission._gone(self)


class Admission:
    """Gives turns their places: at most ``turns`` at once (0: no ceiling), beyond which new calls wait.

    At most ``queue`` wait, for at most ``wait`` seconds. ``share`` is the part of the ceiling that one key may take
    where there are several. ``call_idle`` is how many seconds after its last turn a call counts no more by itself.
    ``refused`` counts the new calls for which there was no place.
    """

    def __init__(
        self, clock: Clock, *, turns: int, queue: int, wait: float, share: float, call_idle: float = 900.0
    ) -> None:
        self._clock = clock
        self._quota = Quota(turns=turns, share=share, call_idle=call_idle)
        self._brake = Brake()
        # A caller has one refusal for each of his turns, which he waits for in silence; a client may ask without end.
        self._call_brake = Brake(rate=2.0, free=4)
        self._queue = queue
        self._wait = wait
        self.refused = 0
        # Everybody who waits, the longest first; and the same by key.
        self._waiting: dict[Waiting, None] = {}
        self._by_key: dict[KeyUse, dict[Waiting, None]] = {}
        self._refused_at: float | None = None
        self._closed = False

    @property
    def live(self) -> int:
        """How many turns have a place."""
        return self._quota.live

    @property
    def waiting(self) -> int:
        """How many new calls wait for one."""
        return len(self._waiting)

    @property
    def calls(self) -> int:
        """How many calls with an id count against the limits of their keys."""
        return self._quota.calls

    @property
    def overloaded(self) -> bool:
        """Tell whether the ceiling is reached and nobody more may wait, or a call was refused for it just now."""
        if self._refused_at is not None and self._clock.monotonic() - self._refused_at < RECENT:
            return True
        return self._quota.full and 0 < self._queue <= len(self._waiting)

    def ask(self, owner: Owner, call_id: str | None, *, going_on: bool) -> Place | Waiting:
        """Give a place, or a right to wait for one. ``going_on``: an earlier turn of the call was answered here.

        A turn without a call id is a call of its own. A call that goes on never waits for its free turns
        (``quota.FREE_TURNS``); what it asks for beside them is as a new call. Raises TooMany when a limit of the key is
        reached, Overloaded when nobody more may wait, Stopping when the server ends.
        """
        now = self._clock.monotonic()
        # What could not be given a minute ago may be free by now. Those who wait then have no right to a place that
        # is left, and whoever of the same key comes now has none either.
        self._hand_out()
        key = self._quota.key(owner.id)
        claim = self._quota.reserve(key, owner.limits, call_id, going_on=going_on, now=now)
        if claim.going_on or self._quota.fits(key, now):
            place = self._give(claim)
            self._let_go_on(claim)
            return place
        try:
            if self._closed:
                raise Stopping("The server is going down; try another one.")
            self._make_room_for(key)
        except OffhookError:
            self._quota.give_back(claim)
            raise
        waiting = Waiting(self, claim)
        waiting.timer = self._clock.call_later(self._wait, partial(self._late, waiting))
        self._waiting[waiting] = None
        self._by_key.setdefault(key, {})[waiting] = None
        return waiting

    async def enter(self, owner: Owner, call_id: str | None, *, going_on: bool) -> Place:
        """Give a place, if need be after a wait. Raises as ``ask`` and ``Waiting.place`` do."""
        asked = self.ask(owner, call_id, going_on=going_on)
        place = asked if isinstance(asked, Place) else await asked.place()
        assert place is not None, "nobody else has it, to abandon it"
        return place

    async def hold_back(self, receive: Receive, owner: Owner, call_id: str | None = None) -> bool:
        """Return when a refusal may be answered; False when the client has disconnected. The body must have been read.

        A key that asks again whatever it is told has its refusals held back, so that they cost the others nothing, but
        never longer than ``Brake`` says. ``call_id`` is that of a call that goes on: its refusals wait for each other
        alone.
        """
        now = self._clock.monotonic()
        seconds = self._brake.wait(owner.id, now) if call_id is None else self._call_brake.wait(call_id, now)
        if not seconds:
            return True
        leaving = asyncio.get_running_loop().create_task(_disconnect(receive), name="client that is refused")
        timer = self._clock.call_later(seconds, lambda: _end(leaving))
        try:
            await asyncio.wait({leaving})
        finally:
            timer.cancel()
            leaving.cancel()
        return leaving.cancelled()

    def call_over(self, call_id: str) -> None:
        """Count a call no more: it has ended, or is forgotten. For a call that does not count, nothing happens."""
        self._quota.call_over(call_id)

    def close(self) -> None:
        """Refuse everybody who waits, and let nobody wait from now on."""
        self._closed = True
        for waiting in tuple(self._waiting):
            self._refuse(waiting, Stopping("The server is going down; try another one."))

    def _give(self, claim: Claim) -> Place:
        self._quota.take(claim)
        return Place(self, claim)

    def _left(self, claim: Claim, tokens: int) -> None:
        self._quota.release(claim, tokens, self._clock.monotonic())
        self._let_go_on(claim)
        self._hand_out()

    def _given_back(self, claim: Claim) -> None:
        self._quota.give_back(claim)
        self._let_go_on(claim)
        self._hand_out()

    def _hand_out(self) -> None:
        """Give the free places to those who wait."""
        now = self._clock.monotonic()
        while self._by_key:
            key = self._quota.next_of(self._by_key, now)
            if key is None:
                return
            first = next(iter(self._by_key[key]))
            self._grant(first)
            self._let_go_on(first.claim)

    def _let_go_on(self, claim: Claim) -> None:
        """Give the turns of the claim's call that wait their places, as far as the call has them by right by now."""
        if not self._quota.owes(claim):
            return
        for waiting in tuple(self._waiting):
            if self._quota.same_call(waiting.claim, claim) and self._quota.owes(claim):
                self._grant(waiting)

    def _grant(self, waiting: Waiting) -> None:
        self._remove(waiting)
        if waiting.answer.done():
            # Its task is cancelled, and has not had its step yet.
            self._quota.give_back(waiting.claim)
        else:
            waiting.answer.set_result(self._give(waiting.claim))

    # --- the queue ------------------------------------------------------------------------------------------------

    def _make_room_for(self, key: KeyUse) -> None:
        """Return when one more of the key may wait. Raises Overloaded.

        A full queue is not one key's alone: where another has more in it, the newest of those makes room.
        """
        if len(self._waiting) < self._queue:
            return
        greedy = max(self._by_key, key=lambda one: len(self._by_key[one]), default=key)
        if len(self._by_key.get(greedy, ())) <= len(self._by_key.get(key, ())) + 1:
            raise self._overloaded()
        self._refuse(next(reversed(self._by_key[greedy])), self._overloaded())

    def _overloaded(self) -> Overloaded:
        self.refused += 1
        if self._quota.full:
            self._refused_at = self._clock.monotonic()
        return Overloaded(
            "This server answers as many calls as it may; try again later.",
            retry_after=max(_LEAST_RETRY, self._wait),
        )

    def _refuse(self, waiting: Waiting, why: OffhookError | None) -> None:
        self._remove(waiting)
        self._quota.give_back(waiting.claim)
        if not waiting.answer.done():
            waiting.answer.set_result(why)

    def _gone(self, waiting: Waiting) -> None:
        if waiting in self._waiting:
            self._refuse(waiting, None)

    def _remove(self, waiting: Waiting) -> None:
        del self._waiting[waiting]
        mine = self._by_key[waiting.claim.key]
        del mine[waiting]
        if not mine:
            del self._by_key[waiting.claim.key]
        if waiting.timer is not None:
            waiting.timer.cancel()

    def _late(self, waiting: Waiting) -> None:
        # Its key may be the only one by now, whose share matters no more.
        self._hand_out()
        if waiting in self._waiting:
            self._refuse(waiting, self._overloaded())


async def enter_or_gone(
    admission: Admission, receive: Receive, owner: Owner, call_id: str | None, *, going_on: bool
) -> Place | None:
    """Give a place; None when the client has disconnected while it waited. The body must have been read.

    Raises as ``Admission.enter`` does.
    """
    asked = admission.ask(owner, call_id, going_on=going_on)
    if isinstance(asked, Place):
        return asked
    leaving = asyncio.get_running_loop().create_task(_disconnect(receive), name="client that waits for a place")
    leaving.add_done_callback(lambda _: asked.abandon())
    try:
        return await asked.place()
    finally:
        # Not awaited: a cancellation that comes then would lose the place. It ends in the loop's next step.
        leaving.cancel()


def _end(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _disconnect(receive: Receive) -> None:
    # A receive() that fails has no client either.
    with contextlib.suppress(Exception):
        while (await receive())["type"] != "http.disconnect":
            pass
