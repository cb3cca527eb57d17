"""Finds the user's agent by its name: ``module:function`` or ``file.py:function``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offhook.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# Where the last lines of a traceback often are, although the mistake is before them.
_NOT_THEIRS = (sysconfig.get_path("stdlib"), "<frozen ")


def load_function(name: str) -> Callable[..., Any]:
    """Give the function that ``name`` names; modules are looked for in the working directory first.

    Raises SetupError, in one line, when there is no such module or function, or the module fails when it is loaded.
    """
    place, colon, attribute = name.partition(":")
    if not colon or not place or not attribute:
        raise SetupError(f"{name!r} names no agent; write module:function or file.py:function, for example app:reply.")
    module = load_module(place)
    value: Any = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if value is None:
        functions = [
            key for key, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__
        ]
        there = f"; it has: {', '.join(functions)}" if functions else ""
        raise SetupError(f"{place} has no {attribute!r}{there}.")
    if not callable(value):
        raise SetupError(f"{name} is {type(value).__name__}, not a function; an agent is 'async def reply(turn): ...'.")
    function: Callable[..., Any] = value
    return function


def load_module(place: str) -> ModuleType:
    """Give the module, or the file, of that name.

    Raises SetupError, in one line, when there is none or it fails when it is loaded.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if place.endswith(".py"):
            return _load_file(Path(place))
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(error.name + ".")):
            raise SetupError(f"There is no module {place!r} in {here} or among the installed packages.") from None
        raise SetupError(f"{place} needs the module {error.name!r}, which is not installed.") from None
    except SetupError:
        raise
    except (Exception, SystemExit) as error:
        # The user's own module, which may raise anything when it is loaded, and may call exit().
        raise SetupError(f"{place} failed when it was loaded: {_describe(error)}.") from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SetupError(f"There is no file {path}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SetupError(f"{path} cannot be loaded as a module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec.loader.exec_module(module)
    return module


def _describe(error: BaseException) -> str:
    """Say in one line what was raised, and where in the user's own files."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"syntax error in {error.filename}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    frame = ([frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)] or frames)[-1]
    words = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":").removesuffix(".")
    return f"{words} ({frame.filename}, line {frame.lineno})"
