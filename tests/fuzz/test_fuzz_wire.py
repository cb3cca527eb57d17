"""The decoders take any bytes: they give what they can read, or their own error, and never another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook.dialects.base import Arrival
from offhook.dialects.choose import choose
from offhook.errors import RequestError, WireError
from offhook.wire.chat import ChatRequest, decode_request, encode_text, text_of
from offhook.wire.fold import Fold
from offhook.wire.sse import Decoder, ServerEvent
from tests.fuzz.conftest import EXAMPLES
from tests.fuzz.mutations import any_bytes, in_pieces, odd_requests
from tests.server.bad_input import BODY

if TYPE_CHECKING:
    from collections import Counter

STREAM = (
    b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"Hello"},"finish_reason":null}]}\n\n'
    b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"hangup","arguments":"{}"}}]},'
    b'"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n'
)
CHUNKS = tuple(line.removeprefix(b"data: ") for line in STREAM.split(b"\n\n"))
fuzzed = settings(max_examples=EXAMPLES * 3, suppress_health_check=[HealthCheck.too_slow])


def events_of(pieces: list[bytes]) -> tuple[list[ServerEvent], str | None]:
    """Give the events, and why the decoder gave up where it did."""
    decoder = Decoder(max_event=5000)
    found: list[ServerEvent] = []
    try:
        for piece in pieces:
            found += decoder.feed(piece)
        found += decoder.flush()
    except WireError as error:
        return found, error.message
    return found, None


@fuzzed
@given(pieces=in_pieces(any_bytes(STREAM, b": keep-alive\n\nevent: x\r\ndata:a\rdata:b\r\n\r\n")))
def test_the_event_decoder_takes_any_bytes(pieces: list[bytes], inputs: Counter[str]) -> None:
    """However a stream is cut, the events are the same; only WireError is raised."""
    inputs["the event decoder"] += 1
    found, error = events_of(pieces)
    whole, whole_error = events_of([b"".join(pieces)])
    assert error == whole_error
    if error is None:
        assert found == whole


@fuzzed
@given(body=st.one_of(any_bytes(BODY), odd_requests()))
def test_the_request_decoder_takes_any_bytes(body: bytes, inputs: Counter[str]) -> None:
    """A body is a request, which every dialect can read, or a RequestError with a message."""
    inputs["the request decoder"] += 1
    try:
        request = decode_request(body)
    except RequestError as error:
        assert 400 <= error.status < 500 and error.message
        return
    assert isinstance(request, ChatRequest)
    for message in request.messages:
        encode_text(text_of(message.content))
    arrival = Arrival(request=request, headers={}, query={})
    choose(arrival, None).read(arrival)


@fuzzed
@given(chunks=st.lists(any_bytes(*CHUNKS), max_size=4))
def test_the_chunk_decoder_takes_any_bytes(chunks: list[bytes], inputs: Counter[str]) -> None:
    """What a model service sends is folded, or refused with WireError."""
    inputs["the chunk decoder"] += 1
    fold = Fold()
    try:
        for chunk in chunks:
            fold.feed(chunk)
    except WireError as error:
        assert error.message
