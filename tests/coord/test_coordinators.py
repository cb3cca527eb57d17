"""What every coordinator does, sentence by sentence of ``offhook.coord.base``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from offhook.coord.memory import MemoryCoordinator
from offhook.turns.state import CallState
from offhook.turns.which import Asked, Known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from offhook.coord.base import Coordinator


@pytest.fixture(params=["memory"])
async def coord(request: pytest.FixtureRequest) -> AsyncIterator[Coordinator[CallState]]:
    """Give each coordinator in turn, started and empty."""
    made: dict[str, Callable[[], Coordinator[CallState]]] = {"memory": MemoryCoordinator}
    coordinator = made[request.param]()
    await coordinator.start()
    yield coordinator
    await coordinator.close()


def known(ticket: str) -> Known:
    asked = Asked(model="abc", turn="a", stream=True, digest=b"\x00\xff", spoken=None)
    return Known(ticket=ticket, owner="server_1", asked=asked, reason="stop", ended_at=1.5, delivered=True)


async def add(coord: Coordinator[CallState], call: str, ticket: str) -> int:
    """Enter a request, and give how many there were."""

    def step(state: CallState | None) -> tuple[CallState | None, int]:
        before = state.known if state is not None else ()
        return CallState((*before, known(ticket))), len(before)

    return await coord.update(call, step)


async def state_of(coord: Coordinator[CallState], call: str) -> CallState | None:
    """Give the state of a call, which stays as it is."""
    return await coord.update(call, lambda state: (state, state))


# --- states -------------------------------------------------------------------------------------------------------


async def test_a_call_that_is_not_known_has_no_state(coord: Coordinator[CallState]) -> None:
    """The step is given None, and may leave it at that."""
    assert await state_of(coord, "c") is None
    assert await state_of(coord, "c") is None


async def test_a_step_finds_what_the_step_before_it_left(coord: Coordinator[CallState]) -> None:
    """The new state is kept whole, and what the step gives beside it is given to the caller."""
    assert [await add(coord, "c", ticket) for ticket in ("a", "b", "c")] == [0, 1, 2]
    assert await state_of(coord, "c") == CallState((known("a"), known("b"), known("c")))


async def test_a_step_may_forget_the_call(coord: Coordinator[CallState]) -> None:
    """Giving None for the state leaves none, and the result is given all the same."""
    await add(coord, "c", "a")
    assert await coord.update("c", lambda state: (None, state)) == CallState((known("a"),))
    assert await state_of(coord, "c") is None


async def test_an_empty_state_is_not_a_forgotten_one(coord: Coordinator[CallState]) -> None:
    """A call of which nothing is known is known."""
    await coord.update("c", lambda state: (CallState(), None))
    assert await state_of(coord, "c") == CallState()


async def test_what_a_step_raises_is_raised_and_changes_nothing(coord: Coordinator[CallState]) -> None:
    """The state stays, for a call that is known and for one that is not."""

    def fail(state: CallState | None) -> tuple[CallState | None, None]:
        raise LookupError("no")

    await add(coord, "c", "a")
    for call in ("c", "d"):
        with pytest.raises(LookupError, match="no"):
            await coord.update(call, fail)
    assert await state_of(coord, "c") == CallState((known("a"),))
    assert await state_of(coord, "d") is None


async def test_steps_of_one_call_come_one_after_the_other(coord: Coordinator[CallState]) -> None:
    """Of many at once none is lost and no two find the same state."""
    found = await asyncio.gather(*(add(coord, "c", f"t{number}") for number in range(50)))
    assert sorted(found) == list(range(50))
    state = await state_of(coord, "c")
    assert state is not None and {one.ticket for one in state.known} == {f"t{number}" for number in range(50)}


async def test_calls_have_states_of_their_own(coord: Coordinator[CallState]) -> None:
    """Ids that differ in case, in a space or in a character that means something elsewhere are different calls."""
    ids = ["a", "A", "a ", "ä", "a*", "a:b", "a\x00", "{a}", ""]
    for id in ids:
        await add(coord, id, f"turn of {id!r}")
    assert [await state_of(coord, id) for id in ids] == [CallState((known(f"turn of {id!r}"),)) for id in ids]


# --- orders -------------------------------------------------------------------------------------------------------


class Ear:
    """Keeps what a server is told, and who called it."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[bytes] = asyncio.Queue()
        self.loops: set[asyncio.AbstractEventLoop] = set()

    def __call__(self, order: bytes) -> None:
        self.loops.add(asyncio.get_running_loop())
        self.told.put_nowait(order)

    async def heard(self, count: int) -> list[bytes]:
        return [await self.told.get() for _ in range(count)]


async def test_what_a_server_is_told_reaches_it_in_order(coord: Coordinator[CallState]) -> None:
    """Every order comes once, as it was given, in the event loop."""
    ear = Ear()
    coord.listen("server_1", ear)
    orders = [b"turn_%d" % number for number in range(20)] + [b"", b"\x00\xff", b"x" * 10_000]
    assert [await coord.tell("server_1", order) for order in orders] == [True] * len(orders)
    assert await ear.heard(len(orders)) == orders
    assert ear.told.empty()
    assert ear.loops == {asyncio.get_running_loop()}


async def test_an_order_is_for_one_server(coord: Coordinator[CallState]) -> None:
    """Others that listen do not hear it."""
    one, other = Ear(), Ear()
    coord.listen("server_1", one)
    coord.listen("server_10", other)
    assert await coord.tell("server_10", b"for ten")
    assert await coord.tell("server_1", b"for one")
    assert (await one.heard(1), await other.heard(1)) == ([b"for one"], [b"for ten"])
    assert one.told.empty() and other.told.empty()


async def test_an_order_for_nobody_is_not_taken(coord: Coordinator[CallState]) -> None:
    """Telling a server that does not listen gives False."""
    coord.listen("server_1", Ear())
    assert await coord.tell("server_2", b"order") is False


async def test_an_order_may_be_told_while_a_call_is_changed(coord: Coordinator[CallState]) -> None:
    """Orders and steps do not wait for each other."""
    ear = Ear()
    coord.listen("server_1", ear)
    results = await asyncio.gather(add(coord, "c", "a"), coord.tell("server_1", b"order"), add(coord, "c", "b"))
    assert sorted(results[::2]) == [0, 1] and results[1] is True
    assert await ear.heard(1) == [b"order"]
