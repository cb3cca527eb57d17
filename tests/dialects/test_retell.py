"""What Retell's frames say, and how a reply is written for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offhook.dialects.base import Arrival, Delivery
from offhook.dialects.choose import choose
from offhook.dialects.kind import kind_of
from offhook.dialects.retell import RETELL, Responses, pong, request_of, response_id
from offhook.events import Command, Event, Text, ToolCall

FRAME = {"interaction_type": "response_required", "response_id": 3}


def arrival(frame: dict[str, Any], call: dict[str, Any] | None = None) -> Arrival:
    """Give a frame as the door makes a request of it."""
    return Arrival(request=request_of(frame, call_id="c1", call=call or {}, model="m"), headers={}, query={})


def written(*events: Event) -> list[dict[str, Any]]:
    """Give the frames of a reply."""
    responses = Responses(3)
    frames = [frame for event in events for frame in responses.write(RETELL.write(event, Delivery()))]
    return [json.loads(frame) for frame in (*frames, *responses.finish())]


def test_a_request_that_a_frame_makes_is_known_as_such() -> None:
    """Its dialect is told by what the door puts beside the conversation, and nobody's chat completion is of it."""
    assert RETELL.marks(arrival(FRAME))
    assert choose(arrival(FRAME), None).name == "plain"


def test_the_transcript_is_the_history() -> None:
    """The agent is the assistant, other roles stay, and what is no utterance is passed over."""
    said = [
        {"role": "agent", "content": "Hello?", "words": [{"word": "Hello?", "start": 0.1, "end": 0.5}]},
        {"role": "system", "content": "[transferred]"},
        {"role": "user", "content": None},
        {"role": 3, "content": "x"},
        "no",
        {"role": "user", "content": "Hi."},
    ]
    reading = RETELL.read(arrival({**FRAME, "transcript": said}))
    assert [(one.role, one.text) for one in reading.history] == [
        ("assistant", "Hello?"),
        ("system", "[transferred]"),
        ("user", ""),
        ("user", "Hi."),
    ]
    assert kind_of(reading.history, reading.kind) == ("utterance", "Hi.")
    assert reading.turn_id == "3"


@pytest.mark.parametrize(
    ("kind", "said", "wanted"),
    [
        ("reminder_required", "Hi.", "silence"),
        ("begin", None, "wake_up"),
        ("response_required", None, "wake_up"),
        ([], "Hi.", "utterance"),
    ],
)
def test_the_frame_says_what_made_the_platform_ask(kind: Any, said: str | None, wanted: str) -> None:
    """A reminder is a silence also where the caller spoke last; without a word spoken it is a wake-up."""
    transcript = [] if said is None else [{"role": "user", "content": said}]
    reading = RETELL.read(arrival({"interaction_type": kind, "response_id": 0, "transcript": transcript}))
    assert kind_of(reading.history, reading.kind)[0] == wanted


def test_the_call_object_says_who_is_on_the_line() -> None:
    """Numbers and the user's own data come from it, and the id from the address where it has none."""
    call = {"from_number": "+1", "to_number": "+2", "metadata": {"a": 1}, "direction": "outbound", "agent_id": "x"}
    context = RETELL.read(arrival(FRAME, call)).call
    assert (context.id, context.caller, context.callee) == ("c1", "+1", "+2")
    assert context.user_data == {"metadata": {"a": 1}, "direction": "outbound"}
    assert json.loads(context.user_data_raw or "") == context.user_data
    assert RETELL.read(arrival(FRAME)).call.user_data is None


@pytest.mark.parametrize("value", [None, "3", True, -1, 1.0, 2**53, [], {}])
def test_what_is_no_id_asks_for_nothing(value: Any) -> None:
    """A response that could not be named exactly is not asked for."""
    assert response_id({"response_id": value}) is None
    assert response_id({"response_id": 0}) == 0


def test_what_came_at_once_goes_out_at_once() -> None:
    """One frame for all the text, in order, and one that ends the reply."""
    responses = Responses(3)
    [frame] = responses.write(["One ", "two."])
    assert json.loads(frame) == {
        "response_type": "response",
        "response_id": 3,
        "content": "One two.",
        "content_complete": False,
    }
    assert responses.write([]) == []


def test_commands_are_fields() -> None:
    """What ends the call stands in the last frame alone, a protection in every one from there on."""
    frames = written(Command("protect"), Text("Bye."), Command("hangup"))
    assert [frame.get("no_interruption_allowed") for frame in frames] == [True, True]
    assert [frame.get("end_call") for frame in frames] == [None, True]
    assert written(Command("transfer", to="+3"))[-1]["transfer_number"] == "+3"
    assert "transfer_number" not in written(Command("transfer"))[-1]
    assert len(written(ToolCall("look"), Command("say_to_app", data={"a": 1}))) == 1


def test_text_that_is_no_unicode_is_written_all_the_same() -> None:
    """A lone surrogate becomes the sign for what cannot be read, as elsewhere."""
    assert written(Text("a\ud800b"))[0]["content"] == "a\ufffdb"


@pytest.mark.parametrize(("came", "back"), [(17, 17), (1.5, 1.5), (None, 0), ("x", 0), (10**400, 0)])
def test_a_ping_is_answered_whatever_it_holds(came: Any, back: Any) -> None:
    """A time that is one is given back as it came."""
    assert json.loads(pong({"timestamp": came}))["timestamp"] == back


def test_what_the_platform_does_not_take_is_refused_with_a_reason() -> None:
    """The side channel alone."""
    assert "Retell" in (RETELL.refuses("say_to_app", Delivery()) or "")
    assert [RETELL.refuses(name, Delivery(begun=True)) for name in ("hangup", "transfer", "protect")] == [None] * 3
