"""Dates and times of day in an English sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offhook.speech.numbers_en_words import DIGITS, cardinal, ordinal, year
from offhook.speech.numbers_library import ask
from offhook.speech.numbers_rules import TO

if TYPE_CHECKING:
    from offhook.speech.numbers_rules import Rule

MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
_SHORT = {name[:3]: name for name in MONTHS} | {"Sept": "September"}
_MONTH = rf"(?P<month>{'|'.join(MONTHS)}|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
_DAY = r"(?P<day>0?[1-9]|[12][0-9]|3[01])"
YEAR = r"(?:1[0-9]|20|21)[0-9]{2}"


def date(number: str, month: int, day: int, behind: str = "") -> str | None:
    """Read a day of a year, or of none; None where there is no such day."""
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    words = f"{MONTHS[month - 1]} {ordinal(str(day))}"
    return f"{words}, {year(number)}{behind}" if number else words


_ISO = re.compile(
    r"(?<![0-9][-./])(?<![0-9])([12][0-9]{3})([-./])([0-9]{1,2})\2([0-9]{1,2})(T(?=[0-9]))?(?![0-9]|[-/.][0-9])"
)
_SLASHED = re.compile(r"(?<![0-9/.-])([0-9]{1,2})([-/.])([0-9]{1,2})\2([12][0-9]{3}|[0-9]{2})(?![0-9]|[-/.][0-9])")


def _iso(match: re.Match[str]) -> str | None:
    return date(match[1], int(match[3]), int(match[4]), ", " if match[5] else "")


def _slashed(match: re.Match[str]) -> str | None:
    first, second = int(match[1]), int(match[3])
    # 1.2.34 is a version. Month first, as in America, unless it cannot be one.
    if len(match[4]) == 2 and match[2] != "/":
        return None
    month, day = (second, first) if first > 12 else (first, second)
    return date(match[4] if len(match[4]) == 4 else f"20{match[4]}", month, day)


_MONTH_DAY = re.compile(
    rf"\b{_MONTH} {_DAY}(?P<ending>st|nd|rd|th)?(?:{TO}(?P<last>[12][0-9]|3[01]|0?[1-9])(?:st|nd|rd|th)?)?"
    rf"(?P<year>,? {YEAR}(?![0-9:]))?(?![0-9A-Za-z:%]|[.,][0-9])"
)
_DAY_MONTH = re.compile(rf"(?P<the>\b[Tt]he )?(?<![0-9$:.,/-]){_DAY}(?: |-){_MONTH}(?P<year>,? {YEAR}(?![0-9:]))?\b")


def _month(match: re.Match[str]) -> str:
    return _SHORT.get(match["month"].rstrip("."), match["month"])


def _behind(match: re.Match[str]) -> str:
    if not match["year"]:
        return ""
    return match["year"][:-4] + year(match["year"][-4:])


def _month_day(match: re.Match[str]) -> str:
    last = f" to {ordinal(match['last'].lstrip('0'))}" if match["last"] else ""
    return f"{_month(match)} {ordinal(match['day'].lstrip('0'))}{last}{_behind(match)}"


def _day_month(match: re.Match[str]) -> str:
    return f"{match['the'] or 'the '}{ordinal(match['day'].lstrip('0'))} of {_month(match)}{_behind(match)}"


_CLOCK = r"(?:[01]?[0-9]|2[0-4]):[0-5][0-9](?::[0-5][0-9])?"
_HALF = r"(?: ?[AaPp]\.?[Mm]\b\.?)"
# 9.30 am, as in Britain.
_POINTED = re.compile(r"(?<![0-9.])([01]?[0-9]|2[0-3])\.(?=[0-5][0-9] ?[AaPp]\.?[Mm]\b)")
_TIMES = re.compile(
    rf"(?<![0-9])(?<![0-9]:)({_CLOCK}{_HALF}?|[0-9]{{1,2}}{_HALF}?(?=[^:]{{1,3}}[0-9:]{{1,5}}{_HALF}))"
    rf"{TO.replace('|-', '| ?- ?')}(?={_CLOCK}(?![0-9:])|[0-9]{{1,2}}{_HALF})"
)
_TIME = re.compile(
    rf"(?<![0-9.,])(?<![0-9]:)([0-9]{{1,2}}):([0-9]{{2}})(?::([0-9]{{2}}))?(?![0-9:]|\.[0-9])(?P<half>(?={_HALF}))?"
)


def _time(match: re.Match[str]) -> str | None:
    hour, minute, second, half = int(match[1]), match[2], match[3], match["half"] is not None
    if hour > 24 or minute > "59" or (second or "00") > "59" or (hour == 24 and minute != "00"):
        return None
    if second and second != "00":
        return ask(match[0], "en")
    words = cardinal(str(hour))
    if minute != "00":
        return f"{words} oh {DIGITS[minute[1]]}" if minute[0] == "0" else f"{words} {cardinal(minute)}"
    if half:
        return words
    return f"{words} o'clock" if 1 <= hour <= 12 else f"{words} hundred" if hour else "midnight"


# Before telephone numbers, which have hyphens and points too.
WRITTEN: tuple[Rule, ...] = ((_ISO, _iso), (_SLASHED, _slashed))
SPOKEN: tuple[Rule, ...] = (
    (_MONTH_DAY, _month_day),
    (_DAY_MONTH, _day_month),
    (_POINTED, lambda match: f"{match[1]}:"),
    (_TIMES, lambda match: f"{match[1]} to "),
    (_TIME, _time),
)
