"""ElevenLabs: ids in headers or the extra body, system tools that are offered, and buffer words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from offhook.dialects.base import Delivery, Options
from offhook.dialects.choose import choose
from offhook.dialects.elevenlabs import ELEVENLABS
from offhook.events import Aside, CallContext, Command, Text, ToolCall
from offhook.testing import JumpClock, live_server
from tests.dialects.arrivals import (
    IDS,
    JSON,
    arrival,
    called,
    check_far_down,
    check_survives,
    deep,
    header_values,
    objects,
    offering,
    tool,
)
from tests.oracle import check_http, check_stream
from tests.raw import AUTH, Wire, chat_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook.events import Turn

HEADERS = {"x-conversation-id": "conv_1", "x-caller-id": "+4930111", "x-called-number": "+4930222"}


def context(extra: object = None, **more: Any) -> CallContext:
    return ELEVENLABS.read(arrival({} if extra is None else {"elevenlabs_extra_body": extra}, **more)).call


# --- in -----------------------------------------------------------------------------------------------------------


def test_headers_from_dynamic_variables_say_who_calls() -> None:
    """The headers that one sets from system variables give the call and both numbers."""
    assert context(headers=HEADERS) == CallContext(
        id="conv_1", caller="+4930111", callee="+4930222", platform="elevenlabs"
    )


def test_the_extra_body_is_user_data() -> None:
    """It reaches the agent as it came, and ids are looked for inside it."""
    extra = {"tenant": "a", "system__conversation_id": "c", "system__caller_id": "1", "system__called_number": "2"}
    call = context(extra)
    assert (call.id, call.caller, call.callee, call.user_data) == ("c", "1", "2", extra)
    assert context({"conversation_id": "d"}).id == "d"
    assert context({"call_id": "e", "conversation_id": "d"}).id == "e"


def test_the_agents_headers_go_before_what_a_client_sent() -> None:
    """The extra body comes from whoever starts the conversation, the headers from the agent's owner."""
    assert context({"conversation_id": "forged", "caller_id": "0"}, headers=HEADERS).id == "conv_1"
    assert context({"conversation_id": "forged", "caller_id": "0"}, headers=HEADERS).caller == "+4930111"


def test_the_houses_own_headers_are_read_too() -> None:
    """``X-Call-Id`` and the like work as on every platform."""
    reading = ELEVENLABS.read(arrival(headers={"x-call-id": "h", "x-turn-id": "4", "x-caller": "1"}))
    assert (reading.call.id, reading.turn_id, reading.call.caller) == ("h", "4", "1")


@pytest.mark.parametrize(("value", "id_"), IDS)
def test_ids_of_any_type(value: object, id_: str | None) -> None:
    """An id in the extra body is a text, whatever it came as."""
    call = context({"call_id": value, "caller_id": value, "called_number": value})
    assert (call.id, call.caller, call.callee) == (id_, id_, id_)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"elevenlabs_extra_body": {}}, "elevenlabs"),
        ({"elevenlabs_extra_body": None}, "elevenlabs"),
        ({"tools": [tool("skip_turn", "reason")]}, "elevenlabs"),
        ({"tools": [tool("language_detection", "reason", "language")]}, "elevenlabs"),
        ({"tools": [tool("voicemail_detection", "reason")]}, "elevenlabs"),
        ({"tools": [tool("play_keypad_touch_tone", "dtmf_tones")]}, "elevenlabs"),
        ({"tools": [tool("look"), tool("transfer_to_number", "client_message")]}, "elevenlabs"),
        ({"tools": [tool("transfer_to_agent", "agent_number")]}, "elevenlabs"),
        # What others might name so too.
        ({"tools": [tool("transfer_to_number", "number")]}, "plain"),
        ({"tools": [tool("transfer_to_agent", "agent_name")]}, "plain"),
        ({"tools": [tool("end_call", "reason")]}, "plain"),
        ({"user_id": "u"}, "plain"),
        ({"tools": [{"function": {"name": ["skip_turn"]}}, {"function": "skip_turn"}, {}]}, "plain"),
    ],
)
def test_it_is_told_by_its_extra_body_or_system_tools(fields: dict[str, Any], name: str) -> None:
    """Its extra body, or a system tool that nobody else has in this form, is this platform's."""
    assert choose(arrival(fields), None).name == name


@given(
    extra=objects("call_id", "conversation_id", "caller", "system__called_number"),
    headers=header_values(*HEADERS, "x-call-id", "x-user-data", "x-turn-id"),
    user=JSON,
    parameters=JSON,
)
def test_whatever_comes_is_read(extra: object, headers: dict[str, str], user: object, parameters: object) -> None:
    """No value in any field that is looked at stops a request."""
    tools = [{"function": {"name": name, "parameters": parameters}} for name in ("transfer_to_number", user)]
    check_survives(ELEVENLABS, {"elevenlabs_extra_body": extra, "user_id": user, "tools": tools}, headers)


@pytest.mark.parametrize("path", [("elevenlabs_extra_body", "call_id"), ("elevenlabs_extra_body",), ("metadata",)])
def test_depth_is_survived(path: tuple[str, ...]) -> None:
    """What is nested too deeply to be written again is read all the same."""
    check_far_down(ELEVENLABS, deep(*path))


# --- out ----------------------------------------------------------------------------------------------------------


def test_the_hang_up_is_the_end_call_system_tool() -> None:
    """It gives the reason that the tool wants, and no message: the goodbye is said before it."""
    name, arguments = called(ELEVENLABS, Command("hangup", text=""), offering("end_call"))
    assert (name, list(arguments)) == ("end_call", ["reason"])
    assert called(ELEVENLABS, Command("hangup"), offering("bye", hangup_function="bye"))[0] == "bye"


def test_the_transfer_is_the_system_tool_with_all_its_arguments() -> None:
    """The words of the transfer are the message to the caller; nothing that the tool requires is missing."""
    transfer = Command("transfer", to="+4930123", text="One moment, please.")
    name, arguments = called(ELEVENLABS, transfer, offering("transfer_to_number"))
    assert name == "transfer_to_number"
    assert (arguments["transfer_number"], arguments["client_message"]) == ("+4930123", "One moment, please.")
    assert arguments.keys() == {"transfer_number", "client_message", "agent_message", "reason"}
    assert arguments["agent_message"] and arguments["reason"]
    assert ELEVENLABS.speaks(Options()) == {"transfer"}


def test_a_system_tool_that_is_not_offered_is_never_called() -> None:
    """Not even where nothing is offered; the reason names the agent's system tools."""
    for delivery in (Delivery(), offering("look")):
        assert "'end_call'" in (ELEVENLABS.refuses("hangup", delivery) or "")
        assert "'transfer_to_number'" in (ELEVENLABS.refuses("transfer", delivery) or "")
        assert "system tools" in (ELEVENLABS.refuses("hangup", delivery) or "")
    assert ELEVENLABS.refuses("hangup", offering("end_call")) is None
    assert ELEVENLABS.refuses("transfer", offering("transfer_to_number")) is None


def test_what_elevenlabs_cannot_do_is_refused() -> None:
    """Each reason names ElevenLabs' own way."""
    assert "interruptions" in (ELEVENLABS.refuses("protect", Delivery()) or "")
    assert "client tool" in (ELEVENLABS.refuses("say_to_app", Delivery()) or "")


@pytest.mark.parametrize(
    ("phrase", "written"),
    [
        ("One moment, please. ", "One moment, please... "),
        ("Let me see...", "Let me see... "),
        ("Let me see... ", "Let me see... "),
        ("Just a second!", "Just a second... "),
        ("\u8bf7\u7a0d\u7b49\u3002", "\u8bf7\u7a0d\u7b49... "),
        ("Let me look\u2026", "Let me look... "),
        ("Still there?", "Still there?... "),
        ("...", "... "),
    ],
)
def test_a_filler_is_buffer_words(phrase: str, written: str) -> None:
    """It ends in an ellipsis and a space, which is what the platform takes for a pause in a sentence."""
    assert ELEVENLABS.write(Aside(phrase, "filler"), Delivery()) == (written,)


def test_other_words_stay_as_they_are() -> None:
    """An apology, and what the agent says, is no buffer word; nothing is made of an empty filler."""
    assert ELEVENLABS.write(Aside("Sorry.", "apology"), Delivery()) == ("Sorry.",)
    assert ELEVENLABS.write(Text("One moment. "), Delivery()) == ("One moment. ",)
    assert ELEVENLABS.write(Aside("", "filler"), Delivery()) == ()


def test_a_function_that_is_not_offered_is_not_called() -> None:
    """The platform runs what it offers; the reason says where a function is added."""
    assert ELEVENLABS.write(ToolCall("look"), Delivery()) == ()
    assert "tools of the agent" in (ELEVENLABS.refuses_call("look", Delivery()) or "")
    assert ELEVENLABS.refuses_call("look", offering("look")) is None
    assert called(ELEVENLABS, ToolCall("look", '{"a":1}'), offering("look")) == ("look", {"a": 1})


# --- the whole road -----------------------------------------------------------------------------------------------


def test_a_filler_and_a_transfer_on_the_wire() -> None:
    """While the agent thinks the caller hears buffer words, and the words of the transfer are said once."""
    clock = JumpClock()

    async def agent(turn: Turn) -> AsyncIterator[Any]:
        await clock.sleep(5)
        yield "Here we go."
        yield turn.transfer("+4930123", "I connect you.")

    fields: dict[str, Any] = {
        "elevenlabs_extra_body": {"call_id": "c"},
        "tools": [tool("transfer_to_number", "client_message")],
    }
    settings: dict[str, Any] = {"filler": "on", "turn_silence": 0, "turn_deadline": 0}
    with live_server(agent, clock=clock, **settings) as server, Wire(server.base_url) as wire:
        wire.ask(chat_body("hello", **fields), AUTH)
        clock.wait_for_timers(1)
        clock.wait_for_sleepers(1)
        clock.advance(1.5)
        wire.read_until(b"... ")
        clock.advance(5)
        said = check_stream(check_http(wire.read_response()).body, usage_asked=False)
    filler, _, answer = said.text.rpartition("... ")
    assert filler and answer == "Here we go."
    (call,) = said.calls
    assert '"client_message":"I connect you."' in call.arguments
