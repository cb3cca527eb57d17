"""What a connection says by itself: the answer to bytes that are no request, and the request without an offer."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from offhook.wire.faults import error_body, error_headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from offhook.errors import OffhookError
    from offhook.server.answers import Header

# The first bytes of a TLS handshake, and of HTTP/2 by a client that takes it for granted.
_TLS = b"\x16\x03"
_HTTP2 = b"PRI "
_OFFER = frozenset({b"upgrade", b"http2-settings"})


def refusal(error: OffhookError, default_headers: Iterable[Header]) -> bytes:
    """Give the whole response that refuses what came, and says that the connection ends."""
    body = error_body(error)
    headers = [
        *default_headers,
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *error_headers(error),
    ]
    status = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n".encode()
    return status + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n" + body


def what_came(data: bytes, reason: str) -> str:
    """Give the message for bytes that are no HTTP/1.1 request; the common mistakes are recognised."""
    if data.startswith(_TLS):
        return "This is TLS, and here plain HTTP is spoken: call an http:// address, or serve with --tls-cert."
    if data.startswith(_HTTP2):
        return "This is HTTP/2, and here HTTP/1.1 is spoken."
    return f"This is not an HTTP/1.1 request: {reason.rstrip('.')}."


def plain_head(scope: Mapping[str, Any], url: bytes) -> bytes:
    """Give the head of a request without its offer to speak another protocol (RFC 9110, 7.8)."""
    method, version = scope["method"].encode("ascii"), scope["http_version"].encode("ascii")
    lines = [method + b" " + url + b" HTTP/" + version]
    for name, value in scope["headers"]:
        if name in _OFFER:
            continue
        if name == b"connection":
            kept = [option for option in value.split(b",") if option.strip().lower() not in _OFFER]
            if not kept:
                continue
            value = b",".join(kept)
        lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"", b""])
