"""Twilio ConversationRelay, whose frames Telnyx shares: a WebSocket per call, on which a barge-in is a frame.

Source: the vendors' pages on the WebSocket messages. What ``end`` hands over is up to its customer; a number in it is
taken for a transfer. A server may send it long after the last word, once that has been spoken.
"""

from __future__ import annotations

from typing import Any

import msgspec

from offhook.node.platforms.base import Asking, Order, Platform, keep_heard, strings_of
from offhook.node.platforms.sockets import NOTHING, Frame, Part, SocketWire, last_words, words
from offhook.node.request import Outgoing

_NUMBERS = ("transfer", "number", "to", "transfer_to", "transferTo", "transfer_number", "phoneNumber", "destination")


def _opening(asking: Asking) -> tuple[Frame, ...]:
    facts = asking.facts
    setup = {
        "type": "setup",
        "sessionId": f"VX{facts.instance_id}",
        "callSid": facts.instance_id,
        "parentCallSid": "",
        "from": facts.caller_number or "",
        "to": facts.callee_number or "",
        "forwardedFrom": "",
        "direction": "inbound",
        "callType": "PSTN",
        "callStatus": "RINGING",
        # What ``<Parameter>`` gives.
        "customParameters": strings_of(facts),
    }
    return (setup,)


def _asking(asking: Asking) -> tuple[Frame, ...]:
    text = last_words(asking)
    return ({"type": "prompt", "voicePrompt": text, "lang": "en-US", "last": True},) if text else ()


def _cutting(heard: str, seconds: float) -> tuple[Frame, ...]:
    return ({"type": "interrupt", "utteranceUntilInterrupt": heard, "durationUntilInterruptMs": int(seconds * 1000)},)


def _read(frame: Frame, asking: Asking) -> Part:
    match frame.get("type"):
        case "text":
            protected = (Order("protect"),) if frame.get("interruptible") is False else ()
            return Part(words(frame.get("token")), protected, complete=bool(frame.get("last")))
        case "end":
            return Part(orders=(_end(frame.get("handoffData")),), complete=True)
        case "error":
            return Part(complete=True, error=words(frame.get("description")) or "the server reported an error")
    return NOTHING


def _end(handoff: Any) -> Order:
    if isinstance(handoff, str):
        try:
            handoff = msgspec.json.decode(handoff)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            handoff = None
    if isinstance(handoff, dict):
        for name in _NUMBERS:
            if number := words(handoff.get(name)):
                return Order("transfer", to=number)
    return Order("hangup")


def _nothing(asking: Asking) -> Outgoing:
    return Outgoing({})


RELAY_WIRE = SocketWire(
    path=lambda key, model: "/conversationrelay",
    query=lambda key, model: tuple((name, value) for name, value in (("api-key", key), ("model", model)) if value),
    opening=_opening,
    answering=lambda frame, asking: (),
    asking=_asking,
    cutting=_cutting,
    read=_read,
    settles=0.3,
    late=True,
)
CONVERSATION_RELAY = Platform(
    name="conversation_relay",
    request=_nothing,
    message=keep_heard,
    barge_in="open",
    socket="conversation_relay",
    ends_late=True,
)
