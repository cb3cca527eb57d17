"""Says an answer to the caller as it comes, at the pace of speech or as fast as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.node import speaker

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.clock import Clock
    from offhook.node.answer import Answer


class Playback:
    """``pace`` None means as fast as it comes; ``on_piece`` is called with each piece when its speech begins."""

    def __init__(
        self, answer: Answer, clock: Clock, pace: speaker.Pace | None, on_piece: Callable[[str], None] | None
    ) -> None:
        self._answer = answer
        self._clock = clock
        self._pace = pace
        self._on_piece = on_piece
        self._before = ""
        self._piece = ""
        self._limit: int | None = None
        # The piece is being said between these two moments of the clock's monotonic time.
        self._begins = 0.0
        self._ends = 0.0

    async def play(self, limit: int | None = None) -> bool:
        """Say the whole answer; tell whether ``limit`` characters were heard, which ends it early if anything may."""
        async for piece in self._answer:
            self._start(piece)
            if limit is not None and not self._answer.protected and len(self._before) + len(piece) >= limit:
                self._limit = limit
                self._ends = self._begins + self._length(piece[: limit - len(self._before)])
                await self._wait()
                return True
            await self._wait()
        return False

    def heard(self) -> str:
        """Give what the caller has heard until now."""
        text = self._before + self._piece
        if self._limit is not None:
            return text[: self._limit]
        if self._pace is None:
            return text
        now = self._clock.monotonic()
        if now >= self._ends:
            return text
        offset = len(self._before) + speaker.heard(self._piece, now - self._begins, self._pace)
        return text[: speaker.whole_words(text, offset)]

    def _start(self, piece: str) -> None:
        self._before += self._piece
        self._piece = piece
        if self._pace is not None:
            # Counted on from the planned end, so that late wake-ups do not add up.
            self._begins = max(self._clock.monotonic(), self._ends)
            self._ends = self._begins + self._length(piece)
        if self._on_piece is not None:
            self._on_piece(piece)

    def _length(self, piece: str) -> float:
        return speaker.added(self._before, piece, self._pace) if self._pace is not None else 0.0

    async def _wait(self) -> None:
        if self._pace is not None and (left := self._ends - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
