"""A clock for the node's tests that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.clock import Timer


class HandClock:
    """A clock that its sleepers move, each sleep at once; with ``wake`` they sleep until that is set."""

    def __init__(self, wake: asyncio.Event | None = None) -> None:
        self.at = 100.0
        self.sleeping = asyncio.Event()
        self._wake = wake

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def new_id(self, prefix: str) -> str:
        return f"{prefix}id"

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        raise AssertionError("nobody sets a timer here")

    async def sleep(self, seconds: float) -> None:
        self.sleeping.set()
        if self._wake is not None:
            await self._wake.wait()
        self.at += seconds
        await asyncio.sleep(0)
