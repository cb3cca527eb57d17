"""A second model service beside the first: who wins, who is left, what is recorded, and how often it is done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import JumpClock
from tests.raw import Wire, chat_body
from tests.upstream.paced import COMMENT, call_body, chunk, failover, heard, outcomes, text

if TYPE_CHECKING:
    from collections.abc import Iterator

HEDGE: dict[str, Any] = {"failover_hedge_after": 1.0, "failover_hedge_share": 1.0}
PRICE = {"price": {"prompt": 1_000_000.0, "completion": 10_000_000.0}}
CALL = {"index": 0, "id": "call_1", "function": {"name": "find", "arguments": "{}"}}


@pytest.fixture(autouse=True)
def nothing_is_logged_by_asyncio(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No exception of an attempt is left for asyncio to tell."""
    yield
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def test_the_second_service_may_win_and_the_first_is_left_at_once() -> None:
    """Both run from then on; the first useful event decides, and only the winner's words are heard."""
    clock = JumpClock()
    with failover(clock=clock, each=PRICE, **HEDGE) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(call_body())
        beaten = one.asked()
        beaten.write(chunk({"role": "assistant", "content": ""}), COMMENT, text("<think>Hm."))
        clock.wait_for_timers(2)
        clock.advance(1.0)
        winner = two.asked()
        winner.say("I am ")
        wire.read_until(b"I am ")
        beaten.wait_left()
        winner.end(text("two."), chunk({}, usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}))
        assert heard(wire).text == "I am two."
        [details] = server.wait_for_turns(1)
        [record] = server.records("c1")
    assert outcomes(details) == [(1, "a", "beaten"), (2, "b", "answered")]
    beaten_end, won = details.attempts
    assert beaten_end.estimated
    assert beaten_end.cost == beaten_end.prompt_tokens + 10 * beaten_end.completion_tokens
    assert beaten_end.prompt_tokens > 0
    assert (won.estimated, won.cost) == (False, 23.0)
    assert details.cost == record.cost == 23.0 + (beaten_end.cost or 0.0)
    begun = [event.data for event in record.events if event.kind == "attempt"]
    assert [(one["upstream"], one["hedge"]) for one in begun] == [("a", False), ("b", True)]


def test_the_first_service_may_win_and_the_second_is_left_at_once() -> None:
    """A hedge that was not needed is ended before its first byte."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        winner = one.asked()
        clock.wait_for_timers(2)
        clock.advance(1.0)
        beaten = two.asked()
        winner.say("I am ")
        wire.read_until(b"I am ")
        beaten.wait_left()
        winner.end(text("one."))
        assert heard(wire).text == "I am one."
        assert outcomes(server.wait_for_turns(1)[0]) == [(2, "b", "beaten"), (1, "a", "answered")]


def test_a_hedge_wins_with_a_whole_tool_call() -> None:
    """A call is useful when it is complete: the fragments of the other one do not count."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        beaten = one.asked()
        clock.wait_for_timers(2)
        clock.advance(1.0)
        winner = two.asked()
        beaten.write(chunk({"tool_calls": [{**CALL, "function": {"name": "other", "arguments": '{"half'}}]}))
        winner.write(chunk({"tool_calls": [CALL]}, "tool_calls"))
        beaten.wait_left()
        winner.write(b"data: [DONE]\n\n")
        said = heard(wire)
    assert (said.text, [call.name for call in said.calls], said.finish_reason) == ("", ["find"], "tool_calls")


@pytest.mark.parametrize("first_fails", [True, False])
def test_when_one_of_two_fails_the_other_goes_on(first_fails: bool) -> None:
    """A failure beside a running attempt begins no third one."""
    clock = JumpClock()
    with failover(3, clock=clock, **HEDGE) as (server, [one, two, three]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        first = one.asked()
        clock.wait_for_timers(2)
        clock.advance(1.0)
        second = two.asked()
        failing, lasting = (first, second) if first_fails else (second, first)
        failing.refuse(500)
        lasting.end(text("Hello."))
        assert heard(wire).text == "Hello."
        server.wait_for_turns(1)
        assert three.left_alone


def test_both_of_two_may_fail() -> None:
    """Then the next one is asked, and its answer is the only one."""
    clock = JumpClock()
    with failover(3, clock=clock, **HEDGE) as (server, [one, two, three]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        first = one.asked()
        clock.wait_for_timers(2)
        clock.advance(1.0)
        two.asked().write(text("I am "), b'data: {"error": "no"}\n\n')
        first.refuse(500)
        three.asked().end(text("Hello."))
        assert heard(wire).text == "Hello."
        [details] = server.wait_for_turns(1)
    assert sorted(outcomes(details)) == [(1, "a", "failed"), (2, "b", "failed"), (3, "c", "answered")]


def test_a_late_first_service_is_given_up_for_a_third() -> None:
    """The hedge goes on beside the one that takes the first one's place."""
    clock = JumpClock()
    with failover(3, clock=clock, **HEDGE) as (server, [one, two, three]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        first = one.asked()
        clock.wait_for_timers(2)
        clock.advance(1.0)
        second = two.asked()
        clock.advance(3.0)
        first.wait_left()
        third = three.asked()
        third.end(text("I am three."))
        second.wait_left()
        assert heard(wire).text == "I am three."
        [details] = server.wait_for_turns(1)
    assert outcomes(details) == [(1, "a", "slow"), (2, "b", "beaten"), (3, "c", "answered")]


def test_both_are_late_and_nobody_else_is_there() -> None:
    """Then both go on, and the first that has something is heard."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        first = one.asked()
        clock.wait_for_timers(2)
        clock.advance(1.0)
        second = two.asked()
        clock.advance(30.0)
        first.end(text("I am one."))
        second.wait_left()
        assert heard(wire).text == "I am one."


def test_hedges_are_limited_to_a_share_of_the_requests() -> None:
    """With a share of a tenth, and the two that may be saved up, twelve requests have three hedges."""
    clock = JumpClock()
    hedged = 0
    with (
        failover(clock=clock, failover_hedge_after=1.0, failover_hedge_share=0.1) as (server, [one, two]),
        Wire(server.base_url) as wire,
    ):
        for number in range(12):
            wire.ask(chat_body())
            first = one.asked()
            clock.wait_for_timers(2)
            clock.advance(1.0)
            first.end(text("Hello."))
            assert heard(wire).text == "Hello."
            server.wait_for_turns(number + 1)
        for details in server.turns:
            hedged += details.attempts[0].outcome == "beaten" or len(details.attempts) > 1
        while not two.left_alone:
            two.asked().wait_left()
    assert hedged == 3


@pytest.mark.parametrize(
    ("settings", "tables"),
    [
        ({"failover_hedge_share": 0.0}, [{}, {}]),
        ({"failover_hedge_after": 0.0}, [{}, {}]),
        ({"failover_attempts": 1}, [{}, {}]),
        ({}, [{"hedge_after": 0}, {}]),
    ],
)
def test_there_may_be_no_hedging(settings: dict[str, Any], tables: list[dict[str, Any]]) -> None:
    """It is off by default, without a share, with one attempt, and for an entry that says so."""
    clock = JumpClock()
    with (
        failover(clock=clock, tables=tables, **{**HEDGE, **settings}) as (server, [one, two]),
        Wire(server.base_url) as wire,
    ):
        wire.ask(chat_body())
        first = one.asked()
        clock.wait_for_timers(1)
        clock.advance(3.9)
        first.end(text("Hello."))
        assert heard(wire).text == "Hello."
        assert two.left_alone
        assert len(server.wait_for_turns(1)[0].attempts) == 1


def test_no_hedge_goes_to_a_service_that_is_left_alone() -> None:
    """A service that asked to wait is not asked to be the second."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked().refuse(400)
        two.asked().refuse(429, "Retry-After: 60")
        wire.read_response()
        wire.ask(chat_body())
        first = one.asked()
        clock.wait_for_timers(2)
        clock.advance(3.0)
        first.end(text("Hello."))
        assert heard(wire).text == "Hello."
        assert two.left_alone


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
def test_a_disconnect_closes_both(leave: Any) -> None:
    """A caller who leaves while two attempts run ends both at once, and the record says so of both."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, [one, two]):
        wire = Wire(server.base_url)
        wire.ask(chat_body())
        first = one.asked()
        first.write(COMMENT)
        clock.wait_for_timers(2)
        clock.advance(1.0)
        second = two.asked()
        leave(wire)
        first.wait_left()
        second.wait_left()
        [details] = server.wait_for_turns(1)
        assert details.reason == "cancelled"
        assert outcomes(details) == [(1, "a", "cancelled"), (2, "b", "cancelled")]
        assert server.live == 0


# A service that goes on failing would be left alone.
@pytest.mark.parametrize(("words", "times"), [("I am one.", 20), ("", 4)])
def test_two_that_come_at_once_are_one_answer(words: str, times: int) -> None:
    """Two services that speak in the same moment, or of which one fails then, are never mixed and nothing is left."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, [one, two]):
        for number in range(times):
            with Wire(server.base_url) as wire:
                wire.ask(chat_body())
                first = one.asked()
                clock.wait_for_timers(2)
                clock.advance(1.0)
                second = two.asked()
                first.end(text(words))
                second.end(text("I am two."))
                assert heard(wire).text in ({"I am two."} if not words else {"I am one.", "I am two."})
                [details] = server.wait_for_turns(number + 1)[number:]
                assert len(details.attempts) == 2
                assert json.dumps(outcomes(details)).count("answered") == 1


def test_a_caller_who_leaves_as_the_words_come_leaves_nothing_behind() -> None:
    """Whichever comes first, the win or the disconnect, the services are left and no task stays."""
    for _ in range(5):
        clock = JumpClock()
        with failover(clock=clock, **HEDGE) as (server, [one, two]):
            # One that its hedge beats more often is left alone.
            for number in range(4):
                wire = Wire(server.base_url)
                wire.ask(chat_body())
                first = one.asked()
                clock.wait_for_timers(2)
                clock.advance(1.0)
                second = two.asked()
                second.say("I am two.")
                wire.close()
                first.wait_left()
                second.wait_left()
                server.wait_for_turns(number + 1)
            assert server.live == 0


def test_the_timers_of_a_race_are_gone_when_it_is_won() -> None:
    """From the first useful event on there is one timer, for silence, and none after the turn."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, [one, _]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        asked = one.asked()
        asked.say("Well, ")
        wire.read_until(b"Well, ")
        with pytest.raises(TimeoutError):
            clock.wait_for_timers(2, timeout=0.0)
        asked.end()
        assert heard(wire).text == "Well, "
        server.wait_for_turns(1)
        with pytest.raises(TimeoutError):
            clock.wait_for_timers(1, timeout=0.0)
