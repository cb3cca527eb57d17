"""A line with tools behind a model service that asks for them, both real, and a tool that its test holds."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from offhook import tool
from offhook.testing import live_server
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import Called, says
from tests.raw import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from offhook.observe.hooks import TurnDetails
    from offhook.testing import LiveServer
    from offhook.testing.fault_server import FaultUpstream
    from offhook.testing.faults import Answer
    from offhook.testing.upstream import Request

MODULE = "tools_of_a_test"


@tool
def status(order: str) -> dict[str, str]:
    """Tell where an order is.

    Args:
        order: The number of the order.
    """
    return {"order": order, "is": "on its way"}


@tool
async def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def offer(*names: str) -> list[dict[str, Any]]:
    """Give tools as a platform offers its own."""
    return [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in names]


def asks(*calls: Called, text: str = "") -> Answer:
    """Give a round in which the model says something, or nothing, and asks for tools."""
    return says(*filter(None, [text]), calls=calls)


def call(name: str, id: str = "", /, **arguments: Any) -> Called:
    """Give a call of a tool as a model writes it, in two fragments."""
    return Called(name, json.dumps(arguments), fragments=2, id=id)


def by_round(*answers: Answer) -> Callable[[int, Request], Answer]:
    """Give the plan of a model that answers each round of a turn with the next of these, the last one for ever."""

    def plan(_: int, request: Request) -> Answer:
        return answers[min(rounds_before(request), len(answers) - 1)]

    return plan


def rounds_before(request: Request) -> int:
    """Tell how many rounds of this turn a request has behind it."""
    count = 0
    for message in reversed(request.body["messages"]):
        if message["role"] == "user":
            break
        count += message["role"] == "assistant"
    return count


def results(request: Request) -> list[str]:
    """Give what the model was told by tools, in this turn and in its order."""
    return [message["content"] for message in request.body["messages"] if message["role"] == "tool"]


def roles(request: Request) -> list[str]:
    """Give the roles of the messages that the model was given."""
    return [message["role"] for message in request.body["messages"]]


@contextmanager
def module_of(*tools: Callable[..., Any]) -> Iterator[str]:
    """Give the name of a module that has these functions, for as long as it takes."""
    module = types.ModuleType(MODULE)
    for function in tools:
        setattr(module, function.__name__, function)
    sys.modules[MODULE] = module
    try:
        yield MODULE
    finally:
        del sys.modules[MODULE]


@contextmanager
def tooled(
    plan: Callable[[int, Request], Answer], *functions: Callable[..., Any], tools: Sequence[str] = (), **settings: Any
) -> Iterator[tuple[LiveServer, FaultUpstream]]:
    """Give a server whose model answers as planned and has these functions and ``tools``, and the model's service."""
    with (
        module_of(*functions) as name,
        fault_upstream(plan) as upstream,
        live_server(upstream=upstream.base_url, tools=[name, *tools], **settings) as server,
    ):
        yield server, upstream


def runs(details: TurnDetails) -> list[tuple[str, str]]:
    """Give the tools of a turn and how each ended."""
    return [(run.name, run.outcome) for run in details.tools]


class Gate:
    """Where a tool waits until its test lets it go on; ``begun`` counts who came. Safe in any thread."""

    def __init__(self) -> None:
        self.begun = 0
        self.gone_on = 0
        self._changed = threading.Condition()
        self._open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def passed(self) -> None:
        """Return when the gate is open."""
        event = asyncio.Event()
        with self._changed:
            self.begun += 1
            self._waiting.append((asyncio.get_running_loop(), event))
            if self._open:
                event.set()
            self._changed.notify_all()
        await event.wait()
        with self._changed:
            self.gone_on += 1
            self._changed.notify_all()

    def open(self) -> None:
        """Let everybody through, now and later."""
        with self._changed:
            self._open = True
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)
            self._waiting.clear()

    def wait(self, begun: int = 1) -> None:
        """Return when so many have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.begun >= begun, PATIENCE)

    def wait_gone_on(self, count: int = 1) -> None:
        """Return when so many have gone through."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.gone_on >= count, PATIENCE)
