"""A client that takes nothing is cut off after its time, one that is only slow is not, and nobody else waits for it."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from offhook.server.flow import FLOW, HOLD
from offhook.server.outlet import Outlet
from offhook.testing import JumpClock, live_server
from tests.oracle import check_http, check_stream
from tests.raw import PATIENCE, Wire, chat_body, get, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from starlette.types import Message

    from offhook.events import Turn
    from offhook.observe.hooks import TurnDetails
    from offhook.testing import LiveServer

PIECE = "x" * 50_000
PIECES = 400
# In seconds; the setting.
SLOW = 30.0
# What may be held in the process for one client: the transport's own, and what one step of the agent wrote.
MOST_HELD = 128 * 1024
ROOM = 16_384
# Far more than a window, and far less than what makes the machine ask for more to send.
A_LITTLE = 200_000

DIALECT = {"plain": {"call_id": "header:X-Call"}}


class Speaker:
    """Says twenty megabytes, or hello, and knows how it ended."""

    def __init__(self) -> None:
        self.given = 0
        self.runs = 0
        self.cancelled = threading.Event()

    async def __call__(self, turn: Turn) -> AsyncIterator[str]:
        if turn.text == "hello":
            yield "Hello."
            return
        if turn.text == "at once":
            yield PIECE * PIECES
            return
        self.runs += 1
        try:
            for _ in range(PIECES):
                self.given += 1
                yield PIECE
        finally:
            if turn.cancelled.is_set():
                self.cancelled.set()


class Stage:
    """A server on a jumping clock, whose connections can be looked into."""

    def __init__(self, server: LiveServer, clock: JumpClock, speaker: Speaker) -> None:
        self.server = server
        self.clock = clock
        self.speaker = speaker

    def seen(self) -> None:
        """Return when the server has seen what came before: each answer is several steps of its loop."""
        for _ in range(5):
            assert get(self.server.base_url, "/healthz", {}).status == 200

    def held(self) -> int:
        """Give the bytes that the process holds for all its clients."""

        async def look() -> int:
            connections = self.server._thread._server.server_state.connections
            return sum(connection.transport.get_write_buffer_size() for connection in connections)

        return self.server._thread.ask(look())

    def room(self, high: int, low: int) -> None:
        """Let the transports of all connections be full with ``high`` bytes, and no more with ``low``."""

        async def give() -> None:
            for connection in self.server._thread._server.server_state.connections:
                connection.transport.set_write_buffer_limits(high=high, low=low)

        self.server._thread.ask(give())

    @contextmanager
    def deaf(
        self, wire: Wire | None = None, *, call: str | None = None, text: str = "much", **body: Any
    ) -> Iterator[Wire]:
        """Give a client that has taken the first words and reads no more, once the server waits for it."""
        with wire or Wire(self.server.base_url, receive_buffer=ROOM) as client:
            client.ask(
                chat_body("much", **body), {"Authorization": "Bearer test-key", **({"X-Call": call} if call else {})}
            )
            if body.get("stream", True):
                client.read_until(b"xxx")
            self.clock.wait_for_timers(1)
            self.seen()
            yield client

    def times_out(self) -> None:
        """Let the time of every deaf client pass; what was on its way to one at the first look was taken, after all."""
        for _ in range(2):
            self.clock.advance(SLOW)
            self.seen()

    def only(self, call: str) -> TurnDetails:
        """Give what the hooks were told of the only turn of a call."""
        count = 1
        while not (found := [turn for turn in self.server.wait_for_turns(count) if turn.call_id == call]):
            count += 1
        [details] = found
        return details

    def no_timers(self) -> None:
        """Assert that nothing waits on the clock."""
        self.seen()
        with pytest.raises(TimeoutError):
            self.clock.wait_for_timers(1, timeout=0.0)


@contextmanager
def stage(**settings: Any) -> Iterator[Stage]:
    clock, speaker = JumpClock(), Speaker()
    quiet = {"turn_deadline": 0.0, "turn_silence": 0.0, "filler": "off"}
    given = {**quiet, "dialect": DIALECT, "limits_slow_reader": SLOW, **settings}
    with live_server(speaker, clock=clock, **given) as server:
        yield Stage(server, clock, speaker)


def is_cut_off(wire: Wire) -> bool:
    """Read what is there, and tell whether the connection was broken off in the middle of the reply."""
    try:
        return len(wire.read_to_end()) < PIECES * len(PIECE)
    except ConnectionResetError:
        return True


# --- it is cut off ------------------------------------------------------------------------------------------------


def test_a_client_that_takes_nothing_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """After its time its connection ends and the agent is cancelled, the record says so, and nothing is left of it."""
    with stage() as here, here.deaf(call="c1") as wire:
        here.clock.advance(SLOW - 1)
        here.seen()
        assert here.server.live == 1
        here.times_out()
        details = here.only("c1")
        assert here.speaker.cancelled.wait(PATIENCE)
        assert (details.reason, here.server.live) == ("cancelled", 0)
        here.seen()
        [record] = here.server.records("c1")
        assert record.reason == "cancelled"
        assert len(PIECE) <= len(record.sent) <= len(record.generated) == here.speaker.given * len(PIECE)
        assert here.held() == 0
        here.no_timers()
        assert is_cut_off(wire)
    [said] = [entry for entry in caplog.records if "took nothing" in entry.getMessage()]
    assert said.levelno == logging.WARNING


def test_what_is_held_for_it_is_bounded() -> None:
    """The process holds no more for it than its transport and one step of the agent, however much there is to say."""
    with stage() as here, here.deaf():
        assert 0 < here.held() <= MOST_HELD
        before = here.speaker.given
        for _ in range(20):
            assert stream(here.server.base_url, chat_body("hello")).text == "Hello."
        assert here.held() <= MOST_HELD
        assert here.speaker.given == before < PIECES


def test_others_are_not_held_up_by_it() -> None:
    """Ten of them stand still, and whoever reads is answered whole."""
    with stage() as here:
        deaf = [here.deaf() for _ in range(10)]
        wires = [one.__enter__() for one in deaf]
        assert here.held() <= 10 * MOST_HELD
        assert len(stream(here.server.base_url, chat_body("much")).text) == PIECES * len(PIECE)
        here.clock.wait_for_timers(len(wires))
        here.times_out()
        assert [turn.reason for turn in here.server.wait_for_turns(11)].count("cancelled") == 10
        here.no_timers()
        for one in deaf:
            one.__exit__(None, None, None)


def test_a_completion_that_nobody_takes_is_cut_off() -> None:
    """What is answered as one piece waits for its client no longer either."""
    with stage(store="none") as here:
        with here.deaf(stream=False) as wire:
            assert here.held() > 0
            here.times_out()
            assert here.held() == 0
            assert is_cut_off(wire)
        here.no_timers()


def test_what_a_client_leaves_when_it_is_done_is_let_go() -> None:
    """A connection that is to end, and whose client never takes the last bytes, ends in bounded time all the same."""
    with stage(store="none", limits_slow_reader=0.1) as here, Wire(here.server.base_url, receive_buffer=ROOM) as wire:
        body = json.dumps(chat_body("much", stream=False)).encode()
        wire.ask(body, {"Authorization": "Bearer test-key", "Connection": "close"})
        while here.speaker.given < PIECES or here.server.live:
            here.seen()
        while here.held():
            here.seen()
        assert is_cut_off(wire)


class Leaving:
    """Both sides of a connection that is full, and whose client goes while somebody waits for room."""

    def __init__(self) -> None:
        self.write_paused = True
        self.gone = False

    async def drain(self) -> None:
        """Return because the client has gone."""
        self.write_paused, self.gone = False, True

    def pending(self) -> int:
        """Give what it has not taken."""
        return 1

    def cut_off(self) -> None:
        """Do nothing, as it has gone by itself."""


async def test_what_waits_for_a_client_that_has_gone_does_not_count_as_sent() -> None:
    """Neither words nor the end that were kept for it are given to the server, nor are they in the figures."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    connection, clock = Leaving(), JumpClock()
    scope = {"type": "http", "extensions": {FLOW: connection, HOLD: connection}}
    outlet = Outlet(scope, send, clock=clock, patience=SLOW)
    outlet.put({"type": "http.response.body", "body": b"words", "more_body": True}, 5)
    outlet.put({"type": "http.response.body", "body": b""}, 5)
    assert outlet.blocked
    await outlet.drain()
    assert (sent, outlet.sent, outlet.over, outlet.blocked) == ([], 0, False, False)
    with pytest.raises(TimeoutError):
        clock.wait_for_timers(1, timeout=0.0)


# --- it is not cut off --------------------------------------------------------------------------------------------


def test_a_slow_client_is_not_cut_off() -> None:
    """Who takes a little, though less than makes room for another word, has as long again each time."""
    with stage() as here, here.deaf(call="c1") as wire:
        came = b""
        given = []
        for _ in range(6):
            came += take(wire, A_LITTLE)
            here.seen()
            here.clock.advance(SLOW)
            here.clock.wait_for_timers(1)
            here.seen()
            given.append(here.speaker.given)
        assert here.server.live == 1
        assert len(set(given)) < len(given), "it took too much for this test"
        wire.received += came
        text = check_stream(check_http(wire.read_response()).body, usage_asked=False).text
        assert text == PIECE * PIECES
        assert here.only("c1").reason == "stop"
        here.no_timers()


def take(wire: Wire, size: int) -> bytes:
    """Read so many bytes, and no more."""
    came = b""
    while len(came) < size:
        came += wire._socket.recv(size - len(came))
    return came


def test_a_client_that_reads_on_in_time_is_not_cut_off() -> None:
    """The time begins anew with each stop."""
    with stage() as here, here.deaf(call="c1") as wire:
        here.clock.advance(SLOW - 1)
        here.seen()
        assert len(check_stream(check_http(wire.read_response()).body, usage_asked=False).text) == PIECES * len(PIECE)
        here.only("c1")
        here.no_timers()


@pytest.mark.parametrize("reset", [True, False])
def test_a_client_that_leaves_meanwhile_is_an_ordinary_disconnect(
    reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Its turn is cancelled at once, nothing waits on for it, and nobody is said to have been cut off."""
    with stage() as here:
        with here.deaf(call="c1") as wire:
            if reset:
                wire.reset()
        assert here.only("c1").reason == "cancelled"
        here.no_timers()
        here.clock.advance(SLOW)
        here.seen()
    assert not [entry for entry in caplog.records if "took nothing" in entry.getMessage()]


# --- with a second reader, and over TLS ---------------------------------------------------------------------------


def test_a_retry_goes_on_when_the_deaf_client_before_it_is_cut_off() -> None:
    """The turn is not cancelled: who asked again has all of it, and the record says that it ended well."""
    with stage() as here, here.deaf(call="c1"), Wire(here.server.base_url) as second:
        second.ask(chat_body("much"), {"Authorization": "Bearer test-key", "X-Call": "c1"})
        given = here.speaker.given
        while second.received.count(b"x") < given * len(PIECE):
            assert second._read()
        assert here.speaker.given == given
        while here.speaker.given == given:
            here.clock.advance(SLOW)
            here.seen()
        said = check_stream(check_http(second.read_response()).body, usage_asked=False)
        assert said.text == PIECE * PIECES
        assert (here.only("c1").reason, here.speaker.runs) == ("stop", 1)
        [record] = here.server.records("c1")
        assert (record.reason, len(record.sent)) == ("stop", PIECES * len(PIECE))
        here.no_timers()


class SecureWire(Wire):
    """A connection over TLS with little room for what is not read."""

    def __init__(self, base_url: str, context: ssl.SSLContext) -> None:
        super().__init__(base_url, receive_buffer=ROOM)
        self._socket = context.wrap_socket(self._socket, server_hostname="127.0.0.1")


@pytest.fixture
def secure(tmp_path: Path) -> tuple[dict[str, str], ssl.SSLContext]:
    """Give the settings of a certificate, and what believes it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
    issued.cert_chain_pems[0].write_to_path(files["tls_cert"])
    issued.private_key_pem.write_to_path(files["tls_key"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return files, context


def test_over_tls_it_is_the_same(secure: tuple[dict[str, str], ssl.SSLContext]) -> None:
    """A client that takes something is left alone, and one that takes nothing is cut off."""
    files, context = secure
    with stage(**files) as here:
        with plain_beside(here, context), here.deaf(SecureWire(here.server.base_url, context), call="c1") as wire:
            assert here.held() <= 2 * MOST_HELD
            take(wire, A_LITTLE)
            here.clock.advance(SLOW)
            here.clock.wait_for_timers(1)
            assert here.server.live == 1
            here.times_out()
            assert here.only("c1").reason == "cancelled"
            assert here.speaker.cancelled.wait(PATIENCE)
        here.clock.advance(SLOW)


@contextmanager
def plain_beside(here: Stage, context: ssl.SSLContext) -> Iterator[None]:
    """Let the stage look at the server over TLS."""

    def seen() -> None:
        for _ in range(5):
            with SecureWire(here.server.base_url, context) as wire:
                wire.ask(None, {}, method="GET", path="/healthz")
                assert check_http(wire.read_response()).status == 200

    here.seen = seen  # type: ignore[method-assign]  # a stage of its own for one test would say no more
    yield
