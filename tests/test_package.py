"""The package: light to import, its public names complete, its errors drawn as they are."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import offhook
from offhook import errors
from offhook.errors import OffhookError

HEAVY = {
    *("uvicorn", "starlette", "aiohttp", "typer", "rich", "redis", "sqlalchemy", "uvloop"),
    *("prometheus_client", "opentelemetry"),
}
# Everything that is pure is light as well.
LIGHT = ["offhook", "offhook.events", "offhook.errors", "offhook.wire.fold", "offhook.dialects.choose"]


def loaded_by(code: str) -> set[str]:
    """Give the modules that a fresh interpreter has loaded after ``code``."""
    script = code + "\nimport sys\nsys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=25, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_import_is_light() -> None:
    """``import offhook`` loads no web framework, driver or telemetry, and hardly anything of its own."""
    loaded = loaded_by("import offhook")
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("offhook.")} == set()


def test_what_an_agent_needs_is_light() -> None:
    """The vocabulary and the pure parts load no web framework, driver or telemetry either."""
    loaded = loaded_by("from offhook import Turn\n" + "\n".join(f"import {module}" for module in LIGHT))
    assert not loaded & HEAVY
    assert "offhook.events" in loaded


def test_all_is_sorted_and_without_repetition() -> None:
    """``__all__`` is sorted and names nothing twice."""
    assert sorted(set(offhook.__all__)) == list(offhook.__all__)


@pytest.mark.parametrize("name", offhook.__all__)
def test_a_public_name_is_there(name: str) -> None:
    """A public name can be imported, comes from where it is defined, and says what it is."""
    value = getattr(offhook, name)
    if name.startswith("__"):
        return
    assert name in dir(offhook)
    module = getattr(value, "__module__", None)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert module is not None
        assert getattr(importlib.import_module(module), name) is value
        assert inspect.getdoc(value)


def test_the_names_for_type_checkers_are_the_public_names() -> None:
    """What type checkers see is what can be imported."""
    tree = ast.parse(Path(offhook.__file__).read_text("utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {
        alias.asname or alias.name
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name for name in offhook.__all__ if not name.startswith("__")}


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that does not exist fails as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = offhook.nonsense


def test_the_version_is_that_of_the_project() -> None:
    """``__version__`` is what the project file says."""
    project = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text("utf-8")
    assert f'version = "{offhook.__version__}"' in project


# --- the error tree -----------------------------------------------------------------------------------------------

CLASSES: dict[str, type[OffhookError]] = {
    name: value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, OffhookError)
}
LINE = re.compile(r"^ {4}(?P<indent>[│├└─ ]*)(?P<name>\w+)(?: +(?P<status>\d{3}))?(?: +(?P<words>\S.*))?$")


def drawn() -> list[tuple[int, str, str | None]]:
    """Give depth, name and status of each line of the tree at the top of errors.py."""
    block = (errors.__doc__ or "").split("\n\n")[1]
    matches = [LINE.match(line) for line in block.splitlines()]
    assert all(matches), block
    return [(len(match["indent"]) // 4, match["name"], match["status"]) for match in matches if match]


def test_every_exception_belongs_to_the_tree() -> None:
    """errors.py defines no exception outside its one tree."""
    here = [value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__]
    assert set(here) == set(CLASSES.values())


def test_the_tree_has_every_error_and_no_other() -> None:
    """Every error class is drawn once at the top of the file, and nothing else is."""
    assert sorted(name for _, name, _ in drawn()) == sorted(CLASSES)


def test_the_tree_is_drawn_as_it_grows() -> None:
    """Each error is drawn under its base class."""
    path: list[str] = []
    for depth, name, _ in drawn():
        path[depth:] = [name]
        base = path[depth - 1] if depth else "Exception"
        assert [parent.__name__ for parent in CLASSES[name].__bases__] == [base], name


def test_the_tree_has_the_right_statuses() -> None:
    """The HTTP status that is drawn is the one that is sent."""
    for _, name, status in drawn():
        if status is not None:
            assert str(CLASSES[name].status) == status, name


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_says_what_it_means(name: str) -> None:
    """Every error has words of its own, and status, type, code and retryable as data."""
    kind = CLASSES[name]
    assert (kind.__doc__ or "").strip().endswith(".")
    assert 400 <= kind.status < 600
    assert kind.type
    assert isinstance(kind.retryable, bool)
    if name not in {"OffhookError", "RequestError"}:
        assert kind.code, "an error without a code cannot be told apart on the wire"
