"""Admission under anything that may happen in any order: nothing is counted twice, lost, or kept for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from typing_extensions import override

from offhook.errors import Overloaded, TooMany
from offhook.server.admission import Admission, Place
from offhook.server.auth import Owner
from offhook.server.keys import Limits
from offhook.testing import JumpClock

TURNS, QUEUE, WAIT, SHARE = 4, 5, 2.0, 0.5
OWNERS = (
    Owner("free", "free"),
    Owner("other", "other"),
    Owner("few", "few", limits=Limits(calls=2)),
    Owner("slow", "slow", limits=Limits(turns_per_minute=6, tokens_per_minute=50)),
)
CALLS = (None, "a", "b", "c", "d")


class Lives(RuleBasedStateMachine):
    """One admission, those who come to it, and the places that they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = JumpClock()
        self.admission = Admission(self.clock, turns=TURNS, queue=QUEUE, wait=WAIT, share=SHARE, call_idle=100.0)
        self.coming: list[asyncio.Task[Place]] = []
        self.places: list[Place] = []
        self.settled = True

    @rule(
        owner=st.sampled_from(OWNERS),
        call=st.sampled_from(CALLS),
        going_on=st.sampled_from([False, False, True]),
        settle=st.booleans(),
    )
    def come(self, owner: Owner, call: str | None, going_on: bool, settle: bool) -> None:
        """Somebody comes."""

        async def begin() -> asyncio.Task[Place]:
            task = asyncio.get_running_loop().create_task(self.admission.enter(owner, call, going_on=going_on))
            await asyncio.sleep(0)
            return task

        self.coming.append(self.runner.run(begin()))
        self._then(settle)

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), settle=st.booleans())
    def cancel(self, data: st.DataObject, settle: bool) -> None:
        """Somebody who waits, or was just served, is cancelled."""
        data.draw(st.sampled_from(self.coming), label="cancelled").cancel()
        self._then(settle)

    @precondition(lambda self: self.places)
    @rule(data=st.data(), how=st.sampled_from(["leave", "leave", "twice", "give back"]), settle=st.booleans())
    def leave(self, data: st.DataObject, how: str, settle: bool) -> None:
        """A place is left, some way or other."""
        place = self.places.pop(data.draw(st.integers(0, len(self.places) - 1), label="left"))
        if how == "give back":
            place.give_back()
        else:
            place.leave(10)
        if how == "twice":
            place.leave(10)
        self._then(settle)

    @rule(call=st.sampled_from(CALLS[1:]))
    def over(self, call: str) -> None:
        """A call is over, whether it is known or not."""
        self.admission.call_over(call)

    @rule(seconds=st.sampled_from([0.3, 1.0, WAIT, 61.0, 101.0]), settle=st.booleans())
    def wait(self, seconds: float, settle: bool) -> None:
        """Time passes."""
        self.clock.advance(seconds)
        self._then(settle)

    def _then(self, settle: bool) -> None:
        self.settled = settle
        if settle:
            self.runner.run(self._settle())

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        for task in tuple(self.coming):
            if not task.done():
                continue
            self.coming.remove(task)
            if task.cancelled():
                continue
            error = task.exception()
            assert error is None or isinstance(error, TooMany | Overloaded), error
            if error is None:
                self.places.append(task.result())

    def _keys(self) -> Any:
        return self.admission._quota._keys.values()

    @invariant()
    def the_counts_are_true(self) -> None:
        if not self.settled:
            return
        assert self.admission.live == len(self.places) == sum(key.live for key in self._keys())
        assert self.admission.waiting == len(self.coming)
        for key in self._keys():
            assert min(key.live, key.calls, key.turns.total(self.clock.monotonic())) >= 0

    @invariant()
    def nobody_waits_without_a_reason(self) -> None:
        if self.settled and self.admission.live < TURNS:
            assert [key.id for key in self.admission._by_key if key.live < SHARE * TURNS] == []

    @invariant()
    def the_queue_has_its_bound(self) -> None:
        assert self.admission.waiting <= QUEUE

    @override
    def teardown(self) -> None:
        for task in self.coming:
            task.cancel()
        self.runner.run(self._settle())
        for place in self.places:
            place.leave()
        self.places.clear()
        for call in CALLS[1:]:
            self.admission.call_over(call)
        assert (self.admission.live, self.admission.waiting, self.admission.calls) == (0, 0, 0)
        assert [(key.live, key.calls) for key in self._keys() if key.live or key.calls] == []
        assert not self.coming and not self.admission._by_key
        # Every place can be had again.
        for number in range(TURNS):
            assert isinstance(self.admission.ask(Owner(f"new {number}", "new"), None, going_on=False), Place)
        self.runner.close()


def test_no_place_is_ever_lost() -> None:
    """Whoever comes, leaves and is cancelled whenever, the counts are true and all places are free in the end."""
    run_state_machine_as_test(Lives, settings=settings(max_examples=80, stateful_step_count=40))
