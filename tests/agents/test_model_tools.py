"""Tools of the model agent over real sockets: they are run, the model is told, and its words go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from offhook import tool
from offhook.testing import JumpClock, live_server, scripted_upstream
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import says, with_fault
from tests.agents.test_model import chunk
from tests.agents.tooled import (
    Gate,
    asks,
    by_round,
    call,
    module_of,
    offer,
    results,
    roles,
    runs,
    status,
    tooled,
    weather,
)
from tests.callers import turn
from tests.oracle import check_completion
from tests.raw import Wire, chat_body, error_of, request, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.events import Turn
    from offhook.testing.faults import Answer

USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
ORDER = "Where is my order 4711?"


# --- rounds -------------------------------------------------------------------------------------------------------


def test_a_tools_answer_goes_to_the_model_and_its_words_to_the_caller() -> None:
    """The model is told call and result behind the conversation, and what it says then is the reply."""
    plan = by_round(asks(call("status", "call_a", order="4711")), says("It is ", "on its way."))
    with tooled(plan, status) as (server, upstream):
        said = stream(server.base_url, chat_body(ORDER))
        [details] = server.wait_for_turns(1)
    assert (said.text, said.calls, said.finish_reason) == ("It is on its way.", [], "stop")
    first, second = upstream.requests
    assert second.body["messages"] == [
        *first.body["messages"],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "status", "arguments": '{"order": "4711"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": '{"order":"4711","is":"on its way"}'},
    ]
    assert runs(details) == [("status", "ok")]
    assert [(one.number, one.round) for one in details.begun] == [(1, 1), (2, 2)]
    assert [(one.number, one.outcome) for one in details.attempts] == [(1, "answered"), (2, "answered")]


def test_a_completion_holds_the_words_of_all_rounds() -> None:
    """Who asks for no stream is answered once, when the last round has ended."""
    plan = by_round(asks(call("status", order="1"), text="One moment."), says("It is."))
    with tooled(plan, status) as (server, _):
        said = check_completion(request(server.base_url, chat_body(stream=False)).body)
    assert (said.text, said.calls, said.finish_reason) == ("One moment. It is.", [], "stop")


def test_the_model_is_offered_ours_beside_the_requests_own() -> None:
    """Ours come first, in every round, and win where two have one name."""
    plan = by_round(asks(call("status", order="1")), says("It is."))
    with tooled(plan, status, weather) as (server, upstream):
        stream(server.base_url, chat_body(ORDER, tools=offer("hangup", "status"), tool_choice="required"))
    first, second = upstream.requests
    names = [one["function"]["name"] for one in first.body["tools"]]
    assert names == ["status", "weather", "hangup"]
    assert first.body["tools"][0]["function"] == {
        "name": "status",
        "description": "Tell where an order is.",
        "parameters": {
            "type": "object",
            "properties": {"order": {"type": "string", "description": "The number of the order."}},
            "required": ["order"],
        },
    }
    assert second.body["tools"] == first.body["tools"]
    # What was demanded has been done; demanded again there would never be an answer.
    assert (first.body["tool_choice"], second.body.get("tool_choice")) == ("required", None)


def test_a_choice_of_no_tools_holds_for_every_round() -> None:
    """tool_choice "none" is passed on as it came."""
    plan = by_round(asks(call("status", order="1")), says("It is."))
    with tooled(plan, status) as (server, upstream):
        stream(server.base_url, chat_body(ORDER, tool_choice="none"))
    assert [one.body["tool_choice"] for one in upstream.requests] == ["none", "none"]


def test_a_service_that_takes_no_tools_is_offered_none() -> None:
    """``omit`` counts for ours too."""
    with (
        module_of(status) as name,
        fault_upstream(says("Hello.")) as upstream,
        live_server(
            upstream_table=[{"name": "a", "base_url": upstream.base_url, "omit": ["tools"]}], tools=[name]
        ) as server,
    ):
        assert stream(server.base_url, chat_body()).text == "Hello."
    assert "tools" not in upstream.requests[0].body


def test_several_are_run_at_once_each_with_its_limit() -> None:
    """Two that wait for each other both come to an end, and the one that is too slow is given up alone."""
    clock = JumpClock()
    gates = {"a": Gate(), "b": Gate(), "slow": Gate()}

    @tool
    async def wait(name: str) -> str:
        """Wait."""
        await gates[name].passed()
        return f"{name} is done"

    @tool(timeout=3)
    async def slow() -> str:
        """Wait for long."""
        await gates["slow"].passed()
        return "late"

    plan = by_round(asks(call("wait", name="a"), call("slow"), call("wait", name="b")), says("Well"))
    with tooled(plan, wait, slow, clock=clock) as (server, upstream), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        for gate in gates.values():
            gate.wait()
        gates["b"].open()
        gates["a"].open()
        for name in "ab":
            gates[name].wait_gone_on()
        clock.advance(3)
        wire.read_until(b'"Well"')
        [details] = server.wait_for_turns(1)
    a, late, b = results(upstream.requests[1])
    assert (a, b) == ("a is done", "b is done")
    assert json.loads(late)["error"].startswith("It did not end within 3 seconds")
    assert sorted(runs(details)) == [("slow", "timeout"), ("wait", "ok"), ("wait", "ok")]


def test_words_before_a_call_stay_said_and_the_model_knows_them() -> None:
    """They go out at once, stand in the next request, and are parted from what comes then."""
    gate = Gate()

    @tool
    async def look() -> str:
        """Look."""
        await gate.passed()
        return "3"

    plan = by_round(asks(call("look"), text="One moment."), says("It is 3."))
    with tooled(plan, look) as (server, upstream), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        wire.read_until(b"One moment")
        gate.wait()
        gate.open()
        wire.read_until(b" It is 3")
    assert upstream.requests[1].body["messages"][-2]["content"] == "One moment."


@pytest.mark.parametrize(
    ("first", "second", "heard"),
    [
        ("One moment.", "It is 3.", "One moment. It is 3."),
        ("One moment. ", "It is 3.", "One moment. It is 3."),
        ("One moment.", "\nIt is 3.", "One moment.\nIt is 3."),
        ("请稍等。", "3点了。", "请稍等。3点了。"),
        ("OK", "好的。", "OK好的。"),
    ],
)
def test_words_of_two_rounds_do_not_run_together(first: str, second: str, heard: str) -> None:
    """A space is put between them where the script has spaces and the model gave none."""
    plan = by_round(asks(call("status", order="1"), text=first), says(second))
    with tooled(plan, status) as (server, _):
        assert stream(server.base_url, chat_body()).text == heard


def test_words_before_two_silent_rounds_are_parted_too() -> None:
    """A round without words between two with words changes nothing."""
    ask = call("status", order="1")
    plan = by_round(asks(ask, text="Well."), asks(ask), says("It ", "is."))
    with tooled(plan, status) as (server, _):
        assert stream(server.base_url, chat_body()).text == "Well. It is."


@pytest.mark.parametrize("ids", [("", ""), ("call_x", "call_x")])
def test_calls_that_are_not_named_apart_are_told_apart(ids: tuple[str, str]) -> None:
    """A service that names none, or all the same, is answered with names made here."""
    deltas = [
        {"index": place, "id": id, "function": {"name": "status", "arguments": json.dumps({"order": str(place)})}}
        for place, id in enumerate(ids)
    ]
    steps = [chunk({"tool_calls": deltas}), chunk({}, "tool_calls"), b"data: [DONE]\n\n"]
    with (
        module_of(status) as name,
        scripted_upstream(*steps, whole=False) as upstream,
        live_server(upstream=upstream.base_url, tools=[name], tools_rounds=1) as server,
    ):
        # It says so again, and that was once too often.
        assert request(server.base_url, chat_body()).status == 503
    question, *answers = upstream.requests[1].body["messages"][-3:]
    named = [one["id"] for one in question["tool_calls"]]
    assert len(set(named)) == 2 and all(named)
    assert [one["tool_call_id"] for one in answers] == named
    assert [json.loads(one["content"])["order"] for one in answers] == ["0", "1"]


def test_the_last_round_is_asked_without_tools() -> None:
    """After so many rounds the model is told to answer, and it can."""
    plan = by_round(*[asks(call("status", order="1"))] * 2, says("It is."))
    with tooled(plan, status, tools_rounds=2) as (server, upstream):
        assert stream(server.base_url, chat_body()).text == "It is."
    assert [one.body.get("tool_choice") for one in upstream.requests] == [None, None, "none"]


def test_a_model_that_asks_on_and_on_is_stopped() -> None:
    """It is a 503 that says so, and what it asked for in the last round is not run."""
    count: list[str] = []

    @tool
    def look() -> str:
        """Look."""
        count.append("x")
        return "nothing"

    with tooled(by_round(asks(call("look"))), look, tools_rounds=2) as (server, upstream):
        reply = request(server.base_url, chat_body())
        assert (reply.status, reply.header("x-should-retry")) == (503, "false")
        error = error_of(reply)
        assert (len(upstream.requests), len(count)) == (3, 2)
        # On a telephone it is an apology.
        body = turn("c", 1, "hello")
        said = stream(server.base_url, body)
        assert said.finish_reason == "stop" and said.text
        assert [record.error for record in server.records("c")] == [error["code"]]


def test_usage_adds_up_over_the_rounds() -> None:
    """The caller is told the tokens of the whole turn once."""
    plan = by_round(asks(call("status", order="1")), says("It is."))
    with tooled(plan, status) as (server, _):
        said = stream(server.base_url, chat_body(**USAGE))
        [details] = server.wait_for_turns(1)
    one, two = details.attempts
    assert one.prompt_tokens > 0 and two.prompt_tokens > 0
    assert not one.estimated
    assert details.prompt_tokens == one.prompt_tokens + two.prompt_tokens
    assert details.completion_tokens == one.completion_tokens + two.completion_tokens
    assert said.usage is not None
    assert said.usage["prompt_tokens"] == details.prompt_tokens


def test_a_service_that_dies_in_the_second_round_is_replaced() -> None:
    """The other one is asked with what the tool gave: the tool is not run again, and nothing is said twice."""
    count: list[str] = []

    @tool
    def look(order: str) -> str:
        """Look."""
        count.append(order)
        return "here"

    ask = asks(call("look", order="1"), text="One moment.")
    # Whoever was asked first dies in the second round, before a word.
    seen: list[str] = []

    def plan_of(name: str) -> Callable[[int, Any], Answer]:
        def plan(_: int, got: Any) -> Answer:
            seen.append(name)
            if not results(got):
                return ask
            return with_fault(says("It is "), "reset", "after_role") if len(seen) == 2 else says("It is here.")

        return plan

    with (
        module_of(look) as name,
        fault_upstream(plan_of("a")) as one,
        fault_upstream(plan_of("b")) as two,
        live_server(
            upstream_table=[
                {"name": "a", "base_url": one.base_url, "weight": 1e9},
                {"name": "b", "base_url": two.base_url, "weight": 1e-9},
            ],
            tools=[name],
        ) as server,
    ):
        assert stream(server.base_url, chat_body()).text == "One moment. It is here."
        [details] = server.wait_for_turns(1)
    assert seen == ["a", "a", "b"]
    assert count == ["1"]
    assert [(one.number, one.round, one.upstream) for one in details.begun] == [(1, 1, "a"), (2, 2, "a"), (3, 2, "b")]
    assert [one.outcome for one in details.attempts] == ["answered", "failed", "answered"]
    assert two.requests[0].body["messages"] == one.requests[1].body["messages"]


# --- what a tool is given, and what is kept -----------------------------------------------------------------------


def test_a_tool_is_given_its_turn() -> None:
    """A parameter annotated Turn is none of the model's."""
    given: list[Turn] = []

    @tool
    def who(turn: Turn, polite: bool = True) -> str:
        """Tell who calls."""
        given.append(turn)
        return f"{turn.call.id} {polite}"

    with tooled(by_round(asks(call("who", turn="mine")), says("You.")), who) as (server, upstream):
        stream(server.base_url, turn("c-1", 7, "who am I"))
    assert results(upstream.requests[1]) == ["c-1 True"]
    assert [(one.id, one.text) for one in given] == [("7", "who am I")]
    assert list(upstream.requests[0].body["tools"][0]["function"]["parameters"]["properties"]) == ["polite"]


def test_the_next_turn_knows_the_words_and_no_tool() -> None:
    """Calls of our tools and their results are of one turn; the conversation that is remembered has the words."""
    plan = by_round(asks(call("status", order="1"), text="One moment."), says("It is."))
    with tooled(plan, status) as (server, upstream):
        said = stream(server.base_url, turn("c", 1, ORDER)).text
        stream(server.base_url, turn("c", 2, "And now?", before=[("user", ORDER), ("assistant", said)]))
        record = server.records("c")[0]
    assert roles(upstream.requests[1]) == ["user", "assistant", "tool"]
    assert roles(upstream.requests[2]) == ["user", "assistant", "user"]
    assert upstream.requests[2].body["messages"][1]["content"] == said == "One moment. It is."
    assert "tool_calls" not in upstream.requests[2].body["messages"][1]
    # The record says what was run, with its arguments and without its result.
    [run] = [event for event in record.events if event.kind == "tool_run"]
    assert (run.data["name"], run.data["arguments"], run.data["outcome"]) == ("status", '{"order": "1"}', "ok")
    assert "on its way" not in str(record)
    assert record.generated == "One moment. It is."
