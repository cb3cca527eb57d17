"""Where the ids of a call come from when the platform sends none by itself: header, query or body. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.dialects.base import Arrival, Options, Reading, parse_user_data, read_header, read_id, read_text
from offhook.errors import SetupError

# The options that name a source; each but user_data is an id or a number, and is kept as text.
FIELDS = ("call_id", "turn_id", "room", "caller", "callee", "user_data")
_PLACES = ("header", "query", "body")


def check(options: Options) -> None:
    """Raise SetupError when an option names no source."""
    for field in FIELDS:
        source = getattr(options, field)
        if source is None:
            continue
        place, colon, name = source.partition(":")
        if place not in _PLACES or not colon or not name.strip():
            raise SetupError(
                f"{field} = {source!r} names no source; write 'header:X-Call', 'query:session_id' or 'body:custom.id'."
            )


def apply(options: Options, arrival: Arrival, reading: Reading) -> Reading:
    """Give the reading with what the named sources hold; what a source does not hold stays as the dialect read it."""
    found = {
        field: value
        for field in FIELDS
        if (source := getattr(options, field)) is not None and (value := _look_up(source, arrival)) is not None
    }
    if not found:
        return reading
    changes: dict[str, Any] = {
        field: id_ for field in ("room", "caller", "callee") if (id_ := read_id(found.get(field))) is not None
    }
    if (call_id := read_id(found.get("call_id"))) is not None:
        changes["id"] = call_id
    if "user_data" in found:
        raw = read_text(found["user_data"])
        changes |= {"user_data_raw": raw, "user_data": parse_user_data(raw)}
    return msgspec.structs.replace(
        reading,
        call=msgspec.structs.replace(reading.call, **changes),
        turn_id=read_id(found.get("turn_id")) or reading.turn_id,
    )


def _look_up(source: str, arrival: Arrival) -> Any:
    place, _, name = source.partition(":")
    name = name.strip()
    if place == "header":
        return read_header(arrival, name)
    if place == "query":
        return arrival.query.get(name)
    value: Any = arrival.request.body
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
