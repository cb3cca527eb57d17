"""The user's agent is found by its name, and what is wrong with the name or the module is one line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from offhook.agents.load import load_function
from offhook.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENT = """
from helper_of_app import greeting

async def reply(turn):
    yield greeting

def other(turn):
    return greeting

class Line:
    def answer(self, turn):
        return greeting

line = Line()
number = 3
nothing = None
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a working directory of the test's own; what it loads is forgotten afterwards."""
    before = dict(sys.modules)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "helper_of_app.py").write_text("greeting = 'hello'\n")
    (tmp_path / "app_to_load.py").write_text(AGENT)
    yield tmp_path
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def problem(name: str) -> str:
    """Give the one line with which a name is refused."""
    with pytest.raises(SetupError) as raised:
        load_function(name)
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize("place", ["app_to_load", "app_to_load.py", "./app_to_load.py"])
@pytest.mark.parametrize("attribute", ["reply", "other", "line.answer", "Line"])
def test_a_function_is_found_in_a_module_and_in_a_file(folder: Path, place: str, attribute: str) -> None:
    """A module of the working directory and a file name the same thing; dots reach into objects."""
    function = load_function(f"{place}:{attribute}")
    assert callable(function)
    assert function.__module__ == "app_to_load"


def test_a_file_elsewhere_finds_what_lies_beside_it(folder: Path) -> None:
    """The folder of the file is where its own imports are looked for."""
    place = folder / "deep" / "er"
    place.mkdir(parents=True)
    (place / "my-agent.py").write_text(AGENT.replace("helper_of_app", "helper_beside"))
    (place / "helper_beside.py").write_text("greeting = 'hello'\n")
    assert callable(load_function("deep/er/my-agent.py:reply"))
    assert callable(load_function(f"{place}/my-agent.py:reply"))


def test_a_module_in_a_package_is_found(folder: Path) -> None:
    """Dotted module names work."""
    (folder / "package_to_load").mkdir()
    (folder / "package_to_load" / "__init__.py").write_text("")
    (folder / "package_to_load" / "inner.py").write_text("def reply(turn): return 'hello'\n")
    assert callable(load_function("package_to_load.inner:reply"))


@pytest.mark.parametrize("name", ["app_to_load", "app_to_load:", ":reply", ":", "", "app_to_load.py"])
def test_a_name_without_a_function_shows_how_to_write_one(folder: Path, name: str) -> None:
    """The error shows both forms."""
    message = problem(name)
    assert "module:function or file.py:function" in message


def test_a_missing_module_says_where_it_was_looked_for(folder: Path) -> None:
    """The working directory is named, as most often the server was started in another."""
    assert str(folder) in problem("no_such_module:reply")
    assert "no_such_package.inner" in problem("no_such_package.inner:reply")


def test_a_missing_file_is_named(folder: Path) -> None:
    """A path that leads nowhere is said as it was given."""
    assert "no/such.py" in problem("no/such.py:reply")
    (folder / "folder.py").mkdir()
    assert "folder.py" in problem("folder.py:reply")


@pytest.mark.parametrize("place", ["app_to_load", "app_to_load.py"])
def test_a_missing_function_lists_what_there_is(folder: Path, place: str) -> None:
    """The functions of the module itself are listed, not those that it imports."""
    message = problem(f"{place}:replay")
    assert "'replay'" in message
    assert "reply, other, Line" in message
    assert "'line.nothing'" in problem(f"{place}:line.nothing")
    assert "'nothing'" in problem(f"{place}:nothing")


def test_what_is_no_function_is_said(folder: Path) -> None:
    """A number cannot answer a call."""
    assert "is int, not a function" in problem("app_to_load:number")


def test_a_module_that_lacks_another_names_that_one(folder: Path) -> None:
    """The module that is missing is the one to install, not the agent's."""
    (folder / "lacks_one.py").write_text("import no_such_dependency.inner\n")
    for place in ("lacks_one", "lacks_one.py"):
        message = problem(f"{place}:reply")
        assert "'no_such_dependency'" in message and "not installed" in message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise ValueError('bad\\nvalue')\n", ["ValueError: bad value", "raising.py, line 1"]),
        ("x = 1\n1 / 0\n", ["ZeroDivisionError", "raising.py, line 2"]),
        ("def reply(turn)\n    pass\n", ["syntax error", "raising.py, line 1"]),
        ("import sys\nsys.exit('no\\nreason')\n", ["SystemExit", "raising.py, line 2"]),
        ("exit()\n", ["SystemExit", "raising.py, line 1"]),
        ("from helper_of_app import nothing\n", ["ImportError", "nothing", "raising.py, line 1"]),
        ("import importlib\nimportlib.import_module('helper_of_app').nothing\n", ["AttributeError"]),
        ("raise KeyError\n", ["KeyError", "line 1"]),
        ("\0", ["null bytes"]),
    ],
)
@pytest.mark.parametrize("place", ["raising", "raising.py"])
def test_a_module_that_fails_is_one_line_with_the_place(
    folder: Path, place: str, source: str, words: list[str]
) -> None:
    """The user's own mistake is named with its file and line, whatever it raises."""
    (folder / "raising.py").write_text(source)
    message = problem(f"{place}:reply")
    assert "failed when it was loaded" in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", [".relative:reply", "..:reply", "a b:reply", "app-to-load:reply", "a..b:reply"])
def test_an_odd_name_is_one_line(folder: Path, name: str) -> None:
    """What cannot be a module name is refused like any other."""
    assert name.partition(":")[0] in problem(name)
