"""How far a turn was spoken, from what a platform reports, and what is held of calls that nobody knows yet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from offhook.coord.memory import MemoryCoordinator
from offhook.events import CallContext
from offhook.store.base import Spoken, TurnKept, TurnRecord
from offhook.store.memory import MemoryStore
from offhook.testing import JumpClock
from offhook.turns import early, told
from offhook.turns.calls import Calls
from offhook.turns.journal import Journal
from offhook.turns.told import Told, heard_of
from offhook.webhooks.base import CallNews

if TYPE_CHECKING:
    import pytest

    from offhook.turns.state import CallState

SENT = "Your parcel is on its way.\nIt comes on Monday."


def turn(sent: str = SENT, *, uid: str = "t1", heard: int | None = None) -> TurnRecord:
    """Give the record of turn 1."""
    return TurnRecord(uid=uid, call_id="c1", model="m", turn_id="1", generated=sent, sent=sent, heard=heard)


def heard(*texts: str, sent: str = SENT, known: int | None = None) -> int | None:
    """Give how far a turn was spoken."""
    found = heard_of([turn(sent, heard=known)], texts)
    return None if found is None else found.heard


def test_a_beginning_was_heard() -> None:
    """The words that the turn begins with were heard, white space around them aside."""
    assert heard("Your parcel") == len("Your parcel")
    assert heard("  Your parcel \n") == len("Your parcel")
    assert heard(SENT) == len(SENT)
    assert heard("Your", sent="\n Your parcel") == 6


def test_words_that_were_not_sent_were_not_heard() -> None:
    """Nothing, other words, more than was sent, and the middle alone are no beginning."""
    for text in ("", " ", "parcel", "your parcel", SENT + " Bye."):
        assert heard(text) is None
    assert heard_of([], ["Your parcel"]) is None


def test_sentences_go_on_where_the_last_one_ended() -> None:
    """One after the other, in one report or in several."""
    assert heard("Your parcel is on its way.", "It comes") == SENT.index(" on Monday")
    assert heard("It comes", known=len("Your parcel is on its way.")) == SENT.index(" on Monday")
    assert heard("Your parcel", "nonsense", "is on") == len("Your parcel is on")


def test_nothing_is_heard_less() -> None:
    """What is sent again, or comes late, takes nothing back."""
    assert heard("Your parcel", known=20) is None
    assert heard("Your parcel", known=len("Your parcel")) is None


def test_the_newest_record_of_a_turn_that_fits_is_meant() -> None:
    """A turn that was asked for twice has two records, and the words are those of one."""
    turns = [turn("First words.", uid="old"), turn("Other words.", uid="new")]
    for text, uid in (("First", "old"), ("Other", "new")):
        found = heard_of(turns, [text])
        assert found is not None and found.uid == uid


@given(st.text(alphabet="ab \n。", max_size=60), st.data())
def test_what_was_heard_is_always_a_beginning(sent: str, data: st.DataObject) -> None:
    """However the words are cut at spaces, all of them together are the whole turn."""
    words = re.findall(r"\S+", sent)
    cuts = data.draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    pieces, piece = [], ""
    place = 0
    for word, cut in zip(words, cuts, strict=True):
        begin = sent.index(word, place)
        piece += sent[place:begin] + word
        place = begin + len(word)
        if cut:
            pieces.append(piece)
            piece = ""
    found = heard(*pieces, piece, sent=sent)
    assert found == (len(sent.rstrip()) or None)


def test_a_long_turn_is_read_to_its_end() -> None:
    """Megabytes of white space, and a hundred thousand reports, are no matter of minutes."""
    assert heard(*["x"] * 100_000, sent=" " * 5_000_000 + "x") is None
    assert heard(*["a"] * 100_000, sent="a " * 100_000) == 199_999


# --- what comes too early -----------------------------------------------------------------------------------------


class Bench:
    """Calls with a store in memory."""

    def __init__(self) -> None:
        self.clock = JumpClock()
        self.store = MemoryStore()
        self.journal = Journal(self.store, None, self.clock)
        coord: MemoryCoordinator[CallState] = MemoryCoordinator()
        self.calls = Calls(self.clock, owner="s", coord=coord, store=self.store, journal=self.journal)
        self.told = Told(self.clock, self.calls, self.store)

    async def __aenter__(self) -> Bench:
        await self.journal.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.calls.close()
        await self.journal.close()

    async def begin(self, call_id: str) -> None:
        """Record the first turn of a call."""
        line = await self.calls.open(CallContext(id=call_id))
        record = TurnRecord(uid=f"turn of {call_id}", call_id=call_id, model="m", received_at=self.clock.now())
        self.calls.keep(TurnKept(call=self.calls.call_record(line), turn=record))

    async def words(self, call_id: str) -> list[str]:
        """Give what is recorded as spoken in a call."""
        stored = await self.store.find(call_id)
        return [] if stored is None else [one.text for one in stored.spoken]


def news(call_id: str, text: str = "Welcome.") -> CallNews:
    """Give news of something that was said."""
    return CallNews(call_id=call_id, spoken=(Spoken(key=text, role="agent", text=text),))


async def test_news_wait_for_the_first_turn_only() -> None:
    """They are entered with it, and then nothing is held any more."""
    async with Bench() as bench:
        for _ in range(3):
            assert not await bench.told.take(news("c1"), None)
        await bench.begin("c1")
        assert await bench.words("c1") == ["Welcome."]
        assert await bench.told.take(news("c1", "More."), None)
        assert not bench.told.early and bench.told.early.characters == 0


async def test_what_is_held_is_bounded() -> None:
    """Of calls that never come the oldest are forgotten, by their number and by the length of what was said."""
    async with Bench() as bench:
        for number in range(early.MOST_CALLS + 1):
            await bench.told.take(news(f"c{number}"), None)
        for number in (0, 1):
            await bench.begin(f"c{number}")
        assert (await bench.words("c0"), await bench.words("c1")) == ([], ["Welcome."])
        half = early.MOST_CHARACTERS // 2
        for id in ("long", "longer", "longest"):
            await bench.told.take(news(id, id * (half // len(id))), None)
        assert bench.told.early.characters <= early.MOST_CHARACTERS
        for number in range(2 * early.MOST_NEWS):
            await bench.told.take(news("many", f"{number}"), None)
        await bench.begin("many")
        assert len(await bench.words("many")) == early.MOST_NEWS


async def test_what_waits_too_long_is_forgotten() -> None:
    """A first turn that comes after the time for it finds nothing, and what came last does not keep the first."""
    async with Bench() as bench:
        await bench.told.take(news("c1", "First."), None)
        bench.clock.advance(early.LONGEST_WAIT - 1)
        await bench.told.take(news("c1", "Last."), None)
        bench.clock.advance(2)
        await bench.told.take(news("c2"), None)
        assert len(bench.told.early) == 1
        await bench.begin("c1")
        await bench.begin("c2")
        assert (await bench.words("c1"), await bench.words("c2")) == ([], ["Welcome."])
        assert bench.told.early.characters == 0


async def test_what_is_kept_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a call that lives, and of one in the records alone, by number, by length, and by both together."""
    for name, value in (("_MOST_SPOKEN", 5), ("_LONGEST_SPOKEN", 10), ("_MOST_CHARACTERS", 30)):
        monkeypatch.setattr(told, name, value)
    async with Bench() as bench:
        for live in (True, False):
            for id in ("many", "long", "more"):
                await bench.begin(f"{id}-{live}")
            if not live:
                bench.calls._lines.clear()
            for number in range(9):
                await bench.told.take(news(f"many-{live}", f"{number}"), None)
                await bench.told.take(news(f"more-{live}", f"{number}" * 9), None)
            await bench.told.take(news(f"long-{live}", "x" * 11), None)
            counts = [len(await bench.words(f"{id}-{live}")) for id in ("many", "long", "more")]
            assert counts == [5, 1, 3]
            assert await bench.words(f"long-{live}") == ["x" * 10]


async def test_a_flood_while_the_store_is_away_writes_each_once() -> None:
    """News of a call that cannot be looked up go to the journal once, however often they are sent."""
    async with Bench() as bench:
        await bench.store.close()
        kept: list[object] = []
        bench.calls.keep = lambda change, done=None: kept.append(change)  # type: ignore[method-assign]  # a spy stands in its place
        for _ in range(50):
            assert not await bench.told.take(news("c1"), None)
        assert len(kept) == 1


async def test_a_flood_of_unknown_calls_writes_nothing() -> None:
    """Where the store says that there is no such call, nothing is written."""
    async with Bench() as bench:
        kept: list[object] = []
        bench.calls.keep = lambda change, done=None: kept.append(change)  # type: ignore[method-assign]  # a spy stands in its place
        for number in range(50):
            assert not await bench.told.take(news(f"c{number}"), None)
        assert not kept


async def test_a_connection_that_cannot_be_is_none() -> None:
    """One that is months ago, or still to come, makes no duration."""
    async with Bench() as bench:
        now = bench.clock.now()
        for place, connected_at in enumerate((1.0, now - 31 * 86_400, now + 3600)):
            await bench.begin(f"c{place}")
            end = CallNews(call_id=f"c{place}", at=now + 9999, ended=True, connected_at=connected_at)
            assert await bench.told.take(end, None)
            line = bench.calls.at_hand(f"c{place}")
            assert line is not None and line.ended_at == now
            assert (line.connected_at, line.duration) == (None, None)


async def test_a_record_that_is_open_is_not_ended_by_the_past() -> None:
    """An end that is dated before its last turn leaves a call in the records alone open; a later one ends it."""
    async with Bench() as bench:
        await bench.begin("c1")
        bench.calls._lines.clear()
        now = bench.clock.now()
        for at, ended_by, duration in ((now - 60, None, None), (now, "callback", 7.0)):
            await bench.told.take(CallNews(call_id="c1", at=at, ended=True, duration=7.0), None)
            stored = await bench.store.find("c1")
            assert stored is not None and (stored.call.ended_by, stored.call.duration) == (ended_by, duration)
