"""LiveKit's LLM class of its openai plugin: writes a line of JSON for each thing that happens.

Run by the Python that has livekit-agents, as ``livekit_llm.py ADDRESS KEY MODE``. The function that it offers for the
end of the call has a name of its own.
"""

# What it imports is in an environment of its own, not in the one that is checked.
# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from livekit.agents import ChatContext, function_tool
from livekit.plugins.openai import LLM


def say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@function_tool
async def end_call() -> None:
    """End the telephone call."""


async def main(address: str, key: str, mode: str) -> None:
    """Ask once; with ``leave``, stop after the first words and live on."""
    asked = ChatContext.empty()
    asked.add_message(role="user", content="hello and bye")
    text, calls = "", []
    async with LLM(model="m", base_url=address, api_key=key) as llm:
        async with llm.chat(chat_ctx=asked, tools=[end_call]) as stream:
            async for chunk in stream:
                if chunk.delta is None:
                    continue
                calls += [{"name": call.name, "arguments": call.arguments} for call in chunk.delta.tool_calls]
                if chunk.delta.content:
                    text += chunk.delta.content
                    say(delta=chunk.delta.content)
                    if mode == "leave":
                        break
        if mode == "leave":
            say(left=True)
            await asyncio.Event().wait()
    say(text=text, calls=calls)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
