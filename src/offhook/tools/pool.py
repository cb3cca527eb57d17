"""Threads for plain functions: a bounded number, and none that can hold up the end of the process."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class DaemonPool:
    """Runs jobs in at most ``size`` daemon threads; what finds no free thread waits for one.

    Not ``ThreadPoolExecutor``: the interpreter waits for its threads when it ends, and a function that hangs
    in a request of its own would keep a server alive that was told to stop.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Let a thread run ``job``, which must not raise. Called from one thread only."""
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()

    def close(self) -> None:
        """Let every thread end after the jobs that were submitted; none is waited for."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            # Nothing of a turn is kept while the thread waits for the next one.
            del job
            self._idle.release()
