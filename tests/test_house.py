"""The laws of the house hold, and each check of them is able to fail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import house

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REPO = Path(__file__).resolve().parent.parent
PACKAGE = REPO / "src" / "offhook"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((REPO / "tests").rglob("*.py"))


def faults(check: Callable[[str], list[str]], files: Iterable[Path]) -> list[str]:
    return [f"{path.relative_to(REPO)}: {fault}" for path in files for fault in check(path.read_text("utf-8"))]


def in_package(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_there_is_something_to_judge() -> None:
    """The checks below look at real files, also on the pure list."""
    assert SOURCES
    assert Path(__file__) in TESTS
    assert any(house.is_pure(in_package(path)) for path in SOURCES)


def test_files_are_short() -> None:
    """No source file is over 400 lines."""
    assert faults(house.long_file, SOURCES) == []


def test_functions_are_short() -> None:
    """No function in the sources is over 60 lines."""
    assert faults(house.long_functions, SOURCES) == []


def test_pure_files_are_pure() -> None:
    """What is on the pure list does no I/O, never awaits and reads neither clock nor environment."""
    assert faults(house.impurities, (path for path in SOURCES if house.is_pure(in_package(path)))) == []


def test_only_config_reads_the_environment() -> None:
    """Nothing but config.py touches the process environment."""
    assert faults(house.environment_reads, (path for path in SOURCES if in_package(path) != "config.py")) == []


def test_only_clock_reads_time_and_randomness() -> None:
    """Nothing but clock.py imports a source of time or randomness, or asks the date."""
    others = [path for path in SOURCES if in_package(path) != "clock.py"]
    assert faults(house.clock_imports, others) + faults(house.clock_calls, others) == []


def test_every_test_has_a_sentence() -> None:
    """Every test function states in one sentence the fact that it tests."""
    assert faults(house.missing_sentences, TESTS) == []


def test_every_ignore_has_a_reason() -> None:
    """Every comment that silences a tool says why in words."""
    assert faults(house.unexplained_ignores, SOURCES + TESTS) == []


BAD = [
    (house.long_file, "\n" * (house.MAX_FILE_LINES + 1)),
    (house.long_functions, "def f():\n" + "    x = 1\n" * house.MAX_FUNCTION_LINES),
    (house.long_functions, "class A:\n    async def f(self):\n" + "        x = 1\n" * house.MAX_FUNCTION_LINES),
    (house.impurities, "async def f(): pass"),
    (house.impurities, "async def f():\n    await g()"),
    (house.impurities, "import asyncio"),
    (house.impurities, "from asyncio import sleep"),
    (house.impurities, "def f():\n    import asyncio.events"),
    (house.impurities, "import socket"),
    (house.impurities, "x = open('a')"),
    (house.impurities, "x = Path('a').read_text()"),
    (house.impurities, "class A(Protocol):\n    async def f(self):\n        return await g()"),
    (house.impurities, "import os\nx = os.environ['a']"),
    (house.impurities, "from time import monotonic"),
    (house.impurities, "from datetime import datetime\nx = datetime.now()"),
    (house.environment_reads, "import os\nx = os.environ.get('a')"),
    (house.environment_reads, "import os\nx = os.getenv('a')"),
    (house.environment_reads, "from os import environ"),
    (house.clock_imports, "import time"),
    (house.clock_imports, "import random as r"),
    (house.clock_imports, "from uuid import uuid4"),
    (house.clock_imports, "def f():\n    from secrets import token_hex"),
    (house.clock_calls, "import datetime\nx = datetime.datetime.now(tz)"),
    (house.clock_calls, "import os\nx = os.urandom(8)"),
    (house.missing_sentences, "def test_a(): pass"),
    (house.missing_sentences, "async def test_a():\n    'no full stop'"),
    (house.missing_sentences, "class TestA:\n    def test_a(self):\n        'One fact. Another fact.'"),
    (house.unexplained_ignores, "import a  # noqa"),
    (house.unexplained_ignores, "import a  # noqa: F401, E501"),
    (house.unexplained_ignores, "x = y  # type: ignore[arg-type]"),
    (house.unexplained_ignores, "x = y  # type: ignore[arg-type]  # noqa: E501"),
]

GOOD = [
    (house.long_file, "\n" * house.MAX_FILE_LINES),
    (house.long_functions, "def f():\n" + "    x = 1\n" * (house.MAX_FUNCTION_LINES - 1)),
    (house.impurities, "import json\n\ndef feed(data):\n    '''asyncio, open(, time'''\n    return [json.loads(data)]"),
    (house.impurities, "class A(Protocol):\n    async def f(self) -> None:\n        'Declared here, done elsewhere.'"),
    (house.impurities, "x = read_text(value)"),
    (house.environment_reads, "import os\nx = os.getcwd()"),
    (house.clock_imports, "from offhook.clock import Clock\nfrom datetime import datetime"),
    (house.clock_calls, "x = self.clock.now()\ny = datetime.fromtimestamp(x, tz)"),
    (house.missing_sentences, "def test_a():\n    'One fact, e.g. this one.'\n\ndef helper(): pass"),
    (house.unexplained_ignores, "import a  # noqa: F401  it registers itself when imported"),
    (house.unexplained_ignores, "x = y  # type: ignore[arg-type]  # the stub forgets bytes"),
    (house.unexplained_ignores, "x = 'type: ignore'  # plain words"),
]


@pytest.mark.parametrize(("check", "source"), BAD)
def test_a_bad_snippet_is_caught(check: Callable[[str], list[str]], source: str) -> None:
    """Each check finds the fault in a text that has it."""
    assert check(source) != []


@pytest.mark.parametrize(("check", "source"), GOOD)
def test_a_good_snippet_passes(check: Callable[[str], list[str]], source: str) -> None:
    """Each check is silent on a text at the limit or with the forbidden word in a harmless place."""
    assert check(source) == []


def test_the_pure_list_names_files_and_folders() -> None:
    """A folder on the pure list covers all that is in it, and a file only itself."""
    assert house.is_pure("wire/sse.py")
    assert house.is_pure("events.py")
    assert not house.is_pure("turns/engine.py")
    assert not house.is_pure("wired.py")
