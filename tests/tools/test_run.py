"""Tools are run together, each within its time, and what goes wrong is told to the model alone."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from offhook.errors import SetupError
from offhook.events import ToolCall, ToolRun, Turn
from offhook.testing import JumpClock
from offhook.tools.run import MOST_RESULT, Toolbox
from offhook.tools.schema import tool
from tests.table import settled
from tests.tools.box import LIMIT, box, call, error_in

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass
class Order:
    """An order."""

    number: int
    items: list[str]


class Odd:
    """Something that JSON does not know."""

    @override
    def __str__(self) -> str:
        return "odd"


async def greet(name: str) -> str:
    """Greet."""
    return f"Hello {name}"


def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


# --- what comes back ----------------------------------------------------------------------------------------------


async def test_texts_come_back_in_the_order_of_the_calls() -> None:
    """An async and a plain tool are run, a string comes back as it is and anything else as JSON."""
    async with box(greet, add) as it:
        texts = await it.ask(call("add", "c1", a=1), call("greet", "c2", name="王"), call("add", "c3", a="2", b=2))
        assert texts == ["2", "Hello 王", "4"]
        assert it.outcomes == ["ok"] * 3
        assert sorted(run.id for run in it.runs) == ["c1", "c2", "c3"]


async def test_tools_of_a_round_run_together() -> None:
    """No tool of a round waits for another one to end."""
    met = asyncio.Barrier(3)

    async def meet(n: int) -> int:
        await met.wait()
        return n

    async with box(meet) as it:
        assert await it.ask(call("meet", n=1), call("meet", n=2), call("meet", n=3)) == ["1", "2", "3"]


async def test_plain_tools_of_a_round_run_together() -> None:
    """Plain functions have a thread each."""
    met = threading.Barrier(3)

    def meet(n: int) -> int:
        met.wait(10)
        return n

    async with box(meet) as it:
        assert await it.ask(call("meet", n=1), call("meet", n=2), call("meet", n=3)) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ({"k": [1, 2.5, "ü"]}, '{"k":[1,2.5,"ü"]}'),
        (Order(1, ["a"]), '{"number":1,"items":["a"]}'),
        (Odd(), '"odd"'),
        ("a\ud800b", "a\ufffdb"),
        ("", ""),
    ],
)
async def test_what_a_tool_gives_becomes_a_text(value: Any, text: str) -> None:
    """Whatever a tool returns, the model can be given a text."""

    async def give() -> Any:
        return value

    async with box(give) as it:
        (given,) = await it.ask(call("give"))
        assert (given, it.outcomes) == (text, ["ok"])


async def test_a_long_result_is_cut() -> None:
    """A result beyond the limit is cut between two characters, and says so."""

    async def give() -> str:
        return "好" * MOST_RESULT

    async with box(give) as it:
        (text,) = await it.ask(call("give"))
        assert text == "好" * (MOST_RESULT // 3) + f" [cut off here: {3 * MOST_RESULT} bytes in all]"


async def test_a_tool_is_given_the_turn() -> None:
    """A parameter annotated Turn gets the turn that the model answers."""
    seen: list[Turn] = []

    @tool
    async def look(turn: Turn, what: str) -> str:
        seen.append(turn)
        return what

    async with box(look) as it:
        assert await it.ask(call("look", what="x", turn="a model's own")) == ["x"]
        assert seen == [it.turn]


async def test_a_plain_tool_may_give_a_coroutine() -> None:
    """What a plain function hands on of an async one is awaited."""

    def hand_on(name: str) -> Any:
        return greet(name)

    async with box(hand_on) as it:
        assert await it.ask(call("hand_on", name="you")) == ["Hello you"]


# --- what goes wrong ----------------------------------------------------------------------------------------------


def broken_plain() -> str:
    raise ValueError("no order 17 of 王小明")


async def broken_async() -> str:
    raise ValueError("no order 17 of 王小明")


@pytest.mark.parametrize("function", [broken_plain, broken_async])
async def test_what_a_tool_raises_is_told_to_the_model(
    function: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The model reads name and message of what was raised; the log has the name and the place, and not the message."""
    async with box(function) as it:
        (text,) = await it.ask(call(function.__name__))
        assert error_in(text) == "ValueError: no order 17 of 王小明"
        assert [(run.outcome, run.code) for run in it.runs] == [("failed", "ValueError")]
    assert "王小明" not in caplog.text
    assert f"the tool {function.__name__} failed: ValueError at {__file__}" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration(), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_nothing_that_a_plain_tool_raises_gets_out(error: BaseException) -> None:
    """Also what would end a program is an outcome."""

    def leave() -> None:
        raise error

    async with box(leave, add) as it:
        (text, other) = await it.ask(call("leave"), call("add", a=1))
        assert "error" in json.loads(text)
        assert (sorted(it.outcomes), other) == (["failed", "ok"], "2")


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
async def test_nothing_that_an_async_tool_raises_gets_out(error: BaseException) -> None:
    """A tool that leaves the program or cancels itself has failed, and the others go on."""

    async def leave() -> None:
        raise error

    async with box(leave, add) as it:
        (text, other) = await it.ask(call("leave"), call("add", a=1))
        assert type(error).__name__ in error_in(text)
        assert (sorted(it.outcomes), other) == (["failed", "ok"], "2")


async def test_an_unknown_tool_is_told_with_those_that_there_are() -> None:
    """A model that invents a tool reads which there are."""
    async with box(add, greet) as it:
        (text,) = await it.ask(call("fly"))
        assert error_in(text) == "There is no tool 'fly'. There are: add, greet."
        assert [(run.outcome, run.code) for run in it.runs] == [("refused", "unknown_tool")]


@pytest.mark.parametrize("arguments", ['{"a":"x"}', "{}", "[1]", "{", "null", '{"a":1} 2', '{"a":' * 5000])
async def test_bad_arguments_are_told(arguments: str) -> None:
    """Arguments that are no JSON or of wrong types run nothing, and the model reads what is wrong."""
    async with box(add) as it:
        (text,) = await it.ask(ToolCall("add", arguments))
        assert error_in(text).startswith("Bad arguments: ")
        assert [(run.outcome, run.code) for run in it.runs] == [("refused", "bad_arguments")]


async def test_the_log_has_no_content(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each tool says its name and outcome, and neither arguments nor result nor an invented name."""
    caplog.set_level(logging.INFO, "offhook.tools")
    async with box(greet) as it:
        await it.ask(call("greet", name="secretword"), call("secretword"))
    lines = sorted(record.getMessage() for record in caplog.records if record.name == "offhook.tools")
    assert lines == [
        "tool name=- outcome=refused code=unknown_tool ms=0.0",
        "tool name=greet outcome=ok code=- ms=0.0",
    ]


# --- time ---------------------------------------------------------------------------------------------------------


async def test_a_tool_has_its_time() -> None:
    """A tool that does not end in time is cancelled and told; the others of the round keep their results."""
    over: list[str] = []

    @tool(timeout=2.5)
    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            over.append("cancelled")

    async with box(hang, add) as it:
        asking = it.asking(call("hang"), call("add", a=1))
        it.clock.wait_for_sleepers(0)
        await settled()
        it.clock.advance(2.4)
        await settled()
        assert not asking.done()
        it.clock.advance(0.1)
        text, other = await asking
        await settled()
        assert "within 2.5 seconds" in error_in(text)
        assert (other, over) == ("2", ["cancelled"])
        (hung,) = [run for run in it.runs if run.name == "hang"]
        assert (hung.outcome, hung.seconds) == ("timeout", 2.5)


async def test_a_plain_tool_that_hangs_holds_nothing_up() -> None:
    """A plain function that hangs is given up after the house's time, and the loop has gone on meanwhile."""
    release = threading.Event()

    def hang() -> None:
        release.wait(20)

    async with box(hang) as it:
        asking = it.asking(call("hang"))
        await settled()
        it.clock.advance(LIMIT)
        (text,) = await asking
        release.set()
        assert "within 10 seconds" in error_in(text)
        assert it.outcomes == ["timeout"]


async def test_a_tool_that_never_had_a_thread_is_not_run_later() -> None:
    """What waited for a thread until its time was over is told not to be done, and is never begun."""
    release, ran = threading.Event(), threading.Event()

    def hang() -> None:
        release.wait(20)

    def late() -> None:
        ran.set()

    async with box(hang, late, add, threads=1) as it:
        asking = it.asking(call("hang"), call("late"))
        await settled()
        it.clock.advance(LIMIT)
        _, text = await asking
        release.set()
        assert await it.ask(call("add", a=1)) == ["2"]
        assert "not done" in error_in(text)
        assert not ran.is_set()
        assert [(run.outcome, run.code) for run in it.runs if run.name == "late"] == [("refused", "busy")]


async def test_a_tool_that_does_not_obey_holds_nothing_up() -> None:
    """A tool that swallows its cancellation is not waited for."""
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with box(stubborn) as it:
        asking = it.asking(call("stubborn"))
        await settled()
        it.clock.advance(LIMIT)
        (text,) = await asking
        assert "was given up" in error_in(text)
        release.set()
        await settled()


async def test_a_cancelled_round_stops_its_tools_at_once() -> None:
    """A barge-in cancels the tools that run, and nobody is told of them."""
    over = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            over.set()

    async with box(hang) as it:
        asking = it.asking(call("hang"))
        await settled()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await settled()
        assert over.is_set()
        assert it.runs == []


async def test_a_listener_that_fails_stops_the_round() -> None:
    """What ``ended`` raises, as when the turn is over, comes out of the round, and the other tools are stopped."""
    over = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            over.set()

    def ended(run: ToolRun) -> None:
        raise RuntimeError("over")

    async with box(hang, greet) as it:
        calls = (call("hang"), call("greet", name="x"))
        with pytest.raises(RuntimeError, match="over"):
            await it.toolbox.run(calls, it.turn, hold=0, occasion=it.occasion(), ended=ended)
        await settled()
        assert over.is_set()


# --- the box ------------------------------------------------------------------------------------------------------


def test_two_tools_need_two_names() -> None:
    """Two tools of one name are a mistake of set-up."""
    with pytest.raises(SetupError, match="two tools named 'add'"):
        Toolbox([add, add], clock=JumpClock(), timeout=1)


def test_a_toolbox_tells_what_it_has() -> None:
    """Definitions stand in the order of the tools, and names are theirs."""
    made = Toolbox([add, greet], clock=JumpClock(), timeout=1)
    assert [one["function"]["name"] for one in made.definitions] == ["add", "greet"]
    assert made.names == {"add", "greet"}


@pytest.mark.parametrize(
    ("filler", "language", "said"),
    [
        (None, "en", [None, None]),
        ("One moment.", "zh", ["One moment.", "One moment."]),
        (["a", "b", "c"], None, ["a", "b", "c", "a"]),
        ({"zh": "稍等", "en": ["a", "b"]}, "zh-CN", ["稍等", "稍等"]),
        ({"zh": "稍等", "en": ["a", "b"]}, "en_GB", ["a", "b", "a"]),
        ({"zh-TW": "請稍候"}, "zh", ["請稍候"]),
        ({"zh": "稍等"}, "fr", [None]),
        ({"zh": "稍等"}, None, [None]),
    ],
)
def test_a_tool_has_fillers_of_its_own(filler: Any, language: str | None, said: list[str | None]) -> None:
    """A tool's phrases come one after the other in the caller's language, and in no other one."""

    @tool(filler=filler)
    def look() -> None:
        """Look."""

    made = Toolbox([look], clock=JumpClock(), timeout=1)
    assert [made.filler_of("look", language) for _ in said] == said
    assert made.filler_of("nothing", language) is None
