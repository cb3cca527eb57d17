"""What a model says before its tools is said before they run, and what it says behind them begins anew."""

from __future__ import annotations

import pytest

from offhook.testing.faults import says
from tests.agents.tooled import asks, by_round, call, status, tooled
from tests.raw import chat_body, stream

ORDER = "Where is my order 4711?"


@pytest.mark.parametrize(
    ("before", "heard"),
    [
        ("Here you are:\n```\nx = 1\n", "Here you are:\n(code example)\nIt is sunny."),
        ("Let me look that up", "Let me look that up It is sunny."),
        ("See [the page", "See the page It is sunny."),
        ("I look", "I look It is sunny."),
        ("我看一下", "我看一下It is sunny."),
    ],
)
@pytest.mark.parametrize("speech", ["default", "default,sentences"])
def test_an_answer_behind_a_tool_is_a_text_of_its_own(before: str, heard: str, speech: str) -> None:
    """What the model left open before, a code block or a link, takes nothing of what it says then."""
    plan = by_round(asks(call("status", order="4711"), text=before), says("It is ", "sunny."))
    with tooled(plan, status, speech=speech) as (server, _):
        assert stream(server.base_url, chat_body(ORDER)).text == heard


@pytest.mark.parametrize("speech", ["default", "default,sentences"])
def test_no_half_of_a_tag_is_armed_by_a_tool(speech: str) -> None:
    """A model that writes half a control tag before its tool and the other half behind it gives no order."""
    plan = by_round(asks(call("status", order="4711"), text="So <imsa"), says("gent_hangup/>it is."))
    with tooled(plan, status, speech=speech) as (server, _):
        body = {**chat_body(ORDER), "extendData": {"instanceId": "c1"}}
        assert "<imsagent" not in stream(server.base_url, body).text
