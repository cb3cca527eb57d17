"""An engine without a server: requests of calls are made by hand, and readers are what a test hands in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from offhook.coord.memory import MemoryCoordinator
from offhook.events import CallContext, Message, Turn
from offhook.testing import JumpClock
from offhook.turns.calls import Calls
from offhook.turns.engine import Engine
from offhook.turns.live import Opening
from offhook.turns.sound import SoundRules
from offhook.turns.which import asked_of
from tests.doubles import Ended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offhook.agents.base import Agent
    from offhook.events import Cancellation
    from offhook.store.base import Store
    from offhook.turns.journal import Journal
    from offhook.turns.live import LiveTurn
    from offhook.turns.reply import Reader
    from offhook.turns.state import CallState

# Of a call: longer than any test lets pass.
FOR_EVER = 1e9


def message(role: str, text: str) -> Message:
    """Give a message as a request has it; ``call`` and ``tool`` are a tool call and its result."""
    if role == "call":
        tool_call = {"id": text, "type": "function", "function": {"name": "look", "arguments": "{}"}}
        return Message("assistant", "", {"role": "assistant", "content": None, "tool_calls": [tool_call]})
    more = {"tool_call_id": text} if role == "tool" else {}
    return Message(role, text, {"role": role, "content": text, **more})


class Table:
    """An engine on a jumping clock; ``hook`` has the turns that are over. ``journal`` keeps what it is given."""

    def __init__(
        self, *, journal: Journal | None = None, store: Store | None = None, clock: JumpClock | None = None
    ) -> None:
        self.clock = clock or JumpClock()
        self.hook = Ended()
        coord: MemoryCoordinator[CallState] = MemoryCoordinator()
        self.calls = Calls(
            self.clock, owner="server_1", coord=coord, store=store, journal=journal, idle=FOR_EVER, replay_for=3600.0
        )
        self.engine = Engine(self.clock, self.calls, [self.hook], rules=SoundRules(deadline=0, silence=0, filler="off"))

    async def ask(
        self,
        agent: Agent,
        reader: Reader,
        said: Sequence[tuple[str, str]],
        *,
        call: str | None = "c",
        id: str | None = None,
        stream: bool = True,
        model: str = "abc",
        grace: float = 0.0,
    ) -> LiveTurn:
        """Let a request come in which says this, and give the turn that answers it."""
        messages = tuple(message(role, text) for role, text in said)
        context = CallContext(id=call)

        def make(cancelled: Cancellation, history: tuple[Message, ...], state: dict[str, Any], **more: Any) -> Turn:
            text = messages[-1].text
            return Turn(text=text, cancelled=cancelled, call=context, id=id, history=history, state=state, model=model)

        opening = Opening(
            make,
            request_id=self.clock.new_id("req_"),
            received=self.clock.monotonic(),
            call=context,
            window=messages,
            asked=None if call is None else asked_of(messages, model=model, turn_id=id, stream=stream, ordered=True),
            grace=grace,
        )
        return await self.engine.begin(opening, agent, reader)

    async def close(self) -> None:
        """End everything."""
        await self.engine.close()
        await self.calls.close()


async def settled() -> None:
    """Let every task that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)
