"""Alibaba IMS: what is read from ``extendData``, the query and the messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from offhook.dialects.choose import DIALECTS, choose
from offhook.dialects.kind import kind_of
from tests.dialects.arrivals import USER, arrival

if TYPE_CHECKING:
    from offhook.dialects.base import Reading

MARK = "<ims_agent_interrupted>"
ALIBABA = DIALECTS["alibaba_ims"]
PLAIN = DIALECTS["plain"]


def extended(**extend: Any) -> Reading:
    return ALIBABA.read(arrival({"extendData": extend}))


def said(*messages: dict[str, Any]) -> list[tuple[str, str, bool]]:
    history = ALIBABA.read(arrival({"messages": messages, "extendData": {}})).history
    return [(message.role, message.text, message.interrupted) for message in history]


def test_the_values_of_the_page() -> None:
    """The sample values of the vendor's page give the call, the room, the turn, the numbers and the user data."""
    reading = extended(
        instanceId="68e00b6640e*****3e943332fee7",
        channelId="123",
        sentenceId="3",
        callerNumber="13800000001",
        calleeNumber="13800000002",
        userData='{"aaaa":"bbbb"}',
    )
    call = reading.call
    assert (call.id, call.room, reading.turn_id) == ("68e00b6640e*****3e943332fee7", "123", "3")
    assert (call.caller, call.callee) == ("13800000001", "13800000002")
    assert (call.user_data, call.user_data_raw) == ({"aaaa": "bbbb"}, '{"aaaa":"bbbb"}')


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        (3, "3"),
        ("3", "3"),
        (3.0, "3"),
        (0, "0"),
        (-1, "-1"),
        (10**30, "1" + "0" * 30),
        (3.5, "3.5"),
        ("", None),
        (None, None),
        ("three", "three"),
        ("{'broken", "{'broken"),
        (" 3", " 3"),
        ("第三句", "第三句"),
        (True, None),
        ([3], "[3]"),
        ({"id": 3}, '{"id":3}'),
    ],
)
def test_ids_are_texts(value: object, id_: str | None) -> None:
    """An id is a text, so that 3 and "3" are one, and nonsense is kept rather than refused."""
    reading = extended(sentenceId=value, instanceId=value, channelId=value, callerNumber=value)
    assert (reading.turn_id, reading.call.id, reading.call.room, reading.call.caller) == (id_,) * 4


def test_missing_fields_are_none() -> None:
    """Every field of ``extendData`` is optional."""
    reading = extended()
    assert reading.turn_id is None
    assert reading.call == msgspec.structs.replace(PLAIN.read(arrival()).call, platform="alibaba_ims")


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        ('{"aaaa":"bbbb"}', {"aaaa": "bbbb"}),
        ("3", 3),
        ("null", None),
        ('"text"', "text"),
        ("", ""),
        ("not JSON", "not JSON"),
        ("{'aaaa': 'bbbb'}", "{'aaaa': 'bbbb'}"),
        ('{"broken', '{"broken'),
        ("[" * 100_000, "[" * 100_000),
        ('"\\ud800"', '"\\ud800"'),
        ("\x00\u2028", "\x00\u2028"),
    ],
)
def test_user_data_is_any_string(raw: str, parsed: object) -> None:
    """User data is kept as it came, and parsed when it is a JSON text."""
    call = extended(userData=raw).call
    assert (call.user_data_raw, call.user_data) == (raw, parsed)


@pytest.mark.parametrize("value", [{"a": ["b"]}, [1], 3, True])
def test_user_data_that_is_no_string(value: object) -> None:
    """User data that comes as an object or a number is kept as its JSON text."""
    call = extended(userData=value).call
    assert call.user_data == value
    assert call.user_data_raw is not None
    assert json.loads(call.user_data_raw) == value


def test_extend_data_as_a_json_text() -> None:
    """``extendData`` that comes as a JSON text is read like the object."""
    reading = ALIBABA.read(arrival({"extendData": '{"instanceId": "i", "sentenceId": 3}'}))
    assert (reading.call.id, reading.turn_id) == ("i", "3")


@pytest.mark.parametrize("value", [None, "", "nonsense", "[1]", [1], 3, True, "\x00"])
def test_extend_data_that_is_nonsense(value: object) -> None:
    """``extendData`` that is no object says nothing, and still marks the platform."""
    came = arrival({"extendData": value})
    assert choose(came, None) is ALIBABA
    assert (ALIBABA.read(came).call.id, ALIBABA.read(came).turn_id) == (None, None)


def test_the_query_fills_in() -> None:
    """``task_id`` and ``room_id`` of the query stand in for what ``extendData`` lacks, and only then."""
    query = {"task_id": "t", "room_id": "r"}
    alone = ALIBABA.read(arrival(query=query)).call
    beside = ALIBABA.read(arrival({"extendData": {"instanceId": "i", "channelId": 7}}, query=query)).call
    assert (alone.id, alone.room, alone.query) == ("t", "r", query)
    assert (beside.id, beside.room, beside.query) == ("i", "7", query)


def test_an_empty_query_parameter_says_nothing() -> None:
    """An empty ``task_id`` or ``room_id`` is no id."""
    call = ALIBABA.read(arrival(query={"task_id": "", "room_id": ""})).call
    assert (call.id, call.room) == (None, None)


def test_the_mark_of_an_interruption() -> None:
    """The mark is taken out of what the assistant said and flagged, wherever it stands and however often."""
    assert said(
        {"role": "assistant", "content": f"One, two{MARK}, three"},
        {"role": "assistant", "content": MARK},
        {"role": "assistant", "content": f"{MARK}One{MARK}"},
        {"role": "assistant", "content": "One, two."},
        {"role": "assistant", "content": None},
    ) == [
        ("assistant", "One, two, three", True),
        ("assistant", "", True),
        ("assistant", "One", True),
        ("assistant", "One, two.", False),
        ("assistant", "", False),
    ]


@pytest.mark.parametrize("role", ["user", "system", "tool", "plugin"])
def test_the_mark_in_somebody_elses_words(role: str) -> None:
    """The mark in words that are not the assistant's is left there."""
    assert said({"role": role, "content": f"a{MARK}b"}) == [(role, f"a{MARK}b", False)]


def test_the_mark_in_a_list_of_parts() -> None:
    """The mark in a list of parts is taken out too, also from the fields that are sent on to a model."""
    content = [{"type": "text", "text": f"One{MARK}"}, {"type": "text", "text": " two"}]
    came = arrival({"messages": [{"role": "assistant", "content": content, "name": "n"}, USER], "extendData": {}})
    message = ALIBABA.read(came).history[0]
    assert (message.text, message.interrupted) == ("One two", True)
    assert message.fields == {"role": "assistant", "content": "One two", "name": "n"}


def test_the_body_is_left_as_it_came() -> None:
    """Reading does not change the request."""
    came = arrival({"messages": [{"role": "assistant", "content": f"a{MARK}"}], "extendData": {"sentenceId": 3}})
    before = json.dumps(came.request.body)
    ALIBABA.read(came)
    assert json.dumps(came.request.body) == before


def test_plain_reads_no_platform_fields() -> None:
    """Plain OpenAI reads neither ``extendData`` nor the mark, and knows no turn id."""
    came = arrival({"messages": [{"role": "assistant", "content": f"a{MARK}"}], "extendData": {"instanceId": "i"}})
    reading = PLAIN.read(came)
    assert (reading.call.id, reading.turn_id, reading.history[0].text) == (None, None, f"a{MARK}")


@pytest.mark.parametrize(
    ("text", "left", "heard"),
    [
        ("One<IMS_Agent_Interrupted> two", "One two", 3),
        ("One< ims_agent_interrupted />", "One", 3),
        ("One</ims_agent_interrupted>", "One", 3),
        (f"{MARK}{MARK}One{MARK}", "One", 0),
        (f"<No Interrupting>One{MARK} two", "One two", 3),
        (f'One{MARK} two<imsagent_hangup endword="x"/>', "One two", 3),
        (f"One<imsa{MARK}gent_hangup/>", "One", 3),
        (f"1 < 2{MARK}", "1 < 2", 5),
    ],
)
def test_the_mark_in_any_form(text: str, left: str, heard: int) -> None:
    """The mark is found in any case and with a slash, and the agent's commands count for nothing that was heard."""
    came = arrival({"messages": [{"role": "assistant", "content": text}, USER], "extendData": {}})
    message = ALIBABA.read(came).history[0]
    assert (message.text, message.interrupted, message.heard) == (left, True, heard)
    assert message.fields["content"] == left


@pytest.mark.timeout(10)
def test_marks_without_end_are_read_at_once() -> None:
    """White space behind brackets, however much, does not hold the reading up."""
    for text in ("<" * 100_000, "<" + " " * 200_000, "< /" * 60_000, MARK * 20_000):
        (role, _, _), *_ = said({"role": "assistant", "content": text}, USER)
        assert role == "assistant"


@pytest.mark.parametrize(
    ("messages", "kind", "text"),
    [
        ([("user", "Hello, who is calling?")], "utterance", "Hello, who is calling?"),
        ([("system", "Be kind.")], "wake_up", ""),
        ([("system", "Be kind."), ("assistant", "Welcome.")], "wake_up", ""),
        ([("assistant", "Welcome."), ("user", "")], "silence", ""),
        ([("user", "Hi"), ("assistant", f"Hello{MARK}")], "silence", ""),
        ([("user", "Hi"), ("plugin", "x=1")], "injected", "x=1"),
        ([("user", "Hi"), ("function", "x=1")], "tool_result", "Hi"),
    ],
)
def test_kinds_of_turns(messages: list[tuple[str, str]], kind: str, text: str) -> None:
    """A WakeUpQuery comes as the caller's words; a prompt alone, silence and what a plugin says are told apart."""
    came = arrival({"messages": [{"role": role, "content": words} for role, words in messages], "extendData": {}})
    reading = ALIBABA.read(came)
    assert reading.kind is None
    assert kind_of(reading.history, reading.kind) == (kind, text)


def test_pictures_reach_the_agent() -> None:
    """Image parts stay in the message's fields, the texts are joined, and a picture alone is an utterance."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AA=="}}
    parts = [picture, {"type": "text", "text": "What is "}, picture, {"type": "text", "text": "this?"}]
    came = arrival({"messages": [{"role": "user", "content": parts}], "extendData": {}})
    (message,) = ALIBABA.read(came).history
    assert (message.text, message.fields["content"]) == ("What is this?", parts)
    alone = arrival({"messages": [{"role": "user", "content": [picture]}], "extendData": {}})
    assert kind_of(ALIBABA.read(alone).history) == ("utterance", "")
