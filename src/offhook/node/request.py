"""What the node sends, exactly as the vendor's page says; and a captured request, to be sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from offhook.errors import SetupError

# "At most 20 context records are kept" (the page, field ``messages``).
WINDOW = 20


class ExtendData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """``extendData``: who is calling. What is None is not sent.

    ``instance_id`` names the call, ``channel_id`` the room, ``sentence_id`` the question; ``user_data`` is a string,
    usually a JSON text.
    """

    instance_id: str | None = None
    channel_id: str | None = None
    sentence_id: int | None = None
    caller_number: str | None = None
    callee_number: str | None = None
    user_data: str | None = None


class Outgoing(msgspec.Struct, frozen=True):
    """One request to the node's endpoint; ``stream`` tells whether a stream is asked for."""

    body: Mapping[str, Any] | bytes
    stream: bool = True
    headers: Mapping[str, str] = {}
    query: tuple[tuple[str, str], ...] = ()


def window(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give at most the 20 newest records, the newest utterance last.

    System messages at the very beginning are the node's prompt and stay, within the 20.
    """
    if len(messages) <= WINDOW:
        return list(messages)
    head = 0
    while head < WINDOW - 1 and messages[head].get("role") == "system":
        head += 1
    return [*messages[:head], *messages[-(WINDOW - head) :]]


def request_body(
    model_id: str, messages: Sequence[Mapping[str, Any]], extend_data: ExtendData | None = None
) -> dict[str, Any]:
    """Give the body of a request: ``messages``, ``model``, ``stream`` and, where something is known, ``extendData``."""
    body: dict[str, Any] = {"messages": window(messages), "model": model_id, "stream": True}
    extend = msgspec.to_builtins(extend_data) if extend_data is not None else None
    if extend:
        body["extendData"] = extend
    return body


class _CapturedRequest(msgspec.Struct, frozen=True):
    method: str = "POST"
    body: Any = None
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []


class _Capture(msgspec.Struct, frozen=True):
    request: _CapturedRequest
    offhook_capture: int


# What belongs to the connection that was captured, and not to what was said on it.
_OF_THE_CONNECTION = frozenset(
    {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "expect"}
    | {"accept", "accept-encoding", "authorization", "proxy-authorization", "cookie", "http2-settings"}
)
_KEYS = frozenset({"api-key", "api_key", "x-api-key"})
# What a capture has in the place of a secret.
_MASK = "***"


def read_capture(path: Path | str, api_key: str | None) -> Outgoing:
    """Give the request of a file that ``serve --capture`` wrote; the masked key is replaced by ``api_key``.

    Reads the file at once. Raises SetupError when it cannot be read or is no capture.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise SetupError(f"The capture {str(path)!r} cannot be read: {error.strerror}.") from error
    try:
        capture = msgspec.json.decode(raw, type=_Capture)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SetupError(f"{str(path)!r} is no capture of offhook: {error}.") from error
    if capture.offhook_capture != 1:
        raise SetupError(f"{str(path)!r} is a capture of version {capture.offhook_capture}; only 1 is known.")
    request = capture.request
    if request.method != "POST":
        raise SetupError(f"{str(path)!r} holds a {request.method} request; only chat requests (POST) are sent again.")
    body = request.body if isinstance(request.body, dict) else _raw(request.body)
    return Outgoing(
        body=body,
        stream=isinstance(body, bytes) or body.get("stream") is True,
        headers={
            name: _own(name, value, api_key)
            for name, value in request.headers
            if name.lower() not in _OF_THE_CONNECTION
        },
        query=tuple((name, _own(name, value, api_key)) for name, value in request.query),
    )


def _own(name: str, value: str, api_key: str | None) -> str:
    return api_key or "" if name.lower() in _KEYS or value == _MASK else value


def _raw(body: object) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body)
