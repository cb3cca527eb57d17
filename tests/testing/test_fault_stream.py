"""The faulty model service inside an answer: each fault is what it says, at the phase that it names."""

from __future__ import annotations

import asyncio
import json

import pytest

from offhook.client import EndpointClient
from offhook.clock import SystemClock
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import POSSIBLE, Called, Fault, Phase, says, with_fault
from tests.raw import Wire, chat_body
from tests.testing.listening import (
    BEFORE,
    FOR_EVER,
    HELLO,
    IN_STREAM,
    SILENT,
    TEXT,
    ask,
    deltas,
    events,
    faulty,
    is_text,
    parts,
    phases_of,
    read_all,
    text_of,
)

# --- what ends or stays silent -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "phase"), [row for row in POSSIBLE if row[0] in ("reset", "half_close")])
def test_a_broken_connection(fault: Fault, phase: Phase) -> None:
    """RST or FIN comes exactly at the phase, without the end of the body; that is no disconnect of the client."""
    with fault_upstream(faulty(fault, phase)) as service:
        with Wire(service.base_url) as wire:
            if phase != "connect":
                wire.ask(chat_body())
            raw, by_reset = read_all(wire)
        service.wait_for_live(0)
        assert service.disconnects == []
    assert by_reset == (fault == "reset")
    if phase in BEFORE:
        assert (len(events(raw)), parts(raw)[1]) == (BEFORE[phase], False)
    else:
        assert raw == b""


@pytest.mark.parametrize(("fault", "phase"), [row for row in POSSIBLE if row[0] in SILENT and row[1] != "connect"])
def test_silence_until_the_client_leaves(fault: Fault, phase: Phase) -> None:
    """Exactly what comes before the phase was sent, and then nothing, until the client has left."""
    expected = 1 if fault == "role_only" else BEFORE.get(phase, 0)
    with fault_upstream(faulty(fault, phase)) as service:
        with ask(service) as wire:
            service.wait_for_requests()
            raw = b"" if phase == "before_headers" else wire.read_events(expected)
            assert (service.live, service.disconnects) == (1, [])
            raw += wire.leave()
        (left,) = service.wait_for_disconnects()
        assert left.request == 0
        assert left.at >= service.times[0]
        service.wait_for_live(0)
        assert service.sent == len(raw)
    if phase == "before_headers":
        assert raw == b""
    else:
        assert (len(events(raw)), parts(raw)[1]) == (expected, False)


@pytest.mark.parametrize(("fault", "phase"), phases_of(*FOR_EVER))
def test_what_comes_for_ever_ends_with_the_client(fault: Fault, phase: Phase) -> None:
    """The fault's own events come after those before the phase, hundreds of them, until the client leaves."""
    with fault_upstream(faulty(fault, phase)) as service, ask(service) as wire:
        marker = {"comments": b": keep-alive", "reasoning": b"hmm, ", "think": b"hmm, ", "endless": b"and on, "}
        while wire.received.count(marker.get(fault, b'"\\n "')) < 300:
            wire.more()
        raw = wire.received
        wire.reset()
        service.wait_for_disconnects()
        service.wait_for_live(0)
        sent = service.sent
        assert service.sent == sent >= len(raw)
    data = events(raw)
    before, after = data[: BEFORE[phase]], deltas(data)[BEFORE[phase] :]
    assert text_of(before) == {"mid": HELLO.text[0], "before_done": TEXT}.get(phase, "")
    if fault == "comments":
        assert after == []
    elif fault == "reasoning":
        assert all(delta["reasoning_content"] and "content" not in delta for delta in after)
    else:
        said = text_of(data[BEFORE[phase] :])
        assert said.startswith({"think": "<think>", "endless": "And so on"}.get(fault, " "))
        assert "</think>" not in said
        assert (said.strip() == "") == (fault == "whitespace")


@pytest.mark.parametrize("phase", ["before_headers", *IN_STREAM])
def test_a_delay_delays_and_the_answer_is_whole(phase: Phase) -> None:
    """The whole answer comes, and the part after the phase no sooner than the delay allows."""
    with fault_upstream(faulty("delay", phase)) as service, ask(service) as wire:
        service.wait_for_requests()
        begun = service.times[0]
        data = events(wire.read_response())
        ended = SystemClock().monotonic()
        assert service.disconnects == []
    assert (text_of(data), data[-1]) == (TEXT, "[DONE]")
    assert ended - begun >= 0.05


def test_a_client_that_leaves_within_a_pause_is_seen() -> None:
    """Between two pieces that stand an hour apart a client can leave, and the service ends in time too."""
    slow = says("one", "two", every=3600.0)
    with fault_upstream([slow, faulty("delay", "before_headers", seconds=3600.0)]) as service:
        with ask(service) as wire:
            wire.read_events(2)
        with ask(service):
            service.wait_for_requests(2)
        assert {left.request for left in service.wait_for_disconnects(2)} == {0, 1}
        with ask(service):
            service.wait_for_requests(3)
            service.wait_for_live(1)


def test_an_answer_without_text() -> None:
    """The finish chunk and [DONE] come after the phase, and no text; the connection serves again."""
    for phase in ("after_headers", "after_role"):
        with fault_upstream([with_fault(HELLO, "empty", phase), HELLO]) as service, ask(service) as wire:
            data = events(wire.read_response())
            assert (text_of(data), len(data), data[-1]) == ("", BEFORE[phase] + 2, "[DONE]")
            assert '"finish_reason":"stop"' in data[-2]
            wire.ask(chat_body())
            assert text_of(events(wire.read_response())) == TEXT


# --- the same bytes, otherwise written -----------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "phase"), [row for row in POSSIBLE if row[0] in ("dribble", "merged", "cut")])
def test_an_answer_in_other_writes(fault: Fault, phase: Phase) -> None:
    """The answer is the same to the byte, in chunks of one byte, in one write, or cut inside characters."""
    with fault_upstream([HELLO, faulty(fault, phase)]) as service, ask(service) as wire:
        plain, _ = parts(wire.read_response())
        wire.ask(chat_body())
        raw = wire.read_response()
    found, ended = parts(raw)
    assert ended
    assert b"".join(found) == b"".join(plain)
    rest = found[2 if phase == "mid" else 0 :]
    if fault == "dribble":
        assert {len(part) for part in rest} == {1}
    elif fault == "cut":
        assert any(not is_text(part) for part in rest)
        assert sum(not part.endswith(b"\n\n") for part in rest) >= len(plain)
    else:
        assert found == plain  # That it was one write shows in the test of one write.


def test_one_write_is_one_write() -> None:
    """Nothing at all was sent while the pieces of a merged answer are being said."""
    slow = says("one", "two", every=3600.0)
    with fault_upstream(with_fault(slow, "merged", "before_headers")) as service, ask(service) as wire:
        service.wait_for_requests()
        assert wire.leave() == b""
        service.wait_for_live(0)
        assert service.sent == 0


@pytest.mark.parametrize("fault", ["dribble", "merged", "cut"])
def test_the_client_reads_other_writes(fault: Fault) -> None:
    """EndpointClient reads the same text however it was written."""

    async def read(base_url: str) -> list[str]:
        data: list[str] = []
        async with EndpointClient(base_url, None) as client, client.post_stream(chat_body()) as stream:
            while found := await stream.read():
                data += [event.data.decode() for event in found]
        return data

    with fault_upstream(with_fault(HELLO, fault, "before_headers")) as service:
        data = asyncio.run(read(service.base_url))
    assert (text_of(data), data[-1]) == (TEXT, "[DONE]")


# --- wrong things inside the stream --------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "phase"), phases_of("wrong_json", "html", "error_event"))
def test_something_else_inside_the_stream(fault: Fault, phase: Phase) -> None:
    """Cut JSON stands between whole events, a page ends the stream, an error event comes without [DONE]."""
    with fault_upstream([faulty(fault, phase), HELLO]) as service, ask(service) as wire:
        raw = wire.read_response()
        wire.ask(chat_body())
        assert text_of(events(wire.read_response())) == TEXT
    at, data = BEFORE[phase], events(raw)
    if fault == "wrong_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(data.pop(at))
        assert (text_of(data), data[-1]) == (TEXT, "[DONE]")
    elif fault == "html":
        assert len(data) == at
        assert parts(raw)[0][at].startswith(b"<!DOCTYPE html>")
    else:
        assert len(data) == at + 1
        assert json.loads(data[at])["error"]["type"] == "server_error"


# --- tool calls ----------------------------------------------------------------------------------------------------

CALLS = says("One moment. ", calls=[Called("look", '{"a":"北京"}', fragments=3), Called("stop")])


def test_tool_calls_come_in_fragments() -> None:
    """Each call has an index; its first fragment alone has the id and the name; the arguments add up."""
    with fault_upstream(CALLS) as service, ask(service) as wire:
        data = events(wire.read_response())
    found = [delta["tool_calls"][0] for delta in deltas(data) if "tool_calls" in delta]
    assert [one["index"] for one in found] == [0, 0, 0, 1]
    assert [one.get("id") for one in found] == ["call_0", None, None, "call_1"]
    assert [one["function"].get("name") for one in found] == ["look", None, None, "stop"]
    assert "".join(one["function"]["arguments"] for one in found[:3]) == '{"a":"北京"}'
    assert found[3]["function"]["arguments"] == "{}"
    assert '"finish_reason":"tool_calls"' in data[-2]


def test_a_tool_call_is_broken_off_after_a_fragment() -> None:
    """A reset after three pieces leaves the text and two fragments whose arguments are no JSON."""
    with fault_upstream(with_fault(CALLS, "reset", "mid", after=3)) as service, ask(service) as wire:
        raw, by_reset = read_all(wire)
    found = [delta["tool_calls"][0] for delta in deltas(events(raw)) if "tool_calls" in delta]
    assert (by_reset, len(found)) == (True, 2)
    with pytest.raises(json.JSONDecodeError):
        json.loads("".join(one["function"]["arguments"] for one in found))
