"""Intents go to the store alone; their results wait in the spool while it is away, like every record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from offhook.errors import StoreError
from offhook.store.base import Intent, IntentDone
from offhook.store.sql import SqlStore
from offhook.testing import JumpClock
from offhook.turns.journal import Journal
from offhook.turns.spool import Spool
from tests.desk import desk
from tests.table import settled

if TYPE_CHECKING:
    from pathlib import Path

INTENT = Intent(key="k", call_id="call-1", turn="1", tool="t", at=1.0)
DONE = IntentDone(key="k", outcome="ok", code=None, result="done", ended_at=2.0)


async def test_the_journal_claims_in_the_store() -> None:
    """A claim and its release reach the store at once, and never the spool."""
    async with desk() as it:
        assert await it.journal.claim(INTENT) is None
        assert await it.journal.claim(INTENT) == INTENT
        await it.journal.unclaim("k")
        assert await it.journal.claim(INTENT) is None
        assert it.spool.kept == []


async def test_a_result_waits_in_the_spool() -> None:
    """What a side effect gave goes to the spool while the store is away."""
    async with desk() as it:
        it.store.mode = "refuse"
        it.journal.keep(DONE)
        await settled()
        assert it.spool.kept == [DONE]


async def test_what_waited_in_the_spool_is_known_after_a_restart(tmp_path: Path) -> None:
    """A result that a process left in the spool is in the store before the next one claims anything."""
    clock = JumpClock()

    async def journal() -> tuple[Journal, Spool]:
        spool = Spool(tmp_path / "spool", size=2**16)
        made = Journal(SqlStore(tmp_path / "offhook.db", now=clock.now), spool, clock)
        await made.start()
        return made, spool

    first, spool = await journal()
    assert await first.claim(INTENT) is None
    await spool.put(DONE)
    await first.close()
    second, _ = await journal()
    found = await second.claim(INTENT)
    await second.close()
    assert found is not None
    assert (found.outcome, found.result) == ("ok", "done")


async def test_without_a_store_nothing_is_claimed() -> None:
    """While the store cannot be opened a claim raises StoreError."""
    async with desk() as it:
        await it.store.close()
        with pytest.raises(StoreError):
            await it.journal.claim(INTENT)
