"""Numbers, stretches of time and places, as callers of the test line name them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.agents.testline.numbers import DURATION, digits, fold, seconds
from offhook.agents.testline.places import CITIES, find_zone, is_known

NUMBERS = (
    "zero = 0 | nineteen = 19 | forty two = 42 | forty-two = 42 | a hundred = 100 | ten thousand = 10000"
    " | one hundred and five = 105 | one thousand two hundred and thirty four = 1234 | 1,000 = 1000"
    " | a million = 1000000 | two point five = 2.5 | .5 = 0.5 | 3 hundred = 300 | tension = tension"
    " | someone = someone | 十 = 10 | 十五 = 15 | 二十 = 20 | 九十九 = 99 | 一百 = 100 | 一百零一 = 101"
    " | 一百一十 = 110 | 三百五 = 350 | 一千零一 = 1001 | 两千 = 2000 | 一万 = 10000 | 一万二 = 12000"
    " | 两万三千零一 = 23001 | 十万 = 100000 | 3千 = 3000 | 三〇〇 = 300 | 零点五 = 0.5 | 一点五 = 1.5"
    " | 一亿 = 100000000 | 一直 = 一直 | 一下 = 一下 | 万一 = 万一"
)


@pytest.mark.parametrize(("said", "shown"), [pair.split(" = ") for pair in NUMBERS.split(" | ")])
def test_numbers(said: str, shown: str) -> None:
    """Numbers in words become digits, and words that hold a numeral stay."""
    assert digits(fold(said)) == shown


@given(st.integers(0, 99_999))
def test_chinese_numerals_of_any_size(number: int) -> None:
    """Every number up to 99999 is read back from its Chinese numeral."""
    assert digits(chinese_numeral(number)) == str(number)


def chinese_numeral(number: int) -> str:
    """Write a number the textbook way: 10305 is 一万零三百零五."""
    if number == 0:
        return "零"
    places = zip(reversed(str(number)), ["", "十", "百", "千", "万"], strict=False)
    text = "".join(
        reversed(["零" if digit == "0" else "零一二三四五六七八九"[int(digit)] + unit for digit, unit in places])
    )
    return re.sub("零+", "零", text).rstrip("零")


@pytest.mark.parametrize(
    "text", ["9" * 5000 + "万", "亿" * 5000, "hundred " * 5000, "9" * 400 + " million", "1点" * 5000]
)
def test_numbers_beyond_measure(text: str) -> None:
    """Absurd numbers neither raise nor grow."""
    assert digits(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("3 seconds", 3),
        ("2.5秒钟", 2.5),
        ("second", 1),
        ("200 ms", 0.2),
        ("5毫秒", 0.005),
        ("2 mins", 120),
        ("1分钟", 60),
    ],
)
def test_seconds(text: str, length: float) -> None:
    """A stretch of time is a number and a unit; one when there is no number."""
    assert re.fullmatch(DURATION, text)
    assert seconds(text) == pytest.approx(length)


def test_seconds_of_something_else() -> None:
    """What is no stretch of time is refused."""
    with pytest.raises(ValueError, match="stretch of time"):
        seconds("apples")


@pytest.mark.parametrize("city", CITIES, ids=lambda city: city[0])
def test_cities(city: tuple[str, str, str]) -> None:
    """Every city in the table has a zone that exists, under every name."""
    zone, english, chinese = city
    for name in [*english.split(", "), *chinese.split(", "), zone, zone.upper(), english.title()]:
        found = find_zone(name.split(",")[0])
        assert found is not None
        assert found.key == zone


@pytest.mark.parametrize(
    ("place", "key"), [("reykjavik", "Atlantic/Reykjavik"), ("port of spain", "America/Port_of_Spain"), ("GMT", "GMT")]
)
def test_zones_of_the_machine(place: str, key: str) -> None:
    """Any IANA name is found, in any case, also by its city alone."""
    zone = find_zone(place)
    assert zone is not None
    assert zone.key == key


@pytest.mark.parametrize("place", ["", "atlantis", "../../etc/passwd", "/etc/passwd", "火星", "\0"])
def test_no_zone(place: str) -> None:
    """What is no place has no zone, and no path is followed."""
    assert find_zone(place) is None
    assert not is_known(place)


@given(st.text())
def test_fold_keeps_the_length(text: str) -> None:
    """A place in the folded text is the same place in what was said."""
    assert len(fold(text)) == len(text)
