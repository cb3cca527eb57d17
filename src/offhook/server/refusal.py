"""What a connection says by itself: the answer to bytes that are no request, and the request without an offer."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools

from offhook.errors import BadHttp, OffhookError
from offhook.wire.faults import error_body, error_headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from offhook.server.answers import Header

log = logging.getLogger("offhook.server")

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


def meant(error: httptools.HttpParserError, data: bytes) -> OffhookError:
    """Give what a failure of the parser means for the client."""
    cause = error.__context__
    if isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
        if isinstance(cause, OffhookError):
            return cause
        if not isinstance(cause, httptools.HttpParserError | UnicodeError):
            # A defect of this server. The client gets an answer that it can read, the log gets the rest.
            log.error("a request failed inside the server", exc_info=cause)
            return OffhookError("The server failed on this request; its log says why.")
        error = cause if isinstance(cause, httptools.HttpParserError) else error
    return BadHttp(what_came(data, str(error)))


def without_host(url: bytes) -> bytes:
    """Give the path and query of an address that may name a host (RFC 9112, 3.2.2). Raises BadHttp for a bad one."""
    if url.startswith(b"/"):
        return url
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        raise BadHttp("The address of the request is no path and no URL.") from None
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
