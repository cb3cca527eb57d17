"""Hundreds of servers that are killed in the middle of twenty calls, and what the next one has of them."""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from bench import report
from tests.crash import CALLS, Crash, Kill, Servers, crash, locked
from tests.soak.page import write_part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Each plan is played in a data directory of its own.
PLAN = ("fair", "slow", "late", "locked", "hasty", "fair", "slow", "shut", "tough", "slow")
PLANS = 30
CONTROLS = 10
MOST = 300
STARTS = 200

NAMES = {
    "fair": "as it is",
    "slow": "each commit 8 ms slower",
    "late": "each commit 80 ms slower: most come too late",
    "hasty": "no wait for the commit, only for the spool",
    "locked": "database locked once the server runs",
    "shut": "database locked before the server starts",
    "tough": "database locked, each record 10 ms slower in the spool",
}
HEAD = ("round", "kills", "turns seen", "ending at the kill", "by the spool", "in the spool at the kill")


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Give servers that are forked from one process."""
    with Servers() as started:
        yield started


@pytest.fixture(scope="module")
def page() -> Iterator[list[str]]:
    """Gather what is found, and write it to docs/soak.md at the end."""
    facts = report.circumstances()
    lines = [
        f"On {facts['date']}: {facts['cores']} cores, Python {facts['python']}. {CALLS} calls at once ask turn after "
        "turn, the server is killed with SIGKILL at a random moment, and the next one starts in the same data "
        "directory. A turn is seen when a client has received its `[DONE]`; after every start each turn that was ever "
        "seen is looked for in the database. A reply is ending when its finish chunk was received and its `[DONE]` was "
        "not.",
        "",
    ]
    yield lines
    write_part("Servers that are killed", lines)


def tell(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Show how far it is."""
    with capsys.disabled():
        sys.stdout.write(text + "\n")


def rows(kills: list[Kill]) -> list[str]:
    """Give the sums of each kind of round as a table."""
    of: dict[str, list[Kill]] = defaultdict(list)
    for kill in kills:
        of[NAMES[kill.weather]].append(kill)
    of["all"] = kills
    lines = ["| " + " | ".join(HEAD) + " |", "| --- |" + " ---: |" * (len(HEAD) - 1)]
    for name, some in of.items():
        sums = [len(some), *(sum(column) for column in list(zip(*some, strict=True))[1:])]
        lines.append(f"| {name} | " + " | ".join(map(str, sums)) + " |")
    return lines


def test_what_was_finished_survives_every_kill(
    servers: Servers, tmp_path: Path, page: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every turn whose end a client received is in the store once, with its text, after hundreds of kills."""
    kills: list[Kill] = []
    wrong = 0
    for seed in range(PLANS):
        some, found = crash(servers, tmp_path / str(seed), seed, PLAN, most=MOST)
        kills += some
        wrong += len(found.wrong)
        tell(f"{len(kills)} kills  turns seen {sum(kill.seen for kill in kills)}  wrong {wrong}", capsys)
    verdict = f"Missing, there twice, or with other words: {wrong}."
    page += ["### With the wait before `[DONE]`", "", *rows(kills), "", verdict, ""]
    assert len(kills) >= 200
    assert wrong == 0
    assert "lost" not in servers.log


def test_without_the_wait_turns_are_lost(
    servers: Servers, tmp_path: Path, page: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same rounds lose turns in every data directory when the end of a reply does not wait for its record."""
    kills: list[Kill] = []
    missing: list[int] = []
    for seed in range(CONTROLS):
        some, found = crash(servers, tmp_path / str(seed), seed, PLAN, most=MOST, held=False)
        kills += some
        missing.append(len(found.missing))
        tell(f"{len(kills)} kills without the wait  turns seen {sum(kill.seen for kill in kills)}  {missing}", capsys)
    verdict = f"Missing: {sum(missing)}, at least {min(missing)} in every {len(PLAN)} kills, as it has to be."
    page += ["### The same without the wait", "", *rows(kills), "", verdict, ""]
    assert min(missing) > 0


def test_kills_at_the_start(
    servers: Servers, tmp_path: Path, page: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that is killed at any moment of its start, with a full spool or nothing there, costs no turn."""
    chance = random.Random(1)
    before = seen = wrong = 0
    for number in range(STARTS // 10):
        plan = Crash(servers, tmp_path / str(number), number)
        for _ in range(5):
            before += servers.burn(plan.weather(fuse=chance.uniform(0, 0.06)))
        assert plan.start()
        with locked(plan.database):
            plan.talk(200)
            plan.kill()
        for _ in range(5):
            before += servers.burn(plan.weather(fuse=chance.uniform(0, 0.06), slow=0.005))
        assert plan.start()
        found = plan.find()
        seen, wrong = seen + found.seen, wrong + len(found.wrong)
        plan.stop()
    verdict = (
        f"{STARTS} servers were killed at most 60 ms after they began, {before} of them before they served: half of "
        f"them while they made the database, half while they emptied the spool. Of {seen} turns seen, missing, there "
        f"twice, or with other words: {wrong}."
    )
    tell(verdict, capsys)
    page += ["### Kills at the start", "", verdict]
    assert wrong == 0
    assert 0 < before < STARTS
