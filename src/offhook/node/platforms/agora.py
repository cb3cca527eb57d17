"""Agora and Shengwang, with ``llm.vendor: "custom"``: turn ids, metadata on every message, a first chunk of its own.

Source: the vendor's pages "custom LLM" and "short-term memory". The vendor sends neither call id nor caller; what its
customer sets in ``llm.headers`` has to carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offhook.node.platforms.base import (
    Asking,
    Order,
    Platform,
    Said,
    keep_heard,
    last_of,
    own_headers,
    own_tools,
)
from offhook.node.request import Outgoing

# ``max_history``: questions and answers count separately.
_WINDOW = 32


def _request(asking: Asking) -> Outgoing:
    body = {
        "model": asking.model_id,
        "messages": last_of(asking.messages, _WINDOW),
        "stream": True,
        "stream_options": {"include_usage": True},
        # Counted from 0.
        "turn_id": asking.turn - 1,
        "timestamp": int(asking.at * 1000),
        "interruptable": True,
    }
    return Outgoing(body, headers=own_headers(asking.facts))


def _message(said: Said) -> dict[str, Any]:
    """Give a message with its metadata; of what was cut off only what was spoken, and the whole beside it."""
    message = keep_heard(said)
    if said.role == "system":
        return message
    source = "greeting" if said.greeting else "llm" if said.role == "assistant" else "asr"
    metadata: dict[str, Any] = {"source": source}
    if said.interrupted:
        metadata |= {"interrupted": True, "interrupt_timestamp": int(said.at * 1000), "original": said.text}
    return {**message, "turn_id": max(said.turn - 1, 0), "timestamp": int(said.at * 1000), "metadata": metadata}


def _side(chunk: Mapping[str, Any], first: bool) -> Order | None:
    # It counts only as the very first one.
    if not first or chunk.get("object") != "chat.completion.custom_metadata":
        return None
    metadata = chunk.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("interruptable") is False:
        return Order("protect")
    return None


AGORA = Platform(
    name="agora",
    request=_request,
    message=_message,
    functions=own_tools,
    side=_side,
    side_mark=b"custom_metadata",
    whole_url=True,
    takes_hangup=False,
)
