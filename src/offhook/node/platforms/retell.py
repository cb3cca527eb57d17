"""Retell, custom LLM: a WebSocket per call, on which a newer ``response_id`` ends the older one.

Source: the vendor's custom LLM demo in Python (``interaction_type`` in, ``response_type`` out).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from offhook.node.platforms.base import Asking, Order, Platform, data_of, keep_heard, present
from offhook.node.platforms.sockets import NOTHING, Frame, Part, SocketWire, last_words, words
from offhook.node.request import Outgoing

_ROLES = {"assistant": "agent", "user": "user", "system": "system"}


def _id(asking: Asking) -> int:
    # What the agent says before anybody spoke is response 0, which is not asked for.
    return asking.turn if last_words(asking) else 0


def _call(asking: Asking) -> dict[str, Any]:
    facts = asking.facts
    data = data_of(facts)
    return present(
        {
            "call_id": facts.instance_id,
            "call_type": "phone_call" if facts.caller_number else "web_call",
            "direction": "inbound",
            "from_number": facts.caller_number,
            "to_number": facts.callee_number,
            "metadata": data,
        }
    )


def _answering(frame: Frame, asking: Asking) -> tuple[Frame, ...]:
    if frame.get("response_type") != "config":
        return ()
    config = frame.get("config")
    config = config if isinstance(config, dict) else {}
    answers: list[Frame] = []
    if config.get("call_details"):
        answers.append({"interaction_type": "call_details", "call": _call(asking)})
    if config.get("auto_reconnect"):
        answers.append({"interaction_type": "ping_pong", "timestamp": int(asking.at * 1000)})
    return tuple(answers)


def _asking(asking: Asking) -> tuple[Frame, ...]:
    if (number := _id(asking)) == 0:
        return ()
    transcript = [
        {"role": _ROLES.get(words(one.get("role")), "user"), "content": one.get("content", "")}
        for one in asking.messages
        if one.get("content")
    ]
    return (
        {"interaction_type": "update_only", "transcript": transcript},
        {"interaction_type": "response_required", "response_id": number, "transcript": transcript},
    )


def _read(frame: Frame, asking: Asking) -> Part:
    if frame.get("response_type", "response") != "response" or frame.get("response_id") != _id(asking):
        return NOTHING
    orders: list[Order] = []
    if frame.get("no_interruption_allowed"):
        orders.append(Order("protect"))
    if frame.get("end_call"):
        orders.append(Order("hangup"))
    if number := words(frame.get("transfer_number")):
        orders.append(Order("transfer", to=number))
    complete = bool(frame.get("content_complete")) or any(one.kind in ("hangup", "transfer") for one in orders)
    return Part(words(frame.get("content")), tuple(orders), complete)


def _door(key: str, model: str) -> str:
    parts = ("retell", key, model and f"model={model}", "llm-websocket")
    return "".join(f"/{quote(part, safe='=')}" for part in parts if part)


def _nothing(asking: Asking) -> Outgoing:
    return Outgoing({})


RETELL_WIRE = SocketWire(
    path=_door,
    query=lambda key, model: (),
    opening=lambda asking: (),
    answering=_answering,
    asking=_asking,
    # Nothing tells of it but the next question.
    cutting=lambda heard, seconds: (),
    read=_read,
    introduces=0.5,
    names_call=True,
)
RETELL = Platform(name="retell", request=_nothing, message=keep_heard, barge_in="open", socket="retell", greeted=True)
