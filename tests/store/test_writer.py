"""The writer's thread: one commit for all that waits, in order, and an end that does not hang."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from offhook.errors import SetupError, StoreError
from offhook.store import writer as module
from offhook.store.base import Heard
from offhook.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offhook.store.base import Change


class Target:
    """A database that commits only while it is let, and remembers its batches."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.batches: list[list[Change]] = []
        self.problem = problem
        self.is_closed = False
        self.begun = threading.Event()
        self.let = threading.Event()
        self.let.set()

    def open(self) -> None:
        if isinstance(self.problem, SetupError):
            raise self.problem

    def commit(self, changes: Sequence[Change]) -> list[StoreError | None]:
        self.begun.set()
        self.let.wait(20)
        self.batches.append(list(changes))
        if self.problem is not None:
            raise self.problem
        return [None] * len(changes)

    def close(self) -> None:
        self.is_closed = True

    def interrupt(self) -> None:
        """What it does cannot be interrupted."""


async def begun(writer: Writer, target: Target) -> asyncio.Future[None]:
    """Have the writer stand in the middle of a commit."""
    target.let.clear()
    target.begun.clear()
    future = writer.write(Heard(uid="first", heard=0))
    await asyncio.to_thread(target.begun.wait, 20)
    return future


async def test_what_waits_is_committed_at_once() -> None:
    """Changes that come during a commit are committed together by the next one, in their order."""
    target = Target()
    writer = Writer(target)
    await writer.start()
    first = await begun(writer, target)
    changes = [Heard(uid=str(number), heard=number) for number in range(200)]
    futures = [writer.write(change) for change in changes]
    target.let.set()
    await asyncio.gather(first, *futures)
    assert [len(batch) for batch in target.batches] == [1, 200]
    assert target.batches[1] == changes
    await writer.close()
    assert target.is_closed


async def test_a_batch_is_bounded() -> None:
    """No more than 256 changes are committed at once."""
    target = Target()
    writer = Writer(target)
    await writer.start()
    first = await begun(writer, target)
    futures = [writer.write(Heard(uid=str(number), heard=number)) for number in range(600)]
    target.let.set()
    await asyncio.gather(first, *futures)
    assert [len(batch) for batch in target.batches] == [1, 256, 256, 88]
    await writer.close()


async def test_a_job_comes_in_its_turn() -> None:
    """A job is run after what was written before it and before what was written after it."""
    target = Target()
    writer = Writer(target)
    await writer.start()
    first = await begun(writer, target)
    before = writer.write(Heard(uid="before", heard=0))
    seen = asyncio.ensure_future(writer.do(lambda: [len(batch) for batch in target.batches]))
    # The job is taken in the step that begins it.
    await asyncio.wait([seen], timeout=0)
    after = writer.write(Heard(uid="after", heard=0))
    target.let.set()
    await asyncio.gather(first, before, after)
    assert await seen == [1, 1]
    assert [len(batch) for batch in target.batches] == [1, 1, 1]
    await writer.close()


@pytest.mark.parametrize("problem", [StoreError("full"), RuntimeError("odd")])
async def test_a_failed_commit_fails_its_changes_only(problem: Exception) -> None:
    """Each change of a failed batch gets StoreError, and the next batch is tried again."""
    target = Target(problem)
    writer = Writer(target)
    await writer.start()
    futures = [writer.write(Heard(uid=str(number), heard=0)) for number in range(3)]
    outcome = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(item) for item in outcome] == [StoreError] * 3
    target.problem = None
    await writer.write(Heard(uid="next", heard=0))
    await writer.close()


async def test_a_failed_job_raises_where_it_was_asked_for() -> None:
    """A job that fails raises StoreError, and the thread goes on."""
    writer = Writer(Target())
    await writer.start()
    with pytest.raises(StoreError, match="ZeroDivisionError"):
        await writer.do(lambda: 1 / 0)
    assert await writer.do(lambda: 1) == 1
    await writer.close()


async def test_a_failed_start_leaves_it_closed() -> None:
    """A writer whose target cannot be opened raises that, refuses changes, and may be started again."""
    target = Target(SetupError("newer"))
    writer = Writer(target)
    with pytest.raises(SetupError, match="newer"):
        await writer.start()
    with pytest.raises(StoreError, match="closed"):
        await writer.write(Heard(uid="1", heard=0))
    await writer.close()
    target.problem = None
    await writer.start()
    await writer.write(Heard(uid="1", heard=0))
    await writer.close()


async def test_closing_does_not_wait_for_ever() -> None:
    """A commit that hangs is given up after a while, and what waits gets StoreError."""
    target = Target()
    writer = Writer(target, close_wait=0.05)
    await writer.start()
    first = await begun(writer, target)
    waiting = writer.write(Heard(uid="waiting", heard=0))
    released = asyncio.get_running_loop().call_later(0.3, target.let.set)
    await writer.close()
    released.cancel()
    target.let.set()
    outcome = await asyncio.gather(first, waiting, return_exceptions=True)
    assert [type(item) for item in outcome] == [StoreError, StoreError]
    assert len(target.batches) <= 1


async def test_too_many_changes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a commit takes long, no more than a bounded number of changes waits."""
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    target = Target()
    writer = Writer(target)
    await writer.start()
    await begun(writer, target)
    futures = [writer.write(Heard(uid=str(number), heard=0)) for number in range(12)]
    target.let.set()
    outcome = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(item) for item in outcome] == [type(None)] * 9 + [StoreError] * 3
    await writer.write(Heard(uid="next", heard=0))
    await writer.close()


async def test_a_waiter_that_gave_up_does_not_matter() -> None:
    """A future that was cancelled meanwhile is left alone, and its change is committed."""
    target = Target()
    writer = Writer(target)
    await writer.start()
    first = await begun(writer, target)
    first.cancel()
    target.let.set()
    await writer.write(Heard(uid="next", heard=0))
    assert [len(batch) for batch in target.batches] == [1, 1]
    await writer.close()


def test_a_loop_that_is_gone_does_not_matter() -> None:
    """The thread ends although the loop was closed while it worked."""
    target = Target()
    threads: list[threading.Thread | None] = []

    async def leave() -> None:
        writer = Writer(target)
        await writer.start()
        threads.append(writer._thread)
        await begun(writer, target)
        writer._items.put(None)

    asyncio.run(leave())
    target.let.set()
    (thread,) = threads
    assert thread is not None
    thread.join(20)
    assert target.is_closed
