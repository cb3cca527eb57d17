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
    """The events of one reply on their way through a ``Reading``, given on in their order by ``give``."""

    __slots__ = ("_give", "_idle", "_language", "_reading", "_waiting")

    def __init__(self, reading: Reading, language: str, give: Callable[[list[Event]], None]) -> None:
        self._reading = reading
        self._language = language
        self._give = give
        # Each event, or a sentence and what will be said for it.
        self._waiting: deque[Event | tuple[str, asyncio.Future[str]]] = deque()
        self._idle: asyncio.Future[None] | None = None

    def write(self, events: list[Event]) -> None:
        """Take the next events; a text is a whole sentence."""
        for event in events:
            if type(event) is Text and any(map(str.isdigit, event.text)):
                language = language_of(event.text) or self._language
                future = self._reading.read(event.text, language)
                self._waiting.append((event.text, future))
                future.add_done_callback(self._release)
            else:
                self._waiting.append(event)
        self._release()

    def hurry(self) -> None:
        """Give on everything now; what has no words yet is said as it was written."""
        rest = [event if not isinstance(event, tuple) else Text(_said(*event)) for event in self._waiting]
        self._waiting.clear()
        self._pass_on(rest)

    async def settle(self) -> None:
        """Return when everything has been given on."""
        while self._waiting:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def _release(self, future: asyncio.Future[str] | None = None) -> None:
        ready: list[Event] = []
        while self._waiting:
            first = self._waiting[0]
            if isinstance(first, tuple):
                if not first[1].done():
                    break
                first = Text(_said(*first))
            self._waiting.popleft()
            ready.append(first)
        self._pass_on(ready)

    def _pass_on(self, events: list[Event]) -> None:
        if events:
            self._give(events)
        if not self._waiting and self._idle is not None:
            if not self._idle.done():
                self._idle.set_result(None)
            self._idle = None


def _said(sentence: str, future: asyncio.Future[str]) -> str:
    if not future.done():
        return sentence
    if future.cancelled() or (error := future.exception()) is not None:
        if not future.cancelled():
            log.error("numbers could not be put into words: %(error)s", {"error": type(error).__name__})
        return sentence
    return future.result()
