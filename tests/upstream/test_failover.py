"""Several model services behind one line: who is given up for whom, and whose words the caller hears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import JumpClock, live_server
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import says, with_fault
from tests.raw import Wire, chat_body, error_of, request, stream
from tests.upstream.paced import COMMENT, FIRST, call_body, chunk, failover, heard, outcomes, service, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offhook.testing.faults import Fault, Phase

DEADLINE = 4.0
THOUGHT = {"id": "x", "function": {"name": "find", "arguments": '{"ci'}, "index": 0}


@pytest.fixture(autouse=True)
def nothing_is_logged_by_asyncio(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No exception of an attempt is left for asyncio to tell."""
    yield
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


# --- the first-useful deadline ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        [chunk({"role": "assistant", "content": ""})],
        [COMMENT, COMMENT],
        [chunk({"reasoning_content": "Hm."})],
        [text("<think>"), text("Hm.")],
        [text("<think>Hm.</think>"), text(" \n")],
        [text(" "), text("...")],
        [chunk({"tool_calls": [THOUGHT]})],
    ],
    ids=["nothing", "headers", "role", "comments", "reasoning", "think", "thought", "white space", "half a call"],
)
def test_a_service_without_a_word_is_given_up_at_its_deadline(said: list[bytes] | None) -> None:
    """Whatever came that nobody can hear, the next one is asked, the first is left at once and none of it is said."""
    clock = JumpClock()
    with failover(clock=clock) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        slow = one.asked()
        if said is not None:
            slow.write(*said)
        clock.wait_for_timers(1)
        clock.advance(DEADLINE - 0.1)
        assert two.left_alone
        clock.advance(0.1)
        slow.wait_left()
        two.asked().end(text("Hello."))
        assert heard(wire).text == "Hello."
        [details] = server.wait_for_turns(1)
    assert outcomes(details) == [(1, "a", "slow"), (2, "b", "answered")]
    assert details.attempts[1].at == DEADLINE


@pytest.mark.parametrize(
    ("fault", "phase"),
    [
        ("comments", "after_headers"),
        ("comments", "after_role"),
        ("reasoning", "after_role"),
        ("think", "after_role"),
        ("whitespace", "after_role"),
    ],
)
def test_what_comes_for_ever_does_not_hold_the_deadline_up(fault: Fault, phase: Phase) -> None:
    """A service that keeps its connection busy without a word is given up like a silent one."""
    clock = JumpClock()
    plan = [with_fault(says("never"), fault, phase, beat=0.001)]
    with (
        fault_upstream(plan) as busy,
        service() as other,
        live_server(
            clock=clock,
            turn_deadline=0.0,
            filler="off",
            upstream_table=[
                {"name": "busy", "base_url": busy.base_url, "weight": FIRST},
                {"name": "other", "base_url": other.base_url},
            ],
        ) as server,
        Wire(server.base_url) as wire,
    ):
        wire.ask(chat_body())
        busy.wait_for_requests(1)
        clock.wait_for_timers(1)
        clock.advance(DEADLINE)
        busy.wait_for_disconnects(1)
        other.asked().end(text("Hello."))
        assert heard(wire).text == "Hello."


def test_the_last_service_is_not_given_up() -> None:
    """When nobody else is left a late answer is better than none."""
    clock = JumpClock()
    with failover(clock=clock) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked()
        clock.wait_for_timers(1)
        clock.advance(DEADLINE)
        late = two.asked()
        clock.advance(10 * DEADLINE)
        late.end(text("At last."))
        assert heard(wire).text == "At last."
        [details] = server.wait_for_turns(1)
        assert one.left_alone
    assert outcomes(details) == [(1, "a", "slow"), (2, "b", "answered")]


def test_a_slow_service_is_asked_again_when_the_next_one_fails() -> None:
    """A service that is late may still be the only one that answers."""
    clock = JumpClock()
    with failover(clock=clock) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked()
        clock.wait_for_timers(1)
        clock.advance(DEADLINE)
        two.asked().refuse(401)
        one.asked().end(text("Here."))
        assert heard(wire).text == "Here."
        [details] = server.wait_for_turns(1)
    assert outcomes(details) == [(1, "a", "slow"), (2, "b", "failed"), (3, "a", "answered")]


def test_a_slow_service_is_not_given_up_for_one_that_is_left_alone() -> None:
    """What is known to fail is no reason to leave one that may yet answer."""
    clock = JumpClock()
    with failover(clock=clock) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked().refuse(400)
        two.asked().refuse(429, "retry-after: 60")
        assert b" 503 " in wire.read_response()
        wire.ask(chat_body())
        late = one.asked()
        clock.wait_for_timers(1)
        clock.advance(DEADLINE)
        late.end(text("Hello."))
        assert heard(wire).text == "Hello."
        assert two.left_alone


def test_the_deadline_of_a_service_wins() -> None:
    """``first_useful`` of an entry stands above that of all."""
    clock = JumpClock()
    own: list[dict[str, Any]] = [{"first_useful": 1.0}, {}]
    with (
        failover(clock=clock, tables=own, failover_first_useful=9.0) as (server, [one, two]),
        Wire(server.base_url) as wire,
    ):
        wire.ask(chat_body())
        slow = one.asked()
        clock.wait_for_timers(1)
        clock.advance(1.0)
        slow.wait_left()
        two.asked().end(text("Hello."))
        assert heard(wire).text == "Hello."


# --- failures before the first word -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 502])
def test_a_service_that_refuses_is_replaced_at_once(status: int) -> None:
    """Any error status sends the request to the next service, and the caller hears nothing of it."""
    with failover() as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(call_body())
        one.asked().refuse(status)
        two.asked().end(text("Hello."))
        assert heard(wire).text == "Hello."
        [details] = server.wait_for_turns(1)
        [record] = server.records("c1")
    assert outcomes(details) == [(1, "a", "failed"), (2, "b", "answered")]
    assert (record.reason, record.error, record.generated) == ("stop", None, "Hello.")
    assert [event.kind for event in record.events] == ["attempt", "attempt_ended", "attempt", "attempt_ended"]
    kept = [event.data for event in record.events if event.kind == "attempt_ended"]
    assert [(one["upstream"], one["outcome"]) for one in kept] == [("a", "failed"), ("b", "answered")]
    assert (kept[0]["prompt_tokens"], kept[0]["cost"]) == (0, None)


def test_words_that_came_with_a_failure_are_not_said() -> None:
    """One read that holds a word and an error is a failed attempt, and the next answer is heard alone."""
    with failover() as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked().write(text("I am "), b'data: {"error": {"message": "no"}}\n\n')
        two.asked().end(text("Hello."))
        assert heard(wire).text == "Hello."
        assert outcomes(server.wait_for_turns(1)[0]) == [(1, "a", "failed"), (2, "b", "answered")]


def test_every_service_may_fail_until_the_attempts_are_used_up() -> None:
    """The request goes round while another try may help, and then the last failure is told."""
    with failover() as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked().refuse(500)
        two.asked().refuse(401)
        one.asked().refuse(502)
        assert b"upstream_broken" in wire.read_response()
        [details] = server.wait_for_turns(1)
        assert one.left_alone
        assert two.left_alone
    assert [(one.number, one.code) for one in details.attempts] == [
        (1, "upstream_broken"),
        (2, "upstream_refused"),
        (3, "upstream_broken"),
    ]


def test_one_attempt_may_be_all_there_is() -> None:
    """``failover_attempts`` = 1 asks nobody else."""
    with failover(failover_attempts=1) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked().refuse(500)
        assert b" 503 " in wire.read_response()
        assert two.left_alone


def test_the_retry_budget_bounds_what_a_failing_service_is_asked() -> None:
    """With a share of 0.2 and ten in hand from the start, ten turns of a service that always fails are 21 requests."""
    plan = [with_fault(says("never"), "status_500", "before_headers")]
    with fault_upstream(plan) as upstream, live_server(upstream=upstream.base_url) as server:
        for _ in range(10):
            assert error_of(request(server.base_url, chat_body()))["code"] == "upstream_broken"
        assert len(upstream.requests) == 21


@pytest.mark.parametrize("late", [False, True])
def test_a_healthy_service_is_asked_although_the_budget_is_used_up(late: bool) -> None:
    """No caller hears an apology beside a service that answers: the budget is for those that may be asked in vain."""
    clock = JumpClock()
    with (
        failover(clock=clock, failover_retry_share=0.0) as (server, [one, two]),
        Wire(server.base_url) as wire,
    ):
        for _ in range(4):
            wire.ask(chat_body())
            asked = one.asked()
            if late:
                clock.wait_for_timers(1)
                clock.advance(DEADLINE)
            else:
                asked.refuse(500)
            two.asked().end(text("Hello."))
            assert heard(wire).text == "Hello."


def test_a_service_that_is_left_alone_is_asked_from_the_budget() -> None:
    """Where it is used up such a service is not asked in the place of another."""
    with failover(failover_retry_share=0.0) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked().refuse(400)
        two.asked().refuse(429, "retry-after: 60")
        wire.read_response()
        wire.ask(chat_body())
        one.asked().refuse(400)
        assert b" 503 " in wire.read_response()
        assert two.left_alone


def test_a_service_that_has_fallen_ill_meanwhile_is_passed_over() -> None:
    """Who is healthy is seen when the next one is asked, and not when the request began."""
    clock = JumpClock()
    with (
        failover(3, clock=clock, failover_retry_share=0.0) as (server, [one, two, three]),
        Wire(server.base_url) as wire,
        Wire(server.base_url) as other,
    ):
        wire.ask(chat_body())
        waiting = one.asked()
        other.ask(chat_body())
        one.asked().refuse(500)
        two.asked().refuse(429, "retry-after: 60")
        three.asked().end(text("Hello."))
        assert heard(other).text == "Hello."
        waiting.refuse(500)
        three.asked().end(text("Hello."))
        assert heard(wire).text == "Hello."
        assert two.left_alone


# --- after the first word -----------------------------------------------------------------------------------------


def test_a_service_that_dies_after_its_first_word_is_not_replaced() -> None:
    """What was said is said: the reply ends with the error event, and the record says what failed."""
    with failover() as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(call_body())
        dying = one.asked()
        dying.say("Well, ")
        wire.read_until(b"Well, ")
        dying.hang_up()
        said = heard(wire, error_expected=True)
        server.wait_for_turns(1)
        [record] = server.records("c1")
        assert two.left_alone
    assert said.text == "Well, "
    assert said.error is not None
    assert said.error["code"] == "upstream_broken"
    assert (record.reason, record.error, record.generated) == ("failed", "upstream_broken", "Well, ")
    assert record.events[-1].data["outcome"] == "failed"


def test_a_closing_phrase_ends_what_broke_off() -> None:
    """Where one is configured the caller hears it and the client sees a good end; the record keeps the truth."""
    phrases = {"en": ["Sorry, I was cut off."]}
    with failover(closing_phrases=phrases) as (server, [one, _]), Wire(server.base_url) as wire:
        wire.ask(call_body())
        dying = one.asked()
        dying.say("Well, ")
        wire.read_until(b"Well, ")
        dying.hang_up()
        said = heard(wire)
        server.wait_for_turns(1)
        [record] = server.records("c1")
    assert said.text.startswith("Well, ")
    assert said.text.endswith("Sorry, I was cut off.")
    assert said.finish_reason == "stop"
    assert (record.reason, record.error, record.generated) == ("failed", "upstream_broken", "Well, ")


# --- who is asked first -------------------------------------------------------------------------------------------


def test_a_call_keeps_to_one_service_and_calls_are_shared_out() -> None:
    """Turns of one call go to the same of two equal services; many calls go to both."""
    seen: dict[str, set[str]] = {}
    with fault_upstream([says("Hello.")]) as one, fault_upstream([says("Hello.")]) as two:
        table = [{"name": name, "base_url": at.base_url} for name, at in (("a", one), ("b", two))]
        with live_server(upstream_table=table) as server:
            for number in range(20):
                for turn in (1, 2, 3):
                    assert stream(server.base_url, call_body(f"c{number}", turn)).text == "Hello."
            for details in server.wait_for_turns(60):
                assert details.call_id is not None
                seen.setdefault(details.call_id, set()).add(details.attempts[0].upstream)
    assert {len(names) for names in seen.values()} == {1}
    assert {name for names in seen.values() for name in names} == {"a", "b"}
