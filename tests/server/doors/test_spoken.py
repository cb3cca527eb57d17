"""What was heard of a reply goes into its record at once, however the platform words it; a session ends its call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.server.doors.spoken import reached
from tests.callers import Scene, scene
from tests.server.doors.platform import QUIET, Line, dialled, ended_by, last, prompt, relay_path, setup, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID = "One two, three. Four!"


@pytest.fixture
def stage() -> Iterator[Scene]:
    with scene(**QUIET) as stage:
        yield stage


def interrupt(heard: Any) -> dict[str, Any]:
    return {"type": "interrupt", "utteranceUntilInterrupt": heard, "durationUntilInterruptMs": 400}


def told(line: Line, *texts: str) -> None:
    """Have each of these answered."""
    for text in texts:
        line.send(prompt(text))
        line.until(last)


@pytest.mark.parametrize(
    ("spoken", "place"),
    [
        ("", 0),
        ("One two", 7),
        (" One  two,\nthree.", 15),
        ("one TWO three", 15),
        ("One two three, four", 21),
        ("One two, three. Four! And more.", 21),
        ("One two th", 11),
        ("Zero one", None),
        ("One two four", None),
        ("?", None),
    ],
)
def test_it_is_known_how_far_a_reply_was_spoken(spoken: str, place: int | None) -> None:
    """By its letters and digits; who tells more than there is has spoken all of it."""
    assert reached(spoken, SAID) == place


def test_nothing_of_no_text_was_spoken() -> None:
    """A reply without words was not heard, whatever the platform says."""
    assert reached("One", "") is None
    assert reached("", "") == 0


def test_what_grows_in_another_case_is_counted_in_characters_of_the_reply() -> None:
    """One letter may have two in lower case."""
    assert reached("strasse i\u0307", "Straße İx") == 8


@pytest.mark.parametrize("word", ["talk", "hello"])
def test_what_was_heard_is_recorded_when_the_caller_then_hangs_up(stage: Scene, word: str) -> None:
    """No other turn has to follow, whether the reply goes on or has long been written."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(prompt(word))
        line.until(lambda frame: frame["token"] != "" if word == "talk" else last(frame))
        line.send(interrupt("we" if word == "talk" else "you SAID"))
        line.heard(stage)
    assert ended_by(stage, "CA1") == "disconnect"
    [record] = stage.records("CA1")
    assert record.heard == (2 if word == "talk" else 8)


def test_an_interruption_that_comes_late_is_of_the_reply_before(stage: Scene) -> None:
    """The turn that was asked for meanwhile goes on, for nothing of it can have been spoken."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        told(line, "one")
        line.send(prompt("hold"))
        run = stage.talker.run("CA1", 2)
        line.send(interrupt("You said"))
        line.heard(stage)
        run.go_on()
        assert tokens(line.until(last)) == "so be it."
    assert [record.heard for record in stage.records("CA1")] == [8, None]
    assert stage.reasons("CA1") == ["stop", "stop"]
    assert stage.server.missed == 0


def test_a_guess_at_what_the_caller_says_holds_the_end_back(stage: Scene) -> None:
    """Who is speaking is not hung up on; when nothing comes of it the session ends all the same."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        told(line, "bye")
        line.heard(stage)
        stage.clock.advance(1.0)
        line.send(prompt("wait", last=False))
        line.heard(stage)
        stage.clock.advance(4.5)
        line.send(prompt("wait I", last=False))
        line.heard(stage)
        stage.clock.advance(4.5)
        line.send(prompt("wait I have"))
        assert tokens(line.until(last)) == "You said wait I have."
    with dialled(stage, relay_path()) as line:
        line.send(setup("CA2"))
        told(line, "bye")
        line.send(prompt("wait", last=False))
        line.heard(stage)
        stage.clock.advance(5.0)
        assert line.read()["type"] == "end"


def test_an_older_session_that_closes_does_not_end_the_call(stage: Scene) -> None:
    """The turn of the newer one goes on, and the last of them ends the call."""
    with dialled(stage, relay_path()) as newer:
        with dialled(stage, relay_path()) as older:
            older.send(setup(session="VX1"))
            told(older, "one")
            newer.send(setup(session="VX2"))
            newer.heard(stage)
        stage.seen()
        newer.send(prompt("two"))
        newer.until(last)
        stored = stage.server.stored("CA1")
        assert stored is not None and stored.call.ended_by is None
    assert ended_by(stage, "CA1") == "disconnect"


def test_a_session_without_a_turn_ends_the_call_as_well(stage: Scene) -> None:
    """It is the last one, and the call was answered in the one before."""
    with dialled(stage, relay_path()) as newer:
        with dialled(stage, relay_path()) as older:
            older.send(setup(session="VX1"))
            told(older, "one")
            newer.send(setup(session="VX2"))
            newer.heard(stage)
        stage.seen()
    assert ended_by(stage, "CA1") == "disconnect"


def test_what_a_session_remembers_is_bounded(stage: Scene) -> None:
    """The oldest is forgotten first, and what was said last is kept however long it is."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        told(line, "first", "x" * 150_000, "y" * 150_000, "last")
        line.send(prompt("z" * 400_000))
        line.until(last)
    windows = [run.window for run in stage.talker.of("CA1")]
    assert [window[-1][1][:1] for window in windows] == ["f", "x", "y", "l", "z"]
    assert sum(len(text) for _, text in windows[3]) <= 256 * 1024
    assert len(windows[4]) == 1
