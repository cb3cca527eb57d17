"""Where an agent's on_call_start and on_call_end are found, and in which forms they may stand."""

from __future__ import annotations

import asyncio
import functools
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from offhook.events import CallContext, OpenCall, Turn
from offhook.turns.live import CancelSignal
from tests.doubles import serving

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = """
def reply(turn):
    return "Hello."

def on_call_start(call):
    call.state["told"] = "plain"
"""

DECORATED = """
from decorators import decorated

@decorated
def reply(turn):
    return "Hello."

async def on_call_start(call):
    call.state["told"] = "async"
"""


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function as a decorator of another module does."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def module(source: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give a module of this source, in which ``decorators`` is this file."""
    helper = ModuleType("decorators")
    helper.decorated = decorated  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(__import__("sys").modules, "decorators", helper)
    made = ModuleType("app")
    exec(source, made.__dict__)
    return made


async def told(agent: Callable[..., Any]) -> Any:
    """Give what the start of a call leaves in its state."""
    call = OpenCall(CallContext(id="c"), {})
    async with serving(agent) as served:
        assert served.attends
        await served.call_started(call)
    return call.state.get("told")


@pytest.mark.parametrize(("source", "how"), [(PLAIN, "plain"), (DECORATED, "async")])
async def test_they_stand_beside_the_function(source: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found in the agent's own module, also behind a decorator of another one."""
    assert await told(module(source, monkeypatch).reply) == how


class Told:
    """An object whose call is a coroutine's."""

    async def __call__(self, call: OpenCall) -> None:
        await asyncio.sleep(0)
        call.state["told"] = "object"


async def later(call: OpenCall) -> None:
    await asyncio.sleep(0)
    call.state["told"] = "handed on"


@pytest.mark.parametrize(("hook", "how"), [(Told(), "object"), (lambda call: later(call), "handed on")])
async def test_whatever_can_be_awaited_is(hook: Callable[..., Any], how: str) -> None:
    """An object with an async call, and a plain function that gives a coroutine, are waited for."""

    def reply(turn: Turn) -> str:
        return "Hello."

    reply.on_call_start = hook  # type: ignore[attr-defined]  # as a user writes it
    assert await told(reply) == how


def test_another_state_may_be_put_in_the_place_of_the_old() -> None:
    """Assigning to turn.state changes what is kept with the call."""
    state: dict[str, Any] = {"a": 1}
    turn = Turn(text="", cancelled=CancelSignal(), state=state)
    turn.state = {"b": 2, **turn.state}
    assert state == {"b": 2, "a": 1} and turn.state is state
