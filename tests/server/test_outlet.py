"""The application also works on a server that does not say how full its transport is."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
import uvicorn

from offhook.clock import SystemClock
from offhook.config import Settings
from offhook.server.build import build_line
from offhook.server.run import base_url_of, bind
from offhook.testing import TurnRecorder
from tests.oracle import check_completion
from tests.raw import KEY, Wire, chat_body, request, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from offhook.events import Turn


async def agent(turn: Turn) -> AsyncIterator[str]:
    if turn.text == "raise":
        raise ValueError("no")
    if turn.text == "much":
        for _ in range(1000):
            yield "x" * 1000
        return
    yield "Hello."
    if turn.text == "hold":
        await asyncio.get_running_loop().create_future()
    yield "Bye."


class Foreign:
    """A running server that is not ours."""

    def __init__(self, base_url: str, recorder: TurnRecorder) -> None:
        self.base_url = base_url
        self.recorder = recorder


@pytest.fixture(scope="module", params=["h11", "httptools"])
def foreign(request: pytest.FixtureRequest) -> Iterator[Foreign]:
    recorder = TurnRecorder()
    line = build_line(Settings(store="memory"), keys=(KEY,), clock=SystemClock(), hooks=[recorder], function=agent)
    server = uvicorn.Server(
        uvicorn.Config(line.app, http=request.param, loop="asyncio", lifespan="on", log_config=None)
    )
    listener = bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Foreign(base_url_of(listener), recorder)
    finally:
        server.should_exit = True
        thread.join()


def test_a_stream_is_whole(foreign: Foreign) -> None:
    """Every chunk comes, and the end with it."""
    assert stream(foreign.base_url, chat_body()).text == "Hello.Bye."
    assert stream(foreign.base_url, chat_body("much")).text == "x" * 1_000_000


def test_a_completion_is_whole(foreign: Foreign) -> None:
    """One object comes at the end, although nothing was sent before it."""
    assert check_completion(request(foreign.base_url, chat_body(stream=False)).body).text == "Hello.Bye."
    assert len(check_completion(request(foreign.base_url, chat_body("much", stream=False)).body).text) == 1_000_000


@pytest.mark.parametrize("streamed", [True, False])
def test_an_error_is_sent(foreign: Foreign, streamed: bool) -> None:
    """An agent that raises gets its status."""
    assert request(foreign.base_url, chat_body("raise", stream=streamed)).status == 503


def test_a_disconnect_is_seen(foreign: Foreign) -> None:
    """A client that leaves mid-stream ends its turn."""
    with Wire(foreign.base_url) as wire:
        wire.ask(chat_body("hold"))
        wire.read_until(b"Hello")
    ended = foreign.recorder.turns
    while "cancelled" not in {details.reason for details in ended}:
        ended = foreign.recorder.wait(len(ended) + 1)
