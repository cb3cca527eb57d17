"""Agora: turns and interruptions in metadata, a first chunk that protects a reply, and tools of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.dialects.agora import AGORA
from offhook.dialects.base import Delivery, Extra
from offhook.dialects.choose import choose
from offhook.dialects.kind import kind_of
from offhook.events import Command, CommandName, Event, Text
from offhook.testing import live_server
from tests.callers import plain
from tests.dialects.arrivals import (
    IDS,
    JSON,
    USER,
    arrival,
    called,
    check_far_down,
    check_survives,
    deep,
    objects,
    offering,
)
from tests.oracle import check_stream
from tests.raw import AUTH, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook.events import Kind, Turn

CUSTOM = {"turn_id": 1, "timestamp": 1754000000000, "interruptable": True}


def message(role: str, text: str | None, **metadata: Any) -> dict[str, Any]:
    return {"role": role, "content": text, "turn_id": 0, "metadata": metadata}


# --- in -----------------------------------------------------------------------------------------------------------


def test_what_the_dialect_says_of_its_platform() -> None:
    """It has but a voice, fillers of its own (``filler_words``), and a history that is cut."""
    assert (AGORA.telephone, AGORA.fillers, AGORA.speculative, AGORA.memory) == (True, True, False, "call")
    assert (AGORA.language, AGORA.cancel_grace, AGORA.tags) == ("en", 0.0, ())


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        (CUSTOM, "agora"),
        ({"turn_id": 0, "timestamp": 1}, "agora"),
        ({"turn_id": None, "interruptable": None}, "agora"),
        ({"context": {"presence": {}}}, "agora"),
        ({"turn_id": 1}, "plain"),
        ({"timestamp": 1, "interruptable": True}, "plain"),
        ({"context": {"other": 1}}, "plain"),
        ({"context": "presence"}, "plain"),
        ({"context": ["presence"]}, "plain"),
    ],
)
def test_its_fields_mark_it(fields: dict[str, Any], chosen: str) -> None:
    """The turn with its time or the users' presence make it; a turn id alone is anybody's."""
    assert choose(arrival(fields), None).name == chosen


@pytest.mark.parametrize(("value", "id_"), IDS)
def test_the_turn_is_the_bodys(value: object, id_: str | None) -> None:
    """The count of turns is the turn's id, 0 included."""
    assert AGORA.read(arrival({**CUSTOM, "turn_id": value})).turn_id == id_


def test_the_presence_is_user_data_unless_a_header_has_them() -> None:
    """What a customer puts into ``llm.headers`` wins over what the users' apps have set."""
    fields = {"context": {"presence": {"7": {"mood": "good"}}}}
    assert AGORA.read(arrival(fields)).call.user_data == {"7": {"mood": "good"}}
    call = AGORA.read(arrival(fields, headers={"x-user-data": '{"a":1}', "x-call-id": "c"})).call
    assert (call.user_data, call.id) == ({"a": 1}, "c")


@pytest.mark.parametrize(
    ("metadata", "interrupted"),
    [
        ({"interrupted": True, "original": "First, second."}, True),
        ({"interrupted": "true"}, True),
        ({"interrupted": False, "original": "First, second."}, False),
        ({"interrupted": None}, False),
        ({"interrupted": []}, False),
        ({"source": "llm"}, False),
    ],
)
def test_an_interrupted_answer_ends_where_the_voice_did(metadata: dict[str, Any], interrupted: bool) -> None:
    """The text of such an answer was heard in whole, and what the model had meant to say stays in its fields."""
    sent = message("assistant", "First,", **metadata)
    told, _ = AGORA.read(arrival({**CUSTOM, "messages": [sent, USER]})).history
    assert (told.text, told.interrupted, told.heard) == ("First,", interrupted, 6 if interrupted else None)
    assert told.fields == sent


def test_only_the_agent_is_interrupted() -> None:
    """A caller's message that claims it is a caller's message."""
    (told,) = AGORA.read(arrival({**CUSTOM, "messages": [message("user", "x", interrupted=True)]})).history
    assert (told.interrupted, told.heard) == (False, None)


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("asr", "utterance", "words"),
        ("message", "utterance", "words"),
        ("silence", "silence", ""),
        ("command", "injected", "words"),
        ("SILENCE", "utterance", "words"),
        (None, "utterance", "words"),
        (["silence"], "utterance", "words"),
    ],
)
def test_the_source_tells_the_kind(source: object, kind: Kind, text: str) -> None:
    """What made the platform ask is what the last message says of itself; the caller's words are an utterance."""
    reading = AGORA.read(arrival({**CUSTOM, "messages": [message("user", "words", source=source)]}))
    assert kind_of(reading.history, reading.kind) == (kind, text)


@pytest.mark.parametrize("source", ["greeting", "llm_failure"])
def test_the_agents_words_alone_wake_it_up(source: str) -> None:
    """A greeting or a phrase of failure is the agent's, and nobody has spoken yet."""
    reading = AGORA.read(arrival({**CUSTOM, "messages": [message("assistant", "Welcome.", source=source)]}))
    assert kind_of(reading.history, reading.kind) == ("wake_up", "")


@given(
    fields=st.fixed_dictionaries({}, optional={"turn_id": JSON, "timestamp": JSON, "context": objects("presence")}),
    metadata=objects("source", "interrupted"),
    role=st.sampled_from(["user", "assistant"]),
)
def test_anything_is_survived(fields: dict[str, Any], metadata: object, role: str) -> None:
    """No value of any field breaks the reading."""
    check_survives(AGORA, {**fields, "messages": [{"role": role, "content": "x", "metadata": metadata}]})


def test_deep_data_are_survived() -> None:
    """Presence nested so deeply that it cannot be written again is left out."""
    check_far_down(AGORA, deep("context", "presence"))


# --- out ----------------------------------------------------------------------------------------------------------


def test_a_reply_is_protected_by_its_first_chunk() -> None:
    """The chunk has the platform's own object and no choices, and comes before anything else or not at all."""
    assert AGORA.refuses("protect", Delivery()) is None
    assert AGORA.write(Command("protect"), Delivery()) == (
        Extra(
            chunk={
                "object": "chat.completion.custom_metadata",
                "choices": [],
                "metadata": {"interruptable": False},
            }
        ),
    )
    assert "before the first word" in (AGORA.refuses("protect", Delivery(begun=True)) or "")
    assert AGORA.write(Command("protect"), Delivery(begun=True)) == ()
    assert "stream" in (AGORA.refuses("protect", Delivery(whole=True)) or "")
    assert AGORA.write(Command("protect"), Delivery(whole=True)) == ()


@pytest.mark.parametrize(
    ("name", "way"),
    [("hangup", "/calls/{agentId}/hangup"), ("transfer", "SIP"), ("say_to_app", "RTM")],
)
def test_the_rest_api_is_named(name: CommandName, way: str) -> None:
    """A command that a reply cannot give is refused with the way that there is."""
    assert way in (AGORA.refuses(name, Delivery()) or "")


@pytest.mark.parametrize(
    ("event", "offered", "call"),
    [
        (Command("hangup"), "hangup", ("hangup", {})),
        (Command("hangup"), "end_call", ("end_call", {})),
        (Command("transfer", to="7"), "transfer_call", ("transfer_call", {"number": "7"})),
    ],
)
def test_a_tool_of_the_engine_is_called(event: Event, offered: str, call: tuple[str, Any]) -> None:
    """A function that the request offers for it is called under the name that it has there."""
    assert isinstance(event, Command)
    assert AGORA.refuses(event.name, offering(offered)) is None
    assert called(AGORA, event, offering(offered)) == call


async def protected(turn: Turn) -> AsyncIterator[Any]:
    """Protect the reply in time, and once more when it is too late."""
    yield turn.protect()
    yield "This call is recorded."
    yield turn.protect()
    yield Text(" May I go on?")


def test_a_replayed_reply_is_protected_too() -> None:
    """A retry that is answered from the record has the chunk in front of its words again, and once."""
    with live_server(protected) as server:
        asked = {**plain("hello"), **CUSTOM}
        bodies = [request(server.base_url, asked, {**AUTH, "x-call-id": "c-1"}).body for _ in range(2)]
    for raw in bodies:
        assert raw.count(b"custom_metadata") == 1
        assert raw.index(b"custom_metadata") < raw.index(b'"role"')


def test_the_first_chunk_of_a_stream_protects_it() -> None:
    """It goes out in front of the chunk with the role, has the stream's id, and never comes a second time."""
    with live_server(protected) as server:
        raw = request(server.base_url, {**plain("hello"), **CUSTOM}, AUTH).body
    said = check_stream(raw, usage_asked=False)
    assert (said.text, said.finish_reason) == ("This call is recorded. May I go on?", "stop")
    (own,) = said.own
    assert raw.startswith(b'data: {"id":"%b"' % said.id.encode())
    assert own["metadata"] == {"interruptable": False}
    assert raw.index(b"custom_metadata") < raw.index(b'"role"')
