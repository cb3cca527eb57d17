"""The oracle: what a client may hold our server to, checked on raw bytes.

Written from ``interface.md``, the OpenAI API reference and RFC 9112. It shares no code with offhook and imports nothing
of it, so that a fault in ``wire/`` cannot hide itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_FIELDS = {"id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "usage"}
COMPLETION_FIELDS = CHUNK_FIELDS
CHOICE_FIELDS = {"index", "delta", "finish_reason", "logprobs"}
DELTA_FIELDS = {"role", "content", "tool_calls", "refusal", "function_call"}
REASONS = {"stop", "length", "tool_calls", "content_filter"}


@dataclass
class Call:
    """One tool call."""

    id: str
    name: str
    arguments: str


@dataclass
class Transcript:
    """What a stream or a completion said."""

    id: str = ""
    text: str = ""
    calls: list[Call] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    # The chunks of a platform's own, whole.
    own: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class HttpReply:
    """One HTTP/1.1 response; header names in lower case, in the order in which they came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Give the only header of that name, or None."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"header {name} came {len(values)} times"
        return values[0] if values else None


# --- streams ------------------------------------------------------------------------------------------------------


def check_stream(
    raw_body: bytes,
    *,
    model: str | None = None,
    usage_asked: bool,
    error_expected: bool = False,
    free_arguments: bool = False,
    cut: bool = False,
) -> Transcript:
    """Assert that the body of a streamed reply keeps the interface exactly, and give what it said.

    ``free_arguments`` allows arguments that are no JSON, for models that send such. ``cut`` says that the client left
    before the end: what came must then be the beginning of a legal stream, and need not be all of one.
    """
    reading = _Stream(model, usage_asked=usage_asked, free_arguments=free_arguments)
    for data in _events(raw_body, cut=cut):
        reading.take(data)
    if not cut:
        reading.end(error_expected)
    return reading.said


def _events(raw: bytes, *, cut: bool) -> Iterator[bytes]:
    blocks = raw.split(b"\n\n")
    last = blocks.pop()
    assert cut or last == b"", f"the body goes on after the last blank line, or lacks it: {last[:80]!r}"
    for block in blocks:
        assert block.startswith(b"data: "), f"an event does not begin with 'data: ': {block[:80]!r}"
        data = block[len(b"data: ") :]
        assert b"\n" not in data and b"\r" not in data, f"an event is more than one line: {block[:80]!r}"
        yield data


class _Stream:
    """Takes the events in order; each must be legal where it stands."""

    def __init__(self, model: str | None, *, usage_asked: bool, free_arguments: bool) -> None:
        self.said = Transcript()
        self._model = model
        self._usage_asked = usage_asked
        self._free_arguments = free_arguments
        self._head: dict[str, Any] | None = None
        self._done = False

    def take(self, data: bytes) -> None:
        assert not self._done, f"something follows [DONE]: {data[:80]!r}"
        assert self.said.error is None, f"something follows the error: {data[:80]!r}"
        if data == b"[DONE]":
            assert self.said.finish_reason is not None, "[DONE] without a finish chunk"
            assert self.said.usage is not None or not self._usage_asked, "usage was asked and did not come"
            self._done = True
            return
        chunk = parse_object(data)
        if "error" in chunk:
            assert self.said.finish_reason is None, "an error after the finish chunk"
            self.said.error = check_error(data)
            return
        if chunk.get("type") == "meta.info" or chunk.get("object") == "chat.completion.custom_metadata":
            self._platforms_own(chunk)
            return
        _only(chunk, CHUNK_FIELDS, "the chunk")
        assert isinstance(chunk.get("choices"), list), f"choices are {chunk.get('choices')!r}"
        assert len(chunk["choices"]) <= 1, "more than one choice"
        for choice in chunk["choices"]:
            _only(choice, CHOICE_FIELDS, "the choice")
            _only(choice.get("delta"), DELTA_FIELDS, "the delta")
        self._same_head(chunk)
        if chunk["choices"]:
            self._choice(chunk)
        else:
            self._usage(chunk)
        _check_type(ChatCompletionChunk, chunk)

    def end(self, error_expected: bool) -> None:
        if error_expected:
            assert self.said.error is not None, "the stream did not end with an error"
        else:
            assert self.said.error is None, f"the stream ended with an error: {self.said.error}"
            assert self._done, "the stream ended without [DONE]"

    def _platforms_own(self, chunk: dict[str, Any]) -> None:
        """TRTC's chunk for the app stands anywhere, without choices; Agora's is the very first, with none in them."""
        head = self._head or (self.said.own or [chunk])[0]
        assert all(chunk[name] == head[name] for name in ("id", "created", "model")), "another head than the stream's"
        if chunk.get("type") == "meta.info":
            _exactly(chunk, {"id", "created", "model", "type", "metainfo"}, "the chunk for the app")
        else:
            _exactly(chunk, {"id", "object", "created", "model", "choices", "metadata"}, "the metadata chunk")
            assert self._head is None and not self.said.own and chunk["choices"] == [], "the metadata come late"
        self.said.own.append(chunk)

    def _same_head(self, chunk: dict[str, Any]) -> None:
        head: dict[str, Any] = {name: chunk[name] for name in ("id", "object", "created", "model") if name in chunk}
        if self._head is None:
            _check_head(head, "chat.completion.chunk", self._model)
            self._head = head
            self.said.id = head["id"]
            assert [choice["delta"].get("role") for choice in chunk["choices"]] == ["assistant"], (
                "the first chunk carries no role"
            )
        else:
            assert head == self._head, f"the head changed from {self._head} to {head}"
            assert all("role" not in choice["delta"] for choice in chunk["choices"]), "a later chunk carries the role"

    def _choice(self, chunk: dict[str, Any]) -> None:
        assert chunk.get("usage") is None, "usage on a chunk with choices"
        assert self.said.finish_reason is None, "a chunk follows the finish chunk"
        choice = chunk["choices"][0]
        _check_index(choice.get("index"), 0)
        assert "finish_reason" in choice, "the choice has no finish_reason"
        delta, reason = choice["delta"], choice["finish_reason"]
        if reason is not None:
            self._finish(delta, reason)
        elif "tool_calls" in delta:
            self._call(delta)
        else:
            assert delta, "a chunk that brings nothing"
            content = delta.get("content")
            assert content is None or isinstance(content, str), f"content is {content!r}"
            self.said.text += content or ""

    def _call(self, delta: dict[str, Any]) -> None:
        assert set(delta) == {"tool_calls"}, "a tool call shares its chunk with something else"
        calls = delta["tool_calls"]
        assert isinstance(calls, list) and len(calls) == 1, "more or less than one tool call in a chunk"
        _exactly(calls[0], {"index", "id", "type", "function"}, "the tool call")
        whole = dict(calls[0])
        _check_index(whole.pop("index"), len(self.said.calls))
        self.said.calls.append(_whole_call(whole, self.said.calls, free_arguments=self._free_arguments))

    def _finish(self, delta: dict[str, Any], reason: object) -> None:
        assert delta == {}, f"the finish chunk also brings {sorted(delta)}"
        self.said.finish_reason = _check_reason(reason, self.said.calls)

    def _usage(self, chunk: dict[str, Any]) -> None:
        assert self._usage_asked, "a usage chunk that nobody asked for"
        assert self.said.finish_reason is not None, "a chunk without choices before the finish chunk"
        assert self.said.usage is None, "usage came twice"
        self.said.usage = _check_usage(chunk.get("usage"))


# --- whole bodies -------------------------------------------------------------------------------------------------


def check_completion(raw: bytes, *, model: str | None = None, free_arguments: bool = False) -> Transcript:
    """Assert that the body is one ``chat.completion`` object as the interface has it, and give what it said."""
    body = parse_object(raw)
    _only(body, COMPLETION_FIELDS, "the completion")
    head: dict[str, Any] = {name: body[name] for name in ("id", "object", "created", "model") if name in body}
    _check_head(head, "chat.completion", model)
    choices = body.get("choices")
    assert isinstance(choices, list) and len(choices) == 1, "not exactly one choice"
    choice = choices[0]
    _only(choice, {"index", "message", "finish_reason", "logprobs"}, "the choice")
    _check_index(choice.get("index"), 0)
    message = choice.get("message")
    _only(message, {"role", "content", "tool_calls", "refusal", "function_call", "annotations", "audio"}, "the message")
    assert message.get("role") == "assistant", f"the message's role is {message.get('role')!r}"
    assert "content" in message, "the message has no content field"
    said = Transcript(id=head["id"])
    calls = message.get("tool_calls")
    assert calls is None or (isinstance(calls, list) and calls), f"tool_calls are {calls!r}"
    for call in calls or ():
        said.calls.append(_whole_call(call, said.calls, free_arguments=free_arguments))
    content = message["content"]
    assert isinstance(content, str) or (content is None and said.calls), f"content is {content!r}"
    said.text = content or ""
    said.finish_reason = _check_reason(choice.get("finish_reason"), said.calls)
    said.usage = _check_usage(body.get("usage"))
    _check_type(ChatCompletion, body)
    return said


def check_error(raw: bytes) -> dict[str, Any]:
    """Assert that the body, or the data of an event, is an error in the OpenAI shape, and give the inner object."""
    body = parse_object(raw)
    _exactly(body, {"error"}, "the error body")
    error: dict[str, Any] = body["error"]
    _exactly(error, {"message", "type", "param", "code"}, "the error")
    assert isinstance(error["message"], str) and error["message"].strip(), "the error has no message"
    assert isinstance(error["type"], str) and error["type"], "the error has no type"
    for name in ("param", "code"):
        assert error[name] is None or isinstance(error[name], str), f"the error's {name} is {error[name]!r}"
    return error


# --- HTTP/1.1 -----------------------------------------------------------------------------------------------------


def check_http(raw_http: bytes) -> HttpReply:
    """Assert that the bytes are exactly one whole response, chunked or with a length, and give its parts."""
    head, separator, rest = raw_http.partition(b"\r\n\r\n")
    assert separator, f"the header section does not end: {raw_http[:80]!r}"
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = status_line.split(" ", 2)
    assert version == "HTTP/1.1" and len(status) == 3 and status.isdigit(), f"status line {status_line!r}"
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon and name and name == name.strip(), f"header line {line!r}"
        headers.append((name.lower(), value.strip()))
    reply = HttpReply(int(status), headers, b"")
    length, coding = reply.header("content-length"), reply.header("transfer-encoding")
    assert (length is None) != (coding is None), f"content-length {length!r} with transfer-encoding {coding!r}"
    if length is not None:
        assert len(rest) == int(length), f"{len(rest)} bytes, and content-length says {length}"
        reply.body = rest
    else:
        assert coding == "chunked", f"transfer-encoding {coding!r}"
        reply.body = _unchunk(rest)
    return reply


def _unchunk(rest: bytes) -> bytes:
    body = b""
    while True:
        size_line, separator, rest = rest.partition(b"\r\n")
        assert separator, "the body ends without its last chunk"
        assert size_line and set(size_line) <= set(b"0123456789abcdefABCDEF"), f"chunk size {size_line!r}"
        size = int(size_line, 16)
        assert rest[size : size + 2] == b"\r\n", "a chunk is shorter or longer than its size"
        chunk, rest = rest[:size], rest[size + 2 :]
        if size == 0:
            assert rest == b"", f"something follows the last chunk: {rest[:80]!r}"
            return body
        body += chunk


# --- parts --------------------------------------------------------------------------------------------------------


def parse_object(raw: bytes) -> dict[str, Any]:
    """Give the JSON object of these bytes; stricter than ``json``: no NaN, no key twice, no lone surrogate."""
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_key_twice)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        raise AssertionError(f"no JSON in UTF-8: {raw[:80]!r}: {error}") from error
    assert isinstance(value, dict), f"no JSON object: {raw[:80]!r}"
    return value


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    assert len(value) == len(pairs), f"a key came twice: {[key for key, _ in pairs]}"
    return value


def _only(value: object, allowed: set[str], what: str) -> None:
    assert isinstance(value, dict), f"{what} is no object: {value!r}"
    assert set(value) <= allowed, f"{what} has fields that the OpenAI type does not define: {set(value) - allowed}"


def _exactly(value: object, names: set[str], what: str) -> None:
    assert isinstance(value, dict), f"{what} is no object: {value!r}"
    assert set(value) == names, f"{what} has the fields {sorted(value)}, not {sorted(names)}"


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_index(index: object, expected: int) -> None:
    assert _is_int(index) and index == expected, f"the index is {index!r}, not {expected}"


def _check_head(head: dict[str, Any], kind: str, model: str | None) -> None:
    assert isinstance(head.get("id"), str) and head["id"], "no id"
    assert head.get("object") == kind, f"object is {head.get('object')!r}"
    assert _is_int(head.get("created")) and head["created"] >= 0, f"created is {head.get('created')!r}"
    assert isinstance(head.get("model"), str), "no model"
    assert model is None or head["model"] == model, f"model is {head['model']!r}, not {model!r}"


def _whole_call(call: dict[str, Any], before: list[Call], *, free_arguments: bool) -> Call:
    _exactly(call, {"id", "type", "function"}, "the tool call")
    assert isinstance(call["id"], str) and call["id"], "a tool call without an id"
    assert call["id"] not in {other.id for other in before}, f"two tool calls have the id {call['id']!r}"
    assert call["type"] == "function", f"the tool call's type is {call['type']!r}"
    function = call["function"]
    _exactly(function, {"name", "arguments"}, "the function")
    assert isinstance(function["name"], str) and function["name"], "a function without a name"
    assert isinstance(function["arguments"], str), f"arguments are {function['arguments']!r}"
    if not free_arguments:
        try:
            json.loads(function["arguments"], parse_constant=_no_constant)
        except ValueError as error:
            raise AssertionError(f"arguments are no JSON text: {function['arguments']!r}") from error
    return Call(call["id"], function["name"], function["arguments"])


def _check_reason(reason: object, calls: list[Call]) -> str:
    assert isinstance(reason, str) and reason in REASONS, f"finish_reason is {reason!r}"
    if reason == "tool_calls":
        assert calls, "finish_reason is tool_calls, and no call was sent"
    elif reason == "stop":
        assert not calls, "finish_reason is stop, and a call was sent"
    return reason


def _check_usage(usage: object) -> dict[str, Any]:
    assert isinstance(usage, dict), f"usage is {usage!r}"
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert _is_int(usage.get(name)) and usage[name] >= 0, f"usage.{name} is {usage.get(name)!r}"
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"], (
        f"usage does not add up: {usage}"
    )
    _check_type(CompletionUsage, usage)
    return usage


def _check_type(kind: type[BaseModel], value: dict[str, Any]) -> None:
    try:
        model = kind.model_validate(value, strict=True)
    except ValueError as error:
        raise AssertionError(f"not a valid {kind.__name__}: {error}") from error
    extra = list(_extras(model))
    assert not extra, f"fields that the OpenAI type does not define: {extra}"


def _extras(value: object) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from _extras(item)
