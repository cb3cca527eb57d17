"""Model servers in environments of their own: who asks them through the line, and what the kernel says of the line."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from offhook.observe.hooks import TurnDetails
    from offhook.testing import LiveServer
    from tests.peers.program import Program

REPO = Path(__file__).resolve().parent.parent.parent
# How long a server of this size takes to import what it is made of, on a machine that has just been started.
STARTING = 90.0
PATIENCE = 20.0
# What "at once" is on a machine that is busy with a model: the bench has the exact figures.
AT_ONCE = 0.5
SOCKETS = Path("/proc/self/fd")


class Peer(NamedTuple):
    """A model server that runs: its program, where it is, and its key."""

    program: Program
    port: int
    api_key: str = ""

    @property
    def base_url(self) -> str:
        """Where its models are asked."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def mark(self) -> int:
        """How much it has written so far."""
        return len(self.program.output)

    def said(self, since: int) -> str:
        """Give what it has written after a mark."""
        return self.program.output[since:].decode("utf-8", "replace")

    def wait_for(self, words: str, since: int, times: int = 1) -> None:
        """Return when it has written these words so many times after a mark."""
        when(lambda: self.said(since).count(words) >= times, f"it writes {words!r}")


def environment(name: str, *, watched: bool = True) -> Path | str:
    """Give the programs of an environment that scripts/peers.sh made, or the reason why there are none.

    ``watched`` tells that its test looks at what they do from outside.
    """
    folder = REPO / f".venv-peers-{name}"
    if watched and not SOCKETS.exists():
        return "optional: what a model server does is read from /proc, which is not here"
    if not (folder / ".offhook-peer").exists():
        return f"optional: {name} is not installed; make test-peers says why"
    return folder / "bin"


def version(programs: Path, package: str) -> str:
    """Give the version of a package in an environment."""
    found = next(programs.parent.glob(f"lib/python*/site-packages/{package}-*.dist-info"))
    return found.name.removeprefix(f"{package}-").removesuffix(".dist-info")


def wait_for_health(peer: Peer, path: str) -> None:
    """Return when a server answers 200 on this path."""
    until = time.monotonic() + STARTING
    while time.monotonic() < until:
        client = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=5)
        try:
            client.request("GET", path)
            if client.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            client.close()
    pytest.fail(f"no answer within {STARTING} s; it wrote {peer.program.output[-2000:]!r}")


# --- the kernel ---------------------------------------------------------------------------------------------------


@contextmanager
def ours(port: int) -> Iterator[list[socket.socket]]:
    """Borrow the sockets of this process, in which our server runs too, that are connected to a port."""
    borrowed = []
    for name in os.listdir(SOCKETS):
        try:
            borrowed.append(socket.socket(fileno=int(name)))
        except OSError:
            continue  # It is not a socket, or was closed in the meantime.
    try:
        yield [one for one in borrowed if peer_of(one) == ("127.0.0.1", port)]
    finally:
        for one in borrowed:
            one.detach()


def peer_of(one: socket.socket) -> object:
    """Give the address of the other end, None where there is none."""
    try:
        return one.getpeername()
    except OSError:
        return None


def our_ends(port: int) -> int:
    """Count our open connections to a port."""
    with ours(port) as found:
        return len(found)


def delivered(port: int) -> int:
    """Give how many bytes of ours the kernel behind a port has taken, whether or not its program has read them."""
    with ours(port) as found:
        # tcpi_bytes_acked of struct tcp_info in linux/tcp.h.
        infos = [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128) for one in found]
        return sum(struct.unpack_from("Q", info, 120)[0] for info in infos)


def when(true: Callable[[], bool], what: str, within: float = PATIENCE) -> float:
    """Give the time (monotonic seconds) at which something came true; fails when it does not."""
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until, f"not within {within} s: {what}"
        time.sleep(0.001)
    return time.monotonic()


# --- the caller ---------------------------------------------------------------------------------------------------


class Caller:
    """A request for a stream that is on its way, and the socket to leave it by."""

    def __init__(self, server: LiveServer | Peer, words: str, fields: dict[str, Any]) -> None:
        messages = [{"role": "user", "content": words}]
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {server.api_key}"}
        port = urlsplit(server.base_url).port
        self._client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        body = json.dumps({"model": "m", "stream": True, "messages": messages, **fields})
        self._client.request("POST", "/v1/chat/completions", body, headers)
        self._socket = self._client.sock
        self._response: http.client.HTTPResponse | None = None

    def read(self) -> bytes:
        """Give what one read brings, empty at the end; the first one waits for the headers too."""
        if self._response is None:
            self._response = self._client.getresponse()
            assert self._response.status == 200, self._response.read()
        return self._response.read1()

    def read_until(self, words: str) -> bytes:
        """Read until these words have come."""
        got = b""
        while words.encode() not in got:
            data = self.read()
            assert data, f"the body ended after {got!r}"
            got += data
        return got

    def read_all(self) -> bytes:
        """Read to the end."""
        return b"".join(iter(self.read, b""))

    def refused(self) -> tuple[int, bytes]:
        """Give the status and body of a refusal."""
        response = self._client.getresponse()
        return response.status, response.read()

    def leave(self) -> float:
        """Go away, and give the time of it (monotonic seconds)."""
        now = time.monotonic()
        self._socket.shutdown(socket.SHUT_RDWR)
        return now

    def close(self) -> None:
        """Give the socket back."""
        self._client.close()


@contextmanager
def caller(server: LiveServer | Peer, words: str = "hello", **fields: Any) -> Iterator[Caller]:
    """Ask our server, or a model server itself, for a stream."""
    asking = Caller(server, words, fields)
    try:
        yield asking
    finally:
        asking.close()


class Left(NamedTuple):
    """When a caller left (monotonic seconds), how many seconds later our end was closed, and its turn."""

    at: float
    closed: float
    turn: TurnDetails


def leave(asking: Caller, server: LiveServer, port: int) -> Left:
    """Let a caller leave: our end of the connection to the model server closes at once, and the turn is cancelled."""
    open_ends, turns = our_ends(port), len(server.turns)
    assert open_ends > 0
    gone = asking.leave()
    closed = when(lambda: our_ends(port) < open_ends, "our end of the connection to the model server is closed") - gone
    assert closed < AT_ONCE
    turn = server.wait_for_turns(turns + 1)[-1]
    assert turn.reason == "cancelled"
    return Left(gone, closed, turn)


def milliseconds(seconds: float) -> str:
    """Give a time as people say it."""
    return f"{seconds * 1000:.0f} ms"
