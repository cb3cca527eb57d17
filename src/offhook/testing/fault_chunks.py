"""The bytes of a faulty model service: an answer as steps, and how a fault cuts and merges them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from offhook.wire import sse
from offhook.wire.chat import usage_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from offhook.testing.faults import Answer, Called, Fault, Phase

HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
LAST: Final = b"0\r\n\r\n"
COMMENT: Final = b": keep-alive\n\n"
WRONG: Final = b'{"id":"chatcmpl-faulty","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"'
HTML: Final = b"<!DOCTYPE html>\n<html>\n<head><title>502 Bad Gateway</title></head>\n<body>Sorry.</body>\n</html>\n"
JSON_TYPE: Final = "application/json"
HTML_TYPE: Final = "text/html; charset=utf-8"
ROLE: Final[Mapping[str, Any]] = {"role": "assistant", "content": ""}
# What comes for ever: the first delta, and the one that is repeated.
FOREVER: Final[Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {
    "reasoning": ({"reasoning_content": "Well, "}, {"reasoning_content": "hmm, "}),
    "think": ({"content": "<think>Well, "}, {"content": "hmm, "}),
    "endless": ({"content": "And so on, "}, {"content": "and on, "}),
    "whitespace": ({"content": " "}, {"content": "\n "}),
}
_ERRORS: Final[Mapping[int, tuple[str, str, str]]] = {
    401: ("Unauthorized", "invalid_request_error", "invalid_api_key"),
    404: ("Not Found", "invalid_request_error", "unknown_url"),
    429: ("Too Many Requests", "requests", "rate_limit_exceeded"),
    500: ("Internal Server Error", "server_error", "internal_error"),
    502: ("Bad Gateway", "server_error", "bad_gateway"),
}
# Before a byte that continues a UTF-8 character.
_INSIDE = re.compile(rb"(?=[\x80-\xbf])")


def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    """Give the event of a chunk."""
    return _event([{"index": 0, "delta": delta, "finish_reason": finish}])


def usage(pieces: int) -> bytes:
    """Give the event with the usage, whose ``choices`` are empty: 7 tokens asked, and one for each piece."""
    return _event([], usage=usage_object(7, pieces))


def _event(choices: list[Any], **more: Any) -> bytes:
    frame = {"id": "chatcmpl-faulty", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "faulty"}
    return sse.encode(msgspec.json.encode({**frame, "choices": choices, **more}))


def finish(answer: Answer) -> bytes:
    """Give the finish chunk of an answer."""
    return chunk({}, "tool_calls" if answer.calls else "stop")


def error_body(status: int) -> bytes:
    """Give the body of an error response, in OpenAI's shape."""
    what, kind, code = _ERRORS[status]
    return msgspec.json.encode({"error": {"message": what, "type": kind, "param": None, "code": code}})


def response(status: int, kind: str, body: bytes, *headers: str) -> bytes:
    """Give a whole response with a length; ``kind`` is its content type."""
    reason = _ERRORS[status][0] if status in _ERRORS else "OK"
    lines = (f"HTTP/1.1 {status} {reason}", f"content-type: {kind}", f"content-length: {len(body)}", *headers)
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1") + body


def refusal(answer: Answer) -> bytes | None:
    """Give the response that a fault before the headers puts in the answer's place, None for other faults."""
    match answer.fault:
        case "status_401" | "status_500":
            status = int(answer.fault.removeprefix("status_"))
            return response(status, JSON_TYPE, error_body(status))
        case "status_429":
            return response(429, JSON_TYPE, error_body(429), f"retry-after: {answer.retry_after}")
        case "status_502":
            return response(502, HTML_TYPE, HTML)
        case "html":
            return response(200, HTML_TYPE, HTML)
        case "wrong_json":
            return response(200, JSON_TYPE, WRONG)
    return None


def pieces(answer: Answer) -> list[bytes]:
    """Give the events of the texts and of the fragments of the tool calls."""
    events = [chunk({"content": text}) for text in answer.text]
    for index, call in enumerate(answer.calls):
        events += _fragments(index, call)
    return events


def _fragments(index: int, call: Called) -> Iterator[bytes]:
    count, size = call.fragments, len(call.arguments)
    parts = [call.arguments[size * at // count : size * (at + 1) // count] for at in range(count)]
    first = {"id": call.id or f"call_{index}", "type": "function", "function": {"name": call.name}}
    for at, part in enumerate(parts):
        head: dict[str, Any] = first if at == 0 else {}
        function = {**head.get("function", {}), "arguments": part}
        yield chunk({"tool_calls": [{"index": index, **head, "function": function}]})


Step = tuple["Phase | None", bytes, float]


def steps(answer: Answer, *, with_usage: bool) -> Iterator[Step]:
    """Give the answer in order: the phase in which each step stands if it begins one, its bytes, a pause before them.

    The headers are the bytes of the first step and stand outside the chunked body.
    """
    events = pieces(answer)
    middle = min(answer.after, len(events))
    yield "before_headers", HEAD, 0.0
    yield "after_headers", chunk(ROLE), 0.0
    yield "after_role", b"", 0.0
    for at, event in enumerate(events):
        if at == middle:
            yield "mid", b"", 0.0
        yield None, event, answer.every if at else 0.0
    if middle == len(events):
        yield "mid", b"", 0.0
    yield None, finish(answer) + (usage(len(events)) if with_usage else b""), 0.0
    yield "before_done", sse.DONE, 0.0


def cut(data: bytes) -> list[bytes]:
    """Cut bytes inside UTF-8 characters, after the third byte, and before the last, which ends an event."""
    places = sorted({3, len(data) - 1, *(found.start() for found in _INSIDE.finditer(data))} & set(range(1, len(data))))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def shaped(data: bytes, shape: Fault | None, *, framed: bool) -> list[bytes]:
    """Give the writes in which bytes go out; ``framed`` makes each write a chunk of the HTTP body."""
    if shape == "dribble":
        parts = [data[at : at + 1] for at in range(len(data))]
    else:
        parts = cut(data) if shape == "cut" else [data]
    parts = [part for part in parts if part]  # An empty chunk would end the body.
    return [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] if framed else parts
