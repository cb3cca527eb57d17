"""A disconnect ends a turn at once, or after the grace that a retry is given; what was sent is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.callers import Scene, gist, heard, scene, turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.raw import Wire

GRACE = 5.0
# One task always sleeps on the clock: the one that ends calls for their silence.
LINGERING = 2


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Scene]:
    # The grace alone is to end a turn, and that of two disconnects is longer than a turn's time.
    with scene(dialect={"alibaba_ims": {"cancel_grace": GRACE}}, turn_deadline=0) as made:
        yield made


@pytest.fixture
def stage(shared_stage: Scene) -> Iterator[Scene]:
    yield shared_stage
    shared_stage.hang_up()


def leave(stage: Scene, wire: Wire) -> None:
    """Close a connection, and return when its turn lingers."""
    wire.close()
    stage.clock.wait_for_sleepers(LINGERING)


def test_within_the_grace_a_retry_joins(stage: Scene) -> None:
    """A turn of which nothing was said goes on without a reader, and its retry hears it from the first word."""
    leave(stage, stage.begun("retried", 1, "hold"))
    stage.clock.advance(GRACE - 0.1)
    again = stage.ask(turn("retried", 1, "hold"))
    stage.seen()
    stage.clock.advance(GRACE)
    stage.seen()
    stage.talker.run("retried").go_on()
    assert gist(heard(again)) == ("so be it.", [], "stop")
    assert len(stage.talker.of("retried")) == 1


def test_after_the_grace_the_turn_ends(stage: Scene) -> None:
    """When nobody comes back in time the agent is cancelled, and a later retry runs anew."""
    leave(stage, stage.begun("left", 1, "hold"))
    run = stage.talker.run("left")
    stage.clock.advance(GRACE - 0.1)
    stage.seen()
    assert not run.over and not run.turn.cancelled.is_set()
    stage.clock.advance(0.2)
    assert stage.talker.over(run).cancelled
    assert stage.reasons("left") == ["cancelled"]
    stage.begun("left", 1, "talk")
    assert len(stage.talker.of("left")) == 2


def test_each_disconnect_has_the_whole_grace(stage: Scene) -> None:
    """A retry that leaves too lets the turn linger anew, not only for what was left of the first time."""
    leave(stage, stage.begun("twice", 1, "hold"))
    stage.clock.advance(GRACE - 1)
    again = stage.ask(turn("twice", 1, "hold"))
    stage.seen()
    leave(stage, again)
    stage.seen()
    run = stage.talker.run("twice")
    stage.clock.advance(GRACE - 1)
    stage.seen()
    assert not run.over and not run.turn.cancelled.is_set()
    stage.clock.advance(1)
    assert stage.talker.over(run).cancelled


def test_once_a_word_was_sent_there_is_no_grace(stage: Scene) -> None:
    """A caller who cuts in on the words is not waited for."""
    stage.begun("cut in", 1, "talk").close()
    assert stage.talker.over(stage.talker.run("cut in")).cancelled
    assert [(record.reason, record.sent) for record in stage.records("cut in")] == [("cancelled", "Well, ")]


def test_a_newer_turn_ends_one_that_lingers(stage: Scene) -> None:
    """The grace is for a retry: what comes after the turn ends it at once."""
    leave(stage, stage.begun("overtaken", 1, "hold"))
    assert stage.tell(turn("overtaken", 2, "hello")).text == "You said hello."
    assert stage.talker.over(stage.talker.run("overtaken")).cancelled
    assert stage.reasons("overtaken") == ["superseded", "stop"]
    stage.clock.advance(GRACE)


def test_what_is_said_while_nobody_listens_waits_for_the_retry(stage: Scene) -> None:
    """A turn that ends within the grace is answered from what it said."""
    leave(stage, stage.begun("whispered", 1, "hold"))
    stage.talker.run("whispered").go_on()
    stage.talker.over(stage.talker.run("whispered"))
    assert gist(stage.tell(turn("whispered", 1, "hold"))) == ("so be it.", [], "stop")
    assert len(stage.talker.of("whispered")) == 1
    assert [(record.reason, record.generated, record.sent) for record in stage.records("whispered")] == [
        ("stop", "so be it.", "")
    ]
    stage.clock.advance(GRACE)


# --- what was sent ------------------------------------------------------------------------------------------------


def test_without_a_grace_a_disconnect_cancels_at_once() -> None:
    """The clock stands still, and the agent stops all the same."""
    with scene() as stage:
        stage.begun("c", 1, "hold").close()
        assert stage.talker.over(stage.talker.run("c")).cancelled
        assert stage.reasons("c") == ["cancelled"]


def test_what_was_sent_is_recorded_up_to_the_disconnect() -> None:
    """The record of a turn that was cut off has what went out, and of what was not streamed that nothing did."""
    with scene() as stage:
        for streamed in (True, False):
            wire = stage.ask(turn(f"{streamed}", 1, "talk", stream=streamed))
            run = stage.talker.run(f"{streamed}")
            if streamed:
                wire.read_until(b"Well, ")
            wire.close()
            assert stage.talker.over(run).cancelled
        [streamed_record], [whole_record] = stage.records("True"), stage.records("False")
        assert (streamed_record.generated, streamed_record.sent) == ("Well, ", "Well, ")
        assert streamed_record.map == ((0, 0),) and streamed_record.heard is None
        assert (whole_record.generated, whole_record.sent, whole_record.map) == ("Well, ", "", ())
        assert streamed_record.first_byte is not None and whole_record.first_byte is None
