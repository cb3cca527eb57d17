"""Volcengine RTC (BytePlus RTC), ``LLMConfig`` with ``Mode`` "CustomLLM".

Source: the vendor's page volcengine.com/docs/6348/1399966 (the body with ``maxTokens``, ``Custom``, ``EnableRoundId``,
``Prefill``; ``object`` exactly as OpenAI has it; ``stop``, ``length`` and ``content_filter`` as the only reasons).
Under which keys the business data and the round stand in the body could not be read in whole, so that several are
looked for. No id of the call is sent: it is to be put into the URL's query, ``ExtraHeader`` or ``Custom``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from offhook.dialects.base import (
    Arrival,
    Delivery,
    Dialect,
    Piece,
    Reading,
    read_id,
    read_user_data,
    write_openai,
)
from offhook.dialects.headers import read_with_headers
from offhook.events import Command, CommandName, Event, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_TOKENS = "maxTokens"

_WAYS: dict[CommandName, str] = {
    "hangup": "Volcengine has it in its server API alone; call StopVoiceChat once the words are spoken",
    "transfer": "Volcengine has no transfer; let a person enter the room, and end the task by StopVoiceChat",
    "protect": "Volcengine has no way to do so in a reply; set InterruptMode, or speak the text by UpdateVoiceChat "
    "with ExternalTextToSpeech",
    "say_to_app": "Volcengine has no place for it in a reply; send a message to the room from your own server",
}


def marks(arrival: Arrival) -> bool:
    """Tell whether the request is this platform's: ``maxTokens``, or a round's id, neither of which OpenAI has."""
    body = arrival.request.body
    return _MOST_TOKENS in body or _round_id(body) is not None


def read(arrival: Arrival) -> Reading:
    """Read the round, the business data and the limit of tokens."""
    body = arrival.request.body
    reading = read_with_headers(arrival, "volcengine")
    call = reading.call
    custom = body.get("custom") if body.get("Custom") is None else body["Custom"]
    if custom is not None:
        user_data, raw = read_user_data(custom)
        call = msgspec.structs.replace(call, user_data=user_data, user_data_raw=raw)
    most = body.get(_MOST_TOKENS)
    return Reading(
        call=call,
        turn_id=_round_id(body) or reading.turn_id,
        history=reading.history,
        max_tokens=most if type(most) is int and most > 0 else None,
    )


def write(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write the words alone: the platform reads no calls, and knows no reply that ends with one."""
    return () if isinstance(event, ToolCall | Command) else write_openai(event, delivery)


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not to be had in a reply, whatever functions the request offers."""
    return _WAYS[name]


def refuses_call(function: str, delivery: Delivery) -> str | None:
    """Give why an agent's call of a function is not written."""
    return "Volcengine reads no calls from a custom model, and knows no reply that ends with one; let offhook run it"


def _round_id(body: Mapping[str, Any]) -> str | None:
    """Give the id of a round: ``round_id``, ``RoundId`` and so on, as a text or number."""
    for name, value in body.items():
        if name.replace("_", "").lower() == "roundid" and type(value) in (str, int, float):
            return read_id(value)
    return None


VOLCENGINE = Dialect(
    name="volcengine",
    marks=marks,
    read=read,
    write=write,
    refuses=refuses,
    refuses_call=refuses_call,
    memory="call",
    telephone=True,
    speculative=True,
    language="zh",
)
