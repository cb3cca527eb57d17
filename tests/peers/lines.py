"""Agents that show when their words arrive: they wait for the test between two of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from offhook.testing import live_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

    from offhook import Turn
    from offhook.testing import LiveServer

FIRST = "第一句，\u2028\N{CJK UNIFIED IDEOGRAPH-20BB7}"
# What of the first words is the same in every JSON text: U+2028 may be escaped.
SEEN = "第一句"
LAST = "and the last."
WHOLE = FIRST + LAST
# How long the agent waits for a test that has given up.
PATIENCE = 90.0


class Gate:
    """An agent that says its first words, waits until the gate is opened, and says its last words."""

    def __init__(self) -> None:
        self._opened = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Let the agent go on; from any thread."""
        self._opened = True
        for loop, event in self._waiting:
            loop.call_soon_threadsafe(event.set)

    async def reply(self, turn: Turn) -> AsyncIterator[Any]:
        event = asyncio.Event()
        self._waiting.append((asyncio.get_running_loop(), event))
        yield FIRST
        if not self._opened:
            await asyncio.wait_for(event.wait(), PATIENCE)
        yield LAST
        if "bye" in turn.text:
            yield turn.hangup()

    def served(self, **settings: Any) -> AbstractContextManager[LiveServer]:
        """Serve it."""
        return live_server(self.reply, **settings)


def assert_cancelled(server: LiveServer, turns: int = 1) -> None:
    """The last of so many turns was ended by its client, before its last words."""
    last = server.wait_for_turns(turns)[-1]
    assert last.reason == "cancelled"
    assert last.events == 2, "the first words and the finish"
