"""What is left of a call when it falls silent, and what is known of it meanwhile."""

from __future__ import annotations

import asyncio

from offhook.coord.memory import MemoryCoordinator
from offhook.events import CallContext
from offhook.testing import JumpClock
from offhook.turns.calls import Calls
from offhook.turns.state import CallState, Ending
from tests.turns.test_which import HELLO, MORE, ask

IDLE = 60.0


class Silence:
    """Calls that end after a minute, and what is shared of them."""

    def __init__(self) -> None:
        self.clock = JumpClock()
        self.coord: MemoryCoordinator[CallState] = MemoryCoordinator()
        self.calls = Calls(self.clock, owner="server_1", coord=self.coord, idle=IDLE, replay_for=0.0)

    async def shared(self, call_id: str) -> CallState | None:
        return await self.coord.update(call_id, lambda state: (state, state))

    async def fall_silent(self) -> None:
        """Let the time come at which the calls that are open have ended."""
        await asyncio.to_thread(self.clock.wait_for_sleepers)
        self.clock.advance(IDLE + 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(self.calls) == 0


async def test_nothing_stays_of_a_call_that_fell_silent() -> None:
    """Neither the call nor what was shared of its requests is held after its time."""
    it = Silence()
    line = await it.calls.open(CallContext(id="c"))
    await it.calls.claim(line, ask(*HELLO, id="1"), "t1")
    line.endings.append(Ending("t1", "stop", it.clock.now()))
    assert await it.shared("c") is not None
    await it.fall_silent()
    assert await it.shared("c") is None
    await it.calls.close()


async def test_a_turn_that_was_claimed_in_the_last_moment_stays_known() -> None:
    """A call is not forgotten under a turn that has just begun."""
    it = Silence()
    line = await it.calls.open(CallContext(id="c"))
    await it.calls.claim(line, ask(*HELLO, id="1"), "t1")
    await it.fall_silent()
    state = await it.shared("c")
    assert state is not None and [one.ticket for one in state.known] == ["t1"]
    await it.calls.close()


async def test_what_a_request_leaves_out_stays_known() -> None:
    """A later request of the call that names no caller and brings no user data takes neither away."""
    it = Silence()
    line = await it.calls.open(CallContext(id="c", caller="123", user_data={"a": 1}, user_data_raw='{"a":1}'))
    await it.calls.open(CallContext(id="c", room="r"))
    assert (line.context.caller, line.context.user_data, line.context.room) == ("123", {"a": 1}, "r")
    await it.calls.close()


async def test_only_the_turn_that_stands_last_is_taken_back() -> None:
    """A grown form of a turn takes that turn out of the memory, and none that came in between."""
    it = Silence()
    line = await it.calls.open(CallContext(id="c"))
    line.asked["m"] = ask(*MORE)
    assert not line.is_latest(ask(*HELLO, id="2"), "grown")
    assert not line.is_latest(ask(*HELLO), "retry")
    line.asked["m"] = ask(*HELLO, id="2")
    assert line.is_latest(ask(*HELLO, id="2"), "grown")
    assert not line.is_latest(ask(*MORE, id="2"), "newer")
    await it.calls.close()
