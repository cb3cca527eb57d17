"""Random lives of calls on the engine, against a model that was written from the plan's words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from offhook.events import Finish, Text, ToolCall, Turn
from tests.doubles import Listener, Scripted
from tests.table import Table, settled
from tests.turn_model import Ambiguous, Model, Reply, Response, Said

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from offhook.agents.base import ReplyWriter
    from offhook.turns.live import LiveTurn

# The ids that the platform of each call sends.
IDS: dict[str | None, list[str | None]] = {
    "numbered": ["1", "2", "02", "9", "10"],
    "named": ["x", "y", "z"],
    "without": [None],
    "mixed": [None, "1", "2"],
    None: [None, "1"],
}
MORE: Said = (("user", "hi"), ("assistant", "yes"))
SAID: list[Said] = [
    (("user", "hi"),),
    (("user", "hi there"),),
    (*MORE, ("user", "more")),
    (*MORE, ("user", "more of it")),
    (("user", "other"), ("assistant", "no"), ("user", "more")),
    (("system", "be kind"), ("user", "hi")),
]
RESULTS: list[Said] = [
    (("user", "hi"), ("call", "c1"), ("tool", "c1")),
    (("user", "hi there"), ("call", "c1"), ("tool", "c1")),
]
GRACE = 5.0
T = TypeVar("T")
ORDERS = [("a",), ("b",), ("a", "end"), ("tool", "end"), ("b", "tool"), ("end",), ("a", "length"), ("b", "fail")]


class Caller(Listener):
    """A reader that goes when it has the end, as a client does; one that is deaf never gets there."""

    def __init__(self, *, deaf: bool) -> None:
        super().__init__()
        self.deaf = deaf

    @property
    @override
    def delivered(self) -> bool:
        return self.ended > 0 and not self.deaf


class Run:
    """The agent of one reply: it does what it is told, and says whether it is at work."""

    def __init__(self) -> None:
        self.at_work = False
        self.orders: asyncio.Queue[str] = asyncio.Queue()

    async def answer(self, turn: Turn, reply: ReplyWriter) -> None:
        self.at_work = True
        try:
            while (order := await self.orders.get()) != "end":
                if order == "fail":
                    raise ValueError("as it was told")
                if order == "length":
                    reply.close(Finish("length"))
                    return
                reply.write(ToolCall("look", "{}", "c1") if order == "tool" else Text(order))
        finally:
            self.at_work = False


class Lives(RuleBasedStateMachine):
    """One engine, its calls, and the model beside it; every step is done on both."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.table = self.on_loop(self._open())
        self.model = Model()
        self.call: str | None = None
        # What belongs to what of the model.
        self.runs: dict[Reply, tuple[Run, LiveTurn]] = {}
        self.callers: list[tuple[Caller, Response, LiveTurn]] = []

    def on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _open(self) -> Table:
        return Table()

    @property
    def now(self) -> float:
        return self.table.clock.monotonic()

    # --- the steps ------------------------------------------------------------------------------------------------

    @initialize(call=st.sampled_from(list(IDS)))
    def pick_up(self, call: str | None) -> None:
        """Most of this life belongs to one call."""
        self.call = call

    @rule(
        id=st.sampled_from(range(6)),
        elsewhere=st.sampled_from([*[None] * 9, *IDS]),
        said=st.sampled_from(SAID),
        stream=st.sampled_from([True, True, True, False]),
        model=st.sampled_from(["abc", "abc", "abc", "other"]),
        grace=st.sampled_from([0.0, 0.0, GRACE]),
        deaf=st.booleans(),
        stays=st.sampled_from([True, True, True, False]),
    )
    def ask(
        self,
        id: int,
        elsewhere: str | None,
        said: Said,
        stream: bool,
        model: str,
        grace: float,
        deaf: bool,
        stays: bool,
    ) -> None:
        """A request comes, and its client may be gone at once."""
        call = elsewhere or self.call
        new = Reply(call=call, model=model, id=IDS[call][id % len(IDS[call])], said=said, stream=stream, grace=grace)
        self._ask(new, deaf=deaf, stays=stays)

    @precondition(lambda self: self.call in ("numbered", "named", "without"))
    @rule(id=st.sampled_from(range(6)), said=st.sampled_from(RESULTS), stream=st.booleans())
    def bring_results(self, id: int, said: Said, stream: bool) -> None:
        """A request comes with the results of tools."""
        ids = IDS[self.call]
        new = Reply(call=self.call, model="abc", id=ids[id % len(ids)], said=said, stream=stream, grace=0.0)
        self._ask(new, deaf=False, stays=True)

    @precondition(lambda self: self.model.replies)
    @rule(data=st.data(), deaf=st.booleans())
    def retry(self, data: st.DataObject, deaf: bool) -> None:
        """One of the requests comes again as it was."""
        old = data.draw(st.sampled_from(self.model.replies[-3:]), label="retried")
        new = Reply(call=old.call, model=old.model, id=old.id, said=old.said, stream=old.stream, grace=old.grace)
        self._ask(new, deaf=deaf, stays=True)

    @precondition(lambda self: self.model.live)
    @rule(data=st.data(), orders=st.sampled_from(ORDERS))
    def go_on(self, data: st.DataObject, orders: tuple[str, ...]) -> None:
        """An agent says something, or comes to its end."""
        reply = data.draw(st.sampled_from(self.model.live), label="goes on")
        for order in orders:
            self.runs[reply][0].orders.put_nowait(order)
            if order in ("a", "b"):
                self.model.say(reply, order)
            elif order == "tool":
                self.model.use_tool(reply)
            else:
                end = "tool_calls" if reply.tools else "stop"
                self.model.end(self.now, reply, {"end": end, "length": "length", "fail": "failed"}[order])
        self.on_loop(self._settle())

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A client goes away."""
        caller, response, live = self.callers.pop(data.draw(st.integers(0, len(self.callers) - 1), label="leaves"))
        self.model.leave(self.now, response)
        self.on_loop(self._leave(caller, live))

    # All of them are exact in floating point, so that both sides count the same.
    @rule(seconds=st.sampled_from([0.5, 4.5, 6.0, 3601.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.table.clock.advance(seconds)
        self.model.pass_(self.now)
        self.on_loop(self._settle())

    def _ask(self, new: Reply, *, deaf: bool, stays: bool) -> None:
        caller, response, run = Caller(deaf=deaf), Response(deaf=deaf), Run()
        try:
            reply = self.model.ask(self.now, new, response)
        except Ambiguous:
            return
        live = self.on_loop(self._begin(new, caller, run, response if not stays else None))
        if not stays:
            self.model.leave(self.now, response)
            self._compare(caller, response)
        else:
            self.callers.append((caller, response, live))
        if reply is new:
            self.runs[new] = run, live
        elif reply is not None:
            assert live is self.runs[reply][1], "the retry did not join the reply that is live"
        self.on_loop(self._settle())

    async def _begin(self, new: Reply, caller: Caller, run: Run, leaving: Response | None) -> LiveTurn:
        agent = Scripted(run.answer)
        live = await self.table.ask(
            agent, caller, new.said, call=new.call, id=new.id, stream=new.stream, model=new.model, grace=new.grace
        )
        if leaving is not None:
            self.table.engine.leave(live, caller)
        return live

    async def _leave(self, caller: Caller, live: LiveTurn) -> None:
        self.table.engine.leave(live, caller)
        await settled()

    async def _settle(self) -> None:
        await settled()
        # The server lets a client go that has the end of its body.
        for caller, response, live in tuple(self.callers):
            if caller.ended and not caller.deaf:
                self.table.engine.leave(live, caller)
                self.callers.remove((caller, response, live))
                self._compare(caller, response)

    # --- what must be so ------------------------------------------------------------------------------------------

    @invariant()
    def the_same_agents_are_at_work(self) -> None:
        at_work = {reply for reply, (run, _) in self.runs.items() if run.at_work}
        assert at_work == set(self.model.live)
        assert self.table.engine.live == len(at_work)

    @invariant()
    def every_reply_ended_as_it_should(self) -> None:
        for reply, (_, live) in self.runs.items():
            finish = live.reply.finish
            assert (finish.reason if finish else None) == reply.reason

    @invariant()
    def every_response_has_what_it_should(self) -> None:
        for caller, response, _ in self.callers:
            self._compare(caller, response)

    def _compare(self, caller: Caller, response: Response) -> None:
        tools = sum(isinstance(event, ToolCall) for event in caller.events)
        assert (caller.text, tools) == (response.text, response.tools)
        finish = caller.finish.reason if caller.finish else None
        # A recorded reply is given again without saying that it ended with a call: its calls say that.
        assert ("stop" if finish == "tool_calls" else finish) == (
            "stop" if response.reason == "tool_calls" else response.reason
        )

    @override
    def teardown(self) -> None:
        self.on_loop(self.table.close())
        self.runner.close()


def test_calls_live_as_the_table_says() -> None:
    """Whatever comes, the agents at work, the ends of the replies and every response are those of the table."""
    run_state_machine_as_test(Lives, settings=settings(max_examples=60, stateful_step_count=30))
