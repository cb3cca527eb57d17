"""The TCP proxy: what passes, what does not, and how connections end, changed while they are open."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from offhook.clock import SystemClock
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import says, with_fault
from offhook.testing.proxy import fault_proxy
from tests.raw import chat_body
from tests.testing.listening import HELLO, TEXT, Listener, events, faulty, read_all, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offhook.testing.fault_server import FaultUpstream
    from offhook.testing.proxy import FaultProxy

FLOOD = with_fault(says("x"), "endless", "mid", beat=0.0)


@pytest.fixture
def service() -> Iterator[FaultUpstream]:
    """Give a service without faults of its own, but for a caller who asks for a flood or for silence."""
    answers = {"flood": FLOOD, "silence": faulty("stall", "after_role")}

    def plan(number: int, request: Any) -> Any:
        return answers.get(request.body["messages"][0]["content"], HELLO)

    with fault_upstream(plan) as service:
        yield service


@pytest.fixture
def proxy(service: FaultUpstream) -> Iterator[FaultProxy]:
    """Give a proxy before the service."""
    with fault_proxy(service.base_url) as proxy:
        yield proxy


@pytest.fixture
def wire(proxy: FaultProxy) -> Iterator[Listener]:
    """Give a connection through the proxy."""
    with Listener(proxy.base_url) as wire:
        yield wire


def address_of(proxy: FaultProxy) -> tuple[str, int]:
    """Give host and port of a proxy."""
    url = urlsplit(proxy.base_url)
    return str(url.hostname), url.port or 0


def heard(wire: Listener) -> str:
    """Ask, and give the text of the answer."""
    wire.ask(chat_body())
    return text_of(events(wire.read_response()))


def test_everything_passes(service: FaultUpstream, proxy: FaultProxy, wire: Listener) -> None:
    """Bytes pass both ways on a kept connection and are counted, and the base URL has the target's path."""
    assert proxy.base_url.endswith("/v1")
    wire.ask(chat_body())
    raw = wire.read_response()
    assert text_of(events(raw)) == TEXT
    assert proxy.bytes_down == len(raw) == service.sent
    asked = proxy.bytes_up
    assert asked > 0
    assert heard(wire) == TEXT
    assert proxy.bytes_up == 2 * asked
    assert (proxy.connections, proxy.live, service.connections) == (1, 1, 1)


@pytest.mark.parametrize("by_reset", [True, False])
def test_a_client_that_leaves_is_noticed_behind_the_proxy(
    service: FaultUpstream, proxy: FaultProxy, wire: Listener, by_reset: bool
) -> None:
    """RST and FIN of the client reach the service while it is silent, and while it floods."""
    wire.ask(chat_body("silence"))
    with Listener(proxy.base_url) as second:
        second.ask(chat_body("flood"))
        second.read_until(b"and on")
        wire.read_events(1)
        for one in (wire, second):
            if by_reset:
                one.reset()
            one.close()
    service.wait_for_disconnects(2)
    service.wait_for_live(0)
    proxy.wait_for_live(0)


def test_latency_comes_once_each_way(proxy: FaultProxy, wire: Listener) -> None:
    """A request and its answer take the latency twice, and what is held back passes when the latency is over."""
    clock = SystemClock()
    proxy.latency(0.05)
    begun = clock.monotonic()
    assert heard(wire) == TEXT
    assert clock.monotonic() - begun >= 0.1
    proxy.latency(3600.0)
    wire.ask(chat_body())
    with Listener(proxy.base_url) as other:
        proxy.restore()
        assert heard(other) == TEXT
    assert text_of(events(wire.read_response())) == TEXT


def test_nothing_passes_through_a_freeze(service: FaultUpstream, proxy: FaultProxy, wire: Listener) -> None:
    """A frozen proxy passes no byte and no end until it is restored, and then all of them."""
    proxy.freeze()
    wire.ask(chat_body())
    service.wait_for_live(1)
    assert (service.requests, proxy.bytes_up) == ([], 0)
    proxy.restore()
    assert text_of(events(wire.read_response())) == TEXT
    wire.ask(chat_body("silence"))
    wire.read_events(1)
    proxy.freeze("up")
    wire.close()
    with Listener(proxy.base_url) as other:
        proxy.wait_for_live(2)
    assert service.disconnects == []
    proxy.restore()
    service.wait_for_disconnects()
    assert other.received == b""


def test_one_way_freezes(service: FaultUpstream, proxy: FaultProxy, wire: Listener) -> None:
    """With the way down frozen the request arrives and nothing of the answer comes back."""
    proxy.freeze("down")
    wire.ask(chat_body())
    service.wait_for_requests()
    assert proxy.bytes_up > 0
    assert proxy.bytes_down == 0
    proxy.freeze("up")
    before = proxy.bytes_up
    wire.ask(chat_body())
    assert (len(service.requests), proxy.bytes_up) == (1, before)
    proxy.restore()
    assert text_of(events(wire.read_response())) == TEXT
    assert text_of(events(wire.read_response())) == TEXT


def test_a_freeze_stops_a_flood_at_once(proxy: FaultProxy, wire: Listener) -> None:
    """No byte is passed once the method has returned."""
    wire.ask(chat_body("flood"))
    wire.read_until(b"and on")
    proxy.freeze("down")
    passed = proxy.bytes_down
    while len(wire.received) < passed:
        assert wire.more()
    assert (len(wire.received), proxy.bytes_down) == (passed, passed)


@pytest.mark.parametrize("frozen", [False, True])
def test_all_connections_are_reset(service: FaultUpstream, proxy: FaultProxy, wire: Listener, frozen: bool) -> None:
    """RST reaches the client and the service, through a freeze too; new connections are served."""
    wire.ask(chat_body("silence"))
    wire.read_events(1)
    if frozen:
        proxy.freeze()
    proxy.reset()
    assert read_all(wire) == (b"", True)
    service.wait_for_disconnects()
    proxy.wait_for_live(0)
    proxy.restore()
    with Listener(proxy.base_url) as other:
        assert heard(other) == TEXT


def test_all_connections_are_closed(service: FaultUpstream, proxy: FaultProxy, wire: Listener) -> None:
    """FIN reaches the client and the service in the middle of an answer, and nothing passes after it."""
    wire.ask(chat_body("flood"))
    wire.read_until(b"and on")
    proxy.close()
    raw, by_reset = read_all(wire)
    assert (b"and on" in raw, by_reset) == (True, False)
    service.wait_for_disconnects()
    wire.close()
    proxy.wait_for_live(0)


def test_a_closed_port_refuses_and_opens_again(proxy: FaultProxy, wire: Listener) -> None:
    """New connections are refused once the method has returned, the open one goes on, and the port stays the same."""
    assert heard(wire) == TEXT
    for _ in range(3):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address_of(proxy))
        assert heard(wire) == TEXT
        proxy.restore()
        with Listener(proxy.base_url) as other:
            assert heard(other) == TEXT
    assert proxy.connections == 4


def test_a_target_that_is_gone_resets() -> None:
    """Where the target's port is closed, a client's connection is reset."""
    with (
        fault_upstream(faulty("refuse", "connect")) as nobody,
        fault_proxy(nobody.base_url) as proxy,
        Listener(proxy.base_url) as wire,
    ):
        assert read_all(wire) == (b"", True)
        proxy.wait_for_live(0)


def test_a_limit_slows_down(proxy: FaultProxy, wire: Listener) -> None:
    """An answer takes its bytes divided by the limit, and comes whole."""
    clock = SystemClock()
    heard(wire)
    size = proxy.bytes_down
    begun = clock.monotonic()
    proxy.limit(size * 10)
    assert heard(wire) == TEXT
    assert clock.monotonic() - begun >= 0.08
    with pytest.raises(ValueError, match="freeze"):
        proxy.limit(0)


@pytest.mark.parametrize("by_reset", [True, False])
def test_a_cut_comes_after_so_many_bytes(proxy: FaultProxy, wire: Listener, by_reset: bool) -> None:
    """Exactly so many bytes reach the client after the order, on an open connection and on a new one."""
    wire.ask(chat_body())
    whole = wire.read_response()
    proxy.cut_after(200, reset=by_reset)
    wire.ask(chat_body())
    assert read_all(wire) == (whole[:200], by_reset)
    with Listener(proxy.base_url) as other:
        other.ask(chat_body())
        assert read_all(other) == (whole[:200], by_reset)
    wire.close()
    proxy.wait_for_live(0)
    proxy.restore()
    with Listener(proxy.base_url) as other:
        assert heard(other) == TEXT
    with pytest.raises(ValueError, match="one byte"):
        proxy.cut_after(0)


def test_only_http_services_are_targets() -> None:
    """A target that is no base URL of an HTTP service is a ValueError."""
    for target in ("https://host/v1", "host:80"):
        with pytest.raises(ValueError, match="HTTP service"), fault_proxy(target):
            pass


def test_a_proxy_leaves_nothing_behind(service: FaultUpstream) -> None:
    """In the middle of a freeze, a latency, a limit and a flood the proxy ends, without a thread or descriptor left."""
    with fault_proxy(service.base_url):
        pass
    service.wait_for_live(0)
    threads, descriptors = threading.active_count(), len(os.listdir("/dev/fd"))
    for order in ("freeze", "latency", "limit", "refuse", "close"):
        with fault_proxy(service.base_url) as proxy:
            wire = Listener(proxy.base_url)
            wire.ask(chat_body("flood"))
            wire.read_until(b"and on")
            if order in ("latency", "limit"):
                getattr(proxy, order)(1)
            else:
                getattr(proxy, order)()
        assert proxy.live == 0
        wire.close()
        service.wait_for_live(0)
    assert (threading.active_count(), len(os.listdir("/dev/fd"))) == (threads, descriptors)
