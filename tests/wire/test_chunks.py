"""What is written to a client keeps the interface, whatever the agent says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import AgentError
from offhook.wire import faults
from offhook.wire.chat import CallDelta, ChunkWriter, encode_completion, encode_text, usage_object, well_formed
from tests.oracle import check_completion, check_stream, parse_object

if TYPE_CHECKING:
    from tests.oracle import Transcript

AWKWARD = {
    "quotes": '"\'`\\"',
    "newlines": "a\nb\r\nc\rd\n\ndata: [DONE]\n\n",
    "separators": "a\u2028b\u2029c\u0085d\x0b\x0c\x1c\x1d\x1e",
    "nul and controls": "".join(map(chr, range(32))) + "\x7f",
    "emoji": "👩‍👩‍👧‍👦🇨🇳😀",
    "chinese": "你好，我想订一张去北京的机票。",
    "right to left": "שלום\u202e مرحبا",
    "byte order mark": "\ufeffa\ufeff",
    "not a character": "\uffff\U0010ffff",
    "combining": "e\u0301\u0301",
    "looks like a format": "%s %b %d {} {0} %(x)s",
    "looks like JSON": '{"finish_reason":"stop"}',
    "blank": " ",
    "long": "长" * 100_000,
}
LONE = {
    "high alone": ("\ud83d", "\ufffd"),
    "low alone": ("\ude00", "\ufffd"),
    "high before a letter": ("a\ud800b", "a\ufffdb"),
    "low before high": ("\ude00\ud83d", "\ufffd\ufffd"),
    "the halves of an emoji": ("x\ud83d\ude00y", "x😀y"),
    "after a byte order mark": ("\ufeff\ud800", "\ufeff\ufffd"),
}


def writer(model: str = "abc", id: str = "chatcmpl-1") -> ChunkWriter:
    return ChunkWriter(id=id, created=1_700_000_000, model=model)


def spoken(*texts: str, calls: tuple[CallDelta, ...] = (), free_arguments: bool = False) -> Transcript:
    chunks = writer()
    raw = [chunks.role(), *map(chunks.text, texts), *map(chunks.call, calls)]
    raw += [chunks.finish("tool_calls" if chunks.called else "stop"), chunks.usage(2, 3), chunks.done()]
    return check_stream(b"".join(raw), model="abc", usage_asked=True, free_arguments=free_arguments)


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_any_text_arrives_as_it_was_said(text: str) -> None:
    """Awkward text arrives unchanged, in a stream that keeps the interface."""
    assert spoken(text, text).text == text * 2


@given(st.lists(st.text(min_size=1)))
def test_any_texts_arrive_joined(texts: list[str]) -> None:
    """Any pieces of text arrive joined, whatever they hold."""
    assert spoken(*texts).text == "".join(texts)


@pytest.mark.parametrize(("text", "expected"), LONE.values(), ids=LONE)
def test_lone_surrogates_become_replacement_characters(text: str, expected: str) -> None:
    """What UTF-8 cannot hold is replaced, and the chunk stays valid."""
    assert spoken(text).text == expected
    assert well_formed(text) == expected


@given(st.text(st.characters(exclude_categories=()) | st.characters(categories=["Cs"]), min_size=1))
def test_any_string_at_all_is_written(text: str) -> None:
    """Any Python string, surrogates included, gives a JSON string without a line end."""
    raw = encode_text(text)
    assert json.loads(raw) == well_formed(text)
    assert b"\n" not in raw and b"\r" not in raw


@given(st.text())
def test_well_formed_text_is_left_alone(text: str) -> None:
    """Text without lone surrogates is not changed."""
    assert well_formed(text) == text


def test_calls_are_whole_and_dense() -> None:
    """Each call is written whole, with the next index, and empty arguments are an empty object."""
    said = spoken("Bye.", calls=(CallDelta("look", '{"a": "\\n\u2028"}', "c1"), CallDelta("hangup", "", "c2")))
    assert [(call.id, call.name, call.arguments) for call in said.calls] == [
        ("c1", "look", '{"a": "\\n\u2028"}'),
        ("c2", "hangup", "{}"),
    ]
    assert said.finish_reason == "tool_calls"


def test_broken_arguments_are_passed_on() -> None:
    """Arguments that the model broke off are sent as they are, in chunks that stay valid."""
    said = spoken(
        calls=(CallDelta("look", '{"a": "', "c1"), CallDelta("\ud800", "\ud800", "\ud800")), free_arguments=True
    )
    assert [(call.id, call.name, call.arguments) for call in said.calls] == [
        ("c1", "look", '{"a": "'),
        ("\ufffd", "\ufffd", "\ufffd"),
    ]


def test_the_writer_knows_whether_it_called() -> None:
    """``called`` tells whether a call was written."""
    chunks = writer()
    chunks.text("x")
    assert not chunks.called
    chunks.call(CallDelta("hangup", "{}", "c1"))
    assert chunks.called


@pytest.mark.parametrize("name", ['a"b', "模型/1:latest", "\ud800", "%s%d%b", "a\nb", ""])
def test_any_model_name_and_id(name: str) -> None:
    """Any model name is echoed, and id and name cannot break the frame."""
    chunks = writer(name, name + "x")
    raw = chunks.role() + chunks.finish("length") + chunks.done()
    assert check_stream(raw, model=well_formed(name), usage_asked=False).id == well_formed(name + "x")


def test_two_writers_do_not_share_indexes() -> None:
    """Each stream counts its own calls."""
    for _ in range(2):
        assert len(spoken(calls=(CallDelta("a", "{}", "c1"), CallDelta("b", "{}", "c2"))).calls) == 2


def test_usage_is_written_when_it_is_asked() -> None:
    """The usage chunk adds up."""
    assert spoken().usage == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def test_a_failed_stream_ends_with_the_error() -> None:
    """A stream that failed ends with the error event, which the oracle takes for a legal end."""
    chunks = writer()
    raw = chunks.role() + chunks.text("Well,") + faults.error_event(AgentError("It\nbroke \ud800."))
    said = check_stream(raw, usage_asked=True, error_expected=True)
    assert said.text == "Well,"
    assert said.error is not None
    assert said.error["message"] == "It\nbroke \ufffd."


# --- stream: false ------------------------------------------------------------------------------------------------


def whole(text: str, *calls: CallDelta, model: str = "abc", reason: str = "stop") -> bytes:
    return encode_completion(
        id="chatcmpl-1",
        created=1_700_000_000,
        model=model,
        text=text,
        calls=list(calls),
        reason=reason,
        usage=usage_object(2, 3),
    )


@pytest.mark.parametrize("text", ["", *AWKWARD.values()], ids=["empty", *AWKWARD])
def test_a_completion_holds_any_text(text: str) -> None:
    """A whole completion carries awkward text unchanged."""
    said = check_completion(whole(text), model="abc")
    assert (said.text, said.usage) == (text, {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5})


@pytest.mark.parametrize(("text", "expected"), LONE.values(), ids=LONE)
def test_a_completion_replaces_lone_surrogates_everywhere(text: str, expected: str) -> None:
    """What UTF-8 cannot hold is replaced in the text, the model and every part of a call."""
    raw = whole(text, CallDelta(text, text, text), model=text, reason="tool_calls")
    said = check_completion(raw, model=expected, free_arguments=True)
    assert said.text == expected
    assert [(call.id, call.name, call.arguments) for call in said.calls] == [(expected,) * 3]


def test_a_completion_with_calls_alone_has_null_content() -> None:
    """Calls without words have null content, and empty arguments are an empty object."""
    raw = whole("", CallDelta("hangup", "", "c1"), reason="tool_calls")
    assert [call.arguments for call in check_completion(raw).calls] == ["{}"]
    assert parse_object(raw)["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085"])
def test_no_chunk_holds_what_others_take_for_a_line_end(separator: str) -> None:
    """Unicode line separators are escaped, since many clients read a stream by text lines."""
    raw = ChunkWriter(id="i", created=1, model="m").text(f"a{separator}b")
    assert separator.encode() not in raw
    assert json.loads(raw.removeprefix(b"data: "))["choices"][0]["delta"]["content"] == f"a{separator}b"
