"""Finds tools by name: ``module:function``, ``file.py:function``, or a module or file for all that is marked in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offhook.errors import SetupError
from offhook.tools.schema import is_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType


def load_tools(names: Sequence[str], load_module: Callable[[str], ModuleType]) -> list[Callable[..., Any]]:
    """Give the functions that ``names`` name, each once, in their order; ``load_module`` loads a module or file.

    Raises SetupError, in one line, when there is no such function, or none that is marked, and what ``load_module``
    raises.
    """
    found: list[Callable[..., Any]] = []
    for name in names:
        place, colon, attribute = name.partition(":")
        if not place or (colon and not attribute):
            raise SetupError(f"{name!r} names no tool; write module:function, file.py:function, or a module or file.")
        module = load_module(place)
        functions = [_function(module, name, attribute)] if attribute else _marked(module, place)
        found += [function for function in functions if function not in found]
    return found


def _function(module: ModuleType, name: str, attribute: str) -> Callable[..., Any]:
    value: Any = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if value is None:
        marked = ", ".join(key for key, other in vars(module).items() if is_tool(other))
        there = f"; marked with @tool are: {marked}" if marked else ""
        raise SetupError(f"{name.partition(':')[0]} has no {attribute!r}{there}.")
    if not callable(value) or isinstance(value, type):
        raise SetupError(f"{name} is {type(value).__name__}, not a function; a tool is 'def look_up(order: str): ...'.")
    function: Callable[..., Any] = value
    return function


def _marked(module: ModuleType, place: str) -> list[Callable[..., Any]]:
    marked: list[Callable[..., Any]] = [value for value in vars(module).values() if is_tool(value)]
    if not marked:
        raise SetupError(f"{place} has no function that is marked with @tool; mark one, or name it: {place}:function.")
    return marked
