"""Agora (Shengwang) Conversational AI Engine, ``llm.style`` "openai".

Source: the vendor's pages "Custom LLM" (``context.presence``, the first chunk ``chat.completion.custom_metadata``) and
"Short-term memory" (``turn_id``, ``timestamp``, ``interruptable`` and the messages' ``metadata``, all of which come
with ``llm.vendor`` "custom" alone), docs.agora.io/en/conversational-ai/develop. No id of the call is sent: it is to be
put into ``llm.headers`` or the URL's query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.dialects.base import (
    Arrival,
    Delivery,
    Dialect,
    Extra,
    Piece,
    Reading,
    read_id,
    read_object,
    read_user_data,
)
from offhook.dialects.headers import read_with_headers
from offhook.dialects.offers import is_offered, write_offered
from offhook.events import Command, CommandName, Event, Kind, Message

# What made the platform ask, by the ``source`` of the last message, where its role does not tell.
_KINDS: dict[str, Kind] = {"silence": "silence", "command": "injected"}

_WAYS: dict[CommandName, str] = {
    "hangup": "Agora has it in its REST API alone, unless a tool of the engine does it; ask /calls/{agentId}/hangup "
    "for a telephone call, or let the agent leave",
    "transfer": "Agora has it in the set-up of its telephone calls (SIP) alone, unless a tool of the engine does it; "
    "see Studio",
    "say_to_app": "Agora has no place for it in a reply; publish it to the user by Signaling (RTM)",
}


_TOO_LATE = "Agora takes it as the first chunk of a reply alone; give turn.protect() before the first word"
_NO_CHUNK = "Agora takes it as the first chunk of a stream alone, and this request asked for none; set stream to true"


def marks(arrival: Arrival) -> bool:
    """Tell whether the request is this platform's: the fields of ``vendor`` "custom", or the users' presence."""
    body = arrival.request.body
    if "turn_id" in body and ("interruptable" in body or "timestamp" in body):
        return True
    context = body.get("context")
    return isinstance(context, Mapping) and "presence" in context


def read(arrival: Arrival) -> Reading:
    """Read the turn, the users' presence and what the messages' metadata say."""
    body = arrival.request.body
    reading = read_with_headers(arrival, "agora")
    call = reading.call
    presence = read_object(body.get("context")).get("presence")
    if presence is not None and call.user_data_raw is None:
        user_data, raw = read_user_data(presence)
        call = msgspec.structs.replace(call, user_data=user_data, user_data_raw=raw)
    return Reading(
        call=call,
        turn_id=read_id(body.get("turn_id")) or reading.turn_id,
        history=tuple(_as_heard(message) for message in reading.history),
        kind=_kind(reading.history[-1]),
    )


def write(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write an event as plain OpenAI has it, and the protection of a reply as the chunk that has to be its first."""
    if isinstance(event, Command) and event.name == "protect":
        if refuses("protect", delivery) is not None:
            return ()
        chunk = {"object": "chat.completion.custom_metadata", "choices": [], "metadata": {"interruptable": False}}
        return (Extra(chunk=chunk),)
    return write_offered(event, delivery)


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not to be had in a reply; a function that the request itself offers is."""
    if name == "protect":
        return _NO_CHUNK if delivery.whole else _TOO_LATE if delivery.begun else None
    return None if is_offered(name, delivery) else _WAYS.get(name)


def _as_heard(message: Message) -> Message:
    """Give a message with the interruption that its metadata tell: its text then ends where the voice did."""
    if message.role != "assistant" or _metadata(message).get("interrupted") not in (True, "true"):
        return message
    return msgspec.structs.replace(message, interrupted=True, heard=len(message.text))


def _kind(last: Message) -> Kind | None:
    source = _metadata(last).get("source")
    return _KINDS.get(source) if isinstance(source, str) else None


def _metadata(message: Message) -> Mapping[str, Any]:
    metadata = message.fields.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


AGORA = Dialect(
    name="agora",
    marks=marks,
    read=read,
    write=write,
    refuses=refuses,
    memory="call",
    telephone=True,
    fillers=True,
    ordered=True,
)
