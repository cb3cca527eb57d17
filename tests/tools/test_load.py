"""Tools are found by the names in the settings."""

from __future__ import annotations

from types import ModuleType

import pytest

from offhook.errors import SetupError
from offhook.tools.load import load_tools
from offhook.tools.schema import tool


def module(place: str) -> ModuleType:
    """Give a module with two marked functions and one that is not."""
    if place != "shop":
        raise SetupError(f"There is no module {place!r}.")
    made = ModuleType("shop")

    @tool
    def first() -> None: ...

    @tool(name="two")
    async def second() -> None: ...

    def helper() -> None: ...

    for function in (first, second, helper):
        setattr(made, function.__name__, function)
    made.__dict__["limit"] = 3
    made.__dict__["desk"] = type("Desk", (), {"ask": helper})
    return made


SHOP = module("shop")


def found(*names: str) -> list[str]:
    return [
        function.__name__ for function in load_tools(names, lambda place: SHOP if place == "shop" else module(place))
    ]


def test_a_module_gives_all_that_is_marked() -> None:
    """A module alone gives its marked functions, in their order."""
    assert found("shop") == ["first", "second"]


def test_a_function_is_named() -> None:
    """A function that is named need not be marked, and may stand deeper."""
    assert found("shop:helper", "shop:second") == ["helper", "second"]
    assert found("shop:desk.ask") == ["helper"]


def test_a_function_that_is_named_twice_is_there_once() -> None:
    """A function comes once, where it was first named."""
    assert found("shop:second", "shop", "shop:first") == ["second", "first"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "names no tool"),
        ("shop:", "names no tool"),
        (":first", "names no tool"),
        ("shop:third", "shop has no 'third'; marked with @tool are: first, second"),
        ("shop:limit", "shop:limit is int, not a function"),
        ("shop:desk", "shop:desk is type, not a function"),
        ("nowhere", "no module 'nowhere'"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(name: str, said: str) -> None:
    """A name that leads nowhere is a mistake of set-up, told in one line."""
    with pytest.raises(SetupError, match=said) as caught:
        found(name)
    assert "\n" not in str(caught.value)


def test_a_module_without_tools_is_told() -> None:
    """A module in which nothing is marked is a mistake."""
    with pytest.raises(SetupError, match="empty has no function that is marked with @tool"):
        load_tools(["empty"], ModuleType)
