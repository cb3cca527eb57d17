"""The everyday errors: the right status, the OpenAI shape, and words that say what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.errors import UpstreamBusy
from offhook.testing import LiveServer, live_server
from tests.oracle import check_http
from tests.raw import AUTH, Wire, chat_body, error_of, get, request, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from offhook.events import Turn

CHAT = "/v1/chat/completions"
SECRET = "the caller is 13800000001"


async def agent(turn: Turn) -> AsyncIterator[Any]:
    if turn.text == "raise":
        raise ValueError(SECRET)
    if turn.text == "busy":
        raise UpstreamBusy("Slow down.", retry_after="7")
    if turn.text == "none":
        yield None
    yield "Well, "
    if turn.text == "raise later":
        raise ValueError(SECRET)
    if turn.text == "none later":
        yield None
    yield "hello."


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(agent, model_id=["abc", "def"]) as server:
        yield server


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in chat_body().items() if key != name}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"", None, "empty"),
        (b"{", None, "not valid JSON"),
        (b'{"model": "abc",}', None, "not valid JSON"),
        (b"hello", None, "not valid JSON"),
        (b"\xff\xfe", None, "not valid JSON"),
        (b"[" * 100_000, None, "deep"),
        (b"{'model': 'abc'}", None, "Python literal"),
        (b'{"model": "abc", "stream": True}', None, "Python literal"),
        (b"[]", None, "JSON object"),
        (b"3", None, "JSON object"),
        (b"null", None, "JSON object"),
        (without("messages"), "messages", "required"),
        (without("model"), "model", "required"),
        (chat_body(messages=None), "messages", "null"),
        (chat_body(messages="hello"), "messages", "array"),
        (chat_body(messages=[]), "messages", "at least one"),
        (chat_body(messages=["hello"]), "messages[0]", "object"),
        (chat_body(messages=[{"content": "hello"}]), "messages[0].role", "required"),
        (chat_body(messages=[{"role": 3}]), "messages[0].role", "str"),
        (chat_body(messages=[{"role": "user", "content": 3}]), "messages[0].content", "str"),
        ({**chat_body(), "model": 3}, "model", "str"),
        ({**chat_body(), "stream": "yes"}, "stream", "bool"),
        (chat_body(stream_options=3), "stream_options", "object"),
        (chat_body(temperature="hot"), "temperature", "float"),
        (chat_body(tools={}), "tools", "array"),
    ],
)
def test_a_request_that_cannot_be_read_is_a_400_that_says_why(
    server: LiveServer, body: Any, param: str | None, words: str
) -> None:
    """The answer names the field by its path, and says in words what is wrong with it."""
    reply = request(server.base_url, body)
    assert reply.status == 400
    error = error_of(reply)
    assert error["type"] == "invalid_request_error"
    assert error["code"] in ("invalid_json", "invalid_value")
    assert error["param"] == param
    assert words in error["message"]
    assert reply.header("x-should-retry") is None


def test_unknown_fields_and_roles_are_no_error(server: LiveServer) -> None:
    """What other clients send beside is accepted."""
    body = chat_body(
        messages=[
            {"role": "developer", "content": None, "more": 1},
            {"role": "plugin"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {}}]},
        ],
        tools=None,
        nonsense={"a": [1]},
        extendData={"sentenceId": {"odd": True}, "userData": "{not json"},
    )
    assert stream(server.base_url, body).text == "Well, hello."


def test_an_unknown_model_is_a_404_that_names_the_right_ones(server: LiveServer) -> None:
    """The answer lists the ModelIds that there are, and where to correct it."""
    reply = request(server.base_url, chat_body(model="xyz"))
    assert reply.status == 404
    error = error_of(reply)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "model_not_found", "model")
    assert "'xyz'" in error["message"] and "abc, def" in error["message"] and "ModelId" in error["message"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/completions", "/v1/chat", "/chat/completions/x"])
def test_an_unknown_path_is_a_404_that_says_where_to_go(server: LiveServer, method: str, path: str) -> None:
    """Any other address answers in the OpenAI shape with the base URL that is meant."""
    reply = request(server.base_url, None, method=method, path=path)
    assert reply.status == 404
    error = error_of(reply)
    assert error["code"] == "unknown_url"
    assert "/v1/chat/completions" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", CHAT, "POST"),
        ("PUT", CHAT, "POST"),
        ("DELETE", "/chat/completions", "POST"),
        ("OPTIONS", CHAT, "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/abc", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/readyz", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_a_405_with_what_is_allowed(server: LiveServer, method: str, path: str, allow: str) -> None:
    """The address exists, so the answer says which methods it has (RFC 9110, 15.5.6)."""
    reply = request(server.base_url, None, method=method, path=path)
    assert reply.status == 405
    assert reply.header("allow") == allow
    assert error_of(reply)["code"] == "method_not_allowed"


def test_an_unknown_model_object_is_a_404(server: LiveServer) -> None:
    """A model that is not served cannot be retrieved, one that is can."""
    reply = get(server.base_url, "/v1/models/xyz", AUTH)
    assert (reply.status, error_of(reply)["code"]) == (404, "model_not_found")
    assert get(server.base_url, "/v1/models/abc", AUTH).status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_a_413_and_the_next_connection_works(server: LiveServer, chunked: bool) -> None:
    """A body over the limit is refused without being kept, and the server goes on."""
    size = 8 * 1024 * 1024 + 1
    head = f"POST {CHAT} HTTP/1.1\r\nHost: test\r\nAuthorization: {AUTH['Authorization']}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else f"Content-Length: {size}\r\n\r\n"
    with Wire(server.base_url) as wire:
        wire.send(head.encode() + (b"%x\r\n" % size if chunked else b""))
        wire.send(b" " * size)
        reply = check_http(wire.read_response())
    assert reply.status == 413
    assert error_of(reply)["code"] == "body_too_large"
    assert stream(server.base_url, chat_body()).text == "Well, hello."


# --- an agent that fails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
def test_an_agent_that_raises_before_its_first_word_is_a_503(server: LiveServer, streamed: bool) -> None:
    """Nothing was said, so the failure is a status; it tells nothing of the exception, and asks for no retry."""
    reply = request(server.base_url, chat_body("raise", stream=streamed))
    assert reply.status == 503
    assert error_of(reply)["code"] == "agent_error"
    assert reply.header("x-should-retry") == "false"
    assert SECRET.encode() not in reply.body
    assert b"Traceback" not in reply.body and b"ValueError" not in reply.body and b".py" not in reply.body


def test_an_agent_that_raises_after_its_first_word_is_an_error_event(server: LiveServer) -> None:
    """The headers are gone, so the failure is the last event, with its blank line and nothing behind it."""
    said = stream(server.base_url, chat_body("raise later"), error_expected=True)
    assert said.text == "Well, "
    assert said.finish_reason is None
    assert said.error is not None and said.error["code"] == "agent_error"
    assert SECRET not in str(said.error)


def test_an_agent_that_raises_after_its_first_word_without_stream_is_a_503(server: LiveServer) -> None:
    """One completion is whole or it is an error."""
    assert request(server.base_url, chat_body("raise later", stream=False)).status == 503


def test_a_wrong_value_before_the_first_word_shows_the_code_to_write(server: LiveServer) -> None:
    """Who writes an agent sees in the answer what to write."""
    reply = request(server.base_url, chat_body("none"))
    assert reply.status == 503
    assert 'yield "Goodbye."' in error_of(reply)["message"]


def test_a_wrong_value_after_the_first_word_is_an_error_event(server: LiveServer) -> None:
    """The same words stand in the error event."""
    said = stream(server.base_url, chat_body("none later"), error_expected=True)
    assert said.error is not None and said.error["code"] == "agent_value"


def test_a_busy_model_service_is_a_503_that_asks_for_no_retry(server: LiveServer) -> None:
    """A client that waited as long as the service asks would leave its caller in silence."""
    reply = request(server.base_url, chat_body("busy"))
    assert (reply.status, error_of(reply)["code"]) == (503, "upstream_busy")
    assert reply.header("retry-after") is None
    assert reply.header("x-should-retry") == "false"
