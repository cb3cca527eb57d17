"""Logs: one line per turn, in fixed fields, without a key, number, transcript, user data or query string."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING

import msgspec

from offhook.errors import AgentValueError, UpstreamError

if TYPE_CHECKING:
    from offhook.observe.hooks import TurnDetails

log = logging.getLogger("offhook.turn")


class TurnLog:
    """Writes a line for each turn that ended.

    With ``content`` the message and traceback of an agent that failed come along: they may hold what a caller said.
    """

    def __init__(self, *, content: bool = False) -> None:
        self._content = content

    def turn_ended(self, details: TurnDetails) -> None:
        failed = details.reason == "failed"
        log.log(
            logging.ERROR if failed else logging.INFO,
            "turn call=%s turn=%s dialect=%s model=%s which=%s memory=%s first_ms=%s end_ms=%s finish=%s%s request=%s",
            _quoted(details.call_id),
            _quoted(details.turn_id),
            details.platform,
            _quoted(details.model),
            details.which,
            details.memory,
            _milliseconds(details.first_useful),
            _milliseconds(details.ended),
            details.reason,
            _stop(details),
            _quoted(details.request_id),
        )
        if failed and details.error is not None:
            self._failure(details.error)

    def _failure(self, error: Exception) -> None:
        if self._content:
            log.error("the turn failed", exc_info=error)
        elif isinstance(error, UpstreamError):
            log.error("%s: %s%s", error.code, error.message, f" ({error.detail})" if error.detail else "")
        elif isinstance(error, AgentValueError):
            # One line: the lines after the first show code to write.
            log.error("%s: %s", type(error).__name__, str(error).partition("\n")[0])
        else:
            # Also an error of ours: an agent may have raised it, with anything in its message.
            cause = error.__cause__ or error
            log.error(
                "the agent failed: %s%s; --log-content shows its message and traceback",
                type(cause).__name__,
                _place(cause),
            )


def _stop(details: TurnDetails) -> str:
    if details.cancelled is None:
        return ""
    return f" stop_ms={(details.ended - details.cancelled) * 1000:.1f}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f}"


def _quoted(value: str | None) -> str:
    """Keep a value from the client on its own line and in its own field."""
    if value is None:
        return "-"
    if value.isascii() and value.isprintable() and not set(value) & set(' "=\\') and len(value) <= 128:
        return value
    text = msgspec.json.encode(value[:128].encode("utf-8", "replace").decode()).decode()
    # JSON lets through what ends a line for some readers (U+2028), and what a terminal obeys.
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""


def set_up(level: str = "info") -> None:
    """Send the logs of offhook and of its HTTP server to standard error, from ``level`` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in ("offhook", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    # The HTTP server's own news (started, finished) are ours to tell.
    logging.getLogger("uvicorn.error").setLevel("WARNING")
