"""The arithmetic of admission: what a key has used, and whose turn it is. Pure: the time is handed in, in seconds."""

from __future__ import annotations

from collections import OrderedDict, deque
from math import ceil, floor, inf
from typing import TYPE_CHECKING

from offhook.errors import TooMany

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offhook.server.keys import Limits

MINUTE = 60
# Seconds after which a caller whose key has all its calls may ask again: nobody knows when one of them ends.
CALLS_AGAIN = 5.0
# So many turns of a call in progress are live by right: the newest, and the one before it that is about to end.
FREE_TURNS = 2
# Far less than anybody notices, and more than what adding and subtracting seconds loses.
_DUST = 1e-6


class Window:
    """Counts what happened in the last minute, second by second, so that no minute holds more than a limit."""

    __slots__ = ("_seconds", "_total")

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()
        self._total = 0

    def add(self, count: int, now: float) -> int:
        """Count something now; gives the second it is counted in, for ``remove``."""
        self._forget(now)
        second = floor(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0])
        self._seconds[-1][1] += count
        self._total += count
        return second

    def remove(self, count: int, second: int) -> None:
        """Take back what was counted in a second, as long as that is not forgotten."""
        for counted in self._seconds:
            if counted[0] == second:
                counted[1] -= count
                self._total -= count

    def total(self, now: float) -> int:
        """Give how much was counted in the last minute."""
        self._forget(now)
        return self._total

    def wait(self, limit: int, now: float) -> float:
        """Give the seconds until less than ``limit`` is counted; 0 when that is so now."""
        rest = self.total(now)
        over = now
        for second, count in self._seconds:
            if rest < limit:
                break
            rest -= count
            over = second + 1 + MINUTE
        return over - now

    def _forget(self, now: float) -> None:
        # A second is forgotten when all of it is more than a minute ago.
        while self._seconds and self._seconds[0][0] + 1 + MINUTE <= now + _DUST:
            self._total -= self._seconds.popleft()[1]


class KeyUse:
    """What one key uses: its live turns and calls now, its turns and tokens of the last minute."""

    __slots__ = ("calls", "granted", "id", "live", "seen", "tokens", "turns")

    def __init__(self, id: str) -> None:
        self.id = id
        self.live = 0
        self.calls = 0
        self.turns = Window()
        self.tokens = Window()
        # Seconds when it last asked or ended a turn, and its place in the order of those that were given one.
        self.seen = 0.0
        self.granted = 0


class _Call:
    """A call that counts for a key. ``claims`` wait or are ``live``, ``turns`` were given a place.

    ``weight`` is as how many calls it counts for its key now.
    """

    __slots__ = ("claims", "key", "live", "over", "turns", "used", "weight")

    def __init__(self, key: KeyUse, used: float) -> None:
        self.key = key
        self.claims = 0
        self.live = 0
        self.turns = 0
        self.weight = 0
        self.over = False
        self.used = used

    @property
    def free(self) -> bool:
        """Tell whether its next turn is live by right: the call is in progress, and has not its free turns yet."""
        return not self.over and self.turns > 0 and self.live < FREE_TURNS


class Claim:
    """What one turn has reserved: it is taken, released or given back through the quota.

    ``going_on``: it has a right to a place at once, whatever the ceiling and the share of its key are.
    """

    __slots__ = ("_call", "_call_id", "_second", "going_on", "key", "taken")

    def __init__(self, key: KeyUse, call_id: str | None, call: _Call | None, second: int, *, going_on: bool) -> None:
        self.key = key
        self.going_on = going_on
        self.taken = False
        self._call_id = call_id
        self._call = call
        self._second = second


class Quota:
    """What all keys use together, against their limits and the ceiling of ``turns`` live ones (0: none).

    Where several keys were seen in the last minute, one takes new calls only while it has less than ``share`` of the
    ceiling. A call without a turn for ``call_idle`` seconds counts no more, even if nobody says that it is over.

    A call in progress has its next turn by right while fewer than ``FREE_TURNS`` of it are live. What one call asks
    for beyond so many at a time is as a new call each: for the ceiling, and for the calls of its key.
    """

    def __init__(self, *, turns: int, share: float, call_idle: float) -> None:
        self.turns = turns
        self.live = 0
        # Not from the float's last digit: 0.1 of 30 is 3.
        self._most = max(1, ceil(share * turns - _DUST))
        self._call_idle = call_idle
        # The one seen last, and the one used last, at the end.
        self._keys: OrderedDict[str, KeyUse] = OrderedDict()
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._grants = 0

    @property
    def calls(self) -> int:
        """How many calls with an id count now."""
        return len(self._calls)

    @property
    def full(self) -> bool:
        """Tell whether the ceiling is reached."""
        return bool(self.turns) and self.live >= self.turns

    def key(self, id: str) -> KeyUse:
        """Give what a key uses."""
        use = self._keys.get(id)
        if use is None:
            use = self._keys[id] = KeyUse(id)
        return use

    def reserve(self, key: KeyUse, limits: Limits, call_id: str | None, *, going_on: bool, now: float) -> Claim:
        """Count a turn against the limits of its key, and its call if it is a new one, or has its free turns already.

        Raises TooMany when the key's turns or tokens of a minute are used up, or, for what counts as a call, its calls.
        """
        self._see(key, now)
        self._let_go(now)
        _check_minute(key, limits, now)
        if call_id is None:
            _check_calls(key, limits, 1)
            key.calls += 1
            return Claim(key, None, None, key.turns.add(1, now), going_on=False)
        call = self._calls.get(call_id) or _Call(key, now)
        free = call.live < FREE_TURNS if going_on else call.free
        weight = _weight(call.claims + 1)
        if not free:
            _check_calls(key, limits, weight - (call.weight if call.key is key else 0))
        if call.key is not key:
            # The platform was given a new key in the middle of the call.
            call.key.calls -= call.weight
            key.calls += call.weight
            call.key = key
        call.used = now
        self._calls[call_id] = call
        self._calls.move_to_end(call_id)
        _count(call, 1)
        return Claim(key, call_id, call, key.turns.add(1, now), going_on=free)

    def owes(self, claim: Claim) -> bool:
        """Tell whether the claim's call is in progress, has a free turn left, and one of its claims waits."""
        call = claim._call
        return call is not None and call.free and call.claims > call.live

    def same_call(self, one: Claim, other: Claim) -> bool:
        """Tell whether two claims are of the same call."""
        return one._call is not None and one._call is other._call

    def fits(self, key: KeyUse, now: float) -> bool:
        """Tell whether the key may take a place with a new call now."""
        if not self.turns:
            return True
        return self.live < self.turns and (key.live < self._most or not self._crowded(now))

    def next_of(self, keys: Iterable[KeyUse], now: float) -> KeyUse | None:
        """Give which of the keys that wait is given a place now, None when none may.

        It is the one with the fewest live turns, and of several the one that was given a place longest ago.
        """
        fitting = (key for key in keys if self.fits(key, now))
        return min(fitting, key=lambda key: (key.live, key.granted), default=None)

    def take(self, claim: Claim) -> None:
        """Count the turn as live."""
        claim.taken = True
        self.live += 1
        claim.key.live += 1
        self._grants += 1
        claim.key.granted = self._grants
        if claim._call is not None:
            claim._call.turns += 1
            claim._call.live += 1

    def release(self, claim: Claim, tokens: int, now: float) -> None:
        """End a live turn; ``tokens`` are charged to its key. Its call goes on."""
        self._drop(claim)
        if tokens > 0:
            claim.key.tokens.add(tokens, now)
        if claim._call is not None:
            claim._call.used = now
        self._see(claim.key, now)

    def give_back(self, claim: Claim) -> None:
        """Undo a claim, taken or not, as if its turn had never asked."""
        self._drop(claim)
        claim.key.turns.remove(1, claim._second)
        call, call_id = claim._call, claim._call_id
        if call is None or call_id is None:
            return
        if claim.taken:
            call.turns -= 1
        if not call.claims and not call.turns and self._calls.get(call_id) is call:
            self.call_over(call_id)

    def call_over(self, call_id: str) -> None:
        """Count a call no more; nothing happens when it does not count."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            call.over = True
            _count(call, 0)

    def _drop(self, claim: Claim) -> None:
        call = claim._call
        if claim.taken:
            self.live -= 1
            claim.key.live -= 1
            if call is not None:
                call.live -= 1
        if call is None:
            claim.key.calls -= 1
        else:
            _count(call, -1)

    def _see(self, key: KeyUse, now: float) -> None:
        key.seen = now
        self._keys.move_to_end(key.id)

    def _crowded(self, now: float) -> bool:
        """Tell whether more than one key was seen in the last minute."""
        latest = reversed(self._keys.values())
        next(latest, None)
        second = next(latest, None)
        return second is not None and second.seen > now - MINUTE

    def _let_go(self, now: float) -> None:
        while self._calls:
            call_id, call = next(iter(self._calls.items()))
            if call.used > now - self._call_idle:
                return
            if call.claims:
                call.used = now
                self._calls.move_to_end(call_id)
            else:
                self.call_over(call_id)


class Brake:
    """Lets the refusals of one key, or call, go out one by one, so that refusing it costs the others nothing.

    ``rate`` go out in a second, apart from the first ``free``; but none waits longer than ``longest`` seconds, and that
    wins: of more than ``rate * longest`` at once the rest go out together then.
    """

    def __init__(self, *, rate: float = 100.0, free: int = 10, longest: float = 5.0) -> None:
        self._apart = 1 / rate
        self._free = free / rate
        self._longest = longest
        # When the last refusal of a key is due, in seconds; the key that was refused last at the end.
        self._last: OrderedDict[str, float] = OrderedDict()

    @property
    def keys(self) -> int:
        """How many keys were refused so lately that it is remembered."""
        return len(self._last)

    def wait(self, key: str, now: float) -> float:
        """Count a refusal of a key; give the seconds for which it is to be held back, 0 for one that may go at once."""
        due = max(self._last.get(key, -inf), now - self._free) + self._apart
        self._last[key] = due = min(due, now + self._longest)
        self._last.move_to_end(key)
        self._forget(now)
        return max(0.0, due - now)

    def _forget(self, now: float) -> None:
        # Past that a key is as one that was never refused.
        while (oldest := next(iter(self._last))) and self._last[oldest] <= now - self._free:
            del self._last[oldest]


def _check_minute(key: KeyUse, limits: Limits, now: float) -> None:
    """Raise TooMany when the key's turns or tokens of the last minute are used up."""
    wait, limit = 0.0, ""
    for window, most, name in (
        (key.turns, limits.turns_per_minute, "turns"),
        (key.tokens, limits.tokens_per_minute, "tokens"),
    ):
        if most is not None and (seconds := window.wait(most, now)) > wait:
            wait, limit = seconds, f"{most} {name} a minute"
    if wait:
        raise TooMany(f"This key's limit is reached: {limit}. Try again in {ceil(wait)} s.", retry_after=wait)


def _check_calls(key: KeyUse, limits: Limits, more: int) -> None:
    """Raise TooMany when the key may not have so many calls more."""
    if more > 0 and limits.calls is not None and key.calls + more > limits.calls:
        raise TooMany(f"This key's limit is reached: {limits.calls} calls at once.", retry_after=CALLS_AGAIN)


def _weight(claims: int) -> int:
    """Give as how many calls one with so many claims counts: as one more for each beyond the free turns."""
    return max(1, 1 + claims - FREE_TURNS)


def _count(call: _Call, claims: int) -> None:
    """Count so many claims more of a call, and the call for its key; one that is over counts for none."""
    call.claims += claims
    weight = 0 if call.over else _weight(call.claims)
    call.key.calls += weight - call.weight
    call.weight = weight
