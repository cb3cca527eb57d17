"""The thread that reads: what it gives, and that it keeps nobody."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from offhook.errors import StoreError
from offhook.store.reader import Reader
from tests.store.test_sqlite import run_child

if TYPE_CHECKING:
    from pathlib import Path


async def test_jobs_are_done_one_after_the_other() -> None:
    """Each job gives what it gives or raises what it raises, in one thread that is a daemon."""
    reader = Reader()
    reader.start()
    threads = await asyncio.gather(*(reader.do(threading.current_thread) for _ in range(3)))
    assert len(set(threads)) == 1
    assert threads[0].daemon
    with pytest.raises(ZeroDivisionError):
        await reader.do(lambda: 1 // 0)
    assert await reader.do(lambda: 2) == 2
    reader.close()
    await asyncio.to_thread(threads[0].join)


async def test_who_waits_when_it_is_closed_is_told() -> None:
    """A job that hangs, and the one behind it, get StoreError at the end, and so does a later one."""
    reader, begun, go_on, loop = Reader(), asyncio.Event(), threading.Event(), asyncio.get_running_loop()
    reader.start()

    def hang() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()

    hanging, behind = (asyncio.create_task(reader.do(job)) for job in (hang, lambda: None))
    await begun.wait()
    reader.close()
    for task in (hanging, behind):
        with pytest.raises(StoreError, match="closed"):
            await task
    with pytest.raises(StoreError, match="closed"):
        await reader.do(lambda: None)
    go_on.set()


def test_a_read_that_hangs_does_not_keep_the_process(file: Path) -> None:
    """A process ends although one of its reads never comes back."""
    code = """
import threading
from offhook.store.sqlite import Database

async def main():
    await store.start()
    begun, loop = asyncio.Event(), asyncio.get_running_loop()

    def hang(self, ask):
        loop.call_soon_threadsafe(begun.set)
        threading.Event().wait()

    Database.read = hang
    task = asyncio.create_task(store.find("call-1"))
    await begun.wait()
    await store.close()
    print(type((await asyncio.gather(task, return_exceptions=True))[0]).__name__)

asyncio.run(main())
"""
    done = run_child(file, code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "StoreError\n", "")
