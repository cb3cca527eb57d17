"""The litellm proxy behind the model agent: its mock, and a model service of ours two hops away."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from bench.procs import free_port
from offhook.testing import live_server, scripted_upstream
from offhook.testing.upstream import HOLD
from tests.oracle import check_stream
from tests.peers.lines import LAST, SEEN, WHOLE, Gate
from tests.peers.models import (
    Peer,
    caller,
    environment,
    leave,
    milliseconds,
    our_ends,
    version,
    wait_for_health,
    when,
)
from tests.peers.program import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from offhook.testing import LiveServer, ScriptedUpstream
    from tests.peers.models import Left

WORDS = "The mock says a few words, 你好, and ends."
ROLE = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":\
{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
# How long a service that should not see a disconnect is watched.
WATCHED = 1.5


class Litellm(NamedTuple):
    """Two proxies, as it comes and with ``cancel_on_disconnect``, and the services behind both."""

    plain: Peer
    watchful: Peer
    silent: ScriptedUpstream
    opened: ScriptedUpstream
    started: ScriptedUpstream
    speaking: ScriptedUpstream
    gate: Gate

    def served(self, model: str, peer: Peer | None = None) -> AbstractContextManager[LiveServer]:
        """Serve the model agent in front of a proxy."""
        peer = peer or self.plain
        return live_server(upstream=peer.base_url, upstream_model=model, upstream_key=peer.api_key)


# --- the proxies --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Litellm | str]:
    """Run two proxies and what is behind them, or give the reason why there are none."""
    programs = environment("litellm")
    if isinstance(programs, str):
        yield programs
        return
    with ExitStack() as stack:
        silent = stack.enter_context(scripted_upstream(HOLD))
        # It sends its headers, and not one event.
        opened = stack.enter_context(scripted_upstream(b"", HOLD))
        started = stack.enter_context(scripted_upstream(ROLE, HOLD))
        speaking = stack.enter_context(scripted_upstream("one ", HOLD))
        gate = Gate()
        paced = stack.enter_context(gate.served())
        behind: dict[str, ScriptedUpstream | LiveServer] = {
            "silent": silent,
            "opened": opened,
            "started": started,
            "speaking": speaking,
            "paced": paced,
        }
        models = [
            model("mock", mock_response=WORDS, api_base=paced.base_url),
            *(model(name, api_base=service.base_url) for name, service in behind.items()),
        ]
        peers = []
        for watchful in (False, True):
            folder = tmp_path_factory.mktemp("litellm")
            key = f"sk-{secrets.token_urlsafe(24)}"
            general = {"master_key": key, "cancel_on_disconnect": watchful}
            settings = {"telemetry": False, "num_retries": 0}
            config = {"model_list": models, "general_settings": general, "litellm_settings": settings}
            # JSON is YAML.
            (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
            port = free_port()
            program = stack.enter_context(running(command(programs, folder, port)))
            peers.append(Peer(program, port, key))
        for peer in peers:
            wait_for_health(peer, "/health/liveliness")
        # When it starts, litellm asks every service for its models. These say nothing, and it waits five seconds.
        for service in (silent, opened, started, speaking):
            assert {request.path for request in service.wait_for_requests(len(peers))} == {"/v1/models"}
            service.wait_for_disconnects(len(peers))
        yield Litellm(peers[0], peers[1], silent, opened, started, speaking, gate)


def model(name: str, **params: str) -> dict[str, object]:
    """Give an entry of the proxy's list of models."""
    return {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_key": "test-key", **params}}


def command(programs: Path, folder: Path, port: int) -> list[str]:
    """Give the words that run a proxy: it asks nobody outside, and says in its log what it does."""
    variables = {
        "HOME": folder,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOG": "DEBUG",
        "DISABLE_ADMIN_UI": "True",
        "PYTHONUNBUFFERED": "1",
    }
    proxy = [programs / "litellm", "--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    shell = ["sh", "-c", 'exec 2>&1; cd "$HOME"; exec "$@"', "litellm"]
    return ["env", *(f"{name}={value}" for name, value in variables.items()), *shell, *map(str, proxy)]


@pytest.fixture
def litellm(record_property: Callable[[str, object], None], proxies: Litellm | str) -> Litellm:
    """Give the proxies and what is behind them."""
    record_property("peer", "litellm")
    if isinstance(proxies, str):
        pytest.skip(proxies)
    programs = environment("litellm")
    assert not isinstance(programs, str)
    record_property("version", version(programs, "litellm"))
    return proxies


# --- words --------------------------------------------------------------------------------------------------------


def test_litellm_mock(litellm: Litellm) -> None:
    """The model agent speaks what litellm's mock says, and passes its usage on."""
    with litellm.served("mock") as server, caller(server, stream_options={"include_usage": True}) as asking:
        raw = asking.read_all()
    said = check_stream(raw, usage_asked=True)
    assert (said.text, said.finish_reason) == (WORDS, "stop")


def test_litellm_is_asked_over_a_kept_connection(litellm: Litellm) -> None:
    """Five turns in front of litellm, each after the end of the last, are whole and share one connection to it."""
    with litellm.served("mock") as server:
        for _ in range(5):
            with caller(server) as asking:
                assert check_stream(asking.read_all(), usage_asked=False).text == WORDS
            # litellm ends the body of its answer some time after its last event, and the caller does not wait for that.
            when(lambda: server.live == 0, "the turn is over")
            assert our_ends(litellm.plain.port) == 1


def test_litellm_refuses(litellm: Litellm) -> None:
    """A key that litellm does not know is an error that the caller can read and that names no key."""
    stranger = litellm.plain._replace(api_key="sk-0123456789abcdef0123456789abcdef")
    with litellm.served("mock", stranger) as server, caller(server) as asking:
        status, body = asking.refused()
    assert status >= 500
    assert json.loads(body)["error"]["type"]
    assert stranger.api_key.encode() not in body


def test_litellm_keeps_the_pace(litellm: Litellm) -> None:
    """Through litellm the first words of a service two hops away arrive before its last are produced."""
    with litellm.served("paced") as server, caller(server) as asking:
        got = asking.read_until(SEEN)
        assert LAST.encode() not in got
        litellm.gate.open()
        assert check_stream(got + asking.read_all(), usage_asked=False).text == WHOLE


# --- disconnects --------------------------------------------------------------------------------------------------

BUFFERED = "client disconnected before first chunk, upstream LLM request cancelled"
STREAMED = "Recorded streaming client disconnect with error_code=499"
ANSWERED = '"POST /v1/chat/completions HTTP/1.1" 200 OK'


def test_litellm_left_before_an_answer(litellm: Litellm, record_property: Callable[[str, object], None]) -> None:
    """Left before the service has answered it, litellm as it comes goes on waiting; our end closes at once."""
    silent = litellm.silent
    asked, before = len(silent.requests), len(silent.disconnects)
    with litellm.served("silent") as server, caller(server) as asking:
        silent.wait_for_requests(asked + 1)
        left = leave(asking, server, litellm.plain.port)
        record_property("measured", f"our end closed after {milliseconds(left.closed)}")
        time.sleep(WATCHED)
        assert len(silent.disconnects) == before


def test_litellm_told_to_cancel(litellm: Litellm, record_property: Callable[[str, object], None]) -> None:
    """Left before the service has answered it, litellm with ``cancel_on_disconnect`` leaves the service too."""
    silent = litellm.silent
    asked, before = len(silent.requests), len(silent.disconnects)
    with litellm.served("silent", litellm.watchful) as server, caller(server) as asking:
        silent.wait_for_requests(asked + 1)
        left = leave(asking, server, litellm.watchful.port)
        record_property("measured", measured(left, silent, before))


def test_litellm_left_before_its_headers(litellm: Litellm, record_property: Callable[[str, object], None]) -> None:
    """Left while it keeps its headers back for a first event, litellm leaves the service too, and logs it."""
    opened = litellm.opened
    asked, before, mark = len(opened.requests), len(opened.disconnects), litellm.plain.mark
    with litellm.served("opened") as server, caller(server) as asking:
        opened.wait_for_requests(asked + 1)
        left = leave(asking, server, litellm.plain.port)
        record_property("measured", measured(left, opened, before))
        litellm.plain.wait_for(BUFFERED, mark)
        assert ANSWERED not in litellm.plain.said(mark)


def test_litellm_left_before_the_first_word(litellm: Litellm, record_property: Callable[[str, object], None]) -> None:
    """Left after its headers and before the first word, litellm leaves the service too, and logs it."""
    started = litellm.started
    before, mark = len(started.disconnects), litellm.plain.mark
    with litellm.served("started") as server, caller(server) as asking:
        litellm.plain.wait_for(ANSWERED, mark)
        left = leave(asking, server, litellm.plain.port)
        record_property("measured", measured(left, started, before))
        assert left.turn.events == 1, "the finish, and no word"
        litellm.plain.wait_for(STREAMED, mark)


def test_litellm_left_in_mid_stream(litellm: Litellm, record_property: Callable[[str, object], None]) -> None:
    """Left in mid-stream, litellm leaves the service too, and logs it."""
    speaking = litellm.speaking
    before, mark = len(speaking.disconnects), litellm.plain.mark
    with litellm.served("speaking") as server, caller(server) as asking:
        asking.read_until("one ")
        left = leave(asking, server, litellm.plain.port)
        record_property("measured", measured(left, speaking, before))
        litellm.plain.wait_for(STREAMED, mark)


def measured(left: Left, service: ScriptedUpstream, before: int) -> str:
    """Say when our end was closed, and when the service two hops away saw that it was left, as it has to."""
    seen = service.wait_for_disconnects(before + 1)[-1] - left.at
    return f"our end closed after {milliseconds(left.closed)}, the service's after {milliseconds(seen)}"
