"""Which call a webhook is of, and which part of it: ends that come late, twice, or of another platform."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import JumpClock
from tests.callers import Scene, scene, turn
from tests.server.hooked import (
    TAKEN,
    Host,
    closed,
    hung_up,
    ims,
    post,
    proof,
    said,
    settings,
    stored,
    unmarked,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Scene]:
    with scene(Host(), **settings()) as made:
        yield made


@pytest.fixture
def stage(shared_stage: Scene) -> Iterator[Scene]:
    yield shared_stage
    shared_stage.hang_up()


@pytest.fixture
def host(stage: Scene) -> Host:
    assert isinstance(stage.talker, Host)
    return stage.talker


def stopped(stage: Scene, call: str, ago: float) -> None:
    """Send the callback that the agent stopped so many seconds ago."""
    ims(stage, call, "agent_stop", timestamp=round((stage.clock.now() - ago) * 1000))


def tell(stage: Scene, name: str, body: Any) -> None:
    """Send the webhook of another platform."""
    raw = json.dumps(body).encode()
    assert post(stage.server.base_url, f"/webhooks/{name}", raw, proof(name, raw, stage.clock.now())) == TAKEN


def ended_elsewhere(stage: Scene, call: str) -> None:
    """Let Vapi and Retell say that a call is over."""
    tell(stage, "vapi", {"message": {"type": "status-update", "status": "ended", "call": {"id": call}}})
    tell(stage, "retell", {"event": "call_ended", "call": {"call_id": call, "duration_ms": 9000}})


# --- an end that is not that of the call as it is now -------------------------------------------------------------


def test_the_end_of_an_earlier_life_is_late(stage: Scene, host: Host) -> None:
    """A call that goes on after its end is not ended by the news of that end, and is not told of twice."""
    stage.tell(turn("a1", 1, "bye"))
    host.ended("a1", 1)
    stage.clock.advance(3)
    stage.tell(turn("a1", 2, "hello"))
    stopped(stage, "a1", 3)
    hung_up(stage, "a1", ago=2.5)
    assert closed(stage, "a1") == (None, None, None)
    stage.clock.advance(10)
    stopped(stage, "a1", 1)
    host.ended("a1", 2)
    assert [end[1] for end in host.ends if end[0] == "a1"] == ["command", "callback"]
    assert stored(stage, "a1").call.ended_at == pytest.approx(stage.clock.now() - 1, abs=0.01)


def test_an_end_before_the_call_began_is_of_no_call(stage: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """It is dated an hour before the first turn: the call lives on, and the log says why."""
    caplog.set_level(logging.DEBUG, "offhook.turns")
    stage.tell(turn("a2", 1, "hello"))
    for event in (stopped, lambda *args: hung_up(args[0], args[1], ago=args[2])):
        event(stage, "a2", 3600)
    assert closed(stage, "a2") == (None, None, None)
    assert "dated before the call's last turn" in caplog.text


@pytest.mark.parametrize(("ago", "ended"), [(4.0, "callback"), (6.0, None)])
def test_clocks_may_differ_by_seconds(stage: Scene, ago: float, ended: str | None) -> None:
    """Of a call that never ended five seconds before its last turn are as now, and it has not ended before that."""
    call = f"a3-{ago}"
    stage.tell(turn(call, 1, "hello"))
    stopped(stage, call, ago)
    one = stored(stage, call).call
    assert one.ended_by == ended
    assert ended is None or (one.ended_at or 0.0) >= stored(stage, call).turns[0].received_at


def test_an_end_without_a_time_ends_a_call(stage: Scene, host: Host) -> None:
    """It is one of now, also in a call that has gone on after an end."""
    stage.tell(turn("a4", 1, "bye"))
    host.ended("a4", 1)
    stage.tell(turn("a4", 2, "hello"))
    ims(stage, "a4", "agent_stop", timestamp=None)
    assert closed(stage, "a4") == ("callback", None, None)


def test_what_is_older_than_a_day_is_left_alone(stage: Scene, host: Host) -> None:
    """Neither an end nor words come into a record from so long ago."""
    stage.tell(turn("a5", 1, "bye"))
    host.ended("a5", 1)
    hung_up(stage, "a5", ago=90_000)
    entry = {"dialogueId": "d", "producer": "agent", "text": "Hi", "time": 1}
    old = round((stage.clock.now() - 90_000) * 1000)
    ims(stage, "a5", "chat_record", timestamp=old, data={"dialogues": [entry]})
    assert closed(stage, "a5") == ("command", None, None)
    assert not stored(stage, "a5").spoken


def test_a_duration_is_that_of_the_end(stage: Scene, host: Host) -> None:
    """A connection and an end that come before the first turn leave no duration in the call that goes on."""
    ims(stage, "a6", "session_start")
    stage.clock.advance(1)
    ims(stage, "a6", "agent_stop")
    stage.clock.advance(1)
    stage.tell(turn("a6", 1, "hello"))
    assert closed(stage, "a6") == (None, None, None)
    stage.clock.advance(2)
    ims(stage, "a6", "agent_stop")
    ended_by, hung_up_by, duration = host.end("a6")
    assert (ended_by, hung_up_by) == ("callback", None)
    assert duration == pytest.approx(4.0, abs=0.01)
    assert closed(stage, "a6") == ("callback", None, duration)


def test_an_end_during_the_first_turn_is_the_calls(stage: Scene, host: Host) -> None:
    """What ends a call before its first turn is recorded stands in the record, with who hung up."""
    wire = stage.begun("a7", 1, "hold")
    hung_up(stage, "a7")
    host.run("a7").go_on()
    wire.read_until(b"[DONE]")
    assert closed(stage, "a7") == ("callback", "caller", 12.0)


def test_the_platform_says_who_hung_up(stage: Scene, host: Host) -> None:
    """Where the agent hung up and the platform says that the caller did, both stand in the record."""
    stage.tell(turn("a8", 1, "bye"))
    host.ended("a8", 1)
    hung_up(stage, "a8", role=1)
    assert closed(stage, "a8") == ("command", "caller", 12.0)


# --- whose call it is ---------------------------------------------------------------------------------------------


def test_another_platform_ends_no_call(stage: Scene) -> None:
    """A webhook is of the calls that came in its platform's dialect, and of those in which none was seen."""
    stage.tell(turn("b1", 1, "hello"))
    ended_elsewhere(stage, "b1")
    assert closed(stage, "b1") == (None, None, None)
    stage.tell(*unmarked("b2"))
    ended_elsewhere(stage, "b2")
    assert closed(stage, "b2") == ("callback", None, 9.0)


def test_another_platform_tells_nothing_before_and_after(stage: Scene, host: Host) -> None:
    """Nor is what it told before the first turn put to the call, or what it tells when that is over."""
    ended_elsewhere(stage, "b3")
    body = {"event": "call_ended", "call": {"call_id": "b3", "transcript_object": [{"role": "user", "content": "x"}]}}
    tell(stage, "retell", body)
    stage.tell(turn("b3", 1, "bye"))
    host.ended("b3", 1)
    tell(stage, "retell", body)
    assert closed(stage, "b3") == ("command", None, None)
    assert not stored(stage, "b3").spoken


def test_another_platforms_record_stays_as_it_is() -> None:
    """A call that is in the records alone is bound to its platform, too."""
    with scene(Host(), call_idle=60, **settings()) as stage:
        stage.tell(turn("b4", 1, "hello"))
        stage.clock.wait_for_sleepers(1)
        stage.clock.advance(100)
        host = stage.talker
        assert isinstance(host, Host) and host.end("b4")[0] == "idle"
        ended_elsewhere(stage, "b4")
        assert closed(stage, "b4") == ("idle", None, None)
        hung_up(stage, "b4")
        assert closed(stage, "b4") == ("idle", "caller", 12.0)


# --- after a restart, and after a deletion ------------------------------------------------------------------------


def test_the_same_end_twice_after_a_restart(tmp_path: Path) -> None:
    """A callback that is sent again to another server ends nothing that has gone on, and tells of no second end."""
    clock = JumpClock()
    files: dict[str, Any] = {"clock": clock, "store": "sqlite", "data_dir": str(tmp_path)}
    with scene(Host(), **files, **settings()) as stage:
        stage.tell(turn("c1", 1, "hello"))
        stage.tell(turn("c2", 1, "hello"))
        for call in ("c1", "c2"):
            hung_up(stage, call)
    clock.advance(30)
    host = Host()
    with scene(host, **files, **settings()) as stage:
        stage.tell(turn("c2", 2, "hello"))
        for call in ("c1", "c2"):
            hung_up(stage, call, ago=30)
        assert closed(stage, "c1") == ("callback", "caller", 12.0)
        assert closed(stage, "c2") == (None, None, None)
        assert not host.ends


def test_a_deleted_call_does_not_come_back(stage: Scene, host: Host) -> None:
    """A webhook for a call that was deleted, live or over, makes no record."""
    stage.tell(turn("d1", 1, "hello"))
    stage.tell(turn("d2", 1, "bye"))
    host.ended("d2", 1)
    for call in ("d1", "d2"):
        store = stage.server._line.store
        assert store is not None and stage.server._thread.ask(store.delete(call)) == 1
        said(stage, call, 1, "agent", "You said", "x")
        hung_up(stage, call)
        assert stage.server.stored(call) is None
    host.ended("d1", 1)
    assert stage.server.stored("d1") is None
