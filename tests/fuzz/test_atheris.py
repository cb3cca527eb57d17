"""The decoders under atheris, which looks for inputs that reach new code, where it is installed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.documents import REPO
from tests.fuzz.conftest import EXAMPLES

if TYPE_CHECKING:
    from collections import Counter


def test_the_decoders_survive_guided_fuzzing(inputs: Counter[str]) -> None:
    """No input ends the run with an error that is not the decoders' own."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("optional: atheris is not installed")
    command = [sys.executable, "-m", "tests.fuzz.atheris_wire", f"-runs={EXAMPLES * 20}", "-max_len=4096"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (runs,) = re.findall(r"Done (\d+) runs", done.stderr)
    inputs["the decoders under atheris"] += int(runs)
