"""Webhooks of Retell.

From the vendor's documents (docs.retellai.com, features/webhook, features/secure-webhook,
reliability/debug-call-disconnect) and SDK (retell-sdk 6.2.13, ``webhook_auth.py``, ``phone_call_response.py``): a POST
of ``{"event", "call"}``. ``call_started``, ``call_ended`` (all of the call but its analysis) and
``call_analyzed`` are read; ``call`` has ``call_id``, ``from_number``, ``to_number``, ``start_timestamp`` and
``end_timestamp`` (milliseconds), ``duration_ms``, ``disconnection_reason``, ``metadata`` and ``transcript_object``, a
list of utterances with ``role`` (agent, user, transfer_target), ``content``, ``words`` (``start`` in seconds from the
start of the call) and ``metadata.response_id``, the response of the custom LLM. ``X-Retell-Signature`` is
``v=MILLISECONDS,d=HEX``: HMAC-SHA-256 under the API key over the raw body and behind it the time as digits, refused
more than five minutes from now.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
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
    same,
    seconds_of,
    text_of,
)

if TYPE_CHECKING:
    from offhook.webhooks.base import Headers, Object, Side

# Seconds that a signature is good for, before and after its time.
WINDOW = 300.0

_SIGNATURE = re.compile(r"v=([0-9]{1,17}),d=([0-9a-f]{64})")
_ROLES = {"agent": "agent", "user": "caller"}
_HUNG_UP: dict[str, Side | None] = {
    "agent_hangup": "agent",
    "user_hangup": "caller",
    "user_declined": "caller",
    # What the caller asked for, and not who hung up.
    "user_requested_dnc": None,
    "user_requested_callback": None,
}


def check(headers: Headers, body: bytes, api_key: str, now: float) -> bool:
    """Tell whether the signature is that of this body, and made just now."""
    match = _SIGNATURE.fullmatch(headers.get("x-retell-signature", "").strip())
    stamp, digest = match.groups() if match else ("0", "")
    expected = hmac.new(api_key.encode(errors="replace"), body + stamp.encode(), sha256).hexdigest()
    fresh = abs(now - int(stamp) / 1000.0) <= WINDOW
    return same(digest, expected) and fresh and bool(api_key)


def read(body: Object) -> tuple[CallNews, ...]:
    """Give what a webhook tells of its call."""
    call = Members(body.get("call"))
    call_id = name_of(call.get("call_id"))
    event = body.get("event")
    if call_id is None or event not in ("call_started", "call_ended", "call_analyzed"):
        return ()
    begun, over = moment_of(call.get("start_timestamp")), moment_of(call.get("end_timestamp"))
    ended = event != "call_started"
    duration = seconds_of(call.get("duration_ms"), 0.001)
    if duration is None and begun is not None and over is not None:
        duration = seconds_of(over - begun)
    return (
        CallNews(
            call_id=call_id,
            at=over if ended else begun,
            connected_at=begun,
            ended=ended,
            hung_up_by=_hung_up(call.get("disconnection_reason")) if ended else None,
            duration=duration if ended else None,
            spoken=_utterances(call.get("transcript_object"), begun) if ended else (),
            caller=name_of(call.get("from_number")),
            callee=name_of(call.get("to_number")),
            user_data=object_text(call.get("metadata")),
        ),
    )


def _hung_up(reason: object) -> Side | None:
    if not isinstance(reason, str) or not reason:
        return None
    return _HUNG_UP.get(reason, "system")


def _utterances(entries: object, begun: float | None) -> tuple[Spoken, ...]:
    said: list[Spoken] = []
    for place, entry in enumerate(entries if isinstance(entries, list) else ()):
        fields = Members(entry)
        text = text_of(fields.get("content"))
        if text is None:
            continue
        words = fields.get("words")
        start = number_of(Members(words[0]).get("start")) if isinstance(words, list) and words else None
        said.append(
            Spoken(
                key=f"{place:08}",
                role=_ROLES.get(str(fields.get("role")), "other"),
                text=text,
                at=None if begun is None or start is None else begun + start,
                turn_id=name_of(Members(fields.get("metadata")).get("response_id")),
            )
        )
    return tuple(said)


WEBHOOK = Webhook(name="retell", setting="api_key", check=check, read=read, signs=True)
