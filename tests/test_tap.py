"""The tap sees what servers send, and can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI

from offhook.testing import live_server
from tests.tap import StreamTap

if TYPE_CHECKING:
    from collections.abc import Iterator

START = {"type": "http.response.start", "headers": [(b"content-type", b"text/event-stream; charset=utf-8")]}


def test_every_stream_of_a_server_is_judged(stream_tap: StreamTap) -> None:
    """A stream that the test itself does not look at is counted and found good."""

    def agent(turn: Any) -> Iterator[str]:
        yield "Hello"

    before = stream_tap.judged
    with live_server(agent) as server, OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        list(client.chat.completions.create(model="m", stream=True, messages=[{"role": "user", "content": "x"}]))
    assert stream_tap.judged == before + 1
    assert stream_tap.wrong == []


@pytest.mark.parametrize(
    "body", [b"", b"data: [DONE]\n\n", b'data: {"error":{}}\n\n', b'data: {"id":"x"}\n\ndata: [DONE]\n\n']
)
def test_a_stream_that_is_wrong_is_found(body: bytes) -> None:
    """What breaks the interface is kept for the test to fail with."""
    tap = StreamTap()
    tap.see(1, START)
    tap.see(1, {"type": "http.response.body", "body": body})
    assert (tap.judged, len(tap.wrong)) == (1, 1)
