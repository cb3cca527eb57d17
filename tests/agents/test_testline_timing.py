"""When the test line answers: the time, counts and waits."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, cast

import pytest

# Under another name: pytest would take testline() for a test.
from offhook.agents.testline import testline as build_line
from offhook.agents.testline.phrases import CHINESE, ENGLISH
from offhook.events import CallContext
from tests.agents.line import NOW, FakeClock, answer, heard, make_turn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from offhook.events import Event

# --- time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("what time is it", "In UTC it is 7:05 AM, on Tuesday, March 3."),
        ("现在几点", "北京现在是下午3点05分，3月3日，星期二。"),
        ("what time is it in Tokyo?", "In Tokyo it is 4:05 PM, on Tuesday, March 3."),
        ("time in san francisco", "In San Francisco it is 11:05 PM, on Monday, March 2."),
        ("what time is it in ASIA/KOLKATA", "In Kolkata it is 12:35 PM, on Tuesday, March 3."),
        ("time in the UK", "In UK it is 7:05 AM, on Tuesday, March 3."),
        ("time in reykjavik", "In Reykjavik it is 7:05 AM, on Tuesday, March 3."),
        ("東京現在幾點", "东京现在是下午4点05分，3月3日，星期二。"),
        ("Tokyo现在几点", "东京现在是下午4点05分，3月3日，星期二。"),
        ("纽约时间", "纽约现在是凌晨2点05分，3月3日，星期二。"),
        ("加州时间", "加州现在是晚上11点05分，3月2日，星期一。"),
        ("what time is it in Atlantis?", ENGLISH.unknown_place.format("Atlantis")),
        ("火星现在几点", CHINESE.unknown_place.format("火星")),
    ],
)
async def test_time(text: str, spoken: str) -> None:
    """The time is told in the zone that was asked for, else where the language is at home."""
    assert await heard(text) == spoken


async def test_time_on_the_hour() -> None:
    """Midnight, noon and full hours are told as people do."""
    clock = FakeClock()
    clock.time = NOW - 7 * 3600 - 300
    assert "12:00 AM" in "".join(map(str, await answer("what time is it", clock)))
    assert "上午8点整" in "".join(map(str, await answer("现在几点", clock)))
    clock.time += 12 * 3600
    assert "12:00 PM" in "".join(map(str, await answer("what time is it", clock)))


@pytest.mark.parametrize(
    ("data", "spoken"),
    [
        ({"timezone": "Asia/Tokyo"}, "In Tokyo it is 4:05 PM"),
        ({"timezone": "Mars"}, "In UTC"),
        ({"timezone": 8}, "In UTC"),
        ("x", "In UTC"),
    ],
)
async def test_time_zone_of_the_user_data(data: object, spoken: str) -> None:
    """The user data may name the caller's own zone; what is no zone is passed over."""
    assert (await heard("what time is it", call=CallContext(user_data=data))).startswith(spoken)


# --- counting and waiting -----------------------------------------------------------------------------------------


async def test_a_long_count() -> None:
    """从1数到300 gives 300 numbers, one by one, the first at once and a fifth of a second between two."""
    clock = FakeClock()
    values = await answer("从1数到300", clock)
    assert values == [f"{number}，" for number in range(1, 300)] + ["300。"]
    assert clock.sleeps == [0.2] * 299


@pytest.mark.parametrize(
    ("text", "spoken", "sleeps"),
    [
        ("count from 3 to 1", ["3, ", "2, ", "1."], [0.2, 0.2]),
        ("count to 3 every 0.5 seconds", ["1, ", "2, ", "3."], [0.5, 0.5]),
        ("从一数到三，每秒一个", ["1，", "2，", "3。"], [1.0, 1.0]),
        ("count to 3 as fast as you can", ["1, ", "2, ", "3."], []),
        ("count to 1", ["1."], []),
        ("count from 2 to 0", ["2, ", "1, ", "0."], [0.2, 0.2]),
        ("count to 2 every 3 hundred minutes", ["1, ", "2."], [60.0]),
        ("count from 9999 to 20000", ["I count no further than 10000. ", "9999, ", "10000."], [0.2]),
        ("从20000数到9999", ["我最多数到10000。", "10000，", "9999。"], [0.2]),
        ("count from 20000 to 30000", ["I count no further than 10000. "], []),
    ],
)
async def test_counting(text: str, spoken: list[str], sleeps: list[float]) -> None:
    """A count goes up or down at the pace that was asked for, within its limits."""
    clock = FakeClock()
    assert await answer(text, clock) == spoken
    assert clock.sleeps == sleeps


async def test_a_count_beyond_the_limit() -> None:
    """Ten thousand numbers are the most, and the line says so first."""
    values = await answer("count to a million")
    assert len(values) == 10_001
    assert (values[0], values[-1]) == ("I count no further than 10000. ", "10000.")


@pytest.mark.parametrize(
    ("text", "spoken", "pause"),
    [
        ("wait 3 seconds", "I waited 3 seconds.", 3.0),
        ("wait for 2.5 seconds and then answer", "I waited 2.5 seconds.", 2.5),
        ("wait a second", "I waited one second.", 1.0),
        ("wait an hour", "You said: wait an hour", None),
        ("wait 5 minutes", "I waited 60 seconds, and I never wait longer.", 60.0),
        ("等三秒钟再说", "我等了3秒。", 3.0),
        ("等一秒", "我等了一秒。", 1.0),
        ("等九百秒", "我等了60秒，再长我就不等了。", 60.0),
    ],
)
async def test_waiting(text: str, spoken: str, pause: float | None) -> None:
    """The line is silent before its first word for as long as was asked, a minute at most."""
    clock = FakeClock()
    reply = cast("AsyncGenerator[str | Event]", build_line(clock)(make_turn(text)))
    async with aclosing(reply) as values:
        first = await anext(values)
        assert clock.sleeps == ([] if pause is None else [pause])
        assert "".join([str(first)] + [str(value) async for value in values]) == spoken
    assert clock.sleeps == ([] if pause is None else [pause])
