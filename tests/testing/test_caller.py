"""The caller of ``live_server``: whole calls from tests that are not async."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from offhook.clock import SystemClock
from offhook.errors import EndpointError
from offhook.testing import JumpClock, live_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook import Turn
    from offhook.clock import Clock
    from offhook.events import Event


async def reply(turn: Turn, clock: Clock | None = None) -> AsyncIterator[str | Event]:
    """Tell what is known of the turn; pause, fail and hang up when asked to."""
    clock = clock or SystemClock()
    yield f"{turn.kind} {turn.call.caller} {turn.call.user_data} {len(turn.history)} {turn.model} "
    if turn.text == "wait":
        await clock.sleep(60)
        yield "waited"
    if turn.text == "fail":
        raise ValueError
    if turn.text == "bye":
        yield turn.hangup()


def test_a_call_is_played_turn_by_turn() -> None:
    """The agent sees who calls and what was said before, and ends the call."""
    with live_server(reply) as server, server.call(caller="138", user_data={"a": 1}) as call:
        assert call.wake_up().text == "wake_up 138 {'a': 1} 1 any "
        assert call.say("one").text == "utterance 138 {'a': 1} 2 any "
        assert call.ended is None
        assert call.say("bye").text == "utterance 138 {'a': 1} 4 any "
        assert call.ended == "agent"
        assert [turn.caller for turn in call.turns] == ["", "one", "bye"]
        with pytest.raises(RuntimeError, match="ended by the agent"):
            call.say("two")


def test_the_model_asked_for_is_one_that_is_served() -> None:
    """Without a name the call asks for a ModelId of the server, else for the one given."""
    with live_server(reply, model_id=["a", "b"]) as server:
        with server.call() as call:
            assert call.say("x").text.endswith(" a ")
        with server.call(model_id="b") as call:
            assert call.say("x").text.endswith(" b ")
        with server.call(model_id="c") as call, pytest.raises(EndpointError, match="'c' does not exist"):
            call.say("x")
    with live_server(agents={"line": "testline"}) as server, server.call() as call:
        assert call.say("hello").text


def test_what_goes_wrong_is_raised() -> None:
    """An agent that fails in the middle fails the test."""
    with live_server(reply) as server, server.call() as call, pytest.raises(EndpointError):
        call.say("fail")


def test_a_pause_is_jumped_over() -> None:
    """A reply that waits is over when the clock has been moved, and not before."""
    clock = JumpClock()
    with live_server(partial(reply, clock=clock)) as server, server.call() as call:
        turn = call.start("wait")
        clock.wait_for_sleepers()
        assert not turn.done()
        clock.advance(60)
        assert turn.result(timeout=10).text.endswith("waited")


@pytest.mark.parametrize("cut", [True, False], ids=["barge-in", "end"])
def test_a_reply_can_be_cut(cut: bool) -> None:
    """A barge-in, and the end of the test, disconnect a reply that is still going on; no thread stays."""
    clock = JumpClock()
    before = threading.active_count()
    with live_server(partial(reply, clock=clock)) as server:
        with server.call() as call:
            turn = call.start("wait")
            clock.wait_for_sleepers()
            if cut:
                call.barge_in()
                assert turn.result(timeout=10).interrupted
        assert turn.result(timeout=10).interrupted
        assert [ended.reason for ended in server.wait_for_turns()] == ["cancelled"]
    assert threading.active_count() == before


def test_a_wrong_option_is_raised_where_it_was_given() -> None:
    """An option that a call does not have fails at once, and not in another thread."""
    with live_server(reply) as server, pytest.raises(TypeError, match="colour"), server.call(colour="red"):
        pass
