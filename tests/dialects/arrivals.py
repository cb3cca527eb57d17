"""For tests of dialects: requests as they arrive, tools that they offer, and what no field may break."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from offhook.dialects.base import Arrival, Delivery, Dialect, Options
from offhook.errors import BadField, BadJson
from offhook.wire.chat import CallDelta, decode_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offhook.events import Event

USER: dict[str, Any] = {"role": "user", "content": "x"}

# An id as platforms send it, and as it is kept.
IDS: list[tuple[object, str | None]] = [
    ("a-1", "a-1"),
    ("3", "3"),
    (3, "3"),
    (3.0, "3"),
    (3.5, "3.5"),
    (0, "0"),
    (10**30, "1" + "0" * 30),
    ("", None),
    (None, None),
    (" \t", None),
    (True, None),
    (False, None),
    ([], None),
    ({}, None),
    ([3], "[3]"),
    ({"id": 3}, '{"id":3}'),
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def objects(*names: str) -> st.SearchStrategy[Any]:
    """Give anything, often an object with some of these members, or the text of one."""
    inside = st.fixed_dictionaries({}, optional=dict.fromkeys(names, JSON))
    return JSON | inside | inside.map(json.dumps)


def header_values(*names: str) -> st.SearchStrategy[dict[str, str]]:
    """Give some of these headers, with any value that HTTP can carry."""
    latin = st.text(st.characters(codec="latin-1"), max_size=12)
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, latin))


def arrival(
    fields: Mapping[str, Any] | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    path: str = "/v1/chat/completions",
) -> Arrival:
    """Give a request with these fields beside those that every request has."""
    body = {"messages": [USER], "model": "abc", "stream": True, **(fields or {})}
    raw = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Arrival(request=decode_request(raw), headers=headers or {}, query=query or {}, path=path)


def tool(name: object, *arguments: str) -> dict[str, Any]:
    """Give the definition of a function that takes these arguments."""
    properties = {argument: {"type": "string"} for argument in arguments}
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


def offering(*names: str, **options: Any) -> Delivery:
    """Give a reply to a request that offers functions of these names."""
    return Delivery(options=Options(**options), offered=frozenset(names))


def called(dialect: Dialect, event: Event, delivery: Delivery) -> tuple[str, Any]:
    """Give the function and the arguments of the one call that an event is written as."""
    (piece,) = dialect.write(event, delivery)
    assert isinstance(piece, CallDelta)
    assert piece.id == ""
    return piece.name, json.loads(piece.arguments)


def check_survives(
    dialect: Dialect,
    fields: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> None:
    """Fail when a request cannot be told or read, or when an id is neither None nor a text that says something."""
    try:
        came = arrival(fields, headers=headers, query=query)
    except (BadField, BadJson):  # What the wire refuses gets no further.
        return
    assert dialect.marks(came) in (True, False)
    assert all(isinstance(name, str) for name in came.offered)
    reading = dialect.read(came)
    call = reading.call
    assert call.platform == dialect.name
    for text in (reading.turn_id, call.id, call.room, call.caller, call.callee):
        assert text is None or (isinstance(text, str) and text)
    assert call.user_data_raw is None or isinstance(call.user_data_raw, str)


def deep(*path: str) -> Arrival:
    """Give a request with a value at this path into the body that can be read, but is too deep to be written again."""
    text = "[" * 900 + "]" * 900
    for name in reversed(path):
        text = f'{{"{name}":{text}}}'
    raw = f'{{"messages":[{{"role":"user"}}],"model":"m",{text[1:]}'
    return Arrival(request=decode_request(raw.encode()), headers={}, query={})


def check_far_down(dialect: Dialect, came: Arrival, frames: int = 120) -> None:
    """Read a request with so many frames of somebody else's below, as a server has them."""
    if frames:
        check_far_down(dialect, came, frames - 1)
    else:
        dialect.marks(came)
        assert came.offered == frozenset()
        assert dialect.read(came).call.platform == dialect.name
