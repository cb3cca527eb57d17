"""The limits of a key: calls at once, turns and tokens of a minute."""

from __future__ import annotations

import pytest

from offhook.errors import Overloaded, TooMany
from offhook.server.quota import CALLS_AGAIN
from tests.places import BOB, WAIT, Desk, limited


async def test_a_key_has_so_many_calls_at_once() -> None:
    """A call counts from its first turn until it is over; its own next turns are never refused for that."""
    desk = Desk(turns=0)
    owner = limited(calls=2)
    desk.place(owner, "a").leave()
    desk.place(owner, "b")
    with pytest.raises(TooMany, match="2 calls") as refused:
        desk.place(owner, "c")
    assert refused.value.retry_after == CALLS_AGAIN
    desk.place(owner, "a", going_on=True)
    desk.place(owner, "unknown since a restart", going_on=True)
    desk.place(BOB, "c")
    desk.admission.call_over("unknown since a restart")
    desk.admission.call_over("a")
    desk.admission.call_over("a")
    desk.place(owner, "d")
    with pytest.raises(TooMany):
        desk.place(owner, "e")


async def test_a_turn_without_a_call_counts_as_one_while_it_runs() -> None:
    """Requests that name no call are limited too, and count no longer than they run."""
    desk = Desk(turns=0)
    owner = limited(calls=1)
    place = desk.place(owner, None)
    with pytest.raises(TooMany):
        desk.place(owner, None)
    place.leave()
    desk.place(owner, None).give_back()
    desk.place(owner, "a")


async def test_a_call_that_waits_counts_and_does_not_once_it_is_refused() -> None:
    """A key cannot have more calls in the queue than at once, and a refused one was none."""
    desk = Desk(turns=1)
    desk.place(BOB)
    owner = limited(calls=1)
    task = await desk.waiter(owner, "a")
    with pytest.raises(TooMany):
        desk.place(owner, "b")
    await desk.pass_(WAIT)
    with pytest.raises(Overloaded):
        await task
    assert desk.admission.calls == 1
    (await desk.waiter(owner, "b")).cancel()


async def test_a_call_goes_over_to_the_key_that_it_goes_on_with() -> None:
    """When the platform is given a new key in mid-call, the call counts for that, and no more for the old one."""
    desk = Desk(turns=0)
    old, new = limited("old", calls=1), limited("new", calls=1)
    desk.place(old, "a").leave()
    desk.place(new, "a", going_on=True).leave()
    desk.place(old, "b")
    with pytest.raises(TooMany):
        desk.place(new, "c")


async def test_a_call_that_nobody_ends_counts_no_more_after_its_silence() -> None:
    """Past call_idle without a turn a call is let go; one with a live turn is not."""
    desk = Desk(turns=0, call_idle=900.0)
    owner = limited(calls=2)
    desk.place(owner, "live")
    desk.place(owner, "silent").leave()
    await desk.pass_(899.0)
    with pytest.raises(TooMany):
        desk.place(owner, "c")
    await desk.pass_(1.0)
    desk.place(owner, "c")
    with pytest.raises(TooMany):
        desk.place(owner, "d")


async def test_the_silence_of_a_call_begins_with_the_end_of_its_turn() -> None:
    """A turn that took long is no silence."""
    desk = Desk(turns=0, call_idle=900.0)
    owner = limited(calls=1)
    place = desk.place(owner, "a")
    await desk.pass_(800.0)
    place.leave()
    await desk.pass_(800.0)
    with pytest.raises(TooMany):
        desk.place(owner, "b")
    await desk.pass_(100.0)
    desk.place(owner, "b")


async def test_a_call_that_begins_again_counts_though_its_old_turn_is_given_back() -> None:
    """What is undone of a call that was over is not undone of the one that has its id now."""
    desk = Desk(turns=0)
    owner = limited(calls=1)
    old = desk.place(owner, "a")
    desk.admission.call_over("a")
    desk.place(owner, "a")
    old.give_back()
    assert desk.admission.calls == 1
    with pytest.raises(TooMany):
        desk.place(owner, "b")


async def test_turns_of_a_minute_hit_a_call_in_progress_too() -> None:
    """Past so many turns in a minute every turn of the key is refused, and is not in the second that it was told."""
    desk = Desk(turns=0)
    owner = limited(turns_per_minute=2)
    desk.place(owner, "a")
    await desk.pass_(10.5)
    desk.place(owner, "a", going_on=True)
    with pytest.raises(TooMany, match="2 turns a minute") as refused:
        desk.place(owner, "a", going_on=True)
    await desk.pass_(refused.value.retry_after - 0.01)
    with pytest.raises(TooMany):
        desk.place(owner, "a", going_on=True)
    await desk.pass_(0.01)
    desk.place(owner, "a", going_on=True)
    desk.place(BOB)


async def test_tokens_are_charged_when_a_turn_ends() -> None:
    """A turn that uses more than is left runs to its end, and the next one is told when to come again."""
    desk = Desk(turns=0)
    owner = limited(tokens_per_minute=100)
    long = desk.place(owner, "a")
    desk.place(owner, "b").leave(99)
    desk.place(owner, "b", going_on=True)
    await desk.pass_(30.0)
    long.leave(500)
    with pytest.raises(TooMany, match="100 tokens a minute") as refused:
        desk.place(owner, "b", going_on=True)
    assert refused.value.retry_after == 61.0
    await desk.pass_(61.0)
    desk.place(owner, "b", going_on=True)
