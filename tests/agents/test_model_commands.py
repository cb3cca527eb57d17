"""A model's orders to the platform: they go out as the platform writes them, and end the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.agents.commands import command_of
from offhook.errors import SetupError
from offhook.events import Command, ToolCall, Turn
from offhook.testing import live_server
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import Called, says, with_fault
from offhook.turns.live import CancelSignal
from tests.agents.tooled import asks, by_round, call, offer, status, tooled
from tests.callers import turn
from tests.oracle import check_http, check_stream
from tests.raw import AUTH, Wire, raw_request, request

if TYPE_CHECKING:
    from offhook.testing import LiveServer
    from tests.oracle import Transcript


def heard(server: LiveServer, body: dict[str, Any]) -> Transcript:
    """Give what comes back to a request, in a stream that ends well."""
    return check_stream(check_http(raw_request(server.base_url, body, AUTH)).body, usage_asked=False)


def test_a_hang_up_of_the_model_is_the_platforms_own_and_ends_the_call() -> None:
    """It has the name that the workflow maps, and the record says that the call ended by command."""
    mapped = {"alibaba_ims": {"hangup_function": "end_call"}}
    plan = says("Goodbye.", calls=[Called("hangup")])
    with fault_upstream(plan) as service, live_server(upstream=service.base_url, dialect=mapped) as server:
        said = heard(server, turn("c1", 1, "bye"))
        server.wait_for_turns(1)
        assert (said.text, [one.name for one in said.calls]) == ("Goodbye.", ["end_call"])
        stored = server.stored("c1")
        assert stored is not None and stored.call.ended_by == "command"


def test_a_transfer_of_the_model_is_written_as_the_platform_has_it() -> None:
    """On Alibaba IMS that is a tag in the text, with the number of the model's arguments."""
    plan = says("Connecting you.", calls=[Called("transfer", '{"number": "+86 10 123"}')])
    with fault_upstream(plan) as service, live_server(upstream=service.base_url) as server:
        said = heard(server, turn("c1", 1, "somebody, please"))
    assert said.text == 'Connecting you.<imsagent_transfer_call callee="+8610123"/>'
    assert said.calls == []


def test_a_tool_that_the_platform_offers_under_that_name_is_its_own() -> None:
    """The call goes back as it came, arguments and all."""
    plan = asks(call("hangup", reason="done"))
    body = {**turn("c1", 1, "bye"), "tools": offer("hangup")}
    with fault_upstream(plan) as service, live_server(upstream=service.base_url) as server:
        [one] = heard(server, body).calls
    assert (one.name, one.arguments) == ("hangup", '{"reason": "done"}')


def test_the_model_is_offered_the_orders_that_the_tools_name() -> None:
    """``tools = ["hangup", "transfer", ...]`` puts them beside the functions."""
    with tooled(by_round(says("Hello.")), status, tools=["hangup", "transfer"]) as (server, service):
        request(server.base_url, turn("c1", 1, "hello"))
        names = [one["function"]["name"] for one in service.requests[0].body["tools"]]
    assert names == ["status", "hangup", "transfer"]


@pytest.mark.parametrize(
    ("arguments", "number"),
    [('{"number": "123"}', "123"), ('{"to": " 123 "}', "123"), ('{"destination": 123}', "123")],
)
def test_the_number_of_a_transfer_has_several_names(arguments: str, number: str) -> None:
    """Models that nobody told name it as they like."""
    asked = Turn(text="", cancelled=CancelSignal())
    assert command_of(ToolCall("transfer", arguments), asked) == Command("transfer", to=number)


@pytest.mark.parametrize("arguments", ["{}", "", "[]", '{"number": ""}', '{"number": ["1"]}', "{"])
def test_a_transfer_to_nowhere_is_no_command(arguments: str) -> None:
    """The call goes on as it came."""
    assert command_of(ToolCall("transfer", arguments), Turn(text="", cancelled=CancelSignal())) is None


def test_a_second_round_that_hangs_ends_in_time() -> None:
    """After words and a tool, a service that says nothing more does not leave the caller in silence."""
    hanging = with_fault(says("It is."), "stall", "after_headers")
    plan = by_round(asks(call("status", order="1"), text="Let me check."), hanging)
    closing = {"en": ["I have to stop here."]}
    with tooled(plan, status, turn_silence=0.4, closing_phrases=closing, language="en") as (server, _):
        said = heard(server, turn("c1", 1, "where is it?"))
        [details] = server.wait_for_turns(1)
    assert said.text == "Let me check. I have to stop here."
    assert (details.reason, getattr(details.error, "code", None)) == ("failed", "turn_timeout")
    assert [one.outcome for one in details.attempts] == ["answered", "cancelled"]


def test_what_a_caller_cuts_in_on_has_its_cost() -> None:
    """The attempt that ran is recorded as cancelled, with an estimate of its tokens and its price."""
    plan = with_fault(says("Once upon a time, ", "there was a king."), "stall", "mid", after=1)
    with fault_upstream(plan) as service:
        priced = {"name": "a", "base_url": service.base_url, "price": {"prompt": 1e6, "completion": 1e6}}
        with live_server(upstream_table=[priced]) as server:
            with Wire(server.base_url) as wire:
                wire.ask(turn("c1", 1, "tell me a story"))
                wire.read_until(b"Once upon")
            [details] = server.wait_for_turns(1)
            [record] = server.records("c1")
    assert details.reason == "cancelled"
    [attempt] = details.attempts
    assert (attempt.outcome, attempt.estimated) == ("cancelled", True)
    assert attempt.completion_tokens > 0 and attempt.prompt_tokens > 0
    assert details.cost == attempt.cost == record.cost == attempt.prompt_tokens + attempt.completion_tokens
    assert (record.prompt_tokens, record.completion_tokens) == (attempt.prompt_tokens, attempt.completion_tokens)


def test_an_unknown_tool_name_is_still_refused() -> None:
    """Only the two orders have names without a module."""
    with pytest.raises(SetupError, match="dance"), live_server(upstream="http://127.0.0.1:1/v1", tools=["dance"]):
        pass
