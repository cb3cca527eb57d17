"""Pipecat: chosen by header or path, its calls one to a chunk, and whole answers beside streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from offhook.dialects.base import Delivery
from offhook.dialects.choose import HEADER, choose
from offhook.dialects.pipecat import PIPECAT
from offhook.events import Command, ToolCall
from offhook.testing import live_server
from tests.dialects.arrivals import (
    JSON,
    arrival,
    called,
    check_far_down,
    check_survives,
    deep,
    header_values,
    offering,
    tool,
)
from tests.oracle import check_completion, check_stream
from tests.raw import AUTH, chat_body, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook.events import Turn

PATH = "/pipecat/v1/chat/completions"


# --- in -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("came", "name"),
    [
        (arrival(path=PATH), "pipecat"),
        (arrival(headers={HEADER: "pipecat"}), "pipecat"),
        (arrival(headers={HEADER: "plain"}, path=PATH), "plain"),
        (arrival(), "plain"),
    ],
)
def test_it_is_chosen_by_name(came: Any, name: str) -> None:
    """It sends nothing to be told by, so that the base URL or a header names it."""
    assert choose(came, None).name == name


def test_the_bots_default_headers_name_the_call() -> None:
    """What the bot puts there is call, turn, numbers and user data."""
    headers = {"x-call-id": "c", "x-turn-id": "3", "x-caller": "1", "x-callee": "2", "x-user-data": '{"a":1}'}
    reading = PIPECAT.read(arrival(headers=headers))
    call = reading.call
    assert (call.id, reading.turn_id, call.caller, call.callee, call.user_data) == ("c", "3", "1", "2", {"a": 1})


@given(headers=header_values("x-call-id", "x-turn-id", "x-user-data"), metadata=JSON, name=JSON)
def test_whatever_comes_is_read(headers: dict[str, str], metadata: object, name: object) -> None:
    """No value in any header or field that is looked at stops a request."""
    check_survives(PIPECAT, {"metadata": metadata, "tools": [{"function": {"name": name}}]}, headers)


def test_depth_is_survived() -> None:
    """Metadata that is nested too deeply to be written again is read all the same."""
    check_far_down(PIPECAT, deep("metadata"))


# --- out ----------------------------------------------------------------------------------------------------------


def test_what_the_dialect_says_of_the_framework() -> None:
    """Side effects wait until the caller has finished, and an error is left to the client, which tries again."""
    assert (PIPECAT.speculative, PIPECAT.telephone) == (True, False)


def test_commands_are_functions_that_are_offered() -> None:
    """The configured one comes first, then what people commonly call it."""
    assert called(PIPECAT, Command("hangup"), offering("end_call")) == ("end_call", {})
    assert called(PIPECAT, Command("hangup"), offering("bye", "hangup", hangup_function="bye")) == ("bye", {})
    transfer = Command("transfer", to="+4930123")
    assert called(PIPECAT, transfer, offering("transfer_call")) == ("transfer_call", {"number": "+4930123"})


def test_what_is_not_offered_is_refused() -> None:
    """Each reason names the bot's own way."""
    assert "Pipecat bot's LLM service a function called 'hangup'" in (PIPECAT.refuses("hangup", Delivery()) or "")
    assert "'transfer'" in (PIPECAT.refuses("transfer", offering("look")) or "")
    assert "mute strategy" in (PIPECAT.refuses("protect", Delivery()) or "")
    assert "RTVI" in (PIPECAT.refuses("say_to_app", Delivery()) or "")
    assert PIPECAT.refuses("hangup", offering("hangup")) is None


# --- the whole road -----------------------------------------------------------------------------------------------


async def calling(turn: Turn) -> AsyncIterator[Any]:
    yield "One moment."
    yield ToolCall("look", "", "a")
    yield ToolCall("look", '{"n":2}', "b")
    yield turn.hangup(" Goodbye.")


def test_each_call_has_a_chunk_of_its_own() -> None:
    """The client reads the first call of a chunk only and counts along: indexes are 0, 1, 2, and no text is beside."""
    body = chat_body("hello", tools=[tool("look"), tool("hangup")])
    with live_server(calling) as server:
        reply = request(server.base_url, body, AUTH, path=PATH)
    check_stream(reply.body, usage_asked=False)
    chunks = [json.loads(line[6:]) for line in reply.body.decode().splitlines() if line.startswith("data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    calls = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert [len(one) for one in calls] == [1, 1, 1]
    assert [one[0]["index"] for one in calls] == [0, 1, 2]
    assert [one[0]["function"]["name"] for one in calls] == ["look", "look", "hangup"]
    assert [json.loads(one[0]["function"]["arguments"]) for one in calls] == [{}, {"n": 2}, {}]
    assert len({one[0]["id"] for one in calls}) == 3
    assert all(not delta.get("content") for delta in deltas if "tool_calls" in delta)


async def forming(turn: Turn) -> AsyncIterator[str]:
    yield '{"name": "*A*", '
    yield '"tag": "<b>"}'


def test_an_answer_in_a_form_is_whole_and_untouched() -> None:
    """With ``stream: false`` and a ``response_format`` the answer is one JSON text, not made fit for the ear."""
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    with live_server(forming) as server:
        reply = request(server.base_url, chat_body("hello", stream=False, response_format=schema), AUTH, path=PATH)
    said = check_completion(reply.body)
    assert json.loads(said.text) == {"name": "*A*", "tag": "<b>"}
