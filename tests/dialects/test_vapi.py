"""Vapi: the call in the body, tool calls that the platform runs, and a tag that is disarmed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.dialects.base import Delivery
from offhook.dialects.choose import choose
from offhook.dialects.vapi import VAPI
from offhook.events import CallContext, Command
from offhook.speech.tags import disarm
from offhook.testing import live_server
from tests.dialects.arrivals import (
    IDS,
    JSON,
    arrival,
    called,
    check_far_down,
    check_survives,
    deep,
    objects,
    offering,
    tool,
)
from tests.oracle import check_stream
from tests.raw import AUTH, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook.events import Turn

CALL = {"id": "019-call", "type": "inboundPhoneCall"}
FIELDS: dict[str, Any] = {
    "call": CALL,
    "customer": {"number": "+4930111"},
    "phoneNumber": {"number": "+4930222"},
    "metadata": {"tenant": "a"},
}


def context(fields: dict[str, Any], **more: Any) -> CallContext:
    return VAPI.read(arrival(fields, **more)).call


# --- in -----------------------------------------------------------------------------------------------------------


def test_the_call_is_read_from_the_body() -> None:
    """Call, customer, own number and metadata give the context; there is no turn id."""
    assert context(FIELDS) == CallContext(
        id="019-call",
        caller="+4930111",
        callee="+4930222",
        user_data={"tenant": "a"},
        user_data_raw='{"tenant":"a"}',
        platform="vapi",
    )
    assert VAPI.read(arrival(FIELDS)).turn_id is None


def test_numbers_inside_the_call_are_read_too() -> None:
    """Where they do not stand beside the call object they may stand in it; beside it wins."""
    inside = {"call": {**CALL, "customer": {"number": "1"}, "phoneNumber": {"number": "2"}}}
    assert (context(inside).caller, context(inside).callee) == ("1", "2")
    both = context({**inside, "customer": {"number": "3"}})
    assert (both.caller, both.callee) == ("3", "2")


def test_metadata_that_is_spread_is_user_data() -> None:
    """With ``metadataSendMode: destructured`` it is what the top level holds beyond a request and the call."""
    spread = {"call": CALL, "customer": {}, "temperature": 0.5, "max_tokens": 250, "tenant": "a", "vip": True}
    assert context(spread).user_data == {"tenant": "a", "vip": True}
    assert context({"call": CALL, "tools": [], "temperature": 0.5}).user_data is None
    assert context({**FIELDS, "credentialId": "x"}).user_data == {"tenant": "a"}


def test_without_metadata_the_headers_say_it() -> None:
    """With ``metadataSendMode: off`` the call is what the assistant's own headers say."""
    headers = {"x-call-id": "h", "x-caller": "1", "x-user-data": '{"a": 1}'}
    call = context({}, headers=headers)
    assert (call.id, call.caller, call.user_data) == ("h", "1", {"a": 1})
    assert context({"call": CALL}, headers=headers).id == "019-call"


@pytest.mark.parametrize(("value", "id_"), IDS)
def test_ids_of_any_type(value: object, id_: str | None) -> None:
    """An id or number is a text, whatever it came as."""
    call = context({"call": {"id": value}, "customer": {"number": value}, "phoneNumber": {"number": value}})
    assert (call.id, call.caller, call.callee) == (id_, id_, id_)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (FIELDS, "vapi"),
        ({"call": CALL}, "vapi"),
        ({"call": {"id": 7}}, "vapi"),
        ({"call": {}}, "plain"),
        ({"call": {"id": None}}, "plain"),
        ({"call": "019-call"}, "plain"),
        ({"call": None, "customer": {"number": "1"}}, "plain"),
        ({"metadata": {"tenant": "a"}}, "plain"),
    ],
)
def test_it_is_told_by_its_call(fields: dict[str, Any], name: str) -> None:
    """A call object with an id is this platform's, and nothing less."""
    assert choose(arrival(fields), None).name == name


@given(
    call=objects("id", "customer", "phoneNumber"), customer=objects("number"), phone=objects("number"), metadata=JSON
)
def test_whatever_comes_is_read(call: object, customer: object, phone: object, metadata: object) -> None:
    """No value in any field that is looked at stops a request."""
    check_survives(VAPI, {"call": call, "customer": customer, "phoneNumber": phone, "metadata": metadata})


@given(spread=st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_whatever_is_spread_is_read(spread: dict[str, Any]) -> None:
    """Metadata may bear any name, those of a request included."""
    check_survives(VAPI, {**spread, "messages": [{"role": "user", "content": "x"}], "model": "m"})


@pytest.mark.parametrize("path", [("call", "id"), ("customer", "number"), ("metadata", "a"), ("tenant", "a")])
def test_depth_is_survived(path: tuple[str, ...]) -> None:
    """What is nested too deeply to be written again is read all the same."""
    check_far_down(VAPI, deep(*path))


# --- out ----------------------------------------------------------------------------------------------------------


def test_the_hang_up_is_the_end_call_tool() -> None:
    """It is a call without arguments, under the name that the assistant has for it."""
    assert called(VAPI, Command("hangup"), offering("endCall", "look")) == ("endCall", {})
    assert called(VAPI, Command("hangup"), offering("bye", hangup_function="bye")) == ("bye", {})
    assert called(VAPI, Command("hangup"), offering("endCall", hangup_function="bye")) == ("endCall", {})


def test_the_transfer_is_the_transfer_call_tool() -> None:
    """Its one argument is the destination."""
    transfer = Command("transfer", to='+49"30')
    assert called(VAPI, transfer, offering("transferCall")) == ("transferCall", {"destination": '+49"30'})
    named = offering("desk", transfer_function="desk")
    assert called(VAPI, transfer, named) == ("desk", {"destination": '+49"30'})


def test_a_tool_that_is_not_offered_is_not_called() -> None:
    """A request with other tools is told what to add to the assistant; one without any is believed to run them."""
    for name, tool_name in (("hangup", "endCall"), ("transfer", "transferCall")):
        why = VAPI.refuses(name, offering("look"))  # type: ignore[arg-type]  # two of the names of commands
        assert why is not None and f"'{tool_name}'" in why and f"{name}_function" in why and "in Vapi" in why
        assert VAPI.refuses(name, offering(tool_name)) is None  # type: ignore[arg-type]  # as above
        assert VAPI.refuses(name, Delivery()) is None  # type: ignore[arg-type]  # as above
    assert VAPI.refuses("hangup", offering("bye", hangup_function="bye")) is None


def test_what_vapi_cannot_do_is_refused() -> None:
    """Each reason names Vapi's own way."""
    assert "stopSpeakingPlan" in (VAPI.refuses("protect", Delivery()) or "")
    assert "function tool" in (VAPI.refuses("say_to_app", Delivery()) or "")


@pytest.mark.parametrize("tag", ["<flush />", "<flush>", "</flush>", "<FLUSH/>", "< flush  / >"])
def test_the_flush_tag_is_disarmed(tag: str) -> None:
    """Every form of it that the platform takes is gone from what is spoken."""
    assert disarm(f"One {tag} two", VAPI.tags) == "One  two"


# --- the whole road -----------------------------------------------------------------------------------------------


async def agent(turn: Turn) -> AsyncIterator[Any]:
    yield f"You said {turn.text}. <fl"
    yield "ush /> Your number is "
    yield f"{turn.call.caller}."
    yield turn.hangup(" Goodbye.")


def test_a_whole_turn_at_a_doubled_path(caplog: pytest.LogCaptureFixture) -> None:
    """A tag of caller or agent is not spoken, the call ends by the tool, and the doubled path is no slip here."""
    body = {
        **FIELDS,
        "model": "gpt",
        "stream": True,
        "messages": [{"role": "user", "content": "a<flush />b"}],
        "tools": [tool("endCall")],
    }
    with live_server(agent) as server, caplog.at_level(logging.WARNING):
        reply = request(server.base_url, body, AUTH, path="/v1/chat/completions/chat/completions")
    said = check_stream(reply.body, model="gpt", usage_asked=False)
    assert said.text == "You said ab.  Your number is +4930111. Goodbye."
    assert [(call.name, call.arguments) for call in said.calls] == [("endCall", "{}")]
    assert caplog.messages == []
