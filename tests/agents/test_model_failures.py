"""A model service that fails, and a caller who leaves: the line answers honestly and lets go at once."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import live_server, scripted_upstream
from offhook.testing.upstream import HOLD
from tests.agents.test_model import chunk, line
from tests.oracle import check_http, check_stream
from tests.raw import Wire, chat_body, error_of, request, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from offhook.testing.upstream import Step
    from tests.oracle import HttpReply


def answer(*steps: Step, **script: Any) -> HttpReply:
    """Give the answer of a line whose service does this."""
    with line(*steps, **script) as (server, _):
        return request(server.base_url, chat_body())


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


# --- before the first word ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "status", "code", "retry", "words"),
    [
        (400, 502, "upstream_refused", "false", "400"),
        (401, 502, "upstream_refused", "false", "key"),
        (404, 502, "upstream_refused", "false", "model"),
        (429, 429, "upstream_busy", "true", "429"),
        (500, 502, "upstream_broken", "true", "500"),
        (503, 502, "upstream_broken", "true", "503"),
    ],
)
@pytest.mark.parametrize("body", [ERROR, b"<html><title>Oops</title></html>\xff"])
def test_an_error_status_of_the_service_is_an_error_of_the_line(
    service: int, status: int, code: str, retry: str, words: str, body: bytes
) -> None:
    """The caller's status says whose fault it was, the header whether to try again, the message what to check."""
    reply = answer(body, status=service)
    error = error_of(reply)
    assert (reply.status, error["code"]) == (status, code)
    assert reply.header("x-should-retry") == retry
    assert words in error["message"]
    # Clients that come again at once would make it worse: a busy service without a word about it is given a second.
    assert reply.header("retry-after") == ("1" if status == 429 else None)


@pytest.mark.parametrize("value", ["7", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_the_services_retry_after_is_passed_on(value: str) -> None:
    """Seconds and dates go on as they came."""
    reply = answer(ERROR, status=429, headers=[f"Retry-After: {value}"])
    assert (reply.status, reply.header("retry-after")) == (429, value)


def test_a_service_that_refuses_the_connection_is_a_502() -> None:
    """Nobody listens there, and the answer says that it may be tried again."""
    with scripted_upstream("gone") as upstream:
        address = upstream.base_url
    with live_server(upstream=address) as server:
        reply = request(server.base_url, chat_body())
    assert (reply.status, error_of(reply)["code"]) == (502, "upstream_unreachable")
    assert reply.header("x-should-retry") == "true"


def test_a_service_that_answers_with_a_page_is_a_502() -> None:
    """A 200 that is no event stream, such as the page of a proxy, is not spoken."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<p>log in here</p>"
    with bytes_server(page) as address, live_server(upstream=address) as server:
        reply = request(server.base_url, chat_body())
    assert (reply.status, error_of(reply)["code"]) == (502, "upstream_broken")
    assert b"log in here" not in reply.body


def test_a_service_that_closes_without_an_answer_is_a_502() -> None:
    """A connection that ends before any header is an unreachable service."""
    with bytes_server(b"") as address, live_server(upstream=address) as server:
        reply = request(server.base_url, chat_body())
    assert (reply.status, error_of(reply)["code"]) == (502, "upstream_unreachable")


def test_a_service_that_speaks_no_http_is_a_502() -> None:
    """What is not HTTP is a broken service."""
    with bytes_server(b"220 smtp ready\r\n") as address, live_server(upstream=address) as server:
        reply = request(server.base_url, chat_body())
    assert (reply.status, error_of(reply)["code"]) == (502, "upstream_broken")


@pytest.mark.parametrize(
    "step",
    [EVENT, b"event: error\n" + EVENT, b"data: {\n\n", b"data: []\n\n", b'data: {"choices":[{"error":"x"}]}\n\n'],
)
def test_an_error_event_before_the_first_word_is_a_502(step: bytes) -> None:
    """Nothing was said, so the failure is a status; the service's own words are not passed on."""
    reply = answer(step)
    assert (reply.status, error_of(reply)["code"]) == (502, "upstream_broken")
    assert b"the service says no" not in reply.body


def test_a_stream_that_ends_before_its_first_word_is_a_502() -> None:
    """A body that ends without a finish is no empty reply."""
    assert answer(b": nothing\n\n", whole=False).status == 502


# --- after the first word -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [EVENT, b"data: {\n\n"])
@pytest.mark.parametrize("together", [True, False])
def test_an_error_event_after_the_first_word_is_an_error_event(step: bytes, together: bool) -> None:
    """What was said before it is said, also when it came in the same bytes, and then the error with its blank line."""
    words = chunk({"content": "Well, "})
    steps: list[Step] = [words + step] if together else [words, step]
    with line(*steps) as (server, _):
        said = stream(server.base_url, chat_body(), error_expected=True)
    assert said.text == "Well, "
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
    assert (reply.status, error_of(reply)["code"]) == (502, "upstream_broken")


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
