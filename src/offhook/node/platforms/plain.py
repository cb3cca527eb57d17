"""Those that ask as plain OpenAI has it: any client, AssemblyAI, Bolna, Deepgram, ZEGO.

Source: the vendors' pages on their custom LLM. None of them sends ids; Deepgram's customer sets headers, Bolna uses the
OpenAI SDK.
"""

from __future__ import annotations

from offhook.node.platforms.base import OWN_TOOLS, Asking, Platform, growing, own_headers, own_tools
from offhook.node.request import Outgoing


def _plain(asking: Asking) -> Outgoing:
    return Outgoing({"model": asking.model_id, "messages": asking.messages, "stream": True})


def _deepgram(asking: Asking) -> Outgoing:
    body = {"model": asking.model_id, "messages": asking.messages, "stream": True, "temperature": 0.7}
    return Outgoing({**body, "tools": OWN_TOOLS}, headers=own_headers(asking.facts))


def _bolna(asking: Asking) -> Outgoing:
    body = {"model": asking.model_id, "messages": asking.messages, "stream": True, "max_tokens": 100}
    sdk = {"User-Agent": "AsyncOpenAI/Python 3.54.0", "X-Stainless-Lang": "python"}
    return Outgoing({**body, "temperature": 0.1, "tools": OWN_TOOLS}, headers=sdk)


def _zego(asking: Asking) -> Outgoing:
    body = {"model": asking.model_id, "messages": asking.messages, "stream": True}
    return Outgoing({**body, "temperature": 0.7, "top_p": 0.9})


PLAIN = Platform(name="plain", request=_plain, sends=frozenset(), functions=own_tools)
ASSEMBLYAI = Platform(
    name="assemblyai",
    unmarked=True,
    request=_plain,
    sends=frozenset(),
    functions=own_tools,
    takes_hangup=False,
)
BOLNA = Platform(name="bolna", unmarked=True, request=_bolna, sends=frozenset(), functions=own_tools)
DEEPGRAM = Platform(
    name="deepgram", unmarked=True, request=_deepgram, functions=own_tools, drafts=growing, whole_url=True
)
ZEGO = Platform(
    name="zego",
    unmarked=True,
    request=_zego,
    sends=frozenset(),
    functions=own_tools,
    whole_url=True,
    takes_hangup=False,
)
