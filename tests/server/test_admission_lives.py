"""Admission under anything that may happen in any order: nothing is counted twice, lost, or kept for ever."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from typing_extensions import override

from offhook.errors import Overloaded, TooMany
from offhook.server.admission import Admission, Place
from offhook.server.auth import Owner
from offhook.server.keys import Limits
from offhook.server.quota import FREE_TURNS
from offhook.testing import JumpClock

TURNS, QUEUE, WAIT, SHARE = 4, 5, 2.0, 0.5
OWNERS = (
    Owner("free", "free"),
    Owner("other", "other"),
    Owner("few", "few", limits=Limits(calls=2)),
    Owner("slow", "slow", limits=Limits(turns_per_minute=6, tokens_per_minute=50)),
)
CALLS = (None, "a", "b", "c", "d")


class Who(NamedTuple):
    """Who came: the owner's id, the call's id, and the how many-eth call of that id it is."""

    owner: str
    call: str | None
    life: int


class Lives(RuleBasedStateMachine):
    """One admission, those who come to it, and the places that they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = JumpClock()
        self.admission = Admission(self.clock, turns=TURNS, queue=QUEUE, wait=WAIT, share=SHARE, call_idle=100.0)
        self.coming: dict[asyncio.Task[Place], Who] = {}
        self.places: list[tuple[Place, Who]] = []
        self.lives: Counter[str | None] = Counter()
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

        who, known, before = Who(owner.id, call, self.lives[call]), self.settled, self.admission.live
        mine = self._live_of(who)
        task = self.runner.run(begin())
        self.coming[task] = who
        if known and before >= TURNS and task.done() and task.exception() is None:
            assert mine < FREE_TURNS and call is not None, "only a call in progress begins a turn above the ceiling"
        if known and going_on and call is not None and mine < FREE_TURNS:
            assert task.done() and not isinstance(task.exception(), Overloaded), "it waits for no place"
        self._then(settle)

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), settle=st.booleans())
    def cancel(self, data: st.DataObject, settle: bool) -> None:
        """Somebody who waits, or was just served, is cancelled."""
        data.draw(st.sampled_from(list(self.coming)), label="cancelled").cancel()
        self._then(settle)

    @precondition(lambda self: self.places)
    @rule(data=st.data(), how=st.sampled_from(["leave", "leave", "twice", "give back"]), settle=st.booleans())
    def leave(self, data: st.DataObject, how: str, settle: bool) -> None:
        """A place is left, some way or other."""
        place, _ = self.places.pop(data.draw(st.integers(0, len(self.places) - 1), label="left"))
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
        self.lives[call] += 1

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
            who = self.coming.pop(task)
            if task.cancelled():
                continue
            error = task.exception()
            assert error is None or isinstance(error, TooMany | Overloaded), error
            if error is None:
                self.places.append((task.result(), who))

    def _live_of(self, who: Who) -> int:
        return sum((one.call, one.life) == (who.call, who.life) for _, one in self.places)

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
    def every_call_counts_as_what_it_asks_for(self) -> None:
        if not self.settled:
            return
        everybody = [*(who for _, who in self.places), *self.coming.values()]
        claims = Counter((who.call, who.life) for who in everybody)
        for key in self._keys():
            alone = sum(who.call is None and who.owner == key.id for who in everybody)
            mine = [id for id, call in self.admission._quota._calls.items() if call.key is key]
            beside = sum(max(0, claims[id, self.lives[id]] - FREE_TURNS) for id in mine)
            assert key.calls == alone + len(mine) + beside

    @invariant()
    def nobody_of_a_call_in_progress_waits_for_a_free_turn(self) -> None:
        for who in self.coming.values() if self.settled else ():
            call = self.admission._quota._calls.get(who.call or "")
            if call is not None and who.life == self.lives[who.call] and call.turns:
                assert self._live_of(who) >= FREE_TURNS

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
        for place, _ in self.places:
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
