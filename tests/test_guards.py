"""The guards in conftest.py are able to fail a test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

OFFENDERS = """
import asyncio
import time

import offhook
import pytest


async def test_leaks_a_task():
    global kept
    kept = asyncio.create_task(asyncio.sleep(3600))


async def test_ends_its_task():
    task = asyncio.create_task(asyncio.sleep(3600))
    task.cancel()


async def test_blocks_in_our_code():
    # As if this line stood in the package: the guard goes by the file that the code is from.
    exec(compile("time.sleep(0.01)", offhook.__path__[0] + "/blocking.py", "exec"))


async def test_blocks_elsewhere():
    time.sleep(0.01)


def test_skips():
    pytest.skip("flask is absent")


def test_skips_with_leave():
    pytest.skip("optional: no GPU")


@pytest.mark.xfail(reason="a known fault")
def test_fails_as_expected():
    assert False
"""


def outcomes(pytester: pytest.Pytester) -> dict[str, str]:
    """Run the offenders in a process of their own and give what became of each."""
    pytester.makeconftest(CONFTEST.read_text("utf-8"))
    pytester.makepyfile(test_offenders=OFFENDERS)
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        # conftest.py takes the tap from here.
        f"pythonpath = {CONFTEST.parent.parent}\n"
    )
    result = pytester.runpytest_subprocess("-rA", "-p", "no:cacheprovider")
    words = [line.split() for line in result.outlines]
    seen: dict[str, str] = {}
    for line in words:
        if len(line) > 1 and line[0] in {"PASSED", "FAILED", "ERROR", "XFAIL"} and "::" in line[1]:
            seen[line[1].split("::")[1]] = line[0]
    return seen


def test_in_ci_a_skip_is_a_failure(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true a skip fails unless its reason begins with optional, and the guards fail as everywhere."""
    monkeypatch.setenv("CI", "true")
    assert outcomes(pytester) == {
        "test_leaks_a_task": "ERROR",
        "test_ends_its_task": "PASSED",
        "test_blocks_in_our_code": "FAILED",
        "test_blocks_elsewhere": "PASSED",
        "test_skips": "FAILED",
        "test_fails_as_expected": "XFAIL",
    }


def test_elsewhere_a_skip_is_a_skip(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CI=true a skip stays a skip, and the guards fail all the same."""
    monkeypatch.delenv("CI", raising=False)
    assert outcomes(pytester) == {
        "test_leaks_a_task": "ERROR",
        "test_ends_its_task": "PASSED",
        "test_blocks_in_our_code": "FAILED",
        "test_blocks_elsewhere": "PASSED",
        "test_fails_as_expected": "XFAIL",
    }
