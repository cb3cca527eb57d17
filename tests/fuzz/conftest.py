"""How long the fuzzing is, and how many inputs it was: OFFHOOK_FUZZ is the number of examples of each test."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

EXAMPLES = int(os.environ.get("OFFHOOK_FUZZ") or 150)

_inputs: Counter[str] = Counter()


@pytest.fixture(scope="session")
def inputs() -> Counter[str]:
    """Count what was tried, by what it was given to."""
    return _inputs


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    if _inputs:
        counts = ", ".join(f"{count} to {what}" for what, count in sorted(_inputs.items()))
        terminalreporter.write_line(f"fuzzed with {sum(_inputs.values())} inputs: {counts}")
