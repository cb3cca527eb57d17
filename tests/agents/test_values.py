"""Events with a wrong field, as user agents give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openai import APIError, InternalServerError, OpenAI

from offhook.agents.values import to_event
from offhook.errors import AgentValueError, SetupError
from offhook.events import Command, Finish, Text, ToolCall, Usage
from offhook.testing import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from offhook.events import Turn

# mypy would tell an agent's author of most of these; the one who does not use it is told by the error.
WRONG: dict[str, tuple[Any, str]] = {
    "text that is no str": (Text(5), r"Text\(int\)"),  # type: ignore[arg-type]  # the mistake that is tested
    "arguments as a dict": (ToolCall("x", {"a": 1}), r"json.dumps"),  # type: ignore[arg-type]  # the mistake that is tested
    "arguments that are no JSON": (ToolCall("x", "{nope"), r"json.dumps"),
    "a call without a name": (ToolCall(""), "without a name"),
    "an id that is no str": (ToolCall("x", "{}", 7), "id is int"),  # type: ignore[arg-type]  # the mistake that is tested
    "counts that are no int": (Usage("1", 2.5), "whole numbers"),  # type: ignore[arg-type]  # the mistake that is tested
    "a negative count": (Usage(1, -1), "whole numbers"),
    "an unknown command": (Command("dance"), r"turn.hangup\(\)"),  # type: ignore[arg-type]  # the mistake that is tested
    "a transfer to nowhere": (Command("transfer"), "without a number"),
    "a transfer to no text": (Command("transfer", 7), "without a number"),  # type: ignore[arg-type]  # the mistake that is tested
    "an unknown reason": (Finish("weird"), "there are: stop"),  # type: ignore[arg-type]  # the mistake that is tested
    "a reason that is the engine's": (Finish("cancelled"), "there are: stop"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Serve an agent that says a word where it is asked to, and then gives the wrong event."""

    async def agent(turn: Turn) -> AsyncIterator[Any]:
        when, _, which = turn.text.partition(": ")
        if when == "later":
            yield "Well, "
        yield WRONG[which][0]

    with live_server(agent) as running:
        yield running


def ask(server: LiveServer, text: str, *, stream: bool) -> None:
    """Ask for a reply and read it to its end."""
    with OpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0, timeout=10) as client:
        reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}], stream=stream)
        if stream:
            list(reply)


@pytest.mark.parametrize("which", WRONG)
def test_a_wrong_field_is_told(which: str) -> None:
    """The error says which field, and shows the code to write."""
    event, words = WRONG[which]
    with pytest.raises(AgentValueError, match=words) as error:
        to_event(event)
    assert "async def reply(turn)" in str(error.value)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("which", WRONG)
def test_a_wrong_event_never_reaches_the_wire(server: LiveServer, which: str, stream: bool) -> None:
    """Before the first word it is a 500, streamed or not, and the turn has failed."""
    before = len(server.turns)
    with pytest.raises(InternalServerError):
        ask(server, f"at once: {which}", stream=stream)
    assert server.wait_for_turns(before + 1)[-1].reason == "failed"


@pytest.mark.parametrize("which", WRONG)
def test_after_a_word_it_is_an_error_event(server: LiveServer, which: str) -> None:
    """What was said stays said, and the stream ends with the error."""
    with pytest.raises(APIError, match="The agent gave"):
        ask(server, f"later: {which}", stream=True)


def test_a_function_that_does_not_take_the_turn_is_refused_at_once() -> None:
    """The mistake is told when the server starts, not on the first call."""

    async def nothing() -> str:
        return "x"

    with pytest.raises(SetupError, match=r"def nothing\(turn\)"), live_server(nothing):
        pass
