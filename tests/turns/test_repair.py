"""History reaches a model with every tool call beside its results, and nothing doubled, empty or marked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.dialects.alibaba_ims import ALIBABA_IMS, INTERRUPTED
from offhook.dialects.base import Arrival
from offhook.events import Message
from offhook.turns.memory import PastReply, Transcript, recall
from offhook.turns.repair import repair, settle
from offhook.wire.chat import decode_request


def user(text: str) -> Message:
    return Message("user", text, {"role": "user", "content": text})


def says(text: str | None, *ids: str) -> Message:
    """Give an assistant message with a tool call for each id."""
    fields: dict[str, Any] = {"role": "assistant", "content": text}
    if ids:
        fields["tool_calls"] = [call(id_) for id_ in ids]
    return Message("assistant", text or "", fields)


def call(id_: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "look_up", "arguments": "{}"}}


def result(id_: str | None, text: str = "42") -> Message:
    fields = (
        {"role": "tool", "content": text} if id_ is None else {"role": "tool", "tool_call_id": id_, "content": text}
    )
    return Message("tool", text, fields)


def other(role: str, text: str) -> Message:
    return Message(role, text, {"role": role, "content": text})


A, B, HI = user("a"), user("b"), says("hi")
LEGACY = Message("assistant", "", {"role": "assistant", "content": None, "function_call": {"name": "f"}})
PICTURE = [{"type": "image_url", "image_url": {"url": "data:,"}}]
SHOWN = Message("assistant", "", {"role": "assistant", "content": PICTURE})
BLANK = Message("assistant", " ", {"role": "assistant", "content": [{"type": "text", "text": " "}]})
NO_CALLS = Message("assistant", "hi", {"role": "assistant", "content": "hi", "tool_calls": []})
ODD_CALLS = Message("assistant", "hi", {"role": "assistant", "content": "hi", "tool_calls": ["x", None]})

CASES: dict[str, tuple[list[Message], list[Message]]] = {
    "nothing": ([], []),
    "a conversation": ([A, HI, B], [A, HI, B]),
    "a call and its result": ([A, says(None, "1"), result("1"), HI, B], [A, says(None, "1"), result("1"), HI, B]),
    "a call without a result keeps its words": ([A, says("wait", "1"), B], [A, says("wait"), B]),
    "a call without a result and without words": ([A, says(None, "1"), B], [A, B]),
    "one of two calls has a result": ([A, says(None, "1", "2"), result("2"), B], [A, says(None, "2"), result("2"), B]),
    "a result without a call": ([A, result("1"), B], [A, B]),
    "a result without an id": ([A, says("x", "1"), result(None), B], [A, says("x"), B]),
    "a result that stands apart": (
        [A, says(None, "1"), B, result("1"), HI, A],
        [A, says(None, "1"), result("1"), B, HI, A],
    ),
    "a result before its call": ([A, result("1"), says(None, "1"), B], [A, says(None, "1"), result("1"), B]),
    "a result before its call, the caller between": ([result("1"), A, says("x", "1"), B], [A, says("x"), B]),
    "all results behind one message": (
        [A, says(None, "1", "2"), result("2"), HI, result("1"), B],
        [A, says(None, "1", "2"), result("2"), result("1"), HI, B],
    ),
    "an id that is used again": (
        [A, says(None, "1"), result("1", "x"), B, says(None, "1"), result("1", "y"), A],
        [A, says(None, "1"), result("1", "x"), B, says(None, "1"), result("1", "y"), A],
    ),
    "two results for one call": (
        [A, says(None, "1"), result("1", "x"), result("1", "y"), B],
        [A, says(None, "1"), result("1", "y"), B],
    ),
    "two calls without ids": ([A, says(None, "", ""), result(None), result(None), B],) * 2,
    "the same message twice": ([A, A, HI, HI, B], [A, HI, B]),
    "the same call twice": ([A, says("x", "1"), says("x", "1"), result("1"), B], [A, says("x", "1"), result("1"), B]),
    "the same pair twice": ([A, HI, A, HI, B], [A, HI, B]),
    "the same pair three times, at the end": ([A, HI, A, HI, A, HI], [A, HI]),
    "the same words, another answer": ([A, HI, A, says("ho"), B], [A, HI, A, says("ho"), B]),
    "doubled by what went between": ([A, says(None, "1"), A, B], [A, B]),
    "an empty assistant message": ([A, says(""), says(None), says(" \n"), BLANK, B], [A, B]),
    "an empty list of calls": ([A, NO_CALLS, B], [A, HI, B]),
    "calls that are none": ([A, ODD_CALLS, B], [A, HI, B]),
    "what is not words counts": ([A, SHOWN, B, LEGACY, other("function", "1"), A],) * 2,
    "roles that few know": ([other("plugin", "x"), other("developer", "y"), A, other("system", "z"), B],) * 2,
    "an empty message of the caller": ([A, HI, user("")],) * 2,
    "the last is empty": ([A, says("")],) * 2,
    "the last is a call without words": ([A, says(None, "1")],) * 2,
    "the last is a call with words": ([A, says("bye", "1")], [A, says("bye")]),
    "the last is a result": ([A, says(None, "1"), result("1")],) * 2,
    "the last is a result that stands apart": (
        [A, says(None, "1"), B, result("1")],
        [A, says(None, "1"), result("1"), B],
    ),
    "the last is a result without a call": ([A, HI, result("9")],) * 2,
    "a result alone": ([result("9")],) * 2,
}


@pytest.mark.parametrize("case", CASES)
def test_history_is_repaired(case: str) -> None:
    """What a model service would refuse is put right, and what is right stays equal."""
    came, wanted = CASES[case]
    assert list(repair(came)) == wanted


@pytest.mark.parametrize("case", [case for case in CASES if "pair" not in case])
def test_settling_does_the_same_but_for_pairs(case: str) -> None:
    """A list that was put together turn by turn is repaired like any other."""
    came, wanted = CASES[case]
    assert list(settle(came)) == wanted


def test_settling_keeps_what_was_said_twice() -> None:
    """A pair that stands in a transcript twice was said twice."""
    assert list(settle([A, HI, A, HI, B])) == [A, HI, A, HI, B]


IDS = st.sampled_from(["", "1", "2", "3"])
MESSAGES = st.one_of(
    st.sampled_from(
        [A, B, HI, LEGACY, SHOWN, BLANK, NO_CALLS, ODD_CALLS, other("system", "s"), other("function", "f")]
    ),
    st.builds(lambda text, ids: says(text, *ids), st.sampled_from([None, "x"]), st.lists(IDS, max_size=3)),
    st.builds(result, IDS, st.sampled_from(["x", "y"])),
)


@given(st.lists(MESSAGES, max_size=12))
def test_repairing_twice_is_repairing_once(messages: list[Message]) -> None:
    """A list that is already right is given back equal."""
    for mend in (repair, settle):
        assert mend(mend(messages)) == mend(messages)


@given(st.lists(MESSAGES, min_size=1, max_size=12))
def test_a_repaired_list_is_accepted(messages: list[Message]) -> None:
    """All but the last message are calls with their results directly behind them, or messages that say something."""
    given_ = repair(messages)
    assert given_
    waiting: list[str] = []
    for message in given_[:-1]:
        if message.role == "tool":
            waiting.remove(str(message.fields.get("tool_call_id", "")))
            continue
        assert waiting == []
        waiting = [one["id"] for one in message.fields.get("tool_calls") or []]
        assert message.role != "assistant" or waiting or message in (HI, LEGACY, SHOWN) or message.text == "x"
    if waiting:
        assert waiting == [given_[-1].fields["tool_call_id"]]


@given(st.lists(MESSAGES, min_size=1, max_size=12))
def test_nothing_that_was_said_is_lost(messages: list[Message]) -> None:
    """Every different thing that was said is still there, and the last message is."""
    for mend in (repair, settle):
        given_ = mend(messages)
        said = {(one.role, one.text) for one in messages if one.role != "tool" and one.text.strip()}
        assert {(one.role, one.text) for one in given_} >= said
        last = messages[-1]
        assert any((one.role, one.text) == (last.role, last.text) for one in given_)


STEPS = st.one_of(
    st.sampled_from([(A,), (B,), (HI,), (says(""),), (other("system", "s"),)]),
    st.builds(lambda a, b: (says("x", a, b), result(b), result(a)), IDS, IDS),
    st.builds(lambda a: (says("x", a),), st.sampled_from(["8", "9"])),
)


@given(st.lists(STEPS, max_size=10), st.sampled_from([A, B]))
def test_settling_a_list_that_grows_grows_at_its_end(steps: list[tuple[Message, ...]], last: Message) -> None:
    """What was given to a model once is given again unchanged, when each result came with its call's next prompt."""
    before: tuple[Message, ...] = ()
    messages: list[Message] = []
    for step in steps:
        messages += (*step, last)
        after = settle(messages)
        assert after[: len(before)] == before
        before = after


def test_a_late_result_is_the_exception() -> None:
    """A result that comes after a prompt without it is put where it belongs, all the same."""
    asked = [A, says("wait", "1"), B]
    assert list(settle(asked)) == [A, says("wait"), B]
    assert list(settle([*asked, result("1")])) == [A, says("wait", "1"), result("1"), B]


TEXTS = st.text("ab .", max_size=6)


@given(before=TEXTS, after=TEXTS, sent=TEXTS)
def test_no_mark_of_an_interruption_reaches_a_model(before: str, after: str, sent: str) -> None:
    """What Alibaba's platform puts where the caller cut in is in no prompt, wherever it stood."""
    messages = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": before + INTERRUPTED + after},
        {"role": "user", "content": "and"},
        {"role": "assistant", "content": [{"type": "text", "text": before + INTERRUPTED + after + INTERRUPTED}]},
        {"role": "user", "content": "now?"},
    ]
    request = decode_request(msgspec.json.encode({"model": "m", "messages": messages}))
    window = ALIBABA_IMS.read(Arrival(request=request, headers={}, query={})).history
    earlier = Transcript(window[:3], base=2, turn=2, reply=PastReply(sent))
    for prompt in (repair(window), recall(window, Transcript()).messages, recall(window, earlier).messages):
        assert INTERRUPTED not in repr(prompt)
