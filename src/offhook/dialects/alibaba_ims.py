"""Alibaba Cloud IMS real-time workflow, "self-developed LLM (OpenAI specification)".

Source: the vendor's page "LLM standard interface" (``extendData``, ``hangup``; its sample server reads ``task_id`` and
``room_id`` from the query), ``LlmConfig`` of the vendor's SDK (``OpenAIExtraQuery``, ``HistorySyncWithTTS``,
``FunctionMap``). Every field is optional in practice, and types vary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.dialects.base import (
    Arrival,
    Dialect,
    Reading,
    parse_user_data,
    read_history,
    read_id,
    read_query,
    read_text,
    write_openai,
)
from offhook.events import CallContext, Message

# Put into an assistant message where the caller cut in, when HistorySyncWithTTS is on.
INTERRUPTED = "<ims_agent_interrupted>"


def marks(arrival: Arrival) -> bool:
    """Tell whether the request is this platform's: ``extendData``, or the sample server's query parameters."""
    return "extendData" in arrival.request.body or "task_id" in arrival.query or "room_id" in arrival.query


def read(arrival: Arrival) -> Reading:
    """Read the call context from ``extendData``, and from the query what is missing there."""
    extend = _object(arrival.request.body.get("extendData"))
    raw = extend.get("userData")
    user_data_raw = None if raw is None else read_text(raw)
    return Reading(
        call=CallContext(
            id=read_id(extend.get("instanceId")) or read_id(arrival.query.get("task_id")),
            room=read_id(extend.get("channelId")) or read_id(arrival.query.get("room_id")),
            caller=read_id(extend.get("callerNumber")),
            callee=read_id(extend.get("calleeNumber")),
            user_data=parse_user_data(user_data_raw),
            user_data_raw=user_data_raw,
            platform="alibaba_ims",
            query=read_query(arrival.query),
        ),
        turn_id=read_id(extend.get("sentenceId")),
        history=tuple(_without_mark(message) for message in read_history(arrival.request)),
    )


def _object(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _without_mark(message: Message) -> Message:
    if message.role != "assistant" or INTERRUPTED not in message.text:
        return message
    heard = message.text.index(INTERRUPTED)
    text = message.text.replace(INTERRUPTED, "")
    fields = {**message.fields, "content": text}
    return msgspec.structs.replace(message, text=text, fields=fields, interrupted=True, heard=heard)


ALIBABA_IMS = Dialect(name="alibaba_ims", marks=marks, read=read, write=write_openai, memory="call")
