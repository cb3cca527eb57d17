"""A process is killed in the middle of side effects: the next one does none of them again, and says so."""

from __future__ import annotations

import collections
import json
import os
import random
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).with_name("crash_tool.py")
REPO = SCRIPT.parents[2]


@contextmanager
def process(folder: Path, *turns: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process that answers turns; it is killed at the end if it has not ended."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), *sys.path])}
    run = [sys.executable, str(SCRIPT), str(folder), *turns]
    with subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def effects(folder: Path) -> list[str]:
    """Give the turns whose side effect has happened, in order."""
    file = folder / "effects"
    return file.read_text().split() if file.exists() else []


def answers(started: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Give what a process prints, until it ends."""
    assert started.stdout is not None
    for line in started.stdout:
        # The last one of a process that was killed may be half a line.
        if line.endswith("\n"):
            yield json.loads(line)


def test_a_side_effect_that_a_crash_cut_off_is_not_begun_again(tmp_path: Path) -> None:
    """A process is killed while a side effect runs: after the restart the same call is told to be unknown, not run."""
    with process(tmp_path, "1", "hang") as first:
        assert [next(answers(first))["outcome"]] == ["ok"]
        while "hang" not in effects(tmp_path):
            assert first.poll() is None
            threading.Event().wait(0.005)
        first.kill()
        assert first.wait(20) == -9
    with process(tmp_path, "1", "hang", "2") as second:
        said = list(answers(second))
        assert second.wait(20) == 0
    assert [(line["turn"], line["outcome"]) for line in said] == [("1", "again"), ("hang", "unknown"), ("2", "ok")]
    assert said[0]["text"] == "paid for 1"
    assert json.loads(said[1]["text"])["error"].startswith("Outcome unknown")
    assert effects(tmp_path) == ["1", "hang", "2"]


@pytest.mark.parametrize("seed", range(2))
def test_killed_anywhere_no_side_effect_happens_twice(tmp_path: Path, seed: int) -> None:
    """Processes that are killed at any moment answer the same turns: each happens once, or is unknown."""
    chosen = random.Random(seed)
    turns = [str(number) for number in range(60)]
    heard: collections.defaultdict[str, list[str]] = collections.defaultdict(list)
    for _ in range(5):
        most = chosen.randrange(5, 50)
        with process(tmp_path, *turns) as started:
            for count, line in enumerate(answers(started)):
                heard[line["turn"]].append(line["outcome"])
                if count == most:
                    # Somewhere in the next ones.
                    threading.Event().wait(chosen.uniform(0, 0.004))
                    started.kill()
    with process(tmp_path, *turns) as last:
        for line in answers(last):
            heard[line["turn"]].append(line["outcome"])
        assert last.wait(20) == 0
    happened = collections.Counter(effects(tmp_path))
    assert max(happened.values()) == 1
    for turn in turns:
        last_word = heard[turn][-1]
        assert heard[turn].count("ok") <= 1
        # What was told to be done has happened; of what is unknown nobody says anything.
        assert last_word == "unknown" or happened[turn] == 1, (turn, heard[turn])
    # Each of the processes was killed in at most one side effect.
    assert sum(heard[turn][-1] == "unknown" for turn in turns) <= 5
