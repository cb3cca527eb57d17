"""Plain functions have a thread of their own, and no agent is faster than its readers or holds the loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from tests.doubles import Listener, Stage, forever, play, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from offhook.events import Turn


# --- threads ------------------------------------------------------------------------------------------------------


async def test_a_plain_function_keeps_one_thread_from_first_to_last_line() -> None:
    """Each line of a plain generator runs in the same thread, which is not the event loop's."""
    seen: list[str] = []

    def reply(turn: Turn) -> Iterator[str]:
        try:
            for word in ("a", "b", "c"):
                seen.append(threading.current_thread().name)
                yield word
        finally:
            seen.append(threading.current_thread().name)

    await play(reply)
    assert len(seen) == 4
    assert len(set(seen)) == 1
    assert seen[0].startswith("offhook-agent")


async def test_a_plain_generator_is_cancelled_between_its_yields() -> None:
    """After a disconnect its finally runs, in its own thread, and it gives nothing more."""
    stage = Stage()
    first, go = threading.Event(), threading.Event()
    seen: list[str] = []
    stopped = threading.Event()

    def reply(turn: Turn) -> Iterator[str]:
        seen.append(threading.current_thread().name)
        try:
            yield "a"
            first.set()
            assert go.wait(10)
            seen.append("cancelled" if turn.cancelled.is_set() else "live")
            yield "b"
            seen.append("went on")
        finally:
            seen.append(threading.current_thread().name)
            stopped.set()

    async with serving(reply) as agent:
        live, reader = await stage.begin_with(agent)
        assert await asyncio.to_thread(first.wait, 10)
        stage.engine.leave(live, reader)
        await stage.over(live)
        go.set()
        assert await asyncio.to_thread(stopped.wait, 10)
    assert reader.text == "a"
    assert seen[1] == "cancelled"
    assert len(seen) == 3 and seen[0] == seen[2]


async def test_so_many_plain_functions_run_at_once_as_there_are_threads() -> None:
    """With two threads the third plain function waits until one of the first two is done."""
    stage = Stage()
    gates = {name: threading.Event() for name in "123"}
    running: list[str] = []
    changed = threading.Condition()

    def reply(turn: Turn) -> str:
        with changed:
            running.append(turn.text)
            changed.notify_all()
        assert gates[turn.text].wait(10)
        return turn.text

    def wait_for(count: int) -> bool:
        with changed:
            return changed.wait_for(lambda: len(running) >= count, 10)

    async with serving(reply, threads=2) as agent:
        turns = [(await stage.begin_with(agent, name))[0] for name in "123"]
        assert await asyncio.to_thread(wait_for, 2)
        assert sorted(running) == ["1", "2"]
        gates["1"].set()
        assert await asyncio.to_thread(wait_for, 3)
        for gate in gates.values():
            gate.set()
        for live in turns:
            await stage.over(live)
    assert sorted(running) == ["1", "2", "3"]


async def test_a_plain_function_that_was_cancelled_while_it_waited_never_runs() -> None:
    """A turn that is cancelled before a thread is free does not take one."""
    stage = Stage()
    go, began = threading.Event(), threading.Event()
    ran: list[str] = []

    def reply(turn: Turn) -> str:
        ran.append(turn.text)
        began.set()
        assert go.wait(10)
        return turn.text

    async with serving(reply, threads=1) as agent:
        busy, _ = await stage.begin_with(agent, "busy")
        assert await asyncio.to_thread(began.wait, 10)
        waiting, reader = await stage.begin_with(agent, "waiting")
        await asyncio.sleep(0)
        stage.engine.leave(waiting, reader)
        go.set()
        await stage.over(busy)
        after, _ = await stage.begin_with(agent, "after")
        await stage.over(after)
    assert ran == ["busy", "after"]


async def test_threads_are_used_again() -> None:
    """One plain function after the other needs one thread."""
    names: set[str] = set()
    stage = Stage()

    def reply(turn: Turn) -> str:
        names.add(threading.current_thread().name)
        return "a"

    async with serving(reply, threads=8) as agent:
        for _ in range(20):
            live, _ = await stage.begin_with(agent)
            await stage.over(live)
    assert len(names) <= 2, "a thread that is just going to rest may be overtaken once"


# --- readers that do not keep up ----------------------------------------------------------------------------------


async def test_a_blocked_reader_pauses_an_async_agent() -> None:
    """As long as the reader takes no more the agent stands at its yield."""
    stage = Stage()
    given: list[int] = []

    async def reply(turn: Turn) -> AsyncIterator[str]:
        for number in range(1000):
            given.append(number)
            yield "x"

    async with serving(reply) as agent:
        reader = Listener()
        reader.block()
        live, _ = await stage.begin_with(agent, reader=reader)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(given) == 1
        reader.unblock()
        await stage.over(live)
    assert len(given) == 1000
    assert reader.text == "x" * 1000


async def test_a_blocked_reader_pauses_a_plain_agent() -> None:
    """A plain generator runs a bounded number of values ahead of a reader that takes no more, and then all come."""
    stage = Stage()
    given: list[int] = []
    ahead = threading.Event()

    def reply(turn: Turn) -> Iterator[str]:
        for number in range(1000):
            given.append(number)
            if number == 64:
                ahead.set()
            yield "x"

    async with serving(reply) as agent:
        reader = Listener()
        reader.block()
        live, _ = await stage.begin_with(agent, reader=reader)
        assert await asyncio.to_thread(ahead.wait, 10)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(given) <= 66, "64 ahead, one with the writer, one at the gate"
        reader.unblock()
        await stage.over(live)
    assert reader.text == "x" * 1000


async def test_an_agent_that_never_awaits_leaves_the_loop_its_turn_and_can_be_stopped() -> None:
    """A generator without an await does not hold the loop, and a disconnect ends it."""
    stage = Stage()
    ended = []

    async def reply(turn: Turn) -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            ended.append(True)

    async with serving(reply) as agent:
        live, reader = await stage.begin_with(agent)
        await reader.heard.wait()
        stage.engine.leave(live, reader)
        await stage.over(live)
    assert ended == [True]


async def test_a_cancelled_async_agent_is_closed_in_its_own_task() -> None:
    """The finally of an async generator has run, its awaits included, when the turn is over."""
    stage = Stage()
    ended: list[bool] = []

    async def reply(turn: Turn) -> AsyncIterator[str]:
        mine = asyncio.current_task()
        try:
            yield "a"
            await forever()
        finally:
            await asyncio.sleep(0)
            ended.append(asyncio.current_task() is mine)

    async with serving(reply) as agent:
        live, reader = await stage.begin_with(agent)
        await reader.heard.wait()
        stage.engine.leave(live, reader)
        await stage.over(live)
    assert ended == [True]
