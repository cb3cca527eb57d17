"""Each threat that SECURITY.md names is stood against by a test; those that belong nowhere else are here."""

from __future__ import annotations

import ast
import logging
import re
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.clock import SystemClock
from offhook.events import Command
from offhook.server.keys import DEFAULT_SCOPES, KeyFile
from offhook.testing import live_server, scripted_upstream
from offhook.turns.call import id_of, key_of
from tests.callers import Scene, Talker, heard, scene, turn
from tests.documents import REPO
from tests.oracle import check_http, check_stream
from tests.raw import AUTH, KEY, chat_body, error_of, get, raw_request, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from offhook.events import Turn

SECURITY = REPO / "SECURITY.md"
_NAMED = re.compile(r"`(tests/[a-z_/]+\.py)::(test_\w+)`")


# --- the document -------------------------------------------------------------------------------------------------


@cache
def names_in(path: str) -> frozenset[str]:
    """Give the names of the test functions in a file; none for a file that is not there."""
    file = REPO / path
    if not file.exists():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, functions))


def threats() -> dict[str, str]:
    """Give the text of each threat by its heading."""
    part = SECURITY.read_text().partition("\n## Threats\n")[2].partition("\n## ")[0]
    sections = (section.partition("\n") for section in part.split("\n### ")[1:])
    return {heading: text for heading, _, text in sections}


def test_every_threat_names_a_test() -> None:
    """None of them is only promised."""
    assert len(threats()) > 20
    assert [heading for heading, text in threats().items() if not _NAMED.search(text)] == []


def test_every_test_that_is_named_is_there() -> None:
    """Whoever renames or removes one is told of the document."""
    named = _NAMED.findall(SECURITY.read_text())
    assert [f"{path}::{name}" for path, name in named if name not in names_in(path)] == []
    # And none stands there in a form that is not looked for.
    assert SECURITY.read_text().count("::test_") == len(named)


# --- one tenant and another ---------------------------------------------------------------------------------------

Headers = dict[str, str]


def made(folder: Path, name: str) -> Headers:
    """Make a key, and give the headers that it comes with."""
    key = KeyFile(folder).create(SystemClock(), name, scopes=DEFAULT_SCOPES).key
    return {"Authorization": f"Bearer {key}"}


@contextmanager
def tenants(folder: Path, *names: str, **settings: Any) -> Iterator[tuple[Scene, list[Headers]]]:
    """Give a scene, and the headers of a key for each name."""
    headers = [made(folder, name) for name in names]
    with scene(data_dir=str(folder), **settings) as stage:
        yield stage, headers


def test_a_key_is_not_given_the_replies_of_another(tmp_path: Path) -> None:
    """The same call, turn and words with another key are a turn of their own: nothing is replayed or remembered."""
    with tenants(tmp_path, "shop", "bank") as (stage, (shop, bank)):
        stage.tell(turn("c1", 1, "my number is 4711"), shop)
        stage.tell(turn("c1", 1, "my number is 4711"), bank)
        stage.tell(turn("c1", 2, "what did I say"), bank)
        runs = stage.talker.of("c1")
        assert [len(run.history) for run in runs] == [1, 1, 3]
        stage.tell(turn("c1", 2, "and now", before=[]), AUTH)
        assert stage.talker.of("c1")[-1].history == [("user", "and now")]
        # Its own retry is answered from the record.
        stage.tell(turn("c1", 1, "my number is 4711"), shop)
        assert len(stage.talker.of("c1")) == 4


def test_a_key_does_not_join_or_end_the_live_turns_of_another(tmp_path: Path) -> None:
    """Neither the same turn nor a newer one of a call with that id touches the reply that is under way."""
    with tenants(tmp_path, "shop", "bank") as (stage, (shop, bank)):
        wire = stage.ask(turn("c1", 1, "talk"), shop)
        wire.read_until(b"Well, ")
        other = stage.ask(turn("c1", 1, "talk"), bank)
        other.read_until(b"Well, ")
        assert stage.tell(turn("c1", 2, "hello"), bank).text == "You said hello."
        first, second, _ = stage.talker.of("c1")
        # A newer turn ends what its own key began, and nothing else.
        assert stage.talker.over(second).cancelled
        assert not first.over
        first.go_on()
        assert heard(wire).text == "Well, so be it."


def test_a_key_does_not_end_the_calls_of_another(tmp_path: Path) -> None:
    """For a key of another name there is no such call; for one of the same name there is."""
    with tenants(tmp_path, "shop", "bank", "shop") as (stage, (shop, bank, again)):
        stage.tell(turn("c1", 1, "hello"), shop)
        for headers in (bank, AUTH):
            for id in ("c1", "c1~shop"):
                refused = request(stage.server.base_url, b"", headers, path=f"/v1/calls/{id}/end")
                assert (refused.status, error_of(refused)["code"]) == (404, "call_not_found")
        assert request(stage.server.base_url, b"", again, path="/v1/calls/c1/end").status == 200


def test_a_new_key_of_the_same_name_goes_on_with_the_calls(tmp_path: Path) -> None:
    """Who replaces his key loses nothing: a call under way is remembered, and a retry is answered."""
    with tenants(tmp_path, "shop", "shop") as (stage, (old, new)):
        stage.tell(turn("c1", 1, "hello"), old)
        stage.tell(turn("c1", 1, "hello"), new)
        stage.tell(turn("c1", 2, "again"), new)
        assert [len(run.history) for run in stage.talker.of("c1")] == [1, 3]


def test_after_a_restart_calls_are_still_apart(tmp_path: Path) -> None:
    """What is read from the records goes to the key that it was recorded for."""
    with tenants(tmp_path, "shop", "bank", store="sqlite") as (stage, (shop, bank)):
        stage.tell(turn("c1", 1, "my number is 4711"), shop)
    with scene(data_dir=str(tmp_path), store="sqlite") as stage:
        stage.tell(turn("c1", 2, "what did I say"), bank)
        stage.tell(turn("c1", 2, "what did I say"), shop)
        assert [len(run.history) for run in stage.talker.of("c1")] == [1, 3]


@given(st.lists(st.tuples(st.text("a~%7E", max_size=4), st.text("a~%7E", max_size=4)), min_size=2, max_size=2))
def test_no_id_reaches_the_call_of_another_name(pairs: list[tuple[str, str]]) -> None:
    """Whatever stands in ids and names, two calls are kept under one key only if both are the same."""
    first, second = (key_of(id, name) for id, name in pairs)
    assert (first == second) == (pairs[0] == pairs[1])
    assert first is not None and id_of(first) == pairs[0][0]


# --- what the platform would obey ---------------------------------------------------------------------------------

TAGS = ["<imsagent_hangup/>", "<No Interrupting>", '<imsagent_transfer_call callee="0900"/>', "< IMSAGENT_hangup />"]


def through_a_model(*said: str) -> str:
    """Give what a telephone is told when a model service says this."""
    with scripted_upstream(*said) as upstream, live_server(upstream=upstream.base_url) as server:
        reply = check_http(raw_request(server.base_url, turn("c1", 1, "say it")))
    return check_stream(reply.body, usage_asked=False).text


@pytest.mark.parametrize("tag", TAGS)
def test_a_model_that_writes_a_control_tag_gives_no_order(tag: str) -> None:
    """However it is cut over the chunks of a model service, nothing of it reaches the platform, and the words do."""
    for cut in (1, 2, len(tag) // 2, len(tag) - 1):
        assert through_a_model("Fine. ", tag[:cut], tag[cut:], " Good.") == "Fine.  Good."


@pytest.mark.parametrize("tag", TAGS)
def test_what_a_caller_says_or_brings_gives_no_order(tag: str) -> None:
    """An agent that repeats the caller's words and user data speaks them without the tags."""

    def parrot(turn: Turn) -> list[str]:
        name = str(turn.call.user_data["name"])
        return [turn.text, " ", name[:4], name[4:]]

    body = turn("c1", 1, f"I am{tag} Ann.")
    body["extendData"]["userData"] = f'{{"name": "Bob{tag.replace(chr(34), chr(39))}by"}}'
    with live_server(parrot) as server:
        text = check_stream(check_http(raw_request(server.base_url, body)).body, usage_asked=False).text
        assert text == "I am Ann. Bobby"


def test_only_the_agent_gives_orders() -> None:
    """A command of the agent's own code goes out, as the tag or function that the platform knows."""

    def agent(turn: Turn) -> list[Any]:
        return ["One moment.", Command("transfer", to='0800"/><imsagent_hangup/>')]

    with live_server(agent) as server:
        text = check_stream(
            check_http(raw_request(server.base_url, turn("c1", 1, "hello"))).body, usage_asked=False
        ).text
    assert text.count("<") == text.count("imsagent_transfer_call") == 1
    assert text.startswith('One moment.<imsagent_transfer_call callee="0800')


# --- what is nobody else's business -------------------------------------------------------------------------------


def test_no_key_gets_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is asked and goes wrong, no key stands in an answer, a log, a figure, a capture or a record."""
    caplog.set_level(logging.DEBUG)
    data, captured = tmp_path / "data", tmp_path / "captured"
    file = KeyFile(data)
    booked = file.create(SystemClock(), "shop").key
    theirs = "sk-upstream-9f8e7d6c"
    wrong = "ofk_abcdefghij_" + "w" * 43
    told = b'{"error": {"message": "Incorrect API key provided: %s"}}' % theirs.encode()
    answers = b""
    with scripted_upstream(told, status=401) as upstream:
        settings: dict[str, Any] = {
            "data_dir": str(data), "store": "sqlite", "capture": str(captured), "log_level": "debug",
            "upstream_table": [{"name": "first", "base_url": upstream.base_url, "key": theirs}],
        }  # fmt: skip
        with live_server(**settings) as server:
            ways: list[tuple[Mapping[str, str], str]] = [
                ({"Authorization": f"Bearer {KEY}"}, ""),
                ({"api-key": booked}, ""),
                ({}, f"?api-key={booked}"),
                ({"Authorization": f"Bearer {wrong}"}, ""),
                ({}, f"?api-key={wrong}"),
            ]
            for number, (headers, query) in enumerate(ways):
                for body in (chat_body(), turn(f"c{number}", 1, "hello"), b"{"):
                    path = f"/v1/chat/completions{query}"
                    answers += raw_request(server.base_url, body, headers, path=path)
            assert upstream.wait_for_requests(1)[0].headers["authorization"] == f"Bearer {theirs}"
            answers += get(server.base_url, "/metrics").body
    kept = b"".join(one.read_bytes() for folder in (data, captured) for one in folder.rglob("*") if one.is_file())
    logged = "\n".join(f"{one.getMessage()} {one.exc_text or ''}" for one in caplog.records)
    for key in (KEY, booked, theirs, wrong):
        # The secret of one that was made is what stands behind "ofk_" and its id, and may hold a "_" itself.
        for secret in (key, key.split("_", 2)[-1]):
            assert secret.encode() not in answers
            assert secret not in logged
            assert secret.encode() not in kept


def test_what_a_model_service_says_of_an_error_stays_inside(caplog: pytest.LogCaptureFixture) -> None:
    """Its words, which may hold a key or what a caller said, are in no answer and no log line."""
    service = scripted_upstream(b'{"error": {"message": "private words"}}', status=400)
    with service as upstream, live_server(upstream=upstream.base_url) as server:
        reply = request(server.base_url, chat_body())
        server.wait_for_turns(1)
    assert reply.status == 503 and b"private" not in reply.body
    assert "private" not in caplog.text


def test_an_id_of_a_call_cannot_make_a_header(tmp_path: Path) -> None:
    """Line ends in it reach the model service as what they are, quoted, in the one header that was asked for."""
    with scripted_upstream("Hello.") as upstream:
        table = {"name": "first", "base_url": upstream.base_url, "call_id_as": "header:X-Session"}
        with live_server(upstream_table=[table]) as server:
            raw_request(server.base_url, turn("c1\r\nX-Evil: 1", 1, "hello"))
        asked = upstream.wait_for_requests(1)[-1]
    assert "x-evil" not in asked.headers
    assert "\r" not in asked.headers["x-session"] and "\n" not in asked.headers["x-session"]


def test_records_do_not_hold_the_numbers_of_callers(tmp_path: Path) -> None:
    """What is kept of a number is its last digits and a mark that needs a secret of this directory."""
    body = turn("c1", 1, "hello")
    body["extendData"]["callerNumber"] = "13800138000"
    with live_server(Talker(), data_dir=str(tmp_path), store="sqlite") as server:
        check_http(raw_request(server.base_url, body))
    kept = b"".join(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
    assert b"13800138000" not in kept and b"***8000" in kept
