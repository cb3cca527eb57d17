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
        self.done = False

    def feed(self, events: Iterable[ServerEvent]) -> list[Event]:
        """Take server-sent events and give the text in them; tool calls are given whole, by ``flush``.

        Raises UpstreamBroken when an event is not a chunk, or reports an error.
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
            except WireError as error:
                raise UpstreamBroken(f"The model service broke off: {error}.") from error
            if step.text:
                given.append(Text(step.text))
        return given

    def flush(self) -> list[Event]:
        """Take the end of the stream and give what was waiting for it: tool calls, usage, the finish.

        Raises UpstreamBroken when the stream had no proper end.
        """
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
    body: dict[str, Any] = {name: turn.body[name] for name in PASSED_ON if turn.body.get(name) is not None}
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
