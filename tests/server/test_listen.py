"""Where the server listens beside an IPv4 address: on every address at once, on a socket file, behind a proxy."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from offhook.clock import SystemClock
from offhook.config import Settings
from offhook.errors import SetupError
from offhook.server.build import build_line
from offhook.server.edge import edge_of
from offhook.server.listen import base_url_of, bind_path, listening
from offhook.server.run import ServerThread, bind
from tests.oracle import check_http, check_stream
from tests.raw import KEY, PATIENCE, Wire, chat_body, get
from tests.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send


class UnixWire(Wire):
    """A connection to a socket file."""

    def __init__(self, path: str) -> None:
        self._prefix = "/v1"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(path)
        self.received = b""


class Seen:
    """Stands in front of an application and keeps who called, and over what."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.callers: list[tuple[object, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.callers.append((scope["client"] and scope["client"][0], scope["scheme"]))
        await self._app(scope, receive, send)


@contextmanager
def serving(listener: socket.socket, settings: Settings) -> Iterator[tuple[str, Seen]]:
    """Serve on a socket, and give the base URL and who called."""
    line = build_line(settings, keys=(KEY,), clock=SystemClock(), function=lambda turn: "Hello.")
    seen = Seen(line.app)
    line.app = seen
    server = ServerThread(line, listener, edge=edge_of(settings))
    server.start()
    try:
        yield server.base_url, seen
    finally:
        server.stop()


# --- every address ------------------------------------------------------------------------------------------------


def test_every_address_of_ipv6_is_every_address(tmp_path: Path) -> None:
    """A server on ``::`` is reached over IPv6, and over IPv4 where the machine does so."""
    try:
        listener = bind("::", 0)
    except SetupError:
        pytest.skip("optional: this machine has no IPv6")
    alone = listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    with listener, serving(listener, Settings(store="none")) as (base_url, _):
        assert base_url.startswith("http://[::1]:")
        port = listener.getsockname()[1]
        if not alone:
            assert get(f"http://127.0.0.1:{port}/v1", "/healthz").status == 200
        with socket.create_connection(("::1", port)) as caller:
            caller.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert caller.recv(100).startswith(b"HTTP/1.1 200 OK")


# --- a socket file ------------------------------------------------------------------------------------------------


def test_a_socket_file_serves(tmp_path: Path) -> None:
    """A stream comes through a socket file, and the file is gone at the end."""
    path = str(tmp_path / "line.sock")
    with (
        listening(Settings(uds=path, store="none")) as listener,
        serving(listener, Settings(store="none")) as (base_url, _),
    ):
        assert base_url == "http://localhost/v1"
        with UnixWire(path) as wire:
            wire.ask(chat_body())
            assert check_stream(check_http(wire.read_response()).body, usage_asked=False).text == "Hello."
            wire.send(b"nonsense\r\n\r\n")
            assert check_http(wire.read_response()).status == 400
    assert not os.path.exists(path)


def test_the_file_of_a_dead_server_is_replaced(tmp_path: Path) -> None:
    """A socket on which nobody listens any more is no obstacle."""
    path = str(tmp_path / "line.sock")
    bind_path(path).close()
    assert os.path.exists(path)
    with listening(Settings(uds=path, store="none")), UnixWire(path):
        pass
    assert not os.path.exists(path)


def test_a_live_server_is_not_replaced(tmp_path: Path) -> None:
    """A socket on which somebody listens is left alone, and the error says so."""
    path = str(tmp_path / "line.sock")
    with bind_path(path):
        with pytest.raises(SetupError, match=r"listens on .* already"):
            bind_path(path)
        with UnixWire(path):
            pass


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """What somebody else keeps under that name stays."""
    path = tmp_path / "notes"
    path.write_text("important")
    with pytest.raises(SetupError, match="no socket"):
        bind_path(str(path))
    assert path.read_text() == "important"


@pytest.mark.parametrize("path", ["/nowhere/line.sock", "/tmp/" + "a" * 200, "a\0b", "", "\0abstract"])
def test_a_socket_that_cannot_be_made_is_one_line(path: str) -> None:
    """Whatever stands in --uds, what is wrong with it is one SetupError."""
    with pytest.raises(SetupError) as raised:
        bind_path(path)
    assert "\n" not in str(raised.value) and "None" not in str(raised.value)


def test_the_file_of_a_newer_server_stays(tmp_path: Path) -> None:
    """A server that ends removes its own file, and not the one that has taken its place."""
    path = str(tmp_path / "line.sock")
    with listening(Settings(uds=path, store="none")):
        os.rename(path, path + ".old")
        newer = bind_path(path)
    with newer:
        assert os.path.exists(path)


def test_serve_greets_with_the_socket(tmp_path: Path) -> None:
    """``offhook serve --uds`` says where it is, answers there, and cleans up when it is told to stop."""
    path = str(tmp_path / "line.sock")
    with Serving(["-m", "offhook", "serve", "--uds", path, "--api-key", KEY], cwd=tmp_path) as server:
        assert f"(through the socket {path})" in server.out
        with UnixWire(path) as wire:
            wire.ask(chat_body())
            assert check_http(wire.read_response()).status == 200
        assert server.stop() == 0
    assert server.err.count("\n") <= 1
    assert not os.path.exists(path)


def test_the_base_url_over_tls_begins_with_https() -> None:
    """The scheme is that of the endpoint, whatever it listens on."""
    with bind("127.0.0.1", 0) as listener:
        assert base_url_of(listener, tls=True).startswith("https://127.0.0.1:")


# --- behind a proxy -----------------------------------------------------------------------------------------------

FORWARDED = {"X-Forwarded-For": "203.0.113.7, 10.1.2.3", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("trusted", "caller"),
    [
        ([], ("127.0.0.1", "http")),
        (["192.0.2.0/24"], ("127.0.0.1", "http")),
        (["127.0.0.1"], ("10.1.2.3", "https")),
        (["127.0.0.0/8", "10.0.0.0/8"], ("203.0.113.7", "https")),
        (["*"], ("203.0.113.7", "https")),
    ],
)
def test_only_named_proxies_are_believed(trusted: list[str], caller: tuple[str, str]) -> None:
    """The forwarded address and scheme count when the proxy is named, hop by hop from the nearest."""
    settings = Settings(forwarded_allow_ips=trusted, store="none")
    with serving(bind("127.0.0.1", 0), settings) as (base_url, seen):
        assert get(base_url, "/healthz", FORWARDED).status == 200
    assert seen.callers == [caller]


@pytest.mark.parametrize("wrong", ["proxy.example.com", "10.0.0.1/8", "", "10.0.0"])
def test_a_proxy_that_is_no_address_is_one_line(wrong: str) -> None:
    """A name would never match, so it is refused instead of being ignored."""
    with pytest.raises(SetupError, match="no address, no network"):
        edge_of(Settings(forwarded_allow_ips=[wrong]))
