"""The body of a request: what it may be declared as, and how much of it is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.errors import BodyTooLarge, WrongContentType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive


def check_content_type(headers: Mapping[str, str]) -> None:
    """Return when a body of JSON can be expected: it is declared as JSON, or not declared.

    Raises WrongContentType for any other type (RFC 9110, 15.5.16), and for a compressed body.
    """
    declared = headers.get("content-type", "").partition(";")[0].strip().lower()
    json = declared == "application/json" or (declared.startswith("application/") and declared.endswith("+json"))
    if declared and not json:
        raise WrongContentType(
            f"The body is declared as {declared!r}. Send it as JSON, with 'Content-Type: application/json'."
        )
    check_coding(headers)


def check_coding(headers: Mapping[str, str]) -> None:
    """Return when a body is not declared as compressed. Raises WrongContentType otherwise (RFC 9110, 8.4)."""
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise WrongContentType(f"The body is declared as compressed ({coding!r}). Send it as it is.")


async def read_body(headers: Mapping[str, str], receive: Receive, limit: int) -> bytes | None:
    """Give the whole body, or None when the client went away in the middle.

    Raises BodyTooLarge when it has, or is declared to have, more than ``limit`` bytes.
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body has more than {limit} bytes; that is the server's --max-body.")
