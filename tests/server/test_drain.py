"""``offhook serve`` that is told to stop: live replies end, nobody new begins, all is recorded, the exit code is 0."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import scripted_upstream
from offhook.testing.upstream import HOLD
from offhook.turns.phrases import APOLOGIES
from offhook.wire.chat import CallDelta
from tests.callers import heard, plain, turn
from tests.oracle import check_http
from tests.raw import Wire, error_of, get, request
from tests.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENTS = """
import asyncio
from offhook import tool

def gate():
    # Opens when the test writes into it.
    with open("gate") as file:
        file.read()

async def reply(turn):
    if turn.text != "hush":
        yield "One."
    if turn.text != "hello":
        await asyncio.to_thread(gate)
        yield "Two."

async def for_ever(turn):
    if turn.text != "hush":
        yield "One,"
    await asyncio.Event().wait()

@tool(side_effect=True, timeout=60)
async def book(day: str) -> str:
    '''Book a table.

    Args:
        day: The day.
    '''
    with open("begun", "w"):
        pass
    await asyncio.to_thread(gate)
    return f"booked for {day}"
"""


class Stage:
    """A process that serves, in a folder of its own."""

    def __init__(self, server: Serving, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.base_url = server.base_url

    @contextmanager
    def asked(self, body: dict[str, Any], until: bytes = b"") -> Iterator[Wire]:
        """Give a connection on which something was asked, once ``until`` has come."""
        with Wire(self.base_url) as wire:
            wire.ask(body)
            if until:
                wire.read_until(until)
            yield wire

    def tell(self) -> None:
        """Tell it to stop, and return when it has heard."""
        self.server.signal(signal.SIGTERM)
        while get(self.base_url, "/readyz", {}).status == 200:
            pass

    def open_gate(self) -> None:
        """Let the agent or tool that waits go on."""
        (self.folder / "gate").write_text("go")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Give what the database holds once the process has ended."""
        with closing(sqlite3.connect(self.folder / "data" / "offhook.db")) as database:
            return database.execute(query).fetchall()


@contextmanager
def serving(folder: Path, *arguments: str, stop_timeout: float = 60) -> Iterator[Stage]:
    (folder / "agents.py").write_text(AGENTS)
    os.mkfifo(folder / "gate")
    common = ["--api-key", "test-key", "--port", "0", "--data-dir", "data", "--stop-timeout", str(stop_timeout)]
    with Serving(["-m", "offhook", "serve", *common, *arguments], cwd=folder) as server:
        yield Stage(server, folder)
    assert "Traceback" not in server.err


def test_live_replies_end_and_nobody_new_begins(tmp_path: Path) -> None:
    """While it drains it is not ready and takes nobody, what is live ends whole, and the record is in the database."""
    with serving(tmp_path, "agents.py:reply") as here, here.asked(turn("c1", 1, "wait"), b"One") as wire:
        here.tell()
        ready = get(here.base_url, "/readyz", {})
        assert (ready.status, json.loads(ready.body)["error"]["code"]) == (503, "stopping")
        assert get(here.base_url, "/healthz", {}).status == 200
        for body in (plain("hello"), turn("c2", 1, "hello"), turn("c1", 2, "hello")):
            refused = request(here.base_url, body)
            assert (refused.status, error_of(refused)["code"]) == (503, "stopping")
            assert refused.header("x-should-retry") == "true"
        here.open_gate()
        said = heard(wire)
        assert (said.text, said.finish_reason) == ("One.Two.", "stop")
        assert here.server.end() == 0
        assert here.rows("select call_id, reason, sent from turns") == [("c1", "stop", "One.Two.")]


def test_what_does_not_end_in_time_ends_with_an_honest_error(tmp_path: Path) -> None:
    """A client that reads is told that the server goes down: by a status where nothing was said yet, or by an event."""
    with (
        serving(tmp_path, "agents.py:for_ever", stop_timeout=0.01) as here,
        here.asked(plain("hello"), b"One") as begun,
        here.asked(plain("hush")) as silent,
    ):
        get(here.base_url, "/healthz", {})
        here.server.signal(signal.SIGTERM)
        said = heard(begun, error=True)
        assert said.error is not None and said.error["code"] == "stopping"
        refused = check_http(silent.read_response())
        assert (refused.status, error_of(refused)["code"]) == (503, "stopping")
        assert here.server.end() == 0
        reasons = here.rows("select reason, error from turns")
        assert reasons == [("cancelled", "stopping")] * 2


@pytest.mark.parametrize("text", ["hello", "hush"])
def test_on_a_telephone_it_ends_in_words(tmp_path: Path, text: str) -> None:
    """Somebody who listens hears an apology, and the stream ends as a stream does; the record says how it was."""
    closing = "[closing.phrases]\nen = ['I have to go.']\n"
    (tmp_path / "offhook.toml").write_text(closing)
    with (
        serving(tmp_path, "agents.py:for_ever", "--language", "en", stop_timeout=0.01) as here,
        here.asked(turn("c1", 1, text), b"One" if text == "hello" else b"") as wire,
    ):
        get(here.base_url, "/healthz", {})
        here.server.signal(signal.SIGTERM)
        said = heard(wire)
        assert said.finish_reason == "stop"
        if text == "hello":
            assert said.text == "One, I have to go."
        else:
            assert said.text in APOLOGIES["en"]
        assert here.server.end() == 0
        assert here.rows("select reason, error from turns") == [("cancelled", "stopping")]


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """Told again it ends what is live at once, and still in good order."""
    with serving(tmp_path, "agents.py:for_ever") as here, here.asked(turn("c1", 1, "hello"), b"One") as wire:
        here.tell()
        here.server.signal(signal.SIGTERM)
        heard(wire, error=True)
        assert here.server.end() == 0
        assert here.rows("select reason, sent from turns") == [("cancelled", "One,")]


def test_who_waits_for_a_place_is_refused_at_once(tmp_path: Path) -> None:
    """A new call in the queue is not left to wait until the live ones have ended."""
    (tmp_path / "offhook.toml").write_text("[limits]\nturns = 1\nqueue = 5\nwait = 60\n")
    with (
        serving(tmp_path, "agents.py:reply") as here,
        here.asked(plain("wait"), b"One") as live,
        here.asked(plain("hello")) as waiting,
    ):
        get(here.base_url, "/healthz", {})
        here.tell()
        refused = check_http(waiting.read_response())
        assert (refused.status, error_of(refused)["code"]) == (503, "stopping")
        here.open_gate()
        assert heard(live).text == "One.Two."
        assert here.server.end() == 0


def test_a_model_service_that_hangs_does_not_keep_it(tmp_path: Path) -> None:
    """The attempt is cancelled with its turn, and the service sees the connection go."""
    with (
        scripted_upstream(HOLD) as upstream,
        serving(tmp_path, "--upstream", upstream.base_url, stop_timeout=0.01) as here,
        here.asked(plain("hello")) as wire,
    ):
        upstream.wait_for_requests(1)
        here.server.signal(signal.SIGTERM)
        refused = check_http(wire.read_response())
        assert (refused.status, error_of(refused)["code"]) == (503, "stopping")
        upstream.wait_for_disconnects(1)
        assert here.server.end() == 0


def test_a_side_effect_that_has_begun_runs_to_its_end(tmp_path: Path) -> None:
    """Its turn is over, and it is not: the process waits for it, and what came of it is in the database."""
    call = CallDelta(name="book", arguments='{"day":"Monday"}', id="call_1")
    with (
        scripted_upstream(call) as upstream,
        serving(tmp_path, "--upstream", upstream.base_url, "--tools", "agents.py:book", stop_timeout=0.01) as here,
        here.asked(plain("book a table")) as wire,
    ):
        while not (tmp_path / "begun").exists():
            get(here.base_url, "/healthz", {})
        here.server.signal(signal.SIGTERM)
        assert check_http(wire.read_response()).status == 503
        here.open_gate()
        assert here.server.end() == 0
        assert here.rows("select tool, outcome, result from intents") == [("book", "ok", "booked for Monday")]
