"""The tables of docs/turns.md say what the code does: each of their cells is a case that is named by the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from offhook.turns.which import UNDELIVERED, Known, name
from tests.documents import DOCS
from tests.turns.test_which import CALLS, HELLO, LIFETIME, MORE, NOW, RESULT, ask, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offhook.turns.which import Asked

GROWN = said("hello there")
REASONS = {None, "stop", "length", "tool_calls", "content_filter", "cancelled", "superseded", "failed"}
# What a cell says after the name: the answer, and whether the other one is ended.
DONE = {
    "runs": ("run", False),
    "ends it, runs": ("run", True),
    "joins it": ("join", False),
    "is given its record": ("replay", False),
    "nothing is said": ("nothing", False),
}


class Case(NamedTuple):
    """A row: the request, the one that it is compared with, how that ended, and a later one of the call."""

    asked: Asked
    other: Asked
    ago: float = 1.0
    delivered: bool = True
    later: Asked | None = None


CASES: dict[str, list[Case]] = {
    "the same id, the same messages": [Case(ask(*HELLO, id=id), ask(*HELLO, id="1")) for id in ("1", "01")],
    "the same id, the same messages, after `replay_for` seconds": [
        Case(ask(*HELLO, id="1"), ask(*HELLO, id="1"), ago=LIFETIME + 1)
    ],
    "the same id, the same messages, and a later id has come": [
        Case(ask(*HELLO, id="9"), ask(*HELLO, id="9"), later=ask(*MORE, id="10")),
        Case(ask(*HELLO, id="b"), ask(*HELLO, id="b"), later=ask(*MORE, id="a")),
    ],
    "the same id, other messages, and a later id has come": [
        Case(ask(*GROWN, id="9"), ask(*HELLO, id="9"), later=ask(*MORE, id="10")),
        Case(ask(*HELLO, CALLS, RESULT, id="b"), ask(*HELLO, id="b"), later=ask(*MORE, id="a")),
    ],
    "an earlier id": [Case(ask(*HELLO, id="9"), ask(*MORE, id="10"))],
    "the same id, its messages, then tool calls and results": [
        Case(ask(*HELLO, CALLS, RESULT, id="1"), ask(*HELLO, id="1")),
        Case(ask(*HELLO, CALLS, RESULT, CALLS, RESULT, id="1"), ask(*HELLO, CALLS, RESULT, id="1")),
    ],
    "the same id, any other messages": [
        Case(ask(*messages, id="1"), ask(*HELLO, id="1")) for messages in (GROWN, MORE, said("a", "b", "c"))
    ],
    "a later id": [
        *(Case(ask(*messages, id="10"), ask(*HELLO, id="9")) for messages in (HELLO, GROWN, MORE, said("a", "b", "c"))),
        Case(ask(*MORE, id="a"), ask(*HELLO, id="b")),
    ],
    "the same messages, its body did not arrive whole, within 10 s": [
        Case(ask(*HELLO), ask(*HELLO), ago=UNDELIVERED, delivered=False)
    ],
    "the same messages, its body did not arrive whole, after 10 s": [
        Case(ask(*HELLO), ask(*HELLO), ago=UNDELIVERED + 0.1, delivered=False)
    ],
    "the same messages, its body arrived": [Case(ask(*HELLO), ask(*HELLO))],
    "the same messages, and one of the two has a turn id": [
        Case(ask(*HELLO, id="1"), ask(*HELLO), delivered=False),
        Case(ask(*HELLO), ask(*HELLO, id="1"), delivered=False),
    ],
    "its messages, then tool calls and results": [
        Case(ask(*HELLO, CALLS, RESULT, id=id), ask(*HELLO, id=other))
        for id, other in ((None, None), (None, "1"), ("1", None))
    ],
    "its messages but for the caller's last one": [Case(ask(*GROWN), ask(*HELLO, id=other)) for other in (None, "1")]
    + [Case(ask(*said("!now", "hello there")), ask(*said("!then", "hello")))],
    "its messages but for the caller's last one, and it alone has a turn id": [Case(ask(*GROWN, id="1"), ask(*HELLO))],
    "its messages, then others": [
        Case(ask(*MORE, id=id), ask(*HELLO, id=other)) for id, other in ((None, None), (None, "1"), ("1", None))
    ],
    "anything else": [
        Case(ask(*messages), ask(*other))
        for messages, other in ((HELLO, MORE), (said("a", "b", "c"), HELLO), (said("a", "b", "c"), said("a", "x", "y")))
    ],
    "the same id, the same messages, not streamed": [
        Case(ask(*HELLO, id="1", stream=False), ask(*HELLO, id="1", stream=stream)) for stream in (True, False)
    ],
    "the same messages without ids, not streamed, its body did not arrive whole, within 10 s": [
        Case(ask(*HELLO, stream=False), ask(*HELLO, stream=stream), delivered=False) for stream in (True, False)
    ],
    "its messages, then tool calls and results, not streamed": [
        Case(ask(*HELLO, CALLS, RESULT, id=id, stream=False), ask(*HELLO, id=id, stream=stream))
        for id in (None, "1")
        for stream in (True, False)
    ],
    "any other id or messages, not streamed": [
        Case(ask(*messages, id=id, stream=False), ask(*HELLO, id=other, stream=stream))
        for id, other, messages in (("2", "1", MORE), ("1", "2", HELLO), ("1", "1", GROWN), (None, None, MORE))
        for stream in (True, False)
    ],
    "a later id, and it is not streamed": [Case(ask(*MORE, id="2"), ask(*HELLO, id="1", stream=False))],
}


def tables() -> Iterator[tuple[str, set[str | None], str]]:
    """Give each cell of the three tables: its row, the endings of its column, and what it says."""
    text = (DOCS / "turns.md").read_text("utf-8")
    heads: list[set[str | None]] | None = None
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] == "the request has":
            heads = [set(re.findall("`(\\w+)`", cell)) or {None} for cell in cells[1:]]
        elif not cells:
            heads = None
        elif heads is not None and not line.startswith("| ---"):
            yield from ((cells[0], reasons, cell) for reasons, cell in zip(heads, cells[1:], strict=True))


@pytest.mark.parametrize(("row", "reasons", "cell"), [cell for cell in tables() if cell[2] != "-"])
def test_a_cell_says_what_is_done(row: str, reasons: set[str | None], cell: str) -> None:
    """Every request of a row is named and answered as the cell says, for each ending in the head of its column."""
    which, _, done = cell.partition(": ")
    answer, ends = DONE[done]
    for case in CASES[row]:
        for reason in reasons:
            other = Known("other", "here", case.other, reason)
            if reason is not None:
                other = Known("other", "here", case.other, reason, NOW - case.ago, case.delivered)
            later = [Known("later", "here", case.later)] if case.later is not None else []
            found = name(case.asked, [other, *later], now=NOW, lifetime=LIFETIME)
            assert (found.which, found.answer, other in found.ends) == (which, answer, ends), (case, reason)


def test_the_tables_are_whole() -> None:
    """Each row has its cases here, every ending has its column, and every name and answer is shown."""
    cells = list(tables())
    assert [row for row, _, _ in cells[::3]] == list(CASES)
    assert {frozenset(reasons) for _, reasons, _ in cells} == {
        frozenset({None}),
        frozenset({"stop", "length", "tool_calls"}),
        frozenset({"content_filter", "cancelled", "superseded", "failed"}),
    }
    assert set().union(*(reasons for _, reasons, _ in cells)) == REASONS
    shown = {cell.partition(": ")[0::2] for _, _, cell in cells if cell != "-"}
    assert {which for which, _ in shown} == {"retry", "continuation", "grown", "newer", "older", "beside"}
    assert {done for _, done in shown} == set(DONE)
