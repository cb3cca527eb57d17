"""Each row of docs/bad-input.md is true: the tests read the table, and send what its rows name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from offhook.testing import LiveServer, live_server
from tests.documents import DOCS, rows
from tests.oracle import HttpReply, check_completion, check_error, check_http, check_stream
from tests.raw import chat_body, get, request
from tests.server.bad_input import (
    BODY,
    CASES,
    CHAT,
    ENDLESS,
    GOOD,
    HOLD,
    MAX_BODY,
    STREAMED,
    Case,
    Client,
    chunk,
    head,
    with_length,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from offhook.events import Turn


go = threading.Event()


async def agent(turn: Turn) -> AsyncIterator[str]:
    yield "Hello."
    if turn.text == "wait":
        await asyncio.to_thread(go.wait, 10)
        yield "Bye."
    if turn.text == "hold":
        await asyncio.get_running_loop().create_future()


class Row(NamedTuple):
    """A row of the table: what comes, and what it gets."""

    name: str
    status: int | None
    code: str | None
    connection: str


def read(cells: list[str]) -> Row:
    name, status, code, connection = cells
    return Row(name, None if status == "-" else int(status), None if code == "-" else code.strip("`"), connection)


ROWS = [read(cells) for cells in rows(DOCS / "bad-input.md") if len(cells) == 4 and cells[3] in ("kept", "closed")]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(agent, model_id=["abc"], max_body=MAX_BODY) as server:
        yield server


@pytest.fixture(scope="module")
def hasty() -> Iterator[LiveServer]:
    with live_server(agent, model_id=["abc"], head_timeout=0.1, body_timeout=0.1) as server:
        yield server


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No input leaves an error or a traceback in any log."""
    yield
    records = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
    assert [record.getMessage() for record in records if record.exc_info or record.levelno >= logging.ERROR] == []


def answer(wire: Client) -> HttpReply:
    """Give the next answer: a completion or an error, whole."""
    raw = wire.read_response()
    reply = check_http(raw)
    if reply.status >= 400:
        assert reply.header("content-type") == "application/json"
        check_error(reply.body)
    return reply


def send(wire: Client, case: Case) -> None:
    # An answer may come, and the connection end, before a client that never stops has said everything.
    with contextlib.suppress(ConnectionError):
        for piece in case.pieces:
            wire.send(piece)
    if case.leaves:
        wire.finish()


def test_the_table_has_every_case_and_no_other() -> None:
    """What is listed is what is tested, each once."""
    assert sorted(row.name for row in ROWS) == sorted(CASES)
    assert {row.status for row in ROWS if row.status is not None} <= {200, 400, 401, 404, 405, 408, 413, 414, 415, 431}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_input_gets_what_the_table_says(row: Row, request: pytest.FixtureRequest) -> None:
    """The status, the code and the end of the connection are those of the row, and the next request works."""
    case = CASES[row.name]
    server: LiveServer = request.getfixturevalue("hasty" if case.hasty else "server")
    with Client(server.base_url) as wire:
        send(wire, case)
        if case.interim:
            wire.skip(b"HTTP/1.1 100 Continue\r\n\r\n")
        if row.status is None:
            assert case.answers == 0 and wire.read_to_end() == b""
        elif row.name == "HTTP/1.0":
            assert b"Hello." in wire.read_to_end()
        else:
            reply = answer(wire)
            error = check_error(reply.body)["code"] if reply.status >= 400 else None
            assert (reply.status, error) == (row.status, row.code)
            for _ in range(case.answers - 1):
                last = answer(wire)
            if case.answers > 1 and row.connection == "closed":
                assert (last.status, check_error(last.body)["code"]) == (400, "bad_http")
                reply = last
            if row.connection == "kept":
                assert reply.header("connection") is None
                wire.send(GOOD)
                assert check_completion(answer(wire).body).text == "Hello."
            else:
                assert reply.header("connection") == "close"
                assert wire.read_to_end() == b""
    assert good(server) == "Hello."


def good(server: LiveServer) -> str:
    """Give the answer to a good request on a new connection."""
    return check_completion(request(server.base_url, chat_body(stream=False)).body).text


# --- what a table cannot say --------------------------------------------------------------------------------------


def test_a_405_says_what_is_allowed(server: LiveServer) -> None:
    """The Allow header names the methods of the address, also where the connection itself answers."""
    assert get(server.base_url, CHAT).header("allow") == "POST"
    with Client(server.base_url) as wire:
        wire.send(CASES["CONNECT"].pieces[0])
        assert answer(wire).header("allow") == "GET, HEAD, POST"


def test_a_python_literal_is_told_so(server: LiveServer) -> None:
    """The message names the mistake and the way out."""
    with Client(server.base_url) as wire:
        send(wire, CASES["a Python literal as the body"])
        message = check_error(answer(wire).body)["message"]
    assert "Python literal" in message and "json.dumps" in message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a TLS handshake on a plain port", "TLS"),
        ("HTTP/2 without asking", "HTTP/2"),
        ("a form", "'Content-Type: application/json'"),
        ("a compressed body", "compressed"),
        ("a body over the limit", "--max-body"),
        ("a non-ASCII header name", "Invalid header token"),
    ],
)
def test_the_message_says_what_to_change(server: LiveServer, name: str, words: str) -> None:
    """The common mistakes are named in words that help."""
    with Client(server.base_url) as wire:
        send(wire, CASES[name])
        assert words in check_error(answer(wire).body)["message"]


def test_nothing_of_the_input_gets_into_the_headers(server: LiveServer) -> None:
    """Line ends in an address or a request id do not make a header."""
    with Client(server.base_url) as wire:
        send(wire, CASES["a line end in the address, escaped"])
        reply = answer(wire)
        send(wire, CASES["a request id that is no name"])
        other = answer(wire)
    names = {name for name, _ in [*reply.headers, *other.headers]}
    assert names <= {"date", "content-type", "content-length", "x-request-id"}
    assert str(other.header("x-request-id")).startswith("req_")


def test_a_client_that_sends_all_before_it_reads_can_read_the_413(server: LiveServer) -> None:
    """The rest of the body is read, so no reset takes the answer away, and the connection goes on."""
    with Client(server.base_url, receive_buffer=4096) as wire:
        wire.send(with_length(b" " * (10 * ENDLESS)))
        assert answer(wire).status == 413
        wire.send(GOOD)
        assert answer(wire).status == 200


def test_a_body_without_end_is_cut_off(server: LiveServer) -> None:
    """What nobody wants is read up to 64 MiB and no further."""
    block, sent = chunk(b" " * 1_000_000), 0
    with Client(server.base_url) as wire:
        wire.send(head("Transfer-Encoding: chunked"))
        with pytest.raises(ConnectionError):
            while sent < 200:
                wire.send(block)
                sent += 1
    assert 60 < sent < 150
    assert good(server) == "Hello."


def test_a_second_request_breaks_into_no_stream(server: LiveServer) -> None:
    """What comes while a stream runs is answered when the stream is over, even when it is no HTTP."""
    with Client(server.base_url) as wire:
        wire.send(with_length(json.dumps(chat_body("wait")).encode()))
        wire.read_until(b"Hello")
        wire.send(b"nonsense\r\n\r\n")
        # An answer on a later connection says that the server has seen it.
        assert good(server) == "Hello."
        go.set()
        assert check_stream(check_http(wire.read_response()).body, usage_asked=False).text == "Hello.Bye."
        assert answer(wire).status == 400
        assert wire.read_to_end() == b""


def test_a_disconnect_is_seen_while_requests_wait(server: LiveServer) -> None:
    """A client that has sent two requests and leaves ends the turn of the first, and the second never begins."""
    # Those of the tests before are over by the time that another request is answered.
    assert get(server.base_url, "/healthz").status == 200
    before = len(server.turns)
    with Client(server.base_url) as wire:
        wire.send(with_length(HOLD) + GOOD)
        wire.read_until(b"Hello")
    assert server.wait_for_turns(before + 1)[-1].reason == "cancelled"
    assert good(server) == "Hello."
    assert [turn.reason for turn in server.wait_for_turns(before + 2)[before:]] == ["cancelled", "stop"]


def test_a_fin_is_a_disconnect(server: LiveServer) -> None:
    """A client that closes its sending side ends its turn."""
    before = len(server.turns)
    with Client(server.base_url) as wire:
        wire.send(with_length(HOLD))
        wire.read_until(b"Hello")
        wire.finish()
        assert server.wait_for_turns(before + 1)[-1].reason == "cancelled"
        wire.read_to_end()


def test_a_stream_to_http_1_0_has_no_chunks(server: LiveServer) -> None:
    """The stream ends with the connection, and is whole and legal."""
    with Client(server.base_url) as wire:
        wire.send(with_length(STREAMED, "Connection: keep-alive", first=f"POST {CHAT} HTTP/1.0"))
        raw = wire.read_to_end()
    top, _, stream = raw.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in top.lower() and b"connection: close" in top.lower()
    assert check_stream(stream, usage_asked=False).text == "Hello."


def test_http_1_0_gets_no_interim_answer(server: LiveServer) -> None:
    """Such a client knows no 100 Continue."""
    with Client(server.base_url) as wire:
        wire.send(with_length(BODY, "Expect: 100-continue", first=f"POST {CHAT} HTTP/1.0"))
        assert wire.read_to_end().startswith(b"HTTP/1.1 200 OK\r\n")


def test_what_is_dribbled_is_bounded_in_time(hasty: LiveServer) -> None:
    """A byte now and then does not win more time for a head."""
    with Client(hasty.base_url) as wire:
        wire.send(b"GET ")
        while not wire.answered(0.01):
            wire.send(b"/")
        assert answer(wire).status == 408


def resident() -> int:
    """Give the memory of this process, in which the server runs too, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="optional: this machine does not tell its memory so")
@pytest.mark.parametrize(
    "name", ["a header that never ends", "an address that never ends", "a chunk extension that never ends"]
)
def test_what_never_ends_takes_no_memory(server: LiveServer, name: str) -> None:
    """Ten connections that send 16 MB each of what has no end leave the memory as it was, within 16 MiB."""
    before = resident()
    block = CASES[name].pieces[0][-1:] * ENDLESS
    with contextlib.ExitStack() as open_ones:
        wires = [open_ones.enter_context(Client(server.base_url)) for _ in range(10)]
        for wire in wires:
            wire.send(CASES[name].pieces[0])
            for _ in range(3):
                wire.send(block)
        assert resident() - before < 16
