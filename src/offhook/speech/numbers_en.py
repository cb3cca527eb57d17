"""Numbers in an English sentence, in the words that are said for them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from offhook.speech.numbers_en_dates import MONTHS, SPOKEN, WRITTEN, YEAR, date
from offhook.speech.numbers_en_words import LONGEST, amount, cardinal, digits, grouped, ordinal, pairs, year
from offhook.speech.numbers_library import ask
from offhook.speech.numbers_rules import AMOUNT, MINUS, REFERENCE, TELEPHONES, TO, apply, groups, split
from offhook.speech.numbers_signs import ENGLISH, NUMBER_ENGLISH

if TYPE_CHECKING:
    from offhook.speech.numbers_rules import Rule

# --- telephone numbers and other names made of digits -------------------------------------------------------------


def _telephone(match: re.Match[str]) -> str | None:
    found = groups(match[0])
    if found is None:
        return None
    return ("plus " if match[0].startswith("+") else "") + grouped(found)


_NAMED = re.compile(
    r"(?P<before>\b(?:(?:code|PIN|pin|passcode|password|extension|ext\.?|[Rr]oom|[Ss]uite|[Ff]light|[Gg]ate|ID|[Zz][Ii][Pp]"
    r"|ending in|ends in|[Cc]all|[Dd]ial|(?:[Oo]rder|[Cc]onfirmation|[Rr]eference|[Aa]ccount|[Tt]racking|[Tt]icket"
    r"|[Bb]ooking|[Ss]erial|[Cc]ase|[Pp]hone|[Cc]ard|[Pp]olicy|[Mm]ember(?:ship)?|[Ii]nvoice)"
    r" (?:number|no\.?|code|ID|id))"
    r"(?: (?:is|was|number))?:? ?(?:#|No\. ?)?"
    r"(?:(?<=light )[A-Z]{2} |(?<=number )[A-Z]{2} )?)|(?<![0-9A-Za-z])# ?)(?P<number>[0-9]{3,}+)"
    r"(?![.,]?[0-9]|-[0-9]| ?%| (?:people|times|customers)\b)"
)


def _named(match: re.Match[str]) -> str:
    # A hash alone is said, and behind a word that names the number it is not.
    before = match["before"].replace("#", "") if match["before"][0] != "#" else "number "
    return before + digits(match["number"])


_LONG = re.compile(
    r"(?<![0-9.,$\u20ac\u00a3\u00a5])[0-9]{7,}+(?!,[0-9]{3}|\.[0-9])(?! ?(?:dollars|people|users|yuan|euros|pounds)\b)"
)


def _long(match: re.Match[str]) -> str | None:
    # A million is a number; what does not end in zeros is more likely a name.
    return None if match[0].endswith("000") and len(match[0]) <= LONGEST else digits(match[0])


_VERSION = re.compile(r"(?<![0-9.,])[0-9]{1,5}(?:\.[0-9]{1,5}){2,}+(?![0-9])")


def _version(match: re.Match[str]) -> str:
    return " point ".join(map(cardinal, match[0].split(".")))


_SCORE = re.compile(r"(?<![0-9:.])([0-9]{1,4}):([0-9]{1,4})(?![0-9:])")


def _score(match: re.Match[str]) -> str:
    return f"{amount(match[1])} to {amount(match[2])}"


# --- money, percent, units ----------------------------------------------------------------------------------------

# One, several, and the hundredth part, one and several.
_MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "US$": ("US dollar", "US dollars", "cent", "cents"),
    "USD": ("US dollar", "US dollars", "cent", "cents"),
    "HK$": ("Hong Kong dollar", "Hong Kong dollars", "cent", "cents"),
    "\u20ac": ("euro", "euros", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "\u00a3": ("pound", "pounds", "penny", "pence"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "\u00a5": ("yuan", "yuan", "", ""),
    "\uffe5": ("yuan", "yuan", "", ""),
    "RMB": ("yuan", "yuan", "", ""),
    "CNY": ("yuan", "yuan", "", ""),
    "JPY": ("yen", "yen", "", ""),
}
_SIGN = "|".join(re.escape(sign) for sign in sorted(_MONEY, key=len, reverse=True))
_LETTERS = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion"}
_SCALE = r"(?: (?:hundred|thousand|million|billion|trillion)\b|(?:[KkMBb]|[mb]n|T)\b)"
_PRICE = re.compile(
    rf"(?<![A-Za-z])(?P<minus>{MINUS})?(?P<sign>{_SIGN}) ?(?P<debt>[-\u2212])?(?P<first>{AMOUNT})"
    rf"(?:{TO}(?:{_SIGN})?(?P<last>{AMOUNT}))?(?P<scale>{_SCALE})?"
)
_PRICE_BEHIND = re.compile(
    rf"(?P<minus>{MINUS})?(?P<first>{AMOUNT})(?:{TO}(?P<last>{AMOUNT}))?(?P<scale>{_SCALE})? ?"
    r"(?P<sign>[\u20ac\u00a3]|[A-Z]{3}\b)(?P<debt>)"
)
_CENTS = re.compile(rf"({AMOUNT}) ?\u00a2")


def _price(match: re.Match[str]) -> str | None:
    if match["sign"] not in _MONEY:
        return None
    one, many, cent, cents = _MONEY[match["sign"]]
    # Some write $72 dollars.
    if re.match(r" (?:dollar|buck|euro|pound|yuan)", match.string[match.end() : match.end() + 8]):
        one = many = cent = cents = ""
    first, last = match["first"], match["last"]
    minus = "minus " if match["minus"] or match["debt"] else ""
    scale = (match["scale"] or "").strip()
    if scale:
        scale = " " + _LETTERS.get(scale.lower(), scale)
    if last:
        return f"{minus}{amount(first)} to {amount(last)}{scale} {many}".rstrip()
    whole, fraction = split(first)
    if cent and not scale and len(fraction) == 2:
        units = f"{amount(whole)} {one if whole == '1' else many}"
        parts = "" if fraction == "00" else f"{cardinal(fraction.lstrip('0'))} {cent if fraction == '01' else cents}"
        both = f"{units} and {parts}" if parts else units
        return minus + (parts if parts and not whole.strip("0") else both)
    return f"{minus}{amount(first)}{scale} {one if first == '1' and not scale else many}".rstrip()


_PERCENT = re.compile(
    rf"(?P<minus>{MINUS})?(?P<first>{AMOUNT}) ?[%\uff05]?(?:{TO}(?P<last>{AMOUNT}) ?[%\uff05])?(?<=[%\uff05])"
)


def _percent(match: re.Match[str]) -> str:
    last = f" to {amount(match['last'])}" if match["last"] else ""
    return f"{'minus ' if match['minus'] else ''}{amount(match['first'])}{last} percent"


# What the library does not know, or takes for something else (m: minutes); the rest is asked.
_UNITS = {
    "m": ("meter", "meters"), "m/s": ("meter per second", "meters per second"), "mL": ("milliliter", "milliliters"),
    "L": ("liter", "liters"), "kWh": ("kilowatt hour", "kilowatt hours"), "W": ("watt", "watts"),
    "V": ("volt", "volts"), "mAh": ("milliamp hour", "milliamp hours"), "dB": ("decibel", "decibels"),
    "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "mins": ("minute", "minutes"), "secs": ("second", "seconds"),
    "kph": ("kilometer per hour", "kilometers per hour"), "gal": ("gallon", "gallons"),
    "Gbps": ("gigabit per second", "gigabits per second"), "\u33a1": ("square meter", "square meters"),
    "kcal": ("kilocalorie", "kilocalories"), "m\u00b2": ("square meter", "square meters"),
    "m2": ("square meter", "square meters"), "\u2030": ("per mille", "per mille"), "TB": ("terabyte", "terabytes"),
    "\u00b0C": ("degree Celsius", "degrees Celsius"), "\u2103": ("degree Celsius", "degrees Celsius"),
    "\u00b0F": ("degree Fahrenheit", "degrees Fahrenheit"), "\u2109": ("degree Fahrenheit", "degrees Fahrenheit"),
    "\u00b0": ("degree", "degrees"),
}  # fmt: skip
_ASKED = (
    *(
        "km/h",
        "km\u00b2",
        "km2",
        "km",
        "kg",
        "mg",
        "g",
        "ml",
        "cm\u00b2",
        "cm",
        "mm",
        "m\u00b3",
        "m3",
        "KB",
        "MB",
        "GB",
    ),
    *("kW", "Hz", "kHz", "MHz", "GHz", "min", "ms", "mph", "mi", "lbs", "lb", "oz", "ft", "yd", "Mbps", "sq ft"),
)
_UNIT = "|".join(re.escape(unit) for unit in sorted((*_UNITS, *_ASKED), key=len, reverse=True))
_MEASURE = re.compile(
    rf"(?<![A-Za-z])(?P<minus>{MINUS})?(?P<first>{AMOUNT})(?:{TO}(?P<last>{AMOUNT}))?[ -]?(?P<unit>{_UNIT})"
    r"(?![A-Za-z0-9\u00b2\u00b3/])"
)


# A height.
_FEET = re.compile(
    r"(?<![0-9.])([0-9]{1,2})(?:(?P<words> ?(?:ft\.?|feet|foot) )|['\u2032\u2019])"
    r"([0-9]{1,2})(?(words) ?in(?:\.|ch(?:es)?)?(?![A-Za-z])(?! (?:the|a|an|my|his|her|our)\b)"
    r"|(?: ?[\"\u2033\u201d]|['\u2032\u2019]{2}|(?![0-9A-Za-z'\u2019])))"
)


def _feet(match: re.Match[str]) -> str:
    feet, inches = cardinal(match[1]), cardinal(match[3])
    if not match["words"]:
        return f"{feet} foot {inches}"
    return f"{feet} {'foot' if feet == 'one' else 'feet'} {inches} {'inch' if inches == 'one' else 'inches'}"


# 4K is a picture's size and stays.
_SHORT = re.compile(
    rf"(?<![0-9A-Za-z.,-])(?P<first>{AMOUNT})(?P<one>[KkM]?)(?:{TO}(?P<last>{AMOUNT}))?(?P<scale>(?<![248])K|(?<=[0-9]{{2}})K|k|M|mn|bn)"
    r"(?![A-Za-z0-9/+-])"
)


def _short(match: re.Match[str]) -> str:
    scale = _LETTERS[match["scale"].lower()]
    first = amount(match["first"])
    if not match["last"]:
        return f"{first} {scale}"
    one = match["one"] and _LETTERS[match["one"].lower()]
    return f"{first}{f' {one}' if one and one != scale else ''} to {amount(match['last'])} {scale}"


@lru_cache(maxsize=128)
def _unit(unit: str, single: bool) -> str | None:
    if unit in _UNITS:
        return _UNITS[unit][0 if single else 1]
    words = ask(f"{1 if single else 2} {unit}", "en")
    return words.partition(" ")[2] if words else None


def _measure(match: re.Match[str]) -> str | None:
    unit = _unit(match["unit"], match["first"] == "1" and not match["last"])
    if not unit:
        return None
    last = f" to {amount(match['last'])}" if match["last"] else ""
    return f"{'minus ' if match['minus'] else ''}{amount(match['first'])}{last} {unit}"


# --- ordinals, fractions, years, houses, and the rest -------------------------------------------------------------

_ORDINAL = re.compile(rf"({AMOUNT})(?:st|nd|rd|th)\b(?:{TO}({AMOUNT})(?:st|nd|rd|th)\b)?")


def _ordinal(match: re.Match[str]) -> str:
    return " to ".join(ordinal(split(part)[0]) for part in match.groups() if part)


_DECADE = re.compile(r"(?<![0-9A-Za-z.,$])'?((?:1[0-9]|20)?[0-9]0)['\u2019]?s\b")


def _decade(match: re.Match[str]) -> str | None:
    number = match[1]
    if number in {"00", "10"}:
        return None
    words = year(number) if len(number) == 4 else cardinal(number)
    return re.sub("y$", "ie", words) + "s"


_FRACTION = re.compile(r"(?<![0-9./])(?:([0-9]{1,3}) )?([0-9]{1,3})/([0-9]{1,3})(?![0-9/]|\.[0-9])")


def _fraction(match: re.Match[str]) -> str | None:
    whole, first, second = match.groups()
    if match[0] in {"24/7", "9/11", "50/50"}:
        return f"{cardinal(first)} {cardinal(second)}"
    before = match.string[max(0, match.start() - 12) : match.start()]
    # 12/25 is a day rather than twelve parts of 25; sixteenths and twentieths are parts.
    dated = re.search(r"\b(?:on|by|until|till|from|before|after|since|due) $", before) or (
        1 < int(first) <= 12 < int(second) <= 31 and second not in {"16", "20"}
    )
    if not whole and dated:
        day = date("", int(first), int(second))
        if day:
            return day
    if 2 <= int(second) <= 100 and 0 < int(first) < int(second) and second[0] != "0":
        words = ask(f"{whole or ''} {first}/{second}".strip(), "en")
        return words.replace("one one hundred", "one hundred") if words else None
    return f"{f'{cardinal(whole)} ' if whole else ''}{cardinal(first)} over {cardinal(second)}"


_STREET = (
    r"Street|St|Avenue|Ave|Boulevard|Blvd|Road|Rd|Drive|Dr|Lane|Ln|Way|Court|Ct|Place|Pl|Square|Highway|Hwy|Parkway"
    r"|Pkwy|Terrace"
)
_HOUSE = re.compile(rf"(?<![0-9A-Za-z.,$-])([0-9]{{3,5}})(?= (?:[A-Z0-9][A-Za-z0-9.']* ){{1,4}}(?:{_STREET})\b)")


def _house(match: re.Match[str]) -> str:
    return digits(match[1]) if len(match[1]) == 5 else pairs(match[1])


_STATE = re.compile(r"(?<=\b[A-Z]{2} )([0-9]{5})(?:-([0-9]{4}))?(?![0-9,.]?[0-9])")
_YEARS = re.compile(rf"(?<![0-9A-Za-z.,$#-])({YEAR})[-\u2013\u2014]({YEAR}|[0-9]{{2}})(?![0-9A-Za-z%]|[.,][0-9])")
_YEAR_ALONE = re.compile(
    r"(?P<before>\b(?:[Ii]n|[Ss]ince|[Bb]y|[Ff]rom|[Uu]ntil|[Tt]ill|[Yy]ear|[Ee]arly|[Ll]ate|of|circa"
    rf"|{'|'.join(MONTHS)}),? )?"
    rf"(?<![0-9A-Za-z.,$#-])(?P<year>{YEAR})(?![0-9A-Za-z%:/]|[.,][0-9])"
)


def _years(match: re.Match[str]) -> str | None:
    if len(match[2]) == 4 and match[2] <= match[1]:
        return None
    return f"{year(match[1])} to {year(match[2]) if len(match[2]) == 4 else cardinal(match[2].lstrip('0') or '0')}"


def _year_alone(match: re.Match[str]) -> str | None:
    counted = re.match(r" (?!was\b|is\b|this\b|has\b)[a-z]+s\b| people\b", match.string[match.end() : match.end() + 20])
    if counted or not (match["before"] or "1900" <= match["year"] < "2100"):
        return None
    return (match["before"] or "") + year(match["year"])


def _reference(match: re.Match[str]) -> str:
    return re.sub("[0-9]+", lambda part: f" {digits(part[0])} ", match[0]).strip()


_RANGE = re.compile(rf"(?<![A-Za-z0-9-])({AMOUNT}){TO}({AMOUNT})(?![0-9A-Za-z]|-[0-9])")
_CODE = re.compile(r"(?:(?<=[A-Za-z])|(?<=[A-Za-z]-))[0-9]{3,}+(?!\.[0-9])|(?<![0-9.,])[0-9]{3,}+(?=[A-Za-z])")
_REST = re.compile(rf"(?P<minus>{MINUS}(?=[0-9]))?(?P<number>{AMOUNT})|(?<![0-9A-Za-z.])\.(?P<fraction>[0-9]+)")


def _range(match: re.Match[str]) -> str:
    return f"{amount(match[1])} to {amount(match[2])}"


def _rest(match: re.Match[str]) -> str:
    if match["fraction"]:
        return f"point {digits(match['fraction'])}"
    return ("minus " if match["minus"] else "") + amount(match["number"])


RULES: tuple[Rule, ...] = (
    *WRITTEN,
    (_FEET, _feet),
    *ENGLISH,
    *((shape, _telephone) for shape in TELEPHONES),
    (_NAMED, _named),
    NUMBER_ENGLISH,
    *SPOKEN,
    (_SCORE, _score),
    (_PRICE, _price),
    (_PRICE_BEHIND, _price),
    (_CENTS, lambda match: f"{amount(match[1])} {'cent' if match[1] == '1' else 'cents'}"),
    (_PERCENT, _percent),
    (_SHORT, _short),
    (_MEASURE, _measure),
    (_VERSION, _version),
    (_LONG, _long),
    (_ORDINAL, _ordinal),
    (_DECADE, _decade),
    (_FRACTION, _fraction),
    (_HOUSE, _house),
    (_STATE, lambda match: grouped([part for part in match.groups() if part])),
    (_YEARS, _years),
    (_YEAR_ALONE, _year_alone),
    (REFERENCE, _reference),
    (_RANGE, _range),
    (_CODE, lambda match: digits(match[0])),
    (_REST, _rest),
)


def read(sentence: str) -> str:
    """Give an English sentence with its numbers in words."""
    return apply(sentence, RULES, spaced=True)
