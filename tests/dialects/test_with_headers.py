"""AssemblyAI, Bolna, Deepgram and ZEGO: plain requests with headers or parameters that a person has added."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.dialects.base import Delivery, Dialect
from offhook.dialects.choose import DIALECTS, HEADER, choose
from offhook.events import Command
from tests.dialects.arrivals import (
    JSON,
    arrival,
    called,
    check_far_down,
    check_survives,
    deep,
    header_values,
    offering,
)

NAMES = ("assemblyai", "bolna", "deepgram", "zego")
HEADERS = {
    "x-call-id": "c",
    "x-turn-id": "3",
    "x-room-id": "r",
    "x-caller": "+4930111",
    "x-callee": "+4930222",
    "x-user-data": '{"tenant":"a"}',
}
QUERY = {
    "call_id": "qc",
    "turn_id": "q3",
    "room_id": "qr",
    "caller": "q1",
    "callee": "q2",
    "user_data": '{"tenant":"q"}',
    "api-key": "secret",
}

each = pytest.mark.parametrize("dialect", [DIALECTS[name] for name in NAMES], ids=NAMES)


# --- in -----------------------------------------------------------------------------------------------------------


@each
def test_they_are_chosen_by_name(dialect: Dialect) -> None:
    """A part of the path, or the header, names them; without either a request is plain."""
    assert choose(arrival(path=f"/{dialect.name}/v1/chat/completions"), None) is dialect
    assert choose(arrival(headers={HEADER: dialect.name}), None) is dialect
    assert choose(arrival(headers=HEADERS), None).name == "plain"


@each
def test_headers_name_the_call(dialect: Dialect) -> None:
    """Call, turn, room, numbers and user data stand in headers."""
    reading = dialect.read(arrival(headers=HEADERS))
    call = reading.call
    assert (call.id, reading.turn_id, call.room, call.caller, call.callee) == ("c", "3", "r", "+4930111", "+4930222")
    assert (call.user_data, call.user_data_raw) == ({"tenant": "a"}, '{"tenant":"a"}')
    assert call.platform == dialect.name


@each
def test_parameters_name_the_call(dialect: Dialect) -> None:
    """Where only a URL can be set, its query says the same; the key is not among what is kept."""
    reading = dialect.read(arrival(query=QUERY))
    call = reading.call
    assert (call.id, reading.turn_id, call.room, call.caller, call.callee) == ("qc", "q3", "qr", "q1", "q2")
    assert call.user_data == {"tenant": "q"}
    assert "secret" not in repr(reading)


@each
def test_a_header_wins_over_a_parameter(dialect: Dialect) -> None:
    """An empty header says nothing, and the parameter stands in."""
    assert dialect.read(arrival(headers=HEADERS, query=QUERY)).call.id == "c"
    empty = dialect.read(arrival(headers={"x-call-id": "", "x-user-data": ""}, query=QUERY)).call
    assert (empty.id, empty.user_data) == ("qc", {"tenant": "q"})
    beside = dialect.read(arrival({"metadata": {"tenant": "m"}}, query={"user_data": ""})).call
    assert beside.user_data == {"tenant": "m"}


@each
def test_nothing_is_said_of_the_call(dialect: Dialect) -> None:
    """A request without any of it is read, and names nobody."""
    reading = dialect.read(arrival())
    call = reading.call
    assert (call.id, reading.turn_id, call.room, call.caller, call.callee, call.user_data) == (None,) * 6


@each
def test_a_header_in_utf8_is_read(dialect: Dialect) -> None:
    """Headers are bytes: what is UTF-8 is taken for it, what is not stays Latin-1."""
    wide = "\u4f1a\u8bae".encode().decode("latin-1")
    assert dialect.read(arrival(headers={"x-room-id": wide})).call.room == "\u4f1a\u8bae"
    assert dialect.read(arrival(headers={"x-room-id": "caf\xe9"})).call.room == "caf\xe9"


@pytest.mark.parametrize("value", ["a", {"b": 1}, [1], 3, True, None])
def test_metadata_of_any_type(value: object) -> None:
    """OpenAI's own ``metadata`` is the user data where neither header nor parameter holds any."""
    call = DIALECTS["bolna"].read(arrival({"metadata": value})).call
    assert call.user_data == value
    assert call.id is None


@each
@given(
    headers=header_values(*HEADERS),
    query=st.dictionaries(st.sampled_from(sorted(QUERY)), st.text(max_size=8)),
    metadata=JSON,
)
def test_whatever_comes_is_read(
    dialect: Dialect, headers: dict[str, str], query: dict[str, str], metadata: object
) -> None:
    """No value in any header, parameter or field that is looked at stops a request."""
    check_survives(dialect, {"metadata": metadata}, headers, query)


@each
def test_depth_is_survived(dialect: Dialect) -> None:
    """Metadata that is nested too deeply to be written again is read all the same."""
    check_far_down(dialect, deep("metadata"))


# --- out ----------------------------------------------------------------------------------------------------------


@each
def test_what_the_dialect_says_of_its_platform(dialect: Dialect) -> None:
    """Only a voice is on the other end; Deepgram asks before it knows that the caller has finished."""
    assert dialect.telephone
    assert dialect.speculative == (dialect.name == "deepgram")


@each
def test_commands_are_functions_that_are_offered(dialect: Dialect) -> None:
    """The configured one comes first, then what people commonly call it."""
    assert called(dialect, Command("hangup"), offering("end_call")) == ("end_call", {})
    assert called(dialect, Command("hangup"), offering("bye", "hangup", hangup_function="bye")) == ("bye", {})
    assert called(dialect, Command("transfer", to="1"), offering("transfer")) == ("transfer", {"number": "1"})
    assert dialect.refuses("hangup", offering("end_call")) is None
    assert dialect.refuses("transfer", offering("transfer")) is None


@each
def test_what_is_not_offered_is_refused(dialect: Dialect) -> None:
    """Each reason names the platform and what to do there, as one sentence without its full stop."""
    title = {"assemblyai": "AssemblyAI", "bolna": "Bolna", "deepgram": "Deepgram", "zego": "ZEGO"}[dialect.name]
    for name in ("hangup", "transfer", "protect", "say_to_app"):
        why = dialect.refuses(name, Delivery())
        assert why is not None and title in why and not why.endswith(".")
    assert "InterruptMode" in (DIALECTS["zego"].refuses("protect", Delivery()) or "")
    assert "agent.think.functions" in (DIALECTS["deepgram"].refuses("hangup", Delivery()) or "")
