"""The Python agents that are measured. What the caller says is what they do: ``count=64 pace=20`` and the like."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook import Turn

_WISH = re.compile(r"(\w+)=(\w+)")
WORD = "这样，"


class Wish(msgspec.Struct, frozen=True):
    """How a reply is to be: so many events, so many milliseconds apart, kept waiting at some point.

    ``hold`` is ``headers`` (nothing at all is answered), ``first`` (no word comes), ``mid`` (nothing after the first
    word) or empty. ``chatty`` says what an upstream sends while it holds: something every ``pace`` ms, or nothing.
    Each ``stamps``-th event tells the time, the others are as long as a word is. ``think`` is how many milliseconds a
    Python agent takes before the first one.
    """

    count: int = 64
    pace: float = 20.0
    hold: str = ""
    chatty: bool = False
    round: str = ""
    stamps: int = 1
    think: float = 0.0


def read_wish(text: str) -> Wish:
    """Read what the caller said."""
    return msgspec.convert(dict(_WISH.findall(text)), Wish, strict=False)


async def paced(turn: Turn) -> AsyncIterator[str]:
    """Say the time, at the pace that the caller asked for."""
    wish = read_wish(turn.text)
    pause = wish.pace / 1000
    if wish.hold in ("headers", "first"):
        await asyncio.Event().wait()
    if wish.think:
        await asyncio.sleep(wish.think / 1000)
    for number in range(wish.count):
        yield WORD if number % wish.stamps else f"t={time.monotonic_ns()};"
        if wish.hold == "mid" and not wish.chatty:
            await asyncio.Event().wait()
        # After the last one too, as the upstream does.
        await asyncio.sleep(pause)
