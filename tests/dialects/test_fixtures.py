"""What each platform sends, as far as it is documented, is recognised and read in whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from offhook.dialects.base import Arrival, Options
from offhook.dialects.choose import DIALECTS, choose
from offhook.dialects.kind import kind_of
from offhook.dialects.sources import apply
from offhook.wire.chat import decode_request

FIXTURES = sorted(Path(__file__).with_name("fixtures").glob("*/*.json"))
# Those whose requests are no chat completions, and the client that has none of its own.
ELSEWHERE = {"plain", "retell", "conversation_relay"}
KEYS = {"source", "note", "headers", "query", "path", "body", "expect"}

every_fixture = pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")


def load(path: Path) -> dict[str, Any]:
    """Give a fixture, in which nothing may be said that is not looked at."""
    fixture: dict[str, Any] = json.loads(path.read_text("utf-8"))
    assert fixture.keys() == KEYS
    assert fixture["source"].startswith(("https://", "PyPI ", "npm ", "github.com/"))
    assert fixture["note"]
    return fixture


def arrived(fixture: dict[str, Any]) -> Arrival:
    """Give the fixture's request; names of headers come in any case."""
    headers = {name.lower(): value for name, value in fixture["headers"].items()}
    raw = json.dumps(fixture["body"]).encode()
    return Arrival(request=decode_request(raw), headers=headers, query=fixture["query"], path=fixture["path"])


def read(fixture: dict[str, Any]) -> dict[str, Any]:
    """Give all that a fixture may expect something of."""
    came = arrived(fixture)
    dialect = choose(came, None)
    reading = apply(Options(), came, dialect.read(came))
    kind, text = kind_of(reading.history, reading.kind)
    request = came.request
    return {
        "dialect": dialect.name,
        "call": msgspec.structs.asdict(reading.call),
        "turn_id": reading.turn_id,
        "kind": kind,
        "text": text,
        "texts": [message.text for message in reading.history],
        "roles": [message.role for message in reading.history],
        "interrupted": [message.interrupted for message in reading.history],
        "max_tokens": request.max_completion_tokens or request.max_tokens or reading.max_tokens,
        "offered": sorted(came.offered),
    }


@every_fixture
def test_the_request_is_read(path: Path) -> None:
    """The platform is told by what it sends, and each expected value is found."""
    fixture = load(path)
    expected, found = dict(fixture["expect"]), read(fixture)
    call = expected.pop("call")
    assert {name: found["call"][name] for name in call} == call
    assert {name: found[name] for name in expected} == expected
    assert found["call"]["platform"] == found["dialect"] == path.parent.name


@every_fixture
def test_the_whole_message_reaches_the_agent(path: Path) -> None:
    """Every message is there in its order, under its role, with every field that is not its words as it came."""
    fixture = load(path)
    came = arrived(fixture)
    history = choose(came, None).read(came).history
    assert [message.role for message in history] == [message["role"] for message in fixture["body"]["messages"]]
    for message, sent in zip(history, fixture["body"]["messages"], strict=True):
        assert {**message.fields, "content": None} == {**sent, "content": None}


def test_every_platform_has_fixtures() -> None:
    """No platform of this door is without a request, and no folder without a platform."""
    assert {path.parent.name for path in FIXTURES} == set(DIALECTS) - ELSEWHERE


@every_fixture
def test_no_other_dialect_takes_it(path: Path) -> None:
    """A request is not taken for another platform's, also when nothing but its body and headers is looked at."""
    fixture = load(path)
    came = msgspec.structs.replace(arrived(fixture), path="", query={})
    chosen = choose(came, None).name
    assert chosen in (path.parent.name, "plain")
