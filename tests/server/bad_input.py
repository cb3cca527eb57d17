"""Every bad input as the bytes of a client, by the name that it has in docs/bad-input.md."""

from __future__ import annotations

import json
import select
import socket
from typing import NamedTuple, Self

from typing_extensions import override

from tests.raw import KEY, Wire, chat_body

MAX_BODY = 400_000
MAX_HEAD = 64 * 1024
AUTH = f"Authorization: Bearer {KEY}"
JSON = "Content-Type: application/json"
CHAT = "/v1/chat/completions"
BODY = json.dumps(chat_body(stream=False)).encode()
# What a client sends who does not notice that it has been answered: more than any buffer between holds.
ENDLESS = 4_000_000


class Case(NamedTuple):
    """The bytes, in pieces; on a server that waits ``hasty`` short times, when they are an unfinished request.

    ``interim`` answers come before the answer, and ``answers`` answers in all. ``leaves`` closes the sending side.
    """

    pieces: tuple[bytes, ...]
    hasty: bool = False
    interim: bool = False
    answers: int = 1
    leaves: bool = False


class Client(Wire):
    """A connection that sends each piece at once, can close its sending side, and look whether an answer has come."""

    def __init__(self, base_url: str, *, receive_buffer: int | None = None) -> None:
        super().__init__(base_url, receive_buffer=receive_buffer)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @override
    def __enter__(self) -> Self:
        return self

    def finish(self) -> None:
        """Say that nothing more will be sent (FIN), and stay to read."""
        self._socket.shutdown(socket.SHUT_WR)

    def skip(self, expected: bytes) -> None:
        """Take an interim answer off."""
        while len(self.received) < len(expected):
            assert self._read(), "the connection ended before an answer"
        assert self.received.startswith(expected), self.received
        self.received = self.received.removeprefix(expected)

    def read_rest(self, patience: float) -> None:
        """Read on until the connection ends, and say goodbye (FIN) when nothing comes for so many seconds."""
        while True:
            if not self.answered(patience):
                self.finish()
            if not self._read():
                return

    def answered(self, seconds: float) -> bool:
        """Tell whether something can be read, waiting so long for it."""
        return bool(select.select([self._socket], [], [], seconds)[0])


def head(*lines: str | bytes, first: str | bytes = f"POST {CHAT} HTTP/1.1", default: bool = True) -> bytes:
    """Give a head: the first line, Host, key and content type, and these lines."""
    usual: tuple[str | bytes, ...] = ("Host: test", AUTH, JSON) if default else ()
    every = (line.encode() if isinstance(line, str) else line for line in (first, *usual, *lines, "", ""))
    return b"\r\n".join(every)


def with_length(body: bytes, *lines: str | bytes, **options: str | bytes) -> bytes:
    """Give a request whose body has a length."""
    return head(*lines, f"Content-Length: {len(body)}", **options) + body  # type: ignore[arg-type]  # first only


def chunked(*chunks: bytes, lines: tuple[str, ...] = (), end: bytes = b"0\r\n\r\n") -> bytes:
    """Give a request whose body comes in these chunks, each with its size already."""
    return head(*lines, "Transfer-Encoding: chunked") + b"".join(chunks) + end


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def body(raw: bytes) -> Case:
    return Case((with_length(raw),))


def field(raw: bytes) -> Case:
    """Give a request that is good but for one more field."""
    return body(BODY[:-1] + b', "x": ' + raw + b"}")


def said(raw: bytes) -> Case:
    """Give a request in which the caller says this JSON string."""
    return body(BODY.replace(b'"hello"', raw))


def line(raw: str | bytes) -> Case:
    """Give a request that is good but for one more header line."""
    return Case((with_length(BODY, raw),))


def first(raw: str | bytes) -> Case:
    """Give a request without a body that begins with this line."""
    return Case((head(first=raw),))


def declared(*lines: str, raw: bytes = BODY) -> Case:
    """Give a request with these lines about its body and no others."""
    return Case((head(AUTH, *lines, f"Content-Length: {len(raw)}", default=False) + raw,))


def messages(count: int) -> bytes:
    return json.dumps(chat_body(stream=False, messages=[{"role": "user", "content": "a"}] * count)).encode()


def nested(depth: int) -> Case:
    return field(b"[" * depth + b"]" * depth)


def without(name: str) -> Case:
    fields = chat_body(stream=False)
    del fields[name]
    return body(json.dumps(fields).encode())


GOOD = with_length(BODY)
LARGE = b" " * (MAX_BODY + 1)
HOLD = json.dumps(chat_body("hold")).encode()
STREAMED = json.dumps(chat_body()).encode()
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")

BODIES = {
    "no body": body(b""),
    "a body that is not JSON": body(b"hello"),
    "a Python literal as the body": body(b"{'model': 'abc', 'stream': True}"),
    "JSON with something behind it": body(BODY + b"}"),
    "JSON that begins with a byte order mark": body(b"\xef\xbb\xbf" + BODY),
    "JSON in UTF-16": body(BODY.decode().encode("utf-16")),
    "invalid UTF-8 in a string": said(b'"\xff\xfe"'),
    "a lone surrogate as an escape": said(rb'"\ud800"'),
    "a NUL byte in a string": said(b'"\0"'),
    "a NUL as an escape": said(rb'"\u0000"'),
    "100,000 levels of nesting": nested(100_000),
    "900 levels of nesting": nested(900),
    "a number with the exponent 999": field(b"1e999"),
    "NaN": field(b"NaN"),
    "an integer of 400 digits": field(b"9" * 400),
    "an integer of 5,000 digits": field(b"9" * 5000),
    "a JSON array as the body": body(b"[]"),
    "a field that is missing": without("model"),
    "a field of the wrong type": body(BODY.replace(b"false", b'"no"')),
    "no messages": body(messages(0)),
    "10,000 messages": body(messages(10_000).replace(b'", "', b'","').replace(b'": "', b'":"').replace(b"}, ", b"},")),
    "the same key twice": body(BODY[:-1] + b', "model": "abc"}'),
    "non-ASCII keys": body(BODY[:-1] + ', "клю\u2028ч": 1}'.encode()),
    "unknown fields": field(b'{"y": [null]}'),
    "an unknown model": body(BODY.replace(b'"abc"', b'"xyz"')),
}

DECLARATIONS = {
    "no content type": declared(),
    "JSON with a charset parameter": declared("Content-Type: application/json; charset=UTF-8"),
    "`application/vnd.api+json`": declared("Content-Type: application/vnd.api+json"),
    "`text/plain`": declared("Content-Type: text/plain"),
    "a form": declared("Content-Type: application/x-www-form-urlencoded", raw=b"a=b"),
    "a compressed body": line("Content-Encoding: gzip"),
    "no key": Case((with_length(BODY).replace(AUTH.encode(), b"X: y"),)),
    "a wrong key": Case((with_length(BODY).replace(KEY.encode(), b"wrong"),)),
    "a key that is not ASCII": Case((with_length(BODY).replace(KEY.encode(), b"\xff\xfe\xc3\xa9"),)),
}

SIZES = {
    "a body over the limit": body(LARGE),
    "a chunked body over the limit": Case((chunked(*[chunk(b" " * 65536)] * 7),)),
    "a body over the limit, with `Connection: close`": Case((with_length(b" " * ENDLESS, "Connection: close"),)),
    "a body over the limit, with `Expect: 100-continue`": Case(
        (head("Expect: 100-continue", f"Content-Length: {MAX_BODY + 1}"),)
    ),
    "`Expect: 100-continue`": Case((with_length(BODY, "Expect: 100-continue"),), interim=True),
    "an expectation that nobody knows": line("Expect: the-unexpected"),
    "a chunked body": Case((chunked(chunk(BODY[:10]), chunk(BODY[10:])),)),
    "a chunk extension and a trailer": Case(
        (chunked(b"%x;a=b\r\n%b\r\n" % (len(BODY), BODY), end=b"0\r\nX-Trailer: 1\r\n\r\n"),)
    ),
    "a key in a trailer": Case(
        (chunked(chunk(BODY), end=f"0\r\n{AUTH}\r\n\r\n".encode()).replace(AUTH.encode(), b"X: y", 1),)
    ),
    "a chunk size that is no number": Case((chunked(b"xyz\r\n"),)),
    "a chunk size of 20 digits": Case((chunked(b"f" * 20 + b"\r\n"),)),
    "a chunk that is longer than its size": Case((chunked(b"2\r\nabc\r\n"),)),
    "a chunk extension that never ends": Case((chunked(b"5;", end=b"a" * ENDLESS),)),
    "a trailer that never ends": Case((chunked(b"0\r\nA: ", end=b"a" * ENDLESS),)),
    "a length and chunks": Case((chunked(chunk(BODY), lines=("Content-Length: 5",)),)),
    "two lengths": Case((head("Content-Length: 5", "Content-Length: 6") + b"hello",)),
    "a negative length": Case((head("Content-Length: -5") + b"hello",)),
    "a length of 30 digits": Case((head("Content-Length: " + "9" * 30) + b"hello",)),
    "an unknown transfer coding": Case((head("Transfer-Encoding: gzip") + b"hello",)),
}

CONNECTIONS = {
    "a request byte by byte": Case(tuple(GOOD[i : i + 1] for i in range(len(GOOD)))),
    "two pipelined requests": Case((GOOD + GOOD,), answers=2),
    "a good request, then no HTTP": Case((GOOD + b"\0\0\0\0",), answers=2),
    "40 pipelined requests": Case((GOOD * 40,), answers=34),
    "HTTP/1.0": Case((with_length(BODY, first=f"POST {CHAT} HTTP/1.0"),)),
    "HTTP/0.9": first(b"GET /healthz"),
    "HTTP/2 without asking": Case((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",)),
    "`HTTP/2.0` in the request line": first("GET /healthz HTTP/2.0"),
    "`HTTP/3.7` in the request line": first("GET /healthz HTTP/3.7"),
    "an offer of h2c": Case((with_length(BODY, *H2C),)),
    "an offer of a WebSocket": Case((head(*WEBSOCKET, first="GET /healthz HTTP/1.1"),)),
    "a TLS handshake on a plain port": Case((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xab" * 100,)),
    "no HTTP at all": Case((b"hello, is anybody there?\r\n" + b"x" * ENDLESS,)),
    "line ends and nothing else": Case((b"\r\n" * (ENDLESS // 2),)),
    "two line ends before a request": Case((b"\r\n\r\n" + GOOD,)),
    "a head that stops": Case((GOOD[:60],), hasty=True),
    "a body that stops": Case((GOOD[:-1],), hasty=True),
    "a chunk that stops": Case((chunked(b"ff\r\n{", end=b""),), hasty=True),
    "a connection that says nothing but line ends": Case((b"\r\n\r\n",), hasty=True, answers=0),
    "a request and a FIN": Case((with_length(HOLD.replace(b"true", b"false")),), answers=0, leaves=True),
}

LINES = {
    "an unknown method": first("BREW / HTTP/1.1"),
    "a method in lower case": first("get / HTTP/1.1"),
    "CONNECT": first("CONNECT example.com:443 HTTP/1.1"),
    "a method that the address does not have": first(f"GET {CHAT} HTTP/1.1"),
    "an unknown address": first("GET /v1/nowhere HTTP/1.1"),
    "the address `*`": first("OPTIONS * HTTP/1.1"),
    "a NUL in the address, escaped": first("GET /%00 HTTP/1.1"),
    "a line end in the address, escaped": first("GET /a%0d%0aSet-Cookie:%20a=b?x=%0d%0aY:%20z HTTP/1.1"),
    "a non-ASCII address": first("GET /é HTTP/1.1"),
    "an address with a bad escape": first("GET /%ff%zz%f HTTP/1.1"),
    "an address with a host in it": first("GET http://somewhere.else/healthz?a=b HTTP/1.1"),
    "an address that is no path": first("GET http://a:99999/ HTTP/1.1"),
    "an address over the limit": first(f"GET /{'a' * MAX_HEAD} HTTP/1.1"),
    "an address that never ends": Case((b"GET /" + b"a" * ENDLESS,)),
    "a header without a space": Case((with_length(BODY).replace(b": ", b":", 4),)),
    "a non-ASCII header value": line("X-Name: Jürgen 王"),
    "a request id that is no name": line("X-Request-Id: a\tb Jürgen"),
    "no `Host`": Case((GOOD.replace(b"Host: test\r\n", b""),)),
    "a space before the colon": line("X-A : b"),
    "a non-ASCII header name": line("Ключ: b"),
    "a header without a name": line(": b"),
    "a header that goes on in the next line": line("X-A: b\r\n Set-Cookie: c"),
    "a NUL in a header": line(b"X-A: b\0c"),
    "a lone CR in a header": line(b"X-A: b\rSet-Cookie: c"),
    "lines that end in LF alone": Case((GOOD.replace(b"\r\n", b"\n"),)),
    "129 headers": Case((with_length(BODY, *(f"X-{i}: b" for i in range(125))),)),
    "headers over the limit": Case((with_length(BODY, *(f"X-{i}: {'b' * 1000}" for i in range(70))),)),
    "a header that never ends": Case((head(default=False)[:-2] + b"X-A: " + b"b" * ENDLESS,)),
}

CASES: dict[str, Case] = {**BODIES, **DECLARATIONS, **SIZES, **CONNECTIONS, **LINES}
