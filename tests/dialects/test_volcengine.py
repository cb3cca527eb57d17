"""Volcengine: few fields and names of their own, early questions, and replies that end in three ways only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.dialects.base import Delivery
from offhook.dialects.choose import choose
from offhook.dialects.volcengine import VOLCENGINE
from offhook.events import Command, CommandName, ToolCall
from offhook.testing import live_server
from offhook.turns import voice
from tests.callers import plain
from tests.dialects.arrivals import IDS, JSON, arrival, check_far_down, check_survives, deep, objects, offering, tool
from tests.oracle import check_stream
from tests.raw import AUTH, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook.events import Turn


# --- in -----------------------------------------------------------------------------------------------------------


def test_what_the_dialect_says_of_its_platform() -> None:
    """It has but a voice, asks before the caller has finished (``Prefill``), and sends some rounds of the history."""
    assert (VOLCENGINE.telephone, VOLCENGINE.fillers, VOLCENGINE.speculative) == (True, False, True)
    assert (VOLCENGINE.memory, VOLCENGINE.language, VOLCENGINE.tags) == ("call", "zh", ())


@pytest.mark.parametrize(
    ("fields", "query", "chosen"),
    [
        ({"maxTokens": 1024}, {}, "volcengine"),
        ({"maxTokens": None}, {"task_id": "t", "room_id": "r"}, "volcengine"),
        ({"round_id": 1}, {}, "volcengine"),
        ({"RoundId": "r"}, {}, "volcengine"),
        ({"roundId": None}, {}, "plain"),
        ({"round_id": ["r"]}, {}, "plain"),
        ({"round": 3, "rounds": 4}, {}, "plain"),
        ({"custom": {"a": 1}, "max_tokens": 3}, {}, "plain"),
        ({"maxTokens": 3, "extendData": {}}, {}, "volcengine"),
    ],
)
def test_its_names_mark_it(fields: dict[str, Any], query: dict[str, str], chosen: str) -> None:
    """``maxTokens`` or a round's id make it, whatever ids stand in the URL; business data alone are anybody's."""
    assert choose(arrival(fields, query=query), None).name == chosen


@pytest.mark.parametrize("key", ["round_id", "roundId", "RoundId", "RoundID", "round_ID"])
@pytest.mark.parametrize(("value", "id_"), [pair for pair in IDS if type(pair[0]) in (str, int, float)])
def test_the_round_is_the_turn(key: str, value: object, id_: str | None) -> None:
    """A round's id is a text or number under any spelling of its key."""
    assert VOLCENGINE.read(arrival({key: value})).turn_id == id_


@pytest.mark.parametrize("value", [None, True, [3], {"id": 3}])
def test_what_is_no_round(value: object) -> None:
    """What cannot be an id is none, and the next key may have one."""
    assert VOLCENGINE.read(arrival({"round_id": value})).turn_id is None
    assert VOLCENGINE.read(arrival({"round_id": value, "RoundId": 4})).turn_id == "4"


@pytest.mark.parametrize("key", ["Custom", "custom"])
@pytest.mark.parametrize(
    ("value", "data"), [('{"a":1}', {"a": 1}), ({"a": 1}, {"a": 1}), ("text", "text"), (0, 0), ("", "")]
)
def test_business_data(key: str, value: object, data: object) -> None:
    """They are a JSON text or what it says."""
    call = VOLCENGINE.read(arrival({key: value})).call
    assert call.user_data == data
    assert isinstance(call.user_data_raw, str)


@pytest.mark.parametrize(
    ("value", "limit"),
    [(1024, 1024), (1, 1), (0, None), (-1, None), ("9", None), (1.5, None), (True, None), ([], None)],
)
def test_the_limit_has_its_own_name(value: object, limit: int | None) -> None:
    """``maxTokens`` is the limit where it is one, and never an error."""
    assert VOLCENGINE.read(arrival({"maxTokens": value})).max_tokens == limit


def test_ids_come_from_headers_or_the_url() -> None:
    """What a customer puts into ``ExtraHeader`` wins over what stands in ``Url``."""
    query = {"call_id": "q", "room_id": "r"}
    call = VOLCENGINE.read(arrival({"maxTokens": 1}, headers={"x-call-id": "h"}, query=query)).call
    assert (call.id, call.room) == ("h", "r")


@given(
    fields=st.fixed_dictionaries(
        {}, optional={**dict.fromkeys(("maxTokens", "round_id", "RoundId", "Custom"), JSON), "custom": objects("id")}
    )
)
def test_anything_is_survived(fields: dict[str, Any]) -> None:
    """No value of any field breaks the reading."""
    check_survives(VOLCENGINE, fields)


def test_deep_data_are_survived() -> None:
    """Data nested so deeply that they cannot be written again are left out."""
    for name in ("Custom", "round_id", "maxTokens"):
        check_far_down(VOLCENGINE, deep(name))


# --- out ----------------------------------------------------------------------------------------------------------


def test_a_call_that_nobody_reads_is_not_written() -> None:
    """Neither functions nor commands are called, also where the request offers them; the reason says what to do."""
    delivery = offering("look", "hangup", "transfer")
    for event in (ToolCall("look", '{"a":1}', "c1"), Command("hangup"), Command("transfer", to="1")):
        assert VOLCENGINE.write(event, delivery) == ()
    assert "StopVoiceChat" in (VOLCENGINE.refuses("hangup", delivery) or "")
    assert "let offhook run it" in (VOLCENGINE.refuses_call("look", delivery) or "")


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("hangup", "StopVoiceChat"),
        ("transfer", "StopVoiceChat"),
        ("protect", "InterruptMode"),
        ("say_to_app", "from your own server"),
    ],
)
def test_the_server_api_is_named(name: CommandName, way: str) -> None:
    """A command that a reply cannot give is refused with the way that there is."""
    assert way in (VOLCENGINE.refuses(name, Delivery()) or "")


async def busy(turn: Turn) -> AsyncIterator[Any]:
    """Say something, call what is there, and hang up."""
    yield f"At most {turn.params.max_tokens} tokens."
    yield ToolCall("look", "{}")
    yield turn.hangup(" Goodbye!")


def test_a_reply_ends_as_the_platform_knows_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a call nor a hang-up makes it end with ``tool_calls``, whatever is offered; what is left out is told."""
    monkeypatch.setattr(voice, "_warned", set())
    with live_server(busy) as server:
        raw = request(server.base_url, {**plain("hello"), "maxTokens": 64}, AUTH).body
        tools = [tool("look"), tool("hangup")]
        offered = request(server.base_url, {**plain("hello"), "maxTokens": 64, "tools": tools}, AUTH).body
    for reply in (raw, offered):
        said = check_stream(reply, usage_asked=False)
        assert (said.text, said.calls, said.finish_reason) == ("At most 64 tokens. Goodbye!", [], "stop")
    told = [record.getMessage() for record in caplog.records if record.name == "offhook.turns"]
    assert [one.partition(" was left out")[0] for one in told] == ["a call of 'look'", "turn.hangup"]


async def asked_early(turn: Turn) -> str:
    """Tell whether the platform may not mean it."""
    return f"{turn.speculative} {turn.kind}"


def test_a_question_may_come_before_the_caller_has_finished() -> None:
    """The agent is told that it is asked on speculation."""
    with live_server(asked_early) as server:
        raw = request(server.base_url, {**plain("hello"), "maxTokens": 64}, AUTH).body
    assert check_stream(raw, usage_asked=False).text == "True utterance"
