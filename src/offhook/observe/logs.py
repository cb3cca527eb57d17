"""Logs: one line per turn, in fixed fields, without a key, number, transcript, user data or query string."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
from typing_extensions import override

from offhook.errors import AgentValueError, Overloaded, Stopping, ToolError, TooMany, TurnTimeout, UpstreamError
from offhook.observe.queue import LogQueue

if TYPE_CHECKING:
    from offhook.observe.hooks import TurnDetails

log = logging.getLogger("offhook.turn")

# Loggers that are shown, and from which level up at least.
_SHOWN = {"offhook": "DEBUG", "uvicorn.error": "WARNING", "asyncio": "WARNING", "opentelemetry": "WARNING"}
_LONGEST_VALUE = 128


class Said(msgspec.Struct, frozen=True):
    """What is logged, given to a logger as its message: a fixed text, and fields beside it.

    For people it is the text and ``name=value`` for each field, a dash for None; or ``line`` where there is one.
    """

    message: str
    fields: Mapping[str, Any] = {}
    line: str = ""

    @override
    def __str__(self) -> str:
        return self.line or " ".join([self.message, *(f"{name}={_text(value)}" for name, value in self.fields.items())])


class TurnLog:
    """Writes a line for each turn that ended.

    With ``content`` the message and traceback of an agent that failed come along: they may hold what a caller said.
    """

    def __init__(self, *, content: bool = False) -> None:
        self._content = content

    def turn_ended(self, details: TurnDetails) -> None:
        failed = details.reason == "failed"
        why = _OURS.get(type(details.error)) if failed else None
        level = logging.WARNING if why else logging.ERROR if failed else logging.INFO
        log.log(level, Said("turn", _fields(details)))
        if failed and details.error is not None:
            self._failure(details.error, details)

    def _failure(self, error: Exception, details: TurnDetails) -> None:
        names = {"call": details.call_id, "turn": details.turn_id, "request": details.request_id}
        why = _OURS.get(type(error))
        if why is not None:
            # Not its message, since an agent may have raised it too.
            code = getattr(error, "code", None)
            words = str(error) if self._content else why.words
            log.warning(Said(why.message, {"code": code, "error": words, **names}, line=f"{code}: {words}"))
        elif self._content:
            log.error(Said("the turn failed", names, line="the turn failed"), exc_info=error)
        elif isinstance(error, UpstreamError):
            fields = {"code": error.code, "error": error.message, "detail": error.detail or None, **names}
            line = f"{error.code}: {error.message}{f' ({error.detail})' if error.detail else ''}"
            log.error(Said("a model service failed", fields, line=line))
        elif isinstance(error, AgentValueError):
            # One line: the lines after the first show code to write.
            words = str(error).partition("\n")[0]
            fields = {"code": error.code, "error": words, **names}
            log.error(Said("the agent gave a wrong value", fields, line=f"{type(error).__name__}: {words}"))
        else:
            # Also an error of ours: an agent may have raised it, with anything in its message.
            cause = error.__cause__ or error
            known = _KNOWN.get(type(cause), "the agent failed")
            fields = {"error": type(cause).__name__, "place": _place(cause) or None, **names}
            place = f" at {_place(cause)}" if _place(cause) else ""
            line = f"{known}: {type(cause).__name__}{place}; --log-content shows its message and traceback"
            log.error(Said(known, fields, line=line))


_KNOWN: dict[type[BaseException], str] = {ToolError: "the tools led to no answer"}


class _Why(NamedTuple):
    """What kind of line an error of ours has, and what it says."""

    message: str
    words: str


# Nothing broke: the class alone says what there is to know.
_OURS: dict[type[Any], _Why] = {
    TooMany: _Why("the turn was refused", "a limit of its key is reached"),
    Overloaded: _Why("the turn was refused", "the server answers as many turns as it may"),
    Stopping: _Why("the turn was ended", "the server is going down"),
    TurnTimeout: _Why("the turn ran out of time", "the agent gave nothing in the time that a turn has"),
}


def _fields(details: TurnDetails) -> dict[str, Any]:
    """Give the fields of a turn's line; from ``stop_ms`` on those that say nothing are left out."""
    fields: dict[str, Any] = {
        "call": details.call_id,
        "turn": details.turn_id,
        "dialect": details.platform,
        "model": details.model,
        "which": details.which,
        "memory": details.memory,
        "first_ms": _milliseconds(details.first_useful),
        "end_ms": _milliseconds(details.ended),
        "finish": details.reason,
    }
    if details.cancelled is not None:
        fields["stop_ms"] = _milliseconds(details.ended - details.cancelled)
    if details.gap:
        fields["gap_ms"] = _milliseconds(details.gap)
    if details.asides:
        fields["asides"] = ",".join(details.asides)
    if (attempts := len(details.begun) or len(details.attempts)) > 1:
        fields["attempts"] = attempts
    if details.tools:
        fields["tools"] = len(details.tools)
    if details.prompt_tokens is not None or details.completion_tokens is not None:
        fields["tokens_in"], fields["tokens_out"] = details.prompt_tokens or 0, details.completion_tokens or 0
    fields["request"] = details.request_id
    return fields


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _text(value: object) -> str:
    return _quoted(value) if value is None or isinstance(value, str) else str(value)


def _quoted(value: str | None) -> str:
    """Keep a value from the client on its own line and in its own field."""
    if value is None:
        return "-"
    if value.isascii() and value.isprintable() and not set(value) & set(' "=\\') and len(value) <= _LONGEST_VALUE:
        return value
    # JSON lets through what ends a line for some readers (U+2028), and what a terminal obeys.
    return _printable(msgspec.json.encode(_bounded(value)).decode())


def _bounded(value: str) -> str:
    return value[:_LONGEST_VALUE].encode("utf-8", "replace").decode()


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""


# --- how lines look -----------------------------------------------------------------------------------------------


class TextFormatter(logging.Formatter):
    """Makes lines for people. A message stays on its line, whatever stands in it; a traceback has lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _printable(record.message)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """Makes a JSON object per line, in ASCII: ``ts``, ``level``, ``logger``, ``message``, and the fields beside it.

    A message in the form of ``logging`` is taken apart: of ``"the tool %(name)s failed: request=%(request)s"`` with a
    mapping the message is ``the tool {name} failed``, and name and request are fields. So is every ``name=%s``.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        said = record.msg if isinstance(record.msg, Said) else _taken_apart(record)
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": said.message,
        }
        line.update((name, _value(value)) for name, value in said.fields.items() if name not in line)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _value(value: object) -> object:
    """Give a value as JSON is to hold it: what the client sent has a bound."""
    if isinstance(value, str) and len(value) > 8 * _LONGEST_VALUE:
        return value[: 8 * _LONGEST_VALUE]
    return value


# A place for an argument in a message, with the name of its field where it has one, or a percent sign.
_PLACE = re.compile(r"%%|(?:(?<=\s)(?P<name>[a-z_]+)=)?%(?:\((?P<key>\w+)\))?[-+ 0#]*[\d.]*[a-zA-Z]")


def _taken_apart(record: logging.LogRecord) -> Said:
    """Give a message of the form of ``logging`` as a fixed text and its fields."""
    template, args = str(record.msg), record.args
    if isinstance(args, Mapping) and args:
        return Said(_PLACE.sub(_braced, template).strip(" :;,"), {name: _plain(args[name]) for name in args})
    if not isinstance(args, tuple) or not args:
        return Said(record.getMessage())
    fields: dict[str, Any] = {}
    left = iter(args)

    def fill(place: re.Match[str]) -> str:
        if place[0] == "%%":
            return "%"
        value = next(left)
        if place["name"] is None:
            return place[0] % (value,)
        fields[place["name"]] = _plain(value)
        return ""

    return Said(_PLACE.sub(fill, template).strip(" :;,"), fields)


def _braced(place: re.Match[str]) -> str:
    """Give what stands in a fixed text for a value that has a name: the name, where it does not end the text anyway."""
    if place[0] == "%%":
        return "%"
    return "" if place["name"] else f"{{{place['key']}}}"


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int | float) else str(value)


# --- where lines go -----------------------------------------------------------------------------------------------

_current: LogQueue | None = None


def set_up(level: str = "info", format: Literal["text", "json"] = "text") -> LogQueue:
    """Send the logs of offhook and of its HTTP server to standard error, from ``level`` up; give the queue before it.

    Nobody waits for who reads standard error; see ``LogQueue``. What is queued when the process ends is written then.
    """
    global _current
    handler = LogQueue(sys.stderr)
    handler.setFormatter(TextFormatter() if format == "text" else JsonFormatter())
    for name, least in _SHOWN.items():
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        # Of others' news only what is wrong is shown: the HTTP server's (started, finished) are ours to tell.
        logger.setLevel(max(logging.getLevelName(level.upper()), logging.getLevelName(least)))
    if _current is not None:
        _current.close()
    _current = handler
    return handler


def dropped_lines() -> int:
    """Give how many log lines did not fit into the queue since logs were set up."""
    return 0 if _current is None else _current.dropped
