"""A side effect is begun at most once for a call, turn, tool, arguments and occurrence."""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest

from offhook.events import ToolCall
from offhook.tools.ledger import Occasion
from offhook.tools.schema import tool
from tests.table import settled
from tests.tools.box import BOOK, LIMIT, Desk, box, call, error_in

# --- once ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False])
async def test_a_turn_that_is_run_again_does_nothing_again(kept: bool) -> None:
    """In a second run of the turn the same call gets the first one's result, with a store and without."""
    desk = Desk()
    async with box(desk.book, kept=kept) as it:
        first = await it.ask(BOOK)
        assert await it.ask(BOOK) == first == ["table 1 for Wang"]
        assert (desk.done, it.outcomes) == (["Wang"], ["ok", "again"])


async def test_after_a_restart_the_result_is_given_again() -> None:
    """Another process with the same store gives the result that was kept."""
    desk = Desk()
    async with box(desk.book) as it:
        first = await it.ask(BOOK)
        other = it.again()
        assert await other.ask(BOOK) == first
        assert (desk.done, other.outcomes) == (["Wang"], ["again"])


async def test_after_a_crash_it_is_unknown() -> None:
    """What was begun and has no result is not begun again, and the model is told that nobody knows."""
    desk = Desk()
    async with box(desk.book) as it:
        assert it.keeper is not None
        it.keeper.loses = True
        await it.ask(BOOK)
        for _ in range(2):
            other = it.again()
            (text,) = await other.ask(BOOK)
            assert error_in(text).startswith("Outcome unknown")
            assert other.outcomes == ["unknown"]
        assert desk.begun == ["Wang"]


async def test_equal_calls_in_one_turn_are_each_done() -> None:
    """The model may ask for the same twice, in one round or in two, and a second run of the turn does none again."""
    desk = Desk()
    async with box(desk.book) as it:
        occasion = it.occasion()
        first = [*await it.ask(BOOK, BOOK, occasion=occasion), *await it.ask(BOOK, occasion=occasion)]
        assert sorted(first) == ["table 1 for Wang", "table 2 for Wang", "table 3 for Wang"]
        occasion = it.occasion()
        again = [*await it.ask(BOOK, occasion=occasion), *await it.ask(BOOK, BOOK, occasion=occasion)]
        assert again == first
        assert len(desk.done) == 3
        assert await it.ask(BOOK, occasion=occasion) == ["table 4 for Wang"]


async def test_what_differs_is_done() -> None:
    """Other arguments, another turn, and another call are side effects of their own."""
    desk = Desk()
    async with box(desk.book) as it:
        await it.ask(BOOK)
        await it.ask(call("book", name="Li"))
        await it.ask(call("book", name="Wang", seats=3))
        await it.ask(BOOK, occasion=it.occasion("2"))
        await it.ask(BOOK, occasion=it.occasion(call="call-2"))
        assert desk.done == ["Wang", "Li", "Wang", "Wang", "Wang"]


@pytest.mark.parametrize(
    "arguments",
    ['{"seats": 3, "name": "Wang"}', '{"name":"Wang","seats":"3"}', '{"name":"\\u0057ang","seats":3,"more":1}'],
)
async def test_what_means_the_same_is_the_same(arguments: str) -> None:
    """Order, white space, escapes, numbers as strings and unknown arguments make no other side effect."""
    desk = Desk()
    async with box(desk.book) as it:
        await it.ask(call("book", name="Wang", seats=3))
        await it.ask(ToolCall("book", arguments))
        assert it.outcomes == ["ok", "again"]


async def test_the_order_within_an_argument_does_not_count() -> None:
    """An object that is given as an argument is the same in any order of its fields."""

    @tool(side_effect=True)
    async def file(form: dict[str, str]) -> str:
        return "filed"

    async with box(file) as it:
        await it.ask(call("file", form={"a": "1", "b": "2"}))
        await it.ask(call("file", form={"b": "2", "a": "1"}))
        await it.ask(call("file", form={"a": "2", "b": "1"}))
        assert it.outcomes == ["ok", "again", "ok"]


def test_keys_do_not_run_together() -> None:
    """The parts of a key are told apart, whatever is in them."""
    parts = ["", "1", "2", '"', '","', "\ud800"]
    keys = [
        Occasion(one, two).key(three, {"x": four}) for one, two, three, four in itertools.product(parts[:5], repeat=4)
    ]
    assert len(set(keys)) == len(keys)
    assert Occasion("\ud800", "\udfff").key("t", {}) == Occasion("\ud800", "\udfff").key("t", {})


async def test_a_failure_is_kept_like_a_result() -> None:
    """A side effect that raised may have happened: it is not tried again by itself, and the model reads the same."""
    tries: list[int] = []

    @tool(side_effect=True)
    def pay(amount: int) -> None:
        tries.append(amount)
        raise ValueError("card refused")

    async with box(pay) as it:
        (first,) = await it.ask(call("pay", amount=3))
        assert await it.ask(call("pay", amount=3)) == [first]
        other = it.again()
        assert await other.ask(call("pay", amount=3)) == [first]
        assert (tries, error_in(first)) == ([3], "ValueError: card refused")
        assert [(run.outcome, run.code) for run in [*it.runs, *other.runs]] == [
            ("failed", "ValueError"),
            ("again", "ValueError"),
            ("again", "ValueError"),
        ]


async def test_a_side_effect_that_was_given_up_is_unknown_afterwards() -> None:
    """One that did not end in its time is told as such, and as unknown when the turn is run again."""
    desk = Desk()
    desk.open.clear()
    async with box(desk.book) as it:
        asking = it.asking(BOOK)
        await settled()
        it.clock.advance(LIMIT)
        (text,) = await asking
        assert "Nobody knows whether it was done" in error_in(text)
        other = it.again()
        for each in (it, other):
            (text,) = await each.ask(BOOK)
            assert error_in(text).startswith("Outcome unknown")
        assert (desk.begun, [*it.outcomes, *other.outcomes]) == (["Wang"], ["timeout", "unknown", "unknown"])


async def test_a_side_effect_without_a_thread_may_be_tried_again() -> None:
    """One that never had a thread was not begun: told so, and a second run of the turn does it."""
    release = threading.Event()
    done: list[str] = []

    def hang() -> None:
        release.wait(20)

    @tool(side_effect=True)
    def book(name: str) -> str:
        done.append(name)
        return "booked"

    async with box(hang, book, threads=1) as it:
        asking = it.asking(call("hang"), BOOK)
        await settled()
        it.clock.advance(LIMIT)
        _, text = await asking
        assert "was not done" in error_in(text)
        release.set()
        assert await it.ask(BOOK) == ["booked"]
        assert done == ["Wang"]


# --- cancelled ----------------------------------------------------------------------------------------------------


async def test_a_side_effect_that_has_begun_goes_on() -> None:
    """A barge-in does not stop it, its result is kept, and the turn that is asked for again gets it."""
    desk = Desk()
    desk.open.clear()
    async with box(desk.book) as it:
        asking = it.asking(BOOK)
        await settled()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        retry = it.asking(BOOK)
        await settled()
        assert not retry.done()
        desk.open.set()
        assert await retry == ["table 1 for Wang"]
        assert (desk.done, it.outcomes) == (["Wang"], ["again"])
        assert await it.again().ask(BOOK) == ["table 1 for Wang"]


async def test_a_cancel_during_the_hold_drops_it() -> None:
    """On a speculative platform a side effect waits, and is dropped without a trace when the request goes."""
    desk = Desk()
    async with box(desk.book) as it:
        speculative = it.occasion(speculative=True)
        asking = it.asking(BOOK, occasion=speculative, hold=0.3)
        await settled()
        it.clock.advance(0.29)
        await settled()
        assert desk.begun == []
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        it.clock.advance(1)
        await settled()
        assert desk.begun == []
        retry = it.asking(BOOK, occasion=it.occasion(speculative=True), hold=0.3)
        await settled()
        it.clock.advance(0.3)
        assert await retry == ["table 1 for Wang"]
        assert it.runs[0].seconds == pytest.approx(0.3)


async def test_other_platforms_have_no_hold() -> None:
    """Where requests are not speculative a side effect begins at once."""
    desk = Desk()
    async with box(desk.book) as it:
        assert await it.ask(BOOK, hold=0.3) == ["table 1 for Wang"]


async def test_what_is_known_is_not_held() -> None:
    """A result that is there is given again at once, also on a speculative platform."""
    desk = Desk()
    async with box(desk.book) as it:
        first = await it.ask(BOOK)
        assert await it.ask(BOOK, occasion=it.occasion(speculative=True), hold=0.3) == first


async def test_a_cancel_before_the_commit_drops_it() -> None:
    """A request that goes while its intent is being committed begins nothing, and the intent is forgotten."""
    desk = Desk()
    async with box(desk.book) as it:
        assert it.keeper is not None
        it.keeper.slow = asyncio.Event()
        asking = it.asking(BOOK)
        await settled()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        it.keeper.slow.set()
        await settled()
        assert (desk.begun, len(it.keeper.released)) == ([], 1)
        assert await it.ask(BOOK) == ["table 1 for Wang"]


async def test_a_retry_during_the_commit_takes_it_over() -> None:
    """When the turn is asked for again while the intent is committed, the side effect begins once, for that one."""
    desk = Desk()
    async with box(desk.book) as it:
        assert it.keeper is not None
        it.keeper.slow = asyncio.Event()
        asking = it.asking(BOOK)
        await settled()
        asking.cancel()
        retry = it.asking(BOOK)
        await settled()
        it.keeper.slow.set()
        assert await retry == ["table 1 for Wang"]
        assert (desk.begun, it.keeper.released) == (["Wang"], [])


# --- the store is away --------------------------------------------------------------------------------------------


async def test_what_cannot_be_committed_is_not_done(caplog: pytest.LogCaptureFixture) -> None:
    """While the store is away a side effect is not begun, and the model is told that it was not done."""
    desk = Desk()
    async with box(desk.book) as it:
        assert it.keeper is not None
        it.keeper.away = True
        (text,) = await it.ask(BOOK)
        assert error_in(text).startswith("This was not done")
        assert [(run.outcome, run.code) for run in it.runs] == [("refused", "store_away")]
        it.keeper.away = False
        assert await it.ask(BOOK) == ["table 1 for Wang"]
        assert desk.begun == ["Wang"]
    assert "a side effect was not begun: The disk is full." in caplog.text


async def test_a_commit_that_takes_too_long_is_given_up() -> None:
    """After a second the model is told that it was not done; an intent that is committed later is forgotten again."""
    desk = Desk()
    async with box(desk.book) as it:
        assert it.keeper is not None
        it.keeper.slow = asyncio.Event()
        asking = it.asking(BOOK)
        await settled()
        it.clock.advance(0.99)
        await settled()
        assert not asking.done()
        it.clock.advance(0.01)
        (text,) = await asking
        assert error_in(text).startswith("This was not done")
        it.keeper.slow.set()
        await settled()
        assert (desk.begun, len(it.keeper.released)) == ([], 1)
        assert await it.ask(BOOK) == ["table 1 for Wang"]
