"""Volcengine and BytePlus RTC, ``CustomLLM``: few fields, ``maxTokens``, and several questions for one utterance.

Source: the vendor's page on ``LLMConfig`` (``Custom``, ``ExtraHeader``, ``EnableRoundId``, ``Prefill``). The keys of
``Custom`` and of the round in the body are not documented; no id is sent that its customer does not set.
"""

from __future__ import annotations

from offhook.node.platforms.base import Asking, Platform, data_of, growing, own_headers, present, rounds
from offhook.node.request import Outgoing

_ROUNDS = 10


def _request(asking: Asking) -> Outgoing:
    body = {
        "messages": rounds(asking.messages, _ROUNDS),
        "stream": True,
        "temperature": 0.1,
        "model": asking.model_id,
        "top_p": 0.3,
        "maxTokens": 1024,
        "custom": data_of(asking.facts),
        "round_id": asking.turn,
    }
    headers = own_headers(asking.facts, "instance_id", "caller_number", "callee_number")
    return Outgoing(present(body), headers=headers)


VOLCENGINE = Platform(
    name="volcengine", request=_request, drafts=growing, leaves=False, whole_url=True, takes_hangup=False
)
