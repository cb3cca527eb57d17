"""When a model service is left alone: the breaker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.upstream.health import Breaker

if TYPE_CHECKING:
    from collections.abc import Callable

# Whole numbers, so that "exactly after so many seconds" is exact.
OPEN_FOR, WINDOW, LEAST = 10, 30, 5
LONGEST = 300

acts = st.sampled_from(["ask", "ask unless told not to", "answered", "failed", "slow", "abandoned", "wait"])
steps = st.lists(st.tuples(acts, st.integers(0, 40)), max_size=60)


def breaker() -> Breaker:
    """Give a breaker with the numbers above."""
    return Breaker(open_for=OPEN_FOR, window=WINDOW, least=LEAST, share=0.5, slow_share=0.8)


def opened(now: float = 0.0) -> Breaker:
    """Give a breaker that failures have just opened."""
    made = breaker()
    for _ in range(LEAST):
        made.asked(now)
        made.failed(now)
    assert made.state(now) == "open"
    return made


def act(made: Breaker, name: str, now: float, number: int) -> None:
    """Do to a breaker what a step says; every third failure brings a Retry-After."""
    if name == "ask" or (name == "ask unless told not to" and made.may_ask(now)):
        made.asked(now)
    elif name == "answered":
        made.answered(now, 0.5)
    elif name == "failed":
        made.failed(now, retry_after=number * 20.0 if number % 3 == 0 else None)
    elif name == "slow":
        made.slow(now)
    elif name == "abandoned":
        made.abandoned(now)


def test_a_new_service_is_asked() -> None:
    """A breaker begins closed and lets any number of attempts run at once."""
    made = breaker()
    for _ in range(100):
        assert made.may_ask(0.0)
        made.asked(0.0)
    assert made.state(0.0) == "closed"


@pytest.mark.parametrize("bad", [Breaker.failed, Breaker.slow])
def test_failures_in_a_row_open_it(bad: Callable[[Breaker, float], None]) -> None:
    """After many answers it is the fifth failure, or the fifth slow attempt, in a row that opens it."""
    made = breaker()
    for _ in range(100):
        made.answered(0.0, 0.5)
    for _ in range(LEAST - 1):
        bad(made, 1.0)
        assert made.may_ask(1.0)
    bad(made, 1.0)
    assert made.state(1.0) == "open"
    assert not made.may_ask(1.0)


def test_an_answer_ends_the_row() -> None:
    """Failures with answers between them are no row, and below the share they do not open it."""
    made = breaker()
    for _ in range(100):
        made.answered(0.0, 0.5)
    for _ in range(20):
        for _ in range(LEAST - 1):
            made.failed(1.0)
        for _ in range(LEAST):
            made.answered(1.0, 0.5)
    assert made.state(1.0) == "closed"


def test_half_failures_open_it() -> None:
    """It opens when half of at least five outcomes failed, without any row."""
    made = breaker()
    for _ in range(2):
        made.answered(0.0, 0.5)
        made.failed(0.0)
    assert made.state(0.0) == "closed"
    made.answered(0.0, 0.5)
    assert made.state(0.0) == "closed"
    made.failed(0.0)
    assert made.state(0.0) == "open"


def test_slowness_needs_a_larger_share() -> None:
    """Half of the attempts slow leave it closed; four in five slow or failed open it."""
    made = breaker()
    for _ in range(20):
        made.slow(0.0)
        made.answered(0.0, 0.5)
    assert made.state(0.0) == "closed"

    mixed = breaker()
    mixed.answered(0.0, 0.5)
    mixed.failed(0.0)
    for _ in range(2):
        mixed.slow(0.0)
    assert mixed.state(0.0) == "closed"
    mixed.slow(0.0)
    assert mixed.state(0.0) == "open"


@pytest.mark.parametrize("least", [2, LEAST])
def test_a_rare_failure_opens_nothing(least: int) -> None:
    """Failures a minute apart are neither a row nor a share, however many they are."""
    made = Breaker(window=WINDOW, least=least)
    for minute in range(50):
        made.failed(minute * 60.0)
        assert made.state(minute * 60.0) == "closed"


@pytest.mark.parametrize(("later", "state"), [(WINDOW - 3.0, "open"), (float(WINDOW), "closed")])
def test_what_is_older_than_the_window_is_forgotten(later: float, state: str) -> None:
    """Four failures among nine outcomes count beside later ones while they are in the window, and no longer."""
    made = breaker()
    for _ in range(LEAST):
        made.answered(0.0, 0.5)
    for _ in range(LEAST - 1):
        made.failed(0.0)
    made.answered(later, 0.5)
    made.failed(later)
    assert made.state(later) == "closed"
    made.failed(later)
    assert made.state(later) == state


def test_it_is_left_alone_and_then_tried_by_one() -> None:
    """An open service is not asked for open_for seconds; then one attempt may begin, and a second not beside it."""
    made = opened()
    assert not made.may_ask(OPEN_FOR - 0.001)
    assert made.state(OPEN_FOR) == "half_open"
    assert made.may_ask(OPEN_FOR)
    made.asked(OPEN_FOR)
    assert not made.may_ask(OPEN_FOR + 1)


def test_a_good_probe_closes_it_and_forgets() -> None:
    """After the probe's answer four failures are four again, and the next opening is as short as the first."""
    made = opened()
    made.asked(10.0)
    made.failed(10.0)
    made.asked(30.0)
    made.answered(31.0, 1.0)
    assert made.state(31.0) == "closed"
    for _ in range(LEAST - 1):
        made.answered(31.0, 1.0)
    for _ in range(LEAST - 1):
        made.failed(31.0)
    assert made.state(31.0) == "closed"
    made.failed(31.0)
    assert made.state(31.0 + OPEN_FOR - 1) == "open"
    assert made.state(31.0 + OPEN_FOR) == "half_open"


@pytest.mark.parametrize("bad", [Breaker.failed, Breaker.slow])
def test_a_bad_probe_opens_it_for_twice_as_long(bad: Callable[[Breaker, float], None]) -> None:
    """Each failed or slow probe doubles the time, up to eight times."""
    made, now = opened(), 0.0
    for times in (1, 2, 4, 8, 8, 8):
        assert made.state(now + times * OPEN_FOR - 1) == "open"
        now += times * OPEN_FOR
        assert made.may_ask(now)
        made.asked(now)
        bad(made, now)
        assert made.state(now) == "open"


def test_a_late_failure_does_not_keep_it_open() -> None:
    """Attempts that fail while it is open already neither prolong nor double the time."""
    made = opened()
    for second in range(OPEN_FOR):
        made.failed(float(second))
        made.slow(float(second))
    assert made.may_ask(OPEN_FOR)
    made.asked(OPEN_FOR)
    made.failed(OPEN_FOR)
    assert made.state(OPEN_FOR + 2 * OPEN_FOR) == "half_open"


def test_a_late_answer_does_not_close_an_open_one() -> None:
    """An answer to an attempt from before the opening leaves it open, also after a probe that failed."""
    made = opened()
    made.answered(1.0, 2.0)
    assert made.state(1.0) == "open"
    made.asked(float(OPEN_FOR))
    made.failed(11.0)
    made.answered(12.0, 12.0)
    assert made.state(12.0) == "open"


def test_an_open_one_that_was_asked_and_answered_is_closed() -> None:
    """Where nothing else was left and an open service answered, it is well."""
    made = opened()
    made.asked(1.0)
    made.answered(2.0, 1.0)
    assert made.state(2.0) == "closed"


def test_an_abandoned_probe_frees_its_place() -> None:
    """A probe whose caller hung up says nothing: the next turn may try at once."""
    made = opened()
    made.asked(10.0)
    made.abandoned(11.0)
    assert made.state(11.0) == "half_open"
    assert made.may_ask(11.0)


def test_an_abandoned_attempt_is_no_verdict() -> None:
    """However many attempts are abandoned, a closed breaker stays closed and a row goes on."""
    made = breaker()
    for _ in range(100):
        made.asked(0.0)
        made.abandoned(0.0)
    assert made.state(0.0) == "closed"
    for _ in range(LEAST):
        made.failed(0.0)
        made.abandoned(0.0)
    assert made.state(0.0) == "open"


def test_a_lost_probe_gives_its_place_free() -> None:
    """A probe of which nothing is ever heard blocks for open_for seconds, also if others were sent meanwhile."""
    made = opened()
    made.asked(10.0)
    for second in range(1, OPEN_FOR):
        assert not made.may_ask(10.0 + second)
        made.asked(10.0 + second)
    assert made.may_ask(10.0 + OPEN_FOR)


def test_retry_after_opens_at_once() -> None:
    """One refusal with a Retry-After opens it for so long, and the probe's answer closes it."""
    made = breaker()
    made.failed(0.0, retry_after=3.0)
    assert made.state(2.9) == "open"
    assert made.may_ask(3.0)
    made.asked(3.0)
    made.answered(4.0, 1.0)
    assert made.state(4.0) == "closed"


def test_retry_after_is_at_least() -> None:
    """A short Retry-After does not shorten what failures cost, a long one is kept to, and five minutes are the most."""
    made = opened()
    made.failed(1.0, retry_after=2.0)
    assert made.state(OPEN_FOR - 1) == "open"
    assert made.state(OPEN_FOR) == "half_open"

    made.failed(float(OPEN_FOR), retry_after=100.0)
    assert made.state(OPEN_FOR + 99) == "open"
    assert made.state(OPEN_FOR + 100) == "half_open"

    for huge in (1e9, float("inf")):
        held = breaker()
        held.failed(0.0, retry_after=huge)
        assert held.state(LONGEST - 1) == "open"
        assert held.state(LONGEST) == "half_open"


@pytest.mark.parametrize("nothing", [None, 0.0, -5.0, float("nan")])
def test_no_time_to_wait_is_a_plain_failure(nothing: float | None) -> None:
    """A Retry-After of no length counts as one failure and opens nothing."""
    made = breaker()
    made.failed(0.0, retry_after=nothing)
    assert made.state(0.0) == "closed"


def test_an_answer_does_not_shorten_retry_after() -> None:
    """A service that said when to come back is left alone until then, though another attempt was answered."""
    made = breaker()
    made.failed(0.0, retry_after=60.0)
    made.asked(1.0)
    made.answered(2.0, 1.0)
    assert made.state(59.0) == "open"


def test_the_usual_time_is_of_the_window() -> None:
    """The mean time to the first useful event is that of the answers in the window, and None without any."""
    made = breaker()
    assert made.usual(0.0) is None
    made.answered(0.0, 1.0)
    made.answered(15.0, 2.0)
    assert made.usual(15.0) == 1.5
    assert made.usual(31.0) == 2.0
    assert made.usual(60.0) is None


@given(steps)
def test_there_is_one_probe_at_most(script: list[tuple[str, int]]) -> None:
    """Where the breaker is obeyed, no second probe begins before the first had its verdict or open_for seconds."""
    made, now, out = breaker(), 0.0, None
    for name, number in script:
        now += number / 4
        if name == "ask":
            name = "ask unless told not to"
        tries = name == "ask unless told not to" and made.state(now) == "half_open" and made.may_ask(now)
        assert not (tries and out is not None and now - out < OPEN_FOR)
        act(made, name, now, number)
        if tries:
            out = now
            assert not made.may_ask(now)
        elif name in ("answered", "failed", "slow", "abandoned"):
            out = None


@given(steps)
def test_it_never_stays_shut(script: list[tuple[str, int]]) -> None:
    """Whatever was told or left untold, after eight times open_for, or the longest Retry-After, it may be asked."""
    made, now = breaker(), 0.0
    for name, number in script:
        now += number
        act(made, name, now, number)
    assert made.may_ask(now + max(8 * OPEN_FOR, LONGEST))


@given(steps)
def test_its_states_agree(script: list[tuple[str, int]]) -> None:
    """A closed one may always be asked and an open one never, and asking about it changes nothing."""
    made, twin, now = breaker(), breaker(), 0.0
    for name, number in script:
        now += number
        for _ in range(3):
            assert made.may_ask(now) or made.state(now) != "closed"
            assert not (made.may_ask(now) and made.state(now) == "open")
            made.usual(now)
        act(made, name, now, number)
        act(twin, name, now, number)
        assert made.state(now) == twin.state(now)
        assert made.may_ask(now) == twin.may_ask(now)
