"""What the soak with faults excuses, and what must have happened in it for its result to say anything."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.soak import test_faults as soak
from tests.soak.fault_caller import Lag
from tests.soak.fault_judge import Verdict
from tests.soak.fault_sums import Bounds, Silence, excused, silences, too_few

if TYPE_CHECKING:
    from tests.soak.fault_caller import Turn

BOUND, START = 0.8, 100.0


def lag(caller: float = 0.0, server: float = 0.0, at: float = START + 0.5) -> Lag:
    """Give how late a caller's loop was at some time, and for how long others had the server's core."""
    late = Lag()
    late.late = [(at, caller)] if caller else []
    late.server = [(at, server, server)] if server else []
    return late


def judged(sound: float, late: Lag) -> list[Silence]:
    """Give the silences of one turn that made its first sound after so many seconds, and none later."""
    turn = cast("Turn", SimpleNamespace(asked=START))
    verdict = Verdict("whole", None, False, True, sound, 0.1, 0.0, START, "", "")
    return silences(Bounds(BOUND, BOUND, BOUND), [(turn, verdict, late)])


def test_half_a_minute_is_not_excused_by_eleven_milliseconds() -> None:
    """A silence of 30 s in which the caller was once late by 11 ms is the line's own."""
    first, useful, gap = judged(30.0, lag(caller=0.011))
    assert first.late == first.ours == [pytest.approx(29.2)]
    assert first.cells() == ["to the first sound or the end", "0.8", "1", "1", "29200", "1", "29200"]
    assert (useful.late, useful.ours, gap.late, gap.ours) == ([], [], [], [])


@pytest.mark.parametrize(("caller", "server"), [(0.08, 0.0), (0.0, 0.08), (0.04, 0.04)])
def test_a_silence_is_excused_by_as_much_as_was_measured(caller: float, server: float) -> None:
    """A silence may be longer by what the caller's loop was late and the server's core was taken, and by no more."""
    assert excused(BOUND, START, BOUND + 0.05 + 0.079, lag(caller, server))
    assert not excused(BOUND, START, BOUND + 0.05 + 0.081, lag(caller, server))


def test_what_is_excused_is_late_all_the_same() -> None:
    """A silence that is excused is counted among the late ones, and not among ours."""
    first, *_ = judged(BOUND + 0.1, lag(caller=0.06))
    assert first.late == [pytest.approx(0.1)]
    assert not first.ours
    assert first.cells()[3:] == ["1", "100", "0", "-"]


def test_a_silence_within_its_bound_needs_no_excuse() -> None:
    """A silence that is over its bound by less than 50 ms is not late."""
    first, *_ = judged(BOUND + 0.049, lag())
    assert (first.late, first.ours) == ([], [])


def test_many_small_lags_excuse_no_more_than_the_longest() -> None:
    """A caller whose loop was late by 2 ms a hundred times had not been kept waiting for 200 ms."""
    late = lag()
    late.late = [(START + number / 100, 0.002) for number in range(100)]
    assert not excused(BOUND, START, BOUND + 0.15, late)


@pytest.mark.parametrize("at", [START - 0.01, START + 5.0])
def test_a_lag_at_another_time_excuses_nothing(at: float) -> None:
    """A lag that was over before the silence began, or began after it, excuses nothing."""
    assert not excused(BOUND, START, BOUND + 0.1, lag(caller=0.2, at=at))
    assert not excused(BOUND, START, BOUND + 0.1, lag(server=0.2, at=at))


@pytest.mark.parametrize("at", [START + 0.02, START + BOUND + 0.1 + 0.18])
def test_of_a_lag_counts_what_lies_within_the_silence(at: float) -> None:
    """Of a lag of 200 ms of which 20 ms lie in the silence, these excuse."""
    assert not excused(BOUND, START, BOUND + 0.1, lag(caller=0.2, at=at))
    assert not excused(BOUND, START, BOUND + 0.1, lag(server=0.2, at=at))


def test_what_happens_too_rarely_is_named() -> None:
    """A share is that of all turns; what must happen and never does is too rare in any number of turns."""
    at_least = {"apology": 2.0, "filler": 0.5}
    assert too_few(at_least, {"apology": 4, "filler": 1}, 200) == []
    assert too_few(at_least, {"apology": 3, "filler": 1}, 200) == ["apology: 3 in 200 turns, less than 2 in 100"]
    assert too_few(at_least, {"whole": 0}, 0) == [
        "apology: 0 in 0 turns, less than 2 in 100",
        "filler: 0 in 0 turns, less than 0.5 in 100",
    ]


def test_a_soak_in_which_nothing_went_wrong_has_proved_nothing() -> None:
    """Where every turn was whole and nobody left or spoke again, all the rest is too rare in either house."""
    assert set(soak.MORE) == set(soak.HOUSES)
    for more in soak.MORE.values():
        expected = {**soak.AT_LEAST, **more}
        rare = too_few(expected, {"whole": 4000}, 4000)
        assert {line.partition(":")[0] for line in rare} == set(expected) - {"whole"}
