"""The HTTP edge takes any bytes: no answer is a 5xx, no traceback is logged, and a good request works afterwards."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from offhook.testing import LiveServer, live_server, scripted_upstream
from tests.fuzz.conftest import EXAMPLES
from tests.fuzz.mutations import any_bytes, in_pieces, odd_requests
from tests.oracle import check_completion, check_http
from tests.raw import chat_body, request
from tests.server.bad_input import CASES, GOOD, Client, with_length

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
LAST = b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
WHOLES = (GOOD, GOOD + GOOD, LAST, *(case.pieces[0] for case in CASES.values() if sum(map(len, case.pieces)) < 2000))
fuzzed = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])


class Errors(logging.Handler):
    """Keeps what is logged as an error or with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.texts.append(self.format(record))


@pytest.fixture(scope="module")
def errors() -> Iterator[list[str]]:
    handler = Errors()
    logging.getLogger().addHandler(handler)
    yield handler.texts
    logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="module")
def server(errors: list[str]) -> Iterator[LiveServer]:
    """Serve with short times, so that what is unfinished ends soon, in front of a model service."""
    with (
        scripted_upstream("Hello.") as upstream,
        live_server(upstream=upstream.base_url, head_timeout=0.03, body_timeout=0.03, max_body=10_000) as server,
    ):
        yield server


def ask(server: LiveServer, pieces: list[bytes]) -> list[int]:
    """Give the statuses of everything that comes back until the connection ends."""
    with Client(server.base_url) as wire:
        # An answer may come, and the connection end, before everything is said.
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                wire.send(piece)
        with contextlib.suppress(OSError):
            wire.read_rest(patience=0.3)
        return [int(status) for status in STATUS.findall(wire.received)]


def assert_well(server: LiveServer, statuses: list[int], errors: list[str]) -> None:
    assert [status for status in statuses if status >= 500] == []
    assert errors == []
    good = request(server.base_url, chat_body(stream=False))
    assert check_completion(good.body).text == "Hello."


@fuzzed
@given(pieces=in_pieces(any_bytes(*WHOLES)))
def test_the_connection_takes_any_bytes(
    pieces: list[bytes], server: LiveServer, errors: list[str], inputs: Counter[str]
) -> None:
    """Random bytes and damaged requests, in pieces, do no harm; the connection ends by itself."""
    inputs["the HTTP edge as bytes"] += 1
    assert_well(server, ask(server, [*pieces, LAST]), errors)


@fuzzed
@given(body=odd_requests())
def test_the_chat_door_takes_any_json(body: bytes, server: LiveServer, errors: list[str], inputs: Counter[str]) -> None:
    """A request with any value in any field is answered, or refused with a 4xx."""
    inputs["the HTTP edge as JSON"] += 1
    statuses = ask(server, [with_length(body), LAST])
    assert len(statuses) == 2
    assert_well(server, statuses, errors)


@fuzzed
@given(name=st.sampled_from(["X-Request-Id", "X-Dialect", "Api-Key", "Content-Type", "Accept"]), value=st.binary())
def test_a_header_takes_any_value(
    name: str, value: bytes, server: LiveServer, errors: list[str], inputs: Counter[str]
) -> None:
    """Whatever stands in a header that is read, the answer is whole and holds no header of the client's making."""
    inputs["the HTTP edge as headers"] += 1
    with Client(server.base_url) as wire:
        wire.send(with_length(b"{}", name.encode() + b": " + value))
        reply = check_http(wire.read_response())
    allowed = {"date", "content-type", "content-length", "connection", "x-request-id", "www-authenticate"}
    assert {header for header, _ in reply.headers} <= allowed
    assert_well(server, [reply.status], errors)
