"""Which model service is asked first, and how often more than once: order, budget and Retry-After."""

from __future__ import annotations

from collections import Counter
from email.utils import formatdate
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.upstream.health import Breaker, Budget, choose, order, retry_after_seconds

OPEN_FOR, LONGEST = 10, 300


def opened(now: float = 0.0) -> Breaker:
    """Give a breaker that a failure has just opened."""
    made = Breaker(open_for=OPEN_FOR, least=1)
    made.failed(now)
    return made


@given(
    st.integers(0, 100),
    st.integers(0, 20),
    st.lists(st.booleans(), max_size=300),
)
def test_a_budget_is_never_exceeded(percent: int, burst: int, takes: list[bool]) -> None:
    """At no moment were more than share times requests plus burst allowed."""
    budget, requests, taken = Budget(percent / 100, burst=float(burst)), 0, 0
    for take in takes:
        if take:
            taken += budget.take()
        else:
            budget.request()
            requests += 1
        assert taken <= Fraction(percent, 100) * requests + burst


@pytest.mark.parametrize("percent", [1, 5, 10, 29, 30, 100])
def test_a_budget_gives_its_whole_share(percent: int) -> None:
    """Of a thousand requests exactly the share may have an extra one, beyond the burst."""
    budget = Budget(percent / 100, burst=2.0)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    taken = 0
    for _ in range(1000):
        budget.request()
        taken += budget.take()
    assert taken == percent * 10


def test_a_quiet_time_saves_no_more_than_the_burst() -> None:
    """A thousand requests without an extra one allow ten of them at once, not more; so does a new budget."""
    budget = Budget(0.2, burst=10.0)
    for _ in range(2):
        assert [budget.take() for _ in range(11)] == [True] * 10 + [False]
        for _ in range(1000):
            budget.request()


def test_a_share_of_nothing_is_nothing() -> None:
    """With a share of 0 there is no extra request, not even at first."""
    budget = Budget(0.0)
    budget.request()
    assert not budget.take()


names = st.lists(st.text(max_size=8), min_size=1, max_size=8, unique=True)
weights = st.floats(0.001, 1000)


@given(names, st.data(), st.text() | st.text(st.characters(categories=["Cs"]), min_size=1))
def test_removing_one_leaves_the_order_of_the_others(services: list[str], data: st.DataObject, key: str) -> None:
    """The order names each service once, is the same each time, and does not depend on who else is listed, or where."""
    pairs = [(name, data.draw(weights)) for name in services]
    ranked = [services[index] for index in order(pairs, key)]
    assert sorted(ranked) == sorted(services)
    gone = data.draw(st.sampled_from(services))
    fewer = data.draw(st.permutations([pair for pair in pairs if pair[0] != gone]))
    assert [fewer[index][0] for index in order(fewer, key)] == [name for name in ranked if name != gone]


def test_first_places_follow_the_weights() -> None:
    """Of many calls each service is first in its share, and second among those that it did not win likewise."""
    pairs, calls = [("a", 1.0), ("b", 2.0), ("c", 5.0)], 20_000
    ranked = [order(pairs, f"call-{number}") for number in range(calls)]
    first = Counter(places[0] for places in ranked)
    assert [round(first[index] / calls, 2) for index in range(3)] == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.015)
    second = Counter(places[1] for places in ranked if places[0] == 2)
    assert second[1] / first[2] == pytest.approx(2 / 3, abs=0.02)


def test_the_order_is_the_same_in_every_process() -> None:
    """The order of a call does not change with the process that answers it."""
    pairs = [("a", 1.0), ("b", 1.0), ("c", 1.0)]
    assert [order(pairs, key) for key in ("call-1", "call-2", "call-3")] == [[0, 2, 1], [1, 2, 0], [1, 0, 2]]


def test_the_healthy_are_asked_first() -> None:
    """Closed ones come in their order, then the one that is being probed, then the open ones, and none is left out."""
    closed, open_, probed = Breaker(), opened(OPEN_FOR), opened()
    probed.asked(OPEN_FOR)
    assert choose([1, 2, 3, 0], [closed, open_, probed, Breaker()], OPEN_FOR) == [3, 0, 2, 1]


def test_a_half_open_one_keeps_its_place() -> None:
    """The turn whose first service may be probed is the probe, and the next turn goes elsewhere."""
    breakers = [Breaker(), opened()]
    assert choose([1, 0], breakers, OPEN_FOR) == [1, 0]
    assert choose([0, 1], breakers, OPEN_FOR) == [0, 1]
    breakers[1].asked(OPEN_FOR)
    assert choose([1, 0], breakers, OPEN_FOR) == [0, 1]


def test_when_all_are_open_all_are_left() -> None:
    """With every service open the order is the call's own: the line still tries."""
    assert choose([2, 0, 1], [opened(), opened(), opened()], 1.0) == [2, 0, 1]


# 6 November 1994, 08:49:37 UTC: the date of the standard's examples.
EPOCH = 784111777.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("0020", 20.0),
        ("86400", 300.0),
        ("9" * 60, 300.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 7.0),
        ("Sun Nov  6 08:49:37 1994", 7.0),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 7.0),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 7.0),
        ("Mon, 07 Nov 1994 08:49:37 GMT", 300.0),
        ("Sun, 06 Nov 1994 08:49:29 GMT", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("nan", None),
        ("inf", None),
        ("1,5", None),
        ("5 s", None),
        ("\u0661", None),
        ("soon", None),
        ("", None),
        ("1" * 100, None),
        (None, None),
    ],
)
def test_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    """Seconds, with decimals too, and the three forms of an HTTP date are read; all else, and the past, is None."""
    assert retry_after_seconds(value, EPOCH - 7) == seconds


@given(st.integers(-400, 4_000_000_000), st.integers(0, 2_000_000_000))
def test_dates_are_read_back(ahead: int, now: int) -> None:
    """A date so many seconds ahead asks for so many seconds, at most 300, and one in the past for nothing."""
    header = formatdate(now + ahead, usegmt=True) if now + ahead >= 0 else "-1"
    assert retry_after_seconds(header, float(now)) == (min(ahead, LONGEST) if ahead >= 0 else None)


PARTS = [
    "Sun",
    ",",
    " ",
    "6",
    "31",
    "Nov",
    "1994",
    "0",
    "99999",
    ":",
    "08:49",
    "-",
    "+2400",
    "-9999",
    "GMT",
    ".",
    "(",
    ")",
]


@given(st.text() | st.lists(st.sampled_from(PARTS)).map("".join), st.floats(0, 4e9))
def test_no_header_can_break_it(value: str, now: float) -> None:
    """Whatever a service sends, the answer is None or within 0 and 300 seconds."""
    seconds = retry_after_seconds(value, now)
    assert seconds is None or 0 <= seconds <= LONGEST
