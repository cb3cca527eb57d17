"""Tencent TRTC: the context in headers, no history by default, and chunks that go to the app instead of the caller.

Source: the vendor's pages on ``LLMConfig`` (headers, ``History`` 0, ``MetaInfo``) and on ``metainfo``. The key of
``MetaInfo`` in the body is not documented; hanging up is a server API, not a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offhook.node.platforms.base import Asking, Order, Platform, data_of, present, rounds
from offhook.node.request import Outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping

# ``History`` is 0 unless it is set: not even the last answer is sent.
_ROUNDS = 0


def _request(asking: Asking) -> Outgoing:
    facts = asking.facts
    headers = {
        "X-Task-Id": facts.instance_id,
        # A retry carries the same value.
        "X-Request-Id": f"{facts.instance_id or 'request'}-{asking.turn}",
        "X-Sdk-App-Id": "1400000000",
        "X-User-Id": "user",
        "X-Room-Id": facts.channel_id,
        "X-Room-Id-Type": "1",
    }
    messages = rounds(asking.messages, _ROUNDS)
    body = {"messages": messages, "model": asking.model_id, "stream": True, "MetaInfo": data_of(facts)}
    return Outgoing(present(body), headers=present(headers))


def _side(chunk: Mapping[str, Any], first: bool) -> Order | None:
    return Order("app", data=chunk.get("metainfo")) if chunk.get("type") == "meta.info" else None


TRTC = Platform(
    name="trtc",
    request=_request,
    sends=frozenset({"instance_id", "user_data"}),
    side=_side,
    side_mark=b"meta.info",
    whole_url=True,
    takes_hangup=False,
)
