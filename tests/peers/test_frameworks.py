"""The voice and agent frameworks that people have, as clients of our server: each with a function to end the call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.peers.conftest import npm_program
from tests.peers.lines import FIRST, LAST, SEEN, WHOLE, Gate, assert_cancelled
from tests.peers.models import environment, version
from tests.peers.program import PROGRAMS, Program, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from offhook.testing import LiveServer

# What such a framework imports before it asks takes many seconds on a machine that has just been started.
STARTING = 90.0


class Framework(NamedTuple):
    """A client: its name on the page, its program, its package, and the dialect that its base URL names."""

    name: str
    program: str
    package: str
    path: str = ""
    platform: str = "plain"


LIVEKIT = Framework("livekit-agents, LLM", "livekit_llm.py", "livekit_agents", platform="livekit")
SESSION = Framework("livekit-agents, AgentSession", "livekit_session.py", "livekit_agents", platform="livekit")
FRAMEWORKS = (
    LIVEKIT,
    SESSION,
    Framework("pipecat, OpenAILLMService", "pipecat_bot.py", "pipecat_ai", "/pipecat", "pipecat"),
    Framework("LangChain, ChatOpenAI", "langchain_chat.py", "langchain_openai"),
    Framework("openai (npm)", "openai_helper.mjs", "openai"),
    Framework("Vercel ai (npm)", "ai.mjs", "ai"),
)


class Client(NamedTuple):
    """A framework that is here, and the words that run its program."""

    framework: Framework
    command: list[str | Path]

    def asks(self, server: LiveServer, mode: str) -> AbstractContextManager[Program]:
        """Run it against a server."""
        address = server.base_url.removesuffix("/v1") + self.framework.path + "/v1"
        return running([*self.command, address, server.api_key, mode])


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.program)
def client(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Client:
    """Give each framework."""
    return client_of(request.param, record_property, request)


@pytest.fixture
def session(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Client:
    """Give LiveKit's AgentSession."""
    return client_of(SESSION, record_property, request)


def client_of(
    framework: Framework, record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> Client:
    """Give a framework, or skip the test by the reason why it is not here."""
    record_property("peer", framework.name)
    if framework.program.endswith(".mjs"):
        # Asked for here: without a network npm takes a minute to say so, and the others need none.
        npm: Path | str = request.getfixturevalue("npm_packages")
        if isinstance(npm, str):
            pytest.skip(npm)
        command, found = npm_program(npm, framework.program, framework.package)
    else:
        programs = environment("frameworks", watched=False)
        if isinstance(programs, str):
            pytest.skip(programs)
        command = [programs / "python", PROGRAMS / framework.program]
        found = version(programs, framework.package)
    record_property("version", found)
    return Client(framework, command)


def told(output: bytes) -> list[dict[str, Any]]:
    """Give what a program said, line by line."""
    # U+2028 ends no line here.
    return [json.loads(line) for line in output.decode().split("\n") if line]


def test_frameworks_stream_and_hang_up(client: Client) -> None:
    """The first words are there before the last are produced, and the hang-up is a call of the function offered."""
    gate = Gate()
    with gate.served() as server, client.asks(server, "stream") as program:
        program.wait_for(SEEN, STARTING)
        assert LAST.encode() not in program.output
        gate.open()
        said = told(program.end())
        (turn,) = server.wait_for_turns(1)
    deltas = [line["delta"] for line in said if "delta" in line]
    assert (deltas[0], "".join(deltas)) == (FIRST, WHOLE)
    assert said[-1] == {"text": WHOLE, "calls": [{"name": "end_call", "arguments": "{}"}]}
    assert (turn.platform, turn.reason) == (client.framework.platform, "tool_calls")


def test_frameworks_leave(client: Client) -> None:
    """Interrupted, aborted or cancelled in mid-stream, it ends the agent, while its program lives on."""
    with Gate().served() as server, client.asks(server, "leave") as program:
        program.wait_for('"left"', STARTING)
        assert_cancelled(server)


def test_livekit_warms_its_connection_up(session: Client) -> None:
    """Before its first turn it asks for the models, and gets them."""
    gate = Gate()
    gate.open()
    with gate.served() as server, session.asks(server, "stream") as program:
        program.wait_for('"text"', STARTING)
        asked = [line for line in told(program.end()) if "asked" in line]
    assert asked == [{"asked": path, "status": 200} for path in ("/v1/models", "/v1/chat/completions")]


def test_livekit_asks_early(session: Client) -> None:
    """What it asked for half a sentence is ended by what it asks for the whole, and only that is heard."""
    gate = Gate()
    with gate.served() as server, session.asks(server, "early") as program:
        program.wait_for(SEEN, STARTING)
        gate.open()
        said = told(program.end())
        early, whole = server.wait_for_turns(2)
    assert early.reason in ("superseded", "cancelled")
    assert (whole.which, whole.reason, whole.call_id) == ("grown", "tool_calls", "RM_1")
    assert said[-1] == {"text": WHOLE, "calls": [{"name": "end_call", "arguments": "{}"}]}


def test_livekit_ends_its_session(session: Client) -> None:
    """The hang-up calls LiveKit's own ``EndCallTool``, which, told to add nothing, ends the session after one turn."""
    gate = Gate()
    gate.open()
    with gate.served() as server, session.asks(server, "prebuilt") as program:
        program.wait_for('"text"', STARTING)
        said = told(program.end())
        assert [turn.reason for turn in server.wait_for_turns(1)] == ["tool_calls"]
    assert said[-1]["text"] == WHOLE
