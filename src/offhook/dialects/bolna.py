"""Bolna, ``llm_config`` with the provider ``custom``.

Source: the vendor's page "Custom LLM". It asks with the OpenAI SDK and streams; no page says what of the call is sent,
so it is read from the URL that a person sets, and there is no mark to tell the platform by.
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
    return read_with_headers(arrival, "bolna")


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not written: no function for it is offered, or the platform is not known to have it."""
    match name:
        case "protect":
            return "Bolna is not known to protect one reply; look for it among the settings of its agent"
        case "say_to_app":
            return "Bolna is not known to send anything of a reply to the app; send it from the agent by other means"
    return refuse_unoffered(name, delivery, how="add to the Bolna agent")


BOLNA = Dialect(
    name="bolna",
    marks=lambda arrival: False,
    read=read,
    write=write_offered,
    refuses=refuses,
    telephone=True,
)
