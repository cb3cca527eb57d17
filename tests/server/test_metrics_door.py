"""What the door of the metrics shows, to whom; and keys from their making to their end, over real connections."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from offhook.clock import SystemClock
from offhook.server.keys import DEFAULT_SCOPES, KeyFile, Limits
from offhook.testing import JumpClock, live_server, scripted_upstream
from offhook.turns.phrases import APOLOGIES
from tests.callers import turn
from tests.oracle import check_http, check_stream
from tests.raw import AUTH, Wire, chat_body, error_of, get, raw_request, request
from tests.serving import PATIENCE, Serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from offhook.events import Turn
    from offhook.server.keys import KeyScope
    from offhook.testing import LiveServer
    from tests.oracle import HttpReply


NAMES = ("first", "second")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def figures(base_url: str, headers: Mapping[str, str] | None = None) -> dict[str, float]:
    """Give every figure as it is shown, by its name and labels."""
    reply = get(base_url, "/metrics", headers)
    assert reply.status == 200
    samples = [sample for family in parse(reply.body.decode()) for sample in family.samples]
    return {" ".join([one.name, *map("=".join, sorted(one.labels.items()))]): one.value for one in samples}


def made(folder: Path, name: str = "shop", *scopes: KeyScope, **limits: int) -> dict[str, str]:
    """Make a key, and give the headers that it comes with."""
    file = KeyFile(folder)
    new = file.create(SystemClock(), name, scopes=scopes or DEFAULT_SCOPES, limits=Limits(**limits))
    return bearer(new.key)


def hello(turn: Turn) -> str:
    return "Hello."


# --- the door -----------------------------------------------------------------------------------------------------


def test_the_figures_are_for_keys_with_their_scope(tmp_path: Path) -> None:
    """A key of the settings opens it, and one that was made for it; one for calls is 403, and none is 401."""
    watching, calling = made(tmp_path, "prometheus", "metrics"), made(tmp_path, "shop")
    with live_server(hello, data_dir=str(tmp_path)) as server:
        for headers in (AUTH, watching):
            assert get(server.base_url, "/metrics", headers).status == 200
        refused = get(server.base_url, "/metrics", calling)
        assert (refused.status, error_of(refused)["code"]) == (403, "not_allowed")
        for headers in ({}, bearer("wrong")):
            assert get(server.base_url, "/metrics", headers).status == 401
        refused = request(server.base_url, chat_body(), watching)
        assert (refused.status, error_of(refused)["code"]) == (403, "not_allowed")


def test_the_figures_may_be_for_everybody_or_nobody() -> None:
    """Open it asks for no key, and off there is nothing at its address."""
    with live_server(hello, metrics="open") as server:
        assert figures(server.base_url, {})["offhook_live_turns"] == 0
    with live_server(hello, metrics="off") as server:
        refused = get(server.base_url, "/metrics")
        assert (refused.status, error_of(refused)["code"]) == (404, "unknown_url")


def test_the_figures_come_in_the_format_that_is_asked_for() -> None:
    """Without a wish it is the text that Prometheus reads, and OpenMetrics for who prefers that."""
    with live_server(hello) as server:
        reply = get(server.base_url, "/metrics")
        assert (reply.header("content-type") or "").startswith("text/plain; version=")
        wish = {**AUTH, "Accept": "application/openmetrics-text; version=1.0.0"}
        reply = get(server.base_url, "/metrics", wish)
        assert (reply.header("content-type") or "").startswith("application/openmetrics-text; version=1.0.0")
        assert reply.body.endswith(b"# EOF\n")


def test_the_figures_are_those_of_the_moment() -> None:
    """Live turns, open calls and connections are counted when somebody looks."""
    go = Event()

    async def agent(turn: Turn) -> str:
        await asyncio.to_thread(go.wait)
        return "Hello."

    with live_server(agent, turn_deadline=0.0, filler="off") as server, Wire(server.base_url) as wire:
        wire.ask(turn("c1", 1, "hello"))
        while figures(server.base_url)["offhook_live_turns"] != 1:
            pass
        seen = figures(server.base_url)
        assert (seen["offhook_calls"], seen["offhook_waiting_turns"], seen["offhook_stopping"]) == (1, 0, 0)
        assert seen["offhook_connections"] >= 2
        go.set()
        wire.read_response()
        server.wait_for_turns(1)
        seen = figures(server.base_url)
        assert (seen["offhook_live_turns"], seen["offhook_calls"]) == (0, 1)
        assert seen["offhook_turns_total platform=alibaba_ims reason=stop"] == 1


def test_refused_requests_are_counted_at_every_address(tmp_path: Path) -> None:
    """Each by the code of its error, wherever it was refused; whoever only asks how the server is does not count."""
    calling = made(tmp_path, "shop")
    with live_server(hello, data_dir=str(tmp_path), model_id=["abc"]) as server:
        url = server.base_url
        asked: list[tuple[str, HttpReply]] = [
            ("invalid_api_key", request(url, chat_body(), {})),
            ("invalid_json", request(url, b"{")),
            ("model_not_found", request(url, chat_body(model="other"))),
            ("model_not_found", get(url, "/v1/models/other")),
            ("call_not_found", request(url, b"", path="/v1/calls/c9/end")),
            ("unknown_url", get(url, "/nowhere")),
            ("not_allowed", get(url, "/metrics", calling)),
            ("method_not_allowed", request(url, None, method="POST", path="/healthz")),
        ]
        for code, reply in asked:
            assert error_of(reply)["code"] == code
        seen = {name: value for name, value in figures(url).items() if name.startswith("offhook_refused_total")}
        codes = {name.partition("code=")[2]: value for name, value in seen.items()}
        assert codes == {
            "invalid_api_key": 1,
            "invalid_json": 1,
            "model_not_found": 2,
            "call_not_found": 1,
            "unknown_url": 1,
            "not_allowed": 1,
        }


def test_the_state_of_each_model_service_is_shown() -> None:
    """A service that answers is closed, by its name."""
    with scripted_upstream("Hello.") as upstream:
        services = [{"name": name, "base_url": upstream.base_url} for name in NAMES]
        with live_server(upstream_table=services) as server:
            assert request(server.base_url, chat_body()).status == 200
            server.wait_for_turns(1)
            seen = figures(server.base_url)
            assert seen["offhook_upstream_state upstream=first"] == seen["offhook_upstream_state upstream=second"] == 0
            # Either of them may have been asked.
            asked = [seen.get(f"offhook_attempts_total outcome=answered upstream={name}", 0) for name in NAMES]
            assert sum(asked) == 1


def test_what_a_caller_sends_makes_no_label() -> None:
    """Names of models, calls, turns and addresses that a client makes up are on no figure."""
    odd = 'odd"name\\\n'
    with live_server(hello) as server:
        for number in range(3):
            body = {**turn(f"{odd}{number}", f"{odd}{number}", odd), "model": f"{odd}{number}"}
            assert request(server.base_url, body).status == 200
            get(server.base_url, f"/odd{number}")
        server.wait_for_turns(3)
        text = get(server.base_url, "/metrics").body
        assert b"odd" not in text
        parse(text.decode())


# --- keys, from their making to their end -------------------------------------------------------------------------


def keys(folder: Path, *arguments: str) -> Any:
    """Give what ``offhook keys`` prints, as JSON."""
    command = [sys.executable, "-m", "offhook", "keys", *arguments, "--data-dir", "data", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return json.loads(done.stdout)


def until(base_url: str, headers: Mapping[str, str], status: int) -> HttpReply:
    """Give the first answer that has this status."""
    while (reply := request(base_url, None, headers, method="GET", path="/v1/models")).status != status:
        pass
    return reply


def test_a_key_works_and_ends_while_the_server_runs(tmp_path: Path) -> None:
    """Made by the command it is taken by the running server, within its limits, and once revoked no more."""
    (tmp_path / "agents.py").write_text("async def reply(turn):\n    yield 'Hello.'\n")
    with Serving(
        ["-m", "offhook", "serve", "agents.py:reply", "--port", "0", "--data-dir", "data"], cwd=tmp_path
    ) as server:
        new = keys(tmp_path, "create", "shop", "--turns-per-minute", "2")
        headers = bearer(new["key"])
        until(server.base_url, headers, 200)
        for _ in range(2):
            assert request(server.base_url, chat_body(), headers).status == 200
        refused = request(server.base_url, chat_body(), headers)
        assert (refused.status, error_of(refused)["code"]) == (429, "rate_limit_exceeded")
        assert 0 < int(refused.header("retry-after") or 0) <= 61
        # Wherever it is sent.
        assert request(server.base_url, None, {"api-key": new["key"]}, method="GET", path="/v1/models").status == 200
        keys(tmp_path, "revoke", "shop")
        assert error_of(until(server.base_url, headers, 401))["code"] == "invalid_api_key"
        assert request(server.base_url, chat_body(), headers).status == 401
        assert server.stop() == 0
    assert new["key"] not in server.out + server.err


def test_a_key_is_taken_at_the_next_look(tmp_path: Path) -> None:
    """Half a second after it was made or revoked the server knows, and after its end it is good no more."""
    clock = JumpClock()
    with live_server(hello, data_dir=str(tmp_path), clock=clock) as server:
        file = KeyFile(tmp_path)
        new = file.create(clock, "shop", expires_at=clock.now() + 60)
        headers = bearer(new.key)
        assert request(server.base_url, chat_body(), headers).status == 401
        looks(clock, lambda: request(server.base_url, chat_body(), headers).status == 200)
        clock.advance(60)
        assert request(server.base_url, chat_body(), headers).status == 401


def looks(clock: JumpClock, true: Any) -> None:
    """Let the server look at its keys once, and return when what it saw counts."""
    clock.wait_for_sleepers(1)
    clock.advance(0.5)
    while not true():
        pass


# --- limits and the ceiling ---------------------------------------------------------------------------------------


def test_a_telephone_call_that_reaches_a_limit_hears_so(tmp_path: Path) -> None:
    """Its turn is 200 with an apology that ends well, the record says what it was, and other platforms get 429."""
    headers = made(tmp_path, turns_per_minute=1)
    with live_server(hello, data_dir=str(tmp_path), language="en") as server:
        assert said(server, turn("c1", 1, "hello"), headers) == "Hello."
        assert said(server, turn("c1", 2, "hello again"), headers) in APOLOGIES["en"]
        server.wait_for_turns(2)
        records = server.records("c1~shop")
        assert [(one.reason, one.error) for one in records] == [("stop", None), ("failed", "rate_limit_exceeded")]
        refused = request(server.base_url, chat_body(), headers)
        assert refused.status == 429 and refused.header("retry-after") is not None
        seen = figures(server.base_url)
        assert seen["offhook_refused_total code=rate_limit_exceeded"] == 2


def said(server: LiveServer, body: dict[str, Any], headers: Mapping[str, str]) -> str:
    """Give what is said to a request, in a stream that ends well."""
    reply = check_http(raw_request(server.base_url, body, headers))
    assert reply.status == 200
    heard = check_stream(reply.body, usage_asked=False)
    assert heard.finish_reason == "stop"
    return heard.text


@contextmanager
def full() -> Iterator[LiveServer]:
    """Give a server whose only place is taken, and which lets nobody wait."""
    go, begun = Event(), Event()

    async def agent(turn: Turn) -> str:
        begun.set()
        await asyncio.to_thread(go.wait)
        return "Hello."

    settings: dict[str, Any] = {"turn_deadline": 0.0, "limits_turns": 1, "limits_queue": 0, "language": "en"}
    with live_server(agent, filler="off", **settings) as server, Wire(server.base_url) as wire:
        try:
            wire.ask(chat_body())
            assert begun.wait(PATIENCE)
            yield server
        finally:
            go.set()


def test_over_the_ceiling_a_new_call_is_told_in_the_way_of_its_platform() -> None:
    """A telephone hears an apology; others get 503 with when to come again, and so does who asks for readiness."""
    with full() as server:
        assert get(server.base_url, "/readyz", {}).status == 200
        assert said(server, turn("c1", 1, "hello"), AUTH) in APOLOGIES["en"]
        refused = request(server.base_url, chat_body())
        assert (refused.status, error_of(refused)["code"]) == (503, "overloaded")
        assert int(refused.header("retry-after") or 0) >= 1
        ready = get(server.base_url, "/readyz", {})
        assert (ready.status, error_of(ready)["code"]) == (503, "overloaded")
        assert get(server.base_url, "/healthz", {}).status == 200
        assert figures(server.base_url)["offhook_refused_total code=overloaded"] == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_answer_says_it_too(stream: bool) -> None:
    """On a telephone the apology comes in the form that was asked for."""
    with full() as server:
        reply = request(server.base_url, turn("c1", 1, "hello", stream=stream))
        assert reply.status == 200
        assert any(phrase.encode() in reply.body for phrase in APOLOGIES["en"])
