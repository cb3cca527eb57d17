"""A client that does not read pauses the agent: memory does not grow with what it does not take."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import live_server
from tests.oracle import check_http, check_stream
from tests.raw import Wire, chat_body, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from offhook.events import Turn

PIECE = "x" * 50_000
PIECES = 300
# What the kernel and the transport hold (4 MB here), and the 64 pieces that a thread may be ahead; all is 15 MB.
HELD = 220


class Speaker:
    """Says fifteen megabytes, and knows how far it is."""

    def __init__(self) -> None:
        self.given = 0
        self.late = threading.Event()

    def _next(self) -> str:
        self.given += 1
        if self.given > HELD:
            self.late.set()
        return PIECE

    async def stream(self, turn: Turn) -> AsyncIterator[str]:
        if turn.text == "hello":
            yield "Hello."
            return
        for _ in range(PIECES):
            yield self._next()

    def plain(self, turn: Turn) -> Iterator[str]:
        if turn.text == "hello":
            yield "Hello."
            return
        for _ in range(PIECES):
            yield self._next()


@pytest.mark.parametrize("form", ["stream", "plain"])
def test_a_client_that_does_not_read_pauses_the_agent(form: str) -> None:
    """The agent gets no further than the buffers hold, others are served, and then everything comes in order."""
    speaker = Speaker()
    function: Callable[[Turn], Any] = getattr(speaker, form)
    with live_server(function) as server, Wire(server.base_url, receive_buffer=16_384) as wire:
        wire.ask(chat_body("much"))
        wire.read_until(b"xxx")
        # Each answer is many steps of the loop in which an agent that was not paused would go on.
        for _ in range(100):
            assert stream(server.base_url, chat_body("hello")).text == "Hello."
        assert not speaker.late.is_set()
        assert speaker.given < HELD
        assert len(server.wait_for_turns(100)) == 100
        assert server.live == 1
        text = check_stream(check_http(wire.read_response()).body, usage_asked=False).text
        assert len(text) == PIECES * len(PIECE)
        assert server.wait_for_turns(101)[-1].reason == "stop"


@pytest.mark.parametrize("form", ["stream", "plain"])
def test_a_client_that_does_not_read_and_leaves_stops_the_agent(form: str) -> None:
    """An agent that stands paused hears of the disconnect."""
    speaker = Speaker()
    function: Callable[[Turn], Any] = getattr(speaker, form)
    with live_server(function) as server:
        with Wire(server.base_url, receive_buffer=16_384) as wire:
            wire.ask(chat_body("much"))
            wire.read_until(b"xxx")
            wire.reset()
        assert server.wait_for_turns(1)[0].reason == "cancelled"
        assert speaker.given < HELD
