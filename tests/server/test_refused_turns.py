"""Turns that are refused: what is kept of them, and what a retry of a turn that was let in gets all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import live_server
from offhook.turns.phrases import APOLOGIES
from tests.callers import turn
from tests.raw import AUTH, error_of, request
from tests.server.test_metrics_door import figures, full, hello, made, said

if TYPE_CHECKING:
    from pathlib import Path

    from tests.oracle import HttpReply


def plainly(turn_id: int, text: str) -> dict[str, Any]:
    """Give a turn of a call on a platform that is no telephone."""
    return {"model": "abc", "call": "c1", "turn": turn_id, "messages": [{"role": "user", "content": text}]}


PLAIN = {"plain": {"call_id": "body:call", "turn_id": "body:turn"}}


def test_of_a_refused_new_call_nothing_is_kept() -> None:
    """It has heard the apology; there is no call in memory and no record, whatever it sent."""
    with full() as server:
        for number in range(3):
            assert said(server, turn(f"c{number}", 1, "hello"), AUTH) in APOLOGIES["en"]
        assert figures(server.base_url)["offhook_calls"] == 0
        assert [server.stored(f"c{number}") for number in range(3)] == [None] * 3


def test_a_refused_new_call_is_not_one_that_goes_on() -> None:
    """Its next turn is refused like its first: being refused is no way past the ceiling."""
    with full() as server:
        for number in (1, 2):
            assert said(server, turn("c1", number, "hello"), AUTH) in APOLOGIES["en"]


def test_a_retry_of_a_turn_that_was_let_in_is_not_refused(tmp_path: Path) -> None:
    """The limit of one turn a minute is used up by the turn itself, and its retry is given its reply."""
    headers = made(tmp_path, turns_per_minute=1)
    with live_server(hello, data_dir=str(tmp_path), dialect=PLAIN, platform="plain") as server:

        def ask(turn_id: int, text: str) -> HttpReply:
            return request(server.base_url, {**plainly(turn_id, text), "stream": True}, headers)

        first = ask(1, "hello")
        again = ask(1, "hello")
        newer = ask(2, "hello again")
        assert first.status == again.status == 200
        assert b"Hello" in first.body and b"Hello" in again.body
        assert (newer.status, error_of(newer)["code"]) == (429, "rate_limit_exceeded")
        assert newer.header("retry-after") is not None
        assert [one.reason for one in server.records("c1~shop")] == ["stop", "failed"]
        assert figures(server.base_url)["offhook_refused_total code=rate_limit_exceeded"] == 1


@pytest.mark.parametrize("goes_on", [True, False])
def test_the_refusal_of_a_call_that_goes_on_does_not_wait_for_others(goes_on: bool, tmp_path: Path) -> None:
    """Refusals of a key that never stops are held back; those of a call that goes on wait for each other alone."""
    headers = made(tmp_path, turns_per_minute=1)
    with live_server(hello, data_dir=str(tmp_path), language="en") as server:
        assert said(server, turn("c1", 1, "hello"), headers) == "Hello."
        admission = server._line.admission
        held: list[str | None] = []
        before = admission.hold_back

        async def hold_back(receive: Any, owner: Any, call_id: str | None = None) -> bool:
            held.append(call_id)
            return await before(receive, owner, call_id)

        admission.hold_back = hold_back  # type: ignore[method-assign]  # to see whether it is asked
        call = "c1" if goes_on else "c2"
        assert said(server, turn(call, 2, "hello again"), headers) in APOLOGIES["en"]
        assert held == (["c1~shop"] if goes_on else [None])
