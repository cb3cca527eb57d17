"""What a model service streams becomes a turn's events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offhook.errors import UpstreamBroken
from offhook.events import Finish, Text, ToolCall, Usage
from offhook.upstream.translate import Translator
from offhook.wire.sse import ServerEvent

DONE = ServerEvent(b"[DONE]")


def chunk(delta: Any, finish: str | None = None, **more: Any) -> ServerEvent:
    """Give the event of one chunk."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return ServerEvent(json.dumps({"choices": choices, **more}).encode())


def test_words_come_at_once_and_the_finish_at_the_end() -> None:
    """Text is given by the read that brought it, usage and finish by the end of the stream."""
    translator = Translator()
    assert translator.feed([chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"})]) == [Text("Hi")]
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    last = ServerEvent(json.dumps({"choices": [], "usage": usage}).encode())
    assert translator.feed([chunk({}, "stop"), last, DONE]) == []
    assert translator.done
    assert translator.flush() == [Usage(3, 2), Finish("stop")]


def test_reasoning_is_not_said() -> None:
    """Reasoning, under either name, gives no event."""
    translator = Translator()
    assert translator.feed([chunk({"reasoning_content": "hm"}), chunk({"reasoning": "hm"})]) == []


def test_a_refusal_is_said() -> None:
    """A model that declines is heard: the line is not silent."""
    assert Translator().feed([chunk({"refusal": "I cannot do that."})]) == [Text("I cannot do that.")]


def test_calls_are_given_whole_at_the_end() -> None:
    """Fragments of a tool call become one event, and the reply ends with tool_calls."""
    translator = Translator()
    first = {"index": 1, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}
    assert translator.feed([chunk({"tool_calls": [first]})]) == []
    assert translator.feed([chunk({"tool_calls": [{"index": 1, "function": {"arguments": ":1}"}}]}, "stop")]) == []
    assert translator.flush() == [ToolCall("f", '{"x":1}', "a"), Finish("tool_calls")]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_cut_end_is_kept(reason: str) -> None:
    """A reply that the service cut ends for the same reason here."""
    translator = Translator()
    translator.feed([chunk({"content": "a"}, reason)])
    assert translator.flush()[-1] == Finish(reason)  # type: ignore[arg-type]  # mypy sees a str, the test the two words


@pytest.mark.parametrize(
    "broken",
    [
        ServerEvent(b"<html>"),
        ServerEvent(b'{"error": {"message": "overloaded"}}'),
        ServerEvent(b'{"code": 500}', "error"),
        ServerEvent(b'{"choices": [{"delta": {}, "error": {"message": "overloaded"}}]}'),
    ],
    ids=["not json", "error object", "error event", "error inside a choice"],
)
def test_what_came_before_a_failure_is_said_first(broken: ServerEvent) -> None:
    """Words in the same read as a failure are given; the end of the stream raises it."""
    translator = Translator()
    assert translator.feed([chunk({"content": "Hel"}), broken, chunk({"content": "lo"})]) == [Text("Hel")]
    assert translator.done
    with pytest.raises(UpstreamBroken):
        translator.flush()


def test_a_stream_that_just_ends_is_broken() -> None:
    """Without a finish reason and without [DONE] the reply has failed, whatever was said."""
    translator = Translator()
    translator.feed([chunk({"content": "Hel"})])
    with pytest.raises(UpstreamBroken, match="in the middle"):
        translator.flush()
