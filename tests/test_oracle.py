"""The oracle passes what is right, and refuses each thing that is wrong in one point."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.oracle import check_completion, check_error, check_http, check_stream

HEAD = {"id": "r1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
ERROR = {"error": {"message": "It broke.", "type": "server_error", "param": None, "code": "agent_error"}}


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def chunk(delta: object, reason: str | None = None, **changes: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason} | changes.pop("choice", {})
    return event({**HEAD, "choices": [choice], **changes})


def tool(index: object = 0, **changes: Any) -> bytes:
    function = {"name": "hangup", "arguments": "{}"} | changes.pop("function", {})
    call = {"index": index, "id": f"c{index}", "type": "function", "function": function} | changes
    return chunk({"tool_calls": [call]})


def usage(**changes: Any) -> bytes:
    return event({**HEAD, "choices": [], "usage": {**USAGE, **changes}})


ROLE = chunk({"role": "assistant", "content": ""})
TEXT = chunk({"content": "Grüß \u2028 dich"})
STOP = chunk({}, "stop")
CALLED = chunk({}, "tool_calls")
GOOD = ROLE + TEXT + STOP + DONE
FAILED = ROLE + TEXT + event(ERROR)

GOOD_STREAMS = {
    "plain": (GOOD, {}),
    "no text": (ROLE + STOP + DONE, {}),
    "length": (ROLE + TEXT + chunk({}, "length") + DONE, {}),
    "content filter after a call": (ROLE + tool() + chunk({}, "content_filter") + DONE, {}),
    "two calls": (ROLE + TEXT + tool(0) + TEXT + tool(1) + CALLED + DONE, {}),
    "usage": (ROLE + TEXT + STOP + usage() + DONE, {"usage_asked": True}),
    "usage null on the way": (ROLE + chunk({"content": "x"}, usage=None) + STOP + DONE, {}),
    "broken arguments allowed": (
        ROLE + tool(function={"arguments": "{"}) + CALLED + DONE,
        {"free_arguments": True},
    ),
    "error": (FAILED, {"error_expected": True}),
    "error at once": (event(ERROR), {"error_expected": True}),
    "cut in an event": (ROLE + TEXT[:-1], {"cut": True}),
    "cut before anything": (b"", {"cut": True}),
}

BAD_STREAMS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "without \\[DONE\\]"),
    "no [DONE]": (ROLE + TEXT + STOP, "without \\[DONE\\]"),
    "no finish chunk": (ROLE + TEXT + DONE, "without a finish"),
    "two finish chunks": (ROLE + STOP + STOP + DONE, "follows the finish"),
    "finish chunk with text": (ROLE + chunk({"content": "x"}, "stop") + DONE, "finish chunk also"),
    "text after the finish": (ROLE + STOP + TEXT + DONE, "follows the finish"),
    "finish reason of our own": (ROLE + chunk({}, "cancelled") + DONE, "finish_reason is"),
    "finish reason not a string": (ROLE + chunk({}, choice={"finish_reason": 1}) + DONE, "finish_reason is"),
    "finish reason missing": (
        ROLE + event({**HEAD, "choices": [{"index": 0, "delta": {"content": "x"}}]}) + STOP + DONE,
        "no finish_reason",
    ),
    "event after [DONE]": (GOOD + TEXT, "follows \\[DONE\\]"),
    "[DONE] twice": (GOOD + DONE, "follows \\[DONE\\]"),
    "bytes after [DONE]": (GOOD + b"\n", "goes on"),
    "no blank line at the end": (GOOD[:-1], "lacks it"),
    "no role": (TEXT + STOP + DONE, "carries no role"),
    "role of somebody else": (chunk({"role": "user"}) + STOP + DONE, "carries no role"),
    "role twice": (ROLE + ROLE + STOP + DONE, "later chunk"),
    "role on the finish": (ROLE + chunk({"role": "assistant"}, "stop") + DONE, "later chunk"),
    "id changes": (ROLE + chunk({"content": "x"}, id="r2") + STOP + DONE, "head changed"),
    "id empty": (chunk({"role": "assistant"}, id="") + DONE, "no id"),
    "created changes": (ROLE + chunk({"content": "x"}, created=2) + STOP + DONE, "head changed"),
    "created a fraction": (chunk({"role": "assistant"}, created=1.5) + DONE, "created is"),
    "model changes": (ROLE + chunk({}, "stop", model="n") + DONE, "head changed"),
    "model of somebody else": (GOOD.replace(b'"m"', b'"n"'), "model is"),
    "object wrong": (GOOD.replace(b"completion.chunk", b"completion"), "object is"),
    "object missing": (GOOD.replace(b'"object": "chat.completion.chunk", ', b""), "object is"),
    "field of our own in the chunk": (ROLE + chunk({"content": "x"}, call="1") + STOP + DONE, "does not define"),
    "field of our own in the choice": (ROLE + chunk({"content": "x"}, choice={"x": 1}) + DONE, "does not define"),
    "field of our own in the delta": (ROLE + chunk({"reasoning_content": "x"}) + STOP + DONE, "does not define"),
    "choice index 1": (ROLE + chunk({"content": "x"}, choice={"index": 1}) + STOP + DONE, "index is 1"),
    "choice index false": (ROLE + chunk({"content": "x"}, choice={"index": False}) + STOP + DONE, "index is False"),
    "delta null": (ROLE + chunk(None) + STOP + DONE, "delta is no object"),
    "choices missing": (ROLE + event(HEAD) + STOP + DONE, "choices are None"),
    "no choices in the middle": (ROLE + event({**HEAD, "choices": []}) + STOP + DONE, "nobody asked"),
    "two choices": (event({**HEAD, "choices": [{"index": 0, "delta": {}}] * 2}) + DONE, "more than one choice"),
    "chunk that brings nothing": (ROLE + chunk({}) + STOP + DONE, "brings nothing"),
    "content a list": (ROLE + chunk({"content": ["x"]}) + STOP + DONE, "content is"),
    "call without index": (ROLE + chunk({"tool_calls": [{"id": "c"}]}) + CALLED + DONE, "has the fields"),
    "call index begins at 1": (ROLE + tool(1) + CALLED + DONE, "index is 1, not 0"),
    "call index repeated": (ROLE + tool(0) + tool(0) + CALLED + DONE, "index is 0, not 1"),
    "call id empty": (ROLE + tool(id="") + CALLED + DONE, "without an id"),
    "call id repeated": (ROLE + tool(0) + tool(1, id="c0") + CALLED + DONE, "have the id"),
    "call type wrong": (ROLE + tool(type="custom") + CALLED + DONE, "type is"),
    "call name empty": (ROLE + tool(function={"name": ""}) + CALLED + DONE, "without a name"),
    "call arguments empty": (ROLE + tool(function={"arguments": ""}) + CALLED + DONE, "no JSON text"),
    "call arguments as on the page": (ROLE + tool(function={"arguments": "\\{\\}"}) + CALLED + DONE, "no JSON text"),
    "call arguments an object": (ROLE + tool(function={"arguments": {}}) + CALLED + DONE, "arguments are"),
    "call with a field of our own": (ROLE + tool(extra=1) + CALLED + DONE, "has the fields"),
    "call beside text": (
        ROLE + chunk({"content": "x", "tool_calls": [{"index": 0}]}) + CALLED + DONE,
        "shares its chunk",
    ),
    "two calls in a chunk": (ROLE + chunk({"tool_calls": [{"index": 0}] * 2}) + CALLED + DONE, "more or less than one"),
    "call and stop": (ROLE + tool() + STOP + DONE, "a call was sent"),
    "tool_calls without a call": (ROLE + TEXT + CALLED + DONE, "no call was sent"),
    "usage not asked": (ROLE + STOP + usage() + DONE, "nobody asked"),
    "usage on the finish chunk": (ROLE + chunk({}, "stop", usage=USAGE) + DONE, "usage on a chunk"),
    "error instead of an end": (FAILED, "ended with an error"),
    "comment": (ROLE + b": keep-alive\n\n" + STOP + DONE, "does not begin"),
    "event field": (ROLE + b"event: message\n" + STOP + DONE, "does not begin"),
    "no space after the colon": (GOOD.replace(b"data: [", b"data:["), "does not begin"),
    "CRLF": (GOOD.replace(b"\n", b"\r\n"), "goes on"),
    "two data lines": (ROLE + b"data: {\ndata: }\n\n" + STOP + DONE, "more than one line"),
    "not JSON": (ROLE + b"data: {'a': 1}\n\n" + STOP + DONE, "no JSON"),
    "not an object": (ROLE + b"data: []\n\n" + STOP + DONE, "no JSON object"),
    "not UTF-8": (ROLE + b'data: {"a": "\xff"}\n\n' + STOP + DONE, "no JSON in UTF-8"),
    "lone surrogate": (ROLE + b'data: {"a": "\\ud800"}\n\n' + STOP + DONE, "no JSON in UTF-8"),
    "NaN": (ROLE + b'data: {"a": NaN}\n\n' + STOP + DONE, "NaN is no JSON"),
    "key twice": (ROLE + b'data: {"a": 1, "a": 2}\n\n' + STOP + DONE, "a key came twice"),
}

BAD_USAGE = {
    "missing": (ROLE + STOP + DONE, "did not come"),
    "before the finish chunk": (ROLE + usage() + STOP + DONE, "before the finish"),
    "twice": (ROLE + STOP + usage() + usage() + DONE, "came twice"),
    "does not add up": (ROLE + STOP + usage(total_tokens=6) + DONE, "does not add up"),
    "negative": (ROLE + STOP + usage(prompt_tokens=-1) + DONE, "prompt_tokens is -1"),
    "null": (ROLE + STOP + event({**HEAD, "choices": [], "usage": None}) + DONE, "usage is None"),
    "field of our own": (ROLE + STOP + usage(cost=0) + DONE, "does not define"),
    "after [DONE]": (ROLE + STOP + DONE + usage(), "did not come"),
}

BAD_FAILURES = {
    "no error": (GOOD, "did not end with an error"),
    "cut off": (ROLE + TEXT, "did not end with an error"),
    "no blank line": (FAILED[:-1], "lacks it"),
    "[DONE] after it": (FAILED + DONE, "follows the error"),
    "text after it": (FAILED + TEXT, "follows the error"),
    "finish chunk before it": (ROLE + STOP + event(ERROR), "after the finish"),
    "not the OpenAI shape": (ROLE + event({"error": "It broke."}), "is no object"),
    "without param": (ROLE + event({"error": {"message": "x", "type": "t", "code": None}}), "has the fields"),
    "without words": (ROLE + event({"error": {**ERROR["error"], "message": " "}}), "no message"),
    "beside a chunk": (ROLE + event({**HEAD, "choices": [], **ERROR}), "has the fields"),
}


@pytest.mark.parametrize("name", GOOD_STREAMS)
def test_a_good_stream_passes(name: str) -> None:
    """Every legal form of a stream passes."""
    raw, options = GOOD_STREAMS[name]
    check_stream(raw, model="m", **{"usage_asked": False, **options})


@pytest.mark.parametrize("name", BAD_STREAMS)
def test_a_bad_stream_is_refused(name: str) -> None:
    """A stream that is wrong in one point is refused for that point."""
    raw, why = BAD_STREAMS[name]
    with pytest.raises(AssertionError, match=why):
        check_stream(raw, model="m", usage_asked=False)


@pytest.mark.parametrize("name", BAD_USAGE)
def test_bad_usage_is_refused(name: str) -> None:
    """Usage that was asked for must come once, right, and in its place."""
    raw, why = BAD_USAGE[name]
    with pytest.raises(AssertionError, match=why):
        check_stream(raw, usage_asked=True)


@pytest.mark.parametrize("name", BAD_FAILURES)
def test_a_bad_failure_is_refused(name: str) -> None:
    """A failed stream must end with the error and its blank line, and with nothing that looks like success."""
    raw, why = BAD_FAILURES[name]
    with pytest.raises(AssertionError, match=why):
        check_stream(raw, usage_asked=False, error_expected=True)


def test_a_cut_stream_must_be_a_legal_beginning() -> None:
    """A stream that the client cut off is still judged as far as it came."""
    with pytest.raises(AssertionError, match="later chunk"):
        check_stream(ROLE + ROLE + TEXT[:7], usage_asked=False, cut=True)


def test_the_transcript_holds_what_was_said() -> None:
    """The oracle gives text, calls, finish reason, usage and id."""
    said = check_stream(ROLE + TEXT + TEXT + tool(0) + CALLED + usage() + DONE, usage_asked=True)
    assert (said.id, said.text, said.finish_reason, said.usage) == ("r1", "Grüß \u2028 dich" * 2, "tool_calls", USAGE)
    assert [(call.id, call.name, call.arguments) for call in said.calls] == [("c0", "hangup", "{}")]
    assert said.error is None


def test_the_transcript_of_a_failure_holds_the_error() -> None:
    """The oracle gives what came before an error, and the error."""
    said = check_stream(FAILED, usage_asked=False, error_expected=True)
    assert (said.text, said.finish_reason) == ("Grüß \u2028 dich", None)
    assert said.error == ERROR["error"]


# --- whole bodies -------------------------------------------------------------------------------------------------

CALL = {"id": "c0", "type": "function", "function": {"name": "hangup", "arguments": "{}"}}


def completion(message: object = None, reason: str = "stop", **changes: Any) -> bytes:
    message = {"role": "assistant", "content": "Hello."} if message is None else message
    choice = {"index": 0, "message": message, "finish_reason": reason}
    body = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE, **changes}
    return json.dumps(body).encode()


BAD_COMPLETIONS = {
    "object": completion(object="chat.completion.chunk"),
    "no choices": completion(choices=[]),
    "no usage": completion(usage=None),
    "field of our own": completion(call="1"),
    "reason": completion(reason="cancelled"),
    "no content": completion({"role": "assistant"}),
    "content null without a call": completion({"role": "assistant", "content": None}),
    "role": completion({"role": "user", "content": ""}),
    "empty list of calls": completion({"role": "assistant", "content": "", "tool_calls": []}),
    "call and stop": completion({"role": "assistant", "content": None, "tool_calls": [CALL]}),
    "call with index": completion(
        {"role": "assistant", "content": None, "tool_calls": [{**CALL, "index": 0}]}, "tool_calls"
    ),
    "model": completion(model="n"),
    "two bodies": completion() * 2,
}


def test_a_good_completion_passes() -> None:
    """A completion with text, and one with a call alone, pass and are read."""
    assert check_completion(completion(), model="m").text == "Hello."
    said = check_completion(completion({"role": "assistant", "content": None, "tool_calls": [CALL]}, "tool_calls"))
    assert [call.name for call in said.calls] == ["hangup"]


@pytest.mark.parametrize("name", BAD_COMPLETIONS)
def test_a_bad_completion_is_refused(name: str) -> None:
    """A completion that is wrong in one point is refused."""
    with pytest.raises(AssertionError):
        check_completion(BAD_COMPLETIONS[name], model="m")


def test_an_error_body_is_read() -> None:
    """The oracle gives the inner object of an error body."""
    assert check_error(json.dumps(ERROR).encode())["code"] == "agent_error"


# --- HTTP/1.1 -----------------------------------------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SIZED = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"

BAD_HTTP = {
    "no last chunk": CHUNKED + b"3\r\nabc\r\n",
    "last chunk cut": CHUNKED + b"3\r\nabc\r\n0\r\n",
    "bytes after it": CHUNKED + b"0\r\n\r\nHTTP/1.1 200 OK",
    "chunk too short": CHUNKED + b"4\r\nabc\r\n0\r\n\r\n",
    "chunk too long": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    "size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "body too short": SIZED[:-1],
    "body too long": SIZED + b"\n",
    "length and chunks": CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n") + b"0\r\n\r\n",
    "neither": b"HTTP/1.1 200 OK\r\n\r\n",
    "length twice": SIZED.replace(b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\n"),
    "no end of headers": CHUNKED[:-2],
    "HTTP/1.0": SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),
}


def test_a_chunked_response_is_read() -> None:
    """Chunks are joined, however long their sizes, and header names come in lower case."""
    reply = check_http(CHUNKED + b"3\r\nabc\r\n00A\r\n0123456\r\n9\r\n0\r\n\r\n")
    assert (reply.status, reply.body) == (200, b"abc0123456\r\n9")
    assert reply.headers[0] == ("content-type", "text/event-stream")
    assert reply.header("Content-Type") == "text/event-stream"
    assert reply.header("retry-after") is None


def test_a_response_with_a_length_is_read() -> None:
    """An error with a content length gives its body."""
    assert check_http(SIZED).body == b"{}"


@pytest.mark.parametrize("name", BAD_HTTP)
def test_a_bad_response_is_refused(name: str) -> None:
    """A response that is not exactly one whole response is refused."""
    with pytest.raises(AssertionError):
        check_http(BAD_HTTP[name])
