"""What is left of an answer that is over is not kept for a client that takes nothing of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from typing_extensions import override

from offhook.server.flow import Hold, Patience
from offhook.testing import JumpClock
from tests.oracle import check_http
from tests.raw import Wire, chat_body
from tests.server.test_slow_readers import PIECE, PIECES, ROOM, is_cut_off, stage, take

# Enough for the machine to ask for more to send.
MUCH = PIECES * len(PIECE) // 2
KEY = {"Authorization": "Bearer test-key"}


def cuts(caplog: pytest.LogCaptureFixture) -> int:
    return len([entry for entry in caplog.records if "took nothing" in entry.getMessage()])


@pytest.mark.parametrize("streamed", [True, False])
def test_what_is_left_of_an_answer_that_is_over_is_let_go(streamed: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A turn that is recorded, and whose client takes nothing of what was written last, is cut off all the same."""
    with stage(limits_slow_reader=0.1) as here, Wire(here.server.base_url, receive_buffer=ROOM) as wire:
        wire.ask(chat_body("at once", stream=streamed), KEY)
        here.server.wait_for_turns(1)
        while here.held():
            here.seen()
        assert is_cut_off(wire)
    assert cuts(caplog) == 1


@pytest.mark.parametrize("taken", [0, MUCH])
def test_the_rest_of_an_answer_is_let_go_in_a_transport_that_is_not_full(
    taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of an answer is cut off also where the transport is not full, or is full no more."""
    with stage(limits_slow_reader=1.0) as here, Wire(here.server.base_url, receive_buffer=ROOM) as wire:
        much = 2 * PIECES * len(PIECE)
        wire.ask(None, {}, method="GET", path="/healthz")
        check_http(wire.read_response())
        if not taken:
            here.room(much, much)
        wire.ask(chat_body("at once", stream=False), KEY)
        while not here.held():
            here.seen()
        if taken:
            here.room(much, much // 2)
            take(wire, taken)
        while here.held():
            here.seen()
        assert is_cut_off(wire)
    assert cuts(caplog) == 1


def test_answers_that_nobody_reads_are_let_go(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asks for more and more behind an answer that he does not read is cut off as well."""
    with stage(limits_slow_reader=0.1) as here, Wire(here.server.base_url, receive_buffer=ROOM) as wire:
        wire.ask(chat_body("at once", stream=False), KEY)
        with suppress(ConnectionResetError):
            for _ in range(3):
                wire.ask(None, KEY, method="GET", path="/v1/models")
        here.server.wait_for_turns(1)
        while here.held():
            here.seen()
        assert is_cut_off(wire)
    assert cuts(caplog) == 1


class Taking(Hold):
    """A connection whose client has taken more at each look."""

    def __init__(self, transport: asyncio.Transport, *left: int) -> None:
        super().__init__(transport)
        self._left = list(left)

    @override
    def pending(self) -> int:
        """Give how much is left."""
        return self._left.pop(0)


@pytest.mark.parametrize(("left", "given_up"), [((9, 4, 0), False), ((9, 4, 4), True), ((9, 9), True)])
async def test_a_client_that_has_taken_everything_is_left_in_peace(left: tuple[int, ...], given_up: bool) -> None:
    """Who takes something has as long again, and once nothing waits for him nobody waits for him either."""
    clock, told = JumpClock(), list[bool]()
    Patience(Taking(None, *left), clock.call_later, 30.0, lambda: told.append(True))  # type: ignore[arg-type]  # not asked
    for _ in left[1:]:
        clock.advance(30.0)
        await asyncio.sleep(0)
    assert told == [True] * given_up
    with pytest.raises(TimeoutError):
        clock.wait_for_timers(1, timeout=0.0)
