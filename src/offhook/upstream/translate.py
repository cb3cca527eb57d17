"""What a model service streams, as events; and a turn, as its request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import msgspec

from offhook.errors import UpstreamBroken, WireError
from offhook.events import Event, Finish, FinishReason, Text, ToolCall, Usage
from offhook.speech.language import speakable
from offhook.speech.tags import TagShaper
from offhook.speech.think import ThinkShaper
from offhook.wire.fold import Fold
from offhook.wire.tokens import estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offhook.events import Message, Turn
    from offhook.upstream.spec import UpstreamSpec
    from offhook.wire.sse import ServerEvent

# Fields of the caller's request that go on to the model service.
PASSED_ON = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
)
_MESSAGE_FIELDS = ("content", "name", "tool_calls", "tool_call_id")
_ROLES = frozenset({"system", "user", "assistant", "tool"})
_CUT = frozenset({"length", "content_filter"})
# An id is put into a header as it is, unless something in it would end the header or is no ASCII.
_HEADER_SAFE = "".join(map(chr, range(0x20, 0x7F)))


class Translator:
    """Turns the events of one stream into a turn's events. Reasoning is left out: it is never spoken.

    ``useful`` tells that something came which a caller can hear, or whole tool calls; ``moved`` counts what brought the
    answer on: words outside the reasoning (white space is none) and fragments of tool calls. ``finished`` tells that
    the answer is whole, although the stream may go on with its usage. ``thinks_first`` is that of the spec.

    ``tags`` are the platform's control tags: nobody hears what they hide, and yet it is given, for the voice chain to
    take out. ``spoken`` tells that the turn has said something before: then an answer may be empty, and is useful.
    """

    __slots__ = (
        "_call_bytes",
        "_calls",
        "_failure",
        "_fold",
        "_heard",
        "_spoken",
        "_think",
        "done",
        "finished",
        "moved",
        "useful",
    )

    def __init__(self, *, thinks_first: bool = False, spoken: bool = False, tags: tuple[str, ...] = ()) -> None:
        self._fold = Fold()
        self._spoken = spoken
        # Only judges: what is given goes through a shaper of its own.
        self._heard = TagShaper(tags)
        self._think = ThinkShaper(inside=thinks_first)
        self._failure: UpstreamBroken | None = None
        # The list that the fold goes on with: this is looked at once per read.
        self._calls = self._fold.calls
        self._call_bytes = 0
        self.done = False
        self.finished = False
        self.useful = False
        self.moved = 0

    def feed(self, events: Iterable[ServerEvent]) -> list[Event]:
        """Take server-sent events and give the text in them; ``done`` tells when nothing more will count.

        Tool calls are given whole, by ``flush``: none of an answer that was cut. A model's refusal is said like any
        other words.
        """
        given: list[Event] = []
        for event in events:
            if self.done:
                break
            if event.data.strip() == b"[DONE]":
                self.done = self.finished = True
                break
            try:
                step = self._fold.feed(event.data)
                if event.type == "error":
                    raise WireError("it reported an error without a message")
            except WireError as error:
                # Behind the finish it changes nothing: the answer is whole. Otherwise flush() tells of the failure.
                if not self.finished:
                    self._failure = UpstreamBroken("The model service broke off with an error.")
                    self._failure.__cause__ = error
                self.done = self.finished = True
                break
            if step.finish_reason is not None:
                self.finished = True
            if words := step.text or step.refusal:
                self._say(self._think.feed(words), given)
        if self._calls:
            self._look_at_calls()
        elif self.finished and self._may_be_empty():
            self.useful = True
        return given

    def flush(self) -> list[Event]:
        """Take the end of the stream and give what was waiting for it: tool calls, usage, the finish.

        Raises UpstreamBroken when an event was not a chunk or reported an error, when the stream had no proper end, and
        when there was nothing in it that a caller can hear.
        """
        if self._failure is not None:
            raise self._failure
        fold = self._fold
        if fold.finish_reason is None and not self.done:
            raise UpstreamBroken("The model service's stream ended in the middle.")
        given: list[Event] = []
        self._say(self._think.flush(), given)
        self.useful = self.useful or speakable(self._heard.flush())
        calls = self._whole_calls()
        given.extend(calls)
        if (usage := self.usage) is not None:
            given.append(usage)
        self.useful = self.useful or bool(calls)
        reason = fold.finish_reason if fold.finish_reason in _CUT else "tool_calls" if calls else "stop"
        held_back = reason == "content_filter" and not self._calls
        if not (self.useful or held_back or self._may_be_empty()):
            raise UpstreamBroken("The model service's answer had no words in it.")
        given.append(Finish(cast("FinishReason", reason)))
        return given

    @property
    def usage(self) -> Usage | None:
        """The tokens as the service counted them; None where it has not."""
        return _usage(self._fold.usage)

    def estimated(self) -> int:
        """Give an estimate of the tokens that came, reasoning included, for a service that did not count them."""
        fold = self._fold
        return estimate(fold.text) + estimate(fold.reasoning) + (self._call_bytes + 3) // 4

    def _say(self, words: str, given: list[Event]) -> None:
        if words:
            if not words.isspace():
                self.moved += 1
            given.append(Text(words))
            if not self.useful:
                self.useful = speakable(self._heard.feed(words))

    def _look_at_calls(self) -> None:
        calls = self._calls
        size = sum(len(call.arguments) + len(call.name) for call in calls)
        if size != self._call_bytes:
            self._call_bytes = size
            self.moved += 1
        if self.finished and self._failure is None and self._whole_calls():
            self.useful = True

    def _whole_calls(self) -> list[ToolCall]:
        """Give the calls that may be made, once the answer has ended: those of which nothing can be missing."""
        reason = self._fold.finish_reason
        if reason in _CUT:
            return []
        # [DONE] alone does not tell that the model was at its end.
        calls = [call for call in self._calls if call.name and (reason is not None or _is_object(call.arguments))]
        return [ToolCall(name=call.name, arguments=call.arguments or "{}", id=call.id) for call in calls]

    def _may_be_empty(self) -> bool:
        """Tell whether this ends well without a word: the model stopped by itself, and the turn has spoken."""
        return self._spoken and self._failure is None and not self._calls and self._fold.finish_reason not in _CUT


def request_body(
    turn: Turn,
    spec: UpstreamSpec,
    *,
    system_prompt: str | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    more: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Give the body that asks a model service for the reply to ``turn``, as a stream with usage.

    ``tools`` are definitions beside the request's own, ``more`` are messages behind the turn's: tool calls and results.
    """
    body: dict[str, Any] = {
        name: turn.body[name] for name in PASSED_ON if turn.body.get(name) not in (None, []) and name not in spec.omit
    }
    if tools:
        ours = {tool["function"]["name"] for tool in tools}
        theirs = [tool for tool in turn.tools if _name_of(tool) not in ours]
        body["tools"] = [*tools, *theirs]
    if spec.max_tokens_as is not None:
        limits = [body.pop(name) for name in ("max_tokens", "max_completion_tokens") if name in body]
        if limits:
            body[spec.max_tokens_as] = limits[-1]
    messages = [fields for message in turn.history if (fields := _message(message)) is not None]
    if system_prompt:
        messages.insert(0, {"role": "system", "content": system_prompt})
    body["model"] = spec.model or turn.model
    body["messages"] = [*messages, *more]
    body["stream"] = True
    if spec.usage:
        body["stream_options"] = {"include_usage": True}
    place, _, name = spec.call_id_as.partition(":")
    if place in ("user", "body") and turn.call.id is not None:
        body[name or "user"] = turn.call.id
    return {**body, **spec.body} if spec.body else body


def request_headers(turn: Turn, spec: UpstreamSpec) -> dict[str, str]:
    """Give the headers of a turn's request: its trace, and its call's id where the service wants that."""
    headers = dict(turn.trace)
    place, _, name = spec.call_id_as.partition(":")
    if place == "header" and turn.call.id is not None:
        headers[name] = quote(turn.call.id, safe=_HEADER_SAFE)
    return headers


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _name_of(tool: Mapping[str, Any]) -> object:
    function = tool.get("function")
    return function.get("name") if isinstance(function, Mapping) else None


def _message(message: Message) -> dict[str, Any] | None:
    """Give a message as any model service takes it; None for one that says nothing.

    Roles that only some know (``developer``, ``plugin``, ``function``) become ``system``.
    """
    fields = {name: message.fields[name] for name in _MESSAGE_FIELDS if message.fields.get(name) is not None}
    if message.role not in _ROLES:
        return {"role": "system", "content": message.text} if message.text else None
    if not fields.get("content") and not fields.get("tool_calls") and message.role != "tool":
        return None
    fields.setdefault("content", "" if message.role == "tool" else None)
    return {"role": message.role, **fields}


def _usage(usage: Mapping[str, Any] | None) -> Usage | None:
    if usage is None:
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if isinstance(prompt, int) and isinstance(completion, int):
        return Usage(prompt, completion)
    return None
