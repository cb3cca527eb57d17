"""Where the ids of a call come from when a setting names the place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from offhook.dialects.base import Arrival, Options
from offhook.dialects.choose import DIALECTS
from offhook.dialects.sources import FIELDS, apply, check
from offhook.errors import SetupError
from offhook.wire.chat import decode_request

BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "x"}],
    "custom": {"id": 7, "deep": {"who": "+49 30 123"}, "data": {"name": "Li"}, "none": None},
    "extendData": {"instanceId": "from the platform", "sentenceId": 1},
}


def arrival(**changes: Any) -> Arrival:
    """Give a request with ids everywhere."""
    request = decode_request(msgspec.json.encode(BODY | changes))
    return Arrival(request, {"x-call": "h-1", "x-empty": ""}, {"session_id": "q-1"})


def read(dialect: str, **options: Any) -> Any:
    """Give the reading of the request under these options."""
    came = arrival()
    return apply(Options(**options), came, DIALECTS[dialect].read(came))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_place_is_read(dialect: str) -> None:
    """A header (in any case), a query parameter and a path into the body each give an id."""
    assert read(dialect, call_id="header:X-Call").call.id == "h-1"
    assert read(dialect, call_id="query:session_id").call.id == "q-1"
    assert read(dialect, call_id="body:custom.id").call.id == "7"


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_can_be_read(field: str) -> None:
    """Each of the six options puts what it found where the agent looks for it."""
    reading = read("plain", **{field: "body:custom.deep.who"})
    found = {
        "call_id": reading.call.id,
        "turn_id": reading.turn_id,
        "room": reading.call.room,
        "caller": reading.call.caller,
        "callee": reading.call.callee,
        "user_data": reading.call.user_data,
    }
    assert found == {name: "+49 30 123" if name == field else None for name in FIELDS}


@pytest.mark.parametrize(("sent", "read_as"), [("王".encode(), "王"), (b"caf\xe9", "café"), (b"plain", "plain")])
def test_a_header_is_read_as_utf8_where_it_is(sent: bytes, read_as: str) -> None:
    """HTTP hands headers on as Latin-1; platforms send UTF-8."""
    came = arrival()
    came = Arrival(came.request, {"x-callee": sent.decode("latin-1")}, {})
    assert apply(Options(callee="header:X-Callee"), came, DIALECTS["plain"].read(came)).call.callee == read_as


def test_user_data_may_be_an_object() -> None:
    """User data from the body is kept parsed and as its JSON text."""
    call = read("plain", user_data="body:custom.data").call
    assert (call.user_data, call.user_data_raw) == ({"name": "Li"}, '{"name":"Li"}')


@pytest.mark.parametrize(
    "source", ["header:x-none", "header:x-empty", "query:none", "body:custom.none", "body:model.x"]
)
def test_what_is_not_there_stays_as_the_platform_has_it(source: str) -> None:
    """A source that holds nothing changes nothing."""
    reading = read("alibaba_ims", call_id=source, turn_id=source)
    assert (reading.call.id, reading.turn_id) == ("from the platform", "1")


def test_a_named_source_wins_over_the_platform() -> None:
    """A setting is more than what the platform sends by itself."""
    reading = read("alibaba_ims", call_id="header:x-call", turn_id="query:session_id")
    assert (reading.call.id, reading.turn_id) == ("h-1", "q-1")


@pytest.mark.parametrize("source", ["", "X-Call", "cookie:x", "header:", "body: ", "header"])
def test_what_names_no_source_is_refused(source: str) -> None:
    """The error shows the three forms."""
    with pytest.raises(SetupError, match="header:X-Call"):
        check(Options(call_id=source))
