"""What the readers of numbers share: rules one after another, amounts, and the shapes of telephone numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# A pattern, and what is said for a match of it; None where it is no such thing after all.
Reading: TypeAlias = "Callable[[re.Match[str]], str | None]"
Rule: TypeAlias = "tuple[re.Pattern[str], Reading]"

# Digits with or without thousands separators, and a fraction. Never the end of a longer run of digits. Bounded, or a
# long row of groups would be walked again from each of them.
AMOUNT = r"(?<![0-9])(?:[0-9]{1,3}(?:,[0-9]{3}){1,6}+(?![0-9])|[0-9]++)(?:\.[0-9]++)?"
# Between the two ends of a range. A hyphen with spaces around it may be a minus or a dash.
TO = r"(?: ?[~\uff5e] ?| ?[\u2013\u2014]+ ?|-)"
# Nothing that makes a minus a hyphen stands before it, be it a number that was read already.
MINUS = r"(?<![0-9A-Za-z)\]}%零幺一二三四五六七八九十百千万])[-\u2212]"
# A telephone number is no part of a longer number, word or amount of money.
_BEFORE = r"(?<![0-9A-Za-z$\u20ac\u00a3\u00a5\uffe5])(?<![0-9][-.])"
_AFTER = r"(?![0-9A-Za-z%])(?!-[0-9])(?!\.[0-9])"

_SHAPES = (
    # In the international form, E.164: up to 15 digits, grouped in any way.
    r"\+[0-9]{1,3}+(?:[-. ]?\([0-9]{1,4}\)|[-. ]?[0-9]{2,11}+){1,6}+",
    r"(?:1[-. ])?\([0-9]{3}\) ?[0-9]{3}[-. ][0-9]{4}",
    r"(?:1[-. ])?[0-9]{3}([-. ])[0-9]{3}\1[0-9]{4}",
    # Area codes begin with 0; in brackets or not.
    r"\(0[0-9]{2,4}\) ?[0-9]{3,4}[- ]?[0-9]{3,4}",
    r"0[0-9]{2,4}[- ][0-9]{3,4}[- ]?[0-9]{3,4}(?:-[0-9]{1,5})?",
    r"1[3-9][0-9][- ][0-9]{4}[- ][0-9]{4}",
    r"[48]00[- ][0-9]{3,4}[- ][0-9]{3,4}",
    # Cards in fours, and whatever else is held together by two hyphens or more.
    r"[0-9]{4}(?:[- ][0-9]{4}){2,3}",
    r"[0-9]+(?:-[0-9]+){2,}",
    r"[0-9]{3}-[0-9]{4}|[0-9]{4}-[0-9]{4}",
)
TELEPHONES = tuple(re.compile(_BEFORE + f"(?:{shape})" + _AFTER) for shape in _SHAPES)


# A reference of capitals and digits, such as UGPE47OI.
REFERENCE = re.compile(r"(?<![A-Za-z0-9_-])(?=[A-Z]{0,11}[0-9])(?=[0-9]{0,11}[A-Z])[A-Z0-9]{6,12}+(?![A-Za-z0-9_])")


def groups(number: str) -> list[str] | None:
    """Give a telephone number's groups of digits, or None where it looks like a range of amounts or of years."""
    found = re.findall("[0-9]+", number)
    size = sum(map(len, found))
    if size > 15 and number.startswith("+"):
        return None
    if len(found) == 2 and not number.startswith(("+", "0", "(")):
        first, second = found
        # 500-1000 and 1999-2005 are ranges; 555-0142 and 8837-4993 are not.
        years = all("1000" <= part <= "2100" for part in found) and first < second
        if years or (second.endswith("00") and not second.startswith("0") and int(first) < int(second)):
            return None
    return found if size >= 7 else None


def apply(sentence: str, rules: Sequence[Rule], *, spaced: bool) -> str:
    """Give a sentence as the rules read it, each given what the one before it left.

    ``spaced`` puts a space between what is read and a letter beside it.
    """
    for pattern, reading in rules:

        def read(match: re.Match[str], reading: Reading = reading) -> str:
            words = reading(match)
            if words is None:
                return match[0]
            if spaced and words:
                text, start, end = match.string, match.start(), match.end()
                if start and text[start - 1].isalnum() and words[0].isalnum():
                    words = " " + words
                if end < len(text) and text[end].isalnum() and words[-1].isalnum():
                    words += " "
            return words

        sentence = pattern.sub(read, sentence)
    return sentence


def split(amount: str) -> tuple[str, str]:
    """Give an amount's digits before and behind the point, without separators."""
    whole, _, fraction = amount.replace(",", "").partition(".")
    return whole, fraction
