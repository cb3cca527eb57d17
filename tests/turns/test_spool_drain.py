"""The spool is shared by processes and threads and drained by the event loop: nothing is lost or out of order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.errors import StoreError
from offhook.store.base import Change, Heard
from offhook.turns import spool as module
from offhook.turns.spool import Spool, SpoolFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SIZE = 1 << 16


def numbered(first: int, count: int = 1) -> list[Change]:
    return [Heard(uid=f"u{number}", heard=number) for number in range(first, first + count)]


def numbers(changes: list[Change]) -> list[int]:
    return [change.heard for change in changes if isinstance(change, Heard)]


def spool_in(folder: Path, changes: list[Change], size: int = SIZE) -> SpoolFiles:
    """Give an open spool into which these were put."""
    spool = SpoolFiles(folder, size=size)
    spool.open()
    for change in changes:
        spool.put(change)
    return spool


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- processes ----------------------------------------------------------------------------------------------------


def test_two_owners_at_once_have_files_of_their_own(tmp_path: Path) -> None:
    """Each of two that live at once writes its own file, and sees nothing of the other's."""
    first, second = spool_in(tmp_path, numbered(1)), spool_in(tmp_path, numbered(2))
    first.adopt()
    assert (first.read(), second.read()) == (numbered(1), numbered(2))
    assert names(tmp_path) == ["spool-0.bin", "spool-1.bin"]
    first.close()
    second.close()


def test_what_the_dead_left_is_adopted_and_their_files_removed(tmp_path: Path) -> None:
    """A new owner gives what all dead ones left, and keeps one file when that is taken."""
    for spool in [spool_in(tmp_path, numbered(10 * place, 3)) for place in range(12)]:
        spool.close()
    (tmp_path / "notes.txt").write_text("not ours")
    owner = spool_in(tmp_path, [])
    assert numbers(owner.read()) == [10 * place + number for place in range(12) for number in range(3)]
    owner.put(numbered(200)[0])
    owner.done(17)
    assert len(names(tmp_path)) == 1 + 12 - 4
    owner.done(20)
    assert (owner.pending, names(tmp_path)) == (0, ["notes.txt", "spool-0.bin"])
    owner.close()


def test_who_dies_later_is_adopted_later(tmp_path: Path) -> None:
    """A file whose owner dies while another lives is taken over when that one looks, behind what waits already."""
    survivor, other = spool_in(tmp_path, numbered(1)), spool_in(tmp_path, numbered(2, 2))
    survivor.adopt()
    assert survivor.pending == 1
    other.close()
    survivor.adopt()
    survivor.put(numbered(4)[0])
    assert survivor.read() == numbered(1, 4)
    survivor.close()
    heir = spool_in(tmp_path, [])
    assert sorted(numbers(heir.read())) == [1, 2, 3, 4]
    heir.close()


def test_a_file_that_is_removed_while_it_is_being_taken_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another process removes the file between its opening and its locking, what is put is not lost with it."""
    flock, calls = fcntl.flock, list[int]()

    def late(fd: int, operation: int) -> None:
        if not calls:
            (tmp_path / "spool-0.bin").unlink()
        calls.append(fd)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    spool_in(tmp_path, numbered(1)).close()
    spool = spool_in(tmp_path, [])
    assert spool.read() == numbered(1)
    spool.close()


def test_an_owner_that_closed_in_order_leaves_no_file_to_later_ones(tmp_path: Path) -> None:
    """Empty files of owners that are gone are removed by the next, but for the one that it takes."""
    spools = [spool_in(tmp_path, []) for _ in range(4)]
    for spool in spools:
        spool.close()
    assert len(names(tmp_path)) == 4
    spool = spool_in(tmp_path, [])
    assert names(tmp_path) == ["spool-0.bin"]
    spool.close()
    with pytest.raises(StoreError, match="closed"):
        spool.put(numbered(1)[0])


# --- threads and the model ----------------------------------------------------------------------------------------


def test_puts_of_other_threads_during_a_drain_are_neither_lost_nor_doubled(tmp_path: Path) -> None:
    """What four threads put while a fifth takes comes out once each, in each thread's order."""
    spool = spool_in(tmp_path, [], 1 << 20)

    def put_all(first: int) -> None:
        for change in numbered(first, 200):
            spool.put(change)

    threads = [threading.Thread(target=put_all, args=(first,)) for first in range(0, 4000, 1000)]
    for thread in threads:
        thread.start()
    taken: list[int] = []
    while len(taken) < 800 and (spool.pending or any(thread.is_alive() for thread in threads)):
        changes = spool.read(7)
        spool.done(len(changes))
        taken += numbers(changes)
    for thread in threads:
        thread.join()
    assert sorted(taken) == [first + number for first in range(0, 4000, 1000) for number in range(200)]
    assert all(a < b for first in range(4) for a, b in pairwise([n for n in taken if n // 1000 == first]))
    spool.close()


PUT = st.tuples(st.just("put"), st.integers(1, 400))
TAKE = st.tuples(st.just("take"), st.integers(0, 12))
REOPEN = st.tuples(st.just("reopen"), st.integers(600, 3000))


@settings(max_examples=150)
@given(st.lists(PUT | PUT | TAKE | REOPEN, max_size=60))
def test_a_spool_is_a_list_that_may_refuse(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Under puts, takes and deaths in any order, also with another size, a spool holds what a list would hold."""
    folder = tmp_path_factory.mktemp("spool")
    spool, model, size = spool_in(folder, [], 2000), list[Change](), 2000
    for number, (step, value) in enumerate(steps):
        if step == "put":
            change = Heard(uid="u" * value, heard=number)
            try:
                spool.put(change)
                model.append(change)
            except StoreError:
                # A record of up to 440 bytes is refused only when others are in its way.
                assert model
        elif step == "take":
            spool.done(value)
            del model[:value]
        else:
            spool.close()
            spool, size = spool_in(folder, [], value), value
        assert (spool.pending, spool.read()) == (len(model), model)
    spool.done(len(model))
    assert (folder / "spool-0.bin").read_bytes() == bytes(size)
    spool.close()


FAULT = st.tuples(st.sampled_from(["put", "take"]), st.integers(1, 400), st.integers(0, 600))


@settings(max_examples=150)
@given(st.lists(FAULT | st.tuples(PUT | PUT | TAKE | REOPEN).map(lambda step: (*step[0], None)), max_size=60))
def test_a_disk_that_fails_now_and_then_costs_only_what_was_refused(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int | None]]
) -> None:
    """When writes break after any number of bytes, all that was put is there after each death, at worst once more."""
    folder = tmp_path_factory.mktemp("spool")
    spool, model, known = spool_in(folder, [], 2000), list[Change](), list[Change]()
    for number, (step, value, bytes_left) in enumerate(steps):
        with pytest.MonkeyPatch.context() as patch:
            if bytes_left is not None:
                fail_after(patch, bytes_left)
            if step == "put":
                change = Heard(uid="u" * value, heard=number)
                known.append(change)
                with contextlib.suppress(StoreError):
                    spool.put(change)
                    model.append(change)
            elif step == "take":
                spool.done(value % 5)
                del model[: value % 5]
            else:
                spool.close()
                spool = spool_in(folder, [], value)
                found = spool.read()
                assert all(change in known for change in found)
                assert [change for change in found if change in model] == model
                model = found
        assert spool.read() == model
    spool.close()


def fail_after(patch: pytest.MonkeyPatch, left: int) -> None:
    """Let the disk take so many more bytes and then fail."""
    pwrite = os.pwrite

    def write(fd: int, data: memoryview, start: int) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        count = pwrite(fd, data[:left], start)
        left -= count
        return count

    patch.setattr(os, "pwrite", write)


# --- the event loop -----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Spool]:
    spool = Spool(folder, size=SIZE)
    await spool.start()
    try:
        yield spool
    finally:
        await spool.close()


async def test_a_drain_gives_everything_in_order_and_in_groups(tmp_path: Path) -> None:
    """A drain gives each change once and in order, at most 64 at the same time, also those put meanwhile."""
    given_out: list[Change] = []
    now = most = 0

    async with started(tmp_path) as spool:

        async def write(change: Change) -> None:
            nonlocal now, most
            given_out.append(change)
            now += 1
            most = max(most, now)
            if change == numbered(3)[0]:
                await spool.put(numbered(150)[0])
            await asyncio.sleep(0)
            now -= 1

        for change in numbered(0, 150):
            await spool.put(change)
        assert spool.pending == 150
        assert await spool.drain(write) == 151
        assert (given_out, spool.pending) == (numbered(0, 151), 0)
        assert most == 64
        assert (spool.skipped, spool.problem) == (0, None)


def refusing(at: int, taken: list[Change], error: Exception) -> Callable[[Change], asyncio.Future[None]]:
    """A store that takes changes, but for one; as a store does, it answers with futures."""

    def write(change: Change) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        if change == numbered(at)[0]:
            future.set_exception(error)
        else:
            taken.append(change)
            future.set_result(None)
        return future

    return write


async def test_a_write_that_fails_keeps_its_change_and_those_behind_it(tmp_path: Path) -> None:
    """After a StoreError what was before it is taken, and the rest waits in order for the next drain."""
    async with started(tmp_path) as spool:
        for change in numbered(0, 100):
            await spool.put(change)
        assert await spool.drain(refusing(70, [], StoreError("away"))) == 70
        assert spool.pending == 30
        await spool.put(numbered(100)[0])
    async with started(tmp_path) as spool:
        taken: list[Change] = []
        assert await spool.drain(refusing(-1, taken, StoreError("away"))) == 31
        assert taken == numbered(70, 31)


async def test_two_drains_at_once_give_each_change_once(tmp_path: Path) -> None:
    """A drain that begins while another runs waits for it."""
    taken: list[Change] = []
    async with started(tmp_path) as spool:
        for change in numbered(0, 100):
            await spool.put(change)
        write = refusing(-1, taken, StoreError("away"))
        assert sum(await asyncio.gather(spool.drain(write), spool.drain(write))) == 100
        assert taken == numbered(0, 100)


async def test_an_error_that_is_not_the_stores_comes_out_of_the_drain(tmp_path: Path) -> None:
    """What a write raises other than StoreError is raised by the drain, and nothing behind it is forgotten."""
    async with started(tmp_path) as spool:
        for change in numbered(0, 5):
            await spool.put(change)
        with pytest.raises(ZeroDivisionError):
            await spool.drain(refusing(2, [], ZeroDivisionError()))
        assert spool.pending == 3


async def test_a_drain_that_is_given_up_forgets_nothing(tmp_path: Path) -> None:
    """A drain that is cancelled while the store hangs leaves what the store did not take."""
    asked = asyncio.Event()

    async def hang(_: Change) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with started(tmp_path) as spool:
        await spool.put(numbered(0)[0])
        drain = asyncio.create_task(spool.drain(hang))
        await asked.wait()
        drain.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drain
        assert await spool.drain(refusing(-1, [], StoreError(""))) == 1


async def test_a_disk_that_hangs_holds_up_nobody_but_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put that is given up while the disk hangs is kept when the disk goes on, and none is taken past the limit."""
    hanging, go_on = threading.Event(), threading.Event()
    pwrite = os.pwrite

    def hang(fd: int, data: memoryview, start: int) -> int:
        hanging.set()
        assert go_on.wait(20)
        return pwrite(fd, data, start)

    async with started(tmp_path) as spool:
        monkeypatch.setattr(os, "pwrite", hang)
        monkeypatch.setattr(module, "MAX_QUEUE", 2)
        puts = [asyncio.create_task(spool.put(change)) for change in numbered(0, 2)]
        await asyncio.to_thread(hanging.wait, 20)
        with pytest.raises(StoreError, match="does not answer"):
            await spool.put(numbered(2)[0])
        puts[0].cancel()
        await asyncio.wait(puts[:1])
        go_on.set()
        await puts[1]
        assert (puts[0].cancelled(), spool.pending) == (True, 2)
        taken: list[Change] = []
        await spool.drain(refusing(-1, taken, StoreError("")))
        assert taken == numbered(0, 2)


async def test_a_close_does_not_wait_for_ever_for_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A close gives up a disk that hangs, and a closed spool refuses."""
    go_on, closed = threading.Event(), threading.Event()
    close = SpoolFiles.close

    def hang(spool: SpoolFiles) -> None:
        assert go_on.wait(20)
        close(spool)
        closed.set()

    monkeypatch.setattr(SpoolFiles, "close", hang)
    monkeypatch.setattr(module, "CLOSE_LIMIT", 0.0)
    async with started(tmp_path) as spool:
        pass
    with pytest.raises(StoreError, match="closed"):
        await spool.put(numbered(0)[0])
    await spool.close()
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 20)
