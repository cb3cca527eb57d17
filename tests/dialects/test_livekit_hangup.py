"""LiveKit asks once more with the result of a hang-up: nothing is said to that, so that no goodbye is said twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offhook.testing import live_server
from tests.oracle import check_stream
from tests.raw import AUTH, chat_body, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook import Turn
    from tests.oracle import Transcript

ROOM = {**AUTH, "X-LiveKit-Room-ID": "RM_1", "User-Agent": "LiveKit Agents/1.8.9"}
TOOLS = [{"type": "function", "function": {"name": "end_call", "parameters": {"type": "object", "properties": {}}}}]


async def reply(turn: Turn) -> AsyncIterator[Any]:
    """Say goodbye and hang up, whatever is said."""
    yield turn.hangup("Goodbye")


def asked(server: Any, messages: list[dict[str, Any]]) -> Transcript:
    """Give what comes back to these messages."""
    body = {**chat_body(), "messages": messages, "tools": TOOLS}
    answer = request(server.base_url, body, ROOM)
    return check_stream(answer.body, usage_asked=False)


def test_nothing_is_said_to_the_result_of_our_own_hang_up() -> None:
    """The agent is not asked, and the reply is empty and ends well; a caller who speaks after it is answered again."""
    with live_server(reply) as server:
        first = asked(server, [{"role": "user", "content": "bye"}])
        assert (first.text, [call.name for call in first.calls]) == ("Goodbye", ["end_call"])
        server.wait_for_turns(1)
        (call,) = first.calls
        said: list[dict[str, Any]] = [
            {"role": "user", "content": "bye"},
            {
                "role": "assistant",
                "content": "Goodbye",
                "tool_calls": [
                    {"id": call.id, "type": "function", "function": {"name": "end_call", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "say goodbye to the user"},
        ]
        second = asked(server, said)
        assert (second.text, second.calls, second.finish_reason) == ("", [], "stop")
        third = asked(server, [*said, {"role": "user", "content": "wait"}])
        assert third.text == "Goodbye"
