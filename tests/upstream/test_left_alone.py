"""A service that keeps failing is left alone, tried by a turn, and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import JumpClock
from tests.raw import Wire, chat_body
from tests.upstream.paced import FIRST, failover, heard, outcomes, text

if TYPE_CHECKING:
    from tests.upstream.paced import Service

HEDGE: dict[str, Any] = {"failover_hedge_after": 1.0, "failover_hedge_share": 1.0, "failover_open_for": 1000.0}


def turn(wire: Wire, *refusing: tuple[Service, int], answering: Service) -> None:
    """Have a turn: some services refuse it, one answers."""
    wire.ask(chat_body())
    for service, status in refusing:
        service.asked().refuse(status)
    answering.asked().end(text("Hello."))
    assert heard(wire).text == "Hello."


def test_a_service_that_fails_is_left_alone_until_a_turn_tries_it() -> None:
    """After five failures it is not asked; later one turn asks it first, and when it answers it is first again."""
    clock = JumpClock()
    with failover(clock=clock, failover_open_for=10.0) as (server, [one, two]), Wire(server.base_url) as wire:
        for _ in range(5):
            turn(wire, (one, 500), answering=two)
        for _ in range(3):
            turn(wire, answering=two)
            assert one.left_alone
        clock.advance(10.0)
        turn(wire, answering=one)
        turn(wire, answering=one)
        assert two.left_alone


def test_a_probe_that_fails_leaves_the_service_alone_for_longer() -> None:
    """The turn that tried it is answered by the other one, and the next trial is twice as far."""
    clock = JumpClock()
    with failover(clock=clock, failover_open_for=10.0) as (server, [one, two]), Wire(server.base_url) as wire:
        for _ in range(5):
            turn(wire, (one, 500), answering=two)
        clock.advance(10.0)
        turn(wire, (one, 500), answering=two)
        clock.advance(19.0)
        turn(wire, answering=two)
        clock.advance(1.0)
        turn(wire, answering=one)


def test_one_turn_at_a_time_tries_a_service() -> None:
    """While the probe is out the others go to the healthy service; a cancelled probe gives its place free."""
    clock = JumpClock()
    with failover(clock=clock, failover_open_for=10.0) as (server, [one, two]), Wire(server.base_url) as wire:
        for _ in range(5):
            turn(wire, (one, 500), answering=two)
        clock.advance(10.0)
        probe = Wire(server.base_url)
        probe.ask(chat_body())
        tried = one.asked()
        turn(wire, answering=two)
        probe.close()
        tried.wait_left()
        server.wait_for_turns(7)
        turn(wire, answering=one)


def test_slowness_counts_as_failure() -> None:
    """A service that is given up at its deadline again and again is left alone too."""
    clock = JumpClock()
    with failover(clock=clock) as (server, [one, two]), Wire(server.base_url) as wire:
        for _ in range(5):
            wire.ask(chat_body())
            one.asked()
            clock.wait_for_timers(1)
            clock.advance(4.0)
            two.asked().end(text("Hello."))
            assert heard(wire).text == "Hello."
        turn(wire, answering=two)
        assert one.left_alone


def race(wire: Wire, clock: JumpClock, services: list[Service], *, seconds: float, winner: int) -> None:
    """Have a turn in which the second is asked beside the first, and one of them answers after so many seconds."""
    wire.ask(chat_body())
    asked = [services[0].asked()]
    clock.wait_for_timers(2)
    clock.advance(1.0)
    asked.append(services[1].asked())
    clock.advance(seconds - 1.0)
    asked[winner].end(text("Hello."))
    asked[1 - winner].wait_left()
    assert heard(wire).text == "Hello."


def test_a_service_that_is_beaten_by_its_hedge_again_and_again_is_left_alone() -> None:
    """The hedge hides that it is slow, but not from its health: callers wait no more for the hedge."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, services), Wire(server.base_url) as wire:
        for _ in range(5):
            race(wire, clock, services, seconds=1.1, winner=1)
        turn(wire, answering=services[1])
        assert services[0].left_alone


def test_a_hedge_that_is_beaten_in_time_is_as_healthy_as_before() -> None:
    """It had its deadline before it: that says nothing of it."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, services), Wire(server.base_url) as wire:
        for _ in range(8):
            race(wire, clock, services, seconds=4.5, winner=0)


def test_a_hedge_that_is_beaten_behind_its_deadline_is_slow() -> None:
    """The second one too is left alone when it has nothing to say again and again: it is no hedge any more."""
    clock = JumpClock()
    with failover(clock=clock, **HEDGE) as (server, services), Wire(server.base_url) as wire:
        for _ in range(5):
            race(wire, clock, services, seconds=5.5, winner=0)
        wire.ask(chat_body())
        asked = services[0].asked()
        clock.wait_for_timers(2)
        clock.advance(1.0)
        asked.end(text("Hello."))
        assert heard(wire).text == "Hello."
        assert outcomes(server.wait_for_turns(6)[5]) == [(1, "a", "answered")]


def test_one_that_is_beaten_by_another_than_its_hedge_is_as_healthy_as_before() -> None:
    """The one that took the late one's place was beaten by the hedge of that, long before its own deadline."""
    clock = JumpClock()
    with failover(3, clock=clock, **HEDGE) as (server, [one, two, three]), Wire(server.base_url) as wire:
        for number in range(6):
            wire.ask(chat_body())
            # The first is given up at its deadline each time, and so left alone after five of them.
            first = (one if number < 5 else two).asked()
            clock.wait_for_timers(2)
            clock.advance(1.0)
            second = (two if number < 5 else three).asked()
            if number < 5:
                clock.advance(3.0)
                first.wait_left()
                third = three.asked()
                second.end(text("Hello."))
                third.wait_left()
            else:
                second.end(text("Hello."))
                first.wait_left()
            assert heard(wire).text == "Hello."


@pytest.mark.parametrize(("seconds", "slow"), [(3.9, False), (4.0, True)])
def test_a_caller_who_leaves_a_late_service_has_found_it_slow(seconds: float, slow: bool) -> None:
    """An attempt that ends with its turn counts when it was behind its deadline, and else says nothing."""
    clock = JumpClock()
    with failover(clock=clock, failover_attempts=1, failover_open_for=1000.0) as (server, [one, two]):
        for number in range(5):
            with Wire(server.base_url) as wire:
                wire.ask(chat_body())
                asked = one.asked()
                clock.wait_for_timers(1)
                clock.advance(seconds)
                wire.close()
                asked.wait_left()
                server.wait_for_turns(number + 1)
        with Wire(server.base_url) as wire:
            turn(wire, answering=two if slow else one)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_refused_says_nothing_of_the_service(status: int) -> None:
    """A request that it does not take leaves its health as it was."""
    with failover() as (server, [one, two]), Wire(server.base_url) as wire:
        for _ in range(8):
            turn(wire, (one, status), answering=two)


def test_words_that_break_off_count_as_failures() -> None:
    """A service that dies in the middle of every answer is left alone, although each had begun well."""
    with failover() as (server, [one, two]), Wire(server.base_url) as wire:
        for _ in range(3):
            wire.ask(chat_body())
            asked = one.asked()
            asked.say("Well, ")
            wire.read_until(b"Well, ")
            asked.hang_up()
            assert heard(wire, error_expected=True).error is not None
        turn(wire, answering=two)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected(status: int) -> None:
    """One refusal with Retry-After leaves the service alone for so long, and no longer."""
    clock = JumpClock()
    with failover(clock=clock, failover_open_for=1.0) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked().refuse(status, "Retry-After: 30")
        two.asked().end(text("Hello."))
        assert heard(wire).text == "Hello."
        clock.advance(29.0)
        turn(wire, answering=two)
        clock.advance(1.0)
        turn(wire, answering=one)


def test_services_that_are_all_left_alone_are_asked_all_the_same() -> None:
    """An attempt that may fail is better than silence."""
    clock = JumpClock()
    with failover(clock=clock) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked().refuse(429, "Retry-After: 30")
        two.asked().refuse(429, "Retry-After: 30")
        assert b" 503 " in wire.read_response()
        turn(wire, answering=one)


def test_weights_share_calls_out() -> None:
    """A service of far greater weight has every call."""
    tables = [{"weight": 1.0}, {"weight": FIRST}]
    with failover(tables=tables) as (server, [one, two]), Wire(server.base_url) as wire:
        for _ in range(5):
            turn(wire, answering=two)
        assert one.left_alone
