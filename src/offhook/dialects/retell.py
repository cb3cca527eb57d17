"""Retell, agents with a custom LLM: a WebSocket per call. The frames are read and written here; the door is elsewhere.

Sources: the vendor's page "LLM WebSocket" (docs.retellai.com/api-references/llm-websocket: the events and their fields,
that answers to any but the newest ``response_id`` are dropped, that a WebSocket which the server closes with 1000
hangs up); its page on function calling (``end_call`` before ``transfer_number``, both once the content is spoken,
``no_interruption_allowed``); ``custom_types.py`` and ``server.py`` of the vendor's retell-custom-llm-python-demo
(roles ``agent``, ``user``, ``system``; a first response with the id 0); the call object of its API (``from_number``,
``to_number``, ``metadata``, ``retell_llm_dynamic_variables``). Every field is optional in practice.
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
    read_history,
    read_id,
    read_object,
    read_query,
    read_text,
    read_user_data,
)
from offhook.events import Aside, CallContext, Command, CommandName, Event, Kind, Text
from offhook.wire.chat import ChatMessage, ChatRequest, encode_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The member of a request's body that holds what is not the conversation.
MEMBER = "retell"
# The first response, which nobody asked for.
FIRST = 0

# What every JSON reader takes for an integer (RFC 8259, 6).
_MOST_IDS = 2**53
_ROLES = {"agent": "assistant"}
# What of the call object is the user's own.
_USER_DATA = ("metadata", "retell_llm_dynamic_variables", "direction")
_KINDS: Mapping[str, Kind] = {"begin": "wake_up", "reminder_required": "silence"}


def marks(arrival: Arrival) -> bool:
    """Tell whether the request was made from this platform's frames."""
    return isinstance(arrival.request.body.get(MEMBER), dict)


def response_id(frame: Mapping[str, Any]) -> int | None:
    """Give the id of the response that a frame asks for, None where it names none."""
    value = frame.get("response_id")
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_IDS
    return value if good else None


def request_of(frame: Mapping[str, Any], *, call_id: str, call: Mapping[str, Any], model: str) -> ChatRequest:
    """Give the request that a frame makes; ``call`` is the call object, as far as it is known."""
    transcript = frame.get("transcript")
    said = [one for one in transcript if isinstance(one, dict)] if isinstance(transcript, list) else []
    messages = [
        {"role": _ROLES.get(role, role), "content": read_text(one.get("content") or "")}
        for one in said
        if isinstance(role := one.get("role"), str)
    ]
    own = {
        "interaction_type": frame.get("interaction_type"),
        "response_id": frame.get("response_id"),
        "call_id": call_id,
        "call": dict(call),
    }
    return ChatRequest(
        messages=[ChatMessage(message["role"], message["content"]) for message in messages],
        model=model,
        stream=True,
        body={"model": model, "messages": messages, "stream": True, MEMBER: own},
    )


def read(arrival: Arrival) -> Reading:
    """Read the call from the address and the call object, and what made the platform ask from the frame."""
    own = read_object(arrival.request.body.get(MEMBER))
    call = read_object(own.get("call"))
    kept = {name: call[name] for name in _USER_DATA if call.get(name) is not None}
    user_data, raw = read_user_data(kept or None)
    history = read_history(arrival.request)
    asked = own.get("interaction_type")
    kind = _KINDS.get(asked) if isinstance(asked, str) else None
    return Reading(
        call=CallContext(
            id=read_id(own.get("call_id")) or read_id(call.get("call_id")),
            caller=read_id(call.get("from_number")),
            callee=read_id(call.get("to_number")),
            user_data=user_data,
            user_data_raw=raw,
            platform="retell",
            query=read_query(arrival.query),
        ),
        turn_id=read_id(own.get("response_id")),
        history=history,
        # Nobody has said a word, so that there is nothing to tell it from.
        kind=kind if history or kind is not None else "wake_up",
    )


def write(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write text as it is, and a command as the field of a response that the platform has for it."""
    if isinstance(event, Text | Aside):
        return (event.text,) if event.text else ()
    if isinstance(event, Command):
        match event.name:
            case "hangup":
                return (Extra({"end_call": True}),)
            case "transfer":
                return (Extra({"transfer_number": event.to}),) if event.to else ()
            case "protect":
                return (Extra({"no_interruption_allowed": True}),)
    return ()


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why the platform does not take a command."""
    if name == "say_to_app":
        return "Retell's custom LLM has no event for it that is documented; send it from the agent by other means"
    return None


class Responses:
    """Writes one reply as ``response`` events; what ends the call stands in the last of them."""

    def __init__(self, id: int) -> None:
        self._id = id
        self._protected = False
        self._ending: dict[str, Any] = {}

    def write(self, pieces: Sequence[Piece]) -> list[str]:
        """Give the frames of what comes next: one for all the text, since what came at once goes out at once."""
        words = ""
        for piece in pieces:
            if isinstance(piece, str):
                words += piece
            elif isinstance(piece, Extra):
                fields = dict(piece.chunk)
                self._protected = fields.pop("no_interruption_allowed", None) or self._protected
                self._ending |= fields
        return [self._frame(words, complete=False)] if words else []

    def finish(self) -> list[str]:
        """Give the frame that ends the reply."""
        return [self._frame("", complete=True)]

    def _frame(self, content: str, *, complete: bool) -> str:
        fields: dict[str, Any] = {
            "response_type": "response",
            "response_id": self._id,
            "content": content,
            "content_complete": complete,
        }
        if self._protected:
            fields["no_interruption_allowed"] = True
        if complete:
            fields |= self._ending
        return encode_value(fields).decode()


def config() -> str:
    """Give the frame that asks for the call object, and for pings by which the platform notices a lost connection."""
    fields = {"response_type": "config", "config": {"auto_reconnect": True, "call_details": True}}
    return msgspec.json.encode(fields).decode()


def pong(frame: Mapping[str, Any]) -> str:
    """Give the answer to a ``ping_pong``, with its own timestamp."""
    timestamp = frame.get("timestamp")
    if not isinstance(timestamp, int | float) or isinstance(timestamp, bool) or abs(timestamp) >= _MOST_IDS:
        timestamp = 0
    return msgspec.json.encode({"response_type": "ping_pong", "timestamp": timestamp}).decode()


RETELL = Dialect(
    name="retell",
    marks=marks,
    read=read,
    write=write,
    refuses=refuses,
    telephone=True,
    ordered=True,
    door="socket",
)
