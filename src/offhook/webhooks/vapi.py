"""Server messages of Vapi.

From the vendor's documents (github.com/VapiAI/docs, fern/server-url/events.mdx and server-authentication.mdx) and SDK
(vapi-server-sdk 3.0.0, ``server_message_end_of_call_report.py``, ``server_message_status_update.py``,
``bot_message.py``): a POST of ``{"message": {"type", "call", "customer", "timestamp", ...}}``. ``status-update`` has
``status`` (``in-progress``, ``ended``, ...) and, at the end, ``endedReason``; ``end-of-call-report`` has
``endedReason``, ``startedAt``, ``endedAt`` and ``artifact.messages``, each with ``role`` (``bot`` or ``assistant``,
``user``, others), ``message``, ``time`` and ``secondsFromStart``. A credential of the kind "bearer" puts the secret
into ``Authorization``, behind ``Bearer`` or alone, or into ``X-Vapi-Secret``, where the older ``secret`` of a server
stands.

``durationSeconds`` is read where it comes; the SDK does not have it, so otherwise the duration is the time from
``startedAt`` to ``endedAt``. The unit of ``time`` is not stated; milliseconds and seconds are told apart by their size.
A message names no turn. HMAC and OAuth credentials are not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.store.base import Spoken
from offhook.webhooks.base import (
    CallNews,
    Members,
    Webhook,
    moment_of,
    name_of,
    number_of,
    object_text,
    same_token,
    seconds_of,
    text_of,
)

if TYPE_CHECKING:
    from offhook.webhooks.base import Headers, Object, Side

_ROLES = {"bot": "agent", "assistant": "agent", "user": "caller"}
_AGENT = frozenset(
    {
        "assistant-ended-call",
        "assistant-ended-call-with-hangup-task",
        "assistant-ended-call-after-message-spoken",
        "assistant-said-end-call-phrase",
    }
)
_CALLER = "customer-ended-call"
# Says that somebody hung up, and not who.
_NOBODY = frozenset({"", "hangup"})


def check(headers: Headers, body: bytes, secret: str, now: float) -> bool:
    """Tell whether the secret came along, in either of its places."""
    # Both are compared: how long it takes tells nothing.
    found = [same_token(headers.get("x-vapi-secret", ""), secret), same_token(headers.get("authorization", ""), secret)]
    return any(found)


def read(body: Object) -> tuple[CallNews, ...]:
    """Give what a server message tells of its call."""
    message = body.get("message")
    fields = Members(message)
    call = Members(fields.get("call"))
    call_id = name_of(call.get("id"))
    if call_id is None:
        return ()
    at = moment_of(fields.get("timestamp"))
    kind, status = fields.get("type"), fields.get("status")
    if kind == "status-update" and status == "in-progress":
        return (CallNews(call_id=call_id, at=at, connected_at=at),)
    if kind == "status-update" and status == "ended":
        return (CallNews(call_id=call_id, at=at, ended=True, hung_up_by=_hung_up(fields.get("endedReason"))),)
    if kind == "end-of-call-report":
        return (_report(call_id, fields, call, at),)
    return ()


def _report(call_id: str, fields: Members, call: Members, at: float | None) -> CallNews:
    begun = moment_of(fields.get("startedAt") or call.get("startedAt"))
    ended = moment_of(fields.get("endedAt") or call.get("endedAt"))
    duration = seconds_of(fields.get("durationSeconds"))
    if duration is None and begun is not None and ended is not None:
        duration = seconds_of(ended - begun)
    customer = Members(fields.get("customer") or call.get("customer"))
    return CallNews(
        call_id=call_id,
        at=ended or at,
        connected_at=begun,
        ended=True,
        hung_up_by=_hung_up(fields.get("endedReason")),
        duration=duration,
        spoken=_messages(Members(fields.get("artifact")).get("messages"), begun),
        caller=name_of(customer.get("number")),
        user_data=object_text(call.get("metadata")),
    )


def _hung_up(reason: object) -> Side | None:
    if not isinstance(reason, str) or reason in _NOBODY:
        return None
    if reason in _AGENT:
        return "agent"
    return "caller" if reason.startswith(_CALLER) else "system"


def _messages(entries: object, begun: float | None) -> tuple[Spoken, ...]:
    said: list[Spoken] = []
    for place, entry in enumerate(entries if isinstance(entries, list) else ()):
        fields = Members(entry)
        role, text = _ROLES.get(str(fields.get("role"))), text_of(fields.get("message"))
        # System prompts and results of tools are messages, too, and nobody spoke them.
        if role is None or text is None:
            continue
        at = moment_of(fields.get("time"))
        offset = number_of(fields.get("secondsFromStart"))
        if at is None and begun is not None and offset is not None:
            at = begun + offset
        said.append(Spoken(key=f"{place:08}", role=role, text=text, at=at))
    return tuple(said)


WEBHOOK = Webhook(name="vapi", setting="secret", check=check, read=read)
