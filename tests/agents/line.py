"""A test line on a clock that does not wait, and what its tests ask it."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

# Under another name: pytest would take testline() for a test.
from offhook.agents.testline import testline as build_line
from offhook.events import CallContext, Event, Message, Turn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from offhook.clock import Timer

# Tuesday 2026-03-03 07:05:00 UTC.
NOW = 1772521500.0


class FakeClock:
    """A clock that jumps over every sleep and remembers it."""

    def __init__(self) -> None:
        self.time = NOW
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        raise AssertionError("nobody sets a timer here")

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += seconds

    def new_id(self, prefix: str) -> str:
        return prefix


class Never:
    """A turn that is not cancelled."""

    def is_set(self) -> bool:
        return False

    async def wait(self) -> None:
        raise AssertionError("the test line does not wait for its end")


class Writer:
    """The writing end of a reply that keeps what is written."""

    blocked = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, *events: Event) -> None:
        self.events.extend(events)

    def close(self, finish: Event) -> None:
        raise AssertionError("the test line leaves the finish to the engine")

    async def drain(self) -> None:
        raise AssertionError("nothing is blocked")


CALL = CallContext(
    id="call-7",
    room="room-9",
    caller="+86 138-0013-8000",
    callee="4001",
    platform="alibaba_ims",
    user_data={"name": "Li"},
)


def user(text: str) -> Message:
    return Message("user", text)


def make_turn(text: str, **fields: Any) -> Turn:
    return Turn(text=text, cancelled=Never(), **{"call": CALL, "id": "3", **fields})


async def answer(text: str, clock: FakeClock | None = None, **fields: Any) -> list[str | Event]:
    """Give everything that the line gives for an utterance."""
    reply = cast("AsyncGenerator[str | Event]", build_line(clock or FakeClock())(make_turn(text, **fields)))
    async with aclosing(reply) as values:
        return [value async for value in values]


async def heard(text: str, **fields: Any) -> str:
    """Give the words of an answer that holds nothing but words."""
    values = await answer(text, **fields)
    assert all(isinstance(value, str) and value for value in values)
    return "".join(str(value) for value in values)
