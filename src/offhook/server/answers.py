"""Short answers: everything that is not a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.wire.faults import error_body, error_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message, Send

    from offhook.errors import OffhookError

JSON = b"application/json"
REQUEST_ID = b"x-request-id"

Header = tuple[bytes, bytes]


def json_messages(
    status: int, body: bytes, *, request_id: str, headers: Sequence[Header] = ()
) -> tuple[Message, Message]:
    """Give the ASGI messages of a whole JSON response."""
    return whole_messages(status, body, JSON, request_id=request_id, headers=headers)


def whole_messages(
    status: int, body: bytes, content_type: bytes, *, request_id: str, headers: Sequence[Header] = ()
) -> tuple[Message, Message]:
    """Give the ASGI messages of a whole response."""
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (REQUEST_ID, request_id.encode("latin-1")),
            *headers,
        ],
    }
    return start, {"type": "http.response.body", "body": body}


def error_messages(error: OffhookError, *, request_id: str) -> tuple[Message, Message]:
    """Give the ASGI messages of an error response in the OpenAI shape."""
    return json_messages(error.status, error_body(error), request_id=request_id, headers=error_headers(error))


async def answer(send: Send, messages: tuple[Message, Message]) -> None:
    """Send a whole response."""
    for message in messages:
        await send(message)


async def deny(send: Send, messages: tuple[Message, Message]) -> None:
    """Refuse a WebSocket's handshake with a whole response (ASGI extension "WebSocket Denial Response")."""
    for message in messages:
        await send({**message, "type": f"websocket.{message['type']}"})
