"""A caller hears something in time: a filler while there is nothing else, and an end when nothing comes at all."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import JumpClock
from offhook.turns.phrases import APOLOGIES, FILLERS
from tests.callers import gist, heard, plain, scene, turn
from tests.oracle import check_http
from tests.raw import AUTH, error_of, request
from tests.steps import Stepper, asked, filler_in

if TYPE_CHECKING:
    from tests.callers import Scene

SPOKEN_FILLERS = [f"{phrase} ".encode() for phrase in FILLERS["en"]]


def no_timers(stage: Scene) -> None:
    """Assert that no timer waits on the clock."""
    stage.seen()
    with pytest.raises(TimeoutError):
        stage.clock.wait_for_timers(1, timeout=0.0)


# --- fillers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", ["hold say", "dots hold say", "think hold say"])
def test_a_filler_is_said_while_there_is_nothing_to_hear(steps: str) -> None:
    """After filler_after seconds without a word one goes out at once, and the answer follows in the same reply."""
    with scene(Stepper()) as stage:
        wire, run = asked(stage, steps)
        stage.clock.wait_for_timers(2)
        stage.clock.advance(1.5)
        wire.read_until(b'. "')
        run.go_on()
        said = heard(wire)
        text = said.text.removeprefix("... ")
        assert text == f"{filler_in(text)} It is 3."
        assert (said.finish_reason, said.calls) == ("stop", [])


@pytest.mark.parametrize("steps", ["say hold", "call hold"])
def test_once_there_is_something_no_filler_is_said(steps: str) -> None:
    """A word, or a call of a function, takes its place, however long the agent waits then."""
    with scene(Stepper(), turn_silence=0) as stage:
        wire, run = asked(stage, steps)
        wire.read_until(b"It is 3" if "say" in steps else b"look")
        no_timers(stage)
        stage.clock.advance(100)
        stage.seen()
        run.go_on()
        assert heard(wire).text == ("It is 3." if "say" in steps else "")


def test_a_turn_has_one_filler_at_most() -> None:
    """Who waits on is not told again that he is to wait."""
    with scene(Stepper(), turn_deadline=0) as stage:
        wire, run = asked(stage, "hold say")
        for _ in range(10):
            stage.clock.advance(1.5)
            stage.seen()
        run.go_on()
        text = heard(wire).text
        assert text == f"{filler_in(text)} It is 3."


@pytest.mark.parametrize(
    ("call", "settings", "said"),
    [
        ("c", {}, False),
        ("c", {"filler": "on"}, True),
        ("c", {"filler": "off"}, False),
        ("c", {"dialect": {"alibaba_ims": {"fillers": False}}}, True),
        (None, {}, True),
        (None, {"filler": "off"}, False),
        (None, {"dialect": {"plain": {"fillers": True}}}, False),
        (None, {"filler_after": 3.0}, False),
    ],
)
def test_who_says_the_filler(call: str | None, settings: dict[str, Any], said: bool) -> None:
    """Where the platform has its own ours are not said, unless the settings ask for them."""
    with scene(Stepper(), **settings) as stage:
        wire, run = asked(stage, "hold say", call, 1)
        stage.clock.advance(2)
        stage.seen()
        run.go_on()
        assert (heard(wire).text != "It is 3.") == said


def test_what_is_read_as_one_has_no_filler() -> None:
    """A completion holds the answer alone."""
    with scene(Stepper()) as stage:
        wire, run = asked(stage, "hold say", stream=False)
        stage.clock.wait_for_timers(2)
        stage.clock.advance(2)
        stage.seen()
        run.go_on()
        reply = check_http(wire.read_response())
        assert reply.status == 200 and b'"It is 3."' in reply.body


def test_fillers_of_a_call_vary_in_the_caller_s_language() -> None:
    """None is said twice in a row, and each is in the language that the caller speaks then."""
    with scene(Stepper(), filler="on") as stage:
        told: list[str] = []
        for id in range(1, 13):
            language = "en" if id % 4 else "zh"
            wire, run = asked(stage, "hold say" if language == "en" else "hold 我想问一下我的订单到哪里了 say", "c", id)
            stage.clock.advance(1.5)
            stage.seen()
            run.go_on()
            text = heard(wire).text
            told.append(filler_in(text, language))
            assert text == told[-1] + (" " if language == "en" else "") + "It is 3."
        assert all(one != other for one, other in pairwise(told))
        assert len(set(told)) > 3


def test_one_s_own_fillers_are_said() -> None:
    """[filler.phrases] stands in place of ours."""
    with scene(Stepper(), filler_phrases={"en": ["Hm.", "Well."]}) as stage:
        wire, run = asked(stage, "hold say")
        stage.clock.advance(1.5)
        stage.seen()
        run.go_on()
        assert heard(wire).text in ("Hm. It is 3.", "Well. It is 3.")


def test_a_retry_hears_the_filler_too() -> None:
    """Who joins a reply is given all that was said in it, once."""
    with scene(Stepper(), filler="on") as stage:
        first, run = asked(stage, "hold say", "c", 1)
        stage.clock.advance(1.5)
        first.read_until(b'. "')
        second = stage.ask(turn("c", 1, "hold say"))
        second.read_until(b'. "')
        run.go_on()
        assert gist(heard(first)) == gist(heard(second))
        assert len(stage.talker.runs) == 1


def test_a_replay_of_the_turn_has_no_filler() -> None:
    """Nobody waits for what is there already."""
    with scene(Stepper(), filler="on") as stage:
        wire, run = asked(stage, "hold say", "c", 1)
        stage.clock.advance(1.5)
        stage.seen()
        run.go_on()
        assert heard(wire).text != "It is 3."
        assert stage.tell(turn("c", 1, "hold say")).text == "It is 3."


def test_a_filler_is_recorded_apart() -> None:
    """It is an event with its time, and in neither of the texts; what went out of the answer is counted without it."""
    with scene(Stepper(), filler="on") as stage:
        wire, run = asked(stage, "hold say hold", "c", 1)
        stage.clock.wait_for_timers(2)
        stage.clock.advance(1.4)
        stage.seen()
        stage.clock.advance(0.1)
        wire.read_until(b'. "')
        run.go_on()
        heard(wire)
        wire, _ = asked(stage, "hold", "c", 2)
        stage.clock.advance(1.5)
        wire.read_until(b'. "')
        wire.close()
        stage.ended("c", 2)
        first, second = stage.records("c")
        assert (first.generated, first.sent, first.reason, first.first_useful) == ("It is 3.", "It is 3.", "stop", 1.5)
        assert (second.generated, second.sent, second.map, second.reason) == ("", "", (), "cancelled")
        for record in (first, second):
            [event] = record.events
            assert (event.kind, event.at, event.data["why"]) == ("aside", 1.5, "filler")
            assert event.data["text"].encode() in SPOKEN_FILLERS
        assert second.first_useful is None
        assert [details.asides for details in stage.ended("c", 2)] == [("filler",)] * 2


def test_a_client_that_left_is_told_nothing() -> None:
    """With the turn its timers go."""
    with scene(Stepper()) as stage:
        wire, run = asked(stage, "hold say")
        stage.clock.wait_for_timers(2)
        wire.close()
        stage.talker.over(run)
        no_timers(stage)


# --- the deadline -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_a_turn_without_a_word_by_its_deadline_is_a_503(stream: bool) -> None:
    """The agent is cancelled, and the client is told not to ask again by itself."""
    with scene(Stepper(), filler="off") as stage:
        wire, run = asked(stage, "hold say", stream=stream)
        stage.clock.wait_for_timers(1)
        stage.clock.advance(7.9)
        stage.seen()
        assert not run.over
        stage.clock.advance(0.1)
        reply = check_http(wire.read_response())
        assert (reply.status, error_of(reply)["code"]) == (503, "turn_timeout")
        assert reply.header("x-should-retry") == "false"
        assert stage.talker.over(run).cancelled
        [details] = stage.server.wait_for_turns(1)
        assert (details.reason, details.cancelled) == ("failed", 8.0)


def test_after_a_filler_the_end_is_an_apology() -> None:
    """The status is gone, and a caller who was told to wait is told that it was for nothing, on any platform."""
    with scene(Stepper()) as stage:
        wire, run = asked(stage, "hold say")
        stage.clock.advance(1.5)
        wire.read_until(b'. "')
        stage.clock.advance(6.5)
        said = heard(wire)
        filler = filler_in(said.text)
        assert said.text.removeprefix(f"{filler} ") in APOLOGIES["en"]
        assert said.finish_reason == "stop"
        assert stage.talker.over(run).cancelled
        [details] = stage.server.wait_for_turns(1)
        assert (details.reason, details.asides) == ("failed", ("filler", "apology"))


def test_what_cannot_be_heard_does_not_count() -> None:
    """A stream that has begun with dots alone ends with the error event where nobody listens."""
    with scene(Stepper(), filler="off") as stage:
        wire, _ = asked(stage, "dots hold say")
        wire.read_until(b"... ")
        stage.clock.advance(8)
        said = heard(wire, error=True)
        assert said.error is not None and said.error["code"] == "turn_timeout"


@pytest.mark.parametrize("steps", ["say hold say", "call hold say"])
def test_with_the_first_word_the_deadline_is_kept(steps: str) -> None:
    """How long an answer takes then is another matter."""
    with scene(Stepper(), turn_silence=0) as stage:
        wire, run = asked(stage, steps)
        wire.read_until(b"It is 3" if steps.startswith("say") else b"look")
        stage.clock.advance(100)
        stage.seen()
        run.go_on()
        assert heard(wire).finish_reason == ("stop" if steps.startswith("say") else "tool_calls")


def test_without_a_deadline_a_turn_waits() -> None:
    """0 is none."""
    with scene(Stepper(), turn_deadline=0, filler="off") as stage:
        wire, run = asked(stage, "hold say")
        no_timers(stage)
        stage.clock.advance(1000)
        stage.seen()
        run.go_on()
        assert heard(wire).text == "It is 3."


def test_on_a_telephone_the_deadline_is_told_in_words() -> None:
    """The caller hears an apology, and the record says what it was."""
    with scene(Stepper()) as stage:
        wire, run = asked(stage, "hold say", "c", 1)
        stage.clock.wait_for_timers(1)
        stage.clock.advance(8)
        said = heard(wire)
        assert said.text in APOLOGIES["en"]
        assert stage.talker.over(run).cancelled
        stage.ended("c", 1)
        [record] = stage.records("c")
        assert (record.reason, record.error, record.generated, record.sent) == ("failed", "turn_timeout", "", "")
        assert [event.data["why"] for event in record.events] == ["apology"]


def test_a_turn_that_ended_in_time_leaves_no_timers() -> None:
    """However it ended."""
    with scene(Stepper()) as stage:
        assert stage.tell(plain("say")).text == "It is 3."
        assert stage.tell(plain("say", stream=False)).text == "It is 3."
        assert request(stage.server.base_url, plain("fail"), AUTH).status == 503
        assert stage.tell(turn("c", 1, "fail")).finish_reason == "stop"
        assert stage.tell(plain("dots")).text == "... "
        no_timers(stage)


def test_the_clock_of_a_test_counts_timers() -> None:
    """One for the deadline and one for the filler, and none where there is neither."""
    clock = JumpClock()
    with scene(Stepper(), clock=clock, filler="off") as stage:
        asked(stage, "hold")
        clock.wait_for_timers(1)
        with pytest.raises(TimeoutError):
            clock.wait_for_timers(2, timeout=0.0)
