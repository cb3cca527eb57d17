"""The engine owns the task of every turn: it starts it, ends it, and tells the hooks how it went.

The HTTP side only reads. What a disconnect does is decided here: when the last reader has left, the reply is closed as
cancelled and the agent's task is cancelled within the same step. So is what a retry and a newer turn do.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from offhook.dialects.kind import TOOL_ROLES
from offhook.errors import AgentError, OffhookError, Stopping, TurnTimeout
from offhook.events import Command, Finish, ToolCall
from offhook.observe.hooks import TurnStart
from offhook.store.base import Heard
from offhook.turns.keeper import Keeper
from offhook.turns.live import CancelSignal, LiveTurn, Opening
from offhook.turns.memory import Transcript, recall
from offhook.turns.phrases import Phrases
from offhook.turns.record import events_of
from offhook.turns.repair import repair
from offhook.turns.sound import Sound, SoundRules
from offhook.turns.voice import Voice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from offhook.agents.base import Agent
    from offhook.clock import Clock
    from offhook.events import Event, Message
    from offhook.observe.hooks import Tracer, TurnHook
    from offhook.turns.aloud import Reading
    from offhook.turns.call import CallLine
    from offhook.turns.calls import Calls
    from offhook.turns.reply import Reader
    from offhook.turns.sound import Manner
    from offhook.turns.which import Known, Named

log = logging.getLogger("offhook.turns")

# Seconds that an agent has to clean up after it was cancelled, before the server goes down without it.
_LONGEST_CLEAN_UP = 2.0


class Engine:
    """Starts turns and owns their tasks. ``memory_tokens`` bounds what a call remembers, 0 for no bound.

    ``rules`` say how long a caller waits, ``phrases`` what he is told then. ``reading`` puts numbers into words.
    """

    def __init__(
        self,
        clock: Clock,
        calls: Calls,
        hooks: Sequence[TurnHook] = (),
        *,
        memory_tokens: int = 0,
        rules: SoundRules | None = None,
        phrases: Phrases | None = None,
        tracer: Tracer | None = None,
        reading: Reading | None = None,
    ) -> None:
        self._clock = clock
        self._calls = calls
        self._hooks = tuple(hooks)
        self._memory_tokens = memory_tokens
        self._live: set[LiveTurn] = set()
        # By ticket, from the beginning until the task is over and the record safe.
        self._turns: dict[str, LiveTurn] = {}
        self._stopping = False
        self._closed = False
        self._rules = rules or SoundRules()
        self._phrases = phrases or Phrases()
        self._tracer = tracer
        self._reading = reading
        self._keeper = Keeper(clock, calls, self._forget)
        calls.on_order = self._supersede
        if tracer is not None:
            calls.on_over.append(tracer.call_ended)

    @property
    def live(self) -> int:
        """How many turns have a task."""
        return len(self._live)

    @property
    def stopping(self) -> bool:
        """Tell whether no new turns are taken any more."""
        return self._stopping

    @property
    def recorded(self) -> bool:
        """Tell whether turns are recorded, so that the end of a reply waits for its record."""
        return self._calls.recorded

    @property
    def degraded(self) -> tuple[str, ...]:
        """Name what the line does without for now: ``store``."""
        return ("store",) if self._calls.degraded else ()

    async def begin(self, opening: Opening, agent: Agent, reader: Reader, *, going_on: bool = True) -> LiveTurn:
        """Give the request the turn that it asks for: a new one, the live one that it is a retry of, or a recorded one.

        Of a refused call that is not ``going_on`` nothing is kept. Waits only where the call may have records from
        before a restart. Raises Stopping when the server is going down.
        """
        self._refuse_when_stopping()
        asked = opening.asked
        if opening.refused and not going_on:
            return self._start(LiveTurn(opening, self._clock, agent), opening, reader, None)
        if asked is None:
            line = self._calls.alone(opening.call) if self._calls.recorded else None
            return self._start(LiveTurn(opening, self._clock, agent), opening, reader, line)
        line = await self._calls.open(opening.call, opening.call_key)
        live = LiveTurn(opening, self._clock, agent)
        if line.ended_by == "command" and opening.window and opening.window[-1].role in TOOL_ROLES:
            # The result of our own hang-up: an agent that is asked what to say to it says goodbye once more.
            return self._recorded(live, opening, reader, (), Finish("stop"))
        while True:
            named = await self._calls.claim(line, asked, live.ticket)
            self._refuse_when_stopping()
            live.which = named.which
            if named.answer == "run":
                break
            given = await self._again(live, opening, reader, line, named)
            if given is not None:
                return given
            # Its reply is gone, so that it is as one that never ended well.
            self._calls.note_gone(line, named)
        for other in named.ends:
            await self._end_as_superseded(other)
        return self._start(live, opening, reader, line)

    def leave(self, live: LiveTurn, reader: Reader) -> None:
        """Let a reader go; the last one to leave a live reply cancels the turn at once, or when its grace is over."""
        live.note(reader)
        live.reply.detach(reader)
        if live.again is not None:
            self._calls.note_again(*live.again, sent=live.sent, delivered=live.delivered)
        elif live.reply.finish is not None:
            self._calls.note_end(live)
        elif live.reply.readers == 0:
            if live.grace > 0 and live.sent == 0 and not self._stopping:
                live.lingering = self._keeper.spawn(self._linger(live))
            else:
                live.cancel(self._clock.monotonic())

    async def close(self, grace: float = 0.0) -> None:
        """Take no more turns, let the live ones end within ``grace`` seconds, then cancel what is left; once."""
        if self._closed:
            return
        self._stopping = True
        tasks = [live.task for live in self._live if live.task is not None]
        if tasks and grace > 0:
            await asyncio.wait(tasks, timeout=grace)
        self.hurry()
        tasks = [live.task for live in self._live if live.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_LONGEST_CLEAN_UP)
            if late:
                said = {"agents": len(late), "seconds": _LONGEST_CLEAN_UP}
                log.warning("%(agents)d agents did not stop within %(seconds).0f s of being cancelled", said)
        # The end of a reply goes out once its record is safe, and nobody may close its connection before.
        await self._keeper.close(_LONGEST_CLEAN_UP)
        self._closed = True

    def hurry(self) -> None:
        """Cancel every live turn; its client is told that the server goes down."""
        for live in tuple(self._live):
            live.cancel(self._clock.monotonic(), Stopping("The server is going down; try another one."))

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise Stopping("The server is going down; try another one.")

    # --- beginning ------------------------------------------------------------------------------------------------

    def _start(self, live: LiveTurn, opening: Opening, reader: Reader, line: CallLine | None) -> LiveTurn:
        window = self._phrases.without(opening.window, () if line is None else line.said)
        history = repair(window) if line is None else self._history(live, opening, window, line)
        if line is not None:
            self._calls.go_on(line)
            line.served = line.served or not opening.refused
        signal = CancelSignal()
        trace = self._trace(live, opening)
        state = {} if line is None else line.state
        call_uid = live.ticket if line is None else line.id
        key = opening.turn_id or (live.ticket if opening.asked is None else opening.asked.digest.hex())
        turn = opening.make(signal, history, state, uid=live.ticket, call_uid=call_uid, key=key, trace=trace)
        live.begin(turn, signal, line)
        live.reply.on_close = lambda: self._keeper.reply_closed(live)
        self._give_sound(live, opening.manner)
        live.reply.attach(reader)
        live.task = asyncio.get_running_loop().create_task(self._run(live), name=f"turn {live.request_id}")
        self._live.add(live)
        self._turns[live.ticket] = live
        live.task.add_done_callback(lambda task: self._ended(live, task))
        return live

    def _give_sound(self, live: LiveTurn, manner: Manner) -> None:
        sound = Sound(
            live.turn,
            live.reply,
            manner=manner,
            rules=self._rules,
            phrases=self._phrases,
            clock=self._clock,
            line=live.line,
        )
        live.sound = sound
        live.reply.on_useful = sound.heard
        sound.start(live.received, lambda: self._too_late(live))
        live.voice = Voice(
            live.reply,
            manner,
            sound.fill,
            lambda seconds: self._ago(live, seconds),
            language=live.turn.language,
            reading=self._reading,
        )
        sound.let_out = live.voice.let_out

    def _ago(self, live: LiveTurn, seconds: float) -> float:
        """Give how long after the turn's request that began which took so long up to now."""
        return max(0.0, self._clock.monotonic() - seconds - live.received)

    def _too_late(self, live: LiveTurn) -> None:
        """End a turn that had nothing to say in time, or nothing more."""
        log.warning("a turn had nothing to say by its deadline: request=%s", live.request_id)
        live.end(self._clock.monotonic(), Finish("failed", TurnTimeout("The agent had nothing to say in time.")))

    def _trace(self, live: LiveTurn, opening: Opening) -> Mapping[str, str]:
        if self._tracer is None:
            return opening.trace
        return self._tracer.turn_started(
            TurnStart(
                ticket=live.ticket,
                request_id=live.request_id,
                call_id=opening.call_key,
                turn_id=opening.turn_id,
                platform=opening.call.platform,
                model=opening.model,
                received_at=live.received_at,
                trace=opening.trace,
            )
        )

    def _history(
        self, live: LiveTurn, opening: Opening, window: tuple[Message, ...], line: CallLine
    ) -> tuple[Message, ...]:
        """Give what the agent is to know of the conversation, and remember it where the call does."""
        asked = opening.asked
        if asked is None or not opening.memory or not asked.stream:
            return repair(window)
        before = line.transcripts.get(asked.model, Transcript())
        again = line.is_latest(asked, live.which)
        recalled = recall(window, before, again=again, budget=self._memory_tokens)
        if recalled.outcome == "missed":
            self._calls.missed += 1
            live.memory = "missed"
            if live.which == "beside":
                return repair(window)
        if recalled.heard is not None and (uid := line.latest.get(asked.model)) is not None:
            line.heard(uid, recalled.heard)
            self._calls.keep(Heard(uid=uid, heard=recalled.heard))
        line.transcripts[asked.model] = recalled.transcript
        line.latest[asked.model] = live.ticket
        line.asked[asked.model] = asked
        live.memory, live.change = recalled.outcome, recalled.change
        return recalled.messages

    async def _end_as_superseded(self, other: Known) -> None:
        if other.ticket in self._turns:
            self._supersede(other.ticket)
        else:
            await self._calls.order(other)

    def _supersede(self, ticket: str) -> None:
        live = self._turns.get(ticket)
        if live is not None:
            live.end(self._clock.monotonic(), Finish("superseded"))

    async def _again(
        self, live: LiveTurn, opening: Opening, reader: Reader, line: CallLine, named: Named
    ) -> LiveTurn | None:
        """Give the request a reply that is there already; None when it is not to be had."""
        if named.of is None:
            log.warning("a late request for an older turn was answered with nothing: request=%s", opening.request_id)
            return self._recorded(live, opening, reader, (), Finish("stop"))
        known = self._turns.get(named.of.ticket)
        if known is not None:
            said = {"first": known.request_id, "request": opening.request_id}
            log.info("a retry joined the reply of %(first)s: request=%(request)s", said)
            known.retries.append((opening.request_id, self._clock.monotonic()))
            known.stop_lingering()
            self._attach(known, reader)
            return known
        record = await self._calls.record(line, named.of.ticket)
        if record is None:
            return None
        said = {"first": record.request_id, "request": opening.request_id}
        log.info("a retry was answered from the record of %(first)s: request=%(request)s", said)
        live.again = (line, named.of)
        return self._recorded(live, opening, reader, *events_of(record))

    def _recorded(
        self, live: LiveTurn, opening: Opening, reader: Reader, events: Sequence[Event], finish: Finish
    ) -> LiveTurn:
        signal = CancelSignal()
        live.begin(opening.make(signal, opening.window, {}), signal, None)
        live.kept = True
        if events:
            live.reply.write(*events)
        live.reply.close(finish)
        self._attach(live, reader)
        return live

    def _attach(self, live: LiveTurn, reader: Reader) -> None:
        live.reply.attach(reader)
        if live.kept:
            reader.end()
        if reader.blocked:
            # Nobody else may ever write to it again.
            self._keeper.spawn(reader.drain())

    # --- running --------------------------------------------------------------------------------------------------

    async def _run(self, live: LiveTurn) -> None:
        reply = live.reply
        try:
            if live.line is not None:
                await self._calls.told(live.line, live.agent)
            live.started = self._clock.monotonic()
            await live.agent.answer(live.turn, live.voice)
            await live.voice.settle()
        except asyncio.CancelledError as cause:
            if _being_cancelled():
                # By leave(), or from outside by whoever ends the loop.
                reply.close(Finish("cancelled"))
                raise
            # Something of the agent's own was cancelled: the caller is still there.
            live.close(_failed(cause))
        except OffhookError as error:
            live.close(Finish("failed", error))
        except (Exception, SystemExit) as cause:
            # An agent that calls exit() ends its turn, not the server.
            live.close(_failed(cause))
        else:
            called = any(type(event) is ToolCall or (type(event) is Command and event.ends) for event in reply.rare)
            live.voice.end(Finish("tool_calls" if called else "stop"))
        await reply.drain()

    async def _linger(self, live: LiveTurn) -> None:
        """Give the platform the turn's grace to come back, then cancel the turn."""
        await self._clock.sleep(live.grace)
        live.lingering = None
        live.cancel(self._clock.monotonic())

    # --- ending ---------------------------------------------------------------------------------------------------

    def _ended(self, live: LiveTurn, task: asyncio.Task[None]) -> None:
        self._live.discard(live)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a turn's task failed outside its agent", exc_info=error)
        # A task that is cancelled before its first step never ran at all.
        live.reply.close(Finish("cancelled"))
        if live.kept:
            self._turns.pop(live.ticket, None)
        details = live.details(self._clock.monotonic())
        if live.line is not None:
            live.line.live -= 1
            self._calls.turn_over(live.line, hung_up=live.hung_up)
        live.on_over((details.prompt_tokens or 0) + (details.completion_tokens or 0))
        for hook in self._hooks:
            hook.turn_ended(details)
        live.over()

    def _forget(self, live: LiveTurn) -> None:
        """Know a turn no more by its ticket, once it has neither a task nor a record to wait for."""
        if live not in self._live:
            self._turns.pop(live.ticket, None)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _failed(cause: BaseException) -> Finish:
    failure = AgentError("The agent failed; the server's log says where.")
    failure.__cause__ = cause
    return Finish("failed", failure)
