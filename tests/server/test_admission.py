"""Admission: who begins at once, who waits and for how long, who is refused, and that no place is ever lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from offhook.errors import Overloaded, Stopping, TooMany
from offhook.server.admission import RECENT, Waiting, enter_or_gone
from tests.places import ANN, BOB, EVE, WAIT, Client, Desk, limited, settled

if TYPE_CHECKING:
    from offhook.server.auth import Owner


# --- the ceiling and its queue ------------------------------------------------------------------------------------


async def test_a_call_beyond_the_ceiling_waits_for_a_place() -> None:
    """A new call begins at once while there is a place, and then with the first place that is left."""
    desk = Desk(turns=2)
    first, _ = desk.place(), desk.place()
    task = await desk.waiter()
    assert (desk.admission.live, desk.admission.waiting) == (2, 1)
    first.leave()
    await task
    assert (desk.admission.live, desk.admission.waiting) == (2, 0)


async def test_a_call_that_waits_too_long_is_refused() -> None:
    """After the wait it is Overloaded, which says when to come again, and no turn of its key is used up by that."""
    desk = Desk(turns=1)
    place = desk.place()
    task = await desk.waiter(limited(turns_per_minute=1, calls=1))
    await desk.pass_(WAIT - 0.1)
    assert not task.done()
    await desk.pass_(0.1)
    with pytest.raises(Overloaded) as refused:
        await task
    assert refused.value.retry_after == WAIT
    assert (desk.admission.waiting, desk.admission.refused) == (0, 1)
    place.leave()
    desk.place(limited(turns_per_minute=1, calls=1))


async def test_a_full_queue_refuses_at_once() -> None:
    """Where as many wait as may, one more is refused without a wait; without a queue everybody is."""
    desk = Desk(turns=1, queue=1)
    desk.place()
    task = await desk.waiter()
    with pytest.raises(Overloaded):
        desk.admission.ask(ANN, "more", going_on=False)
    task.cancel()
    none = Desk(turns=1, queue=0)
    none.place()
    with pytest.raises(Overloaded) as refused:
        none.admission.ask(ANN, "more", going_on=False)
    assert refused.value.retry_after > 0
    assert none.admission.overloaded


async def test_a_call_that_goes_on_never_waits() -> None:
    """The next turn of a call begins above the ceiling and before those that wait, and counts."""
    desk = Desk(turns=2, queue=1)
    first, second = desk.place(call="a"), desk.place()
    task = await desk.waiter()
    third = desk.place(call="b", going_on=True)
    fourth = desk.place(call="a")
    assert desk.admission.live == 4
    for place in (third, second):
        place.leave()
        await settled()
        assert not task.done(), "there are as many live turns as may be"
    fourth.leave()
    await task
    assert desk.admission.live == 2
    first.leave()


async def test_a_turn_without_a_call_id_is_a_new_call() -> None:
    """Nobody can tell that it goes on, so it waits like one."""
    desk = Desk(turns=1)
    desk.place(call=None)
    waiting = desk.admission.ask(ANN, None, going_on=True)
    assert isinstance(waiting, Waiting)
    waiting.abandon()


async def test_a_call_whose_first_turn_waits_does_not_go_on() -> None:
    """A second request of a call that waits has no more right than the first, until that has its place."""
    desk = Desk(turns=1)
    place = desk.place()
    one, two = await desk.waiter(call="a"), await desk.waiter(call="a")
    assert desk.admission.waiting == 2
    place.leave()
    await settled()
    assert (one.done(), two.done(), desk.admission.live) == (True, True, 2)


async def test_without_a_ceiling_nobody_waits() -> None:
    """Zero turns is no limit, and nobody's share matters then."""
    desk = Desk(turns=0, queue=0, share=0.1)
    for owner in (ANN, BOB) * 50:
        desk.place(owner)
    assert desk.admission.live == 100
    assert not desk.admission.overloaded


@pytest.mark.parametrize("how", ["at once", "with its place", "after its end"])
async def test_a_cancelled_wait_leaves_no_trace(how: str) -> None:
    """A task that is cancelled while it waits, or in the step in which it is given a place, holds nothing."""
    desk = Desk(turns=1)
    place, owner = desk.place(), limited(calls=1, turns_per_minute=1)
    task = await desk.waiter(owner)
    if how == "at once":
        task.cancel()
        place.leave()
    elif how == "with its place":
        place.leave()
        task.cancel()
    else:
        desk.clock.advance(WAIT)
        task.cancel()
        place.leave()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (desk.admission.live, desk.admission.waiting) == (0, 0)
    desk.place(owner)
    with pytest.raises(TimeoutError):
        desk.clock.wait_for_timers(timeout=0)


async def test_a_place_is_left_once() -> None:
    """Leaving again, or giving back what was left, changes nothing and charges nothing."""
    desk = Desk(turns=2)
    owner = limited(tokens_per_minute=20)
    one, two = desk.place(owner), desk.place(owner)
    one.leave(10)
    one.leave(10)
    one.give_back()
    assert desk.admission.live == 1
    desk.place(owner).leave()
    two.leave(10)
    with pytest.raises(TooMany):
        desk.place(owner)


async def test_a_place_that_is_given_back_counts_against_nothing() -> None:
    """A turn that was not begun after all uses up neither a turn of its key nor a call."""
    desk = Desk(turns=2)
    owner = limited(calls=1, turns_per_minute=1)
    desk.place(owner).give_back()
    assert desk.admission.calls == 0
    desk.place(owner)


# --- between keys -------------------------------------------------------------------------------------------------


async def test_a_free_place_goes_to_the_key_with_the_fewest_turns() -> None:
    """Whoever came first, and whoever had a place last, a key with fewer live turns is served first."""
    desk = Desk(turns=3)
    desk.place(ANN)
    desk.place(ANN)
    place = desk.place(BOB)
    ann, bob = await desk.waiter(ANN), await desk.waiter(BOB)
    place.leave()
    await bob
    assert not ann.done()
    ann.cancel()


async def test_keys_that_have_as_many_turns_are_served_by_turns() -> None:
    """A key that has many waiting is served no more often than one that has few, and new ones come first."""
    desk = Desk(turns=1, queue=9)
    place = desk.place(EVE)
    order: list[str] = []

    async def come(owner: Owner) -> None:
        got = await desk.admission.enter(owner, desk.call(), going_on=False)
        order.append(owner.name)
        got.leave()

    tasks = []
    for owner in (ANN, ANN, ANN, EVE, BOB, BOB):
        tasks.append(asyncio.create_task(come(owner)))
        await settled()
    place.leave()
    await asyncio.gather(*tasks)
    assert order == ["ann", "bob", "eve", "ann", "bob", "ann"]


async def test_those_of_one_key_are_served_in_their_order() -> None:
    """Among the calls of a key the one that has waited longest is first."""
    desk = Desk(turns=1, queue=3)
    place = desk.place()
    tasks = [await desk.waiter() for _ in range(3)]
    for task in tasks:
        place.leave()
        await settled()
        assert [one for one in tasks if one.done()] == tasks[: tasks.index(task) + 1]
        place = task.result()


async def test_a_key_has_its_share_where_there_are_others() -> None:
    """With a second key about, new calls past the share wait though places are free, and others pass them."""
    desk = Desk(turns=5, share=0.5)
    desk.place(BOB).leave()
    greedy = [desk.place(ANN) for _ in range(3)]
    task = await desk.waiter(ANN)
    assert desk.admission.live == 3
    desk.place(ANN, "goes on", going_on=True).leave()
    desk.place(BOB)
    desk.place(BOB)
    greedy.pop().leave()
    await task
    assert desk.admission.live == 5


async def test_a_key_alone_has_every_place() -> None:
    """The share means nothing where no other key came or went for a minute, also to those that wait already."""
    desk = Desk(turns=4, share=0.5)
    place = desk.place(BOB)
    await desk.pass_(100.0)
    place.leave()
    await desk.pass_(59.0)
    places = [desk.place(ANN), desk.place(ANN)]
    task = await desk.waiter(ANN)
    await desk.pass_(WAIT)
    await task
    places.append(desk.place(ANN))
    assert desk.admission.live == 4


async def test_who_waits_for_his_share_is_refused_without_an_alarm() -> None:
    """A greedy key that waits in vain does not make the server overloaded, as long as it has places for others."""
    desk = Desk(turns=4, share=0.25, queue=1)
    desk.place(BOB).leave()
    desk.place(ANN)
    task = await desk.waiter(ANN)
    with pytest.raises(Overloaded):
        desk.place(ANN)
    assert not desk.admission.overloaded
    await desk.pass_(WAIT)
    with pytest.raises(Overloaded):
        await task
    assert not desk.admission.overloaded
    desk.place(BOB)


async def test_a_greedy_key_cannot_fill_the_queue() -> None:
    """In a full queue the newest of the key that has most there makes room for another, until they are about even."""
    desk = Desk(turns=1, queue=5)
    desk.place(ANN)
    greedy = [await desk.waiter(ANN) for _ in range(5)]
    polite = [await desk.waiter(BOB) for _ in range(2)]
    for task in (greedy[4], greedy[3]):
        with pytest.raises(Overloaded):
            await task
    for owner in (ANN, BOB):
        with pytest.raises(Overloaded):
            desk.place(owner)
    assert desk.admission.waiting == 5
    for task in (*greedy[:3], *polite):
        assert not task.done()
        task.cancel()


# --- readiness, the end, the disconnect ---------------------------------------------------------------------------


async def test_overload_is_told_while_it_lasts() -> None:
    """It is told when the queue is full, and for a short while after a refusal."""
    desk = Desk(turns=1, queue=1)
    place = desk.place()
    assert not desk.admission.overloaded
    task = await desk.waiter()
    assert desk.admission.overloaded
    place.leave()
    place = await task
    assert not desk.admission.overloaded
    task = await desk.waiter()
    await desk.pass_(WAIT)
    assert isinstance(task.exception(), Overloaded)
    place.leave()
    assert desk.admission.overloaded
    await desk.pass_(RECENT)
    assert not desk.admission.overloaded


async def test_nobody_waits_for_a_server_that_ends() -> None:
    """Those who wait are refused as by a server that goes down, and so is who would have to wait."""
    desk = Desk(turns=1)
    desk.place(call="a")
    task = await desk.waiter()
    desk.admission.close()
    with pytest.raises(Stopping):
        await task
    with pytest.raises(Stopping):
        desk.place()
    desk.place(call="a", going_on=True)
    assert (desk.admission.live, desk.admission.waiting) == (2, 0)


async def test_a_client_that_leaves_while_it_waits_gets_no_place() -> None:
    """The disconnect ends the wait at once; anything else that comes does not."""
    desk, client = Desk(turns=1), Client()
    place = desk.place()
    task = asyncio.create_task(enter_or_gone(desk.admission, client.receive, ANN, "a", going_on=False))
    client.send("http.request")
    await settled()
    assert desk.admission.waiting == 1
    client.send("http.disconnect")
    assert await task is None
    assert (desk.admission.waiting, desk.admission.calls) == (0, 1)
    place.leave()
    assert desk.admission.live == 0


async def test_a_client_that_stays_gets_its_place_and_keeps_its_disconnect() -> None:
    """With a place at once receive is not asked at all, and after a wait the disconnect is left to the next reader."""
    desk, client = Desk(turns=1), Client()
    place = await enter_or_gone(desk.admission, client.receive, ANN, "a", going_on=False)
    assert place is not None
    task = asyncio.create_task(enter_or_gone(desk.admission, client.receive, ANN, "b", going_on=False))
    await settled()
    place.leave()
    assert await task is not None
    await settled()
    client.send("http.disconnect")
    assert (await client.receive())["type"] == "http.disconnect"


async def test_a_request_that_is_cancelled_while_it_waits_holds_nothing() -> None:
    """Neither the place that it gets in the same step, nor a task."""
    desk, client = Desk(turns=1), Client()
    place = desk.place()
    task = asyncio.create_task(enter_or_gone(desk.admission, client.receive, ANN, "a", going_on=False))
    await settled()
    place.leave()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (desk.admission.live, desk.admission.waiting) == (0, 0)


async def test_a_connection_that_fails_while_it_waits_is_gone() -> None:
    """A receive that raises has no client behind it."""
    desk = Desk(turns=1)
    desk.place()

    async def receive() -> Any:
        raise OSError("the connection is lost")

    assert await enter_or_gone(desk.admission, receive, ANN, "a", going_on=False) is None
    assert desk.admission.waiting == 0
