"""A model's orders to the platform: which it is offered as tools, and the command that a call of one is. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offhook.events import Command, CommandName, ToolCall, Turn

# By the names that stand for them among an agent's ``tools``.
DEFINITIONS: dict[CommandName, dict[str, Any]] = {
    "hangup": {
        "type": "function",
        "function": {
            "name": "hangup",
            "description": "End the telephone call, once what you have said is spoken. Say goodbye first.",
            "parameters": {"type": "object", "properties": {}},
        },
    },
    "transfer": {
        "type": "function",
        "function": {
            "name": "transfer",
            "description": "Connect the caller to another telephone number, once what you have said is spoken.",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "string", "description": "The number to connect to."}},
                "required": ["number"],
            },
        },
    },
}

# How models name the number when nobody has told them.
_NUMBERS = ("number", "to", "destination", "phone_number", "callee")


def offered_by(turn: Turn) -> frozenset[str]:
    """Give the names of the tools that the request itself offers: calls of these go back to who sent them."""
    functions = (tool.get("function") for tool in turn.tools)
    return frozenset(str(function.get("name")) for function in functions if isinstance(function, dict))


def command_of(call: ToolCall, turn: Turn) -> Command | None:
    """Give the command that a model's call is; None for a call of anything else, or a transfer to nowhere.

    A tool of that name which the request offers is the platform's own, and no command.
    """
    if call.name not in DEFINITIONS or call.name in offered_by(turn):
        return None
    if call.name == "hangup":
        return turn.hangup()
    number = _number(call.arguments)
    return turn.transfer(number) if number else None


def _number(arguments: str) -> str:
    try:
        given: Mapping[str, Any] = msgspec.json.decode(arguments or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    found = next((given[name] for name in _NUMBERS if given.get(name)), "")
    return found.strip() if isinstance(found, str) else str(found) if isinstance(found, int) else ""
