"""Folds the chunks of a stream, from any server, into one completion.

Tolerant on the reading side: null deltas, ``choices: []`` anywhere, content as a list of parts, tool calls in every
form that ``wire/calls.py`` knows, a finish reason more than once, and no ``[DONE]``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from offhook.errors import WireError
from offhook.wire.calls import Call, CallAssembler
from offhook.wire.chat import text_of


class Step(msgspec.Struct, frozen=True):
    """What one chunk brought for choice 0."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    finish_reason: str | None = None


_NOTHING = Step()


class _Words(msgspec.Struct):
    """A delta that brings text and nothing else."""

    content: str
    tool_calls: None = None
    function_call: None = None
    refusal: None = None
    reasoning: None = None
    reasoning_content: None = None


class _PlainChoice(msgspec.Struct):
    delta: _Words
    index: Literal[0] = 0
    finish_reason: None = None
    error: None = None


class _PlainChunk(msgspec.Struct):
    """By far the commonest chunk. Whatever differs from it is read the tolerant way."""

    choices: tuple[_PlainChoice]
    usage: None = None
    error: None = None


_decode_plain = msgspec.json.Decoder(_PlainChunk).decode


class Fold:
    """Reads chunks one by one; the attributes hold what has come so far, of choice 0.

    ``refusal`` is what a model says when it declines; OpenAI streams it beside the content.
    """

    __slots__ = ("_calls", "_reasoning", "_refusal", "_text", "finish_reason", "usage")

    def __init__(self) -> None:
        self._calls = CallAssembler()
        # Pieces, joined when asked for: adding to a long text again and again would copy it every time.
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning so far, which is never spoken."""
        return "".join(self._reasoning)

    @property
    def refusal(self) -> str:
        """The refusal so far."""
        return "".join(self._refusal)

    @property
    def useful(self) -> bool:
        """Tell whether text or a tool call has come."""
        return bool(self._text or self.calls)

    @property
    def calls(self) -> list[Call]:
        """The tool calls so far, in the order in which they began."""
        return self._calls.calls

    def feed(self, data: bytes) -> Step:
        """Take the data of one event that is not ``[DONE]``.

        Raises WireError when it is not a JSON object, and when it carries an error: the message is the service's.
        """
        try:
            text = _decode_plain(data).choices[0].delta.content
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._feed(decode_chunk(data))
        if text:
            self._text.append(text)
        return Step(text)

    def _feed(self, chunk: dict[str, Any]) -> Step:
        if isinstance(usage := chunk.get("usage"), dict):
            self.usage = usage
        choice = _first_choice(chunk)
        if choice is None:
            return _NOTHING
        error = choice.get("error")
        if error:
            raise WireError(error_message(error))
        delta = choice.get("delta")
        text = reasoning = refusal = ""
        if isinstance(delta, dict):
            text, reasoning, refusal = _words(delta)
            for pieces, piece in ((self._text, text), (self._reasoning, reasoning), (self._refusal, refusal)):
                if piece:
                    pieces.append(piece)
            if isinstance(fragments := delta.get("tool_calls"), list):
                self._calls.feed(fragments)
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self.finish_reason = finish
            return Step(text, reasoning, refusal, finish)
        return Step(text, reasoning, refusal)


def decode_chunk(data: bytes) -> dict[str, Any]:
    """Give the object of one event. Raises WireError when it is none, or is an error object."""
    try:
        chunk = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"an event of the stream is not JSON: {error}") from None
    if not isinstance(chunk, dict):
        raise WireError("an event of the stream is not a JSON object")
    if chunk.get("error"):
        raise WireError(error_message(chunk["error"]))
    if _is_error(chunk):
        raise WireError(error_message(chunk))
    return chunk


def _is_error(chunk: dict[str, Any]) -> bool:
    """Tell whether the object is itself an error: vLLM's ``object: error``, or a code and a message and no choices."""
    if chunk.get("object") == "error":
        return True
    return "choices" not in chunk and bool(chunk.get("code")) and isinstance(chunk.get("message"), str)


def error_message(error: object) -> str:
    """Give the words of an error in any of the shapes that services use."""
    if isinstance(error, dict):
        message = error.get("message") or error.get("code") or error.get("type")
        return str(message) if message else "the service reported an error without a message"
    return str(error)


def _first_choice(chunk: dict[str, Any]) -> dict[str, Any] | None:
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return None
    for choice in choices:
        if isinstance(choice, dict) and not choice.get("index"):
            return choice
    return None


def _words(delta: dict[str, Any]) -> tuple[str, str, str]:
    """Give the text, the reasoning and the refusal of a delta."""
    content = delta.get("content")
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    spoken = text_of(content) if isinstance(content, str | list) else ""
    thought = reasoning if isinstance(reasoning, str) else ""
    if isinstance(content, list):  # Mistral: parts of type "thinking" hold text parts of their own.
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("thinking"), list | str):
                thought += text_of(part["thinking"])
    refusal = delta.get("refusal")
    return spoken, thought, refusal if isinstance(refusal, str) else ""
