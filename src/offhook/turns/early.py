"""What platforms tell of calls that nobody knows yet, until their first turn is recorded or it is too late."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from offhook.webhooks.base import CallNews

if TYPE_CHECKING:
    from offhook.clock import Clock

# So many calls, with so many news each and so many characters in all, are held until their first turn is recorded.
MOST_CALLS = 256
MOST_NEWS = 64
MOST_CHARACTERS = 4 * 1024 * 1024
# Seconds after the first news of a call in which its first turn is waited for: as long as a call may be silent.
LONGEST_WAIT = 900.0


class Held(msgspec.Struct, frozen=True):
    """News of a call, the platform whose webhook it was (None for any), and when it came, since the epoch."""

    news: CallNews
    platform: str | None
    came_at: float


class Early:
    """Holds news by call. Of too many the calls that were told of first are forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # With the monotonic time of the first, the oldest first.
        self._calls: OrderedDict[str, tuple[float, list[Held]]] = OrderedDict()
        self.characters = 0

    def __len__(self) -> int:
        return len(self._calls)

    def hold(self, key: str, news: CallNews, platform: str | None) -> bool:
        """Hold news of a call; False where they are held already, or too many are."""
        self.age()
        _, held = self._calls.setdefault(key, (self._clock.monotonic(), []))
        # Sent again, it is the same.
        if len(held) >= MOST_NEWS or any(one.news == news and one.platform == platform for one in held):
            return False
        held.append(Held(news, platform, self._clock.now()))
        self.characters += _characters(news)
        while len(self._calls) > MOST_CALLS or (self.characters > MOST_CHARACTERS and self._calls):
            self.let_go(next(iter(self._calls)))
        return key in self._calls

    def let_go(self, key: str) -> list[Held]:
        """Give what is held of a call, and hold it no longer."""
        _, held = self._calls.pop(key, (0.0, []))
        self.characters -= sum(_characters(one.news) for one in held)
        return held

    def age(self) -> None:
        """Forget what has waited too long."""
        oldest = self._clock.monotonic() - LONGEST_WAIT
        while self._calls and next(iter(self._calls.values()))[0] < oldest:
            self.let_go(next(iter(self._calls)))


def _characters(news: CallNews) -> int:
    return 100 + sum(len(one.text) + len(one.key) for one in news.spoken) + len(news.user_data or "")
