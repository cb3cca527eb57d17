"""What a model service streams, as events; and a turn, as its request. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from offhook.errors import UpstreamBroken, WireError
from offhook.events import Event, Finish, FinishReason, Text, ToolCall, Usage
from offhook.wire.fold import Fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from offhook.events import Message, Turn
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


class Translator:
    """Turns the events of one stream into a turn's events. Reasoning is left out: it is never spoken."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._failure: UpstreamBroken | None = None
        self.done = False

    def feed(self, events: Iterable[ServerEvent]) -> list[Event]:
        """Take server-sent events and give the text in them; ``done`` tells when nothing more will count.

        Tool calls are given whole, by ``flush``. A model's refusal is said like any other words.
        """
        given: list[Event] = []
        for event in events:
            if self.done:
                break
            if event.data.strip() == b"[DONE]":
                self.done = True
                break
            try:
                step = self._fold.feed(event.data)
                if event.type == "error":
                    raise WireError("it reported an error without a message")
            except WireError as error:
                # What came before it is said first; flush() tells of the failure.
                self._failure = UpstreamBroken("The model service broke off with an error.")
                self._failure.__cause__ = error
                self.done = True
                break
            if words := step.text or step.refusal:
                given.append(Text(words))
        return given

    def flush(self) -> list[Event]:
        """Take the end of the stream and give what was waiting for it: tool calls, usage, the finish.

        Raises UpstreamBroken when an event was not a chunk or reported an error, and when the stream had no proper end.
        """
        if self._failure is not None:
            raise self._failure
        fold = self._fold
        if fold.finish_reason is None and not self.done:
            raise UpstreamBroken("The model service's stream ended in the middle.")
        given: list[Event] = [
            ToolCall(name=call.name, arguments=call.arguments or "{}", id=call.id) for call in fold.calls if call.name
        ]
        called = len(given) > 0
        if (usage := _usage(fold.usage)) is not None:
            given.append(usage)
        reason = fold.finish_reason if fold.finish_reason in _CUT else "tool_calls" if called else "stop"
        given.append(Finish(cast("FinishReason", reason)))
        return given


def request_body(turn: Turn, *, model: str | None, system_prompt: str | None) -> dict[str, Any]:
    """Give the body that asks a model service for the reply to ``turn``, as a stream with usage."""
    body: dict[str, Any] = {name: turn.body[name] for name in PASSED_ON if turn.body.get(name) not in (None, [])}
    messages = [fields for message in turn.history if (fields := _message(message)) is not None]
    if system_prompt:
        messages.insert(0, {"role": "system", "content": system_prompt})
    body["model"] = model or turn.model
    body["messages"] = messages
    body["stream"] = True
    body["stream_options"] = {"include_usage": True}
    return body


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
