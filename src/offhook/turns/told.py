"""What platforms tell of calls beside their turns: it ends those that live, and comes into the records of all.

News are sent again, out of order, before the first turn is recorded, and long after the call; each may be taken twice.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING

import msgspec

from offhook.dialects.base import parse_user_data
from offhook.errors import StoreError
from offhook.store.base import CallTold, Heard, StoredCall
from offhook.turns.call import key_of
from offhook.turns.early import MOST_NEWS, Early

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offhook.clock import Clock
    from offhook.store.base import Spoken, Store, TurnKept, TurnRecord
    from offhook.turns.call import CallLine
    from offhook.turns.calls import Calls
    from offhook.webhooks.base import CallNews

log = logging.getLogger("offhook.turns")

# Seconds after which an event is of no call that is of interest: platforms do not send again for so long.
_OLDEST = 86_400.0
# Seconds that the platform's clock may be behind ours: an end is taken for that of the call as it is now where it is
# dated so long before the last turn came. A call that has begun again after an end has two of them, so that there
# only the fraction may be missing that is cut off a time in seconds.
_CLOCKS = 5.0
_FRACTION = 1.0
# Seconds that a call may last, and be connected before now.
_LONGEST_CALL = 30 * 86_400.0
# So many entries, with so many characters each and in all, are kept of what is reported as spoken in a call.
_MOST_SPOKEN = 10_000
_LONGEST_SPOKEN = 8_000
_MOST_CHARACTERS = 2 * 1024 * 1024
# So many turns of a call are remembered as spoken before they were recorded.
_MOST_UNKNOWN_TURNS = 16
# Seconds that the records of a call which is not live are waited for.
_LONGEST_LOOK = 1.0

# Between two reports of a turn.
_SPACE = re.compile(r"\s{0,100}")


class Told:
    """Takes news of calls, those that ``calls`` holds and those in ``store`` alone."""

    def __init__(self, clock: Clock, calls: Calls, store: Store | None) -> None:
        self._clock = clock
        self._calls = calls
        self._store = store
        self.early = Early(clock)
        calls.on_kept = self._kept

    async def take(self, news: CallNews, tenant: str | None, platform: str | None = None) -> bool:
        """Take news of a call; False when no such call is known, and they wait for its first turn.

        Without a ``tenant`` it is a call of the settings' keys, else the only live one that the platform calls so.
        With a ``platform`` it is a call that came in the dialect of that name, or in none that was known. News that
        are older than a day are left alone.
        """
        now = self._clock.now()
        if news.at is not None and news.at < now - _OLDEST:
            log.debug("an event that is older than a day was left alone")
            return False
        news = _sane(news, now)
        key = key_of(news.call_id, tenant or "")
        assert key is not None
        stored, away = None, False
        line = self._at_hand(key, platform)
        if line is None:
            stored, away = await self._look_up(key)
            if stored is not None and not is_of(platform, stored.call.platform):
                stored = None
            # A turn of it may have come meanwhile.
            line = self._at_hand(key, platform)
        if line is None and stored is None and tenant is None:
            line = self._calls.only_live(news.call_id, lambda found: is_of(platform, found))
        if line is not None:
            if not line.kept and self._calls.recorded:
                self.early.hold(line.id, news, platform)
            self._tell(line, news)
            return True
        if stored is not None:
            self._tell_record(stored, news)
            return True
        # While the store is away it may be there all the same.
        if self.early.hold(key, news, platform) and (away or self._calls.degraded):
            self._calls.keep(self._change(key, bounded(news, 0, 0), self._end_of(news, None)))
        return False

    def _at_hand(self, key: str, platform: str | None) -> CallLine | None:
        line = self._calls.at_hand(key)
        return line if line is not None and is_of(platform, line.context.platform) else None

    # --- a call that lives ----------------------------------------------------------------------------------------

    def _tell(self, line: CallLine, news: CallNews, *, ends: bool = True) -> None:
        news = of_this_life(news, line.received_at, _FRACTION if line.went_on else _CLOCKS)
        if not ends and line.ended_by is None:
            news = without_end(news)
        news = bounded(news, line.spoken_entries, line.spoken_characters)
        line.count_spoken(news.spoken)
        context = line.context
        user_data = parse_user_data(news.user_data) if context.user_data_raw is None and news.user_data else None
        line.context = msgspec.structs.replace(
            context,
            caller=context.caller or news.caller,
            callee=context.callee or news.callee,
            user_data=context.user_data if user_data is None else user_data,
            user_data_raw=news.user_data if context.user_data_raw is None else context.user_data_raw,
        )
        line.connected_at = line.connected_at or news.connected_at
        line.hung_up_by = news.hung_up_by or line.hung_up_by
        line.duration = _duration(news, line.connected_at, line.duration)
        self._calls.keep(
            msgspec.structs.replace(self._change(line.id, news), connected_at=line.connected_at, duration=line.duration)
        )
        for turn_id, texts in _spoken_turns(news).items():
            if not self._hear(line, turn_id, texts):
                # What goes into a record before it is kept is lost.
                line.spoken_early[turn_id] = [*line.spoken_early.get(turn_id, ()), *texts][-MOST_NEWS:]
                while len(line.spoken_early) > _MOST_UNKNOWN_TURNS:
                    line.spoken_early.popitem(last=False)
        if news.ended and ends:
            at = None if news.at is None else max(news.at, line.received_at)
            self._calls.end(line.id, "callback", at=at)

    def _hear(self, line: CallLine, turn_id: str, texts: Sequence[str]) -> bool:
        """Enter how far a turn was spoken; False when its record is not kept yet."""
        turns = line.turns_of(turn_id)
        if (heard := heard_of(turns, texts)) is not None:
            line.heard(heard.uid, heard.heard)
            self._calls.keep(heard)
        return bool(turns) and turns[-1].uid in line.kept

    def _kept(self, change: TurnKept) -> None:
        """Enter what was told too early, now that a turn of the call is recorded."""
        line = self._calls.at_hand(change.call.id)
        self.early.age()
        for held in self.early.let_go(change.call.id):
            if not is_of(held.platform, change.call.platform):
                continue
            # Of an end without a time it is known that it was before the turn that came after it.
            news = msgspec.structs.replace(held.news, at=held.came_at if held.news.at is None else held.news.at)
            if line is not None:
                # A call of which a turn comes after its end goes on.
                self._tell(line, news, ends=False)
            else:
                news = bounded(of_this_life(news, change.turn.received_at), 0, 0)
                self._calls.keep(self._change(change.call.id, news, self._end_of(news, None)))
        if line is not None and line.spoken_early and (turn_id := change.turn.turn_id) is not None:
            texts = line.spoken_early.pop(turn_id, None)
            if texts:
                self._hear(line, turn_id, texts)

    # --- a call in the records ------------------------------------------------------------------------------------

    def _tell_record(self, stored: StoredCall, news: CallNews) -> None:
        call = stored.call
        received_at = max((turn.received_at for turn in stored.turns), default=call.begun_at)
        news = of_this_life(news, received_at)
        news = bounded(news, len(stored.spoken), sum(len(one.text) for one in stored.spoken))
        connected_at = call.connected_at or news.connected_at
        change = self._change(call.id, news, self._end_of(news, received_at))
        self._calls.keep(
            msgspec.structs.replace(
                change, connected_at=connected_at, duration=_duration(news, connected_at, call.duration)
            )
        )
        for turn_id, texts in _spoken_turns(news).items():
            turns = [turn for turn in stored.turns if turn.turn_id == turn_id]
            if (heard := heard_of(turns, texts)) is not None:
                self._calls.keep(heard)

    async def _look_up(self, key: str) -> tuple[StoredCall | None, bool]:
        """Give a call of the records, and whether they could not be read."""
        if self._store is None:
            return None, False
        try:
            async with asyncio.timeout(_LONGEST_LOOK):
                return await self._store.find(key), False
        except (StoreError, TimeoutError):
            return None, True

    def _end_of(self, news: CallNews, received_at: float | None) -> float | None:
        """Give when a call has ended, as the platform says where that can be; None where it has not."""
        if not news.ended:
            return None
        return self._clock.now() if news.at is None else max(news.at, received_at or 0.0)

    def _change(self, key: str, news: CallNews, ended_at: float | None = None) -> CallTold:
        caller, caller_mark = self._calls.number(news.caller) if news.caller else (None, None)
        callee, callee_mark = self._calls.number(news.callee) if news.callee else (None, None)
        return CallTold(
            call_id=key,
            caller=caller,
            caller_mark=caller_mark,
            callee=callee,
            callee_mark=callee_mark,
            user_data=news.user_data,
            ended_at=ended_at,
            ended_by=None if ended_at is None else "callback",
            connected_at=news.connected_at,
            hung_up_by=news.hung_up_by,
            duration=news.duration,
            spoken=news.spoken,
        )


# --- which call, and which part of it -----------------------------------------------------------------------------


def is_of(platform: str | None, called_from: str) -> bool:
    """Tell whether a webhook's platform can be that of a call: the call's dialect, or the call's is not known."""
    return platform is None or called_from in (platform, "plain")


def _sane(news: CallNews, now: float) -> CallNews:
    """Give news of nothing that is still to come, and without a connection that cannot be."""
    connected_at = news.connected_at
    if connected_at is not None and not now - _LONGEST_CALL <= connected_at <= now + _CLOCKS:
        connected_at = None
    at = None if news.at is None else min(news.at, now)
    return msgspec.structs.replace(news, connected_at=connected_at, at=at)


def without_end(news: CallNews) -> CallNews:
    """Give news without what they tell of an end."""
    return msgspec.structs.replace(news, ended=False, hung_up_by=None, duration=None)


def of_this_life(news: CallNews, received_at: float, clocks: float = _CLOCKS) -> CallNews:
    """Give news without an end that was before the call's last turn came: the call has gone on after it.

    The platform's clock may be ``clocks`` seconds behind. An end without a time is one of now.
    """
    if not news.ended or news.at is None or news.at >= received_at - clocks:
        return news
    log.debug("an end that is dated before the call's last turn was left alone: call=%(call)s", {"call": news.call_id})
    return without_end(news)


def _duration(news: CallNews, connected_at: float | None, known: float | None) -> float | None:
    """Give how long a call was: as it is told, as it is known, or from its connection to its end."""
    if news.duration is not None:
        return news.duration
    if known is None and news.ended and news.at is not None and connected_at is not None:
        return news.at - connected_at if news.at >= connected_at else None
    return known


def bounded(news: CallNews, entries: int, characters: int) -> CallNews:
    """Give news with as much of what was spoken as a call may have that has so many entries and characters of it."""
    kept: list[Spoken] = []
    for one in news.spoken:
        text = one.text[:_LONGEST_SPOKEN]
        characters += len(text)
        if entries + len(kept) >= _MOST_SPOKEN or characters > _MOST_CHARACTERS:
            log.debug("more was spoken in a call than is kept: call=%(call)s", {"call": news.call_id})
            break
        kept.append(one if text == one.text else msgspec.structs.replace(one, text=text))
    return msgspec.structs.replace(news, spoken=tuple(kept))


# --- how far turns were spoken ------------------------------------------------------------------------------------


def heard_of(turns: Sequence[TurnRecord], texts: Iterable[str]) -> Heard | None:
    """Give how far the newest turn that begins with these texts was spoken, if that is farther than is known.

    Each text goes on where the one before ends, or where the turn was spoken to before.
    """
    texts = tuple(texts)
    for turn in reversed(turns):
        known = turn.heard or 0
        reached = 0
        for text in texts:
            reached = _end_of_words(turn.sent, reached, text) or _end_of_words(turn.sent, known, text) or reached
        if reached:
            return Heard(uid=turn.uid, heard=reached) if reached > known else None
    return None


def _end_of_words(sent: str, start: int, text: str) -> int:
    """Give the offset behind ``text`` where ``sent`` goes on with it, 0 where it does not."""
    said = text.strip()
    begin = _SPACE.match(sent, start)
    at = start if begin is None else begin.end()
    return at + len(said) if said and sent.startswith(said, at) else 0


def _spoken_turns(news: CallNews) -> dict[str, list[str]]:
    """Give what agents said by the turn that the platform names."""
    turns: dict[str, list[str]] = {}
    for one in news.spoken:
        if one.role == "agent" and one.turn_id is not None:
            turns.setdefault(one.turn_id, []).append(one.text)
    return turns
