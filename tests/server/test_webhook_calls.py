"""What webhooks tell of calls: before, during and after them, twice, out of order, and whose they are."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from offhook.clock import SystemClock
from offhook.server.keys import DEFAULT_SCOPES, KeyFile
from offhook.testing import JumpClock, live_server
from tests.callers import Scene, scene, turn
from tests.crash import PATIENCE, locked
from tests.server.hooked import TAKEN, TOKEN, Host, closed, hung_up, ims, post, proof, said, settings, stored, unmarked
from tests.server.test_store_away import DEGRADED, state, wait_until_back

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


# --- a call that lives --------------------------------------------------------------------------------------------


def test_a_callback_closes_a_call(stage: Scene, host: Host) -> None:
    """The agent is told once who hung up and after how long, and the record says it, with what was spoken."""
    stage.tell(turn("c1", 1, "hello"))
    said(stage, "c1", 1, "user", "hello", "d1")
    said(stage, "c1", 1, "agent", "You said", "d2")
    hung_up(stage, "c1")
    assert host.end("c1") == ("callback", "caller", 12.0)
    hung_up(stage, "c1")
    ims(stage, "c1", "agent_stop")
    assert closed(stage, "c1") == ("callback", "caller", 12.0)
    found = stored(stage, "c1")
    assert [(one.role, one.text) for one in found.spoken] == [("caller", "hello"), ("agent", "You said")]
    assert [(one.sent, one.heard) for one in found.turns] == [("You said hello.", len("You said"))]
    assert len([end for end in host.ends if end[0] == "c1"]) == 1


def test_a_call_that_the_agent_ended_keeps_that(stage: Scene, host: Host) -> None:
    """A late callback fills in who hung up and the duration, and the call was ended by its command."""
    stage.tell(turn("c2", 1, "bye"))
    assert host.end("c2") == ("command", None, None)
    hung_up(stage, "c2", role=0)
    assert closed(stage, "c2") == ("command", "agent", 12.0)


def test_a_call_that_fell_silent_keeps_that() -> None:
    """A callback that comes after the call was forgotten comes into its record."""
    with scene(Host(), call_idle=60, **settings()) as stage:
        stage.tell(turn("c3", 1, "hello"))
        stage.clock.wait_for_sleepers(1)
        stage.clock.advance(100)
        host = stage.talker
        assert isinstance(host, Host) and host.end("c3") == ("idle", None, None)
        said(stage, "c3", 1, "agent", "You said hello.", "d1")
        hung_up(stage, "c3")
        assert closed(stage, "c3") == ("idle", "caller", 12.0)
        found = stored(stage, "c3")
        assert found.turns[0].heard == len("You said hello.") and len(found.spoken) == 1


def test_what_comes_before_the_call_waits_for_it(stage: Scene) -> None:
    """A greeting and a connection that are told before the first turn stand in the record after it."""
    ims(stage, "c4", "session_start")
    said(stage, "c4", 0, "agent", "Welcome.", "d0")
    assert stage.server.stored("c4") is None
    stage.clock.advance(20)
    stage.tell(turn("c4", 1, "hello"))
    stage.clock.advance(5)
    ims(stage, "c4", "agent_stop")
    assert closed(stage, "c4") == ("callback", None, 25.0)
    assert [one.text for one in stored(stage, "c4").spoken] == ["Welcome."]


def test_what_comes_during_a_turn_waits_for_its_end(stage: Scene, host: Host) -> None:
    """Words of a turn that is not over are put to it when it is."""
    wire = stage.begun("c5", 1, "hold")
    said(stage, "c5", 1, "agent", "so", "d1")
    said(stage, "c5", 1, "user", "hold", "d2")
    host.run("c5").go_on()
    wire.read_until(b"[DONE]")
    found = stored(stage, "c5")
    assert [(one.sent, one.heard) for one in found.turns] == [("so be it.", 2)]
    assert {one.text for one in found.spoken} == {"so", "hold"}
    # What goes on where it was is farther, what is sent again is not.
    said(stage, "c5", 1, "agent", "be", "d3")
    said(stage, "c5", 1, "agent", "so", "d1")
    assert [one.heard for one in stored(stage, "c5").turns] == [len("so be")]


def test_the_end_of_an_order_that_went_wrong(stage: Scene) -> None:
    """The end that comes before the first turn is none of the call that begins then."""
    hung_up(stage, "c6")
    stage.tell(turn("c6", 1, "hello"))
    assert closed(stage, "c6") == (None, None, None)
    hung_up(stage, "c6")
    assert closed(stage, "c6") == ("callback", "caller", 12.0)


def test_a_call_that_goes_on_ends_once_more(stage: Scene, host: Host) -> None:
    """A turn after the end begins the call again, and its next end is told with what is reported of that."""
    for number in (1, 2):
        stage.tell(turn("c10", number, "hello"))
        assert closed(stage, "c10")[0] is None
        hung_up(stage, "c10", role=number)
        host.ended("c10", number)
    assert [end[1:] for end in host.ends if end[0] == "c10"] == [
        ("callback", "caller", 12.0),
        ("callback", "system", 12.0),
    ]
    assert closed(stage, "c10") == ("callback", "system", 12.0)


def test_words_of_no_turn_change_no_turn(stage: Scene) -> None:
    """A round that is no turn's, words that were not sent, and those of the caller leave the turns as they are."""
    stage.tell(turn("c7", 1, "hello"))
    said(stage, "c7", 9, "agent", "You said", "d1")
    said(stage, "c7", 1, "agent", "Something else", "d2")
    said(stage, "c7", 1, "user", "You said", "d3")
    assert [one.heard for one in stored(stage, "c7").turns] == [None]
    assert len(stored(stage, "c7").spoken) == 3


def test_an_unknown_call_is_none(stage: Scene) -> None:
    """A callback of a call that has no turn is taken, and no record is made."""
    hung_up(stage, "c8")
    assert stage.server.stored("c8") is None


def test_numbers_that_a_callback_brings_are_marked(stage: Scene) -> None:
    """They are kept as those of requests are: the last digits and a mark."""
    stage.tell(turn("c9", 1, "hello"))
    ims(stage, "c9", "agent_stop", extendData={"callerNumber": "13800001234"}, userData='{"vip": true}')
    one = stored(stage, "c9").call
    assert (one.caller, one.user_data) == ("***1234", '{"vip": true}')
    assert one.caller_mark and "13800001234" not in one.caller_mark


def test_a_whole_report_closes_a_call(stage: Scene, host: Host) -> None:
    """Vapi's report and Retell's end bring everything at once, and Retell names the response that was cut."""
    stage.tell(*unmarked("v1"))
    now = stage.clock.now()
    messages = [{"role": "bot", "message": "Hello.", "secondsFromStart": 0.5}]
    message = {"type": "end-of-call-report", "call": {"id": "v1"}, "endedReason": "customer-ended-call"}
    report = {"message": {**message, "startedAt": now - 30, "endedAt": now, "artifact": {"messages": messages}}}
    body = json.dumps(report).encode()
    assert post(stage.server.base_url, "/webhooks/vapi", body, proof("vapi", body, now)) == TAKEN
    assert host.end("v1") == ("callback", "caller", 30.0)
    stage.tell(*unmarked("r1", 3))
    cut = [{"role": "agent", "content": "You", "metadata": {"response_id": 3}}]
    call = {"call_id": "r1", "disconnection_reason": "agent_hangup", "duration_ms": 4000, "transcript_object": cut}
    for event in ("call_ended", "call_analyzed"):
        body = json.dumps({"event": event, "call": call}).encode()
        assert post(stage.server.base_url, "/webhooks/retell", body, proof("retell", body, now)) == TAKEN
    assert host.end("r1") == ("callback", "agent", 4.0)
    assert [one.heard for one in stored(stage, "r1").turns] == [3]


# --- whose call it is ---------------------------------------------------------------------------------------------


def made(folder: Path, name: str) -> dict[str, str]:
    """Make a key, and give the headers that it comes with."""
    key = KeyFile(folder).create(SystemClock(), name, scopes=DEFAULT_SCOPES).key
    return {"Authorization": f"Bearer {key}"}


@contextmanager
def tenants(folder: Path, **table: Any) -> Iterator[tuple[Scene, dict[str, str], dict[str, str]]]:
    """Give a scene and the headers of two keys of different names."""
    shop, bank = made(folder, "shop"), made(folder, "bank")
    with scene(Host(), data_dir=str(folder), **settings(alibaba_ims={"token": TOKEN, **table})) as stage:
        yield stage, shop, bank


def test_a_webhook_is_of_its_tenant(tmp_path: Path) -> None:
    """With a tenant it tells of the calls of that name's keys, and of no other with the same id."""
    with tenants(tmp_path, tenant="bank") as (stage, shop, bank):
        for headers in (shop, bank, {}):
            stage.tell(turn("c1", 1, "hello"), headers)
        hung_up(stage, "c1")
        assert closed(stage, "c1~bank") == ("callback", "caller", 12.0)
        assert closed(stage, "c1~shop") == closed(stage, "c1") == (None, None, None)


def test_without_a_tenant_it_is_of_the_only_call(tmp_path: Path) -> None:
    """Without one it is of the settings' keys, else of the only live call of the id, and never of one of several."""
    with tenants(tmp_path) as (stage, shop, bank):
        stage.tell(turn("c1", 1, "hello"), shop)
        hung_up(stage, "c1")
        assert closed(stage, "c1~shop") == ("callback", "caller", 12.0)
        for headers in (shop, bank):
            stage.tell(turn("c2", 1, "hello"), headers)
        hung_up(stage, "c2")
        assert closed(stage, "c2~shop") == closed(stage, "c2~bank") == (None, None, None)
        stage.tell(turn("c3", 1, "hello"), shop)
        stage.tell(turn("c3", 1, "hello"), {})
        hung_up(stage, "c3")
        assert closed(stage, "c3") == ("callback", "caller", 12.0)
        assert closed(stage, "c3~shop") == (None, None, None)


# --- another server, and a store that is away ---------------------------------------------------------------------


def test_a_call_from_before_a_restart_is_closed(tmp_path: Path) -> None:
    """A server that was started again closes the calls that it finds in its records, ended ones and others."""
    clock = JumpClock()
    with scene(Host(), clock=clock, store="sqlite", data_dir=str(tmp_path), **settings()) as stage:
        stage.tell(turn("open", 1, "hello"))
        stage.tell(turn("over", 1, "bye"))
    with scene(Host(), clock=clock, store="sqlite", data_dir=str(tmp_path), **settings()) as stage:
        for call in ("open", "over"):
            said(stage, call, 1, "agent", {"open": "You said", "over": "Good"}[call], "d1")
            hung_up(stage, call)
        host = stage.talker
        assert isinstance(host, Host) and host.end("open") == ("callback", "caller", 12.0)
    with scene(Host(), clock=clock, store="sqlite", data_dir=str(tmp_path), **settings()) as stage:
        assert closed(stage, "open") == ("callback", "caller", 12.0)
        assert closed(stage, "over") == ("command", "caller", 12.0)
        for call, length in (("open", 8), ("over", 4)):
            found = stored(stage, call)
            assert [one.heard for one in found.turns] == [length] and len(found.spoken) == 1


def test_while_the_store_is_away_news_wait_in_the_spool(tmp_path: Path) -> None:
    """A callback that comes while the database cannot be written is in the record when it can be again."""
    with live_server(Host(), store="sqlite", data_dir=str(tmp_path), **settings()) as server:
        stage = Scene(server, Host(), SystemClock())  # type: ignore[arg-type]  # only its time is asked
        stage.tell(turn("c1", 1, "hello"))
        wait_until_back(server.base_url)
        with locked(tmp_path / "offhook.db"):
            said(stage, "c1", 1, "agent", "You said", "d1")
            hung_up(stage, "c1")
            until = time.monotonic() + PATIENCE
            while state(server.base_url) != DEGRADED:
                assert time.monotonic() < until, "the server does not see that the store is away"
        wait_until_back(server.base_url)
        found = stored(stage, "c1")
        assert (found.call.hung_up_by, found.call.duration, len(found.spoken)) == ("caller", 12.0, 1)
        assert found.turns[0].heard == 8
