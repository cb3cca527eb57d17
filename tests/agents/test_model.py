"""The model agent against a scripted model service, over real sockets on both sides."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from offhook.errors import SetupError
from offhook.testing import LiveServer, ScriptedUpstream, live_server, scripted_upstream
from offhook.testing.upstream import HOLD
from offhook.wire.chat import CallDelta
from tests.oracle import check_completion, check_stream
from tests.raw import Wire, chat_body, request, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offhook.testing.upstream import Step

USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    """Give a chunk as a service writes it."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


@contextmanager
def line(*steps: Step, settings: dict[str, Any] | None = None, **script: Any) -> Iterator[tuple[LiveServer, Any]]:
    """Give a server whose agent is the model behind a scripted service."""
    with (
        scripted_upstream(*steps, **script) as upstream,
        live_server(upstream=upstream.base_url, **(settings or {})) as server,
    ):
        yield server, upstream


def sent(upstream: ScriptedUpstream) -> dict[str, Any]:
    """Give the body that the service got."""
    body: dict[str, Any] = upstream.wait_for_requests(1)[0].body
    return body


# --- what the service says ----------------------------------------------------------------------------------------


def test_words_pass_at_once_and_the_end_is_the_services() -> None:
    """Each piece of text is on the caller's wire while the service still holds the next."""
    with line("Hello, ", "caller", HOLD) as (server, _), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        wire.read_until(b'"caller"')
    with line("Hello, ", "caller.") as (server, _):
        said = stream(server.base_url, chat_body())
        assert (said.text, said.finish_reason, said.usage) == ("Hello, caller.", "stop", None)
        assert check_completion(request(server.base_url, chat_body(stream=False)).body).text == "Hello, caller."


def test_the_callers_done_does_not_wait_for_the_end_of_the_services_body() -> None:
    """A service that says [DONE] and keeps its body open delays nobody, and is left soon after."""
    with line("Hello.", chunk({}, "stop"), b"data: [DONE]\n\n", HOLD) as (server, upstream):
        assert stream(server.base_url, chat_body()).text == "Hello."
        assert len(upstream.wait_for_disconnects(1)) == 1
        assert server.wait_for_turns(1)[0].reason == "stop"


def test_reasoning_is_never_said() -> None:
    """Neither reasoning_content nor reasoning reaches the caller."""
    steps: list[Step] = [
        chunk({"reasoning_content": "Secret."}),
        chunk({"reasoning": "Secret.", "content": None}),
        "Said.",
    ]
    with line(*steps) as (server, _):
        reply = request(server.base_url, chat_body())
        assert check_stream(reply.body, usage_asked=False).text == "Said."
        assert b"Secret" not in reply.body


def test_tool_calls_come_whole_however_they_were_cut() -> None:
    """Fragments become one chunk per call, with the service's id, after the words."""
    parts: list[Step] = [
        "One moment.",
        chunk({"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "find"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"ci'}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "call_b", "function": {"name": "hangup", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'ty":1}'}}]}),
        chunk({}, "tool_calls"),
        b"data: [DONE]\n\n",
    ]
    with line(*parts, whole=False) as (server, _):
        said = stream(server.base_url, chat_body())
    assert said.text == "One moment."
    assert [(call.id, call.name, call.arguments) for call in said.calls] == [
        ("call_a", "find", '{"city":1}'),
        ("call_b", "hangup", "{}"),
    ]
    assert said.finish_reason == "tool_calls"


def test_a_whole_tool_call_passes() -> None:
    """A service that gives a call in one piece, and then says stop, is understood."""
    with line(CallDelta("hangup", "{}", "call_1")) as (server, _):
        said = stream(server.base_url, chat_body())
    assert [(call.id, call.name) for call in said.calls] == [("call_1", "hangup")]


def test_usage_is_the_services_own() -> None:
    """The service is always asked for its usage, and the caller is told when it asks."""
    usage = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13, "more": {"x": 1}}
    steps: list[Step] = ["Hi.", chunk({}, "stop"), chunk(None, usage=usage), b"data: [DONE]\n\n"]
    with line(*steps, whole=False) as (server, upstream):
        told = stream(server.base_url, chat_body(**USAGE))
        assert told.usage == {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
        assert stream(server.base_url, chat_body()).usage is None
        assert [one.body["stream_options"] for one in upstream.requests] == [{"include_usage": True}] * 2


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_reply_that_the_service_cut_says_so(reason: str) -> None:
    """The finish reason of a cut reply is passed on."""
    with line("Too lo", chunk({}, reason), b"data: [DONE]\n\n", whole=False) as (server, _):
        assert stream(server.base_url, chat_body()).finish_reason == reason


def test_a_service_without_done_is_understood() -> None:
    """A stream that ends behind its finish chunk has ended well."""
    with line("Hello.", chunk({}, "stop"), whole=False) as (server, _):
        assert stream(server.base_url, chat_body()).finish_reason == "stop"


def test_a_connection_to_the_service_is_kept_for_the_next_turn() -> None:
    """Three turns one after the other need one connection."""
    with line("Hello.") as (server, upstream):
        for _ in range(3):
            assert stream(server.base_url, chat_body()).text == "Hello."
        assert len(upstream.requests) == 3
        assert upstream.connections == 1


# --- what the service is asked ------------------------------------------------------------------------------------


def test_the_services_request_is_the_callers_without_the_platforms_fields() -> None:
    """Sampling parameters and tools go on; extendData, user and unknown fields do not; it is always a stream."""
    passed: dict[str, Any] = {
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 50,
        "max_completion_tokens": 60,
        "stop": ["x"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logit_bias": {"1": 2},
        "response_format": {"type": "text"},
        "tools": [{"type": "function", "function": {"name": "hangup", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
    }
    kept: dict[str, Any] = {
        "extendData": {"callerNumber": "138"},
        "user": "u",
        "unknown": 1,
        "n": 3,
        "stream_options": None,
    }
    with line("Hi.") as (server, upstream):
        stream(server.base_url, chat_body(**passed, **kept))
        assert sent(upstream) == {
            **passed,
            "model": "abc",
            "messages": [{"role": "user", "content": "hello"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        [asked] = upstream.requests
        assert asked.path == "/v1/chat/completions"
        assert "authorization" not in asked.headers
        assert "test-key" not in str(asked.headers)


def test_model_and_key_of_the_service_are_its_own() -> None:
    """The configured model and key replace those that the caller sent."""
    settings = {"upstream_model": "qwen-max", "upstream_key": "sk-upstream"}
    with line("Hi.", settings=settings) as (server, upstream):
        said = stream(server.base_url, chat_body())
        assert said.text == "Hi."
        assert sent(upstream)["model"] == "qwen-max"
        assert upstream.requests[0].headers["authorization"] == "Bearer sk-upstream"


def test_messages_are_given_as_any_service_takes_them() -> None:
    """Roles that only some know become system, empty records are left out, and the mark of an interruption too."""
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "plugin", "content": "It rains.", "plugin_name": "weather"},
        {"role": "function", "name": "f", "content": [{"type": "text", "text": "42"}]},
        {"role": "plugin", "content": None},
        {"role": "user", "content": parts, "name": "li", "extra": 1},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "assistant", "content": "It is<ims_agent_interrupted>"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "go on"},
    ]
    with line("Hi.") as (server, upstream):
        stream(server.base_url, chat_body(messages=messages, extendData={}))
        assert sent(upstream)["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "It rains."},
            {"role": "system", "content": "42"},
            {"role": "user", "content": parts, "name": "li"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "assistant", "content": "It is"},
            {"role": "user", "content": "go on"},
        ]


def test_the_system_prompt_stands_first_and_is_filled_in() -> None:
    """Each call has a prompt of its own, before the messages of the platform."""
    settings = {"system_prompt": "You talk to {{user_data.name|a stranger}} at {{caller}}."}
    with line("Hi.", settings=settings) as (server, upstream):
        stream(server.base_url, chat_body(extendData={"callerNumber": "138", "userData": '{"name":"Li"}'}))
        stream(server.base_url, chat_body())
        prompts = [one.body["messages"][0] for one in upstream.wait_for_requests(2)]
    assert prompts == [
        {"role": "system", "content": "You talk to Li at 138."},
        {"role": "system", "content": "You talk to a stranger at ."},
    ]


def test_a_prompt_with_a_wrong_name_stops_the_server_from_being_set_up() -> None:
    """A typing error in the prompt is told before the first call."""
    with pytest.raises(SetupError, match="callr"), live_server(upstream="http://host/v1", system_prompt="{{callr}}"):
        pass


@pytest.mark.parametrize("address", ["host/v1", "ftp://host/v1", "http://", "http://user:pass@host/v1", "http://h:x/"])
def test_an_address_that_cannot_work_stops_the_server_from_being_set_up(address: str) -> None:
    """What is no base URL of a service is refused in one line."""
    with pytest.raises(SetupError) as raised, live_server(upstream=address):
        pass
    assert "\n" not in str(raised.value)
    assert "pass@" not in str(raised.value)
