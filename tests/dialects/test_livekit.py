"""LiveKit Agents: ids in its headers, and commands as functions that the agent's process runs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from offhook.dialects.base import Delivery
from offhook.dialects.choose import choose
from offhook.dialects.livekit import LIVEKIT
from offhook.events import CallContext, Command
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
from tests.oracle import check_stream
from tests.raw import AUTH, chat_body, get, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook.events import Turn

HEADERS = {
    "user-agent": "LiveKit Agents/1.8.9 (python 3.12.1)",
    "x-livekit-room-id": "RM_a",
    "x-livekit-job-id": "AJ_b",
    "x-livekit-agent-id": "CA_c",
    "x-livekit-session-id": "s1",
}


def context(headers: dict[str, str], **fields: Any) -> CallContext:
    return LIVEKIT.read(arrival(fields, headers=headers)).call


# --- in -----------------------------------------------------------------------------------------------------------


def test_the_room_is_the_call() -> None:
    """The session id is another one in each request, and so it names nothing."""
    sent = {name: value for name, value in HEADERS.items() if name != "user-agent"}
    assert context(HEADERS) == CallContext(id="RM_a", room="RM_a", platform="livekit", headers=sent)
    assert LIVEKIT.read(arrival(headers=HEADERS)).turn_id is None
    assert context({**HEADERS, "x-livekit-session-id": "s2"}).id == "RM_a"
    assert "secret" not in repr(context({**HEADERS, "x-livekit-worker-token": "secret"}))


def test_the_job_stands_in_for_the_room() -> None:
    """Without a room the job is the call, and without either there is none."""
    assert context({"x-livekit-job-id": "AJ_b", "x-livekit-room-id": ""}).id == "AJ_b"
    assert context({"x-livekit-agent-id": "CA_c", "x-livekit-session-id": "s1"}).id is None


def test_what_the_agent_adds_wins() -> None:
    """Its own extra headers and query name call, turn and caller; ``metadata`` is the user data."""
    more = {**HEADERS, "x-call-id": "h", "x-turn-id": "3", "x-caller": "+49301"}
    came = arrival({"metadata": {"tenant": "a"}}, headers=more, query={"callee": "+49302", "turn_id": "9"})
    reading = LIVEKIT.read(came)
    call = reading.call
    assert (call.id, call.room, reading.turn_id, call.caller, call.callee) == ("h", "RM_a", "3", "+49301", "+49302")
    assert (call.user_data, call.user_data_raw) == ({"tenant": "a"}, '{"tenant":"a"}')


@pytest.mark.parametrize("value", ["a", {"b": 1}, [1], 3, True, None])
def test_metadata_of_any_type(value: object) -> None:
    """Metadata that is no object is kept, as user data, and is no id."""
    call = context(HEADERS, metadata=value)
    assert call.id == "RM_a"
    assert call.user_data == value


@pytest.mark.parametrize("value", ["3", "\u4f1a", "a b", "0"])
def test_ids_are_texts(value: str) -> None:
    """An id is what the header holds."""
    sent = value.encode().decode("latin-1")
    assert context({"x-livekit-room-id": sent}).id == value


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (HEADERS, "livekit"),
        ({"user-agent": "LiveKit Agents/1.8.9 (python 3.12.1)"}, "livekit"),
        ({"user-agent": "livekit agents/2.0"}, "livekit"),
        ({"x-livekit-session-id": "s"}, "livekit"),
        ({"user-agent": "AsyncOpenAI/Python 2.1"}, "plain"),
        ({"user-agent": "my LiveKit Agents/1"}, "plain"),
    ],
)
def test_it_is_told_by_its_headers(headers: dict[str, str], name: str) -> None:
    """One of its headers, or its user agent, is this framework's."""
    assert choose(arrival(headers=headers), None).name == name


def test_tools_that_another_platform_has_change_nothing() -> None:
    """An agent in LiveKit may name its functions as it likes."""
    fields = {"tools": [tool("skip_turn"), tool("transfer_to_number", "client_message")], "call": {"id": "1"}}
    assert choose(arrival(fields, headers=HEADERS), None) is LIVEKIT


def test_an_assistant_that_only_called_a_tool_has_no_content() -> None:
    """A message without the key is read, and its fields are kept."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ]
    history = LIVEKIT.read(arrival({"messages": messages}, headers=HEADERS)).history
    assert [(message.text, message.fields) for message in history] == [
        ("x", messages[0]),
        ("", messages[1]),
        ("ok", messages[2]),
    ]


@given(headers=header_values(*HEADERS, "x-call-id", "x-user-data"), metadata=JSON, name=JSON)
def test_whatever_comes_is_read(headers: dict[str, str], metadata: object, name: object) -> None:
    """No value in any header or field that is looked at stops a request."""
    check_survives(LIVEKIT, {"metadata": metadata, "tools": [{"function": {"name": name}}]}, headers)


def test_depth_is_survived() -> None:
    """Metadata that is nested too deeply to be written again is read all the same."""
    check_far_down(LIVEKIT, deep("metadata"))


# --- out ----------------------------------------------------------------------------------------------------------


def test_the_framework_asks_early() -> None:
    """It generates before the caller has finished, and it has ways of its own to tell of a failure."""
    assert (LIVEKIT.speculative, LIVEKIT.telephone, LIVEKIT.memory) == (True, False, "window")


def test_the_hang_up_is_a_function_that_is_offered() -> None:
    """The configured one comes first, then what people commonly call it, then none."""
    hangup = Command("hangup")
    assert called(LIVEKIT, hangup, offering("hangup", "end_call")) == ("hangup", {})
    assert called(LIVEKIT, hangup, offering("end_call", "look")) == ("end_call", {})
    assert called(LIVEKIT, hangup, offering("bye", "hangup", hangup_function="bye")) == ("bye", {})
    assert called(LIVEKIT, hangup, offering("hang_up", hangup_function="bye")) == ("hang_up", {})


def test_the_transfer_is_a_function_that_is_offered() -> None:
    """It takes the number as its argument."""
    transfer = Command("transfer", to="+4930123")
    assert called(LIVEKIT, transfer, offering("transfer")) == ("transfer", {"number": "+4930123"})
    assert called(LIVEKIT, transfer, offering("transfer_call")) == ("transfer_call", {"number": "+4930123"})
    assert called(LIVEKIT, transfer, offering("desk", transfer_function="desk"))[0] == "desk"


def test_what_is_not_offered_is_refused() -> None:
    """The reason tells which function to give the agent."""
    for delivery in (Delivery(), offering("look")):
        assert "LiveKit agent a function called 'hangup'" in (LIVEKIT.refuses("hangup", delivery) or "")
        assert "'transfer' with the argument 'number'" in (LIVEKIT.refuses("transfer", delivery) or "")
    assert "'bye'" in (LIVEKIT.refuses("hangup", offering("look", hangup_function="bye")) or "")
    assert LIVEKIT.refuses("hangup", offering("end_call")) is None


def test_what_the_agents_process_does_is_refused() -> None:
    """Each reason names LiveKit's own way."""
    assert "allow_interruptions" in (LIVEKIT.refuses("protect", Delivery()) or "")
    assert "publish data" in (LIVEKIT.refuses("say_to_app", Delivery()) or "")


# --- the whole road -----------------------------------------------------------------------------------------------


async def agent(turn: Turn) -> AsyncIterator[Any]:
    yield f"The call is {turn.call.id}."
    yield turn.hangup(" Goodbye.")


def test_a_whole_turn() -> None:
    """Told by its headers, a request gives words, the call of the offered function and its finish reason."""
    shown = io.StringIO()
    with live_server(agent, show=lambda line: print(line, file=shown)) as server:
        headers = {**AUTH, **HEADERS, "X-LiveKit-Worker-Token": "worker-secret"}
        reply = request(server.base_url, chat_body("hello", tools=[tool("end_call")]), headers)
    said = check_stream(reply.body, usage_asked=False)
    assert said.text == "The call is RM_a. Goodbye."
    assert [(call.name, call.arguments) for call in said.calls] == [("end_call", "{}")]
    assert said.finish_reason == "tool_calls"
    assert "RM_a" in shown.getvalue() and "worker-secret" not in shown.getvalue()


def test_the_models_are_listed() -> None:
    """The client looks at them when a session starts, to warm its connection up."""
    with live_server(agent) as server:
        assert get(server.base_url, "/v1/models", AUTH).status == 200
