"""Servers that nobody here wrote: nginx in front of ours, and model services behind our model agent."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.nginx import proxy
from offhook.testing import live_server, scripted_upstream
from offhook.testing.upstream import HOLD
from tests.oracle import check_stream
from tests.peers.lines import LAST, SEEN, WHOLE, Gate, assert_cancelled
from tests.peers.program import PROGRAMS, Program, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from offhook.testing import LiveServer

PATIENCE = 10.0


def port_of(base_url: str) -> int:
    """Give the port of an address."""
    port = urlsplit(base_url).port
    assert port is not None
    return port


@contextmanager
def asked(port: int, key: str) -> Iterator[tuple[http.client.HTTPResponse, socket.socket]]:
    """Ask for a stream with the standard library's client, and give its answer and its socket."""
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]})
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    try:
        client.request("POST", "/v1/chat/completions", body, headers)
        sock = client.sock
        yield client.getresponse(), sock
    finally:
        client.close()


def read_until(response: http.client.HTTPResponse, words: str) -> bytes:
    """Read until these words have come."""
    got = b""
    while words.encode() not in got:
        data = response.read1()
        assert data, f"the body ended after {got!r}"
        got += data
    return got


# --- nginx --------------------------------------------------------------------------------------------------------


def test_nginx_passes_the_stream_on(nginx: str) -> None:
    """Through an nginx with its defaults, the first event arrives before the last one is produced."""
    gate = Gate()
    with (
        gate.served() as server,
        proxy(port_of(server.base_url), tuned=False) as front,
        asked(front.port, server.api_key) as (response, _),
    ):
        assert response.status == 200
        got = read_until(response, SEEN)
        assert LAST.encode() not in got
        gate.open()
        assert check_stream(got + response.read(), usage_asked=False).text == WHOLE


def test_nginx_passes_the_disconnect_on(nginx: str) -> None:
    """A client that leaves nginx in mid-stream ends the agent."""
    with Gate().served() as server, proxy(port_of(server.base_url), tuned=False) as front:
        with asked(front.port, server.api_key) as (response, sock):
            read_until(response, SEEN)
            sock.shutdown(socket.SHUT_RDWR)
        assert_cancelled(server)


def test_nginx_keeps_connections(nginx: str) -> None:
    """Ten requests through nginx, which keeps its connections to us, are ten whole replies."""
    gate = Gate()
    gate.open()
    with gate.served() as server, proxy(port_of(server.base_url)) as front:
        for _ in range(10):
            with asked(front.port, server.api_key) as (response, _):
                assert check_stream(response.read(), usage_asked=False).text == WHOLE


def test_nginx_before_the_model_service(nginx: str) -> None:
    """With nginx between the model agent and its model service, the reply is whole and a disconnect gets through."""
    with scripted_upstream("one ", "two") as behind, proxy(port_of(behind.base_url)) as front:
        assert speak(f"http://127.0.0.1:{front.port}/v1", "m") == "one two"
    with scripted_upstream("one ", HOLD) as behind, proxy(port_of(behind.base_url)) as front:
        leave(f"http://127.0.0.1:{front.port}/v1", "m", "one ", lambda: behind.wait_for_disconnects())


# --- model services -----------------------------------------------------------------------------------------------


def speak(upstream: str, model: str) -> str:
    """Give what a caller hears from the model agent in front of a service."""
    with live_server(upstream=upstream, upstream_model=model) as server, answered(server) as response:
        return check_stream(response.read(), usage_asked=False).text


def leave(upstream: str, model: str, words: str, seen: Callable[[], object]) -> None:
    """Disconnect after these words; the turn ends as cancelled, and the service sees it."""
    with live_server(upstream=upstream, upstream_model=model) as server:
        with asked(port_of(server.base_url), server.api_key) as (response, sock):
            read_until(response, words)
            sock.shutdown(socket.SHUT_RDWR)
        assert_cancelled(server)
        seen()


@contextmanager
def answered(server: LiveServer) -> Iterator[http.client.HTTPResponse]:
    """Ask our server and give its answer."""
    with asked(port_of(server.base_url), server.api_key) as (response, _):
        yield response


@contextmanager
def service(command: Sequence[str | Path]) -> Iterator[tuple[Program, str]]:
    """Run a model service that says its port, and give its base URL."""
    with running(command) as program:
        program.wait_for("port ")
        program.wait_for(" \n")
        found = re.search(rb"port (\d+)", program.output)
        assert found is not None
        yield program, f"http://127.0.0.1:{int(found[1])}/v1"


def test_node_server_behind(node: str) -> None:
    """The model agent speaks what a service on Node's http server says, and asks it over a kept connection."""
    with service([node, PROGRAMS / "upstream.mjs"]) as (program, address):
        assert speak(address, "stream") == "你说hello"
        program.wait_for("answered")


def test_node_server_sees_the_disconnect(node: str) -> None:
    """A service on Node's http server sees the caller's disconnect while it is silent."""
    with service([node, PROGRAMS / "upstream.mjs"]) as (program, address):
        leave(address, "hold", "你说", lambda: program.wait_for("left", PATIENCE))


def test_flask_server_behind(record_property: Callable[[str, object], None]) -> None:
    """The model agent speaks what a service on Flask's own server says, which closes after every reply."""
    record_property("peer", "Flask")
    record_property("version", f"{version('flask')}, Werkzeug {version('werkzeug')}")
    with service([sys.executable, PROGRAMS / "flask_upstream.py"]) as (_, address):
        assert speak(address, "stream") == "你说hello"


def test_flask_server_sees_the_disconnect(record_property: Callable[[str, object], None]) -> None:
    """A service on Flask's own server sees the caller's disconnect at its next write."""
    record_property("peer", "Flask")
    record_property("version", f"{version('flask')}, Werkzeug {version('werkzeug')}")
    with service([sys.executable, PROGRAMS / "flask_upstream.py"]) as (program, address):
        leave(address, "hold", "你说", lambda: program.wait_for("left", PATIENCE))
