"""What stands in the address of a WebSocket door: a key that is shown nowhere, and a handshake that is answered."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from offhook.server.door_address import is_door, masked, parts_of
from tests.callers import Scene, scene
from tests.raw import AUTH, KEY, Wire, chat_body, get, request
from tests.server.doors.platform import QUIET, answered, dialled, retell_path, wanted, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
GOOD = f"{UPGRADE}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@pytest.fixture
def stage() -> Iterator[Scene]:
    with scene(**QUIET) as stage:
        yield stage


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/retell/secret/llm-websocket/c1", "/retell/***/llm-websocket/c1"),
        ("/retell/secret/llm-websocket", "/retell/***/llm-websocket"),
        ("/retell/secret/llm-websocket//c1", "/retell/***/llm-websocket//c1"),
        ("/retell/secret/llm-websocket/c1/more", "/retell/***/llm-websocket/***/***"),
        ("/retell/llm-websocket/secret/c1", "/retell/llm-websocket/***/***"),
        ("/Retell/secret/llm-websocket/c1", "/Retell/***/llm-websocket/c1"),
        ("/a/RETELL//secret", "/a/RETELL//***"),
        ("/ConversationRelay/secret", "/ConversationRelay/***"),
        ("/conversation-relay/secret/model=front", "/conversation-relay/***/model=front"),
        ("/conversationrelay/\r\nsecret", "/conversationrelay/***"),
        ("/retell/v1/chat/completions", "/retell/v1/chat/completions"),
        ("/retell/secret/v1/chat/completions", "/retell/***/v1/chat/completions"),
        ("/webhooks/retell", "/webhooks/retell"),
        ("/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_what_may_be_a_key_is_masked(path: str, shown: str) -> None:
    """All that stands behind a platform's name and is no word of ours, also where the address is none of a door."""
    assert masked(path) == shown


@pytest.mark.parametrize(
    "path", ["/retell/k/llm-websocket/c1", "/Retell/k/llm-websocket//c1", "/x/retell/k/llm-websocket/c/"]
)
def test_the_key_is_found_where_it_is_masked(path: str) -> None:
    """However the address was pasted."""
    assert is_door(path.encode())
    assert parts_of(path) == ("k", None)


def test_a_url_that_was_given_with_a_slash_at_its_end_is_taken(stage: Scene) -> None:
    """Retell then appends a second one before the call's id, which is the same."""
    with dialled(stage, f"/retell/{KEY}/llm-websocket//c1") as line:
        line.send(wanted(1, ("user", "hello")))
        assert words(line.until(answered(1))) == "You said hello."
    assert stage.talker.run("c1").turn.call.id == "c1"


def answer_to(stage: Scene, head: str) -> tuple[int, str]:
    """Give status and error code of the answer to a head."""
    with Wire(stage.server.base_url) as wire:
        wire.send(head.encode() + b"\r\n")
        start, _, body = wire.read_to_end().partition(b"\r\n\r\n")
    return int(start.split(b" ")[1]), json.loads(body)["error"]["code"]


@pytest.mark.parametrize(
    "headers",
    [
        UPGRADE + "Sec-WebSocket-Version: 13\r\n",
        UPGRADE + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n",
        GOOD.replace("Version: 13", "Version: 8"),
        GOOD + "Sec-WebSocket-Version: 8\r\n",
        UPGRADE,
        GOOD + "Host: other\r\n",
    ],
    ids=["no key", "bad key", "version 8", "two versions", "nothing", "two hosts"],
)
def test_a_bad_handshake_is_answered_as_a_bad_request_is(stage: Scene, headers: str) -> None:
    """With an error in the OpenAI shape, and the connection ends."""
    head = f"GET {retell_path('c1')} HTTP/1.1\r\nHost: test\r\n{headers}"
    assert answer_to(stage, head) == (400, "bad_http")


def test_an_address_that_is_nearly_one_of_a_door_is_answered(stage: Scene) -> None:
    """A line end in it is no reason for an answer without words."""
    head = f"GET /conversationrelay/%0d%0aX HTTP/1.1\r\nHost: test\r\n{GOOD}"
    assert answer_to(stage, head) == (404, "unknown_url")


def test_http_1_0_speaks_no_websocket(stage: Scene) -> None:
    """Its offer is passed over (RFC 6455, 4.1 asks for 1.1 at least)."""
    head = f"GET {retell_path('c1')} HTTP/1.0\r\nHost: test\r\n{GOOD}"
    assert answer_to(stage, head) == (404, "unknown_url")


def test_an_address_that_names_the_host_too_is_the_same_door(stage: Scene) -> None:
    """As it is for a request (RFC 9112, 3.2.2)."""
    with Wire(stage.server.base_url) as wire:
        wire.send(f"GET http://test{retell_path('c1')} HTTP/1.1\r\nHost: test\r\n{GOOD}\r\n".encode())
        assert wire.read_until(b"\r\n").startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    "path",
    [
        f"/retell/{KEY}/llm-websocket",
        f"/retell/{KEY}/llm-websocket//c2",
        f"/Retell/{KEY}/llm-websocket/c3",
        f"/ConversationRelay/{KEY}",
        f"/retell/{KEY}/v1/chat/completions/chat/completions",
        f"/conversationrelay/{KEY}/v1/models",
    ],
)
def test_no_answer_log_or_capture_shows_the_key_of_a_request_that_went_astray(
    path: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Whatever was pasted together from the address of a door."""
    caplog.set_level(logging.DEBUG)
    with scene(capture=str(tmp_path), **QUIET) as stage:
        answers = [request(stage.server.base_url, chat_body("x"), AUTH, path=path), get(stage.server.base_url, path)]
    logged = [record.getMessage() for record in caplog.records]
    shown = [*(str(answer.body) for answer in answers), *logged, *(file.read_text() for file in tmp_path.iterdir())]
    assert not [text for text in shown if KEY in text]
