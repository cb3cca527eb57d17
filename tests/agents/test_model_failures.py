"""A model service that fails, and a caller who leaves: the line answers honestly and lets go at once."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import live_server, scripted_upstream
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import says, with_fault
from offhook.testing.upstream import HOLD
from tests.agents.test_model import chunk, line
from tests.oracle import check_http, check_stream
from tests.raw import Wire, chat_body, error_of, request, stream
from tests.upstream.paced import service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from offhook.testing.upstream import Step
    from tests.oracle import HttpReply


def answer(*steps: Step, **script: Any) -> HttpReply:
    """Give the answer of a line whose service does this."""
    with line(*steps, **script) as (server, _):
        return request(server.base_url, chat_body())


def failed(reply: HttpReply) -> dict[str, Any]:
    """Give the error of a turn that failed before its first word, as every client is to be told."""
    assert (reply.status, reply.header("x-should-retry"), reply.header("retry-after")) == (503, "false", None)
    return error_of(reply)


@contextmanager
def bytes_server(answer: bytes) -> Iterator[str]:
    """Give the base URL of a service that answers every connection with these bytes and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        stopped = threading.Event()

        def run() -> None:
            while not stopped.is_set():
                connection, _ = listener.accept()
                with connection:
                    if not stopped.is_set():
                        connection.recv(65536)
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)
                        connection.recv(65536)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{address[1]}/v1"
        finally:
            stopped.set()
            socket.create_connection(address).close()
            thread.join()


ERROR = b'{"error":{"message":"the service says no","type":"t","code":"c"}}'
EVENT = b"data: " + ERROR + b"\n\n"
WELL = chunk({"content": "Well, "})


# --- before the first word ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "code", "asked", "words"),
    [
        (302, "upstream_refused", 1, "302"),
        (400, "upstream_unfit", 1, "400"),
        (401, "upstream_refused", 1, "key"),
        (404, "upstream_refused", 1, "model"),
        (413, "upstream_unfit", 1, "413"),
        (422, "upstream_unfit", 1, "422"),
        (408, "upstream_broken", 3, "408"),
        (429, "upstream_busy", 3, "429"),
        (500, "upstream_broken", 3, "500"),
        (503, "upstream_broken", 3, "503"),
    ],
)
@pytest.mark.parametrize("body", [ERROR, b"<html><title>Oops</title></html>\xff"])
def test_an_error_status_of_the_service_is_an_error_of_the_line(
    service: int, code: str, asked: int, words: str, body: bytes
) -> None:
    """The code says what went wrong, the message what to check, and what another try may mend is asked three times."""
    with line(body, status=service) as (server, upstream):
        reply = request(server.base_url, chat_body())
        assert len(upstream.requests) == asked
    error = failed(reply)
    assert error["code"] == code
    assert words in error["message"]
    assert "the service says no" not in str(error)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("value", ["7", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_service_that_asks_to_wait_is_not_asked_again_at_once(status: int, value: str) -> None:
    """Its Retry-After, seconds or a date, is respected and not passed on: a caller who hears nothing cannot wait."""
    with line(ERROR, status=status, headers=[f"Retry-After: {value}"]) as (server, upstream):
        assert failed(request(server.base_url, chat_body()))["code"] == "upstream_busy"
        assert len(upstream.requests) == 1


def test_a_service_that_refuses_the_connection_is_a_503() -> None:
    """Nobody listens there, and the client is told not to try by itself."""
    with scripted_upstream("gone") as upstream:
        address = upstream.base_url
    with live_server(upstream=address) as server:
        assert failed(request(server.base_url, chat_body()))["code"] == "upstream_unreachable"


def test_a_service_that_answers_with_a_page_is_a_503() -> None:
    """A 200 that is no event stream, such as the page of a proxy, is not spoken."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<p>log in here</p>"
    with bytes_server(page) as address, live_server(upstream=address) as server:
        reply = request(server.base_url, chat_body())
    assert failed(reply)["code"] == "upstream_broken"
    assert b"log in here" not in reply.body


def test_a_service_that_closes_without_an_answer_is_a_503() -> None:
    """A connection that ends before any header is an unreachable service."""
    with bytes_server(b"") as address, live_server(upstream=address) as server:
        assert failed(request(server.base_url, chat_body()))["code"] == "upstream_unreachable"


def test_a_service_that_speaks_no_http_is_a_503() -> None:
    """What is not HTTP is a broken service."""
    with bytes_server(b"220 smtp ready\r\n") as address, live_server(upstream=address) as server:
        assert failed(request(server.base_url, chat_body()))["code"] == "upstream_broken"


@pytest.mark.parametrize("words", [b"", WELL])
@pytest.mark.parametrize(
    "step",
    [EVENT, b"event: error\n" + EVENT, b"data: {\n\n", b"data: []\n\n", b'data: {"choices":[{"error":"x"}]}\n\n'],
)
def test_an_error_event_before_anything_was_written_is_a_503(step: bytes, words: bytes) -> None:
    """Nothing was said, nor is what came in the same bytes as the error; the service's own words are not passed on."""
    with line(words + step) as (server, upstream):
        reply = request(server.base_url, chat_body())
        assert len(upstream.requests) == 3
    assert failed(reply)["code"] == "upstream_broken"
    assert b"the service says no" not in reply.body


def test_an_error_event_is_mended_by_asking_again() -> None:
    """One that fails before its first word is asked once more, and the caller hears the second answer alone."""
    plan = [with_fault(says("Hello."), "error_event", "after_role"), says("Hello.")]
    with fault_upstream(plan) as upstream, live_server(upstream=upstream.base_url) as server:
        assert stream(server.base_url, chat_body()).text == "Hello."
        [details] = server.wait_for_turns(1)
    assert [(one.outcome, one.code) for one in details.attempts] == [("failed", "upstream_broken"), ("answered", None)]


@pytest.mark.parametrize(
    "steps",
    [
        (chunk({"role": "assistant", "content": ""}),),
        (" ", "\n"),
        ("...",),
        (chunk({"reasoning_content": "Hm."}),),
        ("<think>", "Hm.", "</think>", " "),
        ("<think>", "Hm."),
        (chunk({"tool_calls": [{"index": 0, "id": "x", "function": {"arguments": "{}"}}]}),),
    ],
    ids=["a role", "white space", "marks", "reasoning", "a thought", "an open thought", "a call of nothing"],
)
def test_an_answer_without_a_word_is_a_503(steps: tuple[Step, ...]) -> None:
    """An answer that ends well and has nothing to hear in it is no answer."""
    assert failed(answer(*steps))["code"] == "upstream_broken"


@pytest.mark.parametrize("end", [b": nothing\n\n", b"data: [DONE]\n\n"])
def test_a_stream_that_ends_before_its_first_word_is_a_503(end: bytes) -> None:
    """A body that ends without a finish is no empty reply."""
    assert failed(answer(end, whole=False))["code"] == "upstream_broken"


# --- after the first word -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [EVENT, b"data: {\n\n"])
@pytest.mark.parametrize("together", [True, False])
def test_an_error_event_after_the_first_word_is_an_error_event(step: bytes, together: bool) -> None:
    """What was said before it is said, also when it came in the same bytes, and then the error with its blank line."""
    with service() as upstream, live_server(upstream=upstream.base_url) as server, Wire(server.base_url) as wire:
        wire.ask(chat_body())
        asked = upstream.asked()
        asked.write(WELL)
        wire.read_until(b"Well, ")
        asked.write(chunk({"content": "you "}) + step if together else step)
        said = check_stream(check_http(wire.read_response()).body, usage_asked=False, error_expected=True)
    assert said.text == ("Well, you " if together else "Well, ")
    assert said.error is not None and said.error["code"] == "upstream_broken"
    assert "the service says no" not in str(said.error)


def test_a_stream_that_is_cut_in_the_middle_is_an_error_event() -> None:
    """A service that ends its body without a finish has broken off, and the caller is told so."""
    with line("Well, ", whole=False) as (server, _):
        said = stream(server.base_url, chat_body(), error_expected=True)
    assert said.text == "Well, "
    assert said.error is not None and said.error["code"] == "upstream_broken"


def test_a_connection_that_is_lost_in_the_middle_is_an_error_event() -> None:
    """A reset in the middle of the stream is told in the same way."""
    with line("Well, ", HOLD) as (server, upstream), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        wire.read_until(b"Well, ")
        upstream.abort()
        said = check_stream(check_http(wire.read_response()).body, usage_asked=False, error_expected=True)
        assert said.error is not None and said.error["type"] == "upstream_error"
        assert server.wait_for_turns(1)[0].reason == "failed"


def test_a_failure_of_the_service_is_a_status_without_stream() -> None:
    """One completion is whole or it is an error, also when half of it was there."""
    with line("Well, ", whole=False) as (server, _):
        reply = request(server.base_url, chat_body(stream=False))
    assert failed(reply)["code"] == "upstream_broken"


# --- a caller who leaves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        ([HOLD], None),
        ([b": headers\n\n", HOLD], None),
        ([chunk({"role": "assistant", "content": ""}), HOLD], None),
        ([chunk({"reasoning_content": "thinking"}), HOLD], None),
        (["Well, ", HOLD], b"Well, "),
    ],
    ids=["before headers", "before events", "before the first token", "while it thinks", "mid-stream"],
)
def test_a_disconnect_reaches_the_service_in_every_phase(
    leave: Callable[[Wire], None], steps: list[Step], seen: bytes | None
) -> None:
    """Whenever the caller leaves, the service's connection is closed and the turn is cancelled."""
    with line(*steps) as (server, upstream):
        wire = Wire(server.base_url)
        wire.ask(chat_body())
        upstream.wait_for_requests(1)
        if seen is not None:
            wire.read_until(seen)
        leave(wire)
        upstream.wait_for_disconnects(1)
        [details] = server.wait_for_turns(1)
        assert details.reason == "cancelled"
        assert (details.first_useful is None) == (seen is None)
        assert server.live == 0


def test_a_disconnect_between_two_turns_of_one_service_leaves_the_other() -> None:
    """Each turn has its own connection to the service."""
    with line("Well, ", HOLD) as (server, upstream):
        one, two = Wire(server.base_url), Wire(server.base_url)
        for wire in (one, two):
            wire.ask(chat_body())
            wire.read_until(b"Well, ")
        one.close()
        upstream.wait_for_disconnects(1)
        assert server.live == 1
        two.close()
        upstream.wait_for_disconnects(2)
