"""Tool calls are put together from whatever fragments a service sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.wire.calls import CallAssembler


def part(arguments: object = None, *, name: object = None, id: object = None, index: object = None) -> dict[str, Any]:
    fields = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in fields.items() if value is not None}


def assembled(*deltas: object) -> list[tuple[str, str, str]]:
    calls = CallAssembler()
    for delta in deltas:
        calls.feed(delta if isinstance(delta, list) else [delta])
    return [(call.id, call.name, call.arguments) for call in calls.calls]


FORMS: dict[str, tuple[list[object], list[tuple[str, str, str]]]] = {
    "nothing": ([], []),
    "whole": ([part("{}", name="f", id="a", index=0)], [("a", "f", "{}")]),
    "by the book": (
        [part("", name="f", id="a", index=0), part('{"x"', index=0), part(":1}", index=0)],
        [("a", "f", '{"x":1}')],
    ),
    "two, one after the other": (
        [
            part("", name="f", id="a", index=0),
            part("{}", index=0),
            part("", name="f", id="b", index=1),
            part("[]", index=1),
        ],
        [("a", "f", "{}"), ("b", "f", "[]")],
    ),
    "two, interleaved": (
        [
            part("", name="f", id="a", index=0),
            part("", name="g", id="b", index=1),
            part("1", index=0),
            part("2", index=1),
        ],
        [("a", "f", "1"), ("b", "g", "2")],
    ),
    "two in one delta": (
        [[part("{}", name="f", id="a", index=0), part("{}", name="f", id="b", index=1)]],
        [("a", "f", "{}"), ("b", "f", "{}")],
    ),
    "index begins at 1": (
        [part("", name="f", id="a", index=1), part("{}", index=1)],
        [("a", "f", "{}")],
    ),
    "no index, id on every fragment": (
        [part("{", name="f", id="a"), part("{", name="f", id="b"), part("}", id="a"), part("}", id="b")],
        [("a", "f", "{}"), ("b", "f", "{}")],
    ),
    "no index, id on the first fragment": (
        [part("{", name="f", id="a"), part("}")],
        [("a", "f", "{}")],
    ),
    "index on the first fragment only": (
        [part("{", name="f", id="a", index=0), part("}")],
        [("a", "f", "{}")],
    ),
    "neither index nor id": (
        [part("{", name="f"), part("}"), part("[", name="g"), part("]")],
        [("", "f", "{}"), ("", "g", "[]")],
    ),
    "name alone again begins a new call once the first is whole": (
        [part("{}", name="f"), part("[]", name="f")],
        [("", "f", "{}"), ("", "f", "[]")],
    ),
    "id and name emptied later": (
        [part("{", name="f", id="a", index=0), part("}", name="", id="", index=0)],
        [("a", "f", "{}")],
    ),
    "id and name repeated": (
        [
            part("", name="f", id="a", index=0),
            part("{", name="f", id="a", index=0),
            part("}", name="f", id="a", index=0),
        ],
        [("a", "f", "{}")],
    ),
    "id and name late": (
        [part("{", index=0), part("}", name="f", index=0), part(id="a", index=0)],
        [("a", "f", "{}")],
    ),
    "the first id and name win": (
        [part("{", name="f", id="a", index=0), part("}", name="g", id="b", index=0)],
        [("a", "f", "{}")],
    ),
    "one index for several calls": (
        [part("{}", name="f", id="a", index=0), part("{", name="g", id="b", index=0), part("}", index=0)],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "one index for several calls, the first without arguments": (
        [part("", name="f", id="a", index=0), part("{", name="g", id="b", index=0), part("}", index=0)],
        [("a", "f", ""), ("b", "g", "{}")],
    ),
    "another id on every fragment": (
        [
            part("", name="f", id="a", index=0),
            part("{", name="f", id="b", index=0),
            part("}", name="f", id="c", index=0),
        ],
        [("a", "f", "{}")],
    ),
    "the whole call on every chunk": (
        [part("{}", name="f", id="a", index=0)] * 5,
        [("a", "f", "{}")],
    ),
    "the vendor's sample server": (
        [part("\\{\\}", name="hangup", id="call_abc123")] * 30,
        [("call_abc123", "hangup", "\\{\\}")],
    ),
    "the sample server without an id": (
        [part("\\{\\}", name="hangup")] * 30,
        [("", "hangup", "\\{\\}")],
    ),
    "arguments an object": ([part({"x": [1, "é"]}, name="f", id="a", index=0)], [("a", "f", '{"x":[1,"é"]}')]),
    "arguments null, then text": (
        [part(name="f", id="a", index=0), part("{}", index=0)],
        [("a", "f", "{}")],
    ),
    "no arguments ever": ([part(name="f", id="a", index=0)], [("a", "f", "")]),
    "nonsense in between": (
        [part("{", name="f", id="a", index=0), [None, 3, "x", []], {"function": None}, part("}", index=0)],
        [("a", "f", "{}")],
    ),
    "index a string": (
        [part("{", name="f", id="a", index="0"), part("}", id="a", index="0")],
        [("a", "f", "{}")],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_of_the_field(name: str) -> None:
    """Each form that services send gives the calls that were meant."""
    deltas, expected = FORMS[name]
    assert assembled(*deltas) == expected


WORDS: st.SearchStrategy[object] = st.sampled_from(["", "a", "b", "{}", "{"]) | st.none() | st.integers() | st.just({})
FRAGMENT = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(-1, 2) | st.none() | st.text(max_size=1),
        "id": WORDS,
        "function": st.none() | st.fixed_dictionaries({}, optional={"name": WORDS, "arguments": WORDS}),
    },
)


@given(st.lists(FRAGMENT | st.none() | st.integers()))
def test_any_fragments_are_taken(fragments: list[object]) -> None:
    """No fragment raises, and what comes out is text."""
    for call in assembled(*fragments):
        assert all(isinstance(value, str) for value in call)


@given(st.lists(st.lists(st.text(min_size=1, max_size=5), max_size=6), max_size=4), st.randoms())
def test_the_book_in_any_order(pieces: list[list[str]], random: Any) -> None:
    """Calls with an index come out whole, however their fragments are interleaved."""
    opened = [part("", name=f"f{index}", id=f"c{index}", index=index) for index in range(len(pieces))]
    order = [index for index, parts in enumerate(pieces) for _ in parts]
    random.shuffle(order)
    left = [iter(parts) for parts in pieces]
    rest = [part(next(left[index]), index=index) for index in order]
    assert assembled(*opened, *rest) == [(f"c{i}", f"f{i}", "".join(parts)) for i, parts in enumerate(pieces)]
