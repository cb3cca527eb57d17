"""The chat route on a bare socket: addresses, headers, and the bytes of a reply to their end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from offhook.events import Finish, ToolCall, Turn, Usage
from offhook.testing import LiveServer, live_server
from tests.oracle import check_completion, check_http, check_stream
from tests.raw import AUTH, KEY, Wire, chat_body, error_of, raw_request, request, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from offhook.events import Event

PAGE: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "今天天气怎么样?"},
        {"role": "assistant", "content": "今天天气晴朗。"},
        {"role": "user", "content": "明天天气晴怎么样?"},
    ],
    "model": "abc",
    "stream": True,
    "extendData": {
        "instanceId": "68e00b6640e*****3e943332fee7",
        "channelId": "123",
        "sentenceId": "3",
        "userData": '{"aaaa":"bbbb"}',
    },
}


async def agent(turn: Turn) -> AsyncIterator[str | Event]:
    if turn.text == "bye":
        yield "Good"
        yield "bye."
        yield turn.hangup()
    elif turn.text == "tools":
        yield ToolCall("lookup", '{"city":"Hangzhou"}')
        yield ToolCall("weather", "", "call_mine")
        yield Usage(7, 5)
    elif turn.text == "cut":
        yield "Too lo"
        yield Finish("length")
    elif turn.text == "nothing":
        yield ""
    elif turn.text == "context":
        yield f"{turn.call.platform} {turn.call.id} {turn.id} {turn.call.query}"
    else:
        yield "You said: "
        yield turn.text


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(agent, model_id=[]) as server:
        yield server


# --- a stream, byte by byte ---------------------------------------------------------------------------------------


def test_the_headers_of_a_stream_are_exactly_these(server: LiveServer) -> None:
    """A stream is an event stream that nobody may cache, transform or gather, in chunks, with its request id."""
    reply = request(server.base_url, chat_body("hello"), {**AUTH, "X-Request-Id": "abc-123"})
    assert dict(reply.headers) == {
        "date": reply.header("date"),
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "x-request-id": "abc-123",
        "transfer-encoding": "chunked",
    }
    assert len(reply.headers) == 6
    assert check_stream(reply.body, model="abc", usage_asked=False).text == "You said: hello"


def test_a_request_without_an_id_is_given_one(server: LiveServer) -> None:
    """Each answer carries a request id of its own, also an error; one that cannot stand in a header is replaced."""
    first = request(server.base_url, chat_body()).header("x-request-id")
    second = request(server.base_url, b"nonsense").header("x-request-id")
    third = request(server.base_url, chat_body(), {**AUTH, "X-Request-Id": "é" * 4}).header("x-request-id")
    fourth = request(server.base_url, chat_body(), {**AUTH, "X-Request-Id": "a" * 129}).header("x-request-id")
    ids = {first, second, third, fourth}
    assert len(ids) == 4
    assert all(one is not None and one.startswith("req_") for one in ids)


def test_the_request_id_comes_back_on_errors_too(server: LiveServer) -> None:
    """An error answer names the request that it is about."""
    assert request(server.base_url, b"nonsense", {**AUTH, "X-Request-Id": "mine"}).header("x-request-id") == "mine"
    assert request(server.base_url, b"", {"X-Request-Id": "mine"}).header("x-request-id") == "mine"


def test_the_page_sample_values_as_json_are_answered(server: LiveServer) -> None:
    """A request of the page's own values streams, with the sentence id as a string and as a number."""
    assert stream(server.base_url, PAGE).text == "You said: 明天天气晴怎么样?"
    extend = {**PAGE["extendData"], "sentenceId": 3}
    assert stream(server.base_url, {**PAGE, "extendData": extend}).text == "You said: 明天天气晴怎么样?"


def test_the_page_python_literal_is_refused_with_the_reason(server: LiveServer) -> None:
    """The page's own form, a Python literal, gets a 400 that says what it is."""
    reply = request(server.base_url, str(PAGE).encode())
    assert reply.status == 400
    assert "Python literal" in error_of(reply)["message"]


def test_a_hangup_is_a_whole_tool_call_behind_the_words(server: LiveServer) -> None:
    """The command goes out as a tool call with empty arguments, and the finish reason says tool_calls."""
    said = stream(server.base_url, chat_body("bye"))
    assert said.text == "Goodbye."
    assert [(call.name, call.arguments) for call in said.calls] == [("hangup", "{}")]
    assert said.finish_reason == "tool_calls"


def test_tool_calls_are_numbered_and_named(server: LiveServer) -> None:
    """Two calls have the indexes 0 and 1, an id each, and {} where no arguments were given."""
    said = stream(server.base_url, chat_body("tools"))
    first, second = said.calls
    assert (first.name, first.arguments) == ("lookup", '{"city":"Hangzhou"}')
    assert first.id.startswith("call_")
    assert (second.name, second.arguments, second.id) == ("weather", "{}", "call_mine")


def test_usage_comes_only_when_asked(server: LiveServer) -> None:
    """With include_usage the agent's count goes out, or else an estimate; without it nothing does."""
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}}
    counted = stream(server.base_url, chat_body("tools", **asked))
    assert counted.usage == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    guessed = stream(server.base_url, chat_body("hello", **asked))
    assert guessed.usage is not None and guessed.usage["completion_tokens"] > 0
    assert stream(server.base_url, chat_body("hello", stream_options={"include_usage": False})).usage is None
    assert stream(server.base_url, chat_body("hello", stream_options=None)).usage is None


def test_the_agents_own_finish_reason_goes_out(server: LiveServer) -> None:
    """A reply that the agent says was cut ends with length."""
    assert stream(server.base_url, chat_body("cut")).finish_reason == "length"


def test_an_empty_string_makes_no_chunk(server: LiveServer) -> None:
    """A reply of an empty string is a role and a finish."""
    reply = request(server.base_url, chat_body("nothing"))
    assert check_stream(reply.body, usage_asked=False).text == ""
    assert reply.body.count(b"data: ") == 3


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/event-stream", "text/html"])
def test_stream_true_streams_whatever_accept_says(server: LiveServer, accept: str) -> None:
    """The body's stream decides, not the Accept header."""
    reply = request(server.base_url, chat_body(), {**AUTH, "Accept": accept})
    assert reply.header("content-type") == "text/event-stream; charset=utf-8"
    check_stream(reply.body, model="abc", usage_asked=False)


@pytest.mark.parametrize("fields", [{"stream": False}, {"stream": None}, {}])
def test_without_stream_the_answer_is_one_completion(server: LiveServer, fields: dict[str, bool | None]) -> None:
    """False, null and missing mean one JSON object with the whole reply and its usage."""
    body = {**chat_body("bye"), **fields}
    if not fields:
        del body["stream"]
    reply = request(server.base_url, body, {**AUTH, "Accept": "text/event-stream"})
    assert reply.header("content-type") == "application/json"
    said = check_completion(reply.body, model="abc")
    assert (said.text, said.finish_reason, [call.name for call in said.calls]) == ("Goodbye.", "tool_calls", ["hangup"])


def test_ids_are_unique_per_reply(server: LiveServer) -> None:
    """No two replies carry the same id."""
    ids = {stream(server.base_url, chat_body()).id for _ in range(5)}
    assert len(ids) == 5


# --- the connection -----------------------------------------------------------------------------------------------


def test_the_body_ends_at_once_after_done_and_the_connection_serves_again(server: LiveServer) -> None:
    """The last chunk follows [DONE] in the same write, and the next request goes over the same connection."""
    with Wire(server.base_url) as wire:
        for text in ("first", "second", "third"):
            wire.ask(chat_body(text))
            raw = wire.read_response()
            assert raw.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            assert check_stream(check_http(raw).body, usage_asked=False).text == f"You said: {text}"
        wire.ask(chat_body("whole", stream=False))
        assert check_completion(check_http(wire.read_response()).body).text == "You said: whole"


def test_a_connection_serves_again_after_an_error(server: LiveServer) -> None:
    """A refused request does not spoil the one behind it."""
    with Wire(server.base_url) as wire:
        wire.ask(b"nonsense")
        assert check_http(wire.read_response()).status == 400
        wire.ask(chat_body(), {"Authorization": "Bearer wrong"})
        assert check_http(wire.read_response()).status == 401
        wire.ask(chat_body("again"))
        assert check_stream(check_http(wire.read_response()).body, usage_asked=False).text == "You said: again"


def test_two_requests_at_once_on_one_connection_are_answered_in_order(server: LiveServer) -> None:
    """A client may send its next request before the answer to the first has come (RFC 9112, 9.3.2)."""
    with Wire(server.base_url) as wire:
        wire.ask(chat_body("one"))
        wire.ask(chat_body("two", stream=False))
        assert check_stream(check_http(wire.read_response()).body, usage_asked=False).text == "You said: one"
        assert check_completion(check_http(wire.read_response()).body).text == "You said: two"


def test_a_client_that_closes_after_the_answer_gets_all_of_it(server: LiveServer) -> None:
    """With Connection: close the whole reply comes, and then the end of the connection."""
    with Wire(server.base_url) as wire:
        wire.ask(chat_body("hello"), {**AUTH, "Connection": "close"})
        reply = check_http(wire.read_to_end())
    assert reply.header("connection") == "close"
    assert check_stream(reply.body, usage_asked=False).text == "You said: hello"


def test_a_body_may_come_in_chunks_and_pieces(server: LiveServer) -> None:
    """A request whose body is chunked and dribbles in is read whole."""
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\n"
    head += f"Authorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b'{"model":"abc","messages":[{"role":"user","content":"pieces"}],"stream":true}'
    with Wire(server.base_url) as wire:
        wire.send(head.encode())
        for position in range(0, len(body), 10):
            piece = body[position : position + 10]
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        wire.send(b"0\r\n\r\n")
        assert check_stream(check_http(wire.read_response()).body, usage_asked=False).text == "You said: pieces"


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "//chat/completions",
        "/v1//chat/completions",
        "/some/prefix/of/a/proxy/v1/chat/completions",
        "/v1/chat/completions?",
        "/v1/chat/completions?task_id=t1&room_id=r1",
        "/v1/chat/completions?x=1&x=2&y",
        "/%E4%BD%A0%E5%A5%BD/chat/completions",
    ],
)
def test_every_prefix_and_any_query_is_served(server: LiveServer, path: str) -> None:
    """Base URLs come with and without /v1, with a slash too many, behind a prefix, and with a query string."""
    reply = request(server.base_url, chat_body("hello"), path=path)
    assert reply.status == 200
    assert check_stream(reply.body, usage_asked=False).text == "You said: hello"


def test_the_query_reaches_the_agent_without_the_key(server: LiveServer) -> None:
    """task_id is the call where extendData is missing, and the key is not among the parameters."""
    path = f"/v1/chat/completions?task_id=t1&tenant=%E4%B8%80&api-key={KEY}"
    reply = request(server.base_url, chat_body("context"), {}, path=path)
    said = check_stream(reply.body, usage_asked=False).text
    assert said == "alibaba_ims t1 None {'task_id': 't1', 'tenant': '一'}"


def test_a_doubled_path_is_served_with_a_warning_that_says_the_correction(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A base URL that already held the path works; the log says once which base URL to set, without the query."""
    doubled = "/v1/chat/completions/chat/completions?api-key=secret&task_id=t1"
    with caplog.at_level(logging.WARNING, "offhook.server"):
        for _ in range(2):
            reply = request(server.base_url, chat_body("hello"), path=doubled)
            assert check_stream(reply.body, usage_asked=False).text == "You said: hello"
    [record] = [record for record in caplog.records if record.name == "offhook.server"]
    message = record.getMessage()
    assert "'/v1/chat/completions/chat/completions'" in message
    assert "set the base URL to one that ends in '/v1'" in message
    assert "secret" not in message and "t1" not in message


def test_warnings_about_addresses_are_bounded(server: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever invents addresses cannot fill the log."""
    with caplog.at_level(logging.WARNING, "offhook.server"):
        for number in range(20):
            path = f"/{number}/chat/completions/chat/completions"
            assert request(server.base_url, chat_body("hello"), path=path).status == 200
    assert 0 < len(caplog.records) <= 16


def test_a_reply_is_on_the_wire_as_it_is_said() -> None:
    """The first words are there while the agent still works on the rest."""
    go = asyncio.Event()

    async def slow(turn: Turn) -> AsyncIterator[str]:
        if turn.text == "go":
            go.set()
        else:
            yield "First."
            await go.wait()
            yield "Second."

    with live_server(slow) as server, Wire(server.base_url) as wire:
        wire.ask(chat_body("wait"))
        assert b"Second" not in wire.read_until(b"First")
        raw_request(server.base_url, chat_body("go"))
        said = check_stream(check_http(wire.read_response()).body, usage_asked=False)
        assert said.text == "First.Second."
