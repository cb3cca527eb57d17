"""Chunks of any server are folded into what was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import WireError
from offhook.wire.fold import Fold, Step, decode_chunk, error_message


def chunk(delta: object = None, reason: object = None, **more: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}).encode()


def folded(*chunks: bytes) -> Fold:
    fold = Fold()
    for data in chunks:
        fold.feed(data)
    return fold


# --- tolerances ---------------------------------------------------------------------------------------------------


def test_each_chunk_gives_its_step() -> None:
    """A chunk gives what it brought, and the fold what has come so far."""
    fold = Fold()
    assert fold.feed(chunk({"role": "assistant", "content": ""})) == Step()
    assert fold.feed(chunk({"content": "Hel"})) == Step(text="Hel")
    assert fold.feed(chunk({"reasoning_content": "hm"})) == Step(reasoning="hm")
    assert fold.feed(chunk({"content": "lo"}, "stop")) == Step(text="lo", finish_reason="stop")
    assert (fold.text, fold.reasoning, fold.finish_reason, fold.calls) == ("Hello", "hm", "stop", [])


NOTHING = {
    "no choices": b"{}",
    "choices null": b'{"choices": null}',
    "choices empty": b'{"choices": []}',
    "choices an object": b'{"choices": {}}',
    "choice null": b'{"choices": [null]}',
    "delta missing": b'{"choices": [{}]}',
    "delta null": chunk(None),
    "delta a string": chunk("x"),
    "content null": chunk({"content": None}),
    "content a number": chunk({"content": 3}),
    "content an object": chunk({"content": {"text": "x"}}),
    "tool_calls null": chunk({"tool_calls": None}),
    "tool_calls an object": chunk({"tool_calls": {}}),
    "reasoning an object": chunk({"reasoning": {}}),
    "finish reason empty": chunk({}, ""),
    "finish reason a number": chunk({}, 3),
    "another choice": b'{"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]}',
    "a message instead of a delta": b'{"choices": [{"index": 0, "message": {"content": "x"}}]}',
    "an error that is none": chunk({}, error=None),
    "meta.info": b'{"type": "meta.info", "metainfo": {}}',
    "a message without a code": b'{"message": "queued"}',
    "a code that tells of no error": b'{"code": 0, "message": "ok"}',
    "a code and a message beside choices": b'{"choices": [], "code": 200, "message": "ok"}',
}


@pytest.mark.parametrize("data", NOTHING.values(), ids=NOTHING)
def test_a_chunk_that_brings_nothing(data: bytes) -> None:
    """A chunk without anything for choice 0 is passed over."""
    fold = Fold()
    assert fold.feed(data) == Step()
    assert (fold.text, fold.reasoning, fold.finish_reason, fold.calls, fold.usage) == ("", "", None, [], None)


def test_choice_0_is_found_among_others() -> None:
    """Choice 0 is read wherever it stands, and a choice without an index is choice 0."""
    others = [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}]
    assert folded(json.dumps({"choices": others}).encode()).text == "yes"
    assert folded(b'{"choices": [{"delta": {"content": "yes"}}]}').text == "yes"
    assert folded(b'{"choices": [{"index": null, "delta": {"content": "yes"}}]}').text == "yes"


def test_parts_of_content() -> None:
    """Text parts are spoken, and thinking parts are reasoning."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm "}, {"type": "text", "text": "hm"}]}
    fold = folded(chunk({"content": [thinking, {"type": "text", "text": "Yes"}, {"type": "reference"}, "."]}))
    assert (fold.text, fold.reasoning) == ("Yes.", "hm hm")


def test_reasoning_under_either_name_once() -> None:
    """Reasoning is read under both of its names, and not twice when a service sends both."""
    assert folded(chunk({"reasoning": "a"}), chunk({"reasoning_content": "b"})).reasoning == "ab"
    assert folded(chunk({"reasoning": "a", "reasoning_content": "a"})).reasoning == "a"


def test_usage_anywhere() -> None:
    """Usage is read on any chunk, the last one wins, and null does not erase it."""
    fold = folded(chunk({}, usage={"total_tokens": 1}), b'{"usage": {"total_tokens": 2}}', chunk({}, usage=None))
    assert fold.usage == {"total_tokens": 2}


def test_a_finish_reason_again() -> None:
    """A finish reason may come again, and what follows it is still read."""
    fold = folded(chunk({}, "length"), chunk({"content": "x"}), chunk({}, "length"))
    assert (fold.finish_reason, fold.text) == ("length", "x")


def test_calls_come_out_in_their_order() -> None:
    """Tool calls of the deltas are put together in the order in which they began."""
    one = {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}
    two = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    fold = folded(
        chunk({"tool_calls": [one, two]}), chunk({"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]})
    )
    assert [(call.id, call.name, call.arguments) for call in fold.calls] == [("b", "g", "{}"), ("a", "f", "{}")]


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"message": "Too much.", "code": "busy"}, "Too much."),
        ({"code": "busy", "message": ""}, "busy"),
        ({"type": "server_error"}, "server_error"),
        ({"code": 400}, "400"),
        ({}, "the service reported an error without a message"),
        ("Too much.", "Too much."),
        (["Too much."], "['Too much.']"),
    ],
)
def test_the_words_of_an_error(error: object, words: str) -> None:
    """An error in any of the shapes that services use gives its words."""
    assert error_message(error) == words


@pytest.mark.parametrize(
    "data",
    [
        b'{"error": {"message": "It broke."}}',
        b'{"error": "It broke."}',
        chunk({"content": "x"}, error={"code": 1, "message": "It broke."}),
        b'{"choices": [{"index": 0, "delta": {"content": "x"}, "error": {"message": "It broke."}}]}',
        b'{"object": "error", "message": "It broke.", "type": "BadRequestError"}',
        b'{"code": "Throttling", "message": "It broke.", "request_id": "r"}',
        b'{"detail": "no", "error": {"message": "It broke."}}',
    ],
)
def test_an_error_in_a_stream(data: bytes) -> None:
    """An error event, or an error in a chunk, raises with the service's words and keeps what came before."""
    fold = folded(chunk({"content": "Well"}))
    with pytest.raises(WireError, match=r"It broke\."):
        fold.feed(data)
    assert fold.text == "Well"


@pytest.mark.parametrize(
    "data", [b"", b"not JSON", b"[]", b"3", b"[DONE]", b'{"a": "\xff"}', b"[" * 100_000, b"{'a': 1}"]
)
def test_what_is_no_chunk(data: bytes) -> None:
    """What is no JSON object raises WireError and nothing else."""
    with pytest.raises(WireError):
        decode_chunk(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["content", "reasoning", "reasoning_content", "tool_calls", "role"])
CHOICE = st.fixed_dictionaries(
    {}, optional={"index": JSON, "delta": JSON | st.dictionaries(NAMES, JSON), "finish_reason": JSON, "error": JSON}
)


@given(st.lists(CHOICE | JSON, max_size=3), JSON)
def test_any_chunk_is_read(choices: list[object], usage: object) -> None:
    """Any JSON where a chunk should be is read, or refused with WireError."""
    fold = Fold()
    try:
        step = fold.feed(json.dumps({"choices": choices, "usage": usage}).encode())
    except WireError:
        return
    assert (fold.text, fold.reasoning, fold.finish_reason) == (step.text, step.reasoning, step.finish_reason)


def test_a_long_reply_is_not_copied_for_every_chunk() -> None:
    """Thirty megabytes in thousands of chunks are read well within the time limit of a test."""
    fold = Fold()
    piece = "x" * 1_000
    data = chunk({"content": piece})
    for _ in range(30_000):
        fold.feed(data)
    assert len(fold.text) == 30_000_000
