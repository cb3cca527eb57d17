"""``offhook demo``, as a newcomer sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from pathlib import Path

DEMO = (sys.executable, "-m", "offhook", "demo")


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start a demo whose key is kept in ``folder``, in a process group of its own."""
    return subprocess.Popen(
        [*DEMO, *options],
        cwd=folder,
        env={**os.environ, "OFFHOOK_DATA_DIR": str(folder / "data"), "OFFHOOK_PORT": "0", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


# When Ctrl-C comes: while the values, the first turn, the long reply, the summary of the barge-in are shown.
MOMENTS = ("Paste into", "1 caller", "从1数到300", "barge-in:")


class Interrupted(NamedTuple):
    """How a demo ended that was interrupted."""

    process: subprocess.Popen[str]
    error: str


def interrupt(demo: subprocess.Popen[str], after: str) -> Interrupted:
    """Send Ctrl-C to the demo once it has printed ``after``."""
    assert demo.stdout is not None
    seen = ""
    while after not in seen and (read := demo.stdout.read(1)):
        seen += read
    os.killpg(demo.pid, signal.SIGINT)
    return Interrupted(demo, demo.communicate(timeout=20)[1])


class Demos(NamedTuple):
    """What the demos printed, or how they ended."""

    shown: str
    as_json: str
    interrupted: dict[str, Interrupted]


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Demos:
    """Run all demos at once: each of them is mostly silence."""
    whole = start(tmp_path_factory.mktemp("whole"))
    as_json = start(tmp_path_factory.mktemp("json"), "--json")
    cut = {moment: start(tmp_path_factory.mktemp("cut")) for moment in MOMENTS}
    with ThreadPoolExecutor() as pool:
        interrupted = dict(zip(cut, pool.map(interrupt, cut.values(), cut), strict=True))
    (shown, error), (rows, other) = whole.communicate(timeout=60), as_json.communicate(timeout=60)
    assert (whole.returncode, error, as_json.returncode, other) == (0, "", 0, "")
    return Demos(shown, rows, interrupted)


@pytest.fixture(scope="module")
def shown(demos: Demos) -> str:
    """Give what a whole demo prints."""
    return demos.shown


def test_the_three_values_come_first(shown: str) -> None:
    """ModelId, API-KEY and base URL are there to be pasted before the call begins."""
    head = shown[: shown.index("A call from")]
    assert re.search(r"ModelId +\S+", head)
    assert re.search(r"API-KEY +ofk_\S{43}", head)
    assert re.search(r"base URL +http://127\.0\.0\.1:\d+/v1", head)


def test_the_call_has_at_least_six_turns_in_two_languages(shown: str) -> None:
    """Each turn shows the caller's line, the reply, the time to the first token and the total."""
    callers = re.findall(r"^\d+ caller  (.+)$", shown, re.MULTILINE)
    assert len(callers) >= 6
    assert any(re.search("[\u4e00-\u9fff]", line) for line in callers)
    assert any(line.isascii() for line in callers)
    assert len(re.findall(r"^  agent   \S", shown, re.MULTILINE)) == len(callers)
    assert len(re.findall(r"first token [\d.]+ m?s, total [\d.]+ m?s", shown)) == len(callers)


def test_the_barge_in_stops_a_long_reply(shown: str) -> None:
    """The reply that counts to 300 is cut long before, and the time to the agent's stop is told."""
    reply = shown[shown.index("从1数到300") : shown.index("barge-in:")]
    assert "5，" in reply
    assert "100" not in reply.replace("300", "")
    assert re.search(r"barge-in: the agent had stopped [\d.]+ ms after the disconnect", shown)


def test_the_agent_hangs_up_and_the_summary_follows(shown: str) -> None:
    """The last turn ends the call by hangup; a table and the next commands come after it."""
    end = shown[shown.index("The agent issued hangup") :]
    assert "finish" in end
    assert "hangup" in end[end.index("finish") :]
    assert "barge-in" in end
    assert re.search(r"offhook serve .*\n.*offhook call ", end[end.index("Try next") :])


def test_the_same_as_json(demos: Demos) -> None:
    """--json prints one object with the turns and nothing else."""
    turns = json.loads(demos.as_json)["turns"]
    assert [turn["hangup"] for turn in turns] == [False] * (len(turns) - 1) + [True]
    assert [turn["finish"] for turn in turns].count("barge-in") == 1
    assert all(turn["first_token_s"] >= 0 for turn in turns)


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment_leaves_nothing_running(demos: Demos, moment: str) -> None:
    """An interrupted demo ends by itself, with exit code 130, no traceback and no process left."""
    ended = demos.interrupted[moment]
    assert ended.process.returncode == 130
    assert "Traceback" not in ended.error
    with pytest.raises(ProcessLookupError):
        os.killpg(ended.process.pid, 0)
