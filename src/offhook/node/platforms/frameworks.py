"""LiveKit Agents and Pipecat: frameworks whose bot is the client, and runs the tools that it offers.

Source: livekit-agents 1.8 with its OpenAI plugin, pipecat-ai 1.14 (``services/openai/base_llm.py``), and the OpenAI
SDK below both.
"""

from __future__ import annotations

from offhook.node.platforms.base import (
    OWN_TOOLS,
    Asking,
    Platform,
    keep_heard,
    own_headers,
    own_tools,
    present,
    strings_of,
)
from offhook.node.request import Outgoing

# What the OpenAI SDK says of itself; 2 retries are its default, LiveKit sets 0.
SDK = {"X-Stainless-Lang": "python", "X-Stainless-Retry-Count": "0", "X-Stainless-Read-Timeout": "600"}


def _livekit(asking: Asking) -> Outgoing:
    facts = asking.facts
    body = {
        "model": asking.model_id,
        "messages": asking.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": OWN_TOOLS,
        # OpenAI's field, whose values are strings.
        "metadata": strings_of(facts) or None,
    }
    headers = {
        "User-Agent": "LiveKit Agents/1.8.9 (python 3.12)",
        **SDK,
        # One room, and one job in it, is one call.
        "X-LiveKit-Room-ID": facts.instance_id,
        "X-LiveKit-Job-ID": f"AJ_{facts.instance_id}",
        "X-LiveKit-Agent-ID": "A_1",
        # New with every request.
        "X-LiveKit-Session-ID": asking.id,
        **own_headers(facts, "caller_number", "callee_number"),
    }
    return Outgoing(present(body), headers=present(headers))


def _pipecat(asking: Asking) -> Outgoing:
    body = {
        "model": asking.model_id,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": asking.messages,
        "tools": OWN_TOOLS,
        "tool_choice": "auto",
    }
    headers = {"User-Agent": "AsyncOpenAI/Python 3.54.0", **SDK, **own_headers(asking.facts)}
    return Outgoing(body, headers=headers)


def preemptive(text: str) -> tuple[str, ...]:
    """Give what a preliminary transcript has: the words without the marks at their end."""
    early = text.rstrip(" .!?。！？")
    return (early,) if early else ()


LIVEKIT = Platform(
    name="livekit",
    request=_livekit,
    message=keep_heard,
    functions=own_tools,
    drafts=preemptive,
    drafting=True,
    prewarm=True,
)
PIPECAT = Platform(name="pipecat", unmarked=True, request=_pipecat, message=keep_heard, functions=own_tools)
