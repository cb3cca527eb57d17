"""The seam through which logs, metrics and traces see turns: frozen details and a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from offhook.events import Attempt, AttemptEnded, ToolRun


class TurnStart(msgspec.Struct, frozen=True):
    """A turn that begins. ``ticket`` names it on this server; ``received_at`` is in seconds since the epoch.

    ``trace`` holds the W3C Trace Context headers of the request, as they came.
    """

    ticket: str
    request_id: str
    call_id: str | None
    turn_id: str | None
    platform: str
    model: str
    received_at: float
    trace: Mapping[str, str] = {}


class TurnDetails(msgspec.Struct, frozen=True):
    """A turn that has ended. Times are seconds since its request was received, None where it did not happen.

    ``which`` tells what its request was to the call's others (``turns/which.py``), ``memory`` where its history came
    from: ``window``, or ``first``, ``aligned`` and ``missed`` where the call remembers. ``reason`` is the
    finish reason of the reply; ``error`` what it failed with; ``events`` counts those that were sent. ``cancelled`` is
    when the cancel came in, ``ended`` when the agent's task was over; ``stopped_at`` is the latter on the clock's
    monotonic scale. ``gap`` is the longest time between two writes of one reply from the first useful event on.
    ``asides`` are why something was said beside the answer (``filler``, ``apology``, ``closing``), in their order.
    ``begun`` are the attempts as they began, ``attempts`` those of them that ended before the turn did.
    ``cost`` adds up what the attempts cost, None where no price is known; tokens are None where nobody counted.
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
    ticket: str = ""
    gap: float = 0.0
    asides: tuple[str, ...] = ()
    attempts: tuple[AttemptEnded, ...] = ()
    tools: tuple[ToolRun, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    begun: tuple[Attempt, ...] = ()


class TurnHook(Protocol):
    """Is told of turns, in the event loop; it must return at once and never raise."""

    def turn_ended(self, details: TurnDetails) -> None:
        """Take the details of a turn whose task is over."""


class Tracer(Protocol):
    """Gives each turn a place in a distributed trace; it must return at once and never raise."""

    def turn_started(self, start: TurnStart) -> Mapping[str, str]:
        """Give the W3C Trace Context headers that the turn's own requests carry on."""

    def call_ended(self, call_id: str) -> None:
        """Take that a call has ended."""
