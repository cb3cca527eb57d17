"""A turn that runs: its reply, its signal, and the marks of its time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from offhook.events import (
    Aside,
    Attempt,
    AttemptEnded,
    CallContext,
    Command,
    Finish,
    Message,
    ToolRun,
    Usage,
)
from offhook.observe.hooks import TurnDetails
from offhook.turns.reply import NEVER_SENT, Reply
from offhook.turns.sound import Manner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from offhook.agents.base import Agent
    from offhook.clock import Clock
    from offhook.errors import OffhookError
    from offhook.events import Cancellation, Event, Turn
    from offhook.store.base import PromptChange
    from offhook.turns.call import CallLine
    from offhook.turns.reply import Reader
    from offhook.turns.sound import Sound
    from offhook.turns.voice import Voice
    from offhook.turns.which import Asked, Known, Which


log = logging.getLogger("offhook.turns")


class CancelSignal:
    """The turn's own signal; ``set`` is called in the event loop, ``is_set`` anywhere."""

    __slots__ = ("_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        self._waiters: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        if self._set:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


class Make(Protocol):
    """Makes the turn that is to be answered."""

    def __call__(
        self,
        cancelled: Cancellation,
        history: tuple[Message, ...],
        state: dict[str, Any],
        *,
        uid: str = "",
        call_uid: str = "",
        key: str = "",
        trace: Mapping[str, str] | None = None,
    ) -> Turn:
        """Give the turn; the others are as in ``Turn``."""


class Opening:
    """A request that wants a turn: what a door knows of it.

    ``make`` gives the turn from its signal, history, call's state, uid and trace headers. ``received`` is the clock's
    monotonic time of the request. ``asked`` is None for a request without a call id. ``memory`` tells whether the
    history is the call's. ``grace`` is in seconds, see ``Options.cancel_grace``. ``trace`` are the W3C Trace Context
    headers that came. ``call_key`` is what the call is held under, see ``key_of``. ``refused`` tells that the turn is
    only begun to say that it cannot be answered; ``on_over`` is called once, with the tokens that it took, when the
    task of the turn that was started is over.
    """

    __slots__ = (
        "asked",
        "call",
        "call_key",
        "grace",
        "make",
        "manner",
        "memory",
        "model",
        "on_over",
        "received",
        "refused",
        "request_id",
        "trace",
        "turn_id",
        "window",
    )

    def __init__(
        self,
        make: Make,
        *,
        request_id: str,
        received: float,
        call: CallContext,
        window: tuple[Message, ...] = (),
        asked: Asked | None = None,
        memory: bool = False,
        grace: float = 0.0,
        manner: Manner | None = None,
        trace: Mapping[str, str] | None = None,
        model: str = "",
        turn_id: str | None = None,
        refused: bool = False,
        on_over: Callable[[int], None] = lambda tokens: None,
        call_key: str | None = None,
    ) -> None:
        self.make = make
        self.refused = refused
        self.on_over = on_over
        self.manner = manner or Manner()
        self.trace = trace or {}
        self.model = model
        self.turn_id = turn_id
        self.request_id = request_id
        self.received = received
        self.call = call
        self.call_key = call_key or call.id
        self.window = window
        self.asked = asked
        self.memory = memory
        self.grace = grace


class LiveTurn:
    """A turn that runs, or has just ended. Times are the clock's monotonic seconds, ``received_at`` is since the epoch.

    ``retries`` has the request id and time of every request that joined it.
    ``sent`` is how many characters of the reply's text went out, ``first_byte`` when the response began, ``delivered``
    tells that a reader had it to the end. ``kept`` is True once its record is safe, and nothing holds its end back.
    ``lingering`` waits for the platform to come back. ``again`` is the call and the turn whose recorded reply this is.
    """

    __slots__ = (
        "again",
        "agent",
        "asked",
        "cancelled_at",
        "change",
        "delivered",
        "ended_at",
        "first_byte",
        "grace",
        "heard",
        "kept",
        "line",
        "lingering",
        "memory",
        "on_over",
        "received",
        "received_at",
        "reply",
        "request_id",
        "retries",
        "sent",
        "signal",
        "sound",
        "started",
        "task",
        "ticket",
        "turn",
        "voice",
        "which",
    )

    turn: Turn
    signal: CancelSignal
    voice: Voice

    def __init__(self, opening: Opening, clock: Clock, agent: Agent) -> None:
        self.agent = agent
        self.reply = Reply(clock)
        self.request_id = opening.request_id
        self.on_over = opening.on_over
        self.received = self.ended_at = opening.received
        self.started: float | None = None
        self.received_at = clock.now()
        self.asked = opening.asked
        self.grace = opening.grace
        self.ticket = clock.new_id("turn_")
        self.which: Which = "beside"
        self.memory = "window"
        self.change: PromptChange | None = None
        self.line: CallLine | None = None
        self.cancelled_at: float | None = None
        self.first_byte: float | None = None
        self.retries: list[tuple[str, float]] = []
        self.sent = 0
        self.delivered = False
        self.kept = False
        # How far it was spoken, as the platform says.
        self.heard: int | None = None
        self.again: tuple[CallLine, Known] | None = None
        self.lingering: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None
        self.sound: Sound | None = None

    def begin(self, turn: Turn, signal: CancelSignal, line: CallLine | None) -> None:
        """Take the turn that is to be answered, as one of a call if it is recorded or remembered."""
        self.turn = turn
        self.signal = signal
        self.line = line
        if line is not None:
            line.live += 1

    @property
    def hung_up(self) -> bool:
        """Tell whether the agent hung up, and that went out."""
        reply = self.reply
        finish = reply.finish
        ended = finish is not None and (finish.excused or finish.reason in ("stop", "length", "tool_calls"))
        return ended and any(type(event) is Command and event.name == "hangup" for event in reply.rare)

    def end(self, now: float, finish: Finish) -> None:
        """End a live turn at once, with its agent; one that has ended stays as it is."""
        if self.reply.finish is not None:
            return
        self.cancelled_at = now
        try:
            self.close(finish)
        finally:
            # Also when a reader failed at what is said last.
            self.signal.set()
            if self.task is not None:
                self.task.cancel()

    def close(self, finish: Finish) -> None:
        """Close the reply; of an end with an error the caller is told in words, where that is how he is told."""
        if self.reply.finish is None:
            self.voice.ending()
        if self.reply.finish is None and finish.reason == "failed":
            # What the agent had said before is said, also where it waits for the end of its sentence.
            self.voice.hurry()
        if self.reply.finish is None and finish.error is not None and self.sound is not None:
            excuse = self.sound.excuse()
            if excuse:
                self.reply.write(*excuse)
                finish = msgspec.structs.replace(finish, excused=True)
        self.reply.close(finish)

    def cancel(self, now: float, error: OffhookError | None = None) -> None:
        """End a live turn because its last reader has gone, or the server goes down."""
        self.end(now, Finish("cancelled", error))

    def over(self) -> None:
        """Let go of what only a running turn needs, once its task is over and its hooks have been told."""
        self.reply.on_close = self.reply.on_useful = _nothing
        self.voice.over()
        self.sound = None

    def stop_lingering(self) -> None:
        """Wait no longer for the platform to come back: it has, or the reply has ended."""
        if self.lingering is not None:
            self.lingering.cancel()
            self.lingering = None

    def note(self, reader: Reader) -> None:
        """Take over how far a reader came."""
        self.sent = max(self.sent, reader.sent)
        self.delivered = self.delivered or reader.delivered
        if reader.first_byte is not None and (self.first_byte is None or reader.first_byte < self.first_byte):
            self.first_byte = reader.first_byte

    def note_all(self) -> None:
        """Take over how far every reader came that is still there."""
        for reader in self.reply.everyone:
            self.note(reader)

    def release(self) -> None:
        """Let the readers end their bodies: the record is safe, or cannot be made so."""
        self.kept = True
        for reader in self.reply.everyone:
            try:
                reader.end()
            except Exception:
                log.exception("the end of a reply could not be written: request=%s", self.request_id)

    def details(self, ended: float) -> TurnDetails:
        """Give what the hooks are told; ``ended`` is when the task was over."""
        reply, received = self.reply, self.received
        finish = reply.finish or Finish("cancelled")
        rare = reply.rare
        prompt_tokens, completion_tokens = tokens_of(rare)
        attempts = tuple(event for event in rare if type(event) is AttemptEnded)
        return TurnDetails(
            request_id=self.request_id,
            call_id=self.turn.call.id,
            turn_id=self.turn.id,
            platform=self.turn.call.platform,
            model=self.turn.model,
            which=self.which,
            memory=self.memory,
            reason=finish.reason,
            error=finish.error,
            events=len(reply.events) - sum(type(event) in NEVER_SENT for event in rare),
            started=since(self.started, received) or 0.0,
            first_useful=since(reply.first_useful, received),
            cancelled=since(self.cancelled_at, received),
            ended=ended - received,
            stopped_at=ended,
            ticket=self.ticket,
            gap=reply.gap,
            asides=tuple(event.why for event in rare if type(event) is Aside),
            attempts=attempts,
            begun=tuple(event for event in rare if type(event) is Attempt),
            tools=tuple(event for event in rare if type(event) is ToolRun),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=total_cost(attempts),
        )


def _nothing() -> None:
    """Do nothing."""


def tokens_of(rare: Iterable[Event]) -> tuple[int | None, int | None]:
    """Give the prompt and completion tokens of a turn: of all its attempts, else what the agent counted."""
    attempts = [event for event in rare if type(event) is AttemptEnded]
    if attempts:
        return sum(one.prompt_tokens for one in attempts), sum(one.completion_tokens for one in attempts)
    usage = next((event for event in reversed([*rare]) if type(event) is Usage), None)
    return (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)


def total_cost(attempts: Iterable[AttemptEnded]) -> float | None:
    """Give what attempts cost together; None where no price is known."""
    costs = [attempt.cost for attempt in attempts if attempt.cost is not None]
    return sum(costs) if costs else None


def since(mark: float | None, received: float) -> float | None:
    """Give a mark as seconds since the request was received; None stays None."""
    return None if mark is None else mark - received
