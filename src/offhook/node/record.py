"""What is kept of one answer, and how it is gathered from events. Pure: no I/O, no await, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from offhook.errors import EndpointError, OffhookError, WireError
from offhook.events import ToolCall
from offhook.wire.fold import Fold, error_message
from offhook.wire.sse import ServerEvent


class AnswerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How one request went.

    ``started_at`` and ``disconnected_at`` (None unless the node went away before the end) are moments of the clock's
    monotonic time in seconds; ``first_byte`` (the response headers), ``first_token`` (the first text or tool call) and
    ``total`` are seconds after ``started_at``, None for what did not come. ``chunks`` counts the events without
    ``[DONE]``, ``done`` tells whether that came. ``hangup`` is true when the reply ordered it, however often;
    ``tool_calls`` then holds it once. ``error`` is what went wrong; what was said before is kept.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    hangup: bool = False
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    done: bool = False
    error: OffhookError | None = None
    chunks: int = 0
    started_at: float
    first_byte: float | None = None
    first_token: float | None = None
    total: float | None = None
    disconnected_at: float | None = None

    @property
    def interrupted(self) -> bool:
        """Tell whether the node went away before the end of the reply."""
        return self.disconnected_at is not None


class Gathering:
    """Reads the events of a reply, however they were cut; the attributes hold what has come so far."""

    __slots__ = ("_fold", "_hangup_function", "chunks", "done", "error")

    def __init__(self, hangup_function: str = "hangup") -> None:
        self._hangup_function = hangup_function
        self._fold = Fold()
        self.chunks = 0
        self.done = False
        self.error: OffhookError | None = None

    @property
    def over(self) -> bool:
        """Tell whether nothing that may still come counts: after ``[DONE]`` or an error."""
        return self.done or self.error is not None

    @property
    def useful(self) -> bool:
        """Tell whether text or a tool call has come."""
        return self._fold.useful

    def feed(self, events: Iterable[ServerEvent]) -> list[str]:
        """Take the next events and give the pieces of text in them. Never raises: what is wrong becomes ``error``."""
        pieces: list[str] = []
        for event in events:
            if self.over:
                break
            if event.data.strip() == b"[DONE]":
                self.done = True
                break
            self.chunks += 1
            try:
                text = self._fold.feed(event.data).text
            except WireError as error:
                self.error = _said_by_the_service(event.data) or error
                break
            if event.type == "error":
                self.error = _said_by_the_service(event.data) or EndpointError("the service reported an error")
                break
            if text:
                pieces.append(text)
        return pieces

    def feed_completion(self, completion: Mapping[str, Any]) -> list[str]:
        """Take a whole ``chat.completion`` object, as if it were one chunk, and give its text."""
        choices = completion.get("choices")
        chunk = {
            **completion,
            "choices": [_as_delta(choice) for choice in choices] if isinstance(choices, list) else [],
        }
        pieces = self.feed([ServerEvent(msgspec.json.encode(chunk))])
        self.done = self.error is None
        return pieces

    def record(self, **times: Any) -> AnswerRecord:
        """Give the record of what has come, with the moments that the caller measured."""
        fold = self._fold
        calls: list[ToolCall] = []
        hangup = False
        for call in fold.calls:
            if call.name == self._hangup_function:
                # Servers repeat it on every chunk, some with a new id each time: the call ends once.
                if hangup:
                    continue
                hangup = True
            calls.append(ToolCall(name=call.name, arguments=call.arguments, id=call.id))
        return AnswerRecord(
            text=fold.text,
            reasoning=fold.reasoning,
            tool_calls=tuple(calls),
            hangup=hangup,
            finish_reason=fold.finish_reason,
            usage=fold.usage,
            done=self.done,
            error=self.error,
            chunks=self.chunks,
            **times,
        )


def _as_delta(choice: object) -> object:
    if not isinstance(choice, dict):
        return choice
    return {**choice, "delta": choice.get("message")}


def _said_by_the_service(data: bytes) -> EndpointError | None:
    """Give the error that an event carries, None when it carries none that can be read."""
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    return EndpointError(error_message(_inner(body)), body=body)


def _inner(body: dict[str, Any]) -> object:
    if body.get("error"):
        return body["error"]
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and choice.get("error"):
            return choice["error"]
    return body
