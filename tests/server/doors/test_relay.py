"""ConversationRelay's WebSocket leads to the same turns, and its session remembers what was said and heard."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from offhook.events import Command
from tests.callers import ANSWERS, Scene, scene
from tests.server.doors.platform import QUIET, dialled, ended_by, last, prompt, relay_path, setup, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stage() -> Iterator[Scene]:
    with scene(**QUIET) as stage:
        yield stage


def test_a_turn_is_answered(stage: Scene) -> None:
    """What the caller said reaches the agent with its call, and the words come back as text."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("good day"))
        frames = line.until(last)
    assert tokens(frames) == "You said good day."
    assert frames[-1] == {"type": "text", "token": "", "last": True}
    turn = stage.talker.run("CA1").turn
    assert (turn.kind, turn.text) == ("utterance", "good day")
    assert (turn.call.caller, turn.call.callee, turn.call.platform) == (
        "+14155550100",
        "+14155550123",
        "conversation_relay",
    )
    assert turn.call.user_data == {"tier": "gold"}


def test_the_session_remembers_what_was_said(stage: Scene) -> None:
    """The next turn has the words of both sides, though the platform sends only the caller's last."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        for text in ("one", "two"):
            line.send(prompt(text))
            line.until(last)
    run = stage.talker.run("CA1", 2)
    assert run.history == run.window == [("user", "one"), ("assistant", "You said one."), ("user", "two")]
    assert stage.server.missed == 0


def test_an_interruption_cancels_the_turn_and_keeps_what_was_heard(stage: Scene) -> None:
    """The agent is cancelled without another prompt, and the next turn knows how far its reply was spoken."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("talk"))
        line.until(lambda frame: frame["token"].startswith("Well"))
        run = stage.talker.run("CA1")
        line.send({"type": "interrupt", "utteranceUntilInterrupt": "We", "durationUntilInterruptMs": 120})
        assert stage.talker.over(run).cancelled
        line.send(prompt("stop it"))
        assert tokens(line.until(last)) == "You said stop it."
    second = stage.talker.run("CA1", 2)
    assert second.history == [("user", "talk"), ("assistant", "We"), ("user", "stop it")]
    assert second.turn.history[1].interrupted
    assert stage.reasons("CA1") == ["cancelled", "stop"]
    assert [record.heard for record in stage.records("CA1")] == [2, None]


def test_an_interruption_after_the_reply_tells_what_was_heard_of_it(stage: Scene) -> None:
    """The platform speaks for longer than the agent writes: the turn ended well and was cut all the same."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("one"))
        line.until(last)
        line.send({"type": "interrupt", "utteranceUntilInterrupt": "You said", "durationUntilInterruptMs": 400})
        line.send(prompt("two"))
        line.until(last)
    assert stage.talker.run("CA1", 2).history == [("user", "one"), ("assistant", "You said"), ("user", "two")]
    assert [record.heard for record in stage.records("CA1")] == [8, None]
    assert stage.reasons("CA1") == ["stop", "stop"]


def test_a_prompt_supersedes_a_reply_that_goes_on(stage: Scene) -> None:
    """Where the platform does not interrupt by itself the newer prompt ends the older turn, and its frames."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("talk"))
        line.until(lambda frame: frame["token"].startswith("Well"))
        run = stage.talker.run("CA1")
        line.send(prompt("wait"))
        # Otherwise the platform would read on in the same reply.
        assert line.read() == {"type": "text", "token": "", "last": True}
        assert tokens(line.until(last)) == "You said wait."
        assert stage.talker.over(run).cancelled
    assert stage.reasons("CA1") == ["superseded", "stop"]


def test_only_a_whole_prompt_is_a_turn(stage: Scene) -> None:
    """Guesses at what the caller is saying ask for nothing."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("good", last=False))
        line.send(prompt("good day"))
        assert tokens(line.until(last)) == "You said good day."
    assert len(stage.talker.of("CA1")) == 1


def test_keys_that_are_pressed_are_one_utterance(stage: Scene) -> None:
    """Digits are gathered until a hash, or until none has come for two seconds."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        for digit in "12#":
            line.send({"type": "dtmf", "digit": digit})
        assert tokens(line.until(last)) == "You said 12#."
        for digit in "34":
            line.send({"type": "dtmf", "digit": digit})
        line.heard(stage)
        stage.clock.wait_for_timers(1)
        stage.clock.advance(2.0)
        assert tokens(line.until(last)) == "You said 34."


def test_a_hangup_ends_the_session_when_the_words_are_spoken(stage: Scene) -> None:
    """The end comes with its reason once the goodbye has had its time, and the call has ended."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("bye"))
        assert tokens(line.until(last)) == "Goodbye."
        line.heard(stage)
        stage.clock.advance(10.0)
        end = line.read()
    assert end["type"] == "end"
    assert json.loads(end["handoffData"]) == {"reasonCode": "hangup"}
    assert ended_by(stage, "CA1") == "command"


def test_a_caller_who_cuts_in_on_the_goodbye_stays(stage: Scene) -> None:
    """Who has something to say before the end is not hung up on."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("bye"))
        line.until(last)
        line.send(prompt("one more thing"))
        assert tokens(line.until(last)) == "You said one more thing."
        stage.clock.advance(60.0)
        line.send(prompt("still here"))
        assert {frame["type"] for frame in line.until(last)} == {"text"}


def test_a_transfer_hands_the_number_over(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the call goes on with is given the number and the reason."""
    monkeypatch.setitem(ANSWERS, "pass", (Command("transfer", to="+14155550199"),))
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("pass"))
        line.until(last)
        stage.clock.advance(10.0)
        end = line.read()
    assert json.loads(end["handoffData"]) == {"reasonCode": "transfer", "to": "+14155550199"}


def test_a_protected_reply_may_not_be_interrupted(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text says so."""
    monkeypatch.setitem(ANSWERS, "law", (Command("protect"), "This call is recorded."))
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("law"))
        assert all(frame["interruptible"] is False for frame in line.until(last))


def test_a_session_that_closes_ends_the_call(stage: Scene) -> None:
    """The turn that runs is cancelled, and the record says how the call ended."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt("hold"))
        run = stage.talker.run("CA1")
    assert stage.talker.over(run).cancelled
    assert ended_by(stage, "CA1") == "disconnect"


def test_a_second_session_of_a_call_goes_on_with_it(stage: Scene) -> None:
    """After a detour, such as a menu, the call has its state and what was said before."""
    for session, text in (("VX1", "one"), ("VX2", "two")):
        with dialled(stage, relay_path()) as line:
            line.send(setup(session=session))
            line.send(prompt(text))
            assert tokens(line.until(last)) == f"You said {text}."
        assert ended_by(stage, "CA1") == "disconnect"
    assert stage.talker.run("CA1", 2).history == [("user", "one"), ("assistant", "You said one."), ("user", "two")]


def test_an_agent_may_speak_first() -> None:
    """With begin it is asked when the session begins."""
    with scene(dialect={"conversation_relay": {"begin": True}}, **QUIET) as stage, dialled(stage, relay_path()) as line:
        line.send(setup())
        assert tokens(line.until(last)) == "You said ."
        assert stage.talker.run("CA1").turn.kind == "wake_up"
        line.send(prompt("hello"))
        line.until(last)
        assert stage.talker.run("CA1", 2).history == [("assistant", "You said ."), ("user", "hello")]


def test_a_greeting_of_the_platform_is_remembered_where_it_was_cut(stage: Scene) -> None:
    """What the platform spoke by itself is known from the interruption alone."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send({"type": "interrupt", "utteranceUntilInterrupt": "Welcome to", "durationUntilInterruptMs": "460"})
        line.send(prompt("hello"))
        line.until(last)
    assert stage.talker.run("CA1").history == [("assistant", "Welcome to"), ("user", "hello")]


def test_telnyx_names_its_call_otherwise(stage: Scene) -> None:
    """A setup message without callSid names the call by its callControlId."""
    with dialled(stage, relay_path()) as line:
        frame = {"type": "setup", "callControlId": "v2:abc", "callSessionId": "ff55", "from": "+13122010094"}
        line.send(frame)
        line.send({"type": "prompt", "voicePrompt": "hello there", "lang": "en"})
        line.until(last)
    assert stage.talker.run("v2:abc").turn.call.caller == "+13122010094"
