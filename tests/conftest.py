"""What holds for every test: nothing left running, nothing blocking the loop, no silent skip in CI."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from tests.tap import StreamTap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

REPO = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI") == "true"

# How long a task may take to end after its test, in seconds: a closed connection needs a few steps of the loop.
GRACE = 0.5

settings.register_profile("dev", deadline=None)
# The same examples in every run, so that a red run is red again.
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if IN_CI else "dev")


# Started with SIGINT ignored (nohup, some runners), our children would ignore it too, and Ctrl-C is tested on them.
signal.signal(signal.SIGINT, signal.default_int_handler)


# --- folders ------------------------------------------------------------------------------------------------------


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test in tests/peers and tests/soak with its folder's name."""
    inside = item.path.parts[len(REPO.parts) :]
    for folder in ("peers", "soak"):
        if inside[:2] == ("tests", folder):
            item.add_marker(folder)


# --- skips --------------------------------------------------------------------------------------------------------


def fail_skip_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure, unless its reason begins with ``optional:`` or it is an expected failure."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith("optional:"):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which counts as a failure in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI:
        fail_skip_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI:
        fail_skip_in_ci(report)
    return report


# --- guards -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Raise BlockingError where our code blocks an event loop; what others do without us is not judged."""
    with blockbuster_ctx("offhook"):
        yield


async def leaked_tasks(grace: float = GRACE) -> list[str]:
    """Name the other tasks of this loop that are still running after ``grace`` seconds, and cancel them."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if not others:
        return []
    _, running = await asyncio.wait(others, timeout=grace)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return sorted(f"{task.get_name()}: {task.get_coro()}" for task in running)


@pytest.fixture
async def _task_guard() -> AsyncIterator[None]:
    yield
    leaked = await leaked_tasks()
    if leaked:
        pytest.fail("tasks left running by this test:\n  " + "\n  ".join(leaked), pytrace=False)


@pytest.fixture(autouse=True)
def no_leaked_tasks(request: pytest.FixtureRequest) -> None:
    """Fail an async test that leaves tasks running; set up first, so it looks when all else is torn down."""
    function = getattr(request, "function", None)
    function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    if inspect.iscoroutinefunction(function):
        request.getfixturevalue("_task_guard")


@pytest.fixture(scope="session")
def stream_tap() -> Iterator[StreamTap]:
    """Let the oracle see every stream of this session."""
    tap = StreamTap()
    with pytest.MonkeyPatch.context() as patch:
        tap.install(patch)
        yield tap


@pytest.fixture(autouse=True)
def every_stream_is_legal(stream_tap: StreamTap) -> Iterator[None]:
    """Fail a test during which a server of ours sent a stream that the oracle refuses."""
    yield
    wrong, stream_tap.wrong[:] = list(stream_tap.wrong), []
    if wrong:
        pytest.fail("the oracle refuses a stream that was sent meanwhile:\n" + "\n".join(wrong), pytrace=False)


# --- the shared corpus --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared() -> Path:
    """Give the folder of shared inputs: OFFHOOK_SHARED, or the folder ``shared`` beside the repository."""
    folder = Path(os.environ.get("OFFHOOK_SHARED") or REPO.parent / "shared")
    if not (folder / "corpus").is_dir():
        pytest.skip(
            "optional: the shared corpus is absent; put it beside the repository as ../shared, or set OFFHOOK_SHARED"
        )
    return folder
