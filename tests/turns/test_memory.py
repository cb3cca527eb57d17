"""A prompt holds what fell out of the window, and begins with the prompt before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pytest

from offhook.events import Message
from offhook.turns.memory import PastReply, Recalled, Transcript, recall

if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM = Message("system", "Be brief.", {"role": "system", "content": "Be brief."})


def message(role: str, text: str, **more: Any) -> Message:
    return Message(role, text, {"role": role, "content": text, **more})


def u(text: str) -> Message:
    return message("user", text)


def a(text: str) -> Message:
    return message("assistant", text)


def cut(text: str, heard: int | None) -> Message:
    """Give an assistant message as a dialect reads one that the platform marked."""
    return msgspec.structs.replace(a(text), interrupted=True, heard=heard)


def calls(text: str, *ids: str) -> Message:
    return message("assistant", text, tool_calls=[{"id": id_, "function": {"name": "f"}} for id_ in ids])


def tool(id_: str, text: str = "42") -> Message:
    return message("tool", text, tool_call_id=id_)


def said(messages: Sequence[Message]) -> list[str]:
    """Give messages in short: ``u:hello``."""
    return [f"{one.role[0]}:{one.text}" for one in messages]


def read(line: str) -> list[Message]:
    """Read messages in short: ``a:so^ far`` was marked, ``m:so`` without a place, ``c1,2:wait`` calls."""
    return [read_one(short) for short in line.split(" | ") if short]


def read_one(short: str) -> Message:
    kind, _, text = short.partition(":")
    if kind[0] in "ct":
        return calls(text, *kind[1:].split(",")) if kind[0] == "c" else tool(kind[1:])
    if kind == "m" or "^" in text:
        return cut(text.replace("^", ""), None if kind == "m" else text.index("^"))
    return message({"u": "user", "a": "assistant", "s": "system"}[kind], text)


def known(line: str, reply: PastReply | str | None = None) -> Transcript:
    """Give a transcript as its last turn left it."""
    messages = tuple(read(line))
    turn = max((at for at, one in enumerate(messages) if one.role == "user"), default=0)
    base = max([turn, *(at for at, one in enumerate(messages, 1) if one.role == "assistant")])
    return Transcript(messages, base=base, turn=turn, reply=PastReply(reply) if isinstance(reply, str) else reply)


def follows(before: Transcript, after: Recalled) -> bool:
    """Tell whether the change leads from the one transcript to the other, by fields."""
    change = after.change
    kept = [one.fields for one in before.messages[change.drop : change.keep]]
    return [*kept, *change.add] == [one.fields for one in after.transcript.messages]


HELLO = "Hello there. How are you?"
CALLED = PastReply("", calls=True)
WAIT = PastReply("Wait.", calls=True)
HEARD = PastReply(HELLO, heard=5)
Reply: TypeAlias = PastReply | str | None

# Each: the transcript, its reply, the window, the prompt, how far the reply was heard.
ALIGNED: dict[str, tuple[str, Reply, str, str, int | None]] = {
    "the reply whole": ("u:1 | a:2 | u:3", "4", "u:1 | a:2 | u:3 | a:4 | u:5", "u:1 | a:2 | u:3 | a:4 | u:5", None),
    "a window of two": ("u:1 | a:2 | u:3", "4", "a:4 | u:5", "u:1 | a:2 | u:3 | a:4 | u:5", None),
    "a window of three": ("u:1 | a:2 | u:3", "4", "u:3 | a:4 | u:x", "u:1 | a:2 | u:3 | a:4 | u:x", None),
    "the last words alone": ("u:1 | a:2 | u:3", "4", "u:5", "u:1 | a:2 | u:3 | a:4 | u:5", None),
    "no answers at all": ("u:1 | a:2 | u:3", "4", "u:1 | u:3 | u:x", "u:1 | a:2 | u:3 | a:4 | u:x", None),
    "no answers, the first gone": ("u:1 | a:2 | u:3", "4", "u:3 | u:x", "u:1 | a:2 | u:3 | a:4 | u:x", None),
    "several new words": ("u:1 | a:2 | u:3", "4", "u:x | u:y", "u:1 | a:2 | u:3 | a:4 | u:x | u:y", None),
    "the same words again": ("u:1 | a:2 | u:3", "4", "u:3", "u:1 | a:2 | u:3 | a:4 | u:3", None),
    "no answers, a repetition": ("u:a | u:b", "", "u:a | u:b | u:b | u:c", "u:a | u:b | u:c", None),
    "no answers, the oldest dropped": ("u:b", "x", "u:a | u:b | u:c", "u:b | a:x | u:c", None),
    "white space differs": ("u:hi you", "A  b\nc", "u: hi  you  | a:A b c | u:x", "u:hi you | a:A  b\nc | u:x", None),
    "the text as generated": ("u:a", PastReply("ten", "10"), "u:a | a:10 | u:b", "u:a | a:ten | u:b", None),
    "cut by the platform": ("u:a", HELLO, "u:a | a:Hello there. | u:b", "u:a | a:Hello there. | u:b", 12),
    "cut, white space differs": ("u:a", "A  b c", "u:a | a:A b | u:b", "u:a | a:A  b | u:b", 4),
    "marked": ("u:a", HELLO, "u:a | a:Hello^ | u:b", "u:a | a:Hello | u:b", 5),
    "marked, text behind it": ("u:a", HELLO, "u:a | a:Hello^ there. | u:b", "u:a | a:Hello | u:b", 5),
    "marked, no place said": ("u:a", HELLO, "u:a | m:Hello | u:b", "u:a | a:Hello | u:b", 5),
    "marked at the start": ("u:a", HELLO, "u:a | a:^Hello | u:b", "u:a | u:b", 0),
    "marked at the start, window of two": ("u:a", HELLO, "a:^ | u:b", "u:a | u:b", 0),
    "marked at the end": ("u:a", "Hi", "u:a | a:Hi^ | u:b", "u:a | a:Hi | u:b", 2),
    "an empty answer": ("u:a", HELLO, "u:a | a: | u:b", "u:a | u:b", 0),
    "reported, whole in the window": ("u:a", HEARD, f"u:a | a:{HELLO} | u:b", "u:a | a:Hello | u:b", None),
    "reported, no answers": ("u:a", HEARD, "u:b", "u:a | a:Hello | u:b", None),
    "reported, cut otherwise": ("u:a", HEARD, "u:a | a:Hello there. | u:b", "u:a | a:Hello there. | u:b", 12),
    "reported beyond the end": ("u:a", PastReply("Hi", heard=9), "u:b", "u:a | a:Hi | u:b", None),
    "nothing heard": ("u:a", PastReply(HELLO, heard=0), "u:b", "u:a | u:b", None),
    "an empty reply": ("u:a", "", "u:b", "u:a | u:b", None),
    "no reply": ("u:a", None, "u:a | u:b", "u:a | u:b", None),
    "cancelled before a word": ("u:1 | a:2 | u:3", "4", "u:1 | a:2 | u:3 | u:5", "u:1 | a:2 | u:3 | u:5", 0),
    "cancelled twice": ("u:1 | a:2 | u:3 | u:x", "x", "u:1 | a:2 | u:3 | u:x | u:y", "u:1 | a:2 | u:3 | u:x | u:y", 0),
    "cancelled, nothing sent": ("u:1 | a:2 | u:3", "", "u:1 | a:2 | u:3 | u:5", "u:1 | a:2 | u:3 | u:5", None),
    "it took back a turn": ("u:1 | a:2 | u:3", "4", "u:1 | a:2 | u:x", "u:1 | a:2 | u:x", None),
    "it made one of two messages": ("u:1 | a:2 | u:3", "4", "u:1 | a:2 | u:3 x", "u:1 | a:2 | u:3 x", None),
    "it made one of two, later": ("u:1 | u:2", "3", "u:1 2 | a:3 | u:4", "u:1 | u:2 | a:3 | u:4", None),
    "it does not keep a silence": ("u:a | a:b | u:", "Y", "u:a | a:b | a:Y | u:c", "u:a | a:b | u: | a:Y | u:c", None),
    "a doubled message": ("u:a", "b", "u:a | a:b | u:c | u:c", "u:a | a:b | u:c", None),
    "a doubled turn": ("u:a", "b", "u:a | a:b | u:a | a:b | u:c", "u:a | a:b | u:c", None),
    "the platform says something": ("u:a", "b", "u:a | a:b | a:Hm? | u:c", "u:a | a:b | a:Hm? | u:c", None),
    "the platform spoke first": ("u:a", "b", "u:a | a:Wait. | a:b | u:c", "u:a | a:Wait. | a:b | u:c", None),
    "a reply in two records": ("u:a", "B. C.", "u:a | a:B. | a:C. | u:c", "u:a | a:B. C. | u:c", None),
    "a reply in two of three records": ("u:a", "B. C. D.", "u:a | a:B. | a:C. | u:c", "u:a | a:B. C. | u:c", 5),
    "marked in the second record": ("u:a", "B. Cd.", "u:a | a:B. | a:C^d. | u:c", "u:a | a:B. C | u:c", 4),
    "a note in the middle": ("u:a", "b", "u:a | a:b | s:n | u:c", "u:a | a:b | s:n | u:c", None),
    "a note behind the caller": ("u:a", "b", "u:a | s:n | a:b | u:c", "u:a | s:n | a:b | u:c", None),
    "a note that is gone": ("u:a | a:b | s:n | u:c", "", "a:b | u:c | u:d", "u:a | a:b | s:n | u:c | u:d", None),
    "asked without words": ("u:a", "b", "u:a | a:b", "u:a | a:b", None),
    "repeated, spoken": ("u:y | a:ok | u:y", "ok", "a:ok | u:y", "u:y | a:ok | u:y | a:ok | u:y", None),
    "repeated, unspoken": ("u:y | a:ok | u:y", "ok", "u:y | a:ok | u:y | u:n", "u:y | a:ok | u:y | u:n", 0),
    "a frozen answer is shown cut": ("u:a | a:b c | u:d", "x", "u:a | a:b | u:d | u:e", "u:a | a:b c | u:d | u:e", 0),
    "a call and its result": ("u:a", CALLED, "u:a | c1: | t1", "u:a | a: | t:42", None),
    "a call with words": ("u:a", WAIT, "u:a | c1:Wait. | t1", "u:a | a:Wait. | t:42", None),
    "a call whose words are left out": ("u:a", WAIT, "c1: | t1", "u:a | a: | t:42", None),
    "a call behind its words": ("u:a", WAIT, "u:a | a:Wait. | c1: | t1", "u:a | a:Wait. | a: | t:42", None),
    "two calls at once": ("u:a", CALLED, "u:a | c1,2: | t2 | t1", "u:a | a: | t:42 | t:42", None),
    "a second call": ("u:a | c1: | t1", CALLED, "u:a | c1: | t1 | c2: | t2", "u:a | a: | t:42 | a: | t:42", None),
    "an answer then": ("u:a | c1: | t1", "b", "u:a | c1: | t1 | a:b | u:c", "u:a | a: | t:42 | a:b | u:c", None),
    "cancelled after a call": ("u:a | c1: | t1", "b", "u:a | c1: | t1 | u:c", "u:a | a: | t:42 | u:c", 0),
    "a call without a result": ("u:a", CALLED, "u:a | c1: | u:b", "u:a | u:b", None),
    "a call, and no answers": ("u:a", WAIT, "u:b", "u:a | a:Wait. | u:b", None),
    "a result alone": ("u:a | c1:", None, "t1", "u:a | a: | t:42", None),
    "a greeting that was a reply": ("", "Hi.", "u: | a:Hi. | u:b", "u: | a:Hi. | u:b", None),
    "no words at all": ("u:a", "b", "", "u:a | a:b", None),
}


@pytest.mark.parametrize("case", ALIGNED)
def test_the_window_goes_on_where_the_call_was(case: str) -> None:
    """What the window adds stands behind what earlier prompts held, and it tells how far the reply was spoken."""
    transcript, reply, window, prompt, heard = ALIGNED[case]
    before = known(transcript, reply)
    after = recall([SYSTEM, *read(window)], before)
    assert " | ".join(said(after.messages[1:])) == prompt
    assert after.heard == heard
    assert after.outcome == "aligned"
    assert after.transcript.reply is None
    assert follows(before, after)


# Each: the transcript, its reply, the window, what comes of it, the prompt.
OTHERS: dict[str, tuple[str, Reply, str, str, str]] = {
    "the first turn": ("", None, "u:a", "first", "u:a"),
    "a call that had begun": ("", None, "a:Hi. | u:a | a:b | u:c", "first", "a:Hi. | u:a | a:b | u:c"),
    "nothing": ("", None, "", "first", ""),
    "another conversation": ("u:1 | a:2 | u:3", "4", "u:x | a:y | u:z", "missed", "u:x | a:y | u:z"),
    "the answer to something else": ("u:1 | a:2 | u:3", "4", "u:x | a:4 | u:z", "missed", "u:x | a:4 | u:z"),
    "no part of the reply": ("u:a", HELLO, "u:a | a:there. | u:b", "missed", "u:a | a:there. | u:b"),
    "marked where the reply was not": ("u:a", "b", "u:a | a:c^d | u:b", "missed", "u:a | a:cd | u:b"),
    "a call of nobody": ("u:a", "b", "u:a | c1: | t1", "missed", "u:a | a: | t:42"),
    "a doubled turn that is not known": ("u:x", None, "u:a | a:b | u:a | a:b | u:c", "missed", "u:a | a:b | u:c"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_window_that_fits_nothing_is_used_as_it_came(case: str) -> None:
    """In the first turn, and where the newest answer is not known, the prompt is the window."""
    transcript, reply, window, outcome, prompt = OTHERS[case]
    before = known(transcript, reply)
    after = recall(read(window), before)
    assert (after.outcome, " | ".join(said(after.messages))) == (outcome, prompt)
    assert after.heard is None
    assert follows(before, after)


AGAIN: dict[str, tuple[str, Reply, str, str, str]] = {
    "grown": ("u:1 | a:2 | u:3", "4", "u:1 | a:2 | u:3 and 4", "aligned", "u:1 | a:2 | u:3 and 4"),
    "grown, its words alone": ("u:1 | a:2 | u:3", "4", "u:3 and 4", "aligned", "u:1 | a:2 | u:3 and 4"),
    "the first one, grown": ("u:a", "b", "u:a and b", "first", "u:a and b"),
    "the same once more": ("u:1 | a:2 | u:3", "4", "u:1 | a:2 | u:3", "aligned", "u:1 | a:2 | u:3"),
    "a window of one once more": ("u:1 | a:2 | u:3", "4", "u:3", "aligned", "u:1 | a:2 | u:3"),
    "grown behind its cut reply": ("u:a", HELLO, "u:a | a:Hel^ | u:b", "aligned", "u:a | a:Hel | u:b"),
    "another conversation": ("u:1 | a:2 | u:3", "4", "u:x | a:y | u:z", "missed", "u:x | a:y | u:z"),
    "a step with results": ("u:o | a:p | u:a | c1: | t1", "x", "c1: | t1", "aligned", "u:o | a:p | u:a | a: | t:42"),
    "grown after such a step": ("u:o | a:p | u:a | c1: | t1", "x", "a:p | u:a b", "aligned", "u:o | a:p | u:a b"),
    "more words after such a step": ("u:a | c1: | t1", "x", "u:a | c1: | t1 | u:b", "aligned", "u:a | a: | t:42 | u:b"),
}


@pytest.mark.parametrize("case", AGAIN)
def test_a_turn_that_is_asked_again_replaces_its_last_form(case: str) -> None:
    """What the last turn had added goes, and its reply, before the window is looked at."""
    transcript, reply, window, outcome, prompt = AGAIN[case]
    before = known(transcript, reply)
    after = recall(read(window), before, again=True)
    assert (after.outcome, " | ".join(said(after.messages))) == (outcome, prompt)
    assert follows(before, after)


def test_the_frozen_reply_stays_when_its_turn_is_asked_again() -> None:
    """The answer that the last prompt froze belongs to the turn before, so that a grown turn keeps it."""
    first = recall([u("a")], Transcript()).transcript
    second = recall([u("b")], msgspec.structs.replace(first, reply=PastReply("x"))).transcript
    third = recall([u("b c")], msgspec.structs.replace(second, reply=PastReply("y")), again=True)
    assert said(third.messages) == ["u:a", "a:x", "u:b c"]


def test_system_messages_are_the_windows_own() -> None:
    """A leading system message is taken from each window as it is, and is not kept."""
    before = known("u:a", "b")
    after = recall([message("system", "New."), message("developer", "Newer."), u("a"), a("b"), u("c")], before)
    assert said(after.messages) == ["s:New.", "d:Newer.", "u:a", "a:b", "u:c"]
    assert said(after.transcript.messages) == ["u:a", "a:b", "u:c"]


def test_what_was_in_a_prompt_stays_the_same_object() -> None:
    """A picture that the platform does not send again is still in the prompt, and a message is not written anew."""
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    seen = Message("user", "see", {"role": "user", "content": content})
    first = recall([seen], Transcript())
    before = msgspec.structs.replace(first.transcript, reply=PastReply("A cat."))
    after = recall([u("see"), a("A cat."), u("and?")], before)
    assert after.messages[0] is seen
    assert said(after.messages) == ["u:see", "a:A cat.", "u:and?"]


def test_a_reply_that_was_cut_is_marked_for_the_agent() -> None:
    """A frozen message says that it was interrupted, and holds what was heard alone."""
    _, frozen, _ = recall([u("a"), cut(HELLO, 5), u("b")], known("u:a", HELLO)).messages
    assert frozen == Message("assistant", "Hello", {"role": "assistant", "content": "Hello"}, True, 5)


def test_a_message_without_fields_is_kept_with_its_words() -> None:
    """What an agent's own test makes without fields is in the change with role and words."""
    after = recall([Message("user", "a")], Transcript())
    assert after.change.add == ({"role": "user", "content": "a"},)


def test_the_same_words_again_are_new_words() -> None:
    """Where the platform shows the caller's words alone, what is said again is appended again, and nothing else is."""
    transcript = Transcript()
    prompts: list[list[str]] = []
    for count in range(1, 5):
        recalled = recall(read("u:hello? | u:a pear | u:a pear | u:a pear")[:count], transcript)
        prompts.append(said(recalled.messages))
        transcript = msgspec.structs.replace(recalled.transcript, reply=PastReply(sent="Yes?"))
    assert prompts[-1] == ["u:hello?", "a:Yes?", "u:a pear", "a:Yes?", "u:a pear", "a:Yes?", "u:a pear"]
