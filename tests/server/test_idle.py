"""A connection on which nothing is asked is closed after a while, however it came to be idle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from offhook.server import run
from offhook.testing import LiveServer, live_server
from tests.oracle import check_http
from tests.server.bad_input import GOOD, LARGE, MAX_BODY, Client, chunk, chunked, with_length

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    monkeypatch.setattr(run, "_KEEP_ALIVE", 0.1)
    with live_server(lambda turn: "Hello.", max_body=MAX_BODY) as server:
        yield server


@pytest.mark.parametrize(
    ("data", "answers"),
    [
        pytest.param(b"", 0, id="at first"),
        pytest.param(GOOD, 1, id="after an answer"),
        pytest.param(GOOD + GOOD, 2, id="after two pipelined answers"),
        pytest.param(GOOD + b"\r\n", 1, id="after a line end too many"),
        pytest.param(with_length(LARGE), 1, id="after a body that was thrown away"),
        pytest.param(chunked(*[chunk(LARGE)] * 3), 1, id="after a chunked body that was thrown away"),
    ],
)
def test_an_idle_connection_is_closed(server: LiveServer, data: bytes, answers: int) -> None:
    """The server closes it without a word."""
    with Client(server.base_url) as wire:
        wire.send(data)
        for _ in range(answers):
            assert check_http(wire.read_response()).status in (200, 413)
        assert wire.read_to_end() == b""
