"""A journal with a store and a spool that do what they are told, on a clock that does not wait."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

from typing_extensions import override

from offhook.errors import StoreError, UnfitRecord
from offhook.store.base import TurnKept
from offhook.store.memory import MemoryStore
from offhook.testing import JumpClock
from offhook.turns.journal import Journal
from offhook.turns.spool import Spool
from tests.store.samples import kept
from tests.table import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from offhook.store.base import Change, TurnRecord

WAIT = 0.05
# Longer than the journal waits between two looks whether the store is back.
A_LOOK = 1.0

Mode = Literal["commit", "refuse", "hold"]


class FakeStore(MemoryStore):
    """Commits at once, refuses, or holds what it is given until ``answer``; ``taken`` is what it committed."""

    def __init__(self) -> None:
        super().__init__()
        self.mode: Mode = "commit"
        self.held: list[tuple[Change, asyncio.Future[None]]] = []
        self.taken: list[Change] = []
        self.unfit: Change | None = None
        self.opens = True
        self.fails_at_close = False
        self.purged: list[float] = []

    @override
    async def start(self) -> None:
        if not self.opens:
            raise StoreError("no disk")
        await super().start()

    @override
    def write(self, change: Change) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.mode == "hold":
            self.held.append((change, future))
        else:
            self._answer(change, future, self.mode)
        return future

    @property
    def turns(self) -> list[TurnRecord]:
        """The turns that it committed."""
        return [change.turn for change in self.taken if isinstance(change, TurnKept)]

    def answer(self, mode: Mode = "commit") -> None:
        """Commit or refuse what is held, and from now on the same."""
        self.mode = mode
        held, self.held = self.held, []
        for change, future in held:
            self._answer(change, future, mode)

    def _answer(self, change: Change, future: asyncio.Future[None], mode: Mode) -> None:
        if change == self.unfit:
            future.set_exception(UnfitRecord("it is too odd"))
        elif mode == "refuse":
            future.set_exception(StoreError("the disk is full"))
        else:
            self.taken.append(change)
            future.set_result(None)

    @override
    async def purge(self, before: float) -> int:
        self.purged.append(before)
        if self.mode == "refuse":
            raise StoreError("the disk is full")
        return 3

    @override
    async def close(self) -> None:
        if self.fails_at_close:
            self.answer("refuse")
        await super().close()


class FakeSpool(Spool):
    """Takes changes into a list, refuses them, or holds each until ``answer``."""

    def __init__(self) -> None:
        self.mode: Mode = "commit"
        self.kept: list[Change] = []
        self.closed = False
        self.unreadable = 0
        self._gate = asyncio.Event()

    @property
    @override
    def skipped(self) -> int:
        return self.unreadable

    @property
    @override
    def pending(self) -> int:
        return len(self.kept)

    @property
    @override
    def problem(self) -> str | None:
        return None

    @override
    async def start(self) -> None:
        """Nothing is needed."""

    @override
    async def put(self, change: Change) -> None:
        if self.mode == "hold":
            await self._gate.wait()
        if self.closed or self.mode == "refuse":
            raise StoreError("the spool is full")
        self.kept.append(change)

    def answer(self) -> None:
        """Take what is held, and all else."""
        self.mode = "commit"
        self._gate.set()

    @override
    async def drain(self, write: Callable[[Change], Awaitable[None]]) -> int:
        count = 0
        while self.kept:
            try:
                await write(self.kept[0])
            except StoreError:
                break
            self.kept.pop(0)
            count += 1
        return count

    @override
    async def close(self) -> None:
        self.closed = True


class Desk:
    """A journal with a scripted store and spool on a jumping clock; ``told`` has what was said to be safe, in order."""

    def __init__(self, *, spool: bool = True, keep_for: float = 0.0) -> None:
        self.clock = JumpClock()
        self.store = FakeStore()
        self.spool = FakeSpool()
        self.journal = Journal(self.store, self.spool if spool else None, self.clock, wait=WAIT, keep_for=keep_for)
        self.told: list[str] = []

    def keep(self, *uids: str) -> None:
        """Keep a turn of each of these names."""
        for uid in uids:
            self.journal.keep(kept(uid), partial(self.told.append, uid))

    async def pass_(self, seconds: float) -> None:
        """Let time pass, and everybody who waits for it go on."""
        self.clock.advance(seconds)
        await settled()

    @property
    def counts(self) -> tuple[int, int]:
        return self.journal.lost, self.journal.rescued


@asynccontextmanager
async def desk(*, spool: bool = True, keep_for: float = 0.0) -> AsyncIterator[Desk]:
    """Give a desk whose journal has started; in the end both take what they held back."""
    made = Desk(spool=spool, keep_for=keep_for)
    await made.journal.start()
    try:
        yield made
    finally:
        made.store.answer()
        made.spool.answer()
        await made.journal.close()


def names(changes: list[Change]) -> list[str]:
    """Give the uids of the turns among some changes."""
    return [change.turn.uid for change in changes if isinstance(change, TurnKept)]
