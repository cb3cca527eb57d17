"""ElevenLabs Agents, custom LLM: an extra body from the client, and system tools that the request offers.

Source: the vendor's pages on custom LLMs and on system tools. Call and caller come only in headers that its customer
fills from the dynamic variables ``system__conversation_id``, ``system__caller_id`` and ``system__called_number``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.node.platforms.base import Asking, Function, Platform, data_of, own_headers, present, tool
from offhook.node.request import Outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOOLS = (
    tool("end_call", "End the call.", ("reason",), reason="string", message="string"),
    tool(
        "transfer_to_number",
        "Transfer to a human.",
        ("transfer_number", "client_message", "agent_message"),
        transfer_number="string",
        client_message="string",
        agent_message="string",
        reason="string",
    ),
    tool("transfer_to_agent", "Transfer to another agent.", ("agent_number",), agent_number="integer", reason="string"),
    tool("language_detection", "Switch the language.", ("reason", "language"), reason="string", language="string"),
    tool("skip_turn", "Stay silent.", reason="string"),
)


def _request(asking: Asking) -> Outgoing:
    body = {
        "messages": asking.messages,
        "model": asking.model_id,
        "temperature": 0,
        "max_tokens": 1024,
        "stream": True,
        "tools": _TOOLS,
        "user_id": "user",
        "elevenlabs_extra_body": data_of(asking.facts),
    }
    return Outgoing(present(body), headers=own_headers(asking.facts, "instance_id", "caller_number", "callee_number"))


def _functions(hangup_function: str | None) -> Mapping[str, Function]:
    return {
        hangup_function or "end_call": Function("hangup", says="message"),
        "transfer_to_number": Function("transfer", to="transfer_number", says="client_message"),
        "transfer_to_agent": Function("transfer", to="agent_number"),
    }


ELEVENLABS = Platform(name="elevenlabs", request=_request, functions=_functions)
