"""Waiting for something for a limited time, by a clock that is handed in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offhook.clock import Clock


async def is_done_within(clock: Clock, seconds: float, future: asyncio.Future[Any]) -> bool:
    """Return when a future is done or so many seconds have passed; tell whether it is done. It is not cancelled."""
    timer = asyncio.get_running_loop().create_task(clock.sleep(seconds))
    waited_for: set[asyncio.Future[Any]] = {future, timer}
    try:
        await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
    return future.done()
