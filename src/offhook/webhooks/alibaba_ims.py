"""Agent callbacks of Alibaba Cloud IMS (real-time workflows, AICallKit).

From the vendor's page on agent callbacks (help.aliyun.com, ims/user-guide/agent-callback): a POST whose optional token
stands in ``Authorization``; the body has ``aiAgentId``, ``instanceId``, ``event``, ``code``, ``message``,
``timestamp`` and optionally ``data``, ``userData`` and ``extendData`` (which in callbacks about telephone calls holds
``callerNumber`` and ``calleeNumber``); the events read here are ``session_start``, ``agent_stop``, ``chat_record``,
``outbound_call`` and ``inbound_call``. The members of a dialogue (``dialogueId``, ``roundId``, ``producer`` user or
agent, ``text``, ``time`` in milliseconds) are those of the server API ListAIAgentDialogues, the members about a
telephone call those of AIAgentCallInfo (``CallStartTime``, ``CallEndTime``, ``CallDuration`` in seconds, ``HangupRole``
0 agent, 1 user, 2 a transfer; SDK alibabacloud_ice20201109 6.20.2).

Not found: whether the callbacks spell these members as the APIs do, what status a telephone call has when it is over,
whether ``roundId`` is the ``sentenceId`` of the LLM request, and whether the token is sent with a scheme. So members
are taken in any spelling, a telephone call has ended when a callback says when it did or who hung up, a round that is
no turn's name leaves the turns as they are, and the token may stand behind ``Bearer``. ``audio_record``, whose members
were not found either, is not read.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from offhook.store.base import Spoken
from offhook.webhooks.base import (
    CallNews,
    Members,
    Webhook,
    moment_of,
    name_of,
    object_text,
    same_token,
    seconds_of,
    text_of,
)

if TYPE_CHECKING:
    from offhook.webhooks.base import Headers, Object, Side

_HUNG_UP: dict[str, Side] = {"0": "agent", "1": "caller", "2": "system"}
_ROLES = {"agent": "agent", "assistant": "agent", "user": "caller"}
_TELEPHONE = frozenset({"outbound_call", "inbound_call"})


def check(headers: Headers, body: bytes, token: str, now: float) -> bool:
    """Tell whether the token came along; either side may have it behind ``Bearer``."""
    return same_token(headers.get("authorization", ""), token)


def read(body: Object) -> tuple[CallNews, ...]:
    """Give what a callback tells of its call."""
    fields = Members(body)
    call_id, event = name_of(fields.get("instanceId")), fields.get("event")
    if call_id is None or not isinstance(event, str):
        return ()
    at = moment_of(fields.get("timestamp"))
    extend = Members(fields.get("extendData"))
    known = CallNews(
        call_id=call_id,
        at=at,
        caller=name_of(extend.get("callerNumber")),
        callee=name_of(extend.get("calleeNumber")),
        user_data=object_text(fields.get("userData")),
    )
    if event == "session_start":
        return (msgspec.structs.replace(known, connected_at=at),)
    if event == "agent_stop":
        return (msgspec.structs.replace(known, ended=True),)
    if event == "chat_record":
        spoken = _dialogues(Members(fields.get("data")).get("dialogues"))
        return (msgspec.structs.replace(known, spoken=spoken),) if spoken else ()
    if event in _TELEPHONE:
        return (_telephone(known, Members(fields.get("data"))),)
    return ()


def _telephone(known: CallNews, data: Members) -> CallNews:
    ended_at = moment_of(data.get("callEndTime", "endTime"))
    hung_up_by = _HUNG_UP.get(name_of(data.get("hangupRole")) or "")
    ended = ended_at is not None or hung_up_by is not None
    return msgspec.structs.replace(
        known,
        at=ended_at or known.at,
        connected_at=moment_of(data.get("callStartTime", "startTime")),
        ended=ended,
        hung_up_by=hung_up_by,
        duration=seconds_of(data.get("callDuration", "duration")) if ended else None,
        caller=name_of(data.get("callerNumber")) or known.caller,
        callee=name_of(data.get("calleeNumber", "calledNumber")) or known.callee,
    )


def _dialogues(entries: object) -> tuple[Spoken, ...]:
    said = []
    for entry in entries if isinstance(entries, list) else ():
        fields = Members(entry)
        text = text_of(fields.get("text", "content"))
        if text is None:
            continue
        producer = str(fields.get("producer", "role") or "").lower()
        turn_id = name_of(fields.get("sentenceId", "roundId"))
        time = moment_of(fields.get("time", "timestamp"))
        # Without an id of its own the same words at the same time are the same entry: callbacks are sent again.
        key = name_of(fields.get("dialogueId")) or sha256(repr((turn_id, producer, time, text)).encode()).hexdigest()
        said.append(Spoken(key=key, role=_ROLES.get(producer, "other"), text=text, at=time, turn_id=turn_id))
    return tuple(said)


WEBHOOK = Webhook(name="alibaba_ims", setting="token", check=check, read=read)
