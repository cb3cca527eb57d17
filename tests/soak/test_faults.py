"""Two thousand calls whose model services fail at random and whose callers interrupt, and what they heard."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bench import procs, report
from offhook.store.choose import FILE
from tests.soak.fault_caller import play_all
from tests.soak.fault_judge import CLOSINGS, judge
from tests.soak.fault_sums import SILENCE_HEAD, Bounds, lateness, silences, too_few
from tests.soak.page import write_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.procs import Server
    from tests.soak.fault_caller import Lag, Turn
    from tests.soak.fault_judge import Verdict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="optional: descriptors and memory are read from /proc")

ROUNDS = 16
CALLS = 100
AT_ONCE = 40
MOST_GROWTH = 2 * 2**20
# What the garbage collector knows of, where kept connections come and go; 2000 turns that leave one each are seen.
MOST_OBJECTS = 1500

DEADLINE, FILLER_AFTER, STALL_AFTER = 0.8, 0.25, 0.5

RULES: dict[str, Any] = {
    "turn_deadline": DEADLINE,
    "filler_after": FILLER_AFTER,
    "failover_first_useful": 0.3,
    "failover_hedge_after": 0.15,
    "failover_hedge_share": 0.5,
    "failover_stall_after": STALL_AFTER,
    "failover_attempts": 3,
    "failover_retry_share": 1.0,
    "failover_open_for": 0.2,
    # What was said is forgotten soon, so that what stays is what leaks.
    "call_idle": 0.5,
    "replay_for": 0.0,
    "store": "sqlite",
}
NAMED = {"call_id": "header:X-Call", "turn_id": "header:X-Turn"}
HOUSES: dict[str, dict[str, Any]] = {
    "Fillers and closing phrases": {
        "filler": "on",
        "closing_phrases": CLOSINGS,
        "dialect": {"plain": NAMED},
    },
    "Neither, and a newer turn ends the older one with an error": {
        "filler": "off",
        "dialect": {"plain": {**NAMED, "superseded": "error"}, "alibaba_ims": {"superseded": "error"}},
    },
}

# What has to happen in every 100 turns, or nothing was judged: about half of what does.
AT_LEAST = {
    "whole": 20.0,
    "apology": 2.0,
    "newer": 1.0,
    "left at once": 4.0,
    "left before a word": 3.0,
    "left mid-stream": 3.0,
    "left at the finish": 3.0,
    "left goes on and on": 0.4,
}
MORE = {
    "Fillers and closing phrases": {"filler": 5.0, "closing": 4.0, "status": 0.3},
    "Neither, and a newer turn ends the older one with an error": {"error": 6.0, "status": 2.0},
}


class Round(NamedTuple):
    """What a round was like, and what the server said of itself after it."""

    number: int
    seconds: float
    turns: int
    live: int
    tasks: int
    descriptors: int
    idle: int
    objects: int
    rss: int

    def cells(self) -> list[str]:
        return [*map(str, (self.number, f"{self.seconds:.1f}", *self[2:8])), f"{self.rss / 2**20:.2f}"]


HEAD = (
    "round",
    "seconds",
    "turns",
    "live turns",
    "tasks",
    "descriptors",
    "kept connections to services",
    "objects",
    "RSS MiB",
)


class Services:
    """The model services, in a process of their own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.tables = [{"name": name, "base_url": url, "connect_timeout": 0.3} for name, url in self._answer().items()]

    def idle(self) -> int:
        """Give how many connections are open."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return int(self._answer()["open"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def services(core: int | None) -> Iterator[Services]:
    """Run the model services."""
    command = [sys.executable, "-m", "tests.soak.faulty"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with procs.child(command, core=core, cwd=procs.REPO, **pipes) as process:
        yield Services(process)


@pytest.fixture(scope="module")
def page() -> Iterator[dict[str, list[str]]]:
    """Gather what is found, and write it to docs/soak.md at the end."""
    sections: dict[str, list[str]] = {}
    yield sections
    facts = report.circumstances()
    lines = [
        f"On {facts['date']}: {facts['cores']} cores, Python {facts['python']}. Twice {ROUNDS} rounds of {CALLS} "
        f"calls, {AT_ONCE} at once, with two or three turns each, half of them plain and half the Alibaba workflow's. "
        "Behind the line are seven model services in a process of their own: five fail half of their answers in any "
        "way at any point of it, one has its port closed, one accepts nobody; every third turn is failed by all of "
        "them. Half of the callers listen; the others leave (at once, before a word, in the middle, at the finish "
        "chunk; by FIN or RST) or speak again before the reply is over. Every word says who gave it, for which turn, "
        f"in which answer, at which place. The deadline of a turn is {DEADLINE:g} s, a filler comes after "
        f"{FILLER_AFTER:g} s, an answer is dead after {STALL_AFTER:g} s of silence; three attempts each "
        f"{RULES['failover_first_useful']:g} s, a hedge after {RULES['failover_hedge_after']:g} s.",
        "",
    ]
    for name, section in sections.items():
        lines += [f"### {name}", "", *section, ""]
    write_part("Services that fail and callers that interrupt", lines)


@pytest.mark.parametrize("house", HOUSES)
def test_every_turn_ends_once_and_honestly(
    house: str, page: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever fails, each turn has one honest end, says nothing twice, is silent no longer than allowed, is kept."""
    rounds: list[Round] = []
    results: list[tuple[Turn, Verdict, Lag]] = []
    server_core, driver_core = procs.cores()
    before = procs.AVAILABLE

    def show(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(text + "\n")

    async def soak(folder: Path) -> set[str]:
        ended: set[str] = set()
        with services(driver_core) as behind:
            settings = {**RULES, **HOUSES[house], "data_dir": str(folder), "upstream_table": behind.tables}
            with procs.server(core=server_core, **settings) as server:
                server.ask("turns")
                numbers = itertools.count()
                for number in range(1, ROUNDS + 1):
                    one, found = await play(server, behind, number, numbers)
                    rounds.append(one)
                    results.extend(found)
                    ended |= set(server.ask("turns"))
                    show("  ".join(f"{k} {v}" for k, v in zip(HEAD, one.cells(), strict=True)))
        return ended

    show(f"\n{house}")
    ended: set[str] = set()
    kept: dict[str, tuple[str, str]] = {}

    async def work() -> None:
        nonlocal ended, kept
        with procs.disk_folder() as (folder, _):
            ended = await soak(folder)
            kept = records(folder / FILE)

    try:
        procs.pin(driver_core)
        procs.run_uvloop(work())
    finally:
        if driver_core is not None:
            os.sched_setaffinity(0, before)
    conclude(house, rounds, results, ended, kept, page, show)


async def play(
    server: Server, behind: Services, number: int, numbers: Iterator[int]
) -> tuple[Round, list[tuple[Turn, Verdict, Lag]]]:
    """Let a round of calls be played, judge what they heard, and ask the server what is left of them."""
    begun = time.monotonic()
    some = iter(list(itertools.islice(numbers, CALLS)))
    server.ask("lag")
    turns, lag = await play_all(server.port, some, f"s{number}", AT_ONCE)
    lag.server = [tuple(late) for late in server.ask("lag")["late"]]
    taken = time.monotonic() - begun
    found = [(turn, judge(turn), lag) for turn in turns]
    # Longer than a call is remembered after its last turn.
    await asyncio.sleep(RULES["call_idle"] + 0.7)
    stats = server.settled()
    idle = behind.idle()
    left = (stats["live"], stats["tasks"], stats["fds"], idle, stats["objects"], stats["rss"])
    return Round(number, taken, len(turns), *left), found


def records(database: Path) -> dict[str, tuple[str, str]]:
    """Give reason and sent text of every recorded turn by the id of its request, which stands there once."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT request_id, reason, sent FROM turns").fetchall()
    assert len({row[0] for row in rows}) == len(rows), "a turn is recorded twice"
    return {request: (reason, sent) for request, reason, sent in rows}


def unfit(turn: Turn, verdict: Verdict, kept: dict[str, tuple[str, str]]) -> str | None:
    """Say what of a turn's record does not fit what its caller saw; None where it fits."""
    record = kept.get(turn.name)
    if record is None:
        # Who left at once may have been gone before there was a turn.
        return None if verdict.ending == "left" and not turn.came else f"{turn.name} ({verdict.ending}) has no record"
    reason, sent = record
    fitting = {
        "whole": {"stop"} if verdict.complete and turn.newer is None else {"stop", "superseded"},
        "apology": {"failed"},
        "closing": {"failed"},
        "error": {"superseded"} if verdict.code == "superseded" else {"failed"},
        "status": {"superseded"} if verdict.code == "superseded" else {"failed"},
        "left": {"cancelled", "stop", "failed", "superseded"},
    }[verdict.ending]
    if reason not in fitting:
        return f"{turn.name} ({verdict.ending}, {verdict.code}) is recorded as {reason}"
    sent = sent.strip()
    same = sent.startswith(verdict.said) if verdict.ending == "left" else sent == verdict.said
    return None if same else f"{turn.name}: {sent!r} is recorded as sent, and {verdict.said!r} came"


def conclude(
    house: str,
    rounds: list[Round],
    results: list[tuple[Turn, Verdict, Lag]],
    ended: set[str],
    kept: dict[str, tuple[str, str]],
    page: dict[str, list[str]],
    show: Callable[[str], None],
) -> None:
    """Write down what was found, and assert what is promised."""
    wrong = [verdict.wrong for _, verdict, _ in results if verdict.wrong]
    strange = [why for turn, verdict, _ in results if not verdict.wrong and (why := unfit(turn, verdict, kept))]
    first = FILLER_AFTER if HOUSES[house]["filler"] == "on" else DEADLINE
    quiet = silences(Bounds(first, DEADLINE, STALL_AFTER), results)
    endings = Counter(verdict.ending for _, verdict, _ in results)
    left = Counter(turn.how for turn, verdict, _ in results if verdict.ending == "left")
    newer = sum(turn.newer is not None for turn, _, _ in results)
    fillers = sum(verdict.filler for _, verdict, _ in results)
    happened = {**endings, **{f"left {how}": count for how, count in left.items()}, "newer": newer, "filler": fillers}
    rare = too_few({**AT_LEAST, **MORE[house]}, happened, len(results))
    second, last = rounds[ROUNDS // 2 - 1], rounds[-1]
    own = [one.descriptors - one.idle for one in rounds]
    growth = last.rss - second.rss
    lines = [
        *table(HEAD, [one.cells() for one in rounds]),
        "",
        f"Turns: {len(results)}, of which a newer one interrupted {newer}; fillers: {fillers}. They "
        f"ended: {counted(endings)}. Who left: {counted(left)}.",
        "",
        f"Without an honest end, or with words said twice, left out or mixed: {len(wrong)}. Begun and not recorded "
        f"once, or with a reason or words that do not fit: {len(strange) + len(ended ^ set(kept))}.",
        "",
        *table(SILENCE_HEAD, [one.cells() for one in quiet]),
        "",
        lateness(results),
        "",
        f"From round {second.number} to round {len(rounds)}: tasks {second.tasks} -> {last.tasks}, descriptors without "
        f"the kept connections {own[second.number - 1]} -> {own[-1]}, memory {growth / 2**20:+.2f} MiB (at most "
        f"{MOST_GROWTH / 2**20:.0f}), objects {last.objects - second.objects:+d} (at most {MOST_OBJECTS}).",
    ]
    page[house] = lines
    show("\n".join(lines))
    for why in [*rare, *wrong, *strange][:20]:
        show(why)
    assert not rare, "what is to be judged did not happen"
    assert not wrong
    assert not strange
    assert ended == set(kept)
    assert not [(one.what, one.ours) for one in quiet if one.ours]
    assert [one.live for one in rounds] == [0] * len(rounds)
    assert last.tasks == second.tasks
    assert own[-1] == own[second.number - 1]
    assert growth < MOST_GROWTH
    assert last.objects - second.objects < MOST_OBJECTS


def counted(counts: Counter[str]) -> str:
    """Give counts in words, the largest first."""
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """Give the lines of a table."""
    rule = "| --- |" + " ---: |" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)]
