"""The seam through which logs, metrics and traces see turns: frozen details and a protocol."""

from __future__ import annotations

from typing import Protocol

import msgspec


class TurnDetails(msgspec.Struct, frozen=True):
    """A turn that has ended. Times are seconds since its request was received, None where it did not happen.

    ``which`` tells what its request was to the call's others (``turns/which.py``), ``memory`` where its history came
    from: ``window``, or ``first``, ``aligned`` and ``missed`` where the call remembers. ``reason`` is the
    finish reason of the reply; ``error`` what it failed with; ``events`` counts all but attempts. ``cancelled`` is when
    the cancel came in, ``ended`` when the agent's task was over; ``stopped_at`` is the latter on the clock's monotonic
    scale.
    """

    request_id: str
    call_id: str | None
    turn_id: str | None
    platform: str
    model: str
    which: str
    memory: str
    reason: str
    error: Exception | None
    events: int
    started: float
    first_useful: float | None
    cancelled: float | None
    ended: float
    stopped_at: float


class TurnHook(Protocol):
    """Is told of turns, in the event loop; it must return at once and never raise."""

    def turn_ended(self, details: TurnDetails) -> None:
        """Take the details of a turn whose task is over."""
