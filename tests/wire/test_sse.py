"""The decoder reads an event stream however it is cut, and the encoder writes what it reads."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.errors import WireError
from offhook.wire import sse
from offhook.wire.sse import Decoder, ServerEvent

LINE_ENDS = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}

# One of everything, with LF; the tests write the other line ends in its place.
STREAM = (
    b"\xef\xbb\xbf: hello, a comment\n"
    b'data: {"text":"' + "Grüß 你好 \u2028 \u2029 \u0085 😀".encode() + b'"}\n\n'
    b"event: error\ndata:no space\ndata:  two spaces\n\n"
    b"data\n\n"
    b"data: first\nid: 7\nretry: 10\nunknown: x\ndata: second\ndata\n\n"
    b"event: forgotten\n\n"
    b"\n\n"
    b"data: after\n: comment inside\n\n"
    b"data: [DONE]\n\n"
)
EVENTS = [
    ServerEvent(b'{"text":"' + "Grüß 你好 \u2028 \u2029 \u0085 😀".encode() + b'"}'),
    ServerEvent(b"no space\n two spaces", "error"),
    ServerEvent(b""),
    ServerEvent(b"first\nsecond\n"),
    ServerEvent(b"after"),
    ServerEvent(b"[DONE]"),
]


def decode(*pieces: bytes, max_event: int = 1 << 20) -> list[ServerEvent]:
    decoder = Decoder(max_event)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.flush()


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("end", LINE_ENDS.values(), ids=LINE_ENDS)
def test_cut_once_at_every_byte(end: bytes) -> None:
    """A stream gives the same events wherever it is cut in two, with every line end."""
    raw = STREAM.replace(b"\n", end)
    for place in range(len(raw) + 1):
        assert decode(raw[:place], raw[place:]) == EVENTS, place


@pytest.mark.parametrize("end", LINE_ENDS.values(), ids=LINE_ENDS)
def test_byte_by_byte(end: bytes) -> None:
    """A stream that dribbles gives the same events, with empty reads in between."""
    pieces = [piece for byte in STREAM.replace(b"\n", end) for piece in (b"", bytes([byte]))]
    assert decode(*pieces) == EVENTS


@given(st.sampled_from(list(LINE_ENDS.values())), st.lists(st.integers(0, 1 << 16), max_size=40))
def test_cut_anywhere(end: bytes, places: list[int]) -> None:
    """A stream gives the same events however it is cut."""
    assert decode(*cut(STREAM.replace(b"\n", end), places)) == EVENTS


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=10))
@example(b"data: a\r\r\ndata: b\r\n\r\r", [8, 9, 10])
@example(b"\xef\xbbdata: a\n\n", [1, 2])
@example(b"\xef\xbb\xbf\ndata: a\n\n", [2])
def test_no_cut_changes_anything(raw: bytes, places: list[int]) -> None:
    """Any bytes at all give the same events in one piece and in many, and never raise."""
    assert decode(*cut(raw, places)) == decode(raw)


@given(
    st.lists(
        st.sampled_from([b"data", b"event", b":", b" ", b"\r", b"\n", b"\r\n", b"x", b"\xef\xbb\xbf"]), max_size=40
    ),
    st.lists(st.integers(0, 300), max_size=10),
)
def test_no_cut_changes_what_looks_like_a_stream(parts: list[bytes], places: list[int]) -> None:
    """The marks of the format in any order give the same events in one piece and in many."""
    raw = b"".join(parts)
    assert decode(*cut(raw, places)) == decode(raw)


def test_line_ends_may_be_mixed() -> None:
    """LF, CRLF and CR may end the lines of one stream."""
    assert decode(b"data: a\r\n\rdata: b\r\rdata: c\n\r\n") == [ServerEvent(b"a"), ServerEvent(b"b"), ServerEvent(b"c")]


def test_merged_events_come_together() -> None:
    """All events of one read come from one call, in order."""
    assert Decoder().feed(b"data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4") == [
        ServerEvent(b"1"),
        ServerEvent(b"2"),
        ServerEvent(b"3"),
    ]


def test_an_event_comes_with_its_blank_line() -> None:
    """An event is given by the very read that brings its blank line."""
    decoder = Decoder()
    assert decoder.feed(b"data: 1\n") == []
    assert decoder.feed(b"\n") == [ServerEvent(b"1")]
    assert decoder.feed(b"data: 2\r\n\r\n") == [ServerEvent(b"2")]


@pytest.mark.parametrize("raw", [b"data: x", b"data: x\n", b"data: x\r\n", b"data: x\r", b"data: x\nevent: y"])
def test_an_unterminated_event_is_no_event(raw: bytes) -> None:
    """An event whose blank line never came is dropped, as the specification asks, and is still pending."""
    decoder = Decoder()
    assert decoder.feed(b"data: whole\n\n" + raw) + decoder.flush() == [ServerEvent(b"whole")]
    assert decoder.pending.startswith((b"x", b"data: x"))


def test_nothing_is_pending_after_a_whole_event() -> None:
    """Between two events nothing is pending."""
    decoder = Decoder()
    decoder.feed(b"data: x\n\n")
    assert decoder.pending == b""


def test_a_held_carriage_return_ends_the_last_event() -> None:
    """At the end of the stream a lone CR closes the event that it ends."""
    decoder = Decoder()
    assert decoder.feed(b"data: x\r\r") == []
    assert decoder.flush() == [ServerEvent(b"x")]
    assert decoder.flush() == []
    assert decoder.pending == b""


def test_the_type_lasts_for_one_event() -> None:
    """An event's type is forgotten after it, also when the event had no data."""
    assert decode(b"event: a\ndata: 1\n\ndata: 2\n\nevent: b\n\ndata: 3\n\n") == [
        ServerEvent(b"1", "a"),
        ServerEvent(b"2"),
        ServerEvent(b"3"),
    ]


def test_only_the_first_mark_is_a_byte_order_mark() -> None:
    """A byte order mark is dropped at the very beginning and nowhere else."""
    mark = b"\xef\xbb\xbf"
    assert decode(mark + b"data: " + mark + b"x\n\n" + mark + b"data: y\n\n") == [ServerEvent(mark + b"x")]


@pytest.mark.parametrize("pieces", [1, 3, 64])
def test_a_large_event_is_refused(pieces: int) -> None:
    """An event over the limit raises, in one piece as in many, and one at the limit passes."""
    line = b"data: " + b"x" * 58
    raw = [line[place : place + 64 // pieces + 1] for place in range(0, 64, 64 // pieces + 1)]
    assert decode(*raw, b"\r", b"\n\r\n", max_event=64) == [ServerEvent(b"x" * 58)]
    with pytest.raises(WireError, match="larger than 63 bytes"):
        decode(*raw, b"\n\n", max_event=63)
    with pytest.raises(WireError, match="larger than 63 bytes"):
        decode(b"".join(raw) + b"\n\n", max_event=63)


def test_many_lines_of_one_event_are_limited_together() -> None:
    """The limit counts all data lines of an event, and begins anew with the next one."""
    assert len(decode(b"data: 12345\n\n" * 10, max_event=20)) == 10
    with pytest.raises(WireError):
        decode(b"data: 12345\n" * 2 + b"\n", max_event=20)
    with pytest.raises(WireError):
        decode(*[b"data: 12345\n"] * 2, b"\n", max_event=20)


def test_a_stream_without_line_ends_is_limited() -> None:
    """Bytes that never become a line do not gather without limit."""
    decoder = Decoder(max_event=100)
    with pytest.raises(WireError):
        for _ in range(101):
            decoder.feed(b"x")


def test_a_long_line_byte_by_byte_costs_no_more_than_its_length() -> None:
    """A long event that dribbles is read in linear time, which the test's time limit would show otherwise."""
    text = b"x" * 1_500_000
    decoder = Decoder()
    for byte in b"data: " + text:
        assert decoder.feed(bytes([byte])) == []
    assert decoder.feed(b"\n\n") == [ServerEvent(text)]


@given(st.lists(st.recursive(st.text() | st.none() | st.integers(), st.lists, max_leaves=4)), st.data())
def test_what_is_encoded_is_decoded(values: list[object], data: st.DataObject) -> None:
    """JSON texts survive the way through the encoder and the decoder."""
    texts = [json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") for value in values]
    raw = b"".join(map(sse.encode, texts)) + sse.DONE
    places = data.draw(st.lists(st.integers(0, len(raw)), max_size=5))
    assert decode(*cut(raw, places)) == [ServerEvent(text) for text in [*texts, b"[DONE]"]]


def test_the_encoder_writes_one_line_and_a_blank_one() -> None:
    """An event is one data line and its blank line."""
    assert sse.encode(b"{}") == b"data: {}\n\n"
    assert sse.encode(b"[DONE]") == sse.DONE
