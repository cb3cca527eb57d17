"""The spool: a bounded file in which records of turns wait while the store is away.

What ``put`` took survives the death of the process, as the bytes are with the operating system when it returns; with
``sync`` they are on the disk. The file has its full size from the start, so that it takes records when the disk is
full.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import threading
from collections import deque
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

import msgspec

from offhook.errors import StoreError
from offhook.turns.spool_file import Record, SpoolFile, encode, lock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from offhook.store.base import Change

T = TypeVar("T")

NAME = re.compile(r"spool-[0-9]+\.bin")
MAX_FILES = 10_000
# How many changes are given to the store at once, and how many jobs may wait for a disk that hangs.
GROUP = 64
MAX_QUEUE = 4096
# How long a close waits for a disk that hangs, in seconds.
CLOSE_LIMIT = 2.0


class SpoolFiles:
    """The spool as plain functions, for any thread: the process's own file, and those that dead processes left.

    ``size`` is in bytes, with 0 it takes nothing; ``sync`` makes each ``put`` wait for the disk. ``problem`` says in
    words why it takes less than it should, None when all is well; ``skipped`` counts what could not be understood.
    """

    def __init__(self, folder: Path, *, size: int, sync: bool = False) -> None:
        self._folder = folder
        self._size = size
        self._sync = sync
        self._lock = threading.Lock()
        self._own: SpoolFile | None = None
        self._files: list[SpoolFile] = []
        self._reserved = False
        self._closed = True
        # Of all files, in the order in which they are taken.
        self._waiting: deque[Record] = deque()
        self.problem: str | None = None
        self.skipped = 0

    @property
    def pending(self) -> int:
        """How many changes wait; never blocks."""
        return len(self._waiting)

    def open(self) -> None:
        """Take a file and adopt what dead processes left; what the disk refuses is said in ``problem``."""
        with self._lock:
            self._closed = False
            if self._size:
                with contextlib.suppress(StoreError):
                    self._open_own()
            self._adopt()

    def adopt(self) -> None:
        """Take over the files of processes that have died since."""
        with self._lock:
            if not self._closed:
                self._adopt()

    def put(self, change: Change) -> None:
        """Keep a change: it waits in the file, also when the process dies.

        Raises StoreError when there is no room for it, or the file cannot be written.
        """
        try:
            payload = encode(change)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            # Without its cause, which quotes the change.
            raise StoreError(f"a change cannot be spooled: {type(error).__name__}") from None
        with self._lock:
            file = self._writable()
            try:
                record = file.append(payload, self._size, self._sync)
            except OSError as error:
                raise StoreError(f"the spool cannot be written: {error.strerror}") from error
            if record is None:
                raise StoreError(f"the spool is full: {self.pending} changes wait in {self._size} bytes")
            self._waiting.append(record)

    def read(self, limit: int | None = None) -> list[Change]:
        """Give the changes that wait, at most ``limit``, in the order in which they were put.

        Raises StoreError when a file cannot be read.
        """
        changes: list[Change] = []
        with self._lock:
            for record in list(self._waiting):
                if len(changes) == limit:
                    break
                try:
                    change = record.file.load(record)
                except OSError as error:
                    raise StoreError(f"the spool cannot be read: {error.strerror}") from error
                if change is None:
                    self.skipped += 1
                    self._forget(record)
                else:
                    changes.append(change)
        return changes

    def done(self, count: int) -> None:
        """Forget the first ``count`` changes that ``read`` gave: the store has them."""
        with self._lock:
            for _ in range(min(count, len(self._waiting))):
                self._forget(self._waiting[0])

    def close(self) -> None:
        """Let go of the files; what waits in them stays for the next process."""
        with self._lock:
            self._closed = True
            for file in self._files:
                os.close(file.fd)
            self._files.clear()
            self._waiting.clear()
            self._own = None

    def _writable(self) -> SpoolFile:
        """Give the own file, opened again when somebody deleted it; raises StoreError when there is none."""
        if self._closed or not self._size:
            raise StoreError("the spool is closed" if self._closed else "there is no spool: its size is 0")
        if self._own and not self._own.named:
            # What waits in it can still be read.
            if not self._own.records:
                self._drop(self._own)
            self._own = None
        return self._own or self._open_own()

    def _open_own(self) -> SpoolFile:
        """Take the first file that is free; raises StoreError when there is none."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            paths = (self._folder / f"spool-{number}.bin" for number in range(MAX_FILES))
            file = next((file for path in paths if (file := self._take(path, os.O_CREAT))), None)
            if file is None:
                raise OSError(errno.EMFILE, "too many spool files")
        except OSError as error:
            self.problem = f"no spool in {self._folder}: {error.strerror}"
            raise StoreError(self.problem) from error
        self._own = file
        self._reserve(file)
        return file

    def _reserve(self, file: SpoolFile) -> None:
        """Give the own file its size, or note that the disk has no room for it; it then takes what it can."""
        self._reserved, self.problem = True, None
        try:
            file.reserve(self._size)
            if os.fstat(file.fd).st_size > self._size:
                # A former owner was allowed more, which can be cut off when the file is empty.
                self._reserved = not file.records
                if self._reserved:
                    os.ftruncate(file.fd, self._size)
            if self._sync:
                file.sync_name()
        except OSError as error:
            self._reserved = False
            self.problem = f"the spool in {self._folder} has not all its {self._size} bytes: {error.strerror}"

    def _take(self, path: Path, flags: int = 0) -> SpoolFile | None:
        """Lock a file and let its records wait; None when another process has it. Raises OSError."""
        fd = lock(path, flags)
        if fd is None:
            return None
        file = SpoolFile(path, fd)
        try:
            file.scan()
        except OSError:
            os.close(fd)
            raise
        self._files.append(file)
        self._waiting.extend(file.records)
        return file

    def _adopt(self) -> None:
        """Take over what dead processes left; an empty file is removed."""
        # What cannot be opened or read stays for another time.
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.iterdir(), key=lambda path: (len(path.name), path.name)):
                with contextlib.suppress(OSError):
                    if NAME.fullmatch(path.name) and (file := self._take(path)) and not file.records:
                        self._drop(file)

    def _forget(self, record: Record) -> None:
        """Zero a record; the own file stays when it was the last one in it, another's is removed."""
        self._waiting.remove(record)
        file = record.file
        file.forget(record)
        if file.records:
            return
        if file is not self._own:
            self._drop(file)
        elif not self._reserved:
            self._reserve(file)

    def _drop(self, file: SpoolFile) -> None:
        """Remove a file that is empty."""
        self._files.remove(file)
        file.remove()


class Spool:
    """The spool for the event loop: all that touches the disk is done, in order, by one thread of its own.

    Not by asyncio's threads: the interpreter waits for those when it ends, and a file system can hang for ever. Who
    calls bounds the time of ``put``; a change whose ``put`` was given up may be written later.
    """

    def __init__(self, folder: Path, *, size: int, sync: bool = False) -> None:
        self._files = SpoolFiles(folder, size=size, sync=sync)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._queued = 0
        self._draining = asyncio.Lock()

    @property
    def pending(self) -> int:
        """How many changes wait."""
        return self._files.pending

    @property
    def skipped(self) -> int:
        """How many records could not be understood: of another version, or damaged since they were found."""
        return self._files.skipped

    @property
    def problem(self) -> str | None:
        """Why the spool takes less than it should; None when all is well."""
        return self._files.problem

    async def start(self) -> None:
        """Start the thread and open the spool."""
        self._thread = threading.Thread(target=_work, args=(self._jobs,), name="spool", daemon=True)
        self._thread.start()
        await self._run(self._files.open)

    async def put(self, change: Change) -> None:
        """Keep a change; raises StoreError when it cannot be kept, or too many wait for the disk."""
        if self._queued >= MAX_QUEUE:
            raise StoreError(f"the spool's disk does not answer: {self._queued} jobs wait for it")
        await self._run(partial(self._files.put, change))

    async def drain(self, write: Callable[[Change], Awaitable[None]]) -> int:
        """Give what waits to ``write``, in order and in groups, until a write fails; give how many it took.

        A change whose write raises StoreError stays, and so do those behind it, which may then be written twice.
        Raises StoreError when the spool is closed or cannot be read, and what ``write`` raises else.
        """
        taken = 0
        async with self._draining:
            await self._run(self._files.adopt)
            while changes := await self._run(partial(self._files.read, GROUP)):
                errors = await asyncio.gather(*(_given(write, change) for change in changes), return_exceptions=True)
                count = next((place for place, error in enumerate(errors) if error is not None), len(changes))
                await self._run(partial(self._files.done, count))
                taken += count
                for error in errors:
                    if error is not None and not isinstance(error, StoreError):
                        raise error
                if count < len(changes):
                    break
        return taken

    async def close(self) -> None:
        """Let go of the files and end the thread; a disk that hangs is waited for two seconds."""
        if self._thread is None:
            return
        closing = self._submit(self._files.close)
        self._jobs.put(None)
        self._thread = None
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_LIMIT):
                await closing

    async def _run(self, job: Callable[[], T]) -> T:
        """Let the thread do ``job`` and give what it gives; given up, it is done all the same."""
        return await self._submit(job)

    def _submit(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Queue ``job``; raises StoreError when the spool is not open."""
        if self._thread is None:
            raise StoreError("the spool is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(outcome: Callable[[], None]) -> None:
            self._queued -= 1
            if not future.done():
                outcome()

        def work() -> None:
            outcome: Callable[[], None]
            try:
                outcome = partial(future.set_result, job())
            except Exception as error:
                outcome = partial(future.set_exception, error)
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, outcome)

        self._queued += 1
        self._jobs.put(work)
        return future


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    """Do jobs until there is None."""
    while (job := jobs.get()) is not None:
        job()
        # Nothing of a turn is kept while the thread waits for the next one.
        del job


async def _given(write: Callable[[Change], Awaitable[None]], change: Change) -> None:
    """Write a change; an awaitable of any kind becomes a coroutine, and so does an error before it."""
    await write(change)
