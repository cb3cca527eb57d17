"""Vapi, ``custom-llm``: the call in the body, tools of the platform's own, and a tag that hurries the voice.

Source: the vendor's pages on custom LLMs, on tool calling and on the flush syntax; ``metadataSendMode`` of its SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.node.platforms.base import Asking, Function, Order, Platform, Tag, data_of, present, tool
from offhook.node.request import Outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOOLS = (
    tool("endCall", "Ends the call."),
    tool("transferCall", "Transfers the call.", ("destination",), destination="string"),
)


def _request(asking: Asking) -> Outgoing:
    facts = asking.facts
    body = {
        "model": asking.model_id,
        "messages": asking.messages,
        "temperature": 0.5,
        "max_tokens": 250,
        "stream": True,
        "tools": _TOOLS,
        "call": present({"id": facts.instance_id, "type": "inboundPhoneCall"}),
        "customer": None if facts.caller_number is None else {"number": facts.caller_number},
        "phoneNumber": None if facts.callee_number is None else {"number": facts.callee_number},
        "metadata": data_of(facts),
    }
    return Outgoing(present(body))


def _functions(hangup_function: str | None) -> Mapping[str, Function]:
    return {hangup_function or "endCall": Function("hangup"), "transferCall": Function("transfer", to="destination")}


VAPI = Platform(
    name="vapi",
    request=_request,
    functions=_functions,
    tags=(Tag("flush", lambda said: Order("flush")),),
)
