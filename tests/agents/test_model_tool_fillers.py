"""What a caller hears while a tool runs: the tool's own filler, once, and only where nothing else was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook import tool
from offhook.testing import JumpClock
from offhook.testing.faults import says
from tests.agents.tooled import Gate, asks, by_round, call, tooled
from tests.callers import heard, turn
from tests.raw import Wire, get, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.testing import LiveServer

FILLER = {"en": "Let me look that up.", "zh": "我帮您查一下。"}


def slow(gate: Gate, **marks: Any) -> Callable[..., Any]:
    """Give a tool that waits at a gate."""

    @tool(**{"filler": FILLER, **marks})
    async def look() -> str:
        """Look."""
        await gate.passed()
        return "3"

    return look


def passes(clock: JumpClock, server: LiveServer, seconds: float) -> None:
    """Let time pass, and the server see it."""
    clock.advance(seconds)
    for _ in range(2):
        assert get(server.base_url, "/healthz").status == 200


@pytest.mark.parametrize(
    ("text", "filler"), [("Where is it?", "Let me look that up. "), ("我的订单到哪里了？", "我帮您查一下。")]
)
def test_a_tools_own_filler_is_said_in_the_callers_language(text: str, filler: str) -> None:
    """It comes 0.3 s after the tool has begun, once, and is recorded as what it is."""
    gate, clock = Gate(), JumpClock()
    with (
        tooled(by_round(asks(call("look")), says("It is 3.")), slow(gate), clock=clock) as (server, upstream),
        Wire(server.base_url) as wire,
    ):
        wire.ask(turn("c", 1, text))
        gate.wait()
        passes(clock, server, 0.29)
        assert b"content" not in wire.received
        passes(clock, server, 0.01)
        wire.read_until(filler.strip().encode() if filler.isascii() else b"content")
        passes(clock, server, 5)
        gate.open()
        assert heard(wire).text == f"{filler}It is 3."
        [details] = server.wait_for_turns(1)
        [record] = server.records("c")
    assert details.asides == ("filler",)
    [aside] = [event for event in record.events if event.kind == "aside"]
    assert (aside.data["text"], aside.data["why"], aside.at) == (filler, "filler", 0.3)
    assert record.generated == "It is 3."
    # It is no part of the conversation.
    assert filler.strip() not in str(upstream.requests[1].body)


@pytest.mark.parametrize("quick", [True, False])
def test_a_tool_that_is_quick_has_none(quick: bool) -> None:
    """What comes within 0.3 s needs no excuse, and neither does what was announced in words."""
    gate, clock = Gate(), JumpClock()
    first = asks(call("look"), text="" if quick else "One moment.")
    with (
        tooled(by_round(first, says("It is 3.")), slow(gate), clock=clock) as (server, _),
        Wire(server.base_url) as wire,
    ):
        wire.ask(turn("c", 1, "Where is it?"))
        gate.wait()
        passes(clock, server, 0.2 if quick else 5)
        gate.open()
        assert heard(wire).text == ("It is 3." if quick else "One moment. It is 3.")
        passes(clock, server, 5)


@pytest.mark.parametrize("settings", [{"filler": "off"}, {}])
def test_where_no_filler_is_wanted_none_is_said(settings: dict[str, Any]) -> None:
    """The setting switches those of tools off too; a tool without one has none."""
    gate, clock = Gate(), JumpClock()
    look = slow(gate) if settings else slow(gate, filler=None)
    with (
        tooled(by_round(asks(call("look")), says("It is 3.")), look, clock=clock, **settings) as (server, _),
        Wire(server.base_url) as wire,
    ):
        wire.ask(turn("c", 1, "Where is it?"))
        gate.wait()
        passes(clock, server, 5)
        gate.open()
        assert heard(wire).text == "It is 3."


def test_of_several_rounds_one_filler_is_said() -> None:
    """Who was told to wait is not told again in the same turn."""
    gates, clock = [Gate(), Gate()], JumpClock()

    @tool(filler="First.")
    async def one() -> str:
        """Do one."""
        await gates[0].passed()
        return "1"

    @tool(filler="Second.")
    async def two() -> str:
        """Do two."""
        await gates[1].passed()
        return "2"

    plan = by_round(asks(call("one")), asks(call("two")), says("Done."))
    with tooled(plan, one, two, clock=clock) as (server, _), Wire(server.base_url) as wire:
        wire.ask(turn("c", 1, "Do it."))
        for gate in gates:
            gate.wait()
            passes(clock, server, 0.4)
            gate.open()
        assert heard(wire).text == "First. Done."


def test_a_platform_that_sends_it_back_does_not_show_it_to_the_model() -> None:
    """The filler in the platform's assistant message is taken out before the model sees it."""
    gate, clock = Gate(), JumpClock()
    plan = by_round(asks(call("look")), says("It is 3."))
    with tooled(plan, slow(gate), clock=clock) as (server, upstream):
        with Wire(server.base_url) as wire:
            wire.ask(turn("c", 1, "Where is it?"))
            gate.wait()
            passes(clock, server, 0.3)
            gate.open()
            said = heard(wire).text
        assert said == "Let me look that up. It is 3."
        stream(server.base_url, turn("c", 2, "Thanks.", before=[("user", "Where is it?"), ("assistant", said)]))
    assert "look that up" not in str(upstream.requests[2].body["messages"])
    assert upstream.requests[2].body["messages"][1]["content"].strip() == "It is 3."
