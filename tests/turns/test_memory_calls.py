"""Over whole calls a prompt begins with the prompt before it, and nothing that was said is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.events import Message
from offhook.store.base import PromptChange
from offhook.turns.memory import PastReply, Recalled, Transcript, recall, restore
from offhook.wire.tokens import estimate
from tests.turns.test_memory import SYSTEM, a, calls, cut, follows, known, said, tool, u

if TYPE_CHECKING:
    from pathlib import Path

# --- the budget ---------------------------------------------------------------------------------------------------


def test_over_the_budget_the_oldest_half_goes_at_whole_turns() -> None:
    """The prompt begins with a turn, holds at most half of what it was, and grows at its end until the next time."""
    before, drops, last = Transcript(), [], 0
    for number in range(60):
        after = recall([u(f"question {number:02}")], before, budget=200)
        size = sum(estimate(one.text) for one in after.messages)
        assert size <= 200
        assert after.messages[0].role == "user"
        assert follows(before, after)
        if after.change.drop:
            assert size <= last // 2 + 10
            drops.append(number)
        else:
            assert after.messages[: len(before.messages)] == before.messages
        before, last = msgspec.structs.replace(after.transcript, reply=PastReply(f"This is answer {number:02}.")), size
    assert len(drops) == 3


def test_the_last_turn_is_never_dropped() -> None:
    """A turn that is over the budget by itself is given whole, with its tool results and all the caller's words."""
    long = "word " * 100
    before = known(f"u:a | a:b | u:{long} | u:{long} | c1:", "")
    after = recall([tool("1", long)], before, budget=10)
    assert said(after.messages) == [f"u:{long}", "a:", f"t:{long}"]
    assert after.change.drop == 2
    assert follows(before, after)


def test_a_window_over_the_budget_is_cut_too() -> None:
    """Where the platform's messages are taken as they came the oldest of them are left out of the change."""
    window = [one for number in range(20) for one in (u(f"question {number:02}"), a("answer"))] + [u("now?")]
    after = recall(window, Transcript(), budget=50)
    assert sum(estimate(one.text) for one in after.messages) <= 50
    assert after.messages == tuple(window[-len(after.messages) :])
    assert after.change.keep == after.change.drop == 0
    assert follows(Transcript(), after)


def test_a_call_goes_on_after_the_oldest_turns_were_dropped() -> None:
    """What was dropped does not come back with a window that still shows it, whether that has answers or not."""
    for shows in (("user", "assistant"), ("user",)):
        before, records = Transcript(), list[Message]()
        for number in range(40):
            records.append(u(f"question {number:02}"))
            after = recall([one for one in records if one.role in shows], before, budget=200)
            assert after.outcome == ("aligned" if number else "first")
            assert after.messages == tuple(records[-len(after.messages) :])
            before = msgspec.structs.replace(after.transcript, reply=PastReply(f"This is answer {number:02}."))
            records.append(a(f"This is answer {number:02}."))
        assert len(before.messages) < 40


# --- whole calls --------------------------------------------------------------------------------------------------

# How many of the newest records a platform sends.
WINDOWS = (1, 2, 4, 20, 1000)


class Call:
    """A call on a platform that keeps its own records and sends the newest."""

    def __init__(self, window: int, budget: int = 0) -> None:
        self.records: list[Message] = []
        self.transcript = Transcript()
        self.prompt: tuple[Message, ...] = ()
        self.changes: list[PromptChange] = []
        self.outcomes: list[str] = []
        self._window = window
        self._budget = budget

    def ask(self, *, again: bool = False, least: int = 1) -> Recalled:
        """Send the window, and look at what holds for every prompt."""
        sent = self.records[-max(self._window, least) :]
        before, prompt = self.transcript, self.prompt
        after = recall([SYSTEM, *sent], before, again=again, budget=self._budget)
        assert follows(before, after)
        assert after.messages[0] is SYSTEM
        assert said(after.messages[-1:]) == said(sent[-1:])
        self.transcript, self.prompt = after.transcript, after.messages
        self.changes.append(after.change)
        self.outcomes.append(after.outcome)
        # Where the budget left one turn alone, the platform may show no answer that is known.
        if not again and not after.change.drop and not (self._budget and after.outcome == "missed"):
            assert after.messages[: len(prompt)] == prompt
        return after

    def replied(self, sent: str, record: Message | None, *, tools: bool = False) -> None:
        """Enter the reply to the last prompt, and what the platform has of it."""
        self.transcript = msgspec.structs.replace(self.transcript, reply=PastReply(sent, calls=tools))
        if record is not None:
            self.records.append(record)


def play(call: Call, text: str, answer: str, fate: str, at: int) -> None:
    """Play one turn of a call: ``fate`` is what becomes of the reply, ``at`` where it is cut."""
    at = 1 + at % max(len(answer) - 1, 1)
    if fate == "grown":
        call.records.append(u(text[:at]))
        call.ask()
        call.replied(answer[:at], None)
        call.records[-1] = u(text)
        call.ask(again=True)
    else:
        call.records.append(u(text))
        call.ask()
    if fate == "tools":
        id_ = f"call-{len(call.records)}"
        call.replied("", calls("", id_), tools=True)
        call.records.append(tool(id_, text))
        call.ask(least=2)
    if fate == "cancelled":
        call.replied(answer[:at], None)
    elif fate == "marked":
        call.replied(answer, cut(answer[: at + 2], at))
    elif fate == "cut":
        call.replied(answer, a(answer[:at]))
    else:
        call.replied(answer, a(answer))


FATES = st.sampled_from(["spoken", "cancelled", "marked", "cut", "grown", "tools"])
PHRASES = st.sampled_from(["yes", "no", "yes yes", "ok.", "What?", "好", "好的，请说。"])
TURNS = st.lists(st.tuples(PHRASES, PHRASES, FATES, st.integers(0, 9)), max_size=14)


@given(TURNS, st.sampled_from(WINDOWS))
@example([("yes", "ok.", "spoken", 0), ("yes", "ok.", "cancelled", 1), ("yes", "ok.", "spoken", 0)], 4)
def test_a_prompt_begins_with_the_prompt_before_it(turns: list[tuple[str, str, str, int]], window: int) -> None:
    """Whatever is said, and said again, however replies end: nothing in a prompt changes, and no word is lost."""
    call = Call(window)
    for number, turn in enumerate(turns, 1):
        play(call, *turn)
        caller = {one.text for one in call.prompt if one.role == "user"}
        assert caller == {text for text, *_ in turns[:number]}
    assert "missed" not in call.outcomes


@given(st.lists(st.tuples(FATES, st.integers(0, 30)), max_size=12), st.sampled_from([4, 20, 1000]))
def test_the_transcript_is_what_the_platform_recorded(turns: list[tuple[str, int]], window: int) -> None:
    """Memory holds the platform's whole history with replies as they were heard, and tells how far that was."""
    call = Call(window)
    for number, (fate, at) in enumerate([("spoken", 0), *turns]):
        play(call, f"question number {number}", f"answer to question {number}", fate, at)
        call.records.append(u(f"and {number}"))
        heard = call.ask().heard
        spoken = call.records[-2]
        told = {"cancelled": 0, "marked": spoken.heard, "cut": len(spoken.text)}
        assert heard == told.get(fate)
        kept = [f"{one.role[0]}:{one.text[: one.heard] if one.interrupted else one.text}" for one in call.records]
        assert said(call.transcript.messages) == kept
        call.replied("Fine.", a("Fine."))
    assert call.outcomes == ["first"] + ["aligned"] * (len(call.outcomes) - 1)


@given(TURNS, st.sampled_from(WINDOWS), st.sampled_from([0, 30]))
def test_a_restart_forgets_nothing(turns: list[tuple[str, str, str, int]], window: int, budget: int) -> None:
    """The changes of a call's turns lead to the transcript that they came from, and to where its last turn begins."""
    call = Call(window, budget)
    for turn in turns:
        play(call, *turn)
        again = restore(msgspec.json.decode(msgspec.json.encode(call.changes), type=list[PromptChange]))
        assert [one.fields for one in again.messages] == [one.fields for one in call.transcript.messages]
        assert said(again.messages) == said(call.transcript.messages)
        assert (again.base, again.turn) == (call.transcript.base, call.transcript.turn)


def test_sixty_turns_with_a_window_of_twenty() -> None:
    """In a long call nothing is missed, and the last prompt holds every turn of it."""
    call = Call(20)
    fates = ["spoken", "marked", "cancelled", "tools", "cut", "grown", "cancelled", "cancelled"]
    for number in range(60):
        play(call, f"question {number}", f"answer {number}, which is long", fates[number % len(fates)], number)
    assert call.outcomes.count("missed") == 0
    assert [one.text for one in call.prompt if one.role == "user"] == [f"question {number}" for number in range(60)]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("window", WINDOWS)
def test_real_dialogues(shared: Path, language: str, window: int) -> None:
    """Every recorded dialogue is recalled whole, whatever part of it the platform sends."""
    lines = (shared / "corpus" / "dialogues" / f"{language}.jsonl").read_text("utf-8").splitlines()
    for line in lines:
        call = Call(window)
        for turn in json.loads(line)["turns"]:
            if turn["role"] == "user":
                call.records.append(u(turn["content"]))
                call.ask()
                assert said(call.transcript.messages) == said(call.records)
            elif call.outcomes:
                call.replied(turn["content"], a(turn["content"]))
            elif window > 1:
                call.records.append(a(turn["content"]))
        assert "missed" not in call.outcomes


ANY = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant", "tool", "system", "developer", "function", "plugin", ""]),
    text=st.sampled_from(["", " ", "a", "ab", "b"]),
    fields=st.dictionaries(
        st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "function_call", "name"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from(["", "a", "user", "assistant", "tool"]),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "text"]), inner),
            max_leaves=4,
        ),
    ),
    interrupted=st.booleans(),
    heard=st.none() | st.integers(-2, 3),
)
REPLIES = st.none() | st.builds(
    PastReply,
    st.sampled_from(["", "a", "ab c"]),
    st.sampled_from(["", "b"]),
    st.booleans(),
    st.none() | st.integers(-2, 5),
)


@given(st.lists(st.lists(ANY, max_size=6)), st.lists(REPLIES), st.booleans(), st.integers(-1, 3))
def test_any_messages_give_a_prompt(
    windows: list[list[Message]], replies: list[PastReply | None], again: bool, budget: int
) -> None:
    """Nothing that a platform sends makes it raise, and the change is always the way to the transcript."""
    before = Transcript()
    for number, window in enumerate(windows):
        after = recall(window, before, again=again, budget=budget)
        assert follows(before, after)
        assert after.messages or not [one for one in window if one.role != "assistant"]
        restore([after.change])
        reply = replies[number % len(replies)] if replies else None
        before = msgspec.structs.replace(after.transcript, reply=reply)
