"""Tencent TRTC Conversational AI, ``LLMConfig`` with ``LLMType`` "openai".

Source: the vendor's pages on ``LLMConfig`` (trtc.io/document/68338: the headers, ``MetaInfo``, ``History``, which is 0
by default, the retry with the same ``X-Request-Id``, ``Timeout``, which is 3 s) and on ``metainfo``
(cloud.tencent.com/document/product/647/122399). Under which key ``MetaInfo`` stands in the body is not told, so that
its name is taken in any spelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from offhook.dialects.base import (
    Arrival,
    Delivery,
    Dialect,
    Extra,
    Piece,
    Reading,
    read_header,
    read_user_data,
)
from offhook.dialects.headers import first_header, read_with_headers
from offhook.dialects.offers import is_offered, write_offered
from offhook.events import Command, CommandName, Event

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the platform says of a request beside its ids. ``x-invoke-llm`` is "1" where InvokeLLM of its API asked.
_HEADERS = ("x-sdk-app-id", "x-user-id", "x-room-id-type", "x-invoke-llm")
_ALL_HEADERS = ("x-task-id", "x-room-id", *_HEADERS)
# One of these is nobody else's; a room and a user are what others name too.
_OWN = ("x-task-id", "x-sdk-app-id")

_WAYS: dict[CommandName, str] = {
    "hangup": "TRTC has it in its server API alone; call ServerPushText with StopAfterPlay, or StopAIConversation, "
    "with the task id that is the id of turn.call",
    "transfer": "TRTC has none; let a person enter the room of turn.call, and end the task by StopAIConversation",
    "protect": "TRTC has no way to do so in a reply; set InterruptMode, or push the text by ServerPushText with a "
    "high priority",
}


def marks(arrival: Arrival) -> bool:
    """Tell whether the request is this platform's: two of its headers, since one alone may be anybody's."""
    headers = arrival.headers
    return any(name in headers for name in _OWN) and sum(name in headers for name in _ALL_HEADERS) >= 2


def read(arrival: Arrival) -> Reading:
    """Read the call context from the headers, and the user data from the body."""
    reading = read_with_headers(arrival, "trtc")
    changes: dict[str, Any] = {
        "id": first_header(arrival, "x-task-id") or reading.call.id,
        "headers": {name: value for name in _HEADERS if (value := read_header(arrival, name)) is not None},
    }
    if (meta_info := _meta_info(arrival.request.body)) is not None:
        changes["user_data"], changes["user_data_raw"] = read_user_data(meta_info)
    return Reading(
        call=msgspec.structs.replace(reading.call, **changes),
        # The second is a spelling of an older page.
        turn_id=first_header(arrival, "x-request-id", "x-rquest-id") or reading.turn_id,
        history=reading.history,
    )


def write(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write an event as plain OpenAI has it, and what is for the app as the chunk that the platform passes on."""
    if isinstance(event, Command) and event.name == "say_to_app":
        data = {"metainfo": event.data}
        return (Extra(chunk={"type": "meta.info", **data}, message=data),)
    return write_offered(event, delivery)


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not to be had in a reply; a function that the request itself offers is."""
    return None if is_offered(name, delivery) else _WAYS.get(name)


def _meta_info(body: Mapping[str, Any]) -> Any:
    """Give ``MetaInfo``, ``metainfo``, ``meta_info`` and so on."""
    names = (name for name in body if name.replace("_", "").lower() == "metainfo")
    return next((value for name in names if (value := body[name]) is not None), None)


TRTC = Dialect(
    name="trtc",
    marks=marks,
    read=read,
    write=write,
    refuses=refuses,
    memory="call",
    telephone=True,
    language="zh",
    cancel_grace=2.0,
)
