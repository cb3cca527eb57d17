"""Numbers put into words, a sentence at a time, in a thread: the order of a reply's events stays as it was."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from offhook.events import Event, Text
from offhook.speech.language import language_of

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("offhook.turns")

# So many events of a reply may wait to be read; then its agent waits.
_MOST_WAITING = 64


class Reading:
    """Puts the numbers of sentences into words, one at a time in a thread of its own: it is work, and not waiting.

    ``spoken`` gives what is said for a sentence in a language; ``load`` is called in that thread at the start.
    """

    def __init__(self, spoken: Callable[[str, str], str], load: Callable[[], None] | None = None) -> None:
        self._spoken = spoken
        self._load = load
        # Makes its thread when it is first needed.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="numbers")

    async def start(self) -> None:
        """Load what it needs, so that no sentence waits for that. Raises what ``load`` does."""
        if self._load is not None:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._load)

    async def close(self) -> None:
        """End the thread, once it has done what it is doing."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def read(self, sentence: str, language: str) -> asyncio.Future[str]:
        """Give what will be said for a sentence."""
        return asyncio.get_running_loop().run_in_executor(self._pool, self._spoken, sentence, language)


class Aloud:
    """The events of one reply on their way through a ``Reading``, given on in their order by ``give``.

    One sentence of a reply is read at a time, so that no reply keeps the others waiting for longer than that.
    """

    __slots__ = ("_changed", "_error", "_give", "_job", "_language", "_reading", "_waiting")

    def __init__(self, reading: Reading, language: str, give: Callable[[list[Event]], None]) -> None:
        self._reading = reading
        self._language = language
        self._give = give
        # A text is a whole sentence. The first event waits for the job, if there is one.
        self._waiting: deque[Event] = deque()
        self._job: asyncio.Future[str] | None = None
        self._changed: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    @property
    def full(self) -> bool:
        """Tell whether no more should be written for now."""
        return len(self._waiting) >= _MOST_WAITING

    @property
    def waiting(self) -> tuple[Event, ...]:
        """What has not been given on yet."""
        return tuple(self._waiting)

    def write(self, events: list[Event]) -> None:
        """Take the next events; a text is a whole sentence."""
        self._waiting.extend(events)
        self._release()

    def hurry(self) -> None:
        """Give on everything now; what has no words yet is said as it was written."""
        rest = list(self._waiting)
        if rest and type(first := rest[0]) is Text and self._job is not None:
            rest[0] = Text(_said(first.text, self._job))
        self.drop()
        if rest:
            self._give(rest)

    def drop(self) -> None:
        """Give on nothing more of what waits."""
        self._waiting.clear()
        if self._job is not None:
            self._job.cancel()
            self._job = None
        self._wake()

    async def settle(self) -> None:
        """Return when everything has been given on. Raises what giving it on did."""
        while self._waiting:
            await self._change()
        if self._error is not None:
            raise self._error

    async def room(self) -> None:
        """Return when more may be written."""
        while self.full:
            await self._change()

    async def _change(self) -> None:
        # Only the turn's own task waits here.
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed

    def _done(self, job: asyncio.Future[str]) -> None:
        if job is not self._job:
            return
        try:
            self._release()
        except Exception as error:
            # The turn's task is told, and not the loop.
            self._error = error
            self.drop()

    def _release(self) -> None:
        ready: list[Event] = []
        while self._waiting:
            event = self._waiting[0]
            if type(event) is Text and any(map(str.isdigit, event.text)):
                if self._job is None:
                    self._job = self._reading.read(event.text, language_of(event.text) or self._language)
                    self._job.add_done_callback(self._done)
                if not self._job.done():
                    break
                event, self._job = Text(_said(event.text, self._job)), None
            self._waiting.popleft()
            ready.append(event)
        if ready:
            self._give(ready)
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)


def _said(sentence: str, future: asyncio.Future[str]) -> str:
    if not future.done():
        return sentence
    if future.cancelled() or (error := future.exception()) is not None:
        if not future.cancelled():
            log.error("numbers could not be put into words: %(error)s", {"error": type(error).__name__})
        return sentence
    return future.result()
