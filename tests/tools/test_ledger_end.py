"""What the ledger remembers goes with its call and is bounded; at the end it waits for what has begun."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from offhook.store.base import Intent
from offhook.testing import JumpClock
from offhook.tools import ledger as ledger_module
from offhook.tools.ledger import Ledger, Outcome
from tests.table import settled
from tests.tools.box import BOOK, Desk, box

if TYPE_CHECKING:
    import pytest


async def test_a_call_that_ended_is_forgotten() -> None:
    """What is remembered of a call goes with it where there is no store, and of no other call."""
    desk = Desk()
    async with box(desk.book, kept=False) as it:
        for id in ("call-1", "call-2"):
            await it.ask(BOOK, occasion=it.occasion(call=id))
        it.ledger.forget("call-1")
        it.ledger.forget("nobody")
        for id in ("call-1", "call-2"):
            await it.ask(BOOK, occasion=it.occasion(call=id))
        assert it.outcomes == ["ok", "ok", "ok", "again"]


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many results, or too long ones, those of the calls that changed longest ago go."""
    ledger = Ledger(None, JumpClock())
    begun: list[str] = []

    async def once(call_id: str, text: str) -> str:
        async def work() -> Outcome:
            begun.append(call_id)
            return Outcome(text, "ok")

        return (await ledger.once(Intent(key=call_id, call_id=call_id, turn="", tool="t", at=0.0), work)).outcome

    monkeypatch.setattr(ledger_module, "_MOST_KEPT", 3)
    monkeypatch.setattr(ledger_module, "_MOST_TEXT", 100)
    assert [await once(id, "x") for id in "abcd"] == ["ok"] * 4
    assert [await once(id, "x") for id in "dcb"] == ["again"] * 3
    assert await once("a", "x" * 99) == "ok"
    assert [await once(id, "x") for id in "ad"] == ["again"] * 2
    assert await once("c", "x") == "ok"


async def test_closing_waits_for_what_has_begun() -> None:
    """A server that ends waits for its side effects, and keeps their results."""
    desk = Desk()
    desk.open.clear()
    async with box(desk.book) as it:
        asking = it.asking(BOOK)
        await settled()
        asking.cancel()
        closing = asyncio.get_running_loop().create_task(it.close())
        await settled()
        assert not closing.done()
        desk.open.set()
        await closing
        assert await it.again().ask(BOOK) == ["table 1 for Wang"]


async def test_closing_does_not_wait_for_ever() -> None:
    """A side effect that hangs is given up at the end, and is unknown afterwards."""
    desk = Desk()
    desk.open.clear()
    async with box(desk.book) as it:
        asking = it.asking(BOOK)
        await settled()
        asking.cancel()
        closing = asyncio.get_running_loop().create_task(it.close())
        await settled()
        it.clock.advance(5)
        await closing
        other = it.again()
        await other.ask(BOOK)
        assert other.outcomes == ["unknown"]
