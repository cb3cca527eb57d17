"""Alibaba Cloud IMS: ``extendData``, 20 records, and commands as tags in the text.

Source: the vendor's pages "LLM standard interface", "how to achieve automatic hang-up" and "how to avoid
interruptions"; ``HistorySyncWithTTS`` and ``FunctionMap`` of the vendor's SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offhook.node.platforms.base import Asking, Function, Order, Platform, Said, Tag, keep
from offhook.node.request import Outgoing, request_body

if TYPE_CHECKING:
    from collections.abc import Mapping

# Put where the caller cut in, when the history is synchronised with the voice.
INTERRUPTED = "<ims_agent_interrupted>"


def _request(asking: Asking) -> Outgoing:
    return Outgoing(request_body(asking.model_id, asking.messages, asking.facts))


def _message(said: Said) -> dict[str, Any]:
    message = keep(said)
    if said.sync and said.interrupted and said.heard:
        message["content"] += INTERRUPTED
    return message


def _functions(hangup_function: str | None) -> Mapping[str, Function]:
    # Transferring is known as a tag only.
    return {hangup_function or "hangup": Function("hangup")}


ALIBABA_IMS = Platform(
    name="alibaba_ims",
    request=_request,
    message=_message,
    functions=_functions,
    tags=(
        Tag("imsagent_hangup", lambda said: Order("hangup", says=said.get("endword", ""))),
        Tag(
            "imsagent_transfer_call",
            lambda said: Order("transfer", to=said.get("callee", ""), says=said.get("msg", "")),
        ),
        Tag("no interrupting", lambda said: Order("protect")),
    ),
)
