"""A service that keeps failing is left alone, tried by a turn, and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from offhook.testing import JumpClock
from tests.raw import Wire, chat_body
from tests.upstream.paced import FIRST, failover, heard, text

if TYPE_CHECKING:
    from tests.upstream.paced import Service


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
