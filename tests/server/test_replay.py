"""A retry is answered from the reply that there is: live, just ended, or recorded, also after a restart."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from offhook.testing import JumpClock
from offhook.turns.phrases import APOLOGIES
from tests.callers import Scene, Talker, gist, heard, plain, scene, turn
from tests.oracle import check_completion, check_http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = {"plain": {"call_id": "header:X-Call"}}


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Scene]:
    with scene(dialect=HEADER) as made:
        yield made


@pytest.fixture
def stage(shared_stage: Scene) -> Iterator[Scene]:
    yield shared_stage
    shared_stage.hang_up()


# --- of a live turn -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [1, None])
def test_a_retry_of_a_live_turn_joins_it_from_the_first_event(stage: Scene, id: int | None) -> None:
    """Both get the same words, the agent is started once, and the record has the retry."""
    call = f"joined {id}"
    wires = [stage.begun(call, id, "talk"), stage.ask(turn(call, id, "talk"))]
    wires[1].read_until(b"Well, ")
    stage.talker.run(call).go_on()
    assert [gist(heard(wire)) for wire in wires] == [("Well, so be it.", [], "stop")] * 2
    assert len(stage.talker.of(call)) == 1
    [record] = stage.records(call)
    assert (record.which, [event.kind for event in record.events]) == ("newer", ["retry"])


def test_a_retry_that_is_not_streamed_joins_too(stage: Scene) -> None:
    """The live reply is gathered for it, from the first word."""
    wire = stage.begun("whole", 1, "talk")
    whole = stage.ask(turn("whole", 1, "talk", stream=False))
    stage.seen()
    stage.talker.run("whole").go_on()
    assert check_completion(check_http(whole.read_response()).body).text == heard(wire).text == "Well, so be it."
    assert len(stage.talker.of("whole")) == 1


def test_the_last_reader_to_leave_ends_the_turn(stage: Scene) -> None:
    """Of a turn and its retry either may leave first, and the reply goes on until the other does."""
    for call, order in (("first leaves", (0, 1)), ("second leaves", (1, 0))):
        wires = [stage.begun(call, 1, "talk"), stage.ask(turn(call, 1, "talk"))]
        wires[1].read_until(b"Well, ")
        wires[order[0]].close()
        stage.seen()
        run = stage.talker.run(call)
        assert not run.turn.cancelled.is_set()
        wires[order[1]].close()
        assert stage.talker.over(run).cancelled
        assert stage.reasons(call) == ["cancelled"]


# --- of one that has ended ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("text", ["hello", "look", "bye"])
def test_a_retry_of_a_turn_that_ended_well_gets_the_same_reply(stage: Scene, text: str, streamed: bool) -> None:
    """Words, tool calls and hang-up come again, streamed or whole, and the agent is not run."""
    call = f"{text} {streamed}"
    first = stage.tell(turn(call, 1, text, stream=streamed))
    for again in (streamed, not streamed):
        said = stage.tell(turn(call, 1, text, stream=again))
        assert said.text == first.text and said.finish_reason == first.finish_reason
        assert [(one.name, one.arguments) for one in said.calls] == [(one.name, one.arguments) for one in first.calls]
    assert len(stage.talker.of(call)) == 1
    assert len(stage.records(call)) == 1


def test_the_id_of_a_tool_call_stays_the_same(stage: Scene) -> None:
    """The id that the agent gave stands in the replay, so that the results fit either of the two."""
    assert [stage.tell(turn("ids", 1, "look")).calls[0].id for _ in range(2)] == ["call_7"] * 2


def test_a_turn_that_was_cancelled_runs_again(stage: Scene) -> None:
    """Of a barge-in nothing is replayed."""
    for place in (1, 2):
        stage.begun("cancelled", 1, "talk").close()
        assert stage.talker.over(stage.talker.run("cancelled", place)).cancelled
    assert stage.reasons("cancelled") == ["cancelled", "cancelled"]


def test_a_turn_that_was_superseded_runs_again(stage: Scene) -> None:
    """When the platform asks for the shorter form once more that is the one that is answered."""
    wires = [stage.begun("shorter", 1, text) for text in ("talk", "hold", "talk")]
    stage.talker.run("shorter", 3).go_on()
    assert [heard(wire).text for wire in wires] == ["Well, ", "", "Well, so be it."]
    assert [run.cancelled for run in stage.talker.of("shorter")] == [True, True, False]


def test_a_turn_that_failed_runs_again(stage: Scene) -> None:
    """Neither an error nor the apology for it is replayed."""
    for _ in range(2):
        assert stage.tell(turn("failed", 1, "fail")).text in APOLOGIES["en"]
    assert len(stage.talker.of("failed")) == 2


@pytest.mark.parametrize("store", ["memory", "sqlite", "none"])
def test_a_reply_is_replayed_for_its_lifetime(store: str, tmp_path: Path) -> None:
    """Also when the call has been silent for so long that it has ended, and no longer than the setting says."""
    with scene(store=store, data_dir=str(tmp_path), replay_for=3600.0, call_idle=900.0) as stage:
        first = stage.tell(turn("c", 1, "look"))
        for seconds in (800, 850):
            stage.clock.advance(seconds)
            assert gist(stage.tell(turn("c", 1, "look"))) == gist(first)
        assert len(stage.talker.of("c")) == 1
        if store != "none":
            stage.clock.advance(1700)
            stage.seen()
            assert gist(stage.tell(turn("c", 1, "look"))) == gist(first)
            assert len(stage.talker.of("c")) == 1
        stage.clock.advance(3700)
        stage.seen()
        assert gist(stage.tell(turn("c", 1, "look"))) == gist(first)
        assert len(stage.talker.of("c")) == 2


# --- without turn ids ---------------------------------------------------------------------------------------------


def test_equal_words_after_a_whole_reply_are_a_new_turn(stage: Scene) -> None:
    """Without turn ids a reply that was delivered is not given again: the caller said the same once more."""
    header = {"X-Call": "twice"}
    for place in (1, 2, 3):
        assert stage.tell(plain("hello", stream=place != 2), header).text == "You said hello."
        stage.seen()
        assert len(stage.talker.of("twice")) == place


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Scene, sqlite3.Connection]]:
    """Give a scene whose store can be held up, so that the end of a reply stays away."""
    with scene(store="sqlite", data_dir=str(tmp_path), store_commit_wait=3600.0, dialect=HEADER) as stage:
        other = sqlite3.connect(tmp_path / "offhook.db", isolation_level=None)
        try:
            yield stage, other
        finally:
            other.close()


@pytest.mark.parametrize(("seconds", "runs"), [(9.9, 1), (10.1, 2)])
def test_equal_words_after_a_reply_that_did_not_arrive_are_a_retry(
    held: tuple[Scene, sqlite3.Connection], seconds: float, runs: int
) -> None:
    """Within 10 s the reply of which the end was not sent is given again, and once it has arrived no more."""
    stage, other = held
    other.execute("BEGIN IMMEDIATE")
    header = {"X-Call": "c"}
    first = stage.ask(plain("hello"), header)
    first.read_until(b'"finish_reason":"stop"')
    stage.clock.advance(seconds)
    again = stage.ask(plain("hello"), header)
    again.read_until(b'"finish_reason":"stop"')
    assert len(stage.talker.of("c")) == runs
    assert not any(b"[DONE]" in wire.received for wire in (first, again))
    other.execute("ROLLBACK")
    assert [heard(wire).text for wire in (first, again)] == ["You said hello."] * 2
    assert stage.tell(plain("hello"), header).text == "You said hello."
    assert len(stage.talker.of("c")) == runs + 1


def test_a_reply_that_has_arrived_by_its_replay_is_not_given_a_third_time(
    held: tuple[Scene, sqlite3.Connection],
) -> None:
    """Without turn ids the retry that got the recorded reply to its end closes the matter."""
    stage, other = held
    header = {"X-Call": "c"}
    other.execute("BEGIN IMMEDIATE")
    first = stage.ask(plain("hello"), header)
    first.read_until(b'"finish_reason":"stop"')
    first.close()
    stage.seen()
    other.execute("ROLLBACK")
    # Committed in order: when this one is, the first one is.
    stage.tell(turn("other", 1, "hello"))
    for runs in (1, 2):
        assert stage.tell(plain("hello"), header).text == "You said hello."
        assert len(stage.talker.of("c")) == runs
        stage.seen()


# --- after a restart ----------------------------------------------------------------------------------------------


def test_a_retry_after_a_restart_is_answered_from_the_store(tmp_path: Path) -> None:
    """A server that is started anew on the same file gives the same reply without running its agent."""
    clock, talker = JumpClock(), Talker()
    with scene(store="sqlite", data_dir=str(tmp_path), clock=clock) as stage:
        first = [gist(stage.tell(turn("c", id, text))) for id, text in ((1, "look"), (2, "bye"), (3, "hello"))]
        stage.begun("c", 4, "talk").close()
        assert stage.talker.over(stage.talker.run("c", 4)).cancelled
    clock.advance(60)
    with scene(talker, store="sqlite", data_dir=str(tmp_path), clock=clock) as stage:
        again = [gist(stage.tell(turn("c", id, text))) for id, text in ((1, "look"), (2, "bye"), (3, "hello"))]
        assert [one[0] for one in again] == [one[0] for one in first]
        assert [[call[1:] for call in one[1]] for one in again] == [[call[1:] for call in one[1]] for one in first]
        assert talker.runs == []
        assert gist(stage.tell(turn("c", 2, "hello"))) == ("", [], "stop")
        assert talker.runs == []
        stage.begun("c", 4, "talk")
        assert len(talker.of("c")) == 1
