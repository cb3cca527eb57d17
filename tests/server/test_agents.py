"""Several agents behind one address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openai import NotFoundError, OpenAI

from offhook.clock import SystemClock
from offhook.config import AgentSpec, Settings
from offhook.errors import SetupError
from offhook.server.build import build_line
from offhook.testing import live_server, scripted_upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENTS = """
def first(turn):
    return "first"

async def second(turn):
    yield f"second as {turn.model}, {turn.kind}, call {turn.call.id}"
"""


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Path]:
    """Give a file with two agents."""
    file = tmp_path / "several_agents.py"
    file.write_text(AGENTS)
    yield file


def ask(server: Any, model: str, **more: Any) -> str | None:
    """Give what the server answers as ``model``."""
    with OpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0) as client:
        reply = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}], **more)
        return str(reply.choices[0].message.content)


def test_each_model_id_has_its_agent(agents: Path) -> None:
    """[agents] sends each ModelId to its own agent, lists them, and knows no other."""
    mapped = {"a": f"{agents}:first", "b": AgentSpec(agent=f"{agents}:second"), "line": "testline"}
    with live_server(agents=mapped) as server:
        assert ask(server, "a") == "first"
        assert str(ask(server, "b")).startswith("second as b, utterance")
        assert "You said" not in str(ask(server, "line"))
        with OpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0) as client:
            assert [model.id for model in client.models.list()] == ["a", "b", "line"]
            assert client.models.retrieve("b").id == "b"
            with pytest.raises(NotFoundError, match="'c' does not exist here"):
                client.chat.completions.create(model="c", messages=[{"role": "user", "content": "x"}])


def test_a_model_service_may_be_one_of_them(agents: Path) -> None:
    """An entry may be a table that names an upstream; the agent named beside the map needs a ModelId."""
    with scripted_upstream("from the model") as upstream:
        mapped = {"qwen": AgentSpec(upstream=upstream.base_url, upstream_model="qwen3")}
        with live_server(f"{agents}:first", agents=mapped, model_id=["mine"]) as server:
            assert ask(server, "qwen") == "from the model"
            assert ask(server, "mine") == "first"
            assert upstream.requests[0].body["model"] == "qwen3"


def test_without_a_map_any_name_is_accepted_and_echoed() -> None:
    """A server with one agent and no ModelId answers to every name, under that name."""

    async def agent(turn: Any) -> str:
        return str(turn.model)

    with live_server(agent) as server:
        assert ask(server, "anything at all") == "anything at all"


def test_ids_come_from_where_the_settings_say() -> None:
    """[dialect.plain] names a header for the call's id."""

    async def agent(turn: Any) -> str:
        return f"{turn.call.id} {turn.call.user_data}"

    sources = {"plain": {"call_id": "header:X-Call", "user_data": "body:custom"}}
    with live_server(agent, dialect=sources) as server:
        said = ask(server, "m", extra_headers={"X-Call": "c-17"}, extra_body={"custom": {"a": 1}})
    assert said == "c-17 {'a': 1}"


@pytest.mark.parametrize(
    "settings",
    [
        {"agents": {"a": "testline"}, "agent": "testline"},
        {"agents": {"a": "testline"}, "model_id": ["a"]},
        {"agents": {"a": AgentSpec(agent="testline", upstream="http://127.0.0.1:1/v1")}},
        {"agents": {"a": AgentSpec(upstream_model="m")}},
        {"dialect": {"plain": {"call_id": "nowhere"}}},
        {"dialect": {"plain": {"call-id": "header:x"}}},
        {"dialect": {"nobody": {}}},
    ],
    ids=["agent beside", "doubled", "two in one", "no upstream", "no source", "no such option", "no such dialect"],
)
def test_what_cannot_work_together_is_told_in_one_line(settings: dict[str, Any]) -> None:
    """A wrong map is a SetupError of one line."""
    with pytest.raises(SetupError) as error:
        build_line(Settings(**settings), keys=("k",), clock=SystemClock())
    assert "\n" not in str(error.value)
