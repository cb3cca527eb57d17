"""The faulty model service: its plan, its records, its end, and what it does before an answer."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.client import EndpointClient
from offhook.errors import EndpointError
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import DESCRIPTIONS, PHASES, POSSIBLE, Answer, Called, Fault, says, with_fault
from tests.raw import Wire, chat_body
from tests.testing.listening import (
    HELLO,
    SILENT,
    TEXT,
    ask,
    deltas,
    events,
    faulty,
    read_all,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offhook.testing.fault_server import FaultUpstream
    from offhook.testing.upstream import Request


def test_an_answer_without_a_fault_is_whole() -> None:
    """The pieces come as events between the role and the finish, and the connection serves again."""
    with fault_upstream(HELLO) as service, ask(service) as wire:
        for _ in range(2):
            raw = wire.read_response()
            assert raw.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
            data = events(raw)
            assert [delta.get("content") for delta in deltas(data)] == ["", *HELLO.text, None]
            assert deltas(data)[0]["role"] == "assistant"
            assert json.loads(data[-2])["choices"][0]["finish_reason"] == "stop"
            assert data[-1] == "[DONE]"
            wire.ask(chat_body("more"))
        requests = service.wait_for_requests(2)
        assert [request.body["messages"][0]["content"] for request in requests[:2]] == ["hello", "more"]
        assert service.times[0] <= service.times[1]
        assert (service.connections, service.live, service.disconnects) == (1, 1, [])
        assert service.sent >= 2 * len(raw)
    assert service.live == 0


def test_the_usage_comes_where_it_is_asked_for() -> None:
    """A request with include_usage gets a usage chunk before [DONE], with one token for each piece."""
    with fault_upstream(HELLO) as service, ask(service, stream_options={"include_usage": True}) as wire:
        last = json.loads(events(wire.read_response())[-2])
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 3)


def test_the_last_answer_of_a_sequence_repeats() -> None:
    """Requests are answered in the order of the plan, and then by its last answer."""
    with fault_upstream([says("one"), says("two")]) as service, ask(service) as wire:
        said = []
        for _ in range(3):
            said.append(text_of(events(wire.read_response())))
            wire.ask(chat_body())
    assert said == ["one", "two", "two"]


def test_a_function_sees_the_request() -> None:
    """A plan that is a function is given the request's number and the request."""

    def plan(number: int, request: Request) -> Answer:
        return says(f"{number} {request.body['messages'][0]['content']}")

    with fault_upstream(plan) as service:
        with ask(service, text="a") as wire:
            assert text_of(events(wire.read_response())) == "0 a"
        with ask(service, text="b") as wire:
            assert text_of(events(wire.read_response())) == "1 b"


def test_a_plan_that_fails_is_raised() -> None:
    """What the plan's function raises ends the connection and is raised at the end."""

    def plan(number: int, request: Request) -> Answer:
        raise LookupError("no such answer")

    with pytest.raises(LookupError, match="no such answer"), fault_upstream(plan) as service, ask(service) as wire:
        assert wire.read_to_end() == b""


def test_plans_that_cannot_be_are_refused() -> None:
    """A plan without an answer, a fault in a phase where it means nothing and a mixed closed port are ValueErrors."""
    refused = faulty("refuse", "connect")
    with pytest.raises(ValueError, match="no answer"), fault_upstream([]):
        pass
    with pytest.raises(ValueError, match="no other answers"), fault_upstream([HELLO, refused]):
        pass
    with pytest.raises(ValueError, match="no role_only in the phase mid"):
        faulty("role_only", "mid")
    with pytest.raises(ValueError, match="not negative"):
        faulty("stall", "mid", after=-1)
    with pytest.raises(ValueError, match="one fragment"):
        says(calls=[Called("look", fragments=0)])
    with (
        pytest.raises(ValueError, match="stands alone"),
        fault_upstream(lambda *_: refused) as service,
        ask(service) as wire,
    ):
        assert wire.read_to_end() == b""


def test_every_fault_is_described() -> None:
    """Each fault has a sentence and at least one phase, each phase has its words and at least one fault."""
    assert {fault for fault, _ in POSSIBLE} == set(DESCRIPTIONS)
    assert {phase for _, phase in POSSIBLE} == set(PHASES)
    assert len(set(POSSIBLE)) == len(POSSIBLE)
    assert all(sentence.endswith(".") for sentence in DESCRIPTIONS.values())


def test_other_paths_take_no_answer() -> None:
    """A request for anything but a chat gets 404 in OpenAI's shape, and the plan stays where it is."""
    with fault_upstream([says("one"), says("two")]) as service, Wire(service.base_url) as wire:
        wire.ask(None, method="GET", path="/v1/models")
        assert wire.read_response().startswith(b"HTTP/1.1 404 Not Found\r\n")
        wire.ask(chat_body())
        assert text_of(events(wire.read_response())) == "one"


# --- before the answer --------------------------------------------------------------------------------------------


def address_of(service: FaultUpstream) -> tuple[str, int]:
    """Give host and port of a service."""
    url = urlsplit(service.base_url)
    return str(url.hostname), url.port or 0


def test_a_closed_port_refuses() -> None:
    """Nobody listens where the service would be."""
    with fault_upstream(faulty("refuse", "connect")) as service, pytest.raises(ConnectionRefusedError):
        socket.create_connection(address_of(service))


def test_a_full_queue_lets_nobody_connect() -> None:
    """A connection to a service that never accepts is not even made."""
    with fault_upstream(faulty("stall", "connect")) as service:
        with pytest.raises(TimeoutError):
            socket.create_connection(address_of(service), timeout=0.1)
        assert service.connections == 0


@pytest.mark.parametrize("by_reset", [True, False])
def test_a_connection_ends_as_soon_as_it_is_made(by_reset: bool) -> None:
    """RST or FIN comes before anything is asked, and the next connection gets the next answer."""
    first = faulty("reset" if by_reset else "half_close", "connect")
    with fault_upstream([first, HELLO]) as service:
        with Wire(service.base_url) as wire:
            assert read_all(wire) == (b"", by_reset)
        with ask(service) as wire:
            assert text_of(events(wire.read_response())) == TEXT
        assert (len(service.requests), service.disconnects) == (1, [])


def test_a_kept_connection_ends_at_the_next_request() -> None:
    """An answer that fails while connecting ends a kept connection once the request is there."""
    with fault_upstream([HELLO, faulty("reset", "connect")]) as service, ask(service) as wire:
        wire.read_response()
        wire.ask(chat_body())
        assert read_all(wire) == (b"", True)


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("status_401", 401, b"application/json"),
        ("status_429", 429, b"application/json"),
        ("status_500", 500, b"application/json"),
        ("status_502", 502, b"text/html; charset=utf-8"),
        ("html", 200, b"text/html; charset=utf-8"),
        ("wrong_json", 200, b"application/json"),
    ],
)
def test_another_response_in_place_of_the_stream(fault: Fault, status: int, kind: bytes) -> None:
    """The status, the type and the body are those of the fault, and the connection serves again."""
    with fault_upstream([faulty(fault, "before_headers", retry_after=7), HELLO]) as service, ask(service) as wire:
        head, _, body = wire.read_response().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"content-type: " + kind in head
        assert (b"retry-after: 7" in head) == (fault == "status_429")
        if kind != b"application/json":
            assert body.startswith(b"<!DOCTYPE html>")
        elif status == 200:
            with pytest.raises(json.JSONDecodeError):
                json.loads(body)
        else:
            assert json.loads(body)["error"]["message"]
        wire.ask(chat_body())
        assert text_of(events(wire.read_response())) == TEXT


@pytest.mark.parametrize(("fault", "code"), [("status_429", 429), ("status_500", 500), ("status_502", 502)])
def test_the_client_reads_a_status(fault: Fault, code: int) -> None:
    """EndpointClient finds the status that the service answers with."""

    async def refused(base_url: str) -> EndpointError:
        async with EndpointClient(base_url, None) as client:
            with pytest.raises(EndpointError) as raised:
                async with client.post_stream(chat_body()):
                    pass
        return raised.value

    with fault_upstream(faulty(fault, "before_headers")) as service:
        assert asyncio.run(refused(service.base_url)).http_status == code


# --- the service itself --------------------------------------------------------------------------------------------


def open_descriptors() -> int:
    """Count the open descriptors of this process."""
    return len(os.listdir("/dev/fd"))


def test_nothing_is_left_behind() -> None:
    """With clients in every kind of trouble the service ends, and leaves no thread and no descriptor."""
    with fault_upstream(HELLO):
        pass
    threads, descriptors = threading.active_count(), open_descriptors()
    for fault, phase in POSSIBLE:
        with fault_upstream(faulty(fault, phase)) as service:
            if phase == "connect" and fault in ("refuse", "stall"):
                continue
            wire = Wire(service.base_url)
            if phase != "connect":
                wire.ask(chat_body())
                service.wait_for_requests()
        assert service.live == 0
        wire.close()
    assert (threading.active_count(), open_descriptors()) == (threads, descriptors)


def test_a_client_that_does_not_read_does_not_hold_the_end_up() -> None:
    """An endless answer to a client that never reads stops at full buffers, and ends with the service."""
    flood = with_fault(says("x"), "endless", "mid", beat=0.0)
    with fault_upstream(flood) as service, Wire(service.base_url, receive_buffer=4096) as wire:
        wire.ask(chat_body())
        wire.read_until(b"and on, ")
    assert service.live == 0


@pytest.fixture(scope="module")
def any_fault() -> Iterator[tuple[FaultUpstream, list[Answer]]]:
    """Give a service that answers with what stands in a list."""
    answers = [HELLO]
    with fault_upstream(lambda *_: answers[0]) as service:
        yield service, answers


@st.composite
def faulty_answers(draw: st.DrawFn) -> Answer:
    """Give any answer with any fault that comes after the connection is made."""
    fault, phase = draw(st.sampled_from([row for row in POSSIBLE if row[1] != "connect"]))
    calls = [Called("look", '{"a":1}', fragments=draw(st.integers(1, 9)))] if draw(st.booleans()) else []
    answer = says(*draw(st.lists(st.text(max_size=5), max_size=4)), calls=calls)
    return with_fault(answer, fault, phase, after=draw(st.integers(0, 6)), seconds=0.001, beat=0.0)


def is_whole(raw: bytes) -> bool:
    """Tell whether a response is there to its end, or is one with a length, of which nothing hangs."""
    return b"content-length: " in raw or raw.endswith(b"0\r\n\r\n")


@settings(max_examples=60)
@given(answer=faulty_answers(), read=st.integers(0, 3000), by_reset=st.booleans())
def test_no_answer_and_no_client_wedges_the_service(
    any_fault: tuple[FaultUpstream, list[Answer]], answer: Answer, read: int, by_reset: bool
) -> None:
    """After any fault, and a client that left at any byte in any way, the next answer is whole and nobody is left."""
    service, answers = any_fault
    answers[0] = answer
    asked = len(service.requests)
    wire = ask(service)
    service.wait_for_requests(asked + 1)
    if answer.fault not in SILENT:
        while len(wire.received) < read and not is_whole(wire.received) and wire.more():
            pass
    if by_reset:
        wire.reset()
    wire.close()
    answers[0] = HELLO
    with ask(service) as next_one:
        assert text_of(events(next_one.read_response())) == TEXT
    service.wait_for_live(0)
