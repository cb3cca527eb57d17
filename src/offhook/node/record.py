"""What is kept of one answer, and how it is gathered from events. Pure: no I/O, no await, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.errors import EndpointError, OffhookError, WireError
from offhook.events import ToolCall
from offhook.node.hearing import Hearing
from offhook.node.platforms.alibaba_ims import ALIBABA_IMS
from offhook.wire.fold import Fold, error_message
from offhook.wire.sse import ServerEvent

if TYPE_CHECKING:
    from offhook.node.platforms.base import Order


class AnswerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How one request went.

    ``started_at`` and ``disconnected_at`` (None unless the node went away before the end) are moments of the clock's
    monotonic time in seconds; ``first_byte`` (the response headers), ``first_token`` (the first text or tool call) and
    ``total`` are seconds after ``started_at``, None for what did not come. ``chunks`` counts the events without
    ``[DONE]``, ``done`` tells whether that came. ``text`` is what the platform speaks: the reply without the platform's
    tags, and with what a command makes the platform say. ``hangup`` is true when the reply ordered it, however often;
    ``tool_calls`` then holds it once. ``transfer`` is the number that it handed the call to, ``protected`` tells that
    the caller could not cut in, ``to_app`` is what went to the app instead of the caller. ``error`` is what went wrong;
    what was said before is kept.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    hangup: bool = False
    transfer: str | None = None
    protected: bool = False
    to_app: tuple[Any, ...] = ()
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

    __slots__ = ("_ended", "_fold", "_hearing", "_spoken", "chunks", "done", "error")

    def __init__(self, hearing: Hearing | None = None) -> None:
        self._hearing = hearing or Hearing(ALIBABA_IMS)
        self._fold = Fold()
        self._spoken: list[str] = []
        self._ended = False
        self.chunks = 0
        self.done = False
        self.error: OffhookError | None = None

    @property
    def over(self) -> bool:
        """Tell whether nothing that may still come counts: after ``[DONE]`` or an error."""
        return self.done or self.error is not None

    @property
    def useful(self) -> bool:
        """Tell whether text, a tool call or another order has come."""
        return bool(self._spoken or self._hearing.orders) or self._fold.useful

    @property
    def protected(self) -> bool:
        """Tell whether the caller cannot cut in on the reply."""
        return self._hearing.protected

    def feed(self, events: Iterable[ServerEvent]) -> list[str]:
        """Take the next events and give the pieces of text in them. Never raises: what is wrong becomes ``error``."""
        pieces: list[str] = []
        for event in events:
            if self.over:
                break
            if event.data.strip() == b"[DONE]":
                self.done = True
                pieces += self.end()
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
            self._hearing.chunk(event.data, first=self.chunks == 1)
            if text and (spoken := self._hearing.text(text)):
                pieces.append(spoken)
                self._spoken.append(spoken)
        return pieces

    def end(self) -> list[str]:
        """Take the end of the reply, once, and give what is spoken only then."""
        if self._ended:
            return []
        self._ended = True
        return self.say(self._hearing.end(self._fold.calls))

    def say(self, text: str, *orders: Order) -> list[str]:
        """Take words that are spoken as they are, and orders, and give the piece of speech that they make."""
        said = text + "".join(self._hearing.obey(order) for order in orders)
        if said:
            self._spoken.append(said)
        return [said] if said else []

    def feed_completion(self, completion: Mapping[str, Any]) -> list[str]:
        """Take a whole ``chat.completion`` object, as if it were one chunk, and give its text."""
        choices = completion.get("choices")
        chunk = {
            **completion,
            "choices": [_as_delta(choice) for choice in choices] if isinstance(choices, list) else [],
        }
        pieces = self.feed([ServerEvent(msgspec.json.encode(chunk))])
        self.done = self.error is None
        return pieces + self.end()

    def record(self, **times: Any) -> AnswerRecord:
        """Give the record of what has come, with the moments that the caller measured."""
        fold = self._fold
        orders = self._hearing.orders
        calls: list[ToolCall] = []
        hangup = False
        for call in fold.calls:
            if self._hearing.hangs_up(call.name):
                # Servers repeat it on every chunk, some with a new id each time: the call ends once.
                if hangup:
                    continue
                hangup = True
            calls.append(ToolCall(name=call.name, arguments=call.arguments, id=call.id))
        return AnswerRecord(
            text="".join(self._spoken),
            reasoning=fold.reasoning,
            tool_calls=tuple(calls),
            hangup=hangup or any(order.kind == "hangup" for order in orders),
            transfer=next((order.to for order in orders if order.kind == "transfer"), None),
            protected=self._hearing.protected,
            to_app=tuple(order.data for order in orders if order.kind == "app"),
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
