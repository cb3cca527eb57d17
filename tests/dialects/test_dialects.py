"""What every dialect must keep, and what the platforms do differently."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.dialects.base import Arrival, Dialect, Options, Reading
from offhook.dialects.choose import DIALECTS, HEADER, choose, named
from offhook.errors import BadField, BadJson, SetupError
from offhook.events import Command, Event, Finish, Text, ToolCall, Usage
from offhook.wire.chat import CallDelta, decode_request

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "<ims_agent_interrupted>"
USER: dict[str, Any] = {"role": "user", "content": "x"}
ALIBABA = DIALECTS["alibaba_ims"]
PLAIN = DIALECTS["plain"]

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


def arrival(
    fields: Mapping[str, Any] | None = None,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Arrival:
    body = {"messages": [USER], "model": "abc", "stream": True, **(fields or {})}
    raw = json.dumps(body, ensure_ascii=False).encode()
    return Arrival(request=decode_request(raw), headers=headers or {}, query=query or {})


def extended(**extend: Any) -> Reading:
    return ALIBABA.read(arrival({"extendData": extend}))


def said(*messages: dict[str, Any]) -> list[tuple[str, str, bool]]:
    history = ALIBABA.read(arrival({"messages": messages, "extendData": {}})).history
    return [(message.role, message.text, message.interrupted) for message in history]


# --- every dialect ------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = ("instanceId", "channelId", "sentenceId", "callerNumber", "calleeNumber", "userData")
EXTEND = JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)) | JSON.map(json.dumps)
CONTENT = st.none() | st.text() | st.lists(JSON, max_size=3) | st.just("a" + MARK + "b")
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "plugin"]) | st.text()},
    optional={"content": CONTENT, "tool_calls": JSON, "name": JSON},
)
QUERY = st.dictionaries(st.sampled_from(["task_id", "room_id", "api-key", "Api_Key", "k1"]) | st.text(), st.text())


@every_dialect
@given(messages=st.lists(MESSAGE, min_size=1, max_size=4), extend=EXTEND, query=QUERY)
@example(messages=[USER], extend={"sentenceId": 1e300}, query={})
@example(messages=[USER], extend={"sentenceId": 10**400, "instanceId": -0.0}, query={})
@example(messages=[USER], extend={"instanceId": "", "userData": ""}, query={"task_id": "", "room_id": ""})
def test_any_body_is_read(
    dialect: Dialect, messages: list[dict[str, Any]], extend: object, query: dict[str, str]
) -> None:
    """Whatever JSON a platform sends is read, every message is kept, and a field is a text or None."""
    fields = {"messages": messages, "extendData": extend}
    try:
        came = arrival(fields, query=query)
    except (BadJson, BadField):  # An integer too large for the JSON reader never gets here.
        return
    assert isinstance(dialect.marks(came), bool)
    reading = dialect.read(came)
    assert reading.call.platform == dialect.name
    assert [message.role for message in reading.history] == [message["role"] for message in messages]
    for text in (reading.turn_id, reading.call.id, reading.call.room, reading.call.caller, reading.call.callee):
        assert text is None or (isinstance(text, str) and text)
    assert not {"api-key", "api_key"} & {name.lower() for name in reading.call.query}


@every_dialect
def test_deep_nesting_is_read(dialect: Dialect) -> None:
    """Values nested so deeply that they can be read but not written again do not crash a dialect."""
    deep = b"[" * 900 + b"]" * 900
    raw = b'{"messages":[{"role":"user"}],"model":"m","extendData":{"sentenceId":%b,"userData":%b}}' % (deep, deep)
    came = Arrival(request=decode_request(raw), headers={}, query={})

    def read(frames: int) -> Reading:
        return read(frames - 1) if frames else dialect.read(came)

    assert read(150).turn_id is None


@every_dialect
def test_the_history_keeps_every_field(dialect: Dialect) -> None:
    """A message of an unknown role, without content or with tool calls, is kept with all its fields."""
    messages: list[dict[str, Any]] = [
        {"role": "plugin", "content": None, "x": 1},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "developer"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": "x"}],
        },
    ]
    history = dialect.read(arrival({"messages": messages})).history
    assert [message.fields for message in history] == messages
    assert [message.text for message in history] == ["", "1", "", "", "x"]


@every_dialect
def test_the_query_is_kept_without_the_key(dialect: Dialect) -> None:
    """Query parameters are kept, but never the key, in whatever case its name comes."""
    query = {
        "api-version": "2024-02-01",
        "api-key": "sk-1",
        "API-KEY": "sk-2",
        "api_key": "sk-3",
        "task_id": "t",
        "k": "",
    }
    reading = dialect.read(arrival(query=query))
    assert reading.call.query == {"api-version": "2024-02-01", "task_id": "t", "k": ""}
    assert "sk-" not in repr(reading)


EVENTS: list[Event] = [
    Text("你好"),
    Text(""),
    ToolCall("look", '{"a":1}', "c1"),
    ToolCall("look", ""),
    Command("hangup"),
    Usage(1, 2),
    Finish(),
    Finish("failed", ValueError("x")),
]


@every_dialect
@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_every_event_is_written_as_text_or_whole_calls(dialect: Dialect, event: Event) -> None:
    """A dialect writes an event as words and whole tool calls, and never as empty ones."""
    for piece in dialect.write(event, Options()):
        if isinstance(piece, str):
            assert piece
        else:
            assert piece.name
            json.loads(piece.arguments)


@every_dialect
def test_text_and_calls_are_written_unchanged(dialect: Dialect) -> None:
    """Words and the model's own calls go out as they are, and what is not spoken or done is not written."""
    write = dialect.write
    assert write(Text("你好\u2028"), Options()) == ("你好\u2028",)
    assert write(ToolCall("look", '{"a":1}', "c1"), Options()) == (CallDelta("look", '{"a":1}', "c1"),)
    assert write(ToolCall("look", ""), Options()) == (CallDelta("look", "{}", ""),)
    assert write(Text(""), Options()) == write(Usage(1, 2), Options()) == write(Finish(), Options()) == ()


@every_dialect
def test_the_hang_up_has_the_configured_name(dialect: Dialect) -> None:
    """The hang-up is a tool call without arguments under the name that the platform's FunctionMap has."""
    assert dialect.write(Command("hangup"), Options()) == (CallDelta("hangup", "{}", ""),)
    options = msgspec.convert({"hangup_function": "end_call"}, Options)
    assert dialect.write(Command("hangup"), options) == (CallDelta("end_call", "{}", ""),)


def test_an_unknown_option_is_refused() -> None:
    """A dialect's setting with a typing error is refused."""
    with pytest.raises(msgspec.ValidationError, match="hangup_funktion"):
        msgspec.convert({"hangup_funktion": "x"}, Options)


# --- Alibaba IMS --------------------------------------------------------------------------------------------------


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
        (True, "true"),
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


# --- choosing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "query", "name"),
    [
        ({}, {}, "plain"),
        ({"extendData": {}}, {}, "alibaba_ims"),
        ({"extendData": None}, {}, "alibaba_ims"),
        ({}, {"task_id": "t"}, "alibaba_ims"),
        ({}, {"room_id": "r"}, "alibaba_ims"),
        ({"user": "u"}, {"k1": "v1"}, "plain"),
    ],
)
def test_chosen_by_marks(fields: dict[str, Any], query: dict[str, str], name: str) -> None:
    """Without setting and header the marks of the body and the query decide, and plain is what is left."""
    assert choose(arrival(fields, query=query), None).name == name


def test_chosen_by_header() -> None:
    """The header goes before the marks, and one that names no dialect is passed over."""
    marked: dict[str, Any] = {"extendData": {}}
    assert choose(arrival(marked, headers={HEADER: "plain"}), None) is PLAIN
    assert choose(arrival(headers={HEADER: "alibaba_ims"}), None) is ALIBABA
    assert choose(arrival(marked, headers={HEADER: "nonsense"}), None) is ALIBABA
    assert choose(arrival(marked, headers={HEADER: ""}), None) is ALIBABA


@every_dialect
def test_chosen_by_setting(dialect: Dialect) -> None:
    """The setting goes before the header and the marks."""
    came = arrival({"extendData": {}}, headers={HEADER: "alibaba_ims"})
    assert choose(came, dialect) is dialect
    assert choose(arrival(headers={HEADER: "plain"}), named(dialect.name)) is dialect


def test_a_dialect_that_does_not_exist() -> None:
    """A setting that names no dialect is answered with the names that there are."""
    with pytest.raises(SetupError, match=f"nonsense.*auto, {', '.join(DIALECTS)}"):
        named("nonsense")


def test_names_are_keys() -> None:
    """Every dialect is registered under its own name, and plain comes last because it has no marks."""
    assert [dialect.name for dialect in DIALECTS.values()] == list(DIALECTS)
    assert list(DIALECTS)[-1] == "plain"
