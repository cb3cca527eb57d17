"""The client that the world uses, the real openai Python SDK, against the real server."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from offhook.errors import UpstreamBusy
from offhook.events import Finish, ToolCall, Turn, Usage
from offhook.testing import LiveServer, live_server
from tests.raw import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from openai.types.chat import ChatCompletionMessageParam

TOOLS: Any = [{"type": "function", "function": {"name": "hangup", "parameters": {"type": "object", "properties": {}}}}]


class Agent:
    """Answers by what it was asked; ``stopped`` is set when a turn that holds is cancelled."""

    def __init__(self) -> None:
        self.stopped = threading.Semaphore(0)

    async def reply(self, turn: Turn) -> AsyncIterator[Any]:
        if turn.text == "fail":
            raise ValueError("13800000001")
        if turn.text == "busy":
            raise UpstreamBusy("Come again later.", retry_after="0.01")
        yield "你好，"
        yield "caller.\u2028"
        if turn.text == "fail later":
            raise ValueError("13800000001")
        if turn.text == "bye":
            yield turn.hangup()
        if turn.text == "tools":
            yield ToolCall("find", '{"city":"杭州"}')
            yield ToolCall("hangup", "{}", "call_mine")
            yield Usage(5, 7)
        if turn.text == "cut":
            yield Finish("length")
        if turn.text == "hold":
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.stopped.release()


SAID = "你好，caller.\u2028"
AGENT = Agent()


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(AGENT.reply, model_id=["abc", "def"]) as server:
        yield server


@pytest.fixture
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
async def aclient(server: LiveServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=server.base_url, api_key=server.api_key, max_retries=0, timeout=PATIENCE
    ) as client:
        yield client


def said(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


def strict(chunk: ChatCompletionChunk) -> ChatCompletionChunk:
    """Read a chunk once more as strictly as its type can be read."""
    return ChatCompletionChunk.model_validate(chunk.model_dump(exclude_unset=True), strict=True)


# --- replies ------------------------------------------------------------------------------------------------------


def test_a_stream(client: openai.OpenAI) -> None:
    """The SDK's loop over a stream gives the words, one role, one finish, and the head the same on each chunk."""
    chunks = [strict(chunk) for chunk in client.chat.completions.create(model="abc", messages=said("hi"), stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", *[None] * (len(chunks) - 1)]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[None] * (len(chunks) - 1), "stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1


async def test_a_stream_of_the_async_client(aclient: openai.AsyncOpenAI) -> None:
    """The async client gives the same."""
    stream = await aclient.chat.completions.create(model="abc", messages=said("hi"), stream=True)
    chunks = [strict(chunk) async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_completion(client: openai.OpenAI) -> None:
    """Without stream there is one completion with its usage."""
    completion = client.chat.completions.create(model="abc", messages=said("hi"))
    assert completion.choices[0].message.content == SAID
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None and completion.usage.total_tokens > 0
    assert completion._request_id is not None and completion._request_id.startswith("req_")


async def test_a_completion_of_the_async_client(aclient: openai.AsyncOpenAI) -> None:
    """The async client gives the same."""
    completion = await aclient.chat.completions.create(model="abc", messages=said("bye"), tools=TOOLS)
    message = completion.choices[0].message
    assert message.content == SAID
    assert message.tool_calls is not None and message.tool_calls[0].type == "function"
    assert message.tool_calls[0].function.name == "hangup"
    assert completion.choices[0].finish_reason == "tool_calls"


def test_usage_in_a_stream(client: openai.OpenAI) -> None:
    """With include_usage the last chunk has no choices and the agent's own count."""
    stream = client.chat.completions.create(
        model="abc", messages=said("tools"), stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [strict(chunk) for chunk in stream]
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (5, 7, 12)
    assert all(chunk.usage is None for chunk in chunks)


def test_the_hangup_arrives_whole(client: openai.OpenAI) -> None:
    """The SDK's own helper, which puts the fragments together, gives one hangup with empty arguments."""
    with client.chat.completions.stream(model="abc", messages=said("bye"), tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        completion = stream.get_final_completion()
    message = completion.choices[0].message
    assert message.content == SAID
    assert message.tool_calls is not None
    [call] = message.tool_calls
    assert (call.function.name, call.function.arguments) == ("hangup", "{}")
    assert completion.choices[0].finish_reason == "tool_calls"
    assert "content.delta" in kinds and "tool_calls.function.arguments.done" in kinds


async def test_several_tool_calls_in_the_async_helper(aclient: openai.AsyncOpenAI) -> None:
    """Each call has its own id, name and arguments."""
    async with aclient.chat.completions.stream(model="abc", messages=said("tools")) as stream:
        completion = await stream.get_final_completion()
    calls = completion.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("find", '{"city":"杭州"}'),
        ("hangup", "{}"),
    ]
    assert calls[1].id == "call_mine"


def test_a_cut_reply(client: openai.OpenAI) -> None:
    """The finish reason length arrives."""
    completion = client.chat.completions.create(model="abc", messages=said("cut"), max_tokens=3)
    assert completion.choices[0].finish_reason == "length"


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_errors_are_the_sdks_own_classes(server: LiveServer, client: openai.OpenAI, stream: bool) -> None:
    """Each status becomes the class that programs catch, with our message and code."""
    create: Any = client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="does not exist here") as unknown:
        create(model="xyz", messages=said("hi"), stream=stream)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="at least one message") as empty:
        create(model="abc", messages=[], stream=stream)
    assert empty.value.param == "messages"
    with pytest.raises(openai.InternalServerError, match="The agent failed") as failed:
        create(model="abc", messages=said("fail"), stream=stream)
    assert (failed.value.status_code, failed.value.code) == (503, "agent_error")
    assert "138" not in str(failed.value)
    assert failed.value.request_id is not None
    with pytest.raises(openai.InternalServerError, match="Come again later"):
        create(model="abc", messages=said("busy"), stream=stream)
    wrong = client.with_options(api_key="wrong")
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        wrong.chat.completions.create(model="abc", messages=said("hi"), stream=stream)
    elsewhere = client.with_options(base_url=server.base_url + "/nowhere/chat/completions/x")
    with pytest.raises(openai.NotFoundError, match="set the base URL"):
        elsewhere.embeddings.create(model="abc", input="hi")


def test_an_error_in_the_middle_of_a_stream_raises_with_our_message(client: openai.OpenAI) -> None:
    """After the first word the SDK raises APIError, with what we say of it, and the words before have come."""
    words = []
    with pytest.raises(openai.APIError, match="The agent failed") as raised:
        for chunk in client.chat.completions.create(model="abc", messages=said("fail later"), stream=True):
            words.append(chunk.choices[0].delta.content or "")  # noqa: PERF401  the loop raises, and the words count
    assert "".join(words) == SAID
    assert raised.value.code == "agent_error"
    assert raised.value.type == "server_error"


async def test_an_error_in_the_middle_of_an_async_stream_raises_too(aclient: openai.AsyncOpenAI) -> None:
    """The async client raises the same."""
    stream = await aclient.chat.completions.create(model="abc", messages=said("fail later"), stream=True)
    with pytest.raises(openai.APIError, match="The agent failed"):
        async for _ in stream:
            pass


def test_what_cannot_help_is_not_tried_again(server: LiveServer, client: openai.OpenAI) -> None:
    """A turn that failed is not run a second time by a client that retries by itself, whatever it failed of."""
    retrying = client.with_options(max_retries=2)
    before = len(server.turns)
    with pytest.raises(openai.InternalServerError):
        retrying.chat.completions.create(model="abc", messages=said("fail"))
    assert len(server.wait_for_turns(before + 1)) == before + 1
    with pytest.raises(openai.InternalServerError):
        retrying.chat.completions.create(model="abc", messages=said("busy"))
    assert len(server.wait_for_turns(before + 2)) == before + 2


# --- models -------------------------------------------------------------------------------------------------------


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    """The SDK lists the ModelIds, finds each, and gets a NotFoundError for another."""
    assert [model.id for model in client.models.list()] == ["abc", "def"]
    model = client.models.retrieve("def")
    assert (model.id, model.object, model.owned_by) == ("def", "model", "offhook")
    assert model.created > 0
    with pytest.raises(openai.NotFoundError, match="'xyz'"):
        client.models.retrieve("xyz")


async def test_models_of_the_async_client(aclient: openai.AsyncOpenAI) -> None:
    """The async client lists the same."""
    assert [model.id async for model in aclient.models.list()] == ["abc", "def"]


def test_without_model_ids_one_name_is_listed_and_any_is_served() -> None:
    """A server that answers for any name lists one that can be pasted."""
    with (
        live_server(AGENT.reply) as server,
        openai.OpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0) as client,
    ):
        assert [model.id for model in client.models.list()] == ["offhook"]
        completion = client.chat.completions.create(model="whatever", messages=said("hi"))
        assert completion.model == "whatever"


# --- leaving ------------------------------------------------------------------------------------------------------


def test_closing_a_stream_cancels_the_agent(server: LiveServer, client: openai.OpenAI) -> None:
    """What a barge-in is in a program: the stream is closed, and the agent stops."""
    before = len(server.turns)
    with client.chat.completions.create(model="abc", messages=said("hold"), stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    assert AGENT.stopped.acquire(timeout=PATIENCE)
    assert server.wait_for_turns(before + 1)[-1].reason == "cancelled"


async def test_a_cancelled_task_cancels_the_agent(server: LiveServer, aclient: openai.AsyncOpenAI) -> None:
    """A task that is cancelled in the middle of an async stream, or before it, lets the agent stop."""

    async def listen(heard: asyncio.Event) -> None:
        async with await aclient.chat.completions.create(model="abc", messages=said("hold"), stream=True) as stream:
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    heard.set()

    before = len(server.turns)
    heard = asyncio.Event()
    task = asyncio.ensure_future(listen(heard))
    await heard.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.to_thread(AGENT.stopped.acquire, True, PATIENCE)
    turns = await asyncio.to_thread(server.wait_for_turns, before + 1)
    assert turns[-1].reason == "cancelled"


def test_one_client_makes_many_turns_over_one_connection(server: LiveServer, client: openai.OpenAI) -> None:
    """After [DONE] the SDK's connection is free for the next turn."""
    before = server.connections
    for _ in range(5):
        for chunk in client.chat.completions.create(model="abc", messages=said("hi"), stream=True):
            strict(chunk)
    assert server.connections <= before + 1
