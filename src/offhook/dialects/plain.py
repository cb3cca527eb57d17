"""Plain OpenAI: any client that sends no call context of its own."""

from __future__ import annotations

from offhook.dialects.base import Arrival, Dialect, Reading, read_history, read_query, write_openai
from offhook.events import CallContext


def read(arrival: Arrival) -> Reading:
    """Read a request that says nothing of a call."""
    return Reading(
        call=CallContext(platform="plain", query=read_query(arrival.query)),
        turn_id=None,
        history=read_history(arrival.request),
    )


PLAIN = Dialect(name="plain", marks=lambda arrival: False, read=read, write=write_openai)
