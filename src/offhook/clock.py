"""Time and identity: the only file that reads the clock or randomness.

Everything that needs the time, a pause or a new id is handed a ``Clock``; tests hand in
``offhook.testing.JumpClock``, which does not wait.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """Forget it; one that was called, or cancelled before, stays as it is."""


class Clock(Protocol):
    """What the rest of the house may know of time."""

    def now(self) -> float:
        """Give seconds since the epoch (1970-01-01 UTC)."""

    def monotonic(self) -> float:
        """Give seconds from an arbitrary start, never going back."""

    async def sleep(self, seconds: float) -> None:
        """Pause the calling task for so many seconds."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Have ``callback`` called in the running event loop after so many seconds."""

    def new_id(self, prefix: str) -> str:
        """Give ``prefix`` and 24 unguessable characters."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)

    def new_id(self, prefix: str) -> str:
        return prefix + secrets.token_hex(12)


def new_secret() -> str:
    """Give 256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)
