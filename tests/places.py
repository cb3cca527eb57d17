"""For the tests of admission: an admission on a jumping clock, and those who come to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from offhook.server.admission import Admission, Place
from offhook.server.auth import Owner
from offhook.server.keys import Limits
from offhook.testing import JumpClock

if TYPE_CHECKING:
    from starlette.types import Message

ANN, BOB, EVE = (Owner(name, name) for name in ("ann", "bob", "eve"))
WAIT = 2.0


def limited(name: str = "few", **limits: int) -> Owner:
    """Give the owner of a key with these limits."""
    return Owner(name, name, limits=Limits(**limits))


class Desk:
    """An admission on a jumping clock, and those who came to it."""

    def __init__(self, *, turns: int = 2, queue: int = 4, share: float = 1.0, **more: float) -> None:
        self.clock = JumpClock()
        self.admission = Admission(self.clock, turns=turns, queue=queue, wait=WAIT, share=share, **more)
        self._calls = 0

    def place(self, owner: Owner = ANN, call: str | None = "", *, going_on: bool = False) -> Place:
        """Give a place that is there at once; each call without a name is one of its own."""
        asked = self.admission.ask(owner, call if call != "" else self.call(), going_on=going_on)
        assert isinstance(asked, Place)
        return asked

    def call(self) -> str:
        """Give the id of a call that nobody has."""
        self._calls += 1
        return f"call {self._calls}"

    async def waiter(self, owner: Owner = ANN, call: str | None = "") -> asyncio.Task[Place]:
        """Give the task of somebody who waits for a place."""
        name = call if call != "" else self.call()
        task = asyncio.create_task(self.admission.enter(owner, name, going_on=False))
        await settled()
        assert not task.done()
        return task

    async def pass_(self, seconds: float) -> None:
        """Let so many seconds pass, and those who wait act on it."""
        self.clock.advance(seconds)
        await settled()


async def settled() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


class Client:
    """The other side of ``receive``."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    def send(self, kind: str) -> None:
        self._messages.put_nowait({"type": kind})

    async def receive(self) -> Any:
        return await self._messages.get()
