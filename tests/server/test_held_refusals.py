"""Refusals of those who ask again at once are held back, so that they cost the others nothing."""

from __future__ import annotations

import asyncio

from tests.places import ANN, Client, Desk, settled


async def test_refusals_of_a_key_that_never_stops_are_held_back() -> None:
    """The eleventh refusal in a row waits a hundredth of a second; the client is answered then."""
    desk, client = Desk(), Client()
    assert [await desk.admission.hold_back(client.receive, ANN) for _ in range(10)] == [True] * 10
    task = asyncio.create_task(desk.admission.hold_back(client.receive, ANN))
    await settled()
    assert not task.done()
    await desk.pass_(0.01)
    assert await task is True


async def test_a_caller_whose_key_never_stops_hears_his_refusal_at_once() -> None:
    """The refusals of a call that goes on wait for each other alone, and only from the fifth in two seconds on."""
    desk, client = Desk(), Client()
    for _ in range(10):
        await desk.admission.hold_back(client.receive, ANN)
    assert [await desk.admission.hold_back(client.receive, ANN, "a") for _ in range(4)] == [True] * 4
    task = asyncio.create_task(desk.admission.hold_back(client.receive, ANN, "a"))
    await desk.pass_(0.49)
    assert not task.done()
    await desk.pass_(0.01)
    assert await task is True


async def test_who_leaves_while_his_refusal_is_held_back_is_not_answered() -> None:
    """A disconnect ends the wait at once."""
    desk, client = Desk(), Client()
    for _ in range(10):
        await desk.admission.hold_back(client.receive, ANN)
    task = asyncio.create_task(desk.admission.hold_back(client.receive, ANN))
    await settled()
    client.send("http.disconnect")
    await settled()
    assert task.done() and await task is False
