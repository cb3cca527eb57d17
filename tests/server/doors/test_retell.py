"""Retell's WebSocket leads to the same turns: words, barge-in, commands and records are those of every door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offhook.events import Command
from tests.callers import ANSWERS, Scene, scene
from tests.server.doors.platform import QUIET, Line, answered, dialled, ended_by, retell_path, wanted, words

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest

DETAILS = {
    "interaction_type": "call_details",
    "call": {
        "call_id": "c1",
        "from_number": "+14155550100",
        "to_number": "+14155550123",
        "direction": "inbound",
        "metadata": {"tier": "gold"},
        "retell_llm_dynamic_variables": {"name": "Ada"},
    },
}


@pytest.fixture
def stage() -> Iterator[Scene]:
    with scene(**QUIET) as stage:
        yield stage


def opened(line: Line) -> list[dict[str, Any]]:
    """Give what the server says first."""
    return line.until(answered(0))


def test_the_server_says_what_it_wants_and_lets_the_caller_speak_first(stage: Scene) -> None:
    """On a new WebSocket come the configuration and an empty first response."""
    with dialled(stage, retell_path("c1")) as line:
        first, begin = opened(line)
    assert first == {"response_type": "config", "config": {"auto_reconnect": True, "call_details": True}}
    assert begin == {"response_type": "response", "response_id": 0, "content": "", "content_complete": True}


def test_a_turn_is_answered(stage: Scene) -> None:
    """What the caller said reaches the agent with its call, and the words come back under the response's id."""
    with dialled(stage, retell_path("c1")) as line:
        opened(line)
        line.send(DETAILS)
        line.send(wanted(1, ("agent", "Hello?"), ("user", "good day")))
        frames = line.until(answered(1))
    assert words(frames) == "You said good day."
    assert {frame["response_id"] for frame in frames} == {1}
    run = stage.talker.run("c1")
    turn = run.turn
    assert (turn.kind, turn.text, turn.id) == ("utterance", "good day", "1")
    assert run.history == [("assistant", "Hello?"), ("user", "good day")]
    assert (turn.call.caller, turn.call.callee, turn.call.platform) == ("+14155550100", "+14155550123", "retell")
    assert turn.call.user_data["metadata"] == {"tier": "gold"}
    assert turn.call.user_data["retell_llm_dynamic_variables"] == {"name": "Ada"}


def test_a_turn_is_recorded_as_by_any_door(stage: Scene) -> None:
    """The record has what was said, generated and sent, and how it ended."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(1, ("user", "good day")))
        line.until(answered(1))
        [record] = stage.records("c1")
    assert record.generated == record.sent == "You said good day."
    assert (record.reason, record.turn_id) == ("stop", "1")
    [details] = stage.ended("c1", 1)
    assert details.platform == "retell"


def test_a_newer_response_ends_the_older_one(stage: Scene) -> None:
    """The agent of the older one is cancelled, it is recorded as superseded, and its frames stop."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(1, ("user", "talk")))
        line.until(lambda frame: frame.get("content", "").startswith("Well"))
        older = stage.talker.run("c1")
        line.send(wanted(2, ("user", "talk"), ("agent", "Well,"), ("user", "no, wait")))
        frames = line.until(answered(2))
        assert stage.talker.over(older).cancelled
    assert words(frames) == "You said no, wait."
    assert {frame["response_id"] for frame in frames} == {2}
    assert stage.reasons("c1") == ["superseded", "stop"]


def test_the_same_response_asked_for_twice_is_one_turn(stage: Scene) -> None:
    """A frame that comes twice, or after a newer one, asks for nothing."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(2, ("user", "hold")))
        stage.talker.run("c1")
        line.send(wanted(2, ("user", "hold")))
        line.send(wanted(1, ("user", "earlier")))
        stage.talker.run("c1").go_on()
        frames = line.until(answered(2))
    assert words(frames) == "so be it."
    assert len(stage.talker.of("c1")) == 1


def test_a_ping_is_answered_with_its_own_time_while_a_turn_runs(stage: Scene) -> None:
    """The platform sees that the connection lives, whatever the agent does."""
    with dialled(stage, retell_path("c1")) as line:
        opened(line)
        line.send(wanted(1, ("user", "hold")))
        line.send({"interaction_type": "ping_pong", "timestamp": 1700000000123})
        assert line.read() == {"response_type": "ping_pong", "timestamp": 1700000000123}


def test_a_reminder_is_a_silence(stage: Scene) -> None:
    """A caller who says nothing for long is a turn of that kind, whoever spoke last."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(1, ("user", "good day"), kind="reminder_required"))
        line.until(answered(1))
    turn = stage.talker.run("c1").turn
    assert (turn.kind, turn.text) == ("silence", "")


def test_an_update_asks_for_nothing(stage: Scene) -> None:
    """What only tells the transcript ends no turn and begins none."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(1, ("user", "hold")))
        run = stage.talker.run("c1")
        line.send({"interaction_type": "update_only", "transcript": [{"role": "user", "content": "hm"}]})
        run.go_on()
        assert words(line.until(answered(1))) == "so be it."


def test_a_hangup_stands_in_the_last_frame(stage: Scene) -> None:
    """The call ends once the words are spoken, and its record says that the agent ended it."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(1, ("user", "bye")))
        frames = line.until(answered(1))
        assert words(frames) == "Goodbye."
        assert [frame.get("end_call") for frame in frames[-2:]] == [None, True]
        stage.ended("c1", 1)
        assert ended_by(stage, "c1") == "command"


def test_a_transfer_stands_in_the_last_frame(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is the platform's own field."""
    monkeypatch.setitem(ANSWERS, "pass", ("One moment.", Command("transfer", to="+14155550199", text=" Bye.")))
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(1, ("user", "pass")))
        frames = line.until(answered(1))
    assert words(frames) == "One moment. Bye."
    assert frames[-1]["transfer_number"] == "+14155550199"
    assert "end_call" not in frames[-1]


def test_a_protected_reply_may_not_be_interrupted(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame of it says so, and none of the next reply."""
    monkeypatch.setitem(ANSWERS, "law", (Command("protect"), "This call is recorded."))
    with dialled(stage, retell_path("c1")) as line:
        opened(line)
        line.send(wanted(1, ("user", "law")))
        assert all(frame["no_interruption_allowed"] is True for frame in line.until(answered(1)))
        line.send(wanted(2, ("user", "law"), ("user", "go on")))
        assert not any("no_interruption_allowed" in frame for frame in line.until(answered(2)))


def test_an_agent_that_fails_says_so_in_words(stage: Scene) -> None:
    """Only a voice is on the other end: the caller hears an apology, and the response ends well."""
    with dialled(stage, retell_path("c1")) as line:
        opened(line)
        line.send(wanted(1, ("user", "fail")))
        frames = line.until(answered(1))
    assert words(frames) != ""
    assert stage.reasons("c1") == ["failed"]


def test_a_platform_that_goes_cancels_the_turn(stage: Scene) -> None:
    """The WebSocket closes in the middle of a reply: its agent is cancelled, and the call may go on."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(1, ("user", "talk")))
        line.until(lambda frame: frame.get("content", "").startswith("Well"))
        run = stage.talker.run("c1")
    assert stage.talker.over(run).cancelled
    [details] = stage.ended("c1", 1)
    assert details.reason == "cancelled"
    assert ended_by(stage, "c1") is None


def test_a_call_goes_on_over_a_new_websocket() -> None:
    """After a lost connection the next turn is one of the same call, and nobody is greeted again."""
    with scene(dialect={"retell": {"begin": True}}, **QUIET) as stage:
        with dialled(stage, retell_path("c1")) as line:
            line.send(DETAILS)
            line.until(answered(0))
            line.send(wanted(1, ("user", "one")))
            line.until(answered(1))
        with dialled(stage, retell_path("c1")) as line:
            assert words(opened(line)) == ""
            line.send(DETAILS)
            line.send(wanted(2, ("user", "one"), ("agent", "You said one."), ("user", "two")))
            assert words(line.until(answered(2))) == "You said two."
        assert [run.turn.kind for run in stage.talker.of("c1")] == ["wake_up", "utterance", "utterance"]
        assert len({run.turn.call_uid for run in stage.talker.of("c1")}) == 1


def test_an_agent_may_speak_first() -> None:
    """With begin it is asked once the call is known, as the first response, and without it after a second."""
    with scene(dialect={"retell": {"begin": True}}, **QUIET) as stage:
        with dialled(stage, retell_path("c1")) as line:
            line.send(DETAILS)
            assert words(line.until(answered(0))) == "You said ."
            assert stage.talker.run("c1").turn.call.caller == "+14155550100"
        with dialled(stage, retell_path("c2")) as line:
            line.read()
            stage.clock.wait_for_timers(1)
            stage.clock.advance(1.0)
            assert words(line.until(answered(0))) == "You said ."
    assert {run.turn.kind for run in stage.talker.runs} == {"wake_up"}


def test_calls_do_not_touch_each_other(stage: Scene) -> None:
    """Two calls on one server have each its own turns, and one that ends leaves the other alone."""
    with dialled(stage, retell_path("c2")) as other:
        other.send(wanted(1, ("user", "hold")))
        run = stage.talker.run("c2")
        with dialled(stage, retell_path("c1")) as line:
            line.send(wanted(1, ("user", "hello")))
            line.until(answered(1))
        run.go_on()
        assert words(other.until(answered(1))) == "so be it."
