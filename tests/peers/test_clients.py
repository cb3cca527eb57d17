"""Clients that nobody here wrote, against our server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from offhook.testing import live_server
from tests.oracle import check_error, check_stream
from tests.peers.lines import FIRST, LAST, SEEN, WHOLE, Gate, assert_cancelled
from tests.peers.program import PROGRAMS, running

if TYPE_CHECKING:
    from pathlib import Path

    from offhook import Turn
    from offhook.testing import LiveServer


def curl_command(curl: str, server: LiveServer, *more: str) -> list[str]:
    """Ask for a stream with curl, which then does not buffer what it writes."""
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]})
    headers = ["-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {server.api_key}"]
    return [curl, "-sSN", f"{server.base_url}/chat/completions", *headers, "-d", body, *more]


# --- curl ---------------------------------------------------------------------------------------------------------


def test_curl_streams(curl: str) -> None:
    """The first event reaches curl before the last one is produced, and the whole stream is legal."""
    gate = Gate()
    with gate.served() as server, running(curl_command(curl, server)) as program:
        program.wait_for(SEEN)
        assert LAST.encode() not in program.output
        gate.open()
        assert check_stream(program.end(), usage_asked=False).text == WHOLE


def test_curl_killed(curl: str) -> None:
    """Killing curl in mid-stream ends the agent."""
    gate = Gate()
    with gate.served() as server, running(curl_command(curl, server)) as program:
        program.wait_for(SEEN)
        program.kill()
        assert_cancelled(server)


def test_curl_waits_for_100_continue(curl: str, tmp_path: Path) -> None:
    """A body of 2 MB, for which curl asks with ``Expect: 100-continue``, is answered."""
    big = tmp_path / "body.json"
    messages = [{"role": "user", "content": "x" * 2_000_000}]
    big.write_text(json.dumps({"model": "m", "stream": True, "messages": messages}), encoding="utf-8")

    async def reply(turn: Turn) -> str:
        return f"{len(turn.text)} characters"

    with live_server(reply) as server:
        command = curl_command(curl, server, "-H", "Expect: 100-continue")
        command[command.index("-d") + 1] = f"@{big}"
        with running(command) as program:
            assert check_stream(program.end(), usage_asked=False).text == "2000000 characters"


def test_curl_reads_an_error(curl: str) -> None:
    """A wrong key gives curl a 401 in the OpenAI shape."""
    with Gate().served() as server:
        command = curl_command(curl, server, "-w", "%{stderr}%{http_code}")
        command = [word.replace(server.api_key, "wrong") for word in command]
        with running(command) as program:
            assert check_error(program.end())["code"] == "invalid_api_key"
            program.wait_for("invalid_api_key")


# --- Node's fetch -------------------------------------------------------------------------------------------------


def test_node_fetch_streams(node: str) -> None:
    """Node's fetch reads the first event before the last one is produced, and the whole stream is legal."""
    gate = Gate()
    with (
        gate.served() as server,
        running([node, PROGRAMS / "fetch.mjs", server.base_url, server.api_key, "stream"]) as program,
    ):
        program.wait_for(SEEN)
        assert LAST.encode() not in program.output
        gate.open()
        assert check_stream(program.end(), usage_asked=False).text == WHOLE


def test_node_fetch_aborts(node: str) -> None:
    """An AbortController in Node ends the agent, while the program itself lives on."""
    with (
        Gate().served() as server,
        running([node, PROGRAMS / "fetch.mjs", server.base_url, server.api_key, "abort"]) as program,
    ):
        program.wait_for("aborted")
        assert_cancelled(server)


# --- JDK ----------------------------------------------------------------------------------------------------------


def test_java_streams(java: str) -> None:
    """The JDK's client on HTTP/1.1 reads the first event before the last is produced, and the whole stream is legal."""
    gate = Gate()
    with (
        gate.served() as server,
        running([java, PROGRAMS / "Peer.java", server.base_url, server.api_key, "stream"]) as program,
    ):
        program.wait_for(SEEN)
        assert LAST.encode() not in program.output
        gate.open()
        output = program.end()
        body = output.removeprefix(b"status 200\n").removesuffix(b"over\n")
        assert check_stream(body, usage_asked=False).text == WHOLE


def test_java_cancels(java: str) -> None:
    """Closing the body's InputStream in the JDK ends the agent, while the program itself lives on."""
    with (
        Gate().served() as server,
        running([java, PROGRAMS / "Peer.java", server.base_url, server.api_key, "cancel"]) as program,
    ):
        program.wait_for("cancelled")
        assert_cancelled(server)


def test_java_asks_three_times(java: str) -> None:
    """Three requests of one JDK client on HTTP/1.1, the last with a body of 260 kB, arrive whole."""

    async def reply(turn: Turn) -> str:
        return f"<{len(turn.text)}>"

    with (
        live_server(reply) as server,
        running([java, PROGRAMS / "Peer.java", server.base_url, server.api_key, "three"]) as program,
    ):
        output = program.end()
        assert [answer for answer in (b"<1>", b"<260000>") if answer in output] == [b"<1>", b"<260000>"]
        assert output.count(b"status 200\n") == output.count(b"data: [DONE]\n") == 3


# --- the openai npm package ---------------------------------------------------------------------------------------


def ask_openai(openai_js: list[str | Path], server: LiveServer, mode: str, key: str = "") -> list[str | Path]:
    """Ask with the openai package."""
    return [*openai_js, server.base_url, key or server.api_key, mode]


def test_openai_js_streams(openai_js: list[str | Path]) -> None:
    """The openai package reads the text as it comes, then the hang-up, the finish reason and the usage."""
    gate = Gate()
    with gate.served() as server, running(ask_openai(openai_js, server, "stream")) as program:
        program.wait_for(json.dumps({"delta": FIRST}, ensure_ascii=False, separators=(",", ":")))
        assert LAST.encode() not in program.output
        gate.open()
        result = json.loads(program.end().splitlines()[-1])
        calls = [{"name": "hangup", "arguments": "{}"}]
        assert result == {"text": WHOLE, "calls": calls, "finish_reason": "tool_calls", "usage": True}


def test_openai_js_reads_a_completion(openai_js: list[str | Path]) -> None:
    """The openai package reads a reply that is not streamed."""
    gate = Gate()
    gate.open()
    with gate.served() as server, running(ask_openai(openai_js, server, "whole")) as program:
        calls = [{"name": "hangup", "arguments": "{}"}]
        assert json.loads(program.end()) == {"text": WHOLE, "calls": calls, "finish_reason": "tool_calls"}


def test_openai_js_aborts(openai_js: list[str | Path]) -> None:
    """Aborting a stream of the openai package ends the agent."""
    with Gate().served() as server, running(ask_openai(openai_js, server, "abort")) as program:
        program.end()
        assert_cancelled(server)


def test_openai_js_knows_the_error(openai_js: list[str | Path]) -> None:
    """A wrong key is an AuthenticationError to the openai package."""
    with Gate().served() as server, running(ask_openai(openai_js, server, "stream", key="wrong")) as program:
        error = json.loads(program.end())
        assert error == {"error": "AuthenticationError", "status": 401, "code": "invalid_api_key"}


def test_openai_js_lists_models(openai_js: list[str | Path]) -> None:
    """The openai package lists the models of the server."""
    with Gate().served(model_id=["abc"]) as server, running(ask_openai(openai_js, server, "models")) as program:
        assert json.loads(program.end()) == {"models": ["abc"]}
