"""The HTTP client against a scripted server on a real socket."""

from __future__ import annotations

import asyncio
import json

import pytest

from offhook.client import EndpointClient
from offhook.client.address import address
from offhook.errors import EndpointError, EndpointUnreachable, OffhookError, SetupError, WireError
from tests.node.scripted import DONE, SSE, ScriptedServer, Step, chunk, plain, response

KEPT = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("base_url", "called"),
    [
        ("http://www.abc.com", "http://www.abc.com/chat/completions"),
        ("http://www.abc.com/", "http://www.abc.com/chat/completions"),
        ("https://h:8443/v1", "https://h:8443/v1/chat/completions"),
        ("https://h/v1//", "https://h/v1/chat/completions"),
        (" http://h/v1\n", "http://h/v1/chat/completions"),
        ("http://h/v1?task_id=1&k=a%20b", "http://h/v1/chat/completions?task_id=1&k=a%20b"),
        (
            "http://h/v1/?api-version=2024-02-01&api-key=sk",
            "http://h/v1/chat/completions?api-version=2024-02-01&api-key=sk",
        ),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions/chat/completions"),
        ("http://[::1]:80/v1", "http://[::1]/v1/chat/completions"),
        ("http://h/v1#here", "http://h/v1/chat/completions"),
    ],
)
def test_the_path_is_appended_to_the_base_url(base_url: str, called: str) -> None:
    """The client appends /chat/completions to the base URL as the platform does, and keeps its query."""
    assert str(address(base_url, "/chat/completions")) == called


@pytest.mark.parametrize(
    "base_url", ["", "127.0.0.1:8083/v1", "ftp://h/v1", "http://", "http://h:99999", "http://u:p@h/v1"]
)
def test_a_base_url_that_cannot_work_is_refused(base_url: str) -> None:
    """A base URL that cannot be called is a SetupError before anything is sent."""
    with pytest.raises(SetupError):
        EndpointClient(base_url, "k")


@pytest.mark.parametrize("key", ["a\nb", "a\r\nX-Evil: 1", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused(key: str) -> None:
    """A key with a line end or a letter beyond ASCII is a SetupError."""
    with pytest.raises(SetupError):
        EndpointClient("http://h/v1", key)


async def test_the_request_is_what_the_page_says() -> None:
    """A chat request is a POST of JSON with the bearer key, and nothing that a browser would add."""
    async with (
        ScriptedServer(plain(DONE)) as server,
        EndpointClient(server.base_url + "?a=1", "k") as client,
        client.post_stream({"model": "m"}, headers={"X-Task": "t"}, query=[("b", "2")]) as stream,
    ):
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert [one.data for one in await stream.read()] == [b"[DONE]"]
    asked = server.asked[0]
    assert (asked.method, asked.target, asked.body) == ("POST", "/v1/chat/completions?a=1&b=2", {"model": "m"})
    assert asked.headers["authorization"] == "Bearer k"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["accept"] == "text/event-stream"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["x-task"] == "t"
    assert asked.headers["user-agent"].startswith("offhook/")
    assert "cookie" not in asked.headers


async def test_no_key_sends_no_header() -> None:
    """A client without a key sends no Authorization header."""
    async with (
        ScriptedServer(plain(DONE)) as server,
        EndpointClient(server.base_url, None) as client,
        client.post_stream(b"{}"),
    ):
        pass
    assert "authorization" not in server.asked[0].headers


async def test_one_read_gives_all_that_it_completed() -> None:
    """One network read gives all events that it completes, and an empty list comes only at the end of the body."""
    go = asyncio.Event()
    text = "data: {\u2028}\n\n".encode()
    script: list[Step] = [SSE + b"data: a\n\ndata: b\n\n", go, b": comment\n\nda", 3, b"ta: c\n\n" + text]
    async with (
        ScriptedServer(script) as server,
        EndpointClient(server.base_url, "k") as client,
        client.post_stream(b"{}") as stream,
    ):
        assert [one.data for one in await stream.read()] == [b"a", b"b"]
        assert not stream.at_end
        go.set()
        rest = []
        while events := await stream.read():
            rest += events
        assert [one.data for one in rest] == [b"c", "{\u2028}".encode()]
        assert stream.at_end
        assert await stream.read() == []


async def test_an_event_without_its_blank_line_is_pending() -> None:
    """An event that the body ends in the middle of is not given, and its bytes can be looked at."""
    async with (
        ScriptedServer(plain(b"data: a\n\ndata: cut")) as server,
        EndpointClient(server.base_url, "k") as client,
        client.post_stream(b"{}") as stream,
    ):
        assert [one.data for one in await stream.read()] == [b"a"]
        assert await stream.read() == []
        assert stream.pending == b"data: cut"


async def test_leaving_early_reaches_a_silent_server() -> None:
    """Leaving the context in the middle of a stream closes the connection although the server is silent."""
    async with ScriptedServer(plain(chunk("a")), hold=True) as server, EndpointClient(server.base_url, "k") as client:
        async with client.post_stream(b"{}") as stream:
            assert len(await stream.read()) == 1
        await server.left.wait()


async def test_cancelling_before_the_headers_reaches_the_server() -> None:
    """Cancelling a request whose answer has not begun closes the connection."""
    async with ScriptedServer([], hold=True) as server, EndpointClient(server.base_url, "k") as client:

        async def ask() -> None:
            async with client.post_stream(b"{}"):
                pass

        task = asyncio.create_task(ask())
        await server.arrived.wait()
        task.cancel()
        await server.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_finished_stream_leaves_its_connection_for_the_next() -> None:
    """After the end of the body the same connection carries the next request."""
    script: list[Step] = [KEPT, piece(DONE), 5, LAST]
    async with ScriptedServer(script) as server, EndpointClient(server.base_url, "k") as client:
        for _ in range(3):
            async with client.post_stream(b"{}") as stream:
                assert len(await stream.read()) == 1
                await stream.finish(within=5)
                assert stream.at_end
        assert (len(server.asked), server.connections) == (3, 1)


async def test_finish_does_not_wait_for_a_body_that_never_ends() -> None:
    """A server that keeps the body open after the reply costs its connection and no more."""
    async with ScriptedServer([KEPT, piece(DONE)], hold=True) as server, EndpointClient(server.base_url, "k") as client:
        async with client.post_stream(b"{}") as stream:
            await stream.read()
            await stream.finish(within=0.001)
            assert not stream.at_end
        await server.left.wait()


@pytest.mark.parametrize(
    ("status", "body", "content_type", "words"),
    [
        (
            "401 Unauthorized",
            b'{"error":{"message":"wrong key","type":"t","code":"c"}}',
            "application/json",
            "wrong key",
        ),
        ("401 Unauthorized", b'{"error":"Unauthorized"}', "application/json", "Unauthorized"),
        ("404 Not Found", b'{"detail":"Not Found"}', "application/json", "Not Found"),
        ("422 Bad", b'{"detail":[{"loc":["body"],"msg":"no"}]}', "application/json", "no"),
        ("429 Slow", b"slow down\nplease", "text/plain", "slow down please"),
        ("502 Bad Gateway", b"<html><head><title>502 Bad</title></head><body>x</body>", "text/html", "502 Bad"),
        ("500 Oh", b"<!doctype html><p>It <b>broke</b></p>", "text/html", "It broke"),
        ("503 Service Unavailable", b"", "text/plain", "Service Unavailable"),
        ("500 Oh", b"\xff\x1b[31m", "text/plain", "[31m"),
        ("500 Oh", b"x" * 100_000, "text/plain", "xxx..."),
    ],
)
async def test_an_error_status_is_an_endpoint_error(status: str, body: bytes, content_type: str, words: str) -> None:
    """An error status is an EndpointError with the status and the service's words, whatever the body is."""
    async with (
        ScriptedServer(response(status, body, content_type)) as server,
        EndpointClient(server.base_url, "k") as client,
    ):
        with pytest.raises(EndpointError) as caught:
            async with client.post_stream(b"{}"):
                pass
    assert caught.value.http_status == int(status[:3])
    assert words in caught.value.message
    assert len(caught.value.message) < 300
    assert "\x1b" not in caught.value.message


async def test_a_redirect_is_told_and_not_followed() -> None:
    """A redirect is an EndpointError that names the new address."""
    script = response("301 Moved", b"", headers="Location: https://h/v1/chat/completions\r\n")
    async with ScriptedServer(script) as server, EndpointClient(server.base_url, "k") as client:
        with pytest.raises(EndpointError, match="has moved to https://h/v1") as caught:
            await client.post_json({})
    assert caught.value.http_status == 301
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b'{"object":"chat.completion"}', "application/json", "answered with application/json although a stream"),
        (b'{"error":{"message":"no such thing"}}', "application/json", "no such thing"),
        (b"<title>Welcome</title>", "text/html", "Welcome"),
    ],
)
async def test_an_answer_that_is_no_stream_is_an_endpoint_error(body: bytes, content_type: str, words: str) -> None:
    """A success that is no event stream is an EndpointError that says what came instead."""
    async with (
        ScriptedServer(response("200 OK", body, content_type)) as server,
        EndpointClient(server.base_url, "k") as client,
    ):
        with pytest.raises(EndpointError, match=words) as caught:
            async with client.post_stream(b"{}"):
                pass
    assert caught.value.http_status == 200


async def test_json_answers_are_given_as_objects() -> None:
    """A completion and the list of models come back as the objects that the server sent."""
    models = response("200 OK", b'{"data":[{"id":"abc"}]}')
    completion = response("200 OK", b'{"object":"chat.completion"}')
    async with ScriptedServer(models, completion) as server, EndpointClient(server.base_url + "?t=1", "k") as client:
        assert (await client.get_json())["data"] == [{"id": "abc"}]
        assert await client.post_json({"stream": False}) == {"object": "chat.completion"}
    assert [(one.method, one.target) for one in server.asked] == [
        ("GET", "/v1/models?t=1"),
        ("POST", "/v1/chat/completions?t=1"),
    ]


async def test_a_json_answer_that_is_no_object_is_an_endpoint_error() -> None:
    """What is no JSON object is an EndpointError for a client that asked for JSON."""
    async with ScriptedServer(response("200 OK", b"[]")) as server, EndpointClient(server.base_url, "k") as client:
        with pytest.raises(EndpointError, match="no JSON object"):
            await client.get_json()


async def test_nobody_there_is_unreachable() -> None:
    """A port where nobody listens is an EndpointUnreachable that names the address without its query."""
    async with ScriptedServer() as server:
        base_url = server.base_url
    async with EndpointClient(base_url + "?api-key=secret", "k") as client:
        with pytest.raises(EndpointUnreachable, match="cannot reach http") as caught:
            await client.post_json({})
    assert "secret" not in caught.value.message


BROKEN: list[tuple[list[Step], type[OffhookError]]] = [
    ([], EndpointUnreachable),
    ([b"SSH-2.0-OpenSSH_9\r\n\r\n"], WireError),
    ([KEPT, piece(b"data: a\n\n"), b"5\r\nab"], EndpointUnreachable),
]


@pytest.mark.parametrize(("script", "kind"), BROKEN)
async def test_foreign_errors_are_told_in_our_words(script: list[Step], kind: type[OffhookError]) -> None:
    """A connection that breaks or speaks another protocol raises our own error with the foreign one as its cause."""
    async with ScriptedServer(script, close=True) as server, EndpointClient(server.base_url, "k") as client:
        with pytest.raises(OffhookError) as caught:
            async with client.post_stream(b"{}") as stream:
                while await stream.read():
                    pass
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None


async def test_silence_beyond_the_read_timeout_is_told() -> None:
    """A server that is silent for longer than the read timeout gives an EndpointError caused by a TimeoutError."""
    async with (
        ScriptedServer(plain(chunk("a")), hold=True) as server,
        EndpointClient(server.base_url, "k", read_timeout=0.01) as client,
    ):
        with pytest.raises(EndpointError, match="time limit") as caught:
            async with client.post_stream(b"{}") as stream:
                while await stream.read():
                    pass
    assert not isinstance(caught.value, EndpointUnreachable)
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_many_streams_at_once() -> None:
    """Two hundred streams are open at the same time: no connection waits for another."""
    go = asyncio.Event()
    async with ScriptedServer([SSE, chunk("a"), go]) as server, EndpointClient(server.base_url, "k") as client:
        started = 0

        async def one() -> None:
            nonlocal started
            async with client.post_stream(b"{}") as stream:
                assert json.loads((await stream.read())[0].data)
                started += 1
                if started == 200:
                    go.set()
                assert await stream.read() == []

        await asyncio.gather(*(one() for _ in range(200)))
