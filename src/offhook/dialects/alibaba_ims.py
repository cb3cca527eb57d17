"""Alibaba Cloud IMS real-time workflow, "self-developed LLM (OpenAI specification)".

Source: the vendor's page "LLM standard interface" (``extendData``, ``hangup``; its sample server reads ``task_id`` and
``room_id`` from the query), ``LlmConfig`` of the vendor's SDK (``OpenAIExtraQuery``, ``HistorySyncWithTTS``,
``FunctionMap``). Every field is optional in practice, and types vary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.dialects.base import (
    Arrival,
    Dialect,
    Options,
    Piece,
    Reading,
    parse_user_data,
    read_history,
    read_id,
    read_query,
    read_text,
    write_openai,
)
from offhook.events import CallContext, Command, Event, Message
from offhook.speech.tags import TagShaper, disarm
from offhook.wire.chat import text_of

# Put into an assistant message where the caller cut in, when HistorySyncWithTTS is on.
INTERRUPTED = "<ims_agent_interrupted>"

# What the platform takes for a command wherever it stands in a reply: hanging up, transferring, not being interrupted.
TAGS = ("<imsagent_", "<no interrupting")

# What no telephone number and no SIP address is made of.
_NO_NUMBER = re.compile(r"[^0-9A-Za-z+*#@.:-]+")


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
        history=tuple(_as_said(message) for message in read_history(arrival.request)),
    )


def write(event: Event, options: Options) -> tuple[Piece, ...]:
    """Write an event as plain OpenAI has it, and a transfer, for which the platform knows no function, as its tag.

    The number is reduced to what a number or SIP address is made of, so that it cannot end the tag; without any of it
    nothing is written.
    """
    if isinstance(event, Command) and event.name == "transfer":
        number = _NO_NUMBER.sub("", event.to)
        return (f'<imsagent_transfer_call callee="{number}"/>',) if number else ()
    return write_openai(event, options)


def _object(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _as_said(message: Message) -> Message:
    """Give a message without the marks that nobody said."""
    if "<" not in message.text:
        return message
    if message.role == "assistant":
        return _without_mark(message)
    # Only what callers say is disarmed: the other roles are written by the line's owner, and so is ``userData``, which
    # has to reach the agent byte for byte. What of all that an agent says is disarmed on its way out.
    return _disarmed(message) if message.role == "user" else message


def _without_mark(message: Message) -> Message:
    if INTERRUPTED not in message.text:
        return message
    heard = message.text.index(INTERRUPTED)
    text = message.text.replace(INTERRUPTED, "")
    fields = {**message.fields, "content": text}
    return msgspec.structs.replace(message, text=text, fields=fields, interrupted=True, heard=heard)


def _disarmed(message: Message) -> Message:
    content = message.fields.get("content")
    if isinstance(content, list):
        content = _disarmed_parts(content)
        text = text_of(content)
    else:
        content = text = disarm(message.text, TAGS)
    if text == message.text:
        return message
    return msgspec.structs.replace(message, text=text, fields={**message.fields, "content": content})


def _disarmed_parts(parts: list[Any]) -> list[Any]:
    """Give the parts of a content as if their texts were one: a tag may be spread over several."""
    shaper = TagShaper(TAGS)
    kept = [_with_text(part, shaper.feed(text)) if (text := text_of([part])) else part for part in parts]
    rest = shaper.flush()
    return [*kept, {"type": "text", "text": rest}] if rest else kept


def _with_text(part: Any, text: str) -> Any:
    return text if isinstance(part, str) else {**part, "text": text}


ALIBABA_IMS = Dialect(
    name="alibaba_ims",
    marks=marks,
    read=read,
    write=write,
    memory="call",
    telephone=True,
    fillers=True,
    language="zh",
    tags=TAGS,
)
