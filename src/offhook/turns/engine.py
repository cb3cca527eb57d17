"""The engine owns the task of every turn: it starts it, ends it, and tells the hooks how it went.

The HTTP side only reads. What a disconnect does is decided here: when the last reader has left, the reply is closed as
cancelled and the agent's task is cancelled within the same step.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from offhook.errors import AgentError, OffhookError, Stopping
from offhook.events import Command, Finish, ToolCall
from offhook.observe.hooks import TurnDetails, TurnHook
from offhook.turns.reply import Reader, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offhook.agents.base import Agent
    from offhook.clock import Clock
    from offhook.events import Cancellation, Turn

log = logging.getLogger("offhook.turns")

# Seconds that an agent has to clean up after it was cancelled, before the server goes down without it.
_LONGEST_CLEAN_UP = 2.0


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


class LiveTurn:
    """A turn that runs: its reply, and the marks of its time (the clock's monotonic seconds)."""

    __slots__ = ("_signal", "cancelled_at", "received", "reply", "request_id", "started", "task", "turn")

    def __init__(self, turn: Turn, reply: Reply, signal: CancelSignal, *, request_id: str, received: float) -> None:
        self.turn = turn
        self.reply = reply
        self.request_id = request_id
        self.received = received
        self.started = received
        self.cancelled_at: float | None = None
        self.task: asyncio.Task[None] | None = None
        self._signal = signal

    def cancel(self, now: float, error: OffhookError | None = None) -> None:
        """End a live turn at once; one that has ended stays as it is."""
        if self.reply.finish is not None:
            return
        self.cancelled_at = now
        self.reply.close(Finish("cancelled", error))
        self._signal.set()
        if self.task is not None:
            self.task.cancel()

    def details(self, ended: float) -> TurnDetails:
        """Give what the hooks are told; ``ended`` is when the task was over."""
        reply, received = self.reply, self.received
        finish = reply.finish or Finish("cancelled")
        return TurnDetails(
            request_id=self.request_id,
            call_id=self.turn.call.id,
            turn_id=self.turn.id,
            platform=self.turn.call.platform,
            model=self.turn.model,
            reason=finish.reason,
            error=finish.error,
            events=len(reply.events),
            started=self.started - received,
            first_useful=None if reply.first_useful is None else reply.first_useful - received,
            cancelled=None if self.cancelled_at is None else self.cancelled_at - received,
            ended=ended - received,
            stopped_at=ended,
        )


class Engine:
    """Starts turns and owns their tasks."""

    def __init__(self, clock: Clock, hooks: Sequence[TurnHook] = ()) -> None:
        self._clock = clock
        self._hooks = tuple(hooks)
        self._live: set[LiveTurn] = set()
        self._stopping = False
        self._closed = False

    @property
    def live(self) -> int:
        """How many turns have a task."""
        return len(self._live)

    @property
    def stopping(self) -> bool:
        """Tell whether no new turns are taken any more."""
        return self._stopping

    def begin(
        self,
        make: Callable[[Cancellation], Turn],
        agent: Agent,
        reader: Reader,
        *,
        request_id: str,
        received: float,
    ) -> LiveTurn:
        """Start a turn with its first reader; ``received`` is the clock's monotonic time of its request.

        Raises Stopping when the server is going down.
        """
        if self._stopping:
            raise Stopping("The server is going down; try another one.")
        signal = CancelSignal()
        reply = Reply(self._clock)
        reply.attach(reader)
        live = LiveTurn(make(signal), reply, signal, request_id=request_id, received=received)
        live.task = asyncio.get_running_loop().create_task(self._run(live, agent), name=f"turn {request_id}")
        self._live.add(live)
        live.task.add_done_callback(lambda task: self._ended(live, task))
        return live

    def leave(self, live: LiveTurn, reader: Reader) -> None:
        """Let a reader go; the last one to leave a live reply cancels the turn at once."""
        live.reply.detach(reader)
        if live.reply.readers == 0:
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
                log.warning("%d agents did not stop within %.0f s of being cancelled", len(late), _LONGEST_CLEAN_UP)
        self._closed = True

    def hurry(self) -> None:
        """Cancel every live turn; its client is told that the server goes down."""
        for live in tuple(self._live):
            live.cancel(self._clock.monotonic(), Stopping("The server is going down; try another one."))

    async def _run(self, live: LiveTurn, agent: Agent) -> None:
        reply = live.reply
        live.started = self._clock.monotonic()
        try:
            await agent.answer(live.turn, reply)
        except asyncio.CancelledError as cause:
            if _being_cancelled():
                # By leave(), or from outside by whoever ends the loop.
                reply.close(Finish("cancelled"))
                raise
            # Something of the agent's own was cancelled: the caller is still there.
            reply.close(_failed(cause))
        except OffhookError as error:
            reply.close(Finish("failed", error))
        except (Exception, SystemExit) as cause:
            # An agent that calls exit() ends its turn, not the server.
            reply.close(_failed(cause))
        else:
            called = any(isinstance(event, ToolCall | Command) for event in reply.events)
            reply.close(Finish("tool_calls" if called else "stop"))
        await reply.drain()

    def _ended(self, live: LiveTurn, task: asyncio.Task[None]) -> None:
        self._live.discard(live)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a turn's task failed outside its agent", exc_info=error)
        # A task that is cancelled before its first step never ran at all.
        live.reply.close(Finish("cancelled"))
        details = live.details(self._clock.monotonic())
        for hook in self._hooks:
            hook.turn_ended(details)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _failed(cause: BaseException) -> Finish:
    failure = AgentError("The agent failed; the server's log says where.")
    failure.__cause__ = cause
    return Finish("failed", failure)
