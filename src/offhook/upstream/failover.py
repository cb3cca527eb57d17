"""Several model services behind one line: who is asked, who is given up, and whose words are passed on.

Within one model request an attempt may be replaced until its first useful event: speakable text, or whole tool calls.
From then on the answer is its own. What was written to a client is never said again by another attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from offhook.errors import UpstreamBusy, UpstreamError, UpstreamTimeout, UpstreamUnfit
from offhook.events import Event
from offhook.upstream.answering import Answering
from offhook.upstream.health import Budget, choose, order, retry_after_seconds
from offhook.upstream.spec import UpstreamSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from offhook.clock import Clock, Timer
    from offhook.upstream.attempt import Upstream

log = logging.getLogger("offhook.upstream")

# Seconds that attempts which were ended have to be gone in, before the turn goes on without them.
_LONGEST_CLEAN_UP = 2.0
_TOO_LATE = "The model service had nothing to say in time."


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """When an attempt is given up or doubled; the settings ``failover_*``, times in seconds."""

    first_useful: float = 4.0
    hedge_after: float = 0.0
    hedge_share: float = 0.05
    stall_after: float = 5.0
    attempts: int = 3
    retry_share: float = 0.2


class Ask(msgspec.Struct, frozen=True):
    """One model request: what to send to a service, and what it belongs to.

    ``key`` keeps a call at one service. ``note`` is given the events that are recorded and never sent. ``round`` counts
    the model requests of a turn, and ``first_number`` is that of its first attempt. ``spoken`` and ``tags`` are those
    of the ``Translator``.
    """

    body: Callable[[UpstreamSpec], dict[str, Any]]
    headers: Callable[[UpstreamSpec], Mapping[str, str]]
    key: str
    note: Callable[[Event], None]
    round: int = 1
    first_number: int = 1
    spoken: bool = False
    tags: tuple[str, ...] = ()


class Failover:
    """The model services of an agent, and what is known of their health."""

    def __init__(self, upstreams: Sequence[Upstream], rules: Rules, clock: Clock) -> None:
        self.upstreams = tuple(upstreams)
        self.rules = rules
        self.clock = clock
        self.breakers = [upstream.breaker for upstream in self.upstreams]
        self.retries = Budget(rules.retry_share)
        self.hedges = Budget(rules.hedge_share, burst=2.0)
        self._weights = [(upstream.spec.name, upstream.spec.weight) for upstream in self.upstreams]

    async def warm_up(self) -> None:
        """Make the first connections."""
        await asyncio.gather(*(upstream.warm_up() for upstream in self.upstreams))

    async def close(self) -> None:
        """Close the idle connections."""
        for upstream in self.upstreams:
            await upstream.close()

    def ask(self, ask: Ask) -> Answer:
        """Give a context that asks, and reads the answer; leaving it ends every attempt at once."""
        return Answer(self, ask)

    def order(self, key: str) -> list[int]:
        """Give the services in the order in which this request may ask them."""
        if len(self.upstreams) == 1:
            return [0]
        return choose(order(self._weights, key), self.breakers, self.clock.monotonic())


class Answer:
    """The answer to one model request, from whichever service gives it. ``number`` counts its attempts on."""

    def __init__(self, failover: Failover, ask: Ask) -> None:
        self._failover = failover
        self._rules = failover.rules
        self._clock = failover.clock
        self._ask = ask
        self._running: dict[asyncio.Task[list[Event]], Answering] = {}
        self._winner: Answering | None = None
        # Beside whom a second one was asked, and that one.
        self._hedges: list[tuple[Answering, Answering]] = []
        self._left: list[int] = []
        # Those that were late, or failed in a way that another try may mend: asked once more when nobody else is left.
        self._again: list[int] = []
        self._begun = 0
        self._error: UpstreamError | None = None
        self._wake = asyncio.Event()
        self._timers: list[Timer] = []
        # Cancelled, and on their way out.
        self._ended: list[asyncio.Task[list[Event]]] = []
        self.number = ask.first_number

    async def __aenter__(self) -> Answer:
        self._failover.retries.request()
        self._failover.hedges.request()
        self._left = self._failover.order(self._ask.key)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._forget_timers()
        if self._winner is not None:
            self._winner.close()
        for task in tuple(self._running):
            self._end(task, None)
        if self._ended:
            await asyncio.wait(self._ended, timeout=_LONGEST_CLEAN_UP)

    async def read(self) -> list[Event] | None:
        """Give the next events of the answer: first what the fastest attempt has, then what it goes on with.

        None after its end. Raises an UpstreamError when no service gave a useful answer, and when the one whose words
        were passed on broke off or fell silent.
        """
        if self._winner is None:
            return await self._race()
        try:
            return await self._winner.read()
        except UpstreamError as error:
            self._judge(self._winner, error)
            self._ask.note(self._winner.ended("failed", error.code))
            raise

    def pause(self) -> None:
        """Take no silence for the service's, until ``resume``: it is not being read."""
        assert self._winner is not None, "what is read has an attempt that gave it"
        self._winner.pause()

    def resume(self) -> None:
        """Watch for silence again."""
        assert self._winner is not None, "what is read has an attempt that gave it"
        self._winner.watch()

    def note_cancelled(self) -> None:
        """Note every attempt that runs as cancelled: its turn is about to be ended by somebody else."""
        for one in (*self._running.values(), *([] if self._winner is None else [self._winner])):
            self._ask.note(one.ended("cancelled"))

    def note_end(self) -> None:
        """Note that the answer was read to its end."""
        assert self._winner is not None, "an answer has an attempt that gave it"
        self._ask.note(self._winner.ended("answered"))

    async def finish(self) -> None:
        """Wait shortly for the end of the body, so that its connection can serve again."""
        assert self._winner is not None, "an answer has an attempt that gave it"
        await self._winner.finish()

    # --- the race -------------------------------------------------------------------------------------------------

    async def _race(self) -> list[Event]:
        """Run attempts until one has something useful, and give what it has."""
        self._begin(hedge=False)
        while True:
            await self._wake.wait()
            self._wake.clear()
            first: asyncio.Task[list[Event]] | None = None
            for task in [task for task in self._running if task.done()]:
                error = task.exception()
                if error is not None:
                    self._failed(task, error)
                elif first is None:
                    # Of those that came in the same step the one that began first.
                    first = task
            if first is not None:
                return self._won(first)
            self._replace()

    def _won(self, task: asyncio.Task[list[Event]]) -> list[Event]:
        self._winner = winner = self._running.pop(task)
        self._failover.breakers[winner.place].answered(self._clock.monotonic(), winner.first_useful or 0.0)
        self._forget_timers()
        for other in tuple(self._running):
            self._end(other, "beaten")
        winner.watch()
        return task.result()

    def _failed(self, task: asyncio.Task[list[Event]], error: BaseException) -> None:
        """Take note of a failure. Raises what is no failure of the service."""
        one = self._running.pop(task)
        one.close()
        if not isinstance(error, UpstreamError):
            self._failover.breakers[one.place].abandoned(self._clock.monotonic())
            raise error
        self._judge(one, error)
        self._ask.note(one.ended("failed", error.code))

    def _replace(self) -> None:
        """Give up what is late for a service that nobody asks yet; ask another one where nobody is being asked."""
        now = self._clock.monotonic()
        for task, one in tuple(self._running.items()):
            if now >= one.deadline and self._bring_forward(now) and self._may_begin():
                self._failover.breakers[one.place].slow(now)
                self._error = UpstreamTimeout(_TOO_LATE, detail=one.name)
                self._again.append(one.place)
                self._end(task, "slow")
                self._begin(hedge=False)
        if not self._running:
            # Who is healthy may have changed since the request began.
            self._bring_forward(now)
            if not (self._left or self._again) or not self._may_begin():
                raise self._error or UpstreamTimeout(_TOO_LATE)
            self._begin(hedge=False)

    def _bring_forward(self, now: float) -> bool:
        """Have the next service be one that is healthy; False where none is left."""
        for place in self._left:
            if self._failover.breakers[place].may_ask(now):
                self._left.remove(place)
                self._left.insert(0, place)
                return True
        return False

    def _may_begin(self) -> bool:
        """Tell whether the next attempt may be made in the place of another.

        One that asks a service again, or one that is not healthy, is taken from the budget: it may be in vain. Going to
        a healthy one is free, or callers would hear an apology beside a service that answers.
        """
        if self._begun >= self._rules.attempts:
            return False
        now = self._clock.monotonic()
        if self._left and self._failover.breakers[self._left[0]].may_ask(now):
            return True
        if self._failover.retries.take():
            return True
        log.warning("a retry was left out: there were more of them than the share of requests that may have one")
        return False

    def _begin(self, *, hedge: bool) -> Answering:
        place = (self._left or self._again).pop(0)
        upstream = self._failover.upstreams[place]
        now = self._clock.monotonic()
        spec = upstream.spec
        one = Answering(
            upstream,
            self._ask.body(spec),
            self._ask.headers(spec),
            self._clock,
            place=place,
            number=self.number,
            stall_after=spec.stall_after or self._rules.stall_after,
            spoken=self._ask.spoken,
            tags=self._ask.tags,
        )
        self.number += 1
        self._begun += 1
        self._failover.breakers[place].asked(now)
        self._ask.note(one.begun(round=self._ask.round, hedge=hedge))
        first_useful = spec.first_useful or self._rules.first_useful
        one.deadline = now + first_useful
        task = asyncio.get_running_loop().create_task(one.qualify(), name=f"attempt {one.number} at {one.name}")
        task.add_done_callback(self._is_over)
        self._running[task] = one
        self._timers.append(self._clock.call_later(first_useful, lambda: self._too_late(one)))
        hedge_after = self._rules.hedge_after if spec.hedge_after is None else spec.hedge_after
        if hedge_after and not hedge and len(self._failover.upstreams) > 1:
            self._timers.append(self._clock.call_later(hedge_after, lambda: self._hedge(task)))
        return one

    def _too_late(self, one: Answering) -> None:
        """Have an attempt be late now: a timer may come a little before its time, and it comes once."""
        one.deadline = min(one.deadline, self._clock.monotonic())
        self._wake.set()

    def _hedge(self, beside: asyncio.Task[list[Event]]) -> None:
        """Ask a second service, if the first is still being asked and the share of hedges allows it."""
        if self._winner is None and len(self._running) == 1 and beside in self._running and not beside.done():
            may = self._begun < self._rules.attempts and self._bring_forward(self._clock.monotonic())
            if may and self._failover.hedges.take():
                self._hedges.append((self._running[beside], self._begin(hedge=True)))

    # --- endings --------------------------------------------------------------------------------------------------

    def _judge(self, one: Answering, error: UpstreamError) -> None:
        """Enter a failure into the service's health, and see who may be asked next."""
        now = self._clock.monotonic()
        after = None
        if isinstance(error, UpstreamBusy):
            after = retry_after_seconds(error.retry_after, self._clock.now())
        if isinstance(error, UpstreamUnfit):
            # That says something of the request, and nothing of the service.
            self._failover.breakers[one.place].abandoned(now)
        else:
            self._failover.breakers[one.place].failed(now, retry_after=after)
        self._error = error
        if error.another and after is None:
            self._again.append(one.place)

    def _end(self, task: asyncio.Task[list[Event]], outcome: Literal["slow", "beaten"] | None) -> None:
        """End an attempt at once; ``outcome`` is None when the turn itself was cancelled."""
        one = self._running.pop(task)
        task.cancel()
        one.close()
        self._ended.append(task)
        if outcome is not None:
            self._ask.note(one.ended(outcome))
        if outcome != "slow":
            # What was late already is no better than what was given up. The same goes for what its own hedge beat, or
            # nobody would see that each caller waits for the hedge.
            now = self._clock.monotonic()
            late = now >= one.deadline and (outcome == "beaten" or one.first_useful is None)
            outrun = outcome == "beaten" and any(
                one is first and hedge is self._winner for first, hedge in self._hedges
            )
            breaker = self._failover.breakers[one.place]
            (breaker.slow if late or outrun else breaker.abandoned)(now)

    def _is_over(self, task: asyncio.Task[list[Event]]) -> None:
        if not task.cancelled():
            # Looked at here, since nobody else may: it can fail in the step in which it is ended.
            task.exception()
        self._wake.set()

    def _forget_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
