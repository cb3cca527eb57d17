"""Keys and admission over a real connection: who waits, who has gone meanwhile, who is refused, and what is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import pytest

from offhook import Usage
from offhook.clock import SystemClock
from offhook.server.keys import KeyFile, Limits
from offhook.testing import JumpClock, LiveServer, live_server
from tests.oracle import check_http
from tests.raw import AUTH, Wire, chat_body, error_of, get, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from offhook.events import Turn

DIALECT = {"plain": {"call_id": "header:X-Call", "turn_id": "header:X-Turn"}}


def key(folder: Path, **limits: int) -> dict[str, str]:
    """Give the headers of a key that is made with these limits."""
    return {"Authorization": f"Bearer {KeyFile(folder).create(SystemClock(), 'shop', limits=Limits(**limits)).key}"}


class Scene:
    """A server with one place, whose agent holds it until it is let go."""

    def __init__(self, server: LiveServer, started: list[str], go: Event) -> None:
        self.server = server
        self.started = started
        self.go = go
        self.admission = server._line.admission

    def until(self, *, live: int, waiting: int) -> None:
        """Return when so many turns are live and so many calls wait."""

        async def look() -> None:
            while (self.admission.live, self.admission.waiting) != (live, waiting):  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(0)

        self.server._thread.ask(look())

    @contextmanager
    def asked(self, text: str, *, call: str | None = None) -> Iterator[Wire]:
        """Give a connection on which somebody has said something."""
        with Wire(self.server.base_url) as wire:
            wire.ask(chat_body(text), {**AUTH, "X-Call": call} if call else AUTH)
            yield wire


@contextmanager
def scene(*, wait: float = 60.0, queue: int = 1) -> Iterator[Scene]:
    started: list[str] = []
    go = Event()

    async def agent(turn: Turn) -> str:
        started.append(turn.text)
        await asyncio.to_thread(go.wait)
        return f"You said {turn.text}"

    with live_server(
        agent, turn_deadline=0.0, limits_turns=1, limits_queue=queue, limits_wait=wait, dialect=DIALECT
    ) as server:
        try:
            yield Scene(server, started, go)
        finally:
            go.set()


def test_a_call_that_waited_is_answered_when_a_place_is_free() -> None:
    """It waits without an answer, and has its whole reply after the first one has ended."""
    with scene() as here, here.asked("one") as one:
        here.until(live=1, waiting=0)
        with here.asked("two") as two:
            here.until(live=1, waiting=1)
            assert here.started == ["one"]
            here.go.set()
            for wire, text in ((one, "one"), (two, "two")):
                assert f"You said {text}".encode() in wire.read_response()
        here.until(live=0, waiting=0)


def test_a_client_that_leaves_the_queue_never_starts_the_agent() -> None:
    """Its disconnect is felt while it waits, its place in the queue is free, and nothing is kept of it."""
    with scene() as here, here.asked("one"):
        here.until(live=1, waiting=0)
        with here.asked("two"):
            here.until(live=1, waiting=1)
        here.until(live=1, waiting=0)
        with here.asked("three") as three:
            here.until(live=1, waiting=1)
            here.go.set()
            assert b"You said three" in three.read_response()
        assert here.started == ["one", "three"]


def test_a_client_that_leaves_frees_its_place() -> None:
    """Whoever waits is served when the one before him goes away in the middle."""
    with scene() as here:
        with here.asked("one"):
            here.until(live=1, waiting=0)
            two = here.asked("two")
            wire = two.__enter__()
            here.until(live=1, waiting=1)
        here.until(live=1, waiting=0)
        here.go.set()
        assert b"You said two" in wire.read_response()
        two.__exit__(None, None, None)


@pytest.mark.parametrize("queue", [0, 1])
def test_a_call_without_a_place_is_refused_and_the_server_is_not_ready(queue: int) -> None:
    """At once or after its wait it is 503 with when to come again, and /readyz is 503 too, while calls go on."""
    with scene(wait=0.01, queue=queue) as here, here.asked("one", call="c1") as one:
        here.until(live=1, waiting=0)
        assert get(here.server.base_url, "/readyz", {}).status == 200
        reply = request(here.server.base_url, chat_body("two"))
        assert (reply.status, error_of(reply)["code"]) == (503, "overloaded")
        assert int(reply.header("retry-after") or 0) >= 1
        ready = get(here.server.base_url, "/readyz", {})
        assert (ready.status, json.loads(ready.body)["error"]["code"]) == (503, "overloaded")
        with here.asked("more", call="c1") as more:
            # The older turn of the call is superseded by this one, which had its place all the same.
            check_http(one.read_response())
            here.go.set()
            assert b"You said more" in more.read_response()


def test_a_key_over_its_limit_is_told_how_long(tmp_path: Path) -> None:
    """A key that was made is good for its turns of a minute; then it is 429, and another key is not touched by it."""
    headers = key(tmp_path, turns_per_minute=1)
    with live_server(lambda turn: "Hello.", data_dir=str(tmp_path)) as server:
        assert request(server.base_url, chat_body(), headers).status == 200
        reply = request(server.base_url, chat_body(), headers)
        assert (reply.status, error_of(reply)["code"]) == (429, "rate_limit_exceeded")
        assert 50 <= int(reply.header("retry-after") or 0) <= 61
        assert request(server.base_url, chat_body()).status == 200
        assert get(server.base_url, "/readyz", {}).status == 200


def test_the_tokens_that_an_agent_tells_of_are_charged_to_its_key(tmp_path: Path) -> None:
    """A turn that took more than the key has left is answered to its end, and the next one is 429."""
    headers = key(tmp_path, tokens_per_minute=30)

    async def agent(turn: Turn) -> AsyncIterator[str | Usage]:
        yield "Hello."
        yield Usage(prompt_tokens=9, completion_tokens=6)

    with live_server(agent, data_dir=str(tmp_path)) as server:
        for count in (1, 2):
            assert request(server.base_url, chat_body(), headers).status == 200
            server.wait_for_turns(count)
        reply = request(server.base_url, chat_body(), headers)
        assert (reply.status, error_of(reply)["code"]) == (429, "rate_limit_exceeded")
        assert "30 tokens a minute" in error_of(reply)["message"]
        assert request(server.base_url, chat_body()).status == 200


def test_a_retry_is_no_turn_of_its_key(tmp_path: Path) -> None:
    """One that joins the live reply and one that is answered from the record use up neither a turn nor a place."""
    headers, go = key(tmp_path, turns_per_minute=4), Event()
    first = {**headers, "X-Call": "c1", "X-Turn": "1"}

    async def agent(turn: Turn) -> str:
        await asyncio.to_thread(go.wait)
        return "Hello"

    with live_server(agent, data_dir=str(tmp_path), dialect=DIALECT) as server:
        here, engine = Scene(server, [], go), server._line.engine

        async def joined(count: int) -> None:
            while sum(len(live.retries) for live in engine._live) < count:  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(0)

        with Wire(server.base_url) as wire:
            try:
                wire.ask(chat_body(), first)
                here.until(live=1, waiting=0)
                for count in (1, 2):
                    with Wire(server.base_url) as again:
                        again.ask(chat_body(), first)
                        server._thread.ask(joined(count))
                here.until(live=1, waiting=0)
            finally:
                go.set()
            assert b"Hello" in wire.read_response()
        here.until(live=0, waiting=0)
        for _ in range(3):
            assert b"Hello" in request(server.base_url, chat_body(), first).body
        assert len(server.turns) == 1
        for text in ("two", "three", "four"):
            assert request(server.base_url, chat_body(text), headers).status == 200
        assert request(server.base_url, chat_body("five"), headers).status == 429


def test_the_refusals_of_a_key_that_never_stops_are_held_back(tmp_path: Path) -> None:
    """Ten go out at once, the eleventh when its time has come, and another key's is not held back with them."""
    headers, clock = key(tmp_path, turns_per_minute=1), JumpClock()
    with live_server(lambda turn: "Hello.", data_dir=str(tmp_path), clock=clock) as server:
        assert request(server.base_url, chat_body(), headers).status == 200
        server.wait_for_turns()
        for _ in range(10):
            assert request(server.base_url, chat_body(), headers).status == 429
        with pytest.raises(TimeoutError):
            clock.wait_for_timers(timeout=0)
        with Wire(server.base_url) as wire:
            wire.ask(chat_body(), headers)
            clock.wait_for_timers()
            assert request(server.base_url, chat_body()).status == 200
            assert not wire.received
            clock.advance(0.01)
            assert check_http(wire.read_response()).status == 429


def test_a_line_that_is_closed_refuses_those_who_wait_at_once() -> None:
    """Also where it is no command that ends it, and while an agent takes its time to end."""
    started: list[str] = []
    go = Event()

    async def agent(turn: Turn) -> str:
        started.append(turn.text)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(go.wait)
        return "never"

    with live_server(agent, turn_deadline=0.0, limits_turns=1, limits_wait=60.0) as server:
        here = Scene(server, started, go)

        async def begin() -> asyncio.Task[None]:
            return asyncio.create_task(server._line.close())

        async def over(closing: asyncio.Task[None]) -> None:
            await closing

        with here.asked("one"), here.asked("two") as two:
            try:
                here.until(live=1, waiting=1)
                closing = server._thread.ask(begin())
                reply = check_http(two.read_response())
                assert (reply.status, error_of(reply)["code"]) == (503, "stopping")
                assert here.admission.live == 1, "the first one has not ended yet"
            finally:
                go.set()
            server._thread.ask(over(closing))
        assert len(started) == 1
