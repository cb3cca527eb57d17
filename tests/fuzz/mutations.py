"""Random and damaged bytes: what hypothesis draws for the decoders and for the HTTP edge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

# What parsers have tripped over before.
NASTY = (
    *(b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\t", b" ", b":", b";", b",", b'"', b"\\", b"\xff", b"\xc3", b"\x80"),
    *(
        b"\xed\xa0\x80",
        b"\xe2\x80\xa8",
        b"\xef\xbb\xbf",
        b"\\ud800",
        b"\\u0000",
        b"{",
        b"}",
        b"[",
        b"]",
        b"null",
        b"NaN",
    ),
    *(
        b"1e999",
        b"-0",
        b"9" * 400,
        b"[" * 2000,
        b'{"a":' * 2000,
        b"data:",
        b"data: ",
        b"event: error",
        b"id: \0",
        b"retry:",
    ),
    *(b"data: [DONE]\n\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n"),
    *(
        b"HTTP/1.0",
        b"HTTP/1.1",
        b"HTTP/2.0",
        b"GET ",
        b"HEAD ",
        b"CONNECT ",
        b"PRI * ",
        b"*",
        b"http://a:b/",
        b"%00",
        b"%",
    ),
    *(b"a" * 3000, b"A: b\r\n" * 200, b"ffffffffffffffff\r\n", b"\x16\x03\x01", b"GET /healthz HTTP/1.1\r\n\r\n" * 40),
)


@st.composite
def damaged(draw: st.DrawFn, wholes: Sequence[bytes]) -> bytes:
    """Give one of the good texts after a few cuts, insertions, repetitions and changes of single bytes."""
    data = draw(st.sampled_from(list(wholes)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 64)))
        kind = draw(st.sampled_from(["cut", "insert", "repeat", "byte", "head"]))
        if kind == "cut":
            data = data[:at] + data[to:]
        elif kind == "insert":
            data = data[:at] + draw(st.sampled_from(NASTY)) + data[at:]
        elif kind == "repeat":
            data = data[:to] + data[at:to] * draw(st.integers(1, 3)) + data[to:]
        elif kind == "byte":
            data = data[:at] + draw(st.binary(min_size=1, max_size=2)) + data[at + 1 :]
        else:
            data = data[:at]
    return data


def any_bytes(*wholes: bytes) -> st.SearchStrategy[bytes]:
    """Give bytes of any kind: at random, of nasty pieces, or a good text that was damaged."""
    pieces = st.lists(st.one_of(st.sampled_from(NASTY), st.binary(max_size=20)), max_size=12).map(b"".join)
    return st.one_of(st.binary(max_size=300), pieces, damaged(wholes), damaged(wholes))


@st.composite
def in_pieces(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> list[bytes]:
    """Give bytes cut at a few places."""
    data = draw(whole)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=5)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# JSON that is valid, and has any value in any place.
VALUES: st.SearchStrategy[object] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(10**30), 10**30),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=12),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
NAMES = (
    *("messages", "model", "stream", "stream_options", "temperature", "top_p", "max_tokens", "stop", "seed", "tools"),
    *("extendData", "user", "metadata", "presence_penalty", "max_completion_tokens", "response_format", "(body)"),
)
MESSAGE = {"role": "user", "content": "hello"}
EXTEND = ("instanceId", "channelId", "sentenceId", "callerNumber", "calleeNumber", "userData")


@st.composite
def odd_requests(draw: st.DrawFn) -> bytes:
    """Give a request that is good but for a few fields, which hold anything."""
    body: dict[str, object] = {"model": "abc", "messages": [MESSAGE], "stream": draw(st.booleans())}
    extend = {name: draw(VALUES) for name in draw(st.lists(st.sampled_from(EXTEND), max_size=4))}
    if extend:
        body["extendData"] = extend
    if draw(st.booleans()):
        message = {name: draw(VALUES) for name in draw(st.lists(st.sampled_from(["role", "content", "name"])))}
        body["messages"] = [MESSAGE, message]
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=2)):
        body[name] = draw(VALUES)
    return json.dumps(body).encode()
