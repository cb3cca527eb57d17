"""The recipes that run another framework's agent, each served as a person serves it, on a model service of ours."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from offhook.testing import says, with_fault
from offhook.testing.fault_server import fault_upstream
from tests.agents.tooled import asks, by_round, call, results
from tests.callers import turn
from tests.oracle import check_http, check_stream
from tests.peers.models import REPO, Peer, caller, environment, version, when
from tests.peers.program import running
from tests.raw import AUTH, KEY, raw_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from offhook.testing import FaultUpstream
    from tests.oracle import Transcript

STARTING = 90.0
ROLES = ("system", "user", "system")
# How long a framework may take to leave its model service, in seconds.
SOON = 5.0


class Recipe(NamedTuple):
    """A recipe: its folder, the package that it shows, its tool with arguments, and a word of what that gives."""

    folder: str
    package: str
    tool: str
    arguments: dict[str, str]
    known: str


RECIPES = (
    Recipe("langgraph", "langgraph", "free_times", {"day": "Monday"}, "half past two"),
    Recipe("openai_agents", "openai_agents", "free_rooms", {"night": "Saturday"}, "'double': 3"),
    Recipe("pydantic_ai", "pydantic_ai_slim", "state_of_car", {"plate": "B 1234"}, "ready"),
)


@pytest.fixture(params=RECIPES, ids=lambda recipe: recipe.folder)
def recipe(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Recipe:
    """Give each recipe whose packages are here."""
    one: Recipe = request.param
    record_property("peer", f"recipe {one.folder}")
    programs = environment("frameworks", watched=False)
    if isinstance(programs, str):
        pytest.skip(programs)
    record_property("version", version(programs, one.package))
    return one


@contextmanager
def served(recipe: Recipe, model: str, folder: Path) -> Iterator[Peer]:
    """Serve a recipe in its folder, with its model at this base URL."""
    programs = environment("frameworks", watched=False)
    assert not isinstance(programs, str)
    variables = {
        "PYTHONPATH": REPO / "src",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "sk-of-the-model",
        "MODEL": "m1",
        "LANGSMITH_TRACING": "false",
    }
    there = ["sh", "-c", 'cd "$0" && exec "$@"', str(REPO / "recipes" / recipe.folder)]
    serve = [str(programs / "python"), "-m", "offhook", "serve", "agent.py:reply", "--port", "0", "--api-key", KEY]
    named = [f"{name}={value}" for name, value in variables.items()]
    with running(["env", *named, *there, *serve, "--data-dir", folder]) as program:
        program.wait_for("Ctrl-C", STARTING)
        port = re.search(rb"http://127\.0\.0\.1:(\d+)/v1", program.output)
        assert port is not None
        yield Peer(program, int(port[1]), KEY)


def heard(server: Peer, body: dict[str, Any]) -> Transcript:
    """Give what comes back on the telephone."""
    return check_stream(check_http(raw_request(server.base_url, body, AUTH)).body, usage_asked=False)


def test_recipes_use_their_tool_and_hang_up(recipe: Recipe, tmp_path: Path) -> None:
    """The model is told what was said before and what the tool gives, and its goodbye ends the call."""
    plan = by_round(
        asks(call(recipe.tool, "call_1", **recipe.arguments), text="Let me see. "),
        asks(call("hang_up", "call_2"), text="It is so, goodbye."),
    )
    with fault_upstream(plan) as model, served(recipe, model.base_url, tmp_path) as server:
        first, body = turn("c1", 1, "Good day."), turn("c1", 2, "And now?")
        before = {"role": "assistant", "content": "What can I do for you?"}
        body["messages"] = [*first["messages"], before, *body["messages"]]
        said = heard(server, body)
    assert (said.text, [one.name for one in said.calls]) == ("Let me see. It is so, goodbye.", ["hangup"])
    asked, again = model.requests
    assert asked.body["model"] == "m1"
    assert [one["role"] for one in asked.body["messages"]] == ["system", "user", "assistant", "user"]
    assert [one["content"] for one in asked.body["messages"]][1:] == [
        "Good day.",
        "What can I do for you?",
        "And now?",
    ]
    assert {tool["function"]["name"] for tool in asked.body["tools"]} == {recipe.tool, "hang_up"}
    assert recipe.known in results(again)[0]


def test_recipes_speak_at_once_and_stop_with_the_caller(recipe: Recipe, tmp_path: Path) -> None:
    """The first words are heard while the model still speaks, and when the caller leaves, its request is ended."""
    plan = with_fault(says("First words ", "and more."), "stall", "mid", after=1)
    with fault_upstream(plan) as model, served(recipe, model.base_url, tmp_path) as server, caller(server) as asking:
        asking.read_until("First words")
        assert model.disconnects == []
        asking.leave()
        model.wait_for_disconnects(1, timeout=SOON)


def test_recipes_stop_with_the_caller_before_the_first_word(recipe: Recipe, tmp_path: Path) -> None:
    """When the caller leaves while the model says nothing yet, its request is ended too."""
    plan = with_fault(says("Never heard."), "stall", "before_headers")
    with fault_upstream(plan) as model, served(recipe, model.base_url, tmp_path) as server, caller(server) as asking:
        model.wait_for_requests(1)
        asking.leave()
        model.wait_for_disconnects(1, timeout=SOON)


def test_recipes_stop_with_a_caller_who_reads_nothing(recipe: Recipe, tmp_path: Path) -> None:
    """Held back in the middle of its words by a caller who does not read, it stops when he leaves."""
    # More than the sockets on the way hold; LangGraph takes all of it in, whoever reads.
    pieces = ["words " * 2000] * 1500
    plan = with_fault(says(*pieces, "and more."), "stall", "mid", after=len(pieces))
    with fault_upstream(plan) as model, served(recipe, model.base_url, tmp_path) as server, caller(server) as asking:
        asking.read_until("words")
        wait_until_held(model)
        # With what it has not read, its kernel ends the connection by a reset, as it does for a program that ends.
        asking.close()
        model.wait_for_disconnects(1, timeout=SOON)


def wait_until_held(model: FaultUpstream) -> None:
    """Return when a model service has not got rid of anything for a second."""
    sent, since = model.sent, time.monotonic()
    when(lambda: model.sent > sent, "the model service speaks")
    while time.monotonic() - since < 1.0:
        if model.sent != sent:
            sent, since = model.sent, time.monotonic()
        time.sleep(0.05)


def test_recipes_speak_to_who_says_nothing(recipe: Recipe, tmp_path: Path) -> None:
    """Asked to speak first it greets, and asks after a caller who is silent, without its model."""
    first = {"role": "system", "content": "Be kind."}
    with fault_upstream(says("Never asked.")) as model, served(recipe, model.base_url, tmp_path) as server:
        greeting = heard(server, {**turn("c1", 1, ""), "messages": [first]})
        question = heard(server, turn("c1", 2, " "))
    assert greeting.text.endswith("What can I do for you?")
    assert question.text == "Are you still there?"
    assert model.requests == []


def test_recipes_pass_on_what_the_platform_says(recipe: Recipe, tmp_path: Path) -> None:
    """The platform's own messages reach the model, at the beginning and in between."""
    body = turn("c1", 1, "Good day.")
    said = ["Be kind.", "Good day.", "The caller is a guest of honour."]
    body["messages"] = [
        {"role": "system", "content": said[0]},
        *body["messages"],
        {"role": "system", "content": said[2]},
    ]
    with fault_upstream(says("An honour.")) as model, served(recipe, model.base_url, tmp_path) as server:
        assert heard(server, body).text == "An honour."
    (asked,) = model.requests
    given = [(one["role"], one["content"]) for one in asked.body["messages"]]
    # Beside the recipe's own prompt, before or after which the platform's stands.
    assert [one for one in given if "telephone" not in one[1]] == list(zip(ROLES, said, strict=True))
    assert len(given) == len(said) + 1


def test_recipes_name_what_they_need(recipe: Recipe) -> None:
    """Their requirements have lower bounds only, and are among the packages that they are tested with."""
    wanted = (REPO / "recipes" / recipe.folder / "requirements.txt").read_text("utf-8").splitlines()
    named = [found[1] for line in wanted if (found := re.fullmatch(r"([a-z-]+)(\[[a-z]+\])?>=[\d.]+", line))]
    pinned = (REPO / "tests" / "peers" / "requirements-frameworks.txt").read_text("utf-8")
    assert len(named) == len(wanted) > 0
    assert set(named) <= set(re.findall(r"^([a-z0-9-]+)==", pinned, re.MULTILINE))
