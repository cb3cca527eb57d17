"""The user's agent may be written in any way that Python has for giving values."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from offhook.agents.values import to_event
from offhook.errors import AgentError, AgentValueError
from offhook.events import Command, Event, Finish, Text, ToolCall, Turn, Usage
from tests.doubles import forever, play

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

WORDS: list[Event] = [Text("You said: "), Text("hello"), Finish("stop")]


async def failure(function: Callable[..., Any]) -> Exception:
    """Give the error with which a turn of this function ends."""
    finish = (await play(function)).finish
    assert finish is not None and finish.reason == "failed" and finish.error is not None
    return finish.error


# --- every way of writing one -------------------------------------------------------------------------------------


async def async_generator(turn: Turn) -> AsyncIterator[str]:
    yield "You said: "
    yield turn.text


async def async_list(turn: Turn) -> list[str]:
    return ["You said: ", turn.text]


async def async_tuple(turn: Turn) -> tuple[str, ...]:
    return ("You said: ", turn.text)


async def async_to_stream(turn: Turn) -> AsyncIterator[str]:
    return async_generator(turn)


async def async_to_generator(turn: Turn) -> Iterator[str]:
    return plain_generator(turn)


def plain_list(turn: Turn) -> list[str]:
    return ["You said: ", turn.text]


def plain_generator(turn: Turn) -> Iterator[str]:
    yield "You said: "
    yield turn.text


def plain_to_stream(turn: Turn) -> AsyncIterator[str]:
    return async_generator(turn)


def plain_to_coroutine(turn: Turn) -> Any:
    return async_list(turn)


class Plain:
    def __call__(self, turn: Turn) -> Iterator[str]:
        return plain_generator(turn)


class Async:
    async def __call__(self, turn: Turn) -> list[str]:
        return ["You said: ", turn.text]


class AsyncChild(Async):
    """Has its call from its parent."""


class AsyncStream:
    async def __call__(self, turn: Turn) -> AsyncIterator[str]:
        yield "You said: "
        yield turn.text

    async def method(self, turn: Turn) -> AsyncIterator[str]:
        yield "You said: "
        yield turn.text


async def with_prefix(prefix: str, turn: Turn) -> AsyncIterator[str]:
    yield prefix
    yield turn.text


def plain_with_prefix(prefix: str, turn: Turn) -> Iterator[str]:
    yield prefix
    yield turn.text


@pytest.mark.parametrize(
    "function",
    [
        async_generator,
        async_list,
        async_tuple,
        async_to_stream,
        async_to_generator,
        plain_list,
        plain_generator,
        plain_to_stream,
        plain_to_coroutine,
        Plain(),
        Async(),
        AsyncChild(),
        AsyncStream(),
        AsyncStream().method,
        partial(with_prefix, "You said: "),
        partial(plain_with_prefix, "You said: "),
        partial(Async()),
        lambda turn: ["You said: ", turn.text],
        lambda turn: async_generator(turn),
    ],
)
async def test_every_form_of_function_gives_its_values_in_order(function: Callable[..., Any]) -> None:
    """Generators, lists, coroutines, streams, callable objects and partials, async and plain, say the same."""
    assert (await play(function)).events == WORDS


async def test_a_function_may_return_one_string() -> None:
    """One returned string is one piece of text, from an async and from a plain function."""

    async def later(turn: Turn) -> str:
        return f"You said: {turn.text}"

    def now(turn: Turn) -> str:
        return f"You said: {turn.text}"

    assert (await play(later)).events == (await play(now)).events == [Text("You said: hello"), Finish("stop")]


async def test_a_function_may_give_events() -> None:
    """Tool calls, commands and usage pass as they are, and the reply then ends with tool_calls."""
    given: list[Event] = [Text("Bye."), ToolCall("lookup", '{"a":1}', "call_1"), Command("hangup"), Usage(3, 4)]

    async def reply(turn: Turn) -> AsyncIterator[Event]:
        for event in given[:2]:
            yield event
        yield turn.hangup()
        yield given[3]

    assert (await play(reply)).events == [*given, Finish("tool_calls")]


async def test_nothing_at_all_is_an_empty_reply() -> None:
    """A generator that gives nothing, and a function that returns an empty list, say nothing and end well."""

    async def silent(turn: Turn) -> AsyncIterator[str]:
        words: list[str] = []
        for word in words:
            yield word

    def empty(turn: Turn) -> list[str]:
        return []

    assert (await play(silent)).events == (await play(empty)).events == [Finish("stop")]


# --- the end ------------------------------------------------------------------------------------------------------


async def test_a_finish_is_the_last_thing_an_async_agent_gives() -> None:
    """After Finish the generator is closed: its finally runs, and what it would say later is never said."""
    ended = []

    async def reply(turn: Turn) -> AsyncIterator[str | Finish]:
        try:
            yield "Too lo"
            yield Finish("length")
            await forever()
        finally:
            ended.append(True)

    assert (await play(reply)).events == [Text("Too lo"), Finish("length")]
    assert ended == [True]


async def test_a_finish_is_the_last_thing_a_plain_agent_gives() -> None:
    """A plain generator is stopped at its first yield behind Finish, and a list is not read further."""
    stopped = threading.Event()

    def reply(turn: Turn) -> Iterator[str | Finish]:
        try:
            yield Finish("content_filter")
            while True:
                yield "more"
        finally:
            stopped.set()

    assert (await play(reply)).events == [Finish("content_filter")]
    assert await asyncio.to_thread(stopped.wait, 10)
    assert (await play(lambda turn: [Finish("length"), "more"])).events == [Finish("length")]


# --- wrong values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "gave None"),
        (b"hello", "yield data.decode()"),
        (3, "gave int"),
        ({"text": "hello"}, "gave dict"),
        (object(), "gave object"),
        (Finish, "gave StructMeta"),
    ],
)
async def test_a_wrong_value_fails_with_the_code_to_write(value: object, words: str) -> None:
    """What is no event is named by its type, never shown, and the error holds an example that is right."""

    async def stream(turn: Turn) -> AsyncIterator[object]:
        yield value

    def plain(turn: Turn) -> object:
        return value

    for function in (stream, plain):
        error = await failure(function)
        assert isinstance(error, AgentValueError)
        assert words in str(error)
        assert 'yield "Goodbye."' in str(error)
    with pytest.raises(AgentValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        to_event(value)


async def test_a_wrong_value_in_a_list_fails_after_the_words_before_it() -> None:
    """What came before the wrong value has been said."""
    reader = await play(lambda turn: ["fine", None])
    assert reader.text == "fine"
    assert reader.finish is not None and reader.finish.reason == "failed"


# --- exceptions ---------------------------------------------------------------------------------------------------


def raise_before(turn: Turn) -> str:
    raise KeyError("no such thing")


def raise_after(turn: Turn) -> Iterator[str]:
    yield "Well, "
    raise KeyError("no such thing")


def empty_next(turn: Turn) -> str:
    empty: Iterator[str] = iter(())
    return next(empty)


async def empty_next_async(turn: Turn) -> str:
    empty: Iterator[str] = iter(())
    return next(empty)


def empty_anext(turn: Turn) -> str:
    raise StopAsyncIteration


def leave(turn: Turn) -> str:
    raise SystemExit(1)


@pytest.mark.parametrize("function", [raise_before, raise_after, empty_next, empty_next_async, empty_anext, leave])
async def test_a_function_that_raises_ends_its_turn_as_failed(function: Callable[..., Any]) -> None:
    """Any exception ends the turn, also those by which Python's own iterators end."""
    error = await failure(function)
    assert isinstance(error, AgentError)
    assert error.__cause__ is not None


async def test_words_before_an_exception_in_a_thread_are_said() -> None:
    """A plain generator that raises has said what it yielded."""
    assert (await play(raise_after)).text == "Well, "
