"""The workflow's node against a scripted server on a real socket."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.errors import EndpointError, EndpointUnreachable, SetupError, WireError
from offhook.events import ToolCall
from offhook.node import AnswerRecord, ExtendData, LLMNode
from offhook.node.record import Gathering
from offhook.wire.sse import Decoder
from tests.node.scripted import DONE, SSE, ScriptedServer, Step, chunk, event, plain, response

if TYPE_CHECKING:
    from pathlib import Path

ASK = [{"role": "user", "content": "你好"}]
HANGUP = {"id": "call_abc123", "type": "function", "function": {"name": "hangup", "arguments": "\\{\\}"}}
WORDS = "這是一個響應。"
# What the page's sample server does: hangup in every chunk, no index, broken arguments, stop on the last.
QUIRKS = [
    chunk(word, tool_calls=[HANGUP], finish="stop" if at == len(WORDS) - 1 else None) for at, word in enumerate(WORDS)
]


async def ask(server: ScriptedServer, messages: list[dict[str, Any]] | None = None) -> tuple[list[str], AnswerRecord]:
    async with LLMNode("abc", "k", server.base_url) as node, node.ask(messages or ASK) as answer:
        pieces = [piece async for piece in answer]
    return pieces, answer.result


async def test_the_request_is_built_as_the_page_says() -> None:
    """The body holds messages, model, stream and extendData with exactly the page's fields, of the page's types."""
    extend = ExtendData(
        instance_id="68e0",
        channel_id="123",
        sentence_id=3,
        caller_number="13800000001",
        callee_number="13800000002",
        user_data='{"aaaa":"bbbb"}',
    )
    async with (
        ScriptedServer(plain(DONE)) as server,
        LLMNode("abc", "k", server.base_url) as node,
        node.ask(ASK, extend) as answer,
    ):
        assert [piece async for piece in answer] == []
    assert server.asked[0].headers["authorization"] == "Bearer k"
    assert server.asked[0].body == {
        "messages": ASK,
        "model": "abc",
        "stream": True,
        "extendData": {
            "instanceId": "68e0",
            "channelId": "123",
            "sentenceId": 3,
            "callerNumber": "13800000001",
            "calleeNumber": "13800000002",
            "userData": '{"aaaa":"bbbb"}',
        },
    }


@pytest.mark.parametrize(
    ("extend", "sent"),
    [(None, None), (ExtendData(), None), (ExtendData(sentence_id=1), {"sentenceId": 1})],
)
async def test_what_is_unknown_is_not_sent(extend: ExtendData | None, sent: object) -> None:
    """Fields of extendData that are unknown are left out, and all of it when nothing is known."""
    async with (
        ScriptedServer(plain(DONE)) as server,
        LLMNode("abc", "k", server.base_url) as node,
        node.ask(ASK, extend),
    ):
        await server.arrived.wait()
    assert server.asked[0].body.get("extendData") == sent


@pytest.mark.parametrize("system", [0, 1, 2])
async def test_only_the_newest_twenty_records_are_sent(system: int) -> None:
    """The window holds at most 20 records, the newest utterance last and the system prompt first."""
    prompt = [{"role": "system", "content": f"s{at}"} for at in range(system)]
    talk = [{"role": "user" if at % 2 == 0 else "assistant", "content": str(at)} for at in range(41)]
    async with ScriptedServer(plain(DONE)) as server:
        await ask(server, prompt + talk)
    sent = server.asked[0].body["messages"]
    assert sent == prompt + talk[system - 20 :]
    assert len(sent) == 20


async def test_a_plain_stream_is_gathered() -> None:
    """Text, reasoning, tool calls, finish reason and usage of a correct stream all come into the record."""
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    stream = [
        chunk("", role="assistant"),
        chunk(reasoning_content="hm"),
        chunk("Hel"),
        chunk("lo"),
        chunk(tool_calls=[call]),
        chunk(finish="tool_calls"),
        event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
        DONE,
    ]
    async with ScriptedServer(plain(*stream)) as server:
        pieces, result = await ask(server)
    assert "".join(pieces) == result.text == "Hello"
    assert result.reasoning == "hm"
    assert result.tool_calls == (ToolCall("look", '{"a":1}', "c1"),)
    assert not result.hangup
    assert result.finish_reason == "tool_calls"
    assert result.usage == {"prompt_tokens": 1, "completion_tokens": 2}
    assert (result.done, result.error, result.chunks, result.interrupted) == (True, None, 7, False)
    assert result.first_byte is not None
    assert result.first_token is not None
    assert result.total is not None
    assert 0 <= result.first_byte <= result.first_token <= result.total


async def test_the_quirks_of_the_sample_server_are_one_hangup() -> None:
    """A hangup repeated on every chunk without index and with broken arguments is one hangup, and all text is kept."""
    async with ScriptedServer(plain(*QUIRKS, DONE)) as server:
        pieces, result = await ask(server)
    assert pieces == list(WORDS)
    assert result.hangup
    assert [call.name for call in result.tool_calls] == ["hangup"]
    assert (result.finish_reason, result.done, result.error) == ("stop", True, None)


@pytest.mark.parametrize("ids", [["a", "b", "c"], ["", "", ""], [None, None, None]])
@pytest.mark.parametrize("arguments", ["{}", "", None, "\\{\\}", {}])
async def test_a_repeated_hangup_is_one(ids: list[str | None], arguments: object) -> None:
    """However a hangup is repeated, with a new id each time or without, the record holds it once."""
    stream = [
        chunk("x", tool_calls=[{"id": id_, "function": {"name": "hangup", "arguments": arguments}}]) for id_ in ids
    ]
    async with ScriptedServer(plain(*stream, DONE)) as server:
        _, result = await ask(server)
    assert result.text == "xxx"
    assert result.hangup
    assert [call.name for call in result.tool_calls] == ["hangup"]


async def test_the_hangup_function_has_the_configured_name() -> None:
    """Only the function of the configured name hangs up."""
    call = {"index": 0, "id": "1", "function": {"name": "hangup", "arguments": "{}"}}
    other = {"index": 1, "id": "2", "function": {"name": "end_call", "arguments": "{}"}}
    async with (
        ScriptedServer(plain(chunk(tool_calls=[call]), DONE), plain(chunk(tool_calls=[other]), DONE)) as server,
        LLMNode("m", "k", server.base_url, hangup_function="end_call") as node,
    ):
        async with node.ask(ASK) as first:
            assert [piece async for piece in first] == []
        async with node.ask(ASK) as second:
            assert [piece async for piece in second] == []
    assert (first.result.hangup, second.result.hangup) == (False, True)


async def test_a_stream_without_done_is_kept() -> None:
    """A stream that just ends is no error: its text and finish reason are in the record, and done is false."""
    async with ScriptedServer(plain(chunk("a"), chunk(finish="stop"))) as server:
        _, result = await ask(server)
    assert (result.text, result.finish_reason, result.done, result.error) == ("a", "stop", False, None)


SHORT = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\nConnection: close\r\n\r\n"
ERRORS: list[tuple[bytes, type[Exception], str]] = [
    (event({"error": {"message": "it broke", "type": "t"}}), EndpointError, "it broke"),
    (event({"error": "it broke"}), EndpointError, "it broke"),
    (b'event: error\ndata: {"code":"x","message":"it broke"}\n\n', EndpointError, "it broke"),
    (event({"choices": [{"index": 0, "error": {"message": "it broke"}}]}), EndpointError, "it broke"),
    (b"data: {broken\n\n", WireError, "not JSON"),
    (b"data: [1]\n\n", WireError, "not a JSON object"),
]


@pytest.mark.parametrize(("bad", "kind", "words"), ERRORS)
async def test_an_error_in_the_stream_keeps_what_was_said(bad: bytes, kind: type[Exception], words: str) -> None:
    """An error inside the stream ends the reply and is recorded with its words, and the text before it is kept."""
    async with ScriptedServer(plain(chunk("said"), bad, chunk("never")), hold=True) as server:
        pieces, result = await ask(server)
        await server.left.wait()
    assert (pieces, result.text) == (["said"], "said")
    assert type(result.error) is kind
    assert words in str(result.error)
    assert not result.done
    assert not result.interrupted


BROKEN: list[tuple[list[Step], type[Exception], str]] = [
    (response("401 Unauthorized", b'{"error":{"message":"wrong key"}}'), EndpointError, "401: wrong key"),
    (response("200 OK", b'{"object":"chat.completion"}'), EndpointError, "although a stream"),
    (plain(), WireError, "without a single event"),
    ([SHORT, chunk("a")], EndpointUnreachable, "broke off"),
]


@pytest.mark.parametrize(("script", "kind", "words"), BROKEN)
async def test_what_goes_wrong_on_the_line_is_recorded(script: list[Step], kind: type[Exception], words: str) -> None:
    """What goes wrong on the line ends the iteration and is in the record, and is not raised."""
    async with ScriptedServer(script) as server:
        _, result = await ask(server)
    assert type(result.error) is kind
    assert words in str(result.error)


@pytest.mark.parametrize("script", [[], [SSE], [SSE, chunk("a")]], ids=["headers", "first token", "middle"])
async def test_an_interruption_reaches_the_server_in_each_phase(script: list[Step]) -> None:
    """An interruption before the headers, before the first token or in the middle closes the connection."""
    async with (
        ScriptedServer(script, hold=True) as server,
        LLMNode("m", "k", server.base_url) as node,
        node.ask(ASK) as answer,
    ):
        await server.arrived.wait()
        if len(script) == 2:
            assert await anext(answer) == "a"
        await answer.interrupt()
        await server.left.wait()
        assert [piece async for piece in answer] == []
        before = answer.result
        await answer.interrupt()
    assert answer.result == before
    assert before.interrupted
    assert before.disconnected_at is not None
    assert before.disconnected_at >= before.started_at
    assert before.text == ("a" if len(script) == 2 else "")
    assert (before.done, before.error) == (False, None)


async def test_an_interruption_ends_the_iteration_of_another_task() -> None:
    """Whoever waits for the next piece is told the end when somebody else interrupts."""
    async with (
        ScriptedServer([SSE], hold=True) as server,
        LLMNode("m", "k", server.base_url) as node,
        node.ask(ASK) as answer,
    ):

        async def listen() -> list[str]:
            return [piece async for piece in answer]

        listener = asyncio.create_task(listen())
        await server.arrived.wait()
        await answer.interrupt()
        assert await listener == []


async def test_leaving_the_context_interrupts() -> None:
    """Leaving the context in the middle of the reply disconnects."""
    async with ScriptedServer([SSE, chunk("a")], hold=True) as server, LLMNode("m", "k", server.base_url) as node:
        async with node.ask(ASK) as answer:
            async for _ in answer:
                break
        await server.left.wait()
    assert answer.result.interrupted


async def test_a_complete_answer_is_not_interrupted_any_more() -> None:
    """Leaving after [DONE] is no interruption, although the server keeps the connection open."""
    async with ScriptedServer([SSE, chunk("a"), DONE], hold=True) as server:
        pieces, result = await ask(server)
    assert pieces == ["a"]
    assert (result.done, result.interrupted) == (True, False)


def capture(body: object, **request: object) -> bytes:
    fields = {"method": "POST", "path": "/v1/chat/completions", "query": [], "headers": [], "body": body, **request}
    return json.dumps({"offhook_capture": 1, "request": fields, "reply": {}}).encode()


async def test_a_captured_request_is_sent_again(tmp_path: Path) -> None:
    """A captured request goes out with its body, query and headers as they were, and with the node's own key."""
    body = {"messages": ASK, "model": "theirs", "stream": True, "extendData": {"sentenceId": "3"}, "x": None}
    headers = [["Host", "old"], ["Authorization", "Bearer ***"], ["X-Task-Id", "7"], ["Content-Length", "9"]]
    headers.append(["api-key", "***"])
    file = tmp_path / "one.json"
    file.write_bytes(capture(body, query=[["task_id", "1"], ["api-key", "***"], ["token", "***"]], headers=headers))
    async with (
        ScriptedServer(plain(chunk("a"), DONE)) as server,
        LLMNode("m", "own", server.base_url) as node,
        node.resend(file) as answer,
    ):
        assert [piece async for piece in answer] == ["a"]
    asked = server.asked[0]
    assert asked.body == body
    assert asked.target == "/v1/chat/completions?task_id=1&api-key=own&token=own"
    assert asked.headers["authorization"] == "Bearer own"
    assert asked.headers["api-key"] == "own"
    assert asked.headers["x-task-id"] == "7"
    assert asked.headers["host"].startswith("127.0.0.1")


async def test_a_captured_text_is_sent_again_as_it_was(tmp_path: Path) -> None:
    """A captured body that was no JSON goes out letter by letter."""
    file = tmp_path / "one.json"
    file.write_bytes(capture("{'messages': [], 'stream': True}"))
    async with (
        ScriptedServer(response("400 Bad", b'{"error":{"message":"a Python literal"}}')) as server,
        LLMNode("m", "k", server.base_url) as node,
        node.resend(file) as answer,
    ):
        assert [piece async for piece in answer] == []
    assert server.asked[0].raw == b"{'messages': [], 'stream': True}"
    assert "Python literal" in str(answer.result.error)


async def test_a_captured_request_without_stream_is_answered_with_json(tmp_path: Path) -> None:
    """A captured request that asked for no stream gives the text and calls of the completion that answers it."""
    message = {"role": "assistant", "content": "hi", "tool_calls": [{"id": "1", "function": {"name": "hangup"}}]}
    completion = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": {"a": 1}}
    file = tmp_path / "one.json"
    file.write_bytes(capture({"messages": ASK, "model": "m"}))
    async with (
        ScriptedServer(response("200 OK", json.dumps(completion).encode())) as server,
        LLMNode("m", "k", server.base_url) as node,
        node.resend(file) as answer,
    ):
        assert [piece async for piece in answer] == ["hi"]
    assert answer.result.hangup
    assert (answer.result.finish_reason, answer.result.usage, answer.result.done) == ("tool_calls", {"a": 1}, True)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"{}",
        b"nonsense",
        b'{"offhook_capture":2,"request":{}}',
        b'{"offhook_capture":1}',
        b"\xff",
        capture(None, method="GET"),
    ],
)
async def test_a_file_that_is_no_capture_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A file that is absent or no capture is a SetupError that names it."""
    file = tmp_path / "one.json"
    if content is not None:
        file.write_bytes(content)
    async with LLMNode("m", "k", "http://127.0.0.1:1") as node:
        with pytest.raises(SetupError, match=r"one\.json"):
            async with node.resend(file):
                pass


STREAMS = st.sampled_from(
    [
        b"".join([*QUIRKS, DONE]),
        b"".join([chunk("", role="assistant"), chunk("今\u2028天"), chunk("a\r\n"), chunk(finish="stop"), DONE]),
        b"".join([b": hi\r\n\r\n", chunk("a"), event({"error": {"message": "broke"}}), chunk("b")]),
        b"".join([chunk("a"), event({"choices": []}), chunk("b"), b"data: [DON"]),
    ]
).map(lambda stream: stream.replace(b"\n", b"\r\n") if len(stream) % 2 else stream)


def gathered(*parts: bytes) -> tuple[str, AnswerRecord]:
    decoder, gathering = Decoder(), Gathering()
    text = ""
    for part in parts:
        text += "".join(gathering.feed(decoder.feed(part)))
    text += "".join(gathering.feed(decoder.flush()))
    record = gathering.record(started_at=0.0)
    # Errors are equal only to themselves.
    return text + str(record.error), msgspec.structs.replace(record, error=None)


@given(STREAMS, st.lists(st.integers(0, 2000), max_size=12))
def test_a_stream_cut_anywhere_gives_the_same_record(stream: bytes, cuts: list[int]) -> None:
    """However a stream is cut, the pieces and the record are those of the whole."""
    places = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    parts = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert gathered(*parts) == gathered(stream)


@settings(max_examples=25)
@given(STREAMS, st.lists(st.integers(1, 2000), max_size=8))
async def test_a_stream_cut_on_a_real_socket_gives_the_same_record(stream: bytes, cuts: list[int]) -> None:
    """However a stream is cut on its way through a real socket, the text is that of the whole."""
    places = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    script: list[Step] = [SSE]
    for start, end in itertools.pairwise(places):
        script += [stream[start:end], 3]
    async with ScriptedServer(script) as server:
        pieces, result = await ask(server)
    text, record = gathered(stream)
    assert "".join(pieces) + str(result.error) == text
    assert (result.text, result.hangup, result.finish_reason) == (record.text, record.hangup, record.finish_reason)
    assert (result.done, result.chunks, result.tool_calls) == (record.done, record.chunks, record.tool_calls)
