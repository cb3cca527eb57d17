"""Twilio ConversationRelay, and Telnyx's, which shares it: a WebSocket per session. Frames are read and written here.

Sources: Twilio's pages "Getting and sending WebSocket messages" (``setup``, ``prompt``, ``interrupt``, ``dtmf``,
``error``; ``text`` with ``token`` and ``last``; ``end`` with ``handoffData``), "<ConversationRelay>"
(``partialPrompts``, ``interruptible``, ``<Parameter>``), "Onboarding" (``X-Twilio-Signature`` of the handshake, as of a
webhook) and its changelog of 1 April 2025 (``interruptible`` and ``preemptible``); twilio/twilio-agent-connect-python
pull request 16 and twilio-labs/twilio-aspnet issue 162 (the signed URL begins with ``wss``); Telnyx's
"ConversationRelay WebSocket channel" (``callControlId``, ``callSessionId``, an ``end`` without ``handoffData``).

No page says whether an ``end`` waits for what is still being spoken.
"""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from offhook.dialects.base import (
    KEY_PARAMETERS,
    Arrival,
    Delivery,
    Dialect,
    Extra,
    Piece,
    Reading,
    read_id,
    read_object,
    read_query,
    read_text,
    read_user_data,
)
from offhook.events import Aside, CallContext, Command, CommandName, Event, Kind, Message, Text
from offhook.wire.chat import ChatMessage, ChatRequest, text_of, well_formed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The member of a request's body that holds what is not the conversation.
MEMBER = "conversation_relay"

# What names the call, the first that is there.
_CALL_IDS = ("callSid", "callControlId", "callSessionId", "sessionId")
_KINDS: Mapping[str, Kind] = {"begin": "wake_up"}


def marks(arrival: Arrival) -> bool:
    """Tell whether the request was made from this platform's frames."""
    return isinstance(arrival.request.body.get(MEMBER), dict)


def call_id_of(setup: Mapping[str, Any]) -> str | None:
    """Give the id of the call that a session belongs to."""
    return next(filter(None, (read_id(setup.get(name)) for name in _CALL_IDS)), None)


def secret_of(setup: Mapping[str, Any]) -> str | None:
    """Give the key that stands in the parameters of a session, None where there is none."""
    key = read_object(setup.get("customParameters")).get("api-key")
    return key if isinstance(key, str) else None


def without_secret(setup: Mapping[str, Any]) -> dict[str, Any]:
    """Give the setup without the key among its parameters."""
    parameters = read_object(setup.get("customParameters"))
    kept = {name: value for name, value in parameters.items() if name.lower() not in KEY_PARAMETERS}
    return {**setup, "customParameters": kept}


def request_of(
    setup: Mapping[str, Any], said: Sequence[Mapping[str, Any]], *, turn: str, asked: str, model: str
) -> ChatRequest:
    """Give the request that a session makes: ``said`` is its conversation, ``asked`` what made the platform ask."""
    messages = [dict(one) for one in said]
    own = {"setup": dict(setup), "turn": turn, "asked": asked}
    return ChatRequest(
        messages=[ChatMessage(one["role"], one["content"]) for one in messages],
        model=model,
        stream=True,
        body={"model": model, "messages": messages, "stream": True, MEMBER: own},
    )


def read(arrival: Arrival) -> Reading:
    """Read the call from the setup, and from the conversation how far a reply was heard."""
    own = read_object(arrival.request.body.get(MEMBER))
    setup = read_object(own.get("setup"))
    user_data, raw = read_user_data(read_object(setup.get("customParameters")) or None)
    asked = own.get("asked")
    kind = _KINDS.get(asked) if isinstance(asked, str) else None
    return Reading(
        call=CallContext(
            id=call_id_of(setup),
            caller=read_id(setup.get("from")),
            callee=read_id(setup.get("to")),
            user_data=user_data,
            user_data_raw=raw,
            platform="conversation_relay",
            query=read_query(arrival.query),
        ),
        turn_id=read_id(own.get("turn")),
        history=tuple(
            _message(message, fields)
            for message, fields in zip(arrival.request.messages, arrival.request.body["messages"], strict=True)
        ),
        kind=kind,
    )


def _message(message: ChatMessage, fields: Mapping[str, Any]) -> Message:
    heard = fields.get("heard")
    return Message(
        role=message.role,
        text=text_of(message.content),
        fields={name: value for name, value in fields.items() if name not in ("interrupted", "heard")},
        interrupted=fields.get("interrupted") is True,
        heard=heard if isinstance(heard, int) else None,
    )


def write(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write text as it is, and a command as what the session's last frame, or every one, says of it."""
    if isinstance(event, Text | Aside):
        return (event.text,) if event.text else ()
    if isinstance(event, Command):
        match event.name:
            case "hangup":
                return (Extra({"reasonCode": "hangup"}),)
            case "transfer":
                return (Extra({"reasonCode": "transfer", "to": event.to}),) if event.to else ()
            case "protect":
                return (Extra({"interruptible": False}),)
    return ()


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why the platform does not take a command."""
    if name == "say_to_app":
        return "ConversationRelay has nobody at the other end but a telephone; send it from the agent by other means"
    return None


class Tokens:
    """Writes one reply as ``text`` frames; ``handoff`` is what the session ends with, None where it goes on."""

    def __init__(self) -> None:
        self._interruptible = True
        self.handoff: dict[str, Any] | None = None

    def write(self, pieces: Sequence[Piece]) -> list[str]:
        """Give the frames of what comes next: one for all the text, since what came at once goes out at once."""
        words = ""
        for piece in pieces:
            if isinstance(piece, str):
                words += piece
            elif isinstance(piece, Extra) and "interruptible" in piece.chunk:
                self._interruptible = False
            elif isinstance(piece, Extra):
                self.handoff = dict(piece.chunk)
        return [self._frame(words, last=False)] if words else []

    def finish(self) -> list[str]:
        """Give the frame that ends the reply."""
        return [self._frame("", last=True)]

    def _frame(self, token: str, *, last: bool) -> str:
        fields: dict[str, Any] = {"type": "text", "token": well_formed(token), "last": last}
        if not self._interruptible:
            fields["interruptible"] = False
        return msgspec.json.encode(fields).decode()


def end(handoff: Mapping[str, Any]) -> str:
    """Give the frame that ends the session; the platform hands ``handoffData`` to what the call goes on with."""
    data = msgspec.json.encode({name: well_formed(read_text(value)) for name, value in handoff.items()}).decode()
    return msgspec.json.encode({"type": "end", "handoffData": data}).decode()


def is_signed(signature: str, token: str, *, host: str, target: str, query: str) -> bool:
    """Tell whether a handshake was signed with the token: HMAC-SHA1 over its URL, in Base64.

    ``target`` is the path as it came, ``query`` what stands behind its ``?``. The parameters are taken as a part of the
    URL, or behind it and sorted as those of a form, and a proxy may show ``https`` where the platform wrote ``wss``.
    """
    bases = [f"{scheme}://{host}{target}" for scheme in ("wss", "https")]
    form = "".join(name + value for name, value in sorted(parse_qsl(query, keep_blank_values=True)))
    signed = [f"{base}?{query}" for base in bases] + [base + form for base in bases] if query else bases
    good = [
        hmac.compare_digest(
            base64.b64encode(hmac.digest(token.encode(), url.encode("utf-8", "replace"), "sha1")),
            signature.encode("utf-8", "replace"),
        )
        for url in signed
    ]
    return any(good)


CONVERSATION_RELAY = Dialect(
    name="conversation_relay",
    marks=marks,
    read=read,
    write=write,
    refuses=refuses,
    memory="call",
    telephone=True,
    door="socket",
)
