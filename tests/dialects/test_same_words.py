"""One agent behind every platform: all are given the same words, and each its own hang-up."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from offhook.dialects.base import Delivery, Dialect, Extra
from offhook.dialects.choose import DIALECTS, HEADER
from offhook.events import Command
from offhook.testing import LiveServer, live_server
from offhook.turns import voice
from tests.dialects.arrivals import arrival, tool
from tests.oracle import Transcript, check_completion, check_stream
from tests.raw import AUTH, chat_body, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from offhook.events import Turn

WORDS = "It is on its way. Goodbye!"
# The functions that platforms offer or know for hanging up, all at once.
FUNCTIONS = ("look", "hangup", "end_call", "endCall")
# What a platform is given for it; the others take no hang-up from a reply.
HANGUPS = {"vapi": ("endCall",), "elevenlabs": ("end_call",), "alibaba_ims": ("hangup",), "plain": ("hangup",)}
SHAPES = sorted(Path(__file__).with_name("fixtures").glob("*/*.json"))

# Platforms behind another door have a hang-up that is no part of a chat completion.
HERE = {
    name: dialect
    for name, dialect in DIALECTS.items()
    if not any(isinstance(piece, Extra) for piece in dialect.write(Command("hangup"), Delivery()))
}

each_dialect = pytest.mark.parametrize("dialect", HERE.values(), ids=HERE)


async def agent(turn: Turn) -> AsyncIterator[Any]:
    yield "It is on "
    yield "its way."
    yield turn.hangup(" Goodbye!")


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(agent) as serving:
        yield serving


@pytest.fixture(autouse=True)
def nothing_was_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "_warned", set())


def said(
    server: LiveServer, body: Mapping[str, Any], headers: Mapping[str, str], path: str | None = None
) -> Transcript:
    """Give what a platform is told, in a legal stream or a whole completion."""
    reply = request(server.base_url, body, {**headers, **AUTH}, path=path)
    assert reply.status == 200, reply.body
    if not body.get("stream"):
        return check_completion(reply.body, model=body["model"])
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    return check_stream(reply.body, model=body["model"], usage_asked=asked)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give what was told of commands that were left out."""
    return [record.getMessage() for record in caplog.records if record.name == "offhook.turns"]


def judge(told: Transcript, dialect: Dialect, offered: frozenset[str], warnings: list[str]) -> None:
    """Fail unless the words are those of all, and the hang-up is the platform's, or was refused with a warning."""
    assert told.text == WORDS
    why = dialect.refuses("hangup", Delivery(offered=offered))
    calls = [call.name for call in told.calls]
    if why is None:
        assert len(calls) == 1
        assert calls[0] in HANGUPS.get(dialect.name, ("hangup", "end_call"))
        assert warnings == []
    else:
        assert calls == []
        assert warnings == [
            f"turn.hangup was left out: {why} (platform {dialect.name}; told once, each is in its record)"
        ]


@each_dialect
def test_the_same_words_and_each_its_own_hang_up(
    dialect: Dialect, server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A platform that offers every function is given the words, and a call of the function that is its own."""
    body = chat_body("Where is it?", tools=[tool(name) for name in FUNCTIONS])
    with caplog.at_level(logging.WARNING, "offhook"):
        told = said(server, body, {HEADER: dialect.name})
    judge(told, dialect, frozenset(FUNCTIONS), warnings_of(caplog))


@each_dialect
def test_the_same_words_where_nothing_is_offered(
    dialect: Dialect, server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Without functions the words are the same; a platform that then takes no hang-up is told of in a warning."""
    with caplog.at_level(logging.WARNING, "offhook"):
        told = said(server, chat_body("Where is it?"), {HEADER: dialect.name})
    judge(told, dialect, frozenset(), warnings_of(caplog))


def test_each_has_its_own(server: LiveServer) -> None:
    """Asked in the same words with the same functions, each platform is given the call that it runs itself."""
    body = chat_body("Where is it?", tools=[tool(name) for name in FUNCTIONS])
    given = {name: tuple(call.name for call in said(server, body, {HEADER: name}).calls) for name in HERE}
    assert {given[name] for name in ("alibaba_ims", "livekit", "pipecat", "plain")} == {("hangup",)}
    assert (given["vapi"], given["elevenlabs"]) == (("endCall",), ("end_call",))
    assert {name for name, calls in given.items() if not calls} == {
        name for name, dialect in HERE.items() if dialect.refuses("hangup", Delivery(offered=frozenset(FUNCTIONS)))
    }


@pytest.mark.parametrize("shape", SHAPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_same_words_in_each_platforms_own_shape(shape: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A request as the platform sends it, told by its own marks, is given the words and its own hang-up."""
    sent = json.loads(shape.read_text("utf-8"))
    body = {"model": "abc", **sent["body"]}
    path = sent.get("path") or "/v1/chat/completions"
    if sent.get("query"):
        path += "?" + urlencode(sent["query"])
    # A server of its own: the shapes of a platform may all be of one call.
    with live_server(agent) as server, caplog.at_level(logging.WARNING, "offhook.turns"):
        told = said(server, body, sent.get("headers") or {}, path)
    offered = arrival({"tools": body.get("tools")}).offered
    judge(told, DIALECTS[sent["expect"]["dialect"]], offered, warnings_of(caplog))
