"""An HTTP client on a bare socket: it hides nothing, keeps every byte, and leaves in any way that a client can."""

from __future__ import annotations

import json
import socket
import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.oracle import HttpReply, Transcript, check_error, check_http, check_stream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PATIENCE = 10.0
KEY = "test-key"
AUTH = {"Authorization": f"Bearer {KEY}"}


def chat_body(text: str = "hello", *, stream: bool = True, model: str = "abc", **fields: Any) -> dict[str, Any]:
    """Give a request in which the caller says ``text``."""
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, **fields}


class Wire:
    """One connection. ``received`` is every byte that came and was not yet given out."""

    def __init__(self, base_url: str, *, receive_buffer: int | None = None) -> None:
        parts = urlsplit(base_url)
        assert parts.hostname is not None and parts.port is not None
        self._prefix = parts.path
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.connect((parts.hostname, parts.port))
        self.received = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave in good order (FIN)."""
        self._socket.close()

    def reset(self) -> None:
        """Leave as a machine does that lost its mind (RST)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def ask(
        self,
        body: Mapping[str, Any] | bytes | None,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        path: str | None = None,
    ) -> None:
        """Send a whole request; ``path`` None is the base URL's chat completions, ``headers`` None the right key."""
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path or self._prefix + '/chat/completions'} HTTP/1.1", "Host: test"]
        lines += [f"{name}: {value}" for name, value in (AUTH if headers is None else headers).items()]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(raw)}"]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + raw)

    def read_until(self, marker: bytes) -> bytes:
        """Give what has come, once ``marker`` is in it; it stays to be read as a response too."""
        came, looked_at = bytearray(self.received), 0
        while came.find(marker, max(0, looked_at - len(marker))) < 0:
            looked_at = len(came)
            data = self._socket.recv(65536)
            assert data, f"the connection ended before {marker!r}: {bytes(came[-200:])!r}"
            came += data
        self.received = bytes(came)
        return self.received

    def read_response(self) -> bytes:
        """Give exactly one response: up to its length, or the end of its chunked body."""
        head, _, _ = self.read_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), None)
        if length is None:
            # The oracle looks at the chunks; a JSON text never holds this line.
            size = self.read_until(b"\r\n0\r\n\r\n").index(b"\r\n0\r\n\r\n") + 7
        else:
            size = len(head) + 4 + length
            while len(self.received) < size:
                assert self._read(), "the connection ended in the middle of a response"
        raw, self.received = self.received[:size], self.received[size:]
        return raw

    def read_to_end(self) -> bytes:
        """Give everything up to the end of the connection."""
        while self._read():
            pass
        raw, self.received = self.received, b""
        return raw

    def _read(self) -> bool:
        data = self._socket.recv(65536)
        self.received += data
        return bool(data)


def raw_request(
    base_url: str,
    body: Mapping[str, Any] | bytes | None,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    path: str | None = None,
) -> bytes:
    """Give the whole response to one request on a connection of its own."""
    with Wire(base_url) as wire:
        wire.ask(body, headers, method=method, path=path)
        return wire.read_response()


def request(
    base_url: str,
    body: Mapping[str, Any] | bytes | None,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    path: str | None = None,
) -> HttpReply:
    """Give the checked response to one request; what is not a success must be an error in the OpenAI shape."""
    reply = check_http(raw_request(base_url, body, headers, method=method, path=path))
    if reply.status >= 400:
        assert reply.header("content-type") == "application/json"
        check_error(reply.body)
    return reply


def get(base_url: str, path: str, headers: Mapping[str, str] | None = None) -> HttpReply:
    """Give the checked response to a GET without a body."""
    return request(base_url, None, headers, method="GET", path=path)


def stream(base_url: str, body: Mapping[str, Any], **expected: Any) -> Transcript:
    """Give what a checked stream said; ``expected`` goes to the oracle."""
    reply = request(base_url, body)
    assert reply.status == 200, reply.body
    options = body.get("stream_options") or {}
    return check_stream(reply.body, model=body["model"], usage_asked=bool(options.get("include_usage")), **expected)


def error_of(reply: HttpReply) -> dict[str, Any]:
    """Give the inner object of an error response."""
    return check_error(reply.body)
