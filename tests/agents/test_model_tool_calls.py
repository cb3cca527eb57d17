"""Whose a model's call is, what goes wrong with ours (the model is told, never the caller), and where ours are from."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from offhook import tool
from offhook.config import AgentSpec
from offhook.errors import SetupError
from offhook.testing import live_server
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import Called, says
from tests.agents.tooled import asks, by_round, call, offer, results, runs, status, tooled, weather
from tests.raw import chat_body, request, stream

if TYPE_CHECKING:
    from pathlib import Path

ORDER = "Where is my order 4711?"
PRIVATE = "Wang's order 4711 is on its way"


# --- whose call it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "offered"), [("lookup", ["lookup"]), ("hangup", []), ("transfer", ["lookup"])])
def test_what_is_the_platforms_is_handed_to_it(name: str, offered: list[str]) -> None:
    """The request's own tools and the commands end the reply as tool calls; nothing is run and nobody asked again."""
    with tooled(by_round(asks(call(name, "call_p", x=1), text="Bye.")), status) as (server, upstream):
        said = stream(server.base_url, chat_body(tools=offer(*offered)))
        [details] = server.wait_for_turns(1)
    assert [(one.id, one.name, one.arguments) for one in said.calls] == [("call_p", name, '{"x": 1}')]
    assert (said.text, said.finish_reason, len(upstream.requests)) == ("Bye.", "tool_calls", 1)
    assert details.tools == ()


def test_of_a_mix_ours_are_run_and_theirs_are_handed_on() -> None:
    """The platform gets its own calls only, once ours have ended, and the turn is over."""
    plan = by_round(asks(call("status", order="1"), call("lookup", "call_p"), call("weather", city="Riga")))
    with tooled(plan, status, weather) as (server, upstream):
        said = stream(server.base_url, chat_body(tools=offer("lookup")))
        [details] = server.wait_for_turns(1)
    assert [(one.id, one.name) for one in said.calls] == [("call_p", "lookup")]
    assert (said.finish_reason, len(upstream.requests)) == ("tool_calls", 1)
    assert sorted(runs(details)) == [("status", "ok"), ("weather", "ok")]


@pytest.mark.parametrize("offered", [[], ["lookup"]])
def test_a_name_that_nobody_has_is_refused_towards_the_model(offered: list[str]) -> None:
    """A platform would do nothing for it, and the caller would hear nothing; so the model is told what there is."""
    plan = by_round(asks(call("no_such", secret="4711")), says("Sorry."))
    with tooled(plan, status) as (server, upstream):
        said = stream(server.base_url, chat_body(tools=offer(*offered)))
        [details] = server.wait_for_turns(1)
    assert (said.text, said.calls) == ("Sorry.", [])
    assert json.loads(results(upstream.requests[1])[0])["error"] == "There is no tool 'no_such'. There are: status."
    assert [(run.outcome, run.code) for run in details.tools] == [("refused", "unknown_tool")]


# --- what goes wrong ----------------------------------------------------------------------------------------------


@tool
def fails(order: str) -> str:
    """Fail."""
    raise LookupError(f"no row: {PRIVATE}, {order}")


@tool
def leaves(order: str) -> str:
    """Leave."""
    raise SystemExit(f"gone: {PRIVATE}, {order}")


@pytest.mark.parametrize(
    ("asked", "told", "outcome"),
    [
        (call("fails", order="4711"), f"LookupError: no row: {PRIVATE}, 4711", "failed"),
        (call("leaves", order="4711"), "RuntimeError: it raised SystemExit", "failed"),
        (call("status"), "Bad arguments: ", "refused"),
        (Called("status", '{"order": "47'), "Bad arguments: ", "refused"),
        (Called("status", "[]"), "Bad arguments: ", "refused"),
    ],
    ids=["raises", "exits", "no arguments", "half a text", "no object"],
)
def test_what_fails_is_told_to_the_model_alone(
    asked: Called, told: str, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller hears what the model makes of it, and the log has no word of what was given or said."""
    with (
        caplog.at_level(logging.DEBUG, "offhook"),
        tooled(by_round(asks(asked), says("Sorry")), status, fails, leaves) as (server, upstream),
    ):
        reply = request(server.base_url, chat_body(ORDER))
        [details] = server.wait_for_turns(1)
    assert json.loads(results(upstream.requests[1])[0])["error"].startswith(told)
    assert b'"Sorry"' in reply.body and b"4711" not in reply.body
    assert [run.outcome for run in details.tools] == [outcome]
    log = caplog.text
    assert f"tool name={asked.name} outcome={outcome}" in log
    assert "4711" not in log and "Wang" not in log


def test_results_and_arguments_are_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Nor is the name of a tool that the model made up."""
    plan = by_round(asks(call("status", order="4711"), call("order_4711")), says("It is."))
    with caplog.at_level(logging.DEBUG, "offhook"), tooled(plan, status) as (server, _):
        stream(server.base_url, chat_body(ORDER))
        server.wait_for_turns(1)
    assert "tool name=status outcome=ok" in caplog.text
    assert "tool name=- outcome=refused code=unknown_tool" in caplog.text
    assert "4711" not in caplog.text


# --- where they come from ------------------------------------------------------------------------------------------


FILE = """
from offhook import tool
from offhook.config import AgentSpec

@tool
def one(): "Give one."; return "1"

@tool(side_effect=True)
def two(): "Give two."; return "2"

def three(): "Give three."; return "3"

def untyped(x): return x

class Never: pass

def odd(x: Never): return x

@tool(name="one")
def another(): return "1"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a file of tools."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "made_tools", raising=False)
    (tmp_path / "made_tools.py").write_text(FILE.replace('@tool(name="one")\ndef another(): return "1"\n', ""))
    (tmp_path / "two_of_a_name.py").write_text(FILE)
    return tmp_path


def test_each_agent_has_its_own(folder: Path) -> None:
    """[agents.X] names its tools: a file for all that are marked, or a function, marked or not."""
    assert (folder / "made_tools.py").is_file()
    with fault_upstream(says("Hello.")) as upstream:
        agents = {
            "all": AgentSpec(upstream=upstream.base_url, tools=["made_tools.py"]),
            "some": AgentSpec(upstream=upstream.base_url, tools=["made_tools:three", "made_tools.py:two"]),
            "none": AgentSpec(upstream=upstream.base_url),
        }
        with live_server(agents=agents) as server:
            for model in agents:
                assert stream(server.base_url, chat_body(model=model)).text == "Hello."
    offered = [[one["function"]["name"] for one in got.body.get("tools", [])] for got in upstream.requests]
    assert offered == [["one", "two"], ["three", "two"], []]


@pytest.mark.parametrize(
    ("tools", "wrong"),
    [
        (["made_tools.py:four"], "made_tools.py has no 'four'; marked with @tool are: one, two."),
        (["made_tools.py:Never"], "made_tools.py:Never is type, not a function;"),
        (["made_tools.py:untyped"], "The parameter 'x' of the tool untyped has no type: write x: str"),
        (["made_tools.py:odd"], "The parameter 'x' of the tool odd has a type that JSON does not know: use str"),
        (["two_of_a_name.py"], "There are two tools named 'one': give one another with @tool(name=...)."),
        (["no_such.py"], "There is no file no_such.py."),
        (["no_such_module"], "There is no module 'no_such_module'"),
        (["json"], "json has no function that is marked with @tool; mark one, or name it: json:function."),
        ([":two"], "':two' names no tool; write module:function, file.py:function, or a module or file."),
    ],
)
def test_a_tool_that_cannot_be_is_one_line_at_the_start(folder: Path, tools: list[str], wrong: str) -> None:
    """The server does not start, and the line says what to write."""
    assert folder.is_dir()
    with pytest.raises(SetupError) as raised, live_server(upstream="http://127.0.0.1:9/v1", tools=tools):
        pass
    assert raised.value.message.startswith(wrong)
    assert "\n" not in raised.value.message


def test_tools_without_a_model_are_refused() -> None:
    """Nobody would call them."""
    with pytest.raises(SetupError, match=r"^tools is for a model service"), live_server(tools=["made_tools.py"]):
        pass


def test_looking_at_the_settings_loads_no_tool(tmp_path: Path) -> None:
    """``offhook config`` names the module and runs nothing of it."""
    (tmp_path / "loud.py").write_text("open('loaded', 'w').close()")
    (tmp_path / "offhook.toml").write_text(
        'upstream = "http://127.0.0.1:9/v1"\n[tools]\nrounds = 3\n[agents.x]\nupstream = "http://127.0.0.1:9/v1"\n'
        'tools = ["loud.py"]\n'
    )
    run = [sys.executable, "-m", "offhook", "config", "--json", "--tools", "loud.py", "--model-id", "y"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    settings = json.loads(done.stdout)["settings"]
    assert settings["tools"]["value"] == ["loud.py"]
    assert settings["tools_rounds"]["value"] == 3
    assert not (tmp_path / "loaded").exists()
