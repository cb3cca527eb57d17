"""Pipecat's ``OpenAILLMService`` as the client.

Source: the published package ``pipecat-ai`` (``services/openai/base_llm.py``). It takes one tool call per chunk, counts
their indexes from 0, and sends no header of its own by which it could be told.
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
    """Read what the bot's ``default_headers`` say of the call."""
    return read_with_headers(arrival, "pipecat")


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not written: the bot does all that is done, by functions that it offers."""
    match name:
        case "protect":
            return "Pipecat's bot decides that; give its user aggregator a user mute strategy"
        case "say_to_app":
            return "Pipecat's bot talks to the app; send an RTVI server message from a function of its own"
    return refuse_unoffered(name, delivery, how="register with the Pipecat bot's LLM service")


# No telephone: the client tries again by itself, and the bot sees an error frame that words of ours would hide.
PIPECAT = Dialect(
    name="pipecat",
    marks=lambda arrival: False,
    read=read,
    write=write_offered,
    refuses=refuses,
    speculative=True,
)
