"""Writes commands as calls of functions that the request offers, where the platform runs no other. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from offhook.dialects.base import write_openai
from offhook.events import Command

if TYPE_CHECKING:
    from offhook.dialects.base import Delivery, Piece
    from offhook.events import CommandName, Event

# What people call the functions that do it; the configured one comes first, and of these the first that is offered.
HANGUPS = ("hangup", "hang_up", "end_call", "endCall", "hangup_call", "hang_up_call")
TRANSFERS = ("transfer", "transfer_call", "transferCall", "transfer_to_number")


def function_of(name: CommandName, delivery: Delivery, known: tuple[str, ...]) -> tuple[str, bool]:
    """Give the function that a hangup or transfer is a call of, and whether the request offers it.

    It is the configured one or, where that is not offered, the first of the ``known`` ones that is.
    """
    options = delivery.options
    configured = options.hangup_function if name == "hangup" else options.transfer_function
    wanted = (configured, *known) if configured else known
    offered = next((one for one in wanted if one in delivery.offered), None)
    return (wanted[0], False) if offered is None else (offered, True)


def is_offered(name: CommandName, delivery: Delivery) -> bool:
    """Tell whether a command is a hangup or transfer that the request offers a function for."""
    known = {"hangup": HANGUPS, "transfer": TRANSFERS}.get(name)
    return known is not None and function_of(name, delivery, known)[1]


def write_offered(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write an event as plain OpenAI has it, a command under the name that the request offers for it."""
    if isinstance(event, Command) and event.ends:
        hangup, _ = function_of("hangup", delivery, HANGUPS)
        transfer, _ = function_of("transfer", delivery, TRANSFERS)
        options = msgspec.structs.replace(delivery.options, hangup_function=hangup, transfer_function=transfer)
        delivery = msgspec.structs.replace(delivery, options=options)
    return write_openai(event, delivery)


def refuse_unoffered(name: CommandName, delivery: Delivery, *, how: str) -> str | None:
    """Give why a hangup or transfer is not written: no function for it is offered; ``how`` tells how to offer one."""
    known = HANGUPS if name == "hangup" else TRANSFERS
    function, offered = function_of(name, delivery, known)
    if offered:
        return None
    argument = "" if name == "hangup" else " with the argument 'number'"
    return f"the request offers no function for it; {how} a function called {function!r}{argument}"
