"""Plain OpenAI: any client, also of a platform that is not known here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.dialects.base import Arrival, Dialect, Reading, write_openai
from offhook.dialects.headers import read_with_headers
from offhook.dialects.offers import write_offered
from offhook.events import Command

if TYPE_CHECKING:
    from offhook.dialects.base import Delivery, Piece
    from offhook.events import Event


def read(arrival: Arrival) -> Reading:
    """Read what headers and query parameters say of the call: any platform may be told to send them."""
    return read_with_headers(arrival, "plain")


def write(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write an event, a command under its configured name, else under one that the request offers, else under ours."""
    configured = {"hangup": delivery.options.hangup_function, "transfer": delivery.options.transfer_function}
    if isinstance(event, Command) and configured.get(event.name):
        return write_openai(event, delivery)
    return write_offered(event, delivery)


PLAIN = Dialect(name="plain", marks=lambda arrival: False, read=read, write=write)
