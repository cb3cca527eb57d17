"""Side effects of the model's tools happen at most once, over disconnects, retries, speculation and a killed server."""

from __future__ import annotations

import json
import threading
import time
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

import pytest

from offhook import tool
from offhook.testing import JumpClock
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import says
from tests.agents.tooled import Gate, asks, by_round, call, offer, results, runs, tooled
from tests.callers import gist, heard, turn
from tests.raw import AUTH, PATIENCE, Wire, get, stream
from tests.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from offhook.testing import LiveServer
    from offhook.testing.fault_server import FaultUpstream
    from offhook.testing.faults import Answer
    from offhook.testing.upstream import Request

SPECULATIVE: dict[str, Any] = {"dialect": {"alibaba_ims": {"speculative": True}}}
DONE = "Your table is booked."


class Desk:
    """Books tables: a side effect that waits until it is let go on, and counts."""

    def __init__(self, *, filler: str | None = None) -> None:
        self.gate = Gate()
        self.booked: list[str] = []

        @tool(side_effect=True, filler=filler)
        async def book(name: str) -> str:
            """Book a table."""
            await self.gate.passed()
            self.booked.append(name)
            return f"table {len(self.booked)} for {name}"

        self.book = book


BOOK = asks(call("book", name="Wang"))
PLAN = by_round(BOOK, says(DONE))


def ask(server: LiveServer, id: int, text: str = "book", call_id: str = "c", **more: Any) -> Wire:
    """Send a turn of a call on a connection of its own."""
    wire = Wire(server.base_url)
    wire.ask({**turn(call_id, id, text), **more})
    return wire


def seen(server: LiveServer) -> None:
    """Return when the server has seen what came before."""
    for _ in range(2):
        assert get(server.base_url, "/healthz").status == 200


# --- at most once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("while_it_runs", [True, False])
@pytest.mark.parametrize("store", ["memory", "none"])
def test_a_turn_that_is_asked_again_does_not_do_it_again(store: str, while_it_runs: bool) -> None:
    """A disconnect in the middle of a tool leaves it to end; the same turn again is given how it ended."""
    desk = Desk()
    with tooled(PLAN, desk.book, store=store) as (server, upstream):
        first = ask(server, 1)
        desk.gate.wait()
        first.close()
        assert server.wait_for_turns(1)[0].reason == "cancelled"
        if not while_it_runs:
            desk.gate.open()
            desk.gate.wait_gone_on()
        with ask(server, 1) as again:
            upstream.wait_for_requests(2)
            seen(server)
            desk.gate.open()
            assert heard(again).text == DONE
        details = server.wait_for_turns(2)[1]
    assert desk.booked == ["Wang"]
    assert (runs(details), results(upstream.requests[2])) == ([("book", "again")], ["table 1 for Wang"])


def test_two_requests_at_once_book_one_table() -> None:
    """A retry that comes meanwhile joins the reply: one tool, one question to the model, the same words for both."""
    desk = Desk()
    with tooled(PLAN, desk.book) as (server, upstream), ask(server, 1) as one:
        desk.gate.wait()
        with ask(server, 1) as two:
            seen(server)
            desk.gate.open()
            assert gist(heard(one)) == gist(heard(two))
    assert (desk.booked, len(upstream.requests)) == (["Wang"], 2)


def test_other_turns_and_calls_book_their_own() -> None:
    """Each call and each turn has its own side effects, of the same arguments too."""
    desk = Desk()
    desk.gate.open()
    with tooled(PLAN, desk.book) as (server, _):
        for call_id, id in (("c", 1), ("c", 2), ("d", 1)):
            with ask(server, id, f"book {id}", call_id) as wire:
                assert heard(wire).text == DONE
    assert desk.booked == ["Wang"] * 3


def test_two_of_the_same_in_one_turn_are_two() -> None:
    """The model that asks twice means it: in one round, or in two."""
    desk = Desk()
    desk.gate.open()
    twice = asks(call("book", name="Wang"), call("book", name="Wang"))
    with tooled(by_round(twice, BOOK, says(DONE)), desk.book) as (server, upstream), ask(server, 1) as wire:
        assert heard(wire).text == DONE
    assert desk.booked == ["Wang"] * 3
    assert results(upstream.requests[2]) == ["table 1 for Wang", "table 2 for Wang", "table 3 for Wang"]


def test_a_reply_that_is_replayed_does_nothing() -> None:
    """A retry of a turn that has ended is answered from its record."""
    desk = Desk()
    desk.gate.open()
    with tooled(PLAN, desk.book) as (server, upstream):
        for _ in range(2):
            with ask(server, 1) as wire:
                assert heard(wire).text == DONE
    assert (desk.booked, len(upstream.requests)) == (["Wang"], 2)


def test_the_platforms_results_bring_no_second_one() -> None:
    """A turn that goes on with the results of the platform's own calls is given what ours gave before."""
    desk = Desk()
    desk.gate.open()

    def plan(_: int, got: Request) -> Answer:
        if "table 1 for Wang" in results(got):
            return says(DONE)
        return asks(call("book", name="Wang"), *([] if results(got) else [call("lookup", "call_p")]))

    with tooled(plan, desk.book) as (server, _):
        with ask(server, 1, tools=offer("lookup")) as wire:
            assert [one.name for one in heard(wire).calls] == ["lookup"]
        body = turn("c", 1, "book")
        function = {"name": "lookup", "arguments": "{}"}
        body["messages"] += [
            {"role": "assistant", "tool_calls": [{"id": "call_p", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "call_p", "content": "found"},
        ]
        assert stream(server.base_url, {**body, "tools": offer("lookup")}).text == DONE
        assert runs(server.wait_for_turns(2)[1]) == [("book", "again")]
    assert desk.booked == ["Wang"]


# --- platforms that ask before the caller has finished ---------------------------------------------------------------


@pytest.fixture
def held() -> Iterator[tuple[Desk, JumpClock, LiveServer, FaultUpstream]]:
    """Give a desk on a speculative platform, and its server on a clock that stands still."""
    desk, clock = Desk(), JumpClock()
    desk.gate.open()
    asked: list[str] = []

    def plan(number: int, got: Request) -> Answer:
        asked.append(got.body["messages"][-1]["content"])
        return PLAN(number, got)

    with tooled(plan, desk.book, clock=clock, filler="off", turn_deadline=0, **SPECULATIVE) as (server, upstream):
        yield desk, clock, server, upstream


def sleeps(clock: JumpClock, server: LiveServer) -> None:
    """Return when a side effect is held: nothing else sleeps for so short a time."""
    before = clock.monotonic()
    deadline = time.monotonic() + PATIENCE
    while not any(before < due <= before + 0.3 for due, *_ in list(clock._sleepers)):
        assert time.monotonic() < deadline, "nothing is held"
        seen(server)


def test_a_side_effect_is_held_for_a_moment(held: tuple[Desk, JumpClock, LiveServer, FaultUpstream]) -> None:
    """It begins tools_hold seconds after the model asked for it."""
    desk, clock, server, _ = held
    with ask(server, 1) as wire:
        sleeps(clock, server)
        clock.advance(0.29)
        seen(server)
        assert desk.gate.begun == 0
        clock.advance(0.01)
        assert heard(wire).text == DONE
    assert desk.booked == ["Wang"]


def test_who_leaves_while_it_is_held_has_stopped_it(held: tuple[Desk, JumpClock, LiveServer, FaultUpstream]) -> None:
    """The platform has thought better of it: the tool never runs, and the same turn again runs it."""
    desk, clock, server, _ = held
    wire = ask(server, 1)
    sleeps(clock, server)
    wire.close()
    assert server.wait_for_turns(1)[0].reason == "cancelled"
    clock.advance(10)
    seen(server)
    assert desk.gate.begun == 0
    with ask(server, 1) as again:
        sleeps(clock, server)
        clock.advance(0.3)
        assert heard(again).text == DONE
    assert desk.booked == ["Wang"]


@pytest.mark.parametrize("newer", [(1, "book a table for Wang"), (2, "book")], ids=["grown", "newer"])
def test_a_newer_request_stops_what_is_held(
    held: tuple[Desk, JumpClock, LiveServer, FaultUpstream], newer: tuple[int, str]
) -> None:
    """The caller went on speaking: only what he asks for in the end is done."""
    desk, clock, server, _ = held
    with ask(server, 1) as first:
        sleeps(clock, server)
        with ask(server, *newer) as second:
            assert server.wait_for_turns(1)[0].reason == "superseded"
            first.read_response()
            sleeps(clock, server)
            clock.advance(0.3)
            assert heard(second).text == DONE
    assert desk.booked == ["Wang"]


def test_what_is_no_side_effect_is_not_held() -> None:
    """Reading something twice harms nobody."""

    @tool
    def look() -> str:
        """Look."""
        return "3"

    plan = by_round(asks(call("look")), says("It is 3."))
    with tooled(plan, look, clock=JumpClock(), **SPECULATIVE) as (server, _), ask(server, 1) as wire:
        assert heard(wire).text == "It is 3."


def test_elsewhere_nothing_is_held() -> None:
    """A platform that asks once the caller has finished is not made to wait."""
    desk = Desk()
    desk.gate.open()
    with tooled(PLAN, desk.book, clock=JumpClock()) as (server, _), ask(server, 1) as wire:
        assert heard(wire).text == DONE


# --- a server that is killed --------------------------------------------------------------------------------------

TOOLS = """
import asyncio, os
from offhook import tool

@tool(side_effect=True)
async def book(name: str) -> str:
    "Book a table."
    file = os.open("booked", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"x")
    os.close(file)
    await asyncio.Event().wait()
    return "never"
"""


def test_a_server_killed_in_the_middle_does_not_do_it_again(tmp_path: Path) -> None:
    """The next one tells the model that nobody knows whether it was done, and does not begin it."""
    (tmp_path / "desk.py").write_text(TOOLS)
    booked = tmp_path / "booked"
    with fault_upstream(PLAN) as upstream:
        run = ["-m", "offhook", "serve", "--port", "0", "--api-key", "test-key", "--data-dir", str(tmp_path / "data")]
        run += ["--upstream", upstream.base_url, "--tools", "desk.py"]
        with Serving(run, cwd=tmp_path) as first, Wire(first.base_url) as wire:
            wire.ask(turn("c", 1, "book"), AUTH)
            deadline = time.monotonic() + PATIENCE
            while not (booked.exists() and booked.read_text()):
                assert time.monotonic() < deadline, "the tool was never begun"
                threading.Event().wait(0.005)
            first.signal(SIGKILL)
            assert first.end() == -SIGKILL
        with Serving(run, cwd=tmp_path) as second:
            assert stream(second.base_url, turn("c", 1, "book")).text == DONE
            assert second.stop() == 0
    assert booked.read_text() == "x"
    (told,) = results(upstream.requests[2])
    assert json.loads(told)["error"].startswith("Outcome unknown")
