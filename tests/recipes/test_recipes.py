"""The recipes that need no package beside ours work as their files stand, against model services of the test's."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import says
from tests.agents.tooled import asks, by_round, call
from tests.callers import turn
from tests.oracle import check_http, check_stream
from tests.raw import AUTH, get, raw_request
from tests.recipes.recipe import RECIPES, served

if TYPE_CHECKING:
    import pytest

    from offhook.testing import LiveServer
    from tests.oracle import Transcript


def heard(server: LiveServer, text: str, **extend: Any) -> Transcript:
    """Give what comes back when the caller says this on the telephone."""
    model = json.loads(get(server.base_url, "/v1/models", AUTH).body)["data"][0]["id"]
    body = {**turn("c1", 1, text), "model": model}
    body["extendData"] |= extend
    return check_stream(check_http(raw_request(server.base_url, body, AUTH)).body, usage_asked=False)


def test_a_qwen_line_looks_a_parcel_up_and_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is told who calls and what it can do; the tool's answer reaches it, and its goodbye ends the call."""
    plan = by_round(asks(call("parcel_status", number="4711")), says("明天送到。"))
    with (
        fault_upstream(plan) as qwen,
        served("dashscope", monkeypatch, {"dashscope": qwen.base_url}, {"DASHSCOPE_API_KEY": "sk-test"}) as server,
    ):
        said = heard(server, "我的包裹4711到哪儿了？", callerNumber="13800000001")
    assert said.text.endswith("明天送到。")
    first, second = qwen.requests
    assert first.headers["authorization"] == "Bearer sk-test"
    assert "13800000001" in first.body["messages"][0]["content"]
    assert (first.body["model"], first.body["enable_thinking"]) == ("qwen-plus", False)
    assert {tool["function"]["name"] for tool in first.body["tools"]} == {"parcel_status", "hangup"}
    assert "杭州转运中心" in second.body["messages"][-1]["content"]


def test_a_parcel_that_nobody_knows_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model reads that there is no such number."""
    plan = by_round(asks(call("parcel_status", number="1")), says("查不到。"))
    with (
        fault_upstream(plan) as qwen,
        served("dashscope", monkeypatch, {"dashscope": qwen.base_url}, {"DASHSCOPE_API_KEY": "sk-test"}) as server,
    ):
        assert heard(server, "单号1").text.endswith("查不到。")
    assert "没有这个单号" in qwen.requests[-1].body["messages"][-1]["content"]


def test_a_line_on_two_machines_lives_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first machine refuses, the second answers the same request, without thinking aloud."""
    with (
        fault_upstream(says("From the second.")) as second,
        served("vllm", monkeypatch, {"first": "http://127.0.0.1:1/v1", "second": second.base_url}) as server,
    ):
        said = heard(server, "Hello?", userData=json.dumps({"name": "Ann"}))
    assert said.text == "From the second."
    (request,) = second.requests
    assert request.body["chat_template_kwargs"] == {"enable_thinking": False}
    assert "with Ann" in request.body["messages"][0]["content"]


def test_a_line_answers_from_its_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the model asks for is found in the folder, and stands in its next request."""
    plan = by_round(asks(call("look_up", words=["Saturday", "hours"])), says("Until one on Saturday."))
    with fault_upstream(plan) as model, served("documents", monkeypatch, {"model": model.base_url}) as server:
        assert heard(server, "When do you close on Saturday?").text.endswith("Until one on Saturday.")
    assert "On Saturday it closes at one." in model.requests[-1].body["messages"][-1]["content"]


def test_documents_are_found_by_any_word_in_any_language() -> None:
    """Short words, quotes and words of a language without spaces are looked for, and never obeyed."""
    names: dict[str, Any] = {"__file__": str(RECIPES / "documents" / "search.py")}
    exec((RECIPES / "documents" / "search.py").read_text("utf-8"), names)
    index = names["index_of"](names["FOLDER"])
    index.execute("INSERT INTO passages VALUES ('zh', '本店周六下午一点关门，自行车免费保修两年。')")
    find = names["find"]
    assert find(index, ["receipt"])[0]["document"] == "returns"
    assert [one["document"] for one in find(index, ["周六"])] == ["zh"]
    assert [one["document"] for one in find(index, ["自行车"])] == ["zh"]
    assert find(index, ['" OR text : "', "NEAR(", "*"]) == find(index, []) == []


def test_the_tool_says_when_nothing_is_written() -> None:
    """The model is told, so that it makes nothing up."""
    names: dict[str, Any] = {"__file__": str(RECIPES / "documents" / "search.py")}
    exec((RECIPES / "documents" / "search.py").read_text("utf-8"), names)
    assert names["look_up"](["submarine"]) == "Nothing is written about that."
    assert not asyncio.iscoroutinefunction(names["look_up"])
