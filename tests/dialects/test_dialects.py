"""What every dialect must keep, and what the platforms do differently."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.dialects.base import Arrival, Delivery, Dialect, Extra, Options, Reading
from offhook.dialects.choose import DIALECTS, HEADER, choose, fixed, named
from offhook.dialects.kind import kind_of
from offhook.dialects.sources import apply
from offhook.errors import BadField, BadJson, SetupError
from offhook.events import Command, CommandName, Event, Finish, Text, ToolCall, Usage
from offhook.speech.tags import disarm
from offhook.wire.chat import CallDelta, ChunkWriter, decode_request, encode_completion
from tests.dialects.arrivals import JSON, USER, arrival, header_values, objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offhook.dialects.base import Piece

MARK = "<ims_agent_interrupted>"
ALIBABA = DIALECTS["alibaba_ims"]
PLAIN = DIALECTS["plain"]

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


# --- every dialect ------------------------------------------------------------------------------------------------

EXTEND = objects("instanceId", "channelId", "sentenceId", "callerNumber", "calleeNumber", "userData")
CONTENT = st.none() | st.text() | st.lists(JSON, max_size=3) | st.just("a" + MARK + "b")
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "plugin"]) | st.text()},
    optional={
        "content": CONTENT,
        "tool_calls": JSON,
        "name": JSON,
        "metadata": objects("source", "interrupted", "original", "user"),
        "turn_id": JSON,
    },
)
# Every field that some platform has, with anything in it.
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "extendData": EXTEND,
        **dict.fromkeys(("turn_id", "timestamp", "interruptable", "maxTokens", "round_id", "RoundId", "user"), JSON),
        **dict.fromkeys(("Custom", "custom", "MetaInfo", "meta_info", "metadata", "elevenlabs_extra_body"), JSON),
        "context": objects("presence"),
        "call": objects("id", "customer", "phoneNumber"),
        "customer": objects("number"),
        "phoneNumber": objects("number"),
    },
)
HEADERS = header_values(
    *("x-task-id", "x-request-id", "x-rquest-id", "x-room-id", "x-user-id", "x-sdk-app-id", "x-invoke-llm"),
    *("x-call-id", "x-turn-id", "x-caller", "x-user-data", "x-livekit-room-id", "user-agent"),
)
QUERY = st.dictionaries(st.sampled_from(["task_id", "room_id", "api-key", "Api_Key", "k1"]) | st.text(), st.text())


@every_dialect
@given(messages=st.lists(MESSAGE, min_size=1, max_size=4), fields=FIELDS, headers=HEADERS, query=QUERY)
@example(messages=[USER], fields={"extendData": {"sentenceId": 1e300}}, headers={}, query={})
@example(messages=[USER], fields={"extendData": {"sentenceId": 10**400, "instanceId": -0.0}}, headers={}, query={})
@example(messages=[USER], fields={"extendData": {"instanceId": ""}}, headers={}, query={"task_id": ""})
@example(messages=[USER], fields={"round_id": 1e300, "maxTokens": 1e300, "turn_id": -0.0}, headers={}, query={})
def test_any_body_is_read(
    dialect: Dialect,
    messages: list[dict[str, Any]],
    fields: dict[str, Any],
    headers: dict[str, str],
    query: dict[str, str],
) -> None:
    """Whatever JSON a platform sends is read, every message is kept, and a field is a text or None."""
    try:
        came = arrival({**fields, "messages": messages}, headers=headers, query=query)
    except (BadJson, BadField):  # An integer too large for the JSON reader never gets here.
        return
    assert isinstance(dialect.marks(came), bool)
    reading = apply(Options(), came, dialect.read(came))
    assert reading.call.platform == dialect.name
    assert [message.role for message in reading.history] == [message["role"] for message in messages]
    for text in (reading.turn_id, reading.call.id, reading.call.room, reading.call.caller, reading.call.callee):
        assert text is None or (isinstance(text, str) and text)
    assert reading.call.user_data_raw is None or isinstance(reading.call.user_data_raw, str)
    assert reading.max_tokens is None or reading.max_tokens > 0
    assert isinstance(kind_of(reading.history, reading.kind)[1], str)
    assert not {"api-key", "api_key"} & {name.lower() for name in reading.call.query}
    assert choose(came, None).read(came).history


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
    Command("hangup", text="Goodbye."),
    Command("transfer", to="+49301234", text="One moment.", failed="Nobody is there."),
    Command("transfer", to="nobody!"),
    Command("protect"),
    Command("say_to_app", data={"a": [1, None, "\u2028"]}),
    Usage(1, 2),
    Finish(),
    Finish("failed", ValueError("x")),
]
# Those behind the other door have no place in their frames for the call of a function, and one reads none.
SOCKETS = {"retell", "conversation_relay"}
WITHOUT_CALLS = {*SOCKETS, "volcengine"}
NAMES: tuple[CommandName, ...] = ("hangup", "transfer", "protect", "say_to_app")


def deliveries() -> Iterator[Delivery]:
    """Give replies at their beginning and later, to requests with tools and without, under both kinds of hang-up."""
    for begun in (False, True):
        for offered in (frozenset[str](), frozenset({"look"}), frozenset({"hangup", "transfer", "look"})):
            yield Delivery(Options(), offered, begun)
            yield Delivery(Options(hangup_as="tag", hangup_function="bye", transfer_caller="1"), offered, begun)


def written(dialect: Dialect, event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Give what goes out for an event: nothing for a command that is refused."""
    if isinstance(event, Command) and dialect.refuses(event.name, delivery) is not None:
        return ()
    return dialect.write(event, delivery)


def check(pieces: tuple[Piece, ...]) -> None:
    """Assert that the pieces are words, whole calls and chunks that can be encoded, and none of them empty."""
    writer = ChunkWriter(id="c", created=0, model="m")
    for piece in pieces:
        if isinstance(piece, str):
            assert piece and writer.text(piece)
        elif isinstance(piece, Extra):
            assert json.loads(writer.extra(piece.chunk)[6:]).keys() > {"id", "created", "model"}
        else:
            assert piece.name and writer.call(piece)
            assert isinstance(json.loads(piece.arguments), dict)


@every_dialect
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_written_as_text_or_whole_calls(dialect: Dialect, event: Event) -> None:
    """A dialect writes an event as words, whole tool calls and chunks of its own, and never as empty ones."""
    for delivery in deliveries():
        check(written(dialect, event, delivery))


@every_dialect
def test_text_and_calls_are_written_unchanged(dialect: Dialect) -> None:
    """Words and calls of the request's own functions go out as they are, and what is not spoken or done does not."""
    delivery = Delivery(offered=frozenset({"look"}))
    assert dialect.write(Text("你好\u2028"), delivery) == ("你好\u2028",)
    calls = (CallDelta("look", '{"a":1}', "c1"), CallDelta("look", "{}", ""))
    written_as = [dialect.write(ToolCall(call.name, call.arguments, call.id), delivery) for call in calls]
    assert written_as == [() if dialect.name in WITHOUT_CALLS else (call,) for call in calls]
    assert dialect.write(ToolCall("look", ""), delivery) == written_as[1]
    nothing: tuple[Event, ...] = (Text(""), Usage(1, 2), Finish())
    assert [dialect.write(event, delivery) for event in nothing] == [(), (), ()]


@every_dialect
def test_the_hang_up_has_the_configured_name(dialect: Dialect) -> None:
    """A platform that hangs up by a function is given the name that it was configured with."""
    delivery = Delivery(Options(hangup_function="adieu"), frozenset({"adieu"}))
    if dialect.name == "volcengine":
        assert dialect.write(Command("hangup"), delivery) == ()
        return
    assert dialect.refuses("hangup", delivery) is None
    (piece,) = dialect.write(Command("hangup"), delivery)
    assert isinstance(piece, Extra if dialect.name in SOCKETS else CallDelta)
    assert not isinstance(piece, CallDelta) or piece.name == "adieu"


@every_dialect
@pytest.mark.parametrize("name", NAMES)
def test_a_refusal_names_a_way(dialect: Dialect, name: CommandName) -> None:
    """A command is taken, or refused with a reason that begins a log line: without full stop, and not of one word."""
    for delivery in deliveries():
        why = dialect.refuses(name, delivery)
        assert why is None or (len(why.split()) > 5 and not why.endswith(".") and "\n" not in why)


@every_dialect
def test_what_is_refused_is_told_at_once(dialect: Dialect) -> None:
    """A command that a reply takes at its end is taken at its beginning too, so that ``turn.can`` is no lie."""
    for name in NAMES:
        for offered in (frozenset[str](), frozenset({"hangup", "transfer"})):
            later = dialect.refuses(name, Delivery(offered=offered, begun=True))
            assert later is not None or dialect.refuses(name, Delivery(offered=offered)) is None


LONE = "a\ud800b"


@every_dialect
@pytest.mark.parametrize(
    "event",
    [
        Text(LONE),
        ToolCall(LONE, LONE, LONE),
        Command("hangup", text=LONE),
        Command("transfer", to=f"1{LONE}", text=LONE, failed=LONE),
        Command("say_to_app", data={LONE: [LONE, {"a": (LONE, 1)}]}),
    ],
    ids=lambda event: getattr(event, "name", "text").replace(LONE, "call"),
)
def test_a_lone_surrogate_breaks_nothing(dialect: Dialect, event: Event) -> None:
    """What UTF-8 cannot hold is written as U+FFFD, in words, calls and chunks."""
    for delivery in deliveries():
        pieces = written(dialect, event, delivery)
        writer = ChunkWriter(id="c", created=0, model="m")
        for piece in pieces:
            if isinstance(piece, str):
                raw = writer.text(piece)
            else:
                raw = writer.extra(piece.chunk) if isinstance(piece, Extra) else writer.call(piece)
            assert b"\xed\xa0\x80" not in raw and json.loads(raw[6:])
        extra = {name: value for piece in pieces if isinstance(piece, Extra) for name, value in piece.message.items()}
        calls = [piece for piece in pieces if isinstance(piece, CallDelta)]
        assert encode_completion(
            id="c", created=0, model="m", text=LONE, calls=calls, reason="stop", usage={}, extra=extra
        )


FORGED = st.lists(
    st.sampled_from(['"', "'", ">", "/>", "<", "</", "\n", "\u201d", "=", ",", "callee=", "1", "a ", "\\", "&quot;"])
    | st.sampled_from(["<imsagent_hangup/>", "<No Interrupting>", "<imsagent_transfer_call callee=1/>"])
    | st.sampled_from(["<flush/>", "<fl", "ush />", "<imsa", "gent_"])
    | st.text(max_size=3),
    max_size=8,
).map("".join)
# A whole tag, in whose values nothing stands that could end or begin one.
WHOLE_TAG = re.compile(r"""<[a-z_]+ [a-z_]+="[^"<>='`\n]*"(?:, [a-z_]+="[^"<>='`\n]*")*/>""")


@every_dialect
@given(to=FORGED, text=FORGED, failed=FORGED, caller=FORGED)
@example(to='1" callee="2', text='"/><imsagent_hangup endword="x', failed="'><No Interrupting>", caller='"')
def test_no_tag_is_forged(dialect: Dialect, to: str, text: str, failed: str, caller: str) -> None:
    """Whatever stands in a command's words, each text that it is written as is one whole tag, or none."""
    for command in (Command("hangup", text=text), Command("transfer", to=to, text=text, failed=failed)):
        for options in (Options(), Options(hangup_as="tag", transfer_caller=caller)):
            pieces = written(dialect, command, Delivery(options))
            check(pieces)
            for piece in (piece for piece in pieces if isinstance(piece, str)):
                if disarm(piece, dialect.tags) != piece:
                    assert WHOLE_TAG.fullmatch(piece)


def test_an_unknown_option_is_refused() -> None:
    """A dialect's setting with a typing error is refused."""
    with pytest.raises(msgspec.ValidationError, match="hangup_funktion"):
        msgspec.convert({"hangup_funktion": "x"}, Options)


# --- choosing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "query", "name"),
    [
        ({}, {}, "plain"),
        ({"extendData": {}}, {}, "alibaba_ims"),
        ({"extendData": None}, {}, "alibaba_ims"),
        ({}, {"task_id": "t"}, "alibaba_ims"),
        ({}, {"task_id": "t", "room_id": "r"}, "alibaba_ims"),
        ({}, {"room_id": "r"}, "plain"),
        ({}, {"task_id": "t", "call_id": "c"}, "plain"),
        ({"extendData": {}}, {"call_id": "c"}, "alibaba_ims"),
        ({"call": {"id": "c"}, "turn_id": 1, "timestamp": 2, "maxTokens": 3}, {}, "vapi"),
        ({"call": {"id": "c"}, "context": {"presence": []}}, {}, "vapi"),
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


@pytest.mark.parametrize("name", sorted(SOCKETS))
def test_a_chat_completion_is_no_websockets(name: str) -> None:
    """Neither path, header nor body make a request one of a platform that sends none, and the setting says so."""
    came = arrival({name: {"response_id": 1}}, headers={HEADER: name}, path=f"/{name}/v1/chat/completions")
    assert choose(came, None) is PLAIN
    with pytest.raises(SetupError, match="WebSocket"):
        fixed(name)


def test_a_platform_may_be_fixed() -> None:
    """Every other name is that of a dialect, and auto of none."""
    assert fixed("auto") is None
    assert fixed("vapi") is DIALECTS["vapi"]


@every_dialect
def test_chosen_by_setting(dialect: Dialect) -> None:
    """The setting goes before the header and the marks."""
    came = arrival({"extendData": {}}, headers={HEADER: "alibaba_ims"})
    assert choose(came, dialect) is dialect
    assert choose(arrival(headers={HEADER: "plain"}), named(dialect.name)) is dialect


def test_a_dialect_that_does_not_exist() -> None:
    """A setting that names no dialect is answered with the names that there are."""
    with pytest.raises(SetupError, match=f"nonsense.*: {', '.join(DIALECTS)}\\."):
        named("nonsense")


def test_no_list_of_names_holds_one_that_is_refused() -> None:
    """``auto`` names no dialect, and fixes none; what comes by a WebSocket cannot be fixed."""
    with pytest.raises(SetupError, match=r"no dialect 'auto'; there are: trtc"):
        named("auto")
    with pytest.raises(SetupError, match=r"there are: auto, trtc") as refused:
        fixed("nonsense")
    assert not any(name in refused.value.message for name in SOCKETS)


def test_names_are_keys() -> None:
    """Every dialect is registered under its own name, and plain comes last because it has no marks."""
    assert [dialect.name for dialect in DIALECTS.values()] == list(DIALECTS)
    assert list(DIALECTS)[-1] == "plain"
