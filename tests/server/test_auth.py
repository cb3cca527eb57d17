"""Who may call: a key in any of its places, looked at before anything else is read."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from offhook.clock import SystemClock
from offhook.config import Settings
from offhook.errors import BadKey, NotAllowed, SetupError
from offhook.server.answers import answer, json_messages
from offhook.server.auth import ANYBODY, Keys, Owner
from offhook.server.build import build_line
from offhook.server.door import Door, Visit
from offhook.server.keys import SCOPES, KeyBook, KeyFile, Limits, NewKey
from offhook.testing import JumpClock, LiveServer, live_server
from tests.oracle import check_http
from tests.raw import Wire, chat_body, error_of, get, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from offhook.events import Turn

CHAT = "/v1/chat/completions"


def agent(turn: Turn) -> str:
    return "Hello."


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(agent, api_key="right", model_id=["abc"]) as server:
        yield server


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer right"}, ""),
        ({"authorization": "bearer right"}, ""),
        ({"AUTHORIZATION": "BEARER right"}, ""),
        ({"Authorization": "Bearer   right  "}, ""),
        ({"api-key": "right"}, ""),
        ({"API-Key": "right"}, ""),
        ({}, "?api-key=right"),
        ({}, "?task_id=t1&api-key=right"),
        ({}, "?api-key=%72ight"),
        # The platform's own key field may be filled with anything while the query holds the good one.
        ({"Authorization": "Bearer none"}, "?api-key=right"),
        ({"Authorization": "Basic abc", "api-key": "right"}, ""),
    ],
)
def test_a_good_key_is_found_in_each_of_its_places(server: LiveServer, headers: dict[str, str], query: str) -> None:
    """The bearer token in any case, the api-key header, and the api-key parameter let a caller in."""
    assert request(server.base_url, chat_body(), headers, path=CHAT + query).status == 200
    assert get(server.base_url, "/v1/models" + query, headers).status == 200


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer wrong"}, ""),
        ({"Authorization": "Bearer right2"}, ""),
        ({"Authorization": "Bearer righ"}, ""),
        ({"Authorization": "Bearer Right"}, ""),
        ({"Authorization": "Bearer \xe9\xe9"}, ""),
        ({"api-key": "wrong"}, ""),
        ({}, "?api-key=wrong"),
        ({}, "?api-key=%FF%FE"),
    ],
)
def test_a_wrong_key_is_refused(server: LiveServer, headers: dict[str, str], query: str) -> None:
    """A wrong key gets a 401 in the OpenAI shape that asks for a bearer token and never shows a key."""
    reply = request(server.base_url, chat_body(), headers, path=CHAT + query)
    assert reply.status == 401
    assert reply.header("www-authenticate") == "Bearer"
    error = error_of(reply)
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert "Incorrect API key" in error["message"]
    assert b"right" not in reply.body and b"wrong" not in reply.body


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic right"}]
)
def test_no_key_is_refused_with_how_to_send_one(server: LiveServer, headers: Mapping[str, str]) -> None:
    """Without a key the 401 says which header to send."""
    reply = request(server.base_url, chat_body(), headers)
    assert reply.status == 401
    assert "Authorization: Bearer" in error_of(reply)["message"]


def test_the_key_is_checked_before_the_body_is_read(server: LiveServer) -> None:
    """A request that announces a huge body and sends none of it is refused at once for its key."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer wrong\r\nContent-Length: 999999999999\r\n\r\n"
    with Wire(server.base_url) as wire:
        wire.send(head.encode())
        assert check_http(wire.read_response()).status == 401


def test_a_client_that_asks_before_it_sends_is_refused_before_it_sends(server: LiveServer) -> None:
    """With Expect: 100-continue a wrong key gets its 401 and no invitation to send the body."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n"
    with Wire(server.base_url) as wire:
        wire.send((head + "Authorization: Bearer wrong\r\n\r\n").encode())
        assert check_http(wire.read_response()).status == 401
    with Wire(server.base_url) as wire:
        wire.send((head + "Authorization: Bearer right\r\n\r\n").encode())
        assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.received = b""
        wire.send(b"hello")
        assert check_http(wire.read_response()).status == 400


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_key(server: LiveServer, path: str) -> None:
    """Who watches the server has no key, and is told nothing but that it lives."""
    reply = get(server.base_url, path, {})
    assert reply.status == 200
    assert set(json.loads(reply.body)) == {"status"}


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/models/abc", "/v1/models/nothing"])
def test_models_need_a_key(server: LiveServer, path: str) -> None:
    """Which ModelIds there are is told to those who have a key."""
    assert get(server.base_url, path, {}).status == 401
    assert get(server.base_url, path, {"Authorization": "Bearer wrong"}).status == 401


def test_each_of_several_keys_is_good() -> None:
    """Every configured key lets in for everything, and nothing made of two of them."""
    keys = Keys(["one", "two"])
    for key in ("one", "two"):
        for scope in SCOPES:
            assert keys.check({"authorization": f"Bearer {key}"}, {}, scope) == Owner("settings", "settings")
    for key in ("onetwo", "three", "on"):
        with pytest.raises(BadKey):
            keys.check({"authorization": f"Bearer {key}"}, {}, "chat")


def test_without_auth_everybody_is_let_in() -> None:
    """On a loopback address --no-auth takes requests with any key and with none."""
    with live_server(agent, no_auth=True) as server:
        assert request(server.base_url, chat_body(), {}).status == 200
        assert request(server.base_url, chat_body(), {"Authorization": "Bearer whatever"}).status == 200
        assert get(server.base_url, "/v1/models", {}).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
def test_no_auth_is_refused_on_an_address_that_others_reach(host: str) -> None:
    """--no-auth anywhere but on loopback is one line that says so."""
    settings = Settings(no_auth=True, host=host, store="none")
    with pytest.raises(SetupError, match="loopback") as raised:
        build_line(settings, keys=(), clock=SystemClock(), function=agent)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_no_auth_works_on_loopback(host: str) -> None:
    """Every name of the machine's own loopback will do."""
    build_line(Settings(no_auth=True, host=host, store="none"), keys=(), clock=SystemClock(), function=agent)


def test_a_line_without_keys_lets_nobody_in() -> None:
    """Only --no-auth opens the door: a server that was given no key at all refuses to be built."""
    for keys in ((), ("",)):
        with pytest.raises(SetupError, match="key"):
            build_line(Settings(store="none"), keys=keys, clock=SystemClock(), function=agent)


# --- keys that were made -------------------------------------------------------------------------------------------


class Made:
    """A clock, and keys that are checked as a server checks them which has just read its file."""

    def __init__(self, folder: Path) -> None:
        self.clock = JumpClock()
        self.file = KeyFile(folder)
        self._folder = folder

    def new(self, name: str, **more: Any) -> NewKey:
        return self.file.create(self.clock, name, **more)

    async def keys(self, *plain: str) -> Keys:
        book = KeyBook(self._folder, self.clock)
        await book.start()
        await book.close()
        return Keys(plain, book)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_made_key_tells_whose_it_is(made: Made) -> None:
    """Id, name and limits of its owner come with it, in each place that may hold a key."""
    limits = Limits(calls=2)
    new = await asyncio.to_thread(lambda: made.new("shop", limits=limits))
    keys = await made.keys("plain")
    for headers, query in ((bearer(new.key), {}), ({"api-key": new.key}, {}), ({}, {"api-key": new.key})):
        owner = keys.check(headers, query, "chat")
        assert (owner.id, owner.name, owner.limits) == (new.record.id, "shop", limits)
    assert keys.check(bearer("plain"), {}, "chat").name == "settings"


async def test_a_key_is_for_its_scopes(made: Made) -> None:
    """What it was not made for is refused as not allowed, unless another key came along that may."""
    usual, watching = await asyncio.to_thread(lambda: (made.new("usual"), made.new("watching", scopes=("metrics",))))
    keys = await made.keys()
    for scope in ("chat", "models", "calls"):
        assert keys.check(bearer(usual.key), {}, scope).name == "usual"
        with pytest.raises(NotAllowed, match=f"--scope {scope}"):
            keys.check(bearer(watching.key), {}, scope)
    with pytest.raises(NotAllowed):
        keys.check(bearer(usual.key), {}, "metrics")
    assert keys.check(bearer(usual.key), {"api-key": watching.key}, "metrics").name == "watching"


async def test_nobody_is_told_what_is_wrong_with_a_key(made: Made) -> None:
    """An unknown id, a wrong secret, a revoked key and an expired one are all the same incorrect key."""
    good, revoked, expired = await asyncio.to_thread(
        lambda: (made.new("good"), made.new("revoked"), made.new("expired", expires_at=made.clock.now() + 10))
    )
    keys = await made.keys()
    assert keys.check(bearer(expired.key), {}, "chat").name == "expired"
    await asyncio.to_thread(made.file.revoke, made.clock, "revoked")
    keys = await made.keys()
    made.clock.advance(10)
    assert keys.check(bearer(good.key), {}, "chat").name == "good"
    messages = set()
    for key in (
        revoked.key,
        expired.key,
        good.key[:-1],
        good.key + "x",
        good.key[:15] + revoked.key[15:],
        f"ofk_zzzzzzzzzz_{good.key[15:]}",
        f"ofk_{good.record.id}_{good.record.sha256}"[: len(good.key)],
        good.key.upper(),
    ):
        with pytest.raises(BadKey) as refused:
            keys.check(bearer(key), {}, "chat")
        messages.add(refused.value.message)
    assert len(messages) == 1


async def test_a_book_without_keys_lets_nobody_in(made: Made) -> None:
    """An empty book is not the same as --no-auth, with which everybody is let in for everything."""
    keys = await made.keys()
    with pytest.raises(BadKey):
        keys.check({}, {}, "chat")
    with pytest.raises(BadKey):
        keys.check(bearer("any"), {}, "chat")
    for scope in SCOPES:
        assert Keys(()).check({}, {}, scope) is ANYBODY


class OwnerDoor(Door):
    """An address in the scope of metrics that says whose key came along."""

    scope = "metrics"

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, json_messages(200, visit.owner.name.encode(), request_id=visit.request_id))


async def test_a_door_asks_for_its_scope_and_knows_the_owner(made: Made) -> None:
    """A key without the scope of the address is 403, and a good one's owner stands in the visit."""
    watching, usual = await asyncio.to_thread(lambda: (made.new("watching", scopes=("metrics",)), made.new("usual")))
    door = OwnerDoor(keys=await made.keys(), clock=made.clock)

    async def ask(key: str) -> tuple[int, bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("the body is not read")

        headers = [(b"authorization", f"Bearer {key}".encode())]
        await door({"method": "GET", "path": "/metrics", "headers": headers, "query_string": b""}, receive, send)
        return sent[0]["status"], sent[1]["body"]

    assert await ask(watching.key) == (200, b"watching")
    status, body = await ask(usual.key)
    assert (status, json.loads(body)["error"]["code"]) == (403, "not_allowed")
    assert (await ask("wrong"))[0] == 401
