"""A server that starts says so or says why not, and one that is told to stop ends in good order."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from offhook.clock import SystemClock
from offhook.config import Settings
from offhook.errors import SetupError
from offhook.server.build import build_line
from offhook.server.run import ServerThread, base_url_of, bind
from tests.oracle import check_http, check_stream
from tests.raw import AUTH, KEY, Wire, chat_body, error_of, get, request
from tests.serving import Serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from offhook.events import Turn
    from tests.oracle import HttpReply

# --- addresses ----------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_one_line_that_says_what_to_do() -> None:
    """The error names the port and the way out."""
    with bind("127.0.0.1", 0) as first, pytest.raises(SetupError) as raised:
        bind("127.0.0.1", first.getsockname()[1])
    message = str(raised.value)
    assert str(first) != "" and "Address already in use" in message and "--port" in message
    assert "\n" not in message


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "a" * 70, "two..dots", "192.0.2.1", "a\0b"])
def test_an_address_that_cannot_be_listened_on_is_one_line(host: str) -> None:
    """Whatever stands in --host, what is wrong with it is one SetupError."""
    with pytest.raises(SetupError) as raised:
        bind(host, 0)
    assert "\n" not in str(raised.value)
    assert "None" not in str(raised.value)


def test_a_free_port_can_be_asked_for() -> None:
    """Port 0 takes a free one, which the base URL then names."""
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert base_url_of(listener) == f"http://127.0.0.1:{port}/v1"


def test_the_base_url_of_all_addresses_is_one_that_can_be_called() -> None:
    """A server on 0.0.0.0 is reached from this machine over its loopback."""
    with bind("0.0.0.0", 0) as listener:
        assert base_url_of(listener).startswith("http://127.0.0.1:")


def test_an_ipv6_address_stands_in_brackets() -> None:
    """The base URL of an IPv6 listener is a URL."""
    try:
        listener = bind("::1", 0)
    except SetupError:
        pytest.skip("optional: this machine has no IPv6 loopback")
    with listener:
        assert base_url_of(listener).startswith("http://[::1]:")


def test_a_restarted_server_gets_its_port_back_at_once() -> None:
    """Connections that linger from before do not keep the address."""
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            listener.setblocking(True)
            listener.accept()[0].close()
    bind("127.0.0.1", port).close()


# --- the end ------------------------------------------------------------------------------------------------------


def start(function: Callable[[Turn], object], stop_timeout: float) -> ServerThread:
    line = build_line(Settings(store="none"), keys=(KEY,), clock=SystemClock(), function=function)
    server = ServerThread(line, bind("127.0.0.1", 0), stop_timeout=stop_timeout)
    server.start()
    return server


def refused(base_url: str) -> HttpReply:
    """Give the answer of a server that has heard that it is to stop."""
    # Not by chat requests: each of them is a line in a log that nobody reads meanwhile.
    while get(base_url, "/readyz").status == 200:
        pass
    return request(base_url, chat_body("hello"))


class Waiter:
    """An agent that says one word, and the second when it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    async def reply(self, turn: Turn) -> AsyncIterator[str]:
        yield "One."
        if turn.text == "wait":
            await asyncio.to_thread(self.go.wait, 10)
            yield "Two."


def test_a_server_that_stops_lets_live_replies_end_and_takes_no_new_ones() -> None:
    """Within its time a live reply ends whole; a new request meanwhile gets a 503 that says why."""
    waiter = Waiter()
    server = start(waiter.reply, stop_timeout=20)
    with Wire(server.base_url) as wire:
        wire.ask(chat_body("wait"))
        wire.read_until(b"One")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        reply = refused(server.base_url)
        waiter.go.set()
        said = check_stream(check_http(wire.read_response()).body, usage_asked=False)
    stopping.join()
    assert said.text == "One.Two."
    assert reply.status == 503
    assert error_of(reply)["code"] == "stopping"
    assert reply.header("x-should-retry") == "true"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_reply_that_does_not_end_in_time_ends_with_an_honest_error(streamed: bool) -> None:
    """When the time is over the client is told that the server goes down, and nothing looks like success."""
    ended = []

    async def reply(turn: Turn) -> AsyncIterator[str]:
        try:
            yield "One."
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(turn.cancelled.is_set())

    server = start(reply, stop_timeout=0.01)
    with Wire(server.base_url) as wire, Wire(server.base_url) as other:
        wire.ask(chat_body("wait", stream=streamed))
        if streamed:
            wire.read_until(b"One")
        # An answer on a later connection says that the turn has begun.
        other.ask(None, method="GET", path="/healthz")
        other.read_response()
        server.stop()
        answer = check_http(wire.read_response())
    if streamed:
        said = check_stream(answer.body, usage_asked=False, error_expected=True)
        assert said.error is not None and said.error["code"] == "stopping"
    else:
        assert (answer.status, error_of(answer)["code"]) == (503, "stopping")
    assert ended == [True]


def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    """A kept connection without a request is closed."""
    server = start(Waiter().reply, stop_timeout=20)
    with Wire(server.base_url) as wire:
        wire.ask(None, method="GET", path="/healthz")
        assert check_http(wire.read_response()).status == 200
        server.stop()
        assert wire.read_to_end() == b""


SCRIPT = """
import sys
from offhook.clock import SystemClock
from offhook.config import Settings
from offhook.observe.logs import set_up
from offhook.server.build import build_line
from offhook.server.run import base_url_of, bind, run
from offhook.turns import engine

engine._LONGEST_CLEAN_UP = 0.1
set_up()
line = build_line(Settings(agent=sys.argv[1], store="none"), keys=("test-key",), clock=SystemClock())
listener = bind("127.0.0.1", 0)
run(line, listener, stop_timeout=float(sys.argv[2]), on_started=lambda: print(base_url_of(listener), flush=True))
"""

AGENTS = """
import asyncio, time

async def waits(turn):
    yield "One."
    if turn.text == "wait":
        await asyncio.Event().wait()

async def ignores(turn):
    yield "One."
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

def hangs(turn):
    yield "One."
    time.sleep(1000)

async def floods(turn):
    while True:
        yield "x" * 10000
"""


def serve(folder: Path, agent: str, stop_timeout: float) -> Serving:
    (folder / "agents.py").write_text(AGENTS)
    return Serving(["-c", SCRIPT, f"agents.py:{agent}", str(stop_timeout)], cwd=folder)


def test_a_second_signal_hurries(tmp_path: Path) -> None:
    """Told once the server waits for the live reply, told twice it ends it with an honest error, and exits with 0."""
    with serve(tmp_path, "waits", 60) as server, Wire(server.base_url) as wire:
        wire.ask(chat_body("wait"))
        wire.read_until(b"One")
        server.signal(signal.SIGTERM)
        assert refused(server.base_url).status == 503
        server.signal(signal.SIGINT)
        said = check_stream(check_http(wire.read_response()).body, usage_asked=False, error_expected=True)
        assert said.error is not None and said.error["code"] == "stopping"
        assert server.end() == 0
    assert "Traceback" not in server.err


@pytest.mark.parametrize("agent", ["ignores", "hangs"])
def test_an_agent_that_does_not_stop_cannot_keep_the_process(tmp_path: Path, agent: str) -> None:
    """A coroutine that swallows its cancellation, and a thread that hangs, are left behind."""
    with serve(tmp_path, agent, 0) as server, Wire(server.base_url) as wire:
        wire.ask(chat_body("wait"))
        wire.read_until(b"One")
        assert server.stop() == 0
    assert ("did not stop" in server.err) == (agent == "ignores")
    assert "Traceback" not in server.err


def test_a_client_that_does_not_read_cannot_keep_the_process(tmp_path: Path) -> None:
    """A reply that stands still because nobody takes it is cut off when the server ends."""
    with serve(tmp_path, "floods", 0) as server, Wire(server.base_url, receive_buffer=4096) as wire:
        wire.send(b"")
        wire.ask(chat_body("wait"), AUTH)
        wire.read_until(b"xxx")
        assert server.stop() == 0
    assert "Traceback" not in server.err
