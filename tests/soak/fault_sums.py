"""What all turns of the soak with faults come to: which silences were too long, and whose they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.soak.fault_caller import Lag, Turn
    from tests.soak.fault_judge import Verdict

# Seconds that a silence may be longer than its bound.
ALLOWED = 0.05
# A loop that was late by more seconds than this, or whose core others had for longer, is worth telling of.
OWN_LAG = 0.01


class Bounds(NamedTuple):
    """How many seconds a silence may be: to the first sound, to the first word of an answer, in the middle of it."""

    sound: float
    useful: float
    gap: float


class Silence(NamedTuple):
    """The silences of one kind: how long each may be, how many there were, and those that were longer.

    ``late`` are in seconds over the bound; ``ours`` are those of them that no lag of caller or machine accounts for.
    """

    what: str
    bound: float
    measured: int
    late: list[float]
    ours: list[float]

    def cells(self) -> list[str]:
        worst, own = (f"{max(some) * 1000:.0f}" if some else "-" for some in (self.late, self.ours))
        return [self.what, f"{self.bound:g}", str(self.measured), str(len(self.late)), worst, str(len(self.ours)), own]


SILENCE_HEAD = (
    "silence",
    "bound s",
    "measured",
    "over by more than 50 ms",
    "at most ms over",
    "of those ours",
    "ms",
)


def excused(bound: float, start: float, lasted: float, lag: Lag) -> bool:
    """Tell whether a silence of so many seconds is too long by no more than caller and machine were late in it.

    That is the longest lag of the caller's loop, and the longest time that others had the server's core.
    """
    end = start + lasted
    return lasted - bound - ALLOWED <= lag.between(start, end) + lag.waited(start, end)


def silences(bounds: Bounds, results: Sequence[tuple[Turn, Verdict, Lag]]) -> list[Silence]:
    """Give the silences of all turns."""
    kinds: list[tuple[str, float, Callable[[Turn, Verdict], tuple[float, float]]]] = [
        ("to the first sound or the end", bounds.sound, lambda turn, one: (turn.asked, one.sound)),
        ("to the first word of an answer or the end", bounds.useful, lambda turn, one: (turn.asked, one.useful)),
        ("in the middle of an answer", bounds.gap, lambda _, one: (one.gap_at, one.gap)),
    ]
    found: list[Silence] = []
    for what, bound, of in kinds:
        late, ours = list[float](), list[float]()
        for turn, verdict, lag in results:
            start, lasted = of(turn, verdict)
            if lasted > bound + ALLOWED:
                late.append(lasted - bound)
                if not excused(bound, start, lasted, lag):
                    ours.append(lasted - bound)
        found.append(Silence(what, bound, len(results), late, ours))
    return found


def too_few(at_least: Mapping[str, float], happened: Mapping[str, int], turns: int) -> list[str]:
    """Give in words what happened less often than so many times in 100 turns; empty where all did."""
    return [
        f"{name}: {happened.get(name, 0)} in {turns} turns, less than {share:g} in 100"
        for name, share in at_least.items()
        if happened.get(name, 0) * 100 < share * turns or not happened.get(name, 0)
    ]


def lateness(results: Sequence[tuple[Turn, Verdict, Lag]]) -> str:
    """Say how late those were who measured, and the machine."""
    lags = list({id(lag): lag for *_, lag in results}.values())
    callers = [late for lag in lags for _, late in lag.late]
    waits = [wait for lag in lags for _, _, wait in lag.server]
    server = [late for lag in lags for _, late, _ in lag.server]
    undisturbed = [late for lag in lags for _, late, wait in lag.server if wait <= OWN_LAG]
    return (
        f"Not ours are those that are over {ALLOWED * 1000:.0f} ms by no more than the longest lag of the caller's "
        "loop and the longest time that others had the server's core, both within that silence. The caller's loop was "
        f"late by more than {ms(OWN_LAG)} {sum(late > OWN_LAG for late in callers)} times, by at most {ms(*callers)} "
        "(it shares one core with the model services); others had the server's core for as long "
        f"{sum(wait > OWN_LAG for wait in waits)} times, for at most {ms(*waits)}. The server's loop was late by at "
        f"most {ms(*server)}, and where nobody else had its core by {ms(*undisturbed)}."
    )


def ms(*seconds: float) -> str:
    """Give the longest of some times in milliseconds."""
    return f"{max(seconds, default=0.0) * 1000:.0f} ms"
