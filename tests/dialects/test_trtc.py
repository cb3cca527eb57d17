"""TRTC: the call in the headers, a chunk for the app, and a server API for all else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from offhook.dialects.base import Delivery, Extra, Options
from offhook.dialects.choose import choose
from offhook.dialects.trtc import TRTC
from offhook.events import Command, CommandName
from tests.dialects.arrivals import IDS, JSON, arrival, check_far_down, check_survives, deep, header_values, offering

HEADERS = {"x-task-id": "t", "x-request-id": "r", "x-sdk-app-id": "1400000000"}


def test_what_the_dialect_says_of_its_platform() -> None:
    """It has but a voice, no fillers, no history unless it is set, and repeats a request that is slow."""
    assert (TRTC.telephone, TRTC.fillers, TRTC.speculative, TRTC.memory) == (True, False, False, "call")
    assert (TRTC.language, TRTC.cancel_grace, TRTC.tags) == ("zh", 2.0, ())


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("x-task-id", "x-sdk-app-id"), "trtc"),
        (("x-task-id", "x-room-id"), "trtc"),
        (("x-sdk-app-id", "x-user-id"), "trtc"),
        (("x-task-id",), "plain"),
        (("x-sdk-app-id",), "plain"),
        (("x-room-id", "x-user-id"), "plain"),
        (("x-request-id", "x-task-id"), "plain"),
    ],
)
def test_two_headers_mark_it(names: tuple[str, ...], chosen: str) -> None:
    """One of its own headers and another make it; a request id, a room or a user are anybody's."""
    assert choose(arrival(headers=dict.fromkeys(names, "1")), None).name == chosen


def test_the_call_comes_from_the_headers() -> None:
    """The task is the call, the request the turn, and what else is said of it stands in the call's headers."""
    more = {"x-room-id": "1", "x-user-id": "Li", "x-room-id-type": "0", "x-invoke-llm": "1", "x-other": "x"}
    reading = TRTC.read(arrival(headers={**HEADERS, **more}))
    call = reading.call
    assert (call.id, call.room, reading.turn_id, call.caller) == ("t", "1", "r", None)
    assert call.headers == {
        "x-sdk-app-id": "1400000000",
        "x-user-id": "Li",
        "x-room-id-type": "0",
        "x-invoke-llm": "1",
    }


def test_a_header_in_utf_8_is_read() -> None:
    """HTTP carries bytes, and a user's id in Chinese is what it was."""
    name = "用户".encode().decode("latin-1")
    assert TRTC.read(arrival(headers={**HEADERS, "x-user-id": name})).call.headers["x-user-id"] == "用户"


@pytest.mark.parametrize(("value", "id_"), [pair for pair in IDS if isinstance(pair[0], str)])
def test_empty_headers_say_nothing(value: str, id_: str | None) -> None:
    """A header that is empty is no id, and the other spelling of the request's id is looked at then."""
    reading = TRTC.read(arrival(headers={"x-task-id": value, "x-request-id": value, "x-rquest-id": "old"}))
    assert (reading.call.id, reading.turn_id) == (id_, id_ or "old")


@pytest.mark.parametrize("key", ["MetaInfo", "metaInfo", "metainfo", "meta_info", "META_INFO", "Meta_Info"])
@pytest.mark.parametrize(
    ("value", "data"),
    [({"a": 1}, {"a": 1}), ('{"a":1}', {"a": 1}), ("text", "text"), (3, 3), ([1], [1])],
)
def test_meta_info_under_any_spelling(key: str, value: object, data: object) -> None:
    """The business data are found whatever the case of their key, as an object or as its text."""
    call = TRTC.read(arrival({key: value}, headers=HEADERS)).call
    assert call.user_data == data
    assert isinstance(call.user_data_raw, str)


def test_no_meta_info() -> None:
    """Null is no data, and another spelling may have them."""
    assert TRTC.read(arrival({"MetaInfo": None}, headers=HEADERS)).call.user_data_raw is None
    assert TRTC.read(arrival({"MetaInfo": None, "meta_info": "x"}, headers=HEADERS)).call.user_data == "x"


def test_what_is_for_the_app_is_a_chunk_without_choices() -> None:
    """The chunk has a type and no choices; where nothing is streamed it is a field of the message."""
    data = {"form": [1, None, "</x>"]}
    assert TRTC.write(Command("say_to_app", data=data), Delivery(begun=True)) == (
        Extra(chunk={"type": "meta.info", "metainfo": data}, message={"metainfo": data}),
    )


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("hangup", "ServerPushText with StopAfterPlay"),
        ("hangup", "StopAIConversation"),
        ("transfer", "StopAIConversation"),
        ("protect", "InterruptMode"),
    ],
)
def test_the_server_api_is_named(name: CommandName, way: str) -> None:
    """A command that a reply cannot give is refused with the call of the server API that can."""
    assert way in (TRTC.refuses(name, Delivery()) or "")


def test_a_function_that_is_offered_is_called() -> None:
    """Whoever puts ``tools`` into ExtraBody has his own hang-up, under the name that he offers."""
    assert TRTC.refuses("hangup", offering("end_call")) is None
    assert TRTC.refuses("transfer", offering("end_call")) is not None
    assert TRTC.refuses("hangup", offering("bye", hangup_function="bye")) is None
    assert TRTC.refuses("hangup", Delivery(Options(hangup_function="bye"))) is not None


@given(
    fields=JSON.map(lambda value: {"MetaInfo": value, "metainfo": value, "meta_info": value}),
    headers=header_values("x-task-id", "x-request-id", "x-rquest-id", "x-room-id", "x-user-id", "x-invoke-llm"),
)
def test_anything_is_survived(fields: dict[str, Any], headers: dict[str, str]) -> None:
    """No body and no header breaks the reading."""
    check_survives(TRTC, fields, headers)


def test_deep_data_are_survived() -> None:
    """Data nested so deeply that they cannot be written again are left out."""
    check_far_down(TRTC, deep("MetaInfo"))
