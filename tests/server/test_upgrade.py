"""An offer of HTTP/2 on plain HTTP costs a request nothing, and one of a WebSocket is taken where there is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import connect

from tests.echo import Echo, digest, echo_server
from tests.oracle import check_http
from tests.raw import Wire
from tests.server.bad_input import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

# As the JDK's HttpClient writes it.
OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"Host: 127.0.0.1:8083\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Upgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.15\r\n"
)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with echo_server() as echo:
        yield echo


def offered(body: bytes, more: bytes = b"") -> bytes:
    return b"POST /v1/echo?a=b HTTP/1.1\r\n" + OFFER + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def heard(wire: Wire) -> dict[str, Any]:
    reply = check_http(wire.read_response())
    assert reply.status == 200
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


def test_three_requests_of_a_jdk_arrive_whole(echo: Echo) -> None:
    """Bodies of 13 B, 13 B and 260 kB come through one connection, without the offer."""
    bodies = [b'{"first": 1 }', b'{"second": 2}', b"x" * 260_000]
    with Wire(echo.base_url) as wire:
        for body in bodies:
            wire.send(offered(body))
            assert digest(body).items() <= heard(wire).items()
    assert [len(body) for body in bodies] == [13, 13, 260_000]
    assert len(set(echo.ports)) == 1
    assert {tuple(one["headers"]) for one in echo.heard} == {("host", "user-agent", "content-length")}
    assert {(one["method"], one["path"], one["version"]) for one in echo.heard} == {("POST", "/v1/echo", "1.1")}


def test_an_offer_is_ignored_wherever_it_is_cut(echo: Echo) -> None:
    """A request in two pieces arrives whole, whatever the cut goes through."""
    request = offered(b"the whole body")
    with Client(echo.base_url) as wire:
        for cut in range(1, len(request)):
            wire.send(request[:cut])
            wire.send(request[cut:])
            assert heard(wire)["length"] == 14


def test_pipelined_offers_arrive_in_order(echo: Echo) -> None:
    """Offers in one block, with and without bodies, are each a request of their own."""
    with Wire(echo.base_url) as wire:
        wire.send(offered(b"one") + offered(b"") + offered(b"three"))
        assert [heard(wire)["length"] for _ in range(3)] == [3, 0, 5]


def test_an_offer_with_a_chunked_body_arrives_whole(echo: Echo) -> None:
    """The framing that the rest of the head tells is kept."""
    head = b"POST / HTTP/1.1\r\n" + OFFER + b"Transfer-Encoding: chunked\r\n\r\n"
    with Wire(echo.base_url) as wire:
        wire.send(head + b"5\r\nhello\r\n0\r\n\r\n")
        assert digest(b"hello").items() <= heard(wire).items()


def test_the_rest_of_the_connection_header_counts(echo: Echo) -> None:
    """A client that offers and wants to leave is let go; one that says keep-alive is kept."""
    keep, leave = (OFFER.replace(b"Upgrade,", word) for word in (b"keep-alive, Upgrade,", b"Upgrade, close,"))
    with Wire(echo.base_url) as wire:
        wire.send(offered(b"one").replace(OFFER, keep))
        assert "connection" in heard(wire)["headers"]
        wire.send(offered(b"two").replace(OFFER, leave))
        reply = check_http(wire.read_response())
        assert reply.header("connection") == "close"
        assert wire.read_to_end() == b""


def test_an_offer_of_http_1_0_stays_one(echo: Echo) -> None:
    """The version is not raised on the way."""
    with Wire(echo.base_url) as wire:
        wire.send(offered(b"one").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert json.loads(check_http(wire.read_to_end()).body)["version"] == "1.0"


def test_a_websocket_still_works(echo: Echo) -> None:
    """A client that nobody here wrote shakes hands with a server that nobody here wrote, through our connection."""
    with connect(echo.base_url.replace("http://", "ws://")) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"


def test_a_websocket_after_requests_still_works(echo: Echo) -> None:
    """A connection that has served requests can be upgraded."""
    handshake = (
        b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with Wire(echo.base_url) as wire:
        wire.send(offered(b"one"))
        assert heard(wire)["length"] == 3
        wire.send(handshake)
        answer = wire.read_until(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
