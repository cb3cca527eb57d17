"""The journal says when a record is safe: in the store in time, else in the spool, else it is counted lost."""

from __future__ import annotations

import asyncio
import logging

import pytest

from offhook.turns import journal as journal_module
from tests.desk import A_LOOK, WAIT, Desk, Mode, desk, names
from tests.store.samples import kept
from tests.table import settled

# --- the store answers --------------------------------------------------------------------------------------------


async def test_what_is_committed_at_once_is_safe_at_once() -> None:
    """A store that commits within the call needs no other step."""
    async with desk() as it:
        it.keep("a")
        assert it.told == ["a"] and names(it.store.taken) == ["a"]


async def test_what_is_committed_in_time_is_safe_then() -> None:
    """Nobody is told before the commit, and the spool is not asked."""
    async with desk() as it:
        it.store.mode = "hold"
        it.keep("a", "b")
        await it.pass_(WAIT - 0.01)
        assert it.told == []
        it.store.answer()
        await settled()
        assert it.told == ["a", "b"]
        await it.pass_(10)
        assert it.told == ["a", "b"] and it.spool.kept == [] and not it.journal.degraded


async def test_a_change_may_be_kept_without_a_listener() -> None:
    """Where nobody waits for a change it is kept all the same."""
    async with desk() as it:
        it.journal.keep(kept("a"))
        assert names(it.store.taken) == ["a"]


async def test_a_record_that_is_unfit_is_lost_alone() -> None:
    """It is counted and logged, its reply ends, and the store is not taken to be away."""
    async with desk() as it:
        it.store.unfit = kept("odd")
        it.keep("a", "odd", "b")
        assert it.told == ["a", "odd", "b"] and names(it.store.taken) == ["a", "b"]
        assert it.counts == (1, 0) and not it.journal.degraded


# --- the store is away --------------------------------------------------------------------------------------------


async def test_what_is_not_committed_in_time_goes_to_the_spool() -> None:
    """When the wait is over the record is spooled, then it is safe; the store is away until it has proved otherwise."""
    async with desk() as it:
        it.store.mode = "hold"
        it.keep("a")
        await settled()
        await it.pass_(WAIT)
        assert it.told == ["a"] and names(it.spool.kept) == ["a"]
        assert it.journal.degraded and it.counts == (0, 0)


async def test_a_commit_that_comes_late_is_not_told_again() -> None:
    """Once the spool has a record the store's own answer, good or bad, is nobody's business."""
    for mode in ("commit", "refuse"):
        async with desk() as it:
            it.store.mode = "hold"
            it.keep("a")
            await settled()
            await it.pass_(WAIT)
            it.store.answer(mode)
            await settled()
            assert it.told == ["a"] and it.counts == (0, 0) and names(it.spool.kept) == ["a"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_the_store_refuses_goes_to_the_spool_at_once(at_once: bool) -> None:
    """An error is not waited out, and no time passes."""
    async with desk() as it:
        it.store.mode = "refuse" if at_once else "hold"
        it.keep("a")
        if not at_once:
            await settled()
            it.store.answer("refuse")
        await settled()
        assert it.told == ["a"] and names(it.spool.kept) == ["a"] and it.journal.degraded


async def test_a_write_that_is_given_up_goes_to_the_spool() -> None:
    """A future that was cancelled is no commit."""
    async with desk() as it:
        it.store.mode = "hold"
        it.keep("a")
        it.store.held.pop()[1].cancel()
        await settled()
        assert it.told == ["a"] and names(it.spool.kept) == ["a"] and it.journal.degraded


async def test_while_the_store_is_away_it_is_not_waited_for() -> None:
    """Later records go to the spool without being given to the store first, in their order."""
    async with desk() as it:
        it.store.mode = "refuse"
        it.keep("a")
        await settled()
        it.store.mode = "hold"
        it.keep("b", "c")
        await settled()
        assert it.told == ["a", "b", "c"] and names(it.spool.kept) == ["a", "b", "c"]
        assert it.store.held == []


async def test_the_store_is_looked_for_and_gets_what_waits() -> None:
    """When it is back it has every record once asked for, in order, and is written to directly from then on."""
    async with desk() as it:
        it.store.mode = "refuse"
        it.keep("a", "b", "c")
        await settled()
        await it.pass_(A_LOOK)
        assert it.journal.degraded and names(it.spool.kept) == ["a", "b", "c"]
        it.store.mode = "commit"
        await it.pass_(A_LOOK)
        assert not it.journal.degraded and it.spool.kept == []
        # The last that was refused was tried first, to see whether the store is back.
        assert names(it.store.taken)[-3:] == ["a", "b", "c"]
        it.keep("d")
        assert names(it.store.taken)[-1] == "d" and it.told == ["a", "b", "c", "d"]


async def test_a_store_that_goes_away_while_it_gets_what_waits_is_away_still() -> None:
    """What it did not take stays in the spool for the next look."""
    async with desk() as it:
        it.store.mode = "refuse"
        it.keep("a", "b")
        await settled()
        it.store.mode = "hold"
        await it.pass_(A_LOOK)
        it.store.answer("refuse")
        await settled()
        assert it.journal.degraded and names(it.spool.kept) == ["a", "b"]
        it.store.mode = "commit"
        await it.pass_(A_LOOK)
        assert not it.journal.degraded and it.spool.kept == [] and set(names(it.store.taken)) == {"a", "b"}


async def test_a_record_that_reaches_the_spool_while_the_store_comes_back_is_not_forgotten() -> None:
    """A spool that is slow to take a record does not leave it behind when all others are in the store already."""
    async with desk() as it:
        it.store.mode = "refuse"
        it.keep("a")
        await settled()
        it.spool.mode = "hold"
        it.keep("b")
        it.store.mode = "commit"
        await it.pass_(A_LOOK)
        it.spool.answer()
        await settled()
        for _ in range(2):
            await it.pass_(A_LOOK)
        assert it.told == ["a", "b"]
        assert "b" in names(it.store.taken) and it.spool.kept == [] and not it.journal.degraded


# --- neither of the two -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spool", [True, False])
async def test_what_neither_takes_is_lost_and_its_reply_ends(spool: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The one stated exception: it is counted and logged, and nobody waits for it."""
    async with desk(spool=spool) as it:
        it.store.mode = it.spool.mode = "refuse"
        with caplog.at_level(logging.ERROR, "offhook.turns"):
            it.keep("a")
            await settled()
        assert it.told == ["a"] and it.counts == (1, 0)
        assert "a record is lost for now" in caplog.text


async def test_a_spool_that_hangs_does_not_hold_the_end_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not answer is waited for a limited time, and no longer."""
    monkeypatch.setattr(journal_module, "_SPOOL_WAIT", 0.01)
    async with desk() as it:
        it.store.mode, it.spool.mode = "refuse", "hold"
        told = asyncio.Event()
        it.journal.keep(kept("a"), told.set)
        await told.wait()
        assert it.counts == (1, 0)


async def test_what_was_lost_is_given_to_a_store_that_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """A record that was safe nowhere is held in memory, and counted as rescued when it is safe after all."""
    async with desk() as it:
        it.store.mode = it.spool.mode = "refuse"
        it.keep("a", "b")
        await settled()
        it.spool.mode = "commit"
        it.keep("c")
        await settled()
        it.store.mode = "commit"
        await it.pass_(A_LOOK)
        assert it.counts == (2, 2) and not it.journal.degraded
        assert set(names(it.store.taken)) == {"a", "b", "c"} and it.spool.kept == []
        assert it.told == ["a", "b", "c"]
    assert "lost records" not in caplog.text


# --- beginning and end --------------------------------------------------------------------------------------------


async def test_what_an_earlier_process_left_is_taken_up_at_the_start() -> None:
    """The spool is emptied into the store before anything new."""
    it = Desk()
    it.spool.kept = [kept("a"), kept("b")]
    await it.journal.start()
    it.keep("c")
    assert names(it.store.taken) == ["a", "b", "c"] and it.spool.kept == [] and not it.journal.degraded
    await it.journal.close()


@pytest.mark.parametrize("how", ["does not open", "refuses"])
async def test_a_store_that_is_away_at_the_start_is_not_waited_for(how: str) -> None:
    """The line goes on with the spool, and the store gets everything when it is there."""
    it = Desk()
    it.spool.kept = [kept("a")]
    it.store.opens = how != "does not open"
    it.store.mode = "commit" if it.store.opens is False else "refuse"
    await it.journal.start()
    assert it.journal.degraded
    it.keep("b")
    await settled()
    assert it.told == ["b"] and names(it.spool.kept) == ["a", "b"]
    await it.pass_(A_LOOK)
    assert it.journal.degraded
    it.store.opens, it.store.mode = True, "commit"
    await it.pass_(A_LOOK)
    assert not it.journal.degraded and set(names(it.store.taken)) == {"a", "b"}
    await it.journal.close()


async def test_a_close_waits_for_what_the_store_has_not_committed() -> None:
    """What comes back as an error at the very end is in the spool when close returns, and nothing is lost."""
    it = Desk()
    await it.journal.start()
    it.store.mode, it.store.fails_at_close = "hold", True
    it.keep("a", "b")
    await it.journal.close()
    assert it.told == ["a", "b"] and names(it.spool.kept) == ["a", "b"] and it.counts == (0, 0)
    assert it.spool.closed


async def test_a_close_leaves_nobody_waiting() -> None:
    """What a store has not even answered when it is closed goes to the spool."""
    it = Desk()
    await it.journal.start()
    it.store.mode = "hold"
    it.keep("a")
    await it.journal.close()
    assert it.told == ["a"] and names(it.spool.kept) == ["a"]


async def test_a_close_gives_a_store_that_is_back_what_waits() -> None:
    """The last look is not left to the next start of the server."""
    it = Desk()
    await it.journal.start()
    it.store.mode = "refuse"
    it.keep("a")
    await settled()
    it.store.mode = "commit"
    await it.journal.close()
    assert it.spool.kept == [] and set(names(it.store.taken)) == {"a"}


async def test_what_stays_lost_is_said_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """The last line tells how many records are nowhere."""
    it = Desk()
    await it.journal.start()
    it.store.mode = it.spool.mode = "refuse"
    it.keep("a", "b")
    await settled()
    await it.journal.close()
    assert "lost records: 2; neither the store nor the spool took them" in caplog.text


# --- age ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["commit", "hold"])
async def test_old_calls_are_deleted_once_an_hour(mode: Mode) -> None:
    """With the first change and then hourly the store is told up to when calls are old."""
    async with desk(keep_for=100.0) as it:
        begin = it.clock.now()
        it.store.mode = mode
        for seconds in (0, 10, 3600):
            it.clock.advance(seconds)
            it.keep("a")
            it.store.answer(mode)
            await settled()
        assert it.store.purged == [begin - 100.0, begin + 3610 - 100.0]


async def test_without_an_age_nothing_is_deleted() -> None:
    """Zero keeps calls for ever."""
    async with desk() as it:
        it.keep("a")
        await settled()
        assert it.store.purged == []


async def test_a_deletion_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again the next hour, and the records go on."""
    async with desk(keep_for=100.0) as it:
        it.store.mode = "hold"
        it.keep("a")
        it.store.mode = "refuse"
        await settled()
        it.store.answer()
        await settled()
        assert "old calls could not be deleted: the disk is full" in caplog.text
        assert it.told == ["a"]


async def test_what_cannot_be_read_in_the_spool_is_told_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A damaged record is lost, which the log says once."""
    async with desk() as it:
        it.spool.unreadable = 2
        it.store.mode = "refuse"
        it.journal.keep(kept("a"))
        await settled()
        it.store.mode = "commit"
        for _ in range(2):
            it.clock.advance(A_LOOK)
            await settled()
        assert it.journal.lost == 2
    assert [line for line in caplog.messages if "could not be read" in line] == [
        "records in the spool that could not be read, and are lost: 2"
    ]
