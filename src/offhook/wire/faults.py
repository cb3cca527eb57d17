"""Errors in the OpenAI shape, and the legal ways to end a stream.

A stream that failed ends with the error event and its blank line, and nothing after it: strict clients lose an
event without its blank line, and take a clean end for success.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import msgspec

from offhook.errors import OffhookError, Overloaded, TooMany, WrongMethod
from offhook.wire import sse
from offhook.wire.chat import well_formed


def error_object(error: OffhookError) -> dict[str, Any]:
    """Give ``{"error": {"message", "type", "param", "code"}}``."""
    return {
        "error": {
            "message": well_formed(error.message),
            "type": error.type,
            "param": None if error.param is None else well_formed(error.param),
            "code": error.code,
        }
    }


def error_body(error: OffhookError) -> bytes:
    """Give the body of an error response."""
    return msgspec.json.encode(error_object(error))


def error_event(error: OffhookError) -> bytes:
    """Give the event that ends a stream which had begun, blank line included."""
    return sse.encode(error_body(error))


def error_headers(error: OffhookError) -> list[tuple[bytes, bytes]]:
    """Give the headers that an error response needs beside its content type and length.

    ``x-should-retry`` tells OpenAI SDK clients, which otherwise repeat every 5xx, 409 and 429 by themselves.
    """
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allow.encode("latin-1")))
    if isinstance(error, TooMany | Overloaded):
        # Whole seconds (RFC 9110, 10.2.3), and never so few that it would be too early.
        headers.append((b"retry-after", str(max(1, ceil(error.retry_after))).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status >= 500 or error.status in (409, 429):
        headers.append((b"x-should-retry", b"true" if error.retryable else b"false"))
    return headers
