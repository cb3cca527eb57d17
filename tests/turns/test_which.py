"""What a request is to the others of its call: the table of turns/which.py, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.events import Message
from offhook.turns.state import MOST_COMPARED, MOST_KNOWN, CallState, Ending, claim, end
from offhook.turns.which import Asked, Known, Named, asked_of, name

NOW = 1_700_000_000.0
LIFETIME = 3600.0


def said(*texts: str) -> list[Message]:
    """Give a conversation: the caller, the agent, the caller and so on; one that begins with ``!`` is the system's."""
    made = []
    caller = True
    for text in texts:
        if text.startswith("!"):
            made.append(message("system", text))
            continue
        made.append(message("user" if caller else "assistant", text))
        caller = not caller
    return made


def message(role: str, text: str, **fields: Any) -> Message:
    return Message(role, text, {"role": role, "content": text, **fields})


CALLS = message("assistant", "", tool_calls=[{"id": "c1", "type": "function", "function": {"name": "look"}}])
RESULT = message("tool", "42", tool_call_id="c1")


def ask(
    *messages: Message, id: str | None = None, stream: bool = True, model: str = "m", ordered: bool = True
) -> Asked:
    return asked_of(messages, model=model, turn_id=id, stream=stream, ordered=ordered)


def known(asked: Asked, reason: str | None = None, *, ago: float = 1.0, delivered: bool = True) -> Known:
    ended = reason is not None
    return Known("t", "here", asked, reason, ended_at=NOW - ago if ended else 0.0, delivered=ended and delivered)


def named(asked: Asked, *others: Known) -> tuple[str, str]:
    found = name(asked, others, now=NOW, lifetime=LIFETIME)
    return found.which, found.answer


HELLO = said("hello")
MORE = said("hello", "hi", "what time is it")

CASES: list[tuple[str, Asked, list[Known], tuple[str, str]]] = [
    # With turn ids.
    ("the first request of a call", ask(*HELLO, id="1"), [], ("newer", "run")),
    ("a retry of a live turn", ask(*HELLO, id="1"), [known(ask(*HELLO, id="1"))], ("retry", "join")),
    ("a retry with its id written otherwise", ask(*HELLO, id="01"), [known(ask(*HELLO, id="1"))], ("retry", "join")),
    *(
        (f"a retry of {reason}", ask(*HELLO, id="1"), [known(ask(*HELLO, id="1"), reason)], ("retry", answer))
        for reason, answer in [
            ("stop", "replay"),
            ("length", "replay"),
            ("tool_calls", "replay"),
            ("cancelled", "run"),
            ("superseded", "run"),
            ("failed", "run"),
            ("content_filter", "run"),
        ]
    ),
    (
        "a retry past the reply's lifetime",
        ask(*HELLO, id="1"),
        [known(ask(*HELLO, id="1"), "stop", ago=LIFETIME + 1)],
        ("retry", "run"),
    ),
    (
        "a retry within the reply's lifetime",
        ask(*HELLO, id="1"),
        [known(ask(*HELLO, id="1"), "stop", ago=LIFETIME - 1)],
        ("retry", "replay"),
    ),
    (
        "the same turn with more words",
        ask(*said("hello there"), id="1"),
        [known(ask(*HELLO, id="1"))],
        ("grown", "run"),
    ),
    (
        "the same turn with more words after its reply",
        ask(*said("hello there"), id="1"),
        [known(ask(*HELLO, id="1"), "stop")],
        ("grown", "run"),
    ),
    (
        "the same turn with tool results",
        ask(*HELLO, CALLS, RESULT, id="1"),
        [known(ask(*HELLO, id="1"), "tool_calls")],
        ("continuation", "run"),
    ),
    (
        "the same turn with the second tool results",
        ask(*HELLO, CALLS, RESULT, CALLS, RESULT, id="1"),
        [known(ask(*HELLO, id="1"), "tool_calls"), known(ask(*HELLO, CALLS, RESULT, id="1"), "tool_calls")],
        ("continuation", "run"),
    ),
    ("a greater id", ask(*MORE, id="10"), [known(ask(*HELLO, id="9"))], ("newer", "run")),
    ("a smaller id", ask(*HELLO, id="9"), [known(ask(*MORE, id="10"))], ("older", "nothing")),
    (
        "a smaller id that was answered",
        ask(*HELLO, id="9"),
        [known(ask(*HELLO, id="9"), "stop"), known(ask(*MORE, id="10"))],
        ("retry", "replay"),
    ),
    (
        "a smaller id that was cancelled",
        ask(*HELLO, id="9"),
        [known(ask(*HELLO, id="9"), "cancelled"), known(ask(*MORE, id="10"))],
        ("older", "nothing"),
    ),
    (
        "a smaller id that grew",
        ask(*said("hello there"), id="9"),
        [known(ask(*HELLO, id="9"), "stop"), known(ask(*MORE, id="10"))],
        ("older", "nothing"),
    ),
    ("an id that has not been seen", ask(*MORE, id="a"), [known(ask(*HELLO, id="b"))], ("newer", "run")),
    (
        "an id that came before another",
        ask(*said("hello you"), id="b"),
        [known(ask(*HELLO, id="b"), "stop"), known(ask(*MORE, id="a"), "stop")],
        ("older", "nothing"),
    ),
    ("another model's turn", ask(*HELLO, id="1", model="n"), [known(ask(*MORE, id="10"))], ("newer", "run")),
    # Not streamed.
    ("a greater id, not streamed", ask(*MORE, id="2", stream=False), [known(ask(*HELLO, id="1"))], ("beside", "run")),
    ("a smaller id, not streamed", ask(*HELLO, id="1", stream=False), [known(ask(*MORE, id="2"))], ("beside", "run")),
    (
        "a retry, not streamed",
        ask(*HELLO, id="1", stream=False),
        [known(ask(*HELLO, id="1", stream=False))],
        ("retry", "join"),
    ),
    ("more messages, not streamed", ask(*MORE, stream=False), [known(ask(*HELLO))], ("beside", "run")),
    # Without turn ids.
    ("equal messages while live", ask(*HELLO), [known(ask(*HELLO))], ("retry", "join")),
    ("equal messages, not delivered", ask(*HELLO), [known(ask(*HELLO), "stop", delivered=False)], ("retry", "replay")),
    (
        "equal messages, not delivered long ago",
        ask(*HELLO),
        [known(ask(*HELLO), "stop", ago=10.5, delivered=False)],
        ("newer", "run"),
    ),
    ("equal messages, delivered", ask(*HELLO), [known(ask(*HELLO), "stop")], ("newer", "run")),
    ("equal messages, cancelled", ask(*HELLO), [known(ask(*HELLO), "cancelled", delivered=False)], ("retry", "run")),
    ("the live request's messages and more", ask(*MORE), [known(ask(*HELLO))], ("newer", "run")),
    ("another last message", ask(*said("hello there")), [known(ask(*HELLO))], ("grown", "run")),
    (
        "another last message, and another system message",
        ask(*said("!b", "hello there")),
        [known(ask(*said("!a", "hello")))],
        ("grown", "run"),
    ),
    ("two other messages", ask(*said("a", "b", "c")), [known(ask(*said("a", "x", "y")))], ("beside", "run")),
    ("another conversation", ask(*said("a", "b", "c")), [known(ask(*HELLO))], ("beside", "run")),
    ("another last message after the reply", ask(*said("and now")), [known(ask(*HELLO), "stop")], ("beside", "run")),
    ("more messages after the reply", ask(*MORE), [known(ask(*HELLO), "stop")], ("newer", "run")),
    ("fewer messages", ask(*HELLO), [known(ask(*MORE))], ("beside", "run")),
    ("tool results of a live request", ask(*HELLO, CALLS, RESULT), [known(ask(*HELLO))], ("continuation", "run")),
    ("a turn id where the live one has none", ask(*MORE, id="3"), [known(ask(*HELLO))], ("newer", "run")),
    (
        "no turn id where the live one has one",
        ask(*said("a", "b", "c")),
        [known(ask(*HELLO, id="3"))],
        ("beside", "run"),
    ),
]


@pytest.mark.parametrize("seen", [None, "stop", "superseded"])
def test_ids_that_are_not_counted_are_names(seen: str | None) -> None:
    """A smaller number that has not been seen is the newest; the same id is a retry, and only when it is the same."""
    nine, again = ask(*HELLO, id="9", ordered=False), ask(*HELLO, id="09", ordered=False)
    assert named(ask(*MORE, id="3", ordered=False), known(nine, seen)) == ("newer", "run")
    assert named(again, known(nine)) == ("newer", "run")
    assert named(nine, known(nine)) == ("retry", "join")


@pytest.mark.parametrize("ordered", [True, False])
def test_what_was_recorded_compares_as_the_request_does(ordered: bool) -> None:
    """A record does not tell whether ids are counted: the request does."""
    kept = known(ask(*MORE, id="10", ordered=False), "stop")
    wanted = ("older", "nothing") if ordered else ("newer", "run")
    assert named(ask(*HELLO, id="9", ordered=ordered), kept) == wanted


@pytest.mark.parametrize(("asked", "others", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_case_of_the_table(asked: Asked, others: list[Known], expected: tuple[str, str]) -> None:
    """Every kind of request gets its name and its answer."""
    assert named(asked, *others) == expected


def test_the_live_ones_that_a_request_overtakes_are_ended() -> None:
    """Grown and newer end what is live and comes before; what runs beside stays."""
    overtaken, aside = known(ask(*HELLO)), known(ask(*said("something", "else", "entirely")))
    found = name(ask(*MORE), [overtaken, aside], now=NOW, lifetime=LIFETIME)
    assert found == Named("newer", "run", ends=(overtaken,))


def test_a_request_that_is_not_streamed_is_not_ended() -> None:
    """A reply that is answered whole is nobody's speech, so a newer turn leaves it alone."""
    found = name(ask(*MORE, id="2"), [known(ask(*HELLO, id="1", stream=False))], now=NOW, lifetime=LIFETIME)
    assert (found.which, found.ends) == ("newer", ())


def test_a_continuation_ends_nothing() -> None:
    """The next step of a turn leaves the step before alone."""
    found = name(ask(*HELLO, CALLS, RESULT, id="1"), [known(ask(*HELLO, id="1"))], now=NOW, lifetime=LIFETIME)
    assert (found.which, found.ends) == ("continuation", ())


def test_a_retry_that_runs_again_ends_what_grew_out_of_it() -> None:
    """Of two forms of a turn the last to arrive is the one that is answered."""
    first, grown = known(ask(*HELLO, id="1"), "superseded"), known(ask(*said("hello there"), id="1"))
    found = name(ask(*HELLO, id="1"), [first, grown], now=NOW, lifetime=LIFETIME)
    assert (found.which, found.answer, found.ends) == ("retry", "run", (grown,))


def test_fields_that_say_nothing_make_no_difference() -> None:
    """A retry may carry other metadata on its messages and is a retry all the same."""
    other = [Message("user", "hello", {"role": "user", "content": "hello", "turn_id": 7, "timestamp": 1})]
    assert named(ask(*other, id="1"), known(ask(*HELLO, id="1"))) == ("retry", "join")


def test_a_live_twin_goes_before_one_that_has_ended() -> None:
    """Of two runs of a turn a retry joins the one that is live, whichever came first."""
    live = known(ask(*HELLO, id="1"))
    found = name(ask(*HELLO, id="1"), [live, known(ask(*HELLO, id="1"), "cancelled")], now=NOW, lifetime=LIFETIME)
    assert found == Named("retry", "join", live)


def test_a_later_request_that_is_not_streamed_makes_nothing_late() -> None:
    """A side request may have any id: the conversation goes on at its own."""
    assert named(ask(*HELLO, id="4"), known(ask(*MORE, id="5", stream=False), "stop")) == ("newer", "run")


# --- what is known of a call --------------------------------------------------------------------------------------


def claimed(state: CallState, asked: Asked, ticket: str) -> tuple[CallState, Named]:
    return claim(state, asked, ticket=ticket, owner="here", now=NOW, lifetime=LIFETIME)


def test_a_claim_enters_what_runs_and_nothing_else() -> None:
    """A retry that joins adds nothing to what is known of the call."""
    state, _ = claimed(CallState(), ask(*HELLO, id="1"), "a")
    again, found = claimed(state, ask(*HELLO, id="1"), "b")
    assert found.answer == "join" and found.of is not None and found.of.ticket == "a"
    assert again == state and [one.ticket for one in state.known] == ["a"]


def test_an_ending_is_entered_with_the_last_word_on_delivery() -> None:
    """Of two notes about one reply the later counts."""
    state, _ = claimed(CallState(), ask(*HELLO), "a")
    state = end(state, [Ending("a", "stop", NOW), Ending("a", "stop", NOW, delivered=True), Ending("z", "stop", NOW)])
    assert [(one.reason, one.delivered) for one in state.known] == [("stop", True)]


def test_what_is_known_is_bounded() -> None:
    """A call with very many turns forgets the oldest that ended, never one that is live."""
    state, _ = claimed(CallState(), ask(*HELLO, id="0"), "live")
    for number in range(1, MOST_KNOWN + 50):
        state, _ = claimed(state, ask(*said(f"{number}"), id=str(number)), f"t{number}")
        state = end(state, [Ending(f"t{number}", "stop", NOW)])
    assert len(state.known) == MOST_KNOWN
    assert state.known[0].ticket == "live" and state.known[-1].ticket == f"t{MOST_KNOWN + 49}"
    assert sum(one.asked.spoken is not None for one in state.known) <= MOST_COMPARED + 2


def test_a_reply_that_a_streamed_retry_joins_is_speech_from_then_on() -> None:
    """A newer turn ends it, although the request that began it wanted it whole."""
    state, _ = claimed(CallState(), ask(*HELLO, id="1", stream=False), "a")
    state, found = claimed(state, ask(*HELLO, id="1"), "b")
    assert found.answer == "join"
    _, newer = claimed(state, ask(*MORE, id="2"), "c")
    assert [one.ticket for one in newer.ends] == ["a"]
