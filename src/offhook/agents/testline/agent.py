"""The test line as an agent: one async generator function, through the same door as a user's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from offhook.agents.testline import phrases
from offhook.agents.testline.phrases import NOTHING_HEARD, PHRASES, Phrases
from offhook.agents.testline.places import find_zone, place_name
from offhook.agents.testline.words import (
    Count,
    Echo,
    Goodbye,
    Greeting,
    Language,
    Nothing,
    Say,
    SayAgain,
    TellTime,
    TellUserData,
    Wait,
    WhoIsCalling,
    Wish,
    language_of,
    understand,
)

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from offhook.clock import Clock
    from offhook.events import Event, Turn

COUNT_LIMIT = 10_000
# The longest silence in seconds, also between two numbers.
WAIT_LIMIT = 60.0
_HOME: Mapping[Language, str] = {"zh": "Asia/Shanghai", "en": "UTC"}


def testline(clock: Clock) -> Callable[[Turn], AsyncIterator[str | Event]]:
    """Give the test line's agent function, running on this clock."""

    async def reply(turn: Turn) -> AsyncIterator[str | Event]:
        language = language_of(turn.text)
        wish = understand(turn.text)
        if turn.kind == "wake_up":
            # The call begins with the agent, and nobody has chosen a language yet.
            language = "zh" if turn.call.platform == "alibaba_ims" else "en"
            wish = Greeting()
        if isinstance(wish, Count):
            for pause, piece in _counted(wish, PHRASES[language]):
                if pause:
                    await clock.sleep(pause)
                yield piece
            return
        if isinstance(wish, Wait):
            await clock.sleep(min(wish.seconds, WAIT_LIMIT))
        if isinstance(wish, TellTime):
            text = await _time(wish.place, turn, language, clock.now())
        else:
            text = _answer(wish, turn, PHRASES[language])
        for piece in phrases.pieces(text):
            yield piece
        if isinstance(wish, Goodbye):
            yield turn.hangup()

    return reply


def _answer(wish: Wish, turn: Turn, say: Phrases) -> str:
    match wish:
        case Greeting():
            return phrases.greeting(turn, say)
        case WhoIsCalling():
            return phrases.who(turn, say)
        case TellUserData():
            return phrases.user_data(turn.call.user_data, say)
        case Wait(seconds):
            return _waited(seconds, say)
        case Say(text):
            return text
        case SayAgain():
            return _last_reply(turn) or say.nothing_yet
        case Goodbye():
            return say.goodbye
        case Echo(text):
            return say.echo.format(text)
        case Nothing():
            return NOTHING_HEARD
    raise AssertionError(f"no answer to {type(wish).__name__}")


def _counted(wish: Count, say: Phrases) -> Iterator[tuple[float, str]]:
    """Give each number with the pause before it; the first comes at once."""
    if max(wish.start, wish.stop) > COUNT_LIMIT:
        yield 0.0, say.count_limit.format(COUNT_LIMIT)
    if min(wish.start, wish.stop) > COUNT_LIMIT:
        return
    start, stop = min(wish.start, COUNT_LIMIT), min(wish.stop, COUNT_LIMIT)
    step = 1 if stop >= start else -1
    pause = 0.0
    for number in range(start, stop, step):
        yield pause, f"{number}{say.comma}"
        pause = min(wish.pace, WAIT_LIMIT)
    yield pause, f"{stop}{say.full_stop}"


def _waited(seconds: float, say: Phrases) -> str:
    if seconds > WAIT_LIMIT:
        return say.waited_most.format(phrases.plain(WAIT_LIMIT))
    return say.waited_one if seconds == 1 else say.waited.format(phrases.plain(seconds))


def _last_reply(turn: Turn) -> str:
    replies = (message.text for message in reversed(turn.history) if message.role == "assistant")
    return next((text for text in replies if text.strip()), "")


async def _time(place: str, turn: Turn, language: Language, now: float) -> str:
    # A thread, because a zone is read from the disk.
    zone = await asyncio.to_thread(_zone, place, turn, language)
    if zone is None:
        return PHRASES[language].unknown_place.format(place.title())
    return phrases.time_at(datetime.fromtimestamp(now, zone), place_name(zone, language, place), language)


def _zone(place: str, turn: Turn, language: Language) -> ZoneInfo | None:
    if place:
        return find_zone(place)
    data = turn.call.user_data
    own = data.get("timezone") if isinstance(data, Mapping) else None
    # A time zone in the user data that is none does not silence the line.
    return (find_zone(own) if isinstance(own, str) else None) or find_zone(_HOME[language])
