"""System prompts with places for what is known of the call. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.errors import SetupError

if TYPE_CHECKING:
    from offhook.events import Turn

_PLACE = re.compile(r"\{\{\s*([\w.\-]+)\s*(?:\|([^{}]*))?\}\}")
NAMES = ("call_id", "turn_id", "room", "caller", "callee", "platform", "model", "user_data", "query")


def fill_in(template: str, turn: Turn) -> str:
    """Give ``template`` with each ``{{name}}`` or ``{{name|otherwise}}`` filled in from the turn, in one pass.

    ``{{user_data.address.city}}`` and ``{{query.tenant}}`` reach inside. What is not known becomes
    ``otherwise``, or nothing.
    """
    call = turn.call
    values: dict[str, Any] = {
        "call_id": call.id,
        "turn_id": turn.id,
        "room": call.room,
        "caller": call.caller,
        "callee": call.callee,
        "platform": call.platform,
        "model": turn.model,
        "user_data": call.user_data,
        "query": call.query,
    }

    def value(match: re.Match[str]) -> str:
        found: Any = values
        for part in match[1].split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return _text(found) or (match[2] or "").strip()

    return _PLACE.sub(value, template)


def check(template: str) -> None:
    """Raise SetupError when a place in ``template`` has a name that no turn has."""
    for match in _PLACE.finditer(template):
        if match[1].split(".")[0] not in NAMES:
            raise SetupError(f"The system prompt asks for {{{{{match[1]}}}}}; there are: {', '.join(NAMES)}.")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
