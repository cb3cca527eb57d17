"""Keys and admission over a real connection: who waits, who has gone meanwhile, who is refused, and what is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import pytest

from offhook.clock import SystemClock
from offhook.server.keys import KeyFile, Limits
from offhook.testing import LiveServer, live_server
from tests.oracle import check_http
from tests.raw import AUTH, Wire, chat_body, error_of, get, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from offhook.events import Turn

DIALECT = {"plain": {"call_id": "header:X-Call"}}


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
        return f"You said {turn.text}."

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
                assert f"You said {text}.".encode() in wire.read_response()
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
            assert b"You said three." in three.read_response()
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
        assert b"You said two." in wire.read_response()
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
            assert b"You said more." in more.read_response()


def test_a_key_over_its_limit_is_told_how_long(tmp_path: Path) -> None:
    """A key that was made is good for its turns of a minute; then it is 429, and another key is not touched by it."""
    made = KeyFile(tmp_path).create(SystemClock(), "shop", limits=Limits(turns_per_minute=1))
    with live_server(lambda turn: "Hello.", data_dir=str(tmp_path)) as server:
        headers = {"Authorization": f"Bearer {made.key}"}
        assert request(server.base_url, chat_body(), headers).status == 200
        reply = request(server.base_url, chat_body(), headers)
        assert (reply.status, error_of(reply)["code"]) == (429, "rate_limit_exceeded")
        assert 50 <= int(reply.header("retry-after") or 0) <= 61
        assert request(server.base_url, chat_body()).status == 200
        assert get(server.base_url, "/readyz", {}).status == 200
