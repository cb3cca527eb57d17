"""A client that goes away ends its turn at once, in whichever phase and manner it goes."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from offhook.testing import live_server
from tests.oracle import check_http, check_stream
from tests.raw import PATIENCE, Wire, chat_body, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from offhook.events import Turn

LEAVE: list[Callable[[Wire], None]] = [Wire.close, Wire.reset]


class Holder:
    """An agent that says so many words as it is asked for and then holds; it keeps what becomes of its turns."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.signals: list[bool] = []

    async def reply(self, turn: Turn) -> AsyncIterator[str]:
        self.began.release()
        try:
            for number in range(int(turn.text)):
                yield f"word {number} "
            await asyncio.get_running_loop().create_future()
        finally:
            self.signals.append(turn.cancelled.is_set())
            self.ended.release()


def wait(semaphore: threading.Semaphore) -> None:
    assert semaphore.acquire(timeout=PATIENCE)


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("streamed", [True, False])
def test_leaving_before_the_first_word_stops_the_agent(leave: Callable[[Wire], None], streamed: bool) -> None:
    """The commonest barge-in: no byte was sent yet; the agent's finally runs and the hook says cancelled."""
    holder = Holder()
    with live_server(holder.reply) as server:
        wire = Wire(server.base_url)
        wire.ask(chat_body("0", stream=streamed))
        wait(holder.began)
        leave(wire)
        wait(holder.ended)
        [details] = server.wait_for_turns(1)
        assert (details.reason, details.first_useful) == ("cancelled", None)
        assert details.cancelled is not None and details.ended >= details.cancelled >= details.started
        assert holder.signals == [True]
        assert server.live == 0


@pytest.mark.parametrize("leave", LEAVE)
def test_leaving_in_the_middle_of_the_words_stops_the_agent(leave: Callable[[Wire], None]) -> None:
    """Mid-stream: what had been said is the beginning of a legal stream, and the turn ends as cancelled."""
    holder = Holder()
    with live_server(holder.reply) as server:
        wire = Wire(server.base_url)
        wire.ask(chat_body("3"))
        raw = wire.read_until(b"word 2 ")
        leave(wire)
        wait(holder.ended)
        [details] = server.wait_for_turns(1)
        assert details.reason == "cancelled"
        assert details.first_useful is not None
        assert server.live == 0
    _, _, body = raw.partition(b"\r\n\r\n")
    events = b"".join(piece for piece in body.split(b"\r\n") if piece.startswith(b"data: "))
    said = check_stream(events, model="abc", usage_asked=False, cut=True)
    assert said.text.startswith("word 0 word 1 ")


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("sent", [0.0, 0.5])
def test_leaving_before_the_whole_body_came_starts_nothing(leave: Callable[[Wire], None], sent: float) -> None:
    """Before the request is whole there is no turn to end, and the server is not shaken."""
    holder = Holder()
    body = b'{"model":"abc","messages":[{"role":"user","content":"0"}],"stream":true}'
    with live_server(holder.reply) as server:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\napi-key: {server.api_key}\r\n"
        wire = Wire(server.base_url)
        wire.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: int(len(body) * sent)])
        leave(wire)
        with Wire(server.base_url) as other:
            other.ask(chat_body("0"))
            wait(holder.began)
        [details] = server.wait_for_turns(1)
        assert details.reason == "cancelled"
    assert holder.began.acquire(blocking=False) is False


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("size", [1_000, 200_000])
def test_leaving_is_seen_behind_a_waiting_request(leave: Callable[[Wire], None], size: int) -> None:
    """A request that waits on the connection, however large its body, does not hide that the client has gone."""
    holder = Holder()
    with live_server(holder.reply) as server:
        wire = Wire(server.base_url)
        wire.ask(chat_body("0"))
        wait(holder.began)
        wire.ask(chat_body("x" * size))
        leave(wire)
        wait(holder.ended)
        [details] = server.wait_for_turns(1)
        assert details.reason == "cancelled"


class Heard(logging.Handler):
    """Tells when a certain line is logged."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words
        self.heard = threading.Event()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self.words in record.getMessage():
            self.heard.set()


def test_more_than_may_wait_is_refused_after_the_reply(caplog: pytest.LogCaptureFixture) -> None:
    """A body of two megabytes behind a live reply gets its 413 once that has ended."""
    caplog.set_level(logging.INFO, "offhook.server")
    go = threading.Event()

    async def reply(turn: Turn) -> AsyncIterator[str]:
        yield "One."
        await asyncio.to_thread(go.wait, PATIENCE)
        yield " Two."

    with live_server(reply) as server, Wire(server.base_url) as wire:
        wire.ask(chat_body("1"))
        wire.read_until(b"One")
        refused = Heard("a request was refused: 413")
        logging.getLogger("offhook.server").addHandler(refused)
        wire.ask(chat_body("x" * 2_000_000))
        assert refused.heard.wait(PATIENCE)
        logging.getLogger("offhook.server").removeHandler(refused)
        go.set()
        assert check_http(wire.read_response()).status == 200
        assert check_http(wire.read_response()).status == 413


def test_leaving_after_the_end_is_no_cancellation() -> None:
    """A client that has read [DONE] and goes has had a whole reply."""

    async def reply(turn: Turn) -> AsyncIterator[str]:
        yield "Hello."

    with live_server(reply) as server:
        wire = Wire(server.base_url)
        wire.ask(chat_body())
        said = check_stream(check_http(wire.read_response()).body, usage_asked=False)
        wire.reset()
        assert said.text == "Hello."
        [details] = server.wait_for_turns(1)
        assert (details.reason, details.cancelled) == ("stop", None)


def test_leaving_stops_a_plain_function_at_its_next_yield() -> None:
    """An agent in a thread is stopped too, and its finally runs."""
    ended = threading.Event()
    cancelled = threading.Event()
    resume = threading.Event()

    def reply(turn: Turn) -> Iterator[str]:
        try:
            yield "word"
            assert resume.wait(PATIENCE)
            if turn.cancelled.is_set():
                cancelled.set()
            while True:
                yield "more"
        finally:
            ended.set()

    with live_server(reply) as server:
        with Wire(server.base_url) as wire:
            wire.ask(chat_body())
            wire.read_until(b"word")
        assert server.wait_for_turns(1)[0].reason == "cancelled"
        resume.set()
        assert ended.wait(PATIENCE)
        assert cancelled.is_set()


def test_leaving_stops_an_agent_that_never_awaits() -> None:
    """An agent that yields without end and without an await does not hold the server."""

    async def reply(turn: Turn) -> AsyncIterator[str]:
        if turn.text == "hello":
            yield "Hello."
            return
        while True:
            yield "x"

    with live_server(reply) as server:
        with Wire(server.base_url) as wire:
            wire.ask(chat_body("endless"))
            wire.read_until(b'"x"')
            assert stream(server.base_url, chat_body("hello")).text == "Hello."
        assert {details.reason for details in server.wait_for_turns(2)} == {"stop", "cancelled"}
        assert server.live == 0


def test_two_hundred_disconnects_leave_nothing() -> None:
    """After 200 clients have left, in all phases, no turn and no connection is left."""
    holder = Holder()
    with live_server(holder.reply) as server:
        for number in range(200):
            wire = Wire(server.base_url)
            words = number % 3
            wire.ask(chat_body(str(words), stream=number % 7 != 0))
            if words == 2 and number % 7 != 0:
                wire.read_until(b"word 1 ")
            elif number % 2:
                wait(holder.began)
            LEAVE[number % 2](wire)
        with Wire(server.base_url) as last:
            # Connections are taken in their order: once this one is answered all others have been seen.
            while server.live or server.connections != 1:
                last.ask(None, method="GET", path="/healthz")
                last.read_response()
        assert {details.reason for details in server.turns} == {"cancelled"}
        assert len(server.turns) >= 50
    assert holder.signals == [True] * len(holder.signals)
