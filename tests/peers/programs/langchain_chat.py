"""LangChain's ChatOpenAI with a bound tool: writes a line of JSON for each thing that happens.

Run by the Python that has langchain-openai, as ``langchain_chat.py ADDRESS KEY MODE``.
"""

# What it imports is in an environment of its own, not in the one that is checked.
# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


def say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@tool
def end_call() -> None:
    """End the telephone call."""


async def main(address: str, key: str, mode: str) -> None:
    """Ask once; with ``leave``, cancel the task after the first words and live on."""
    model = ChatOpenAI(model="m", base_url=address, api_key=key, max_retries=0).bind_tools([end_call])
    heard = asyncio.Event()

    async def ask() -> Any:
        whole: Any = None
        async for chunk in model.astream("hello and bye"):
            whole = chunk if whole is None else whole + chunk
            if chunk.content:
                say(delta=chunk.content)
                heard.set()
        return whole

    asking = asyncio.create_task(ask())
    if mode == "leave":
        await heard.wait()
        asking.cancel()
        await asyncio.wait([asking])
        say(left=True)
        await asyncio.Event().wait()
    whole = await asking
    calls = [{"name": call["name"], "arguments": json.dumps(call["args"])} for call in whole.tool_calls]
    say(text=whole.content, calls=calls)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
