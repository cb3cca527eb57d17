"""Deepgram Voice Agent, ``agent.think`` with an endpoint of one's own.

Source: the vendor's page "Voice Agent LLM Models" and its SDK (``think.endpoint``, ``functions``, ``defer_until_eot``).
It sends nothing of the call by itself; the session's settings can add headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.dialects.base import Dialect, Reading
from offhook.dialects.headers import read_with_headers
from offhook.dialects.offers import refuse_unoffered, write_offered

if TYPE_CHECKING:
    from offhook.dialects.base import Arrival, Delivery
    from offhook.events import CommandName


def read(arrival: Arrival) -> Reading:
    """Read what headers and query parameters say of the call."""
    return read_with_headers(arrival, "deepgram")


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not written: no function for it is offered, or the platform is not known to have it."""
    match name:
        case "protect":
            return "Deepgram is not known to protect one reply; whoever plays its sound decides about interruptions"
        case "say_to_app":
            return "Deepgram sends nothing of a reply to the app; add a function to agent.think.functions and call that"
    return refuse_unoffered(name, delivery, how="add to agent.think.functions of the Deepgram settings")


DEEPGRAM = Dialect(
    name="deepgram",
    marks=lambda arrival: False,
    read=read,
    write=write_offered,
    refuses=refuses,
    telephone=True,
    speculative=True,
)
