"""What is counted in a minute: never more than the limit in any, and exactly when it is less again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from offhook.server.quota import MINUTE, Brake, Window

LIMIT = 3


@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(1, 4)), max_size=30),
    st.floats(0, 1e9),
)
@example([(0.0, 1), (0.9999999, 1), (0.0, 1), (59.9, 1)], 0.0)
def test_what_passes_never_exceeds_the_limit_of_a_minute(steps: list[tuple[float, int]], start: float) -> None:
    """Whatever comes when, less than the limit was counted in the minute before each that passes."""
    window, now = Window(), start
    passed: list[tuple[float, int]] = []
    for pause, count in steps:
        now += pause
        if window.wait(LIMIT, now):
            continue
        assert sum(counted for at, counted in passed if at > now - MINUTE) < LIMIT
        window.add(count, now)
        passed.append((now, count))


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 4)), min_size=1, max_size=30), st.floats(0, 1e6))
def test_the_wait_is_exact(steps: list[tuple[float, int]], start: float) -> None:
    """After the seconds that are told there is room, and shortly before there is none."""
    window, now = Window(), start
    for pause, count in steps:
        now += pause
        window.add(count, now)
    wait = window.wait(LIMIT, now)
    if wait:
        assert window.wait(LIMIT, now + wait - 0.001) > 0
        assert window.wait(LIMIT, now + wait) == 0


def test_what_is_taken_back_was_never_there() -> None:
    """Taking back frees the room at once, and what is forgotten already is not taken back twice."""
    window = Window()
    second = window.add(2, 10.5)
    window.add(1, 11.0)
    assert window.wait(LIMIT, 11.0) == 60.0
    window.remove(2, second)
    assert window.total(11.0) == 1
    assert window.total(80.0) == 0
    window.remove(1, 11)
    assert window.total(80.0) == 0


def test_a_few_refusals_are_not_held_back() -> None:
    """The first ten refusals of a key go out at once, also after a pause."""
    brake = Brake(rate=100, free=10)
    assert [brake.wait("ann", 5.0) for _ in range(10)] == [0.0] * 10
    assert [brake.wait("ann", 6.0) for _ in range(10)] == [0.0] * 10


def test_many_refusals_go_out_one_by_one() -> None:
    """The next ones are a hundredth of a second apart, and another key's are not held back with them."""
    brake = Brake(rate=100, free=10)
    for _ in range(10):
        brake.wait("ann", 5.0)
    assert [round(brake.wait("ann", 5.0), 6) for _ in range(3)] == [0.01, 0.02, 0.03]
    assert brake.wait("bob", 5.0) == 0.0


def test_no_refusal_is_held_back_for_ever() -> None:
    """Of two thousand in one moment none waits longer than the longest: those that find no room by then go together."""
    brake = Brake(rate=100, free=10, longest=5.0)
    waits = [brake.wait("ann", 7.0) for _ in range(2000)]
    assert [round(wait, 6) for wait in waits[9:512]] == [round(number / 100, 6) for number in range(501)] + [5.0, 5.0]
    assert {round(wait, 6) for wait in waits[512:]} == {5.0}
    assert round(brake.wait("ann", 8.0), 6) == 4.01


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.3)), max_size=60))
def test_a_key_that_has_stopped_is_forgotten(steps: list[tuple[str, float]]) -> None:
    """What is kept is of keys that are held back, or were in the last tenth of a second; forgetting changes no wait."""
    brake, now = Brake(rate=100, free=10, longest=5.0), 0.0
    alone = {name: Brake(rate=100, free=10, longest=5.0) for name in "abc"}
    for name, pause in steps:
        now += pause
        assert brake.wait(name, now) == alone[name].wait(name, now)
    for _ in range(4):
        now += 6.0
        brake.wait("last", now)
        assert brake.keys == 1
    brake.wait("stops", now)
    brake.wait("last", now + 1.0)
    assert brake.keys == 1
