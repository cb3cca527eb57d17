"""A toolbox that is asked for things, and a keeper of intents that does what it is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from offhook.errors import StoreError
from offhook.events import ToolCall, ToolRun, Turn
from offhook.store.memory import MemoryStore
from offhook.testing import JumpClock
from offhook.tools.ledger import Ledger, Occasion
from offhook.tools.run import Toolbox
from offhook.tools.schema import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from offhook.store.base import Change, Intent

LIMIT = 10.0


class Keeper(MemoryStore):
    """Keeps intents in memory; can be away, slow, or lose what is kept, as a crash does."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.loses = False
        self.slow: asyncio.Event | None = None
        self.released: list[str] = []

    @override
    async def claim(self, intent: Intent) -> Intent | None:
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise StoreError("The disk is full.")
        return await super().claim(intent)

    @override
    async def unclaim(self, key: str) -> None:
        self.released.append(key)
        await super().unclaim(key)

    def keep(self, change: Change) -> None:
        """Take a change, or lose it."""
        if not self.loses:
            self.write(change)


class Desk:
    """Books tables: a side effect that can be held, and that counts how often it was begun and done."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

        @tool(side_effect=True)
        async def book(name: str, seats: int = 2) -> str:
            """Book a table."""
            self.begun.append(name)
            await self.open.wait()
            self.done.append(name)
            return f"table {len(self.done)} for {name}"

        self.book = book


class Never:
    """A turn that is not cancelled."""

    def is_set(self) -> bool:
        return False

    async def wait(self) -> None:
        await asyncio.Event().wait()


class Box:
    """A toolbox in one process; ``again`` makes another one with the same keeper, as after a restart."""

    def __init__(self, *tools: Callable[..., Any], keeper: Keeper | None, clock: JumpClock, threads: int = 4) -> None:
        self.tools = tools
        self.keeper = keeper
        self.clock = clock
        self.ledger = Ledger(keeper, clock)
        self.toolbox = Toolbox(tools, clock=clock, timeout=LIMIT, threads=threads, ledger=self.ledger)
        self.turn = Turn(text="", cancelled=Never())
        self.runs: list[ToolRun] = []

    @property
    def outcomes(self) -> list[str]:
        return [run.outcome for run in self.runs]

    def occasion(self, turn: str = "1", *, call: str = "call-1", speculative: bool = False) -> Occasion:
        return Occasion(call, turn, speculative=speculative)

    async def ask(self, *calls: ToolCall, occasion: Occasion | None = None, hold: float = 0.0) -> list[str]:
        """Run what a model asks for in one round, by default in a turn of its own."""
        return await self.toolbox.run(
            calls, self.turn, hold=hold, occasion=occasion or self.occasion(), ended=self.runs.append
        )

    def asking(self, *calls: ToolCall, occasion: Occasion | None = None, hold: float = 0.0) -> asyncio.Task[list[str]]:
        return asyncio.get_running_loop().create_task(self.ask(*calls, occasion=occasion, hold=hold))

    def again(self) -> Box:
        """Give what another process has: the same tools and keeper, and no memory."""
        return Box(*self.tools, keeper=self.keeper, clock=self.clock)

    async def close(self) -> None:
        await self.ledger.close()
        await self.toolbox.close()


@asynccontextmanager
async def box(*tools: Callable[..., Any], threads: int = 4, kept: bool = True) -> AsyncIterator[Box]:
    """Give a toolbox with these tools, on a clock that does not wait; with ``kept`` False without a store."""
    keeper = None
    if kept:
        keeper = Keeper()
        await keeper.start()
    made = Box(*tools, keeper=keeper, clock=JumpClock(), threads=threads)
    try:
        yield made
    finally:
        made.clock.advance(0)
        closing = asyncio.get_running_loop().create_task(made.close())
        while not closing.done():
            await asyncio.sleep(0)
            made.clock.advance(100)
        await closing


def call(name: str, id: str = "", /, **arguments: Any) -> ToolCall:
    """Give a call of a tool as a model writes it."""
    return ToolCall(name, json.dumps(arguments), id)


def error_in(text: str) -> str:
    """Give the error that a text tells the model of."""
    said = json.loads(text)
    assert list(said) == ["error"]
    assert isinstance(said["error"], str)
    return said["error"]


BOOK = call("book", name="Wang")
