"""Plain OpenAI: a command is a call of a function, under the name that the client offers for it."""

from __future__ import annotations

import pytest

from offhook.dialects.base import Delivery, Options
from offhook.dialects.plain import PLAIN
from offhook.events import Command
from offhook.wire.chat import CallDelta
from tests.dialects.arrivals import arrival

HANGUP, TRANSFER = Command("hangup"), Command("transfer", to="123")


@pytest.mark.parametrize(
    ("offered", "options", "hangup", "transfer"),
    [
        ((), Options(), "hangup", "transfer"),
        (("look",), Options(), "hangup", "transfer"),
        (("look", "end_call", "transfer_call"), Options(), "end_call", "transfer_call"),
        (("hangup", "end_call"), Options(), "hangup", "transfer"),
        ((), Options(hangup_function="bye", transfer_function="pass_on"), "bye", "pass_on"),
        (("end_call", "transfer_call"), Options(hangup_function="bye"), "bye", "transfer_call"),
        (("end_call", "transfer_call"), Options(transfer_function="pass_on"), "end_call", "pass_on"),
    ],
)
def test_a_command_has_the_name_that_is_offered(
    offered: tuple[str, ...], options: Options, hangup: str, transfer: str
) -> None:
    """It is the configured name, else a usual one that the request offers, else our own; nothing is refused."""
    delivery = Delivery(options, frozenset(offered))
    assert PLAIN.refuses("hangup", delivery) is PLAIN.refuses("transfer", delivery) is None
    assert PLAIN.write(HANGUP, delivery) == (CallDelta(name=hangup, arguments="{}", id=""),)
    assert PLAIN.write(TRANSFER, delivery) == (CallDelta(name=transfer, arguments='{"number":"123"}', id=""),)


def test_an_unknown_platform_may_say_who_is_calling() -> None:
    """Headers, and parameters of the URL, name call, turn, room and numbers of any client that sends them."""
    headers = {"x-call-id": "c", "x-turn-id": "3", "x-user-data": '{"tier":1}'}
    reading = PLAIN.read(arrival(headers=headers, query={"call_id": "q", "room_id": "r", "caller": "138"}))
    call = reading.call
    assert (call.id, reading.turn_id, call.room, call.caller, call.user_data) == ("c", "3", "r", "138", {"tier": 1})
    assert PLAIN.read(arrival()).call.id is None
