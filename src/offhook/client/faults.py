"""Foreign errors and error answers, told in this house's words."""

from __future__ import annotations

import re
from typing import Any

import aiohttp
import msgspec

from offhook.errors import EndpointError, EndpointUnreachable, OffhookError, SetupError, WireError
from offhook.wire.fold import error_message

# The one table: the first line that fits wins. {at} is the address without its query, {why} the foreign message.
_FOREIGN: tuple[tuple[type[Exception], type[OffhookError], str], ...] = (
    (aiohttp.InvalidURL, SetupError, "{at} is not a URL that can be called"),
    (aiohttp.ClientConnectorDNSError, EndpointUnreachable, "cannot reach {at}: there is no host of that name"),
    (
        aiohttp.ClientConnectorCertificateError,
        EndpointUnreachable,
        "cannot reach {at}: its certificate is not trusted ({why})",
    ),
    (aiohttp.ClientSSLError, EndpointUnreachable, "cannot reach {at}: the TLS handshake failed ({why})"),
    (aiohttp.ConnectionTimeoutError, EndpointUnreachable, "cannot reach {at}: no connection within the time limit"),
    (aiohttp.ServerTimeoutError, EndpointError, "{at} sent nothing within the time limit"),
    (aiohttp.ClientConnectorError, EndpointUnreachable, "cannot reach {at}: {why}"),
    (aiohttp.ServerDisconnectedError, EndpointUnreachable, "{at} closed the connection without an answer"),
    (aiohttp.ClientPayloadError, EndpointUnreachable, "{at} broke off in the middle of its answer"),
    (aiohttp.ClientResponseError, WireError, "{at} does not speak HTTP as it should: {why}"),
    (aiohttp.ClientConnectionError, EndpointUnreachable, "the connection to {at} was lost: {why}"),
    (aiohttp.ClientError, EndpointError, "calling {at} failed: {why}"),
    (TimeoutError, EndpointError, "{at} sent nothing within the time limit"),
    (OSError, EndpointUnreachable, "the connection to {at} was lost: {why}"),
)
FOREIGN = (aiohttp.ClientError, OSError)

_EXCERPT = 200
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def translate(error: Exception, at: str) -> OffhookError:
    """Give the error of this house for one that a call to ``at`` raised; the caller raises it ``from`` that one."""
    for foreign, ours, words in _FOREIGN:
        if isinstance(error, foreign):
            return ours(words.format(at=at, why=_reason(error)))
    return EndpointError(f"calling {at} failed: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, aiohttp.ClientResponseError):
        return excerpt(error.message) or str(error.status)
    if isinstance(error, OSError) and error.strerror:
        return excerpt(error.strerror)
    return excerpt(str(error)) or type(error).__name__


def excerpt(text: str) -> str:
    """Give at most 200 characters of a text on one line, without HTML tags and control characters."""
    title = _TITLE.search(text)
    if title is not None:
        text = title[1]
    elif text.lstrip()[:1] == "<":
        text = _TAG.sub(" ", text)
    text = " ".join(_UNSEEN.sub(" ", text).split())
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "..."


def decode_body(raw: bytes) -> Any:
    """Give the JSON value of a body, or its text when it is none."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw.decode("utf-8", "replace")


def words_of(body: Any) -> str:
    """Give the message of an error answer, in any of the shapes that services use; empty when it has none."""
    if isinstance(body, dict):
        for name in ("error", "detail", "message", "msg"):
            if body.get(name):
                return excerpt(error_message(body[name]))
    if isinstance(body, str):
        return excerpt(body)
    return excerpt(msgspec.json.encode(body).decode()) if body else ""


def refusal(
    status: int, reason: str, raw: bytes, location: str | None, retry_after: str | None = None
) -> EndpointError:
    """Give the error for an answer whose status is not a success."""
    body = decode_body(raw)
    if 300 <= status < 400 and location:
        message = f"the endpoint answered {status}: it has moved to {excerpt(location)}"
    else:
        message = f"the endpoint answered {status}: {words_of(body) or excerpt(reason) or 'no reason given'}"
    return EndpointError(message, http_status=status, body=body, retry_after=retry_after)


def not_a_stream(status: int, content_type: str, raw: bytes) -> EndpointError:
    """Give the error for an answer that is no event stream although one was asked for."""
    body = decode_body(raw)
    if isinstance(body, dict) and body.get("error"):
        return EndpointError(f"the endpoint answered {status}: {words_of(body)}", http_status=status, body=body)
    kind = content_type or "no content type"
    told = "" if isinstance(body, dict) else words_of(body)
    message = f"the endpoint answered with {kind} although a stream (text/event-stream) was asked for"
    return EndpointError(f"{message}: {told}" if told else message, http_status=status, body=body)
