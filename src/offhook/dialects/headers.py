"""Reads the call from the headers and query parameters that a person adds where the platform sends none. Pure.

| what | header | query parameter |
| --- | --- | --- |
| call id | ``X-Call-Id`` | ``call_id`` |
| turn id | ``X-Turn-Id`` | ``turn_id`` |
| room | ``X-Room-Id`` | ``room_id`` |
| caller, callee | ``X-Caller``, ``X-Callee`` | ``caller``, ``callee`` |
| user data | ``X-User-Data`` | ``user_data``, else ``metadata`` of the body, which is OpenAI's own field for that |

A header wins over a parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.dialects.base import Reading, parse_user_data, read_header, read_history, read_id, read_query, read_text
from offhook.events import CallContext

if TYPE_CHECKING:
    from offhook.dialects.base import Arrival


def read_with_headers(arrival: Arrival, platform: str) -> Reading:
    """Read a request of which all that is known of the call stands in such headers and parameters."""
    raw = read_header(arrival, "x-user-data") or arrival.query.get("user_data") or None
    if raw is None and (metadata := arrival.request.body.get("metadata")) is not None:
        raw = read_text(metadata)
    return Reading(
        call=CallContext(
            id=_named(arrival, "x-call-id", "call_id"),
            room=_named(arrival, "x-room-id", "room_id"),
            caller=_named(arrival, "x-caller", "caller"),
            callee=_named(arrival, "x-callee", "callee"),
            user_data=parse_user_data(raw),
            user_data_raw=raw,
            platform=platform,
            query=read_query(arrival.query),
        ),
        turn_id=_named(arrival, "x-turn-id", "turn_id"),
        history=read_history(arrival.request),
    )


def first_header(arrival: Arrival, *names: str) -> str | None:
    """Give the value of the first of these headers that holds one."""
    return next((id_ for name in names if (id_ := read_id(read_header(arrival, name))) is not None), None)


def _named(arrival: Arrival, header: str, parameter: str) -> str | None:
    return first_header(arrival, header) or read_id(arrival.query.get(parameter))
