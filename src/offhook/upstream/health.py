"""Which model service is asked, and how often more than once.

Nothing here reads the clock: ``now`` is monotonic seconds, the same clock for every call of one object.
"""

from __future__ import annotations

import math
import re
from collections import deque
from datetime import UTC
from email.utils import parsedate_to_datetime
from fractions import Fraction
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

# No service is left alone for longer than this because its Retry-After says so, in seconds.
LONGEST_WAIT = 300.0
# A service that goes on failing is left alone for up to 2 ** 3 times as long as at first.
_MOST_DOUBLINGS = 3
_BUCKETS = 10
# 52 bits and a half are exact in a float, so that a hash is never 0 nor 1.
_HASH_BITS = 52
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
# Longer than any date; what is longer is not read.
_LONGEST_HEADER = 64


class _Bucket:
    """What happened in one tenth of the window."""

    __slots__ = ("answers", "failures", "number", "seconds", "slow")

    def __init__(self, number: int) -> None:
        self.number = number
        self.answers = self.failures = self.slow = 0
        self.seconds = 0.0


class Breaker:
    """Whether one model service is to be asked.

    *closed*: it is asked. *open*: it is left alone for ``open_for`` seconds. *half_open*: that time is over, and one
    turn at a time tries it (the probe; nobody asks but real turns). A useful answer closes it and forgets what was;
    a failure opens it again for twice as long, up to eight times ``open_for``.

    It opens when within ``window`` seconds there were at least ``least`` outcomes and ``share`` of them failed, or
    ``slow_share`` of them failed or were slow; also after ``least`` such in a row, none more than ``window`` after the
    one before. All of these are above 0. Memory is bounded: ten buckets.

    ``asked`` comes first for each attempt, then one of ``answered``, ``failed``, ``slow`` and ``abandoned``. ``failed``
    may follow ``answered`` where the answer breaks off. A verdict counts for the service as it then stands, whenever
    the attempt began.
    """

    def __init__(
        self,
        *,
        open_for: float = 10.0,
        window: float = 30.0,
        least: int = 5,
        share: float = 0.5,
        slow_share: float = 0.8,
    ) -> None:
        self._open_for = open_for
        self._window = window
        self._least = least
        self._share = share
        self._slow_share = slow_share
        self._buckets: deque[_Bucket] = deque(maxlen=_BUCKETS)
        self._in_a_row = 0
        self._last_bad = -math.inf
        # Until when it is open; None: closed.
        self._until: float | None = None
        self._held_until = -math.inf
        self._openings = 0
        # When the probe that is out began.
        self._probe: float | None = None

    def state(self, now: float) -> Literal["closed", "open", "half_open"]:
        """Give the state at this moment; asking changes nothing."""
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "half_open"

    def may_ask(self, now: float) -> bool:
        """Tell whether an attempt may begin: yes when closed, no when open, and half-open while no probe is out.

        A probe of which nothing is heard for ``open_for`` seconds gives its place free.
        """
        state = self.state(now)
        return state == "closed" or (state == "half_open" and not self._probing(now))

    def asked(self, now: float) -> None:
        """Note that an attempt begins; unless the breaker is closed it takes the place of the probe, if that is free.

        An open service may be asked too, where there is no better one.
        """
        if self._until is not None and not self._probing(now):
            self._probe = now

    def answered(self, now: float, first_useful: float) -> None:
        """Note a useful answer, ``first_useful`` seconds after its attempt began.

        Closes a half-open breaker; also an open one that was asked all the same, unless a Retry-After holds it.
        """
        if self.state(now) == "half_open" or (self._probe is not None and now >= self._held_until):
            self._close()
        self._in_a_row = 0
        bucket = self._bucket(now)
        bucket.answers += 1
        bucket.seconds += first_useful

    def failed(self, now: float, *, retry_after: float | None = None) -> None:
        """Note a failure; ``retry_after`` opens the breaker at once for at least so many seconds, at most 300."""
        self._bucket(now).failures += 1
        self._judge(now)
        if retry_after is not None and retry_after > 0:
            self._held_until = max(self._held_until, now + min(retry_after, LONGEST_WAIT))
            self._until = self._held_until if self._until is None else max(self._until, self._held_until)

    def slow(self, now: float) -> None:
        """Note an attempt that gave nothing useful by its deadline, or before the one that was begun beside it."""
        self._bucket(now).slow += 1
        self._judge(now)

    def abandoned(self, now: float) -> None:
        """Note an attempt that was cancelled or beaten before it was late: no verdict, and the probe's place is free.

        The time is not needed; it is asked for so that every outcome is told in the same way.
        """
        self._probe = None

    def usual(self, now: float) -> float | None:
        """Give the mean seconds to the first useful event within the window; None without an answer."""
        self._forget(now)
        answers = sum(bucket.answers for bucket in self._buckets)
        return sum(bucket.seconds for bucket in self._buckets) / answers if answers else None

    def _judge(self, now: float) -> None:
        self._in_a_row = 1 if now - self._last_bad > self._window else self._in_a_row + 1
        self._last_bad = now
        self._probe = None
        state = self.state(now)
        # What fails while it is open changes nothing: those are attempts from before, or turns without another choice.
        if state == "half_open" or (state == "closed" and self._is_bad()):
            self._until = now + self._open_for * 2 ** min(self._openings, _MOST_DOUBLINGS)
            self._openings += 1

    def _is_bad(self) -> bool:
        if self._in_a_row >= self._least:
            return True
        failures = sum(bucket.failures for bucket in self._buckets)
        bad = failures + sum(bucket.slow for bucket in self._buckets)
        outcomes = bad + sum(bucket.answers for bucket in self._buckets)
        enough = outcomes >= self._least
        return enough and (failures >= self._share * outcomes or bad >= self._slow_share * outcomes)

    def _close(self) -> None:
        self._until = self._probe = None
        self._openings = 0
        self._buckets.clear()

    def _probing(self, now: float) -> bool:
        return self._probe is not None and now - self._probe < self._open_for

    def _number(self, now: float) -> int:
        return math.floor(now * _BUCKETS / self._window)

    def _bucket(self, now: float) -> _Bucket:
        self._forget(now)
        number = self._number(now)
        if not self._buckets or self._buckets[-1].number < number:
            self._buckets.append(_Bucket(number))
        return self._buckets[-1]

    def _forget(self, now: float) -> None:
        oldest = self._number(now) - _BUCKETS
        while self._buckets and self._buckets[0].number <= oldest:
            self._buckets.popleft()


class Budget:
    """How many extra requests (retries, failovers, hedges) there may be: a token bucket of requests, not of time.

    Each model request adds ``share`` of an extra one, up to ``burst``; it starts full. After any number of requests no
    more than ``share * requests + burst`` extra ones were allowed, exactly. With a share of 0 there is never one. For
    hedges give a ``burst`` of 2: the share is kept from the start, and is had in full (1 would lose fractions).

    An extra request that is refused is not made. A failover after a failure that is refused ends the turn as when no
    model service is left (with an apology): asking more of services that fail is what keeps them down.
    """

    def __init__(self, share: float, *, burst: float = 10.0) -> None:
        # Whole numbers of the share's denominator: a sum of floats would be a little too much or too little.
        part, most = Fraction(str(share)), Fraction(str(burst))
        self._one = part.denominator
        self._part = part.numerator
        self._most = math.floor(most * self._one) if share > 0 else 0
        self._left = self._most

    def request(self) -> None:
        """Note a model request."""
        self._left = min(self._left + self._part, self._most)

    def take(self) -> bool:
        """Take one extra request; False when there is none, and then it is not to be made."""
        if self._left < self._one:
            return False
        self._left -= self._one
        return True


def order(names_and_weights: Sequence[tuple[str, float]], key: str) -> list[int]:
    """Give the indexes of model services in the order in which the call or request ``key`` asks them.

    The same key gives the same order, so that a call's prompts stay in one service's cache. Over many keys the shares
    of first places are those of the weights (above 0). Without one of the services the others keep their order
    (weighted rendezvous hashing).
    """
    scores = [-weight / math.log(_hash(name, key)) for name, weight in names_and_weights]
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def _hash(name: str, key: str) -> float:
    # An id may hold half a surrogate pair, which is no reason to fail.
    text = f"{name}\0{key}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> (64 - _HASH_BITS)
    return (number + 0.5) / 2.0**_HASH_BITS


def choose(ordered: Sequence[int], breakers: Sequence[Breaker], now: float) -> list[int]:
    """Give all of ``ordered`` (indexes of ``breakers``), the ones to be asked first in front.

    First those that may be asked, in their order: one that is half-open keeps its place while no probe is out, so that
    a turn whose own service it is tries it. Then those whose probe is out, then the open ones: they are asked when
    nothing else is left, because an attempt that may fail is better than silence.
    """

    def rank(index: int) -> int:
        if breakers[index].may_ask(now):
            return 0
        return 1 if breakers[index].state(now) == "half_open" else 2

    return sorted(ordered, key=rank)


def retry_after_seconds(value: str | None, now_epoch: float) -> float | None:
    """Give the seconds that a Retry-After header asks for, at most 300; ``now_epoch`` is seconds since 1970 (UTC).

    It is a number of seconds, with decimals as some services send them, or an HTTP date (RFC 9110, section 10.2.3).
    None without a header, when it is something else, and when the date is over.
    """
    text = (value or "").strip()
    if not text or len(text) > _LONGEST_HEADER:
        return None
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(text)
        # A date without a zone is UTC; as it is it would be read in the machine's own zone.
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_epoch
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(seconds, LONGEST_WAIT) if seconds >= 0 else None
