"""The connections to a model service: made before they are needed, kept, and only to whom the certificate names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trustme

from offhook.testing import live_server
from tests.raw import AUTH, Wire, chat_body, error_of, get, request
from tests.upstream.paced import COMMENT, failover, heard, text

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("count", [1, 3])
def test_connections_are_there_before_the_first_turn(count: int) -> None:
    """So many are made when the server starts, and the turns use them."""
    with failover(1, each={"connections": count, "key": "secret"}) as (server, [one]):
        one.wait_for_greetings(count)
        # Each answer is some steps of the loop, in which the connections are put away.
        for _ in range(5):
            get(server.base_url, "/v1/models", AUTH)
        assert one.connections == count
        wires = [Wire(server.base_url) for _ in range(count)]
        for wire in wires:
            wire.ask(chat_body())
        asked = [one.asked() for _ in wires]
        for reply in asked:
            reply.end(text("Hello."))
        assert [heard(wire).text for wire in wires] == ["Hello."] * count
        assert one.connections == count
        for wire in wires:
            wire.close()


def test_no_connection_is_made_for_nobody() -> None:
    """``connections`` = 0 waits for the first turn, as a service given by ``--upstream`` does."""
    with failover(1, each={"connections": 0}) as (server, [one]):
        assert get(server.base_url, "/v1/models", AUTH).status == 200
        assert one.connections == 0


def test_a_service_that_is_not_there_yet_does_not_hold_the_start_up(caplog: pytest.LogCaptureFixture) -> None:
    """The first connections may fail: the server serves, and says nothing of it."""
    with failover(1) as (_, [one]):
        address = one.base_url
    table = [{"name": "gone", "base_url": address, "connections": 2}]
    with caplog.at_level(logging.WARNING), live_server(upstream_table=table) as server:
        assert error_of(request(server.base_url, chat_body()))["code"] == "upstream_unreachable"
    assert {record.name for record in caplog.records} <= {"offhook.turn", "offhook.upstream"}


def test_a_connection_is_kept_after_a_whole_answer_and_not_after_half_of_one() -> None:
    """Turns of one caller share a connection; the one of a beaten or cancelled attempt serves nobody any more."""
    with failover(1) as (server, [one]):
        for _ in range(3):
            with Wire(server.base_url) as wire:
                wire.ask(chat_body())
                one.asked().end(text("Hello."))
                assert heard(wire).text == "Hello."
        assert one.connections == 1
        wire = Wire(server.base_url)
        wire.ask(chat_body())
        left = one.asked()
        left.write(COMMENT)
        wire.close()
        left.wait_left()
        with Wire(server.base_url) as wire:
            wire.ask(chat_body())
            one.asked().end(text("Hello."))
            assert heard(wire).text == "Hello."
        assert one.connections == 2


def test_a_kept_connection_that_the_service_has_closed_costs_no_turn() -> None:
    """A request that is lost on it is made again on a new one."""
    with failover(1) as (server, [one]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        first = one.asked()
        first.end(text("Hello."))
        assert heard(wire).text == "Hello."
        first.hang_up()
        wire.ask(chat_body())
        one.asked().end(text("Again."))
        assert heard(wire).text == "Again."


def test_a_certificate_of_nobody_known_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither key nor words go to a service whose certificate nobody known has signed; the log says why."""
    issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    with live_server(lambda turn: "Hello.", tls_cert=str(cert), tls_key=str(key)) as service:
        table = [{"name": "tls", "base_url": service.base_url, "key": "test-key"}]
        assert service.base_url.startswith("https:")
        with live_server(upstream_table=table) as server:
            assert error_of(request(server.base_url, chat_body()))["code"] == "upstream_unreachable"
        assert service.turns == []
    assert "certificate is not trusted" in caplog.text
