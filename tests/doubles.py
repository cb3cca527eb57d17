"""Stand-ins for what the engine meets: a reader that keeps what it reads, an agent made of one function."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from offhook.agents.function import FunctionAgent
from offhook.coord.memory import MemoryCoordinator
from offhook.events import CallContext, Finish, Text, Turn
from offhook.speech.rules import speech_of
from offhook.testing import JumpClock
from offhook.turns.calls import Calls
from offhook.turns.engine import Engine
from offhook.turns.live import Opening
from offhook.turns.reply import Reply
from offhook.turns.sound import Manner, SoundRules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from offhook.agents.base import Agent, ReplyWriter
    from offhook.events import Cancellation, Event, Message, OpenCall
    from offhook.observe.hooks import TurnDetails
    from offhook.turns.live import LiveTurn
    from offhook.turns.state import CallState


class Listener:
    """Keeps every event and how they were grouped; can be made to take no more."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.steps: list[int] = []
        self.heard = asyncio.Event()
        self.ended = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Text))

    @property
    def finish(self) -> Finish | None:
        finishes = [event for event in self.events if isinstance(event, Finish)]
        assert len(finishes) <= 1, f"finished {len(finishes)} times"
        return finishes[0] if finishes else None

    @property
    def blocked(self) -> bool:
        return not self._room.is_set()

    def read(self, events: Sequence[Event]) -> None:
        self.events.extend(events)
        self.steps.append(len(events))
        self.heard.set()

    async def drain(self) -> None:
        await self._room.wait()

    def end(self) -> None:
        self.ended += 1

    @property
    def sent(self) -> int:
        return 0 if self.blocked else len(self.text)

    @property
    def first_byte(self) -> float | None:
        return None

    @property
    def delivered(self) -> bool:
        return self.ended > 0

    def block(self) -> None:
        self._room.clear()

    def unblock(self) -> None:
        self._room.set()


class Scripted:
    """An agent whose ``answer`` is the function it was made with."""

    def __init__(self, answer: Callable[[Turn, ReplyWriter], Awaitable[None]]) -> None:
        self._answer = answer

    async def answer(self, turn: Turn, reply: ReplyWriter) -> None:
        await self._answer(turn, reply)

    @property
    def attends(self) -> bool:
        return False

    async def call_started(self, call: OpenCall) -> None:
        """It does not attend."""

    async def call_ended(self, call: OpenCall) -> None:
        """It does not attend."""

    async def start(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing is held."""


class Ended:
    """A hook that keeps what it is told."""

    def __init__(self) -> None:
        self.turns: list[TurnDetails] = []

    def turn_ended(self, details: TurnDetails) -> None:
        self.turns.append(details)


# Ordinary words go through it as they were written, piece by piece.
AS_WRITTEN = speech_of("think,tags")


class Stage:
    """An engine on a jumping clock, with one hook, that begins turns with a listener each."""

    def __init__(self) -> None:
        self.clock = JumpClock()
        self.hook = Ended()
        self.coord: MemoryCoordinator[CallState] = MemoryCoordinator()
        self.calls = Calls(self.clock, owner="server_1", coord=self.coord)
        self.engine = Engine(self.clock, self.calls, [self.hook], rules=SoundRules(deadline=0, silence=0, filler="off"))

    async def begin(self, answer: Callable[[Turn, ReplyWriter], Awaitable[None]]) -> tuple[LiveTurn, Listener]:
        """Begin a turn that this function answers."""
        return await self.begin_with(Scripted(answer))

    async def begin_with(
        self, agent: Agent, text: str = "hello", reader: Listener | None = None
    ) -> tuple[LiveTurn, Listener]:
        """Begin a turn in which the caller said ``text``."""
        reader = reader or Listener()

        def make(cancelled: Cancellation, history: tuple[Message, ...], state: dict[str, Any], **more: Any) -> Turn:
            return Turn(text=text, cancelled=cancelled, history=history, state=state)

        manner = Manner(speech=AS_WRITTEN)
        opening = Opening(make, request_id="req_1", received=self.clock.monotonic(), call=CallContext(), manner=manner)
        return await self.engine.begin(opening, agent, reader), reader

    async def over(self, live: LiveTurn) -> None:
        """Return when the turn's task is over and its hooks have been told."""
        assert live.task is not None
        await asyncio.wait({live.task})


def new_reply() -> tuple[Reply, JumpClock]:
    """Give an empty reply and the clock that it reads."""
    clock = JumpClock()
    return Reply(clock), clock


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def serving(function: Callable[..., Any], threads: int = 4) -> AsyncIterator[FunctionAgent]:
    """Give the agent of a user's function, started."""
    agent = FunctionAgent(function, threads=threads)
    await agent.start()
    try:
        yield agent
    finally:
        await agent.close()


async def play(function: Callable[..., Any]) -> Listener:
    """Give what a reader sees of one turn of this function, in which the caller said hello."""
    stage = Stage()
    async with serving(function) as agent:
        live, reader = await stage.begin_with(agent)
        await stage.over(live)
    return reader
