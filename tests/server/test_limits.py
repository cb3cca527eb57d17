"""The limits of a key: calls at once, turns and tokens of a minute."""

from __future__ import annotations

import pytest

from offhook.errors import Overloaded, TooMany
from offhook.server.quota import CALLS_AGAIN
from tests.places import BOB, WAIT, Desk, limited, settled


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


async def test_a_call_in_progress_has_two_turns_by_right() -> None:
    """The newest and the one before it; what it asks for beside them waits as a new call does, and is refused so."""
    desk = Desk(turns=1, queue=1)
    first = desk.place(call="a")
    desk.place(call="a")
    task = await desk.waiter(call="a")
    with pytest.raises(Overloaded):
        desk.place(call="a", going_on=True)
    with pytest.raises(Overloaded):
        desk.place(call="b")
    assert (desk.admission.live, desk.admission.waiting) == (2, 1)
    first.leave()
    await task
    assert desk.admission.live == 2
    desk.place(call="unknown since a restart", going_on=True)


async def test_a_turn_beside_those_by_right_takes_a_free_place() -> None:
    """It begins at once where a new call would, so within the share of its key too."""
    desk = Desk(turns=4, share=0.75)
    desk.place(BOB)
    for _ in range(3):
        desk.place(call="a")
    task = await desk.waiter(call="a")
    desk.admission.call_over("a")
    task.cancel()


async def test_what_a_call_asks_for_beside_counts_as_calls() -> None:
    """Each turn beyond two of one call, live or waiting, is one more of the calls of its key, as long as it runs."""
    desk = Desk(turns=0)
    owner = limited(calls=2)
    places = [desk.place(owner, "a") for _ in range(3)]
    for call in ("a", "b", None):
        with pytest.raises(TooMany, match="2 calls"):
            desk.place(owner, call, going_on=call == "a")
    places.pop().leave()
    other = desk.place(owner, "b")
    with pytest.raises(TooMany):
        desk.place(owner, "a", going_on=True)
    desk.admission.call_over("b")
    desk.place(owner, "a").give_back()
    places += [desk.place(owner, "a")]
    desk.admission.call_over("a")
    for place in (*places, other):
        place.leave()
    desk.place(owner, "c")
    desk.place(owner, "d")
    with pytest.raises(TooMany):
        desk.place(owner, "e")


async def test_what_a_call_asks_for_beside_goes_over_to_its_new_key() -> None:
    """A call that goes on with another key takes all that it counts for along, and gives it back there."""
    desk = Desk(turns=0)
    old, new = limited("old", calls=2), limited("new", calls=3)
    places = [desk.place(old, "a") for _ in range(3)]
    with pytest.raises(TooMany):
        desk.place(limited("third", calls=2), "a")
    places.append(desk.place(new, "a"))
    desk.place(old, "b")
    desk.place(old, "c")
    with pytest.raises(TooMany):
        desk.place(new, "d")
    for place in places:
        place.leave()
    desk.place(new, "d")
    desk.place(new, "e")
    with pytest.raises(TooMany):
        desk.place(new, "f")


async def test_the_newer_turn_of_a_call_that_waits_begins_with_the_older() -> None:
    """When the first turn of a call is given a place the next one has its own in the same step, a third has not."""
    desk = Desk(turns=1)
    place = desk.place()
    tasks = [await desk.waiter(call="a") for _ in range(3)]
    place.leave()
    assert (desk.admission.live, desk.admission.waiting) == (2, 1)
    await settled()
    assert [task.done() for task in tasks] == [True, True, False]
    tasks[2].cancel()


async def test_a_call_that_turns_out_to_go_on_waits_no_longer() -> None:
    """Those of its turns that wait have their places as far as it has them by right, and as it comes to have them."""
    desk = Desk(turns=1)
    desk.place()
    tasks = [await desk.waiter(call="a") for _ in range(3)]
    newest = desk.place(call="a", going_on=True)
    await settled()
    assert [task.done() for task in tasks] == [True, False, False]
    newest.give_back()
    await settled()
    assert [task.done() for task in tasks] == [True, True, False]
    tasks[2].cancel()


async def test_a_call_that_is_over_has_no_right_any_more() -> None:
    """A turn of it that waits still does so as a new call, whichever of its other turns ends."""
    desk = Desk(turns=1)
    first, second = desk.place(call="a"), desk.place(call="a")
    task = await desk.waiter(call="a")
    desk.admission.call_over("a")
    first.leave()
    await settled()
    assert not task.done()
    second.leave()
    await task


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
