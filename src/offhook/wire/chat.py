"""``POST .../chat/completions``: the request, and the chunks and completion that answer it.

Sources: OpenAI API reference, "Create chat completion" and "The chat completion chunk object"; the
vendor's page for ``extendData``. Unknown fields never fail and are kept in ``ChatRequest.body``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.errors import BadField, BadJson
from offhook.wire import sse


class StreamOptions(msgspec.Struct, frozen=True):
    """``stream_options`` of the request."""

    include_usage: bool | None = None


class ChatMessage(msgspec.Struct, frozen=True):
    """One record of ``messages``. ``content`` may be a string, null, missing, or a list of parts."""

    role: str
    content: str | list[Any] | None = None


_BODY = "(body)"


class ChatRequest(msgspec.Struct, frozen=True):
    """The fields of a request that this server reads; ``body`` is the whole object.

    ``stream`` missing or null means false (OpenAI), although the workflow only ever streams.
    """

    messages: list[ChatMessage]
    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    tools: list[dict[str, Any]] | None = None
    # Filled in by decode_request, whatever a client may send under this name.
    body: dict[str, Any] = msgspec.field(default_factory=dict, name=_BODY)

    @property
    def include_usage(self) -> bool:
        """Tell whether the client asked for a usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)


class CallDelta(msgspec.Struct, frozen=True):
    """A whole tool call, to be written as one chunk."""

    name: str
    arguments: str
    id: str


# Where msgspec gives up on a body, and what stands there when that body is a Python literal.
_BYTE = re.compile(r"\(byte (\d+)\)$")
_PYTHON_LITERAL = re.compile(rb"'|(?:True|False|None)\b")
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)


def decode_request(body: bytes) -> ChatRequest:
    """Give the request that ``body`` holds.

    Raises BadJson when it is not JSON (a Python literal is recognised), BadField when a field is missing or has
    the wrong type, or ``messages`` is empty.
    """
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJson(_why_not_json(body, error)) from None
    if not isinstance(fields, dict):
        raise BadField("The body must be a JSON object.")
    try:
        request = msgspec.convert({**fields, _BODY: fields}, ChatRequest)
    except msgspec.ValidationError as error:
        raise _bad_field(str(error)) from None
    if not request.messages:
        raise BadField("'messages' must hold at least one message.", param="messages")
    return request


def _why_not_json(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "The body is empty; send a JSON object with 'messages' and 'model'."
    place = _BYTE.search(str(error))
    if place and _PYTHON_LITERAL.match(body, int(place[1])):
        return (
            "The body is a Python literal (single quotes, True, None), not JSON. "
            "Send json.dumps(body), or use your HTTP client's json= option."
        )
    if isinstance(error, RecursionError):
        return "The body is nested too deeply."
    return f"The body is not valid JSON: {error}."


def _bad_field(message: str) -> BadField:
    match = _PATH.match(message)
    what, path = (match["what"], match["path"]) if match else (message, None)
    missing = re.search(r"missing required field `(\w+)`", what)
    if missing:
        path = f"{path}.{missing[1]}" if path else missing[1]
        return BadField(f"'{path}' is required.", param=path)
    return BadField(f"{what} for '{path}'." if path else f"{what}.", param=path or None)


def text_of(content: str | list[Any] | None) -> str:
    """Give the words of a message's content: the string, or the ``text`` parts of a list joined."""
    if isinstance(content, str):
        return content
    if not content:
        return ""
    pieces: list[str] = []
    for part in content:
        if isinstance(part, str):
            pieces.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            pieces.append(part["text"])
    return "".join(pieces)


_encode = msgspec.json.Encoder().encode


# Legal inside a JSON string, and yet a line end to many a client that reads a stream by text lines.
_LINE_ENDS = re.compile(rb"\xe2\x80[\xa8\xa9]|\xc2\x85")
_ESCAPED = {b"\xe2\x80\xa8": b"\\u2028", b"\xe2\x80\xa9": b"\\u2029", b"\xc2\x85": b"\\u0085"}


def encode_text(text: str) -> bytes:
    """Give ``text`` as a JSON string on one line, whatever a client takes for a line end.

    What UTF-8 cannot hold (a lone surrogate) becomes U+FFFD.
    """
    try:
        encoded = _encode(text)
    except UnicodeEncodeError:
        encoded = _encode(well_formed(text))
    if _LINE_ENDS.search(encoded):
        return _LINE_ENDS.sub(_escape, encoded)
    return encoded


def _escape(end: re.Match[bytes]) -> bytes:
    return _ESCAPED[end.group()]


def well_formed(text: str) -> str:
    """Give ``text`` with surrogate pairs joined and each lone surrogate as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def encode_value(value: Any) -> bytes:
    """Give a value as JSON; what UTF-8 cannot hold (a lone surrogate) becomes U+FFFD wherever it stands."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(all_well_formed(value))


def all_well_formed(value: Any) -> Any:
    """Give a value with every text in it as ``well_formed`` gives it."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, Mapping):
        return {all_well_formed(name): all_well_formed(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [all_well_formed(one) for one in value]
    return value


class ChunkWriter:
    """Writes the events of one stream in their legal order: one id, one ``created``, dense tool call indexes.

    ``created`` is in whole seconds since the epoch.
    """

    __slots__ = ("_calls", "_frame", "_own", "_prefix")

    def __init__(self, *, id: str, created: int, model: str) -> None:
        self._frame = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
            encode_text(id),
            created,
            encode_text(model),
        )
        self._prefix = self._frame + b'{"index":0,"delta":'
        self._own = {"id": id, "created": created, "model": well_formed(model)}
        self._calls = 0

    @property
    def called(self) -> bool:
        """Tell whether a tool call was written."""
        return self._calls > 0

    def role(self) -> bytes:
        """Give the first chunk, which alone carries the role."""
        return self._prefix + b'{"role":"assistant","content":""},"finish_reason":null}]}\n\n'

    def text(self, text: str) -> bytes:
        """Give a chunk of text."""
        return b'%b{"content":%b},"finish_reason":null}]}\n\n' % (self._prefix, encode_text(text))

    def call(self, call: CallDelta) -> bytes:
        """Give a chunk that carries a whole tool call, at the next index."""
        index = self._calls
        self._calls += 1
        return (
            b'%b{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":%b}}]},'
            b'"finish_reason":null}]}\n\n'
            % (self._prefix, index, encode_text(call.id), encode_text(call.name), encode_text(call.arguments or "{}"))
        )

    def extra(self, fields: Mapping[str, Any]) -> bytes:
        """Give a chunk of a platform's own, which has the stream's id, ``created`` and model where it names none."""
        return b"data: %b\n\n" % _LINE_ENDS.sub(_escape, encode_value({**self._own, **fields}))

    def finish(self, reason: str) -> bytes:
        """Give the lone finish chunk."""
        return b'%b{},"finish_reason":%b}]}\n\n' % (self._prefix, encode_text(reason))

    def usage(self, prompt_tokens: int, completion_tokens: int) -> bytes:
        """Give the usage chunk, whose ``choices`` are empty."""
        return b'%b],"usage":%b}\n\n' % (self._frame, _encode(usage_object(prompt_tokens, completion_tokens)))

    def done(self) -> bytes:
        """Give the last event."""
        return sse.DONE


def usage_object(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Give the ``usage`` object."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def encode_completion(
    *,
    id: str,
    created: int,
    model: str,
    text: str,
    calls: list[CallDelta],
    reason: str,
    usage: dict[str, int],
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """Give the ``chat.completion`` object that answers ``stream: false``; ``extra`` are more fields of its message."""
    content = well_formed(text) or (None if calls else "")
    message: dict[str, Any] = {"role": "assistant", "content": content, **(extra or {})}
    if calls:
        message["tool_calls"] = [
            {
                "id": well_formed(call.id),
                "type": "function",
                "function": {"name": well_formed(call.name), "arguments": well_formed(call.arguments) or "{}"},
            }
            for call in calls
        ]
    body = {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": well_formed(model),
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": usage,
    }
    return encode_value(body)
