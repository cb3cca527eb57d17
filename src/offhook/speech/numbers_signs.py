"""Signs of arithmetic beside numbers, in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offhook.speech.numbers_rules import Rule

_ENGLISH = {
    **{"+": "plus", "=": "equals", "*": "times", "\u00d7": "times", "\u00f7": "divided by", "-": "minus"},
    **{"\u00b1": "plus or minus", "\u2265": "at least", "\u2264": "at most", "\u2248": "about"},
}
_CHINESE = {
    **{"+": "加", "=": "等于", "*": "乘", "\u00d7": "乘", "\u00f7": "除以", "-": "减"},
    **{"\u00b1": "正负", "\u2265": "大于等于", "\u2264": "小于等于", "\u2248": "约等于"},
}
# Between two numbers, with blanks on both sides or on none: 18+ and C++11 are names, and +86 begins a telephone number.
# A minus behind them is one, whatever it looks like.
_NUMBER = r"(?P<minus>[-\u2212]?)(?=[$\u20ac\u00a3\u00a5\uffe5]?[0-9])"
_BETWEEN = re.compile(rf"(?<=[0-9)%])(?P<blank> ?)(?P<sign>[+*\u00d7\u00f7=])(?P=blank){_NUMBER}")
# A hyphen is a minus where the sum is told.
_LESS = re.compile(
    r"(?<=[0-9])(?<![-/.,][0-9])(?<![-/.,][0-9]{2})(?: ([-\u2212]) |([-\u2212]))(?=[0-9]{1,9}(?:\.[0-9]{1,9})? ?=)"
)
_BEFORE = re.compile(rf" ?(?P<sign>[\u00b1\u2265\u2264\u2248]) ?{_NUMBER}")


def _rules(words: Mapping[str, str], negative: str, *, spaced: bool) -> tuple[Rule, ...]:
    def less(match: re.Match[str]) -> str:
        return f" {words['-']} " if spaced else words["-"]

    def sign(match: re.Match[str]) -> str:
        word = words[match["sign"]] + (" " if spaced else "") + (negative if match["minus"] else "")
        return f" {word}" if spaced and match.start() else word

    return ((_LESS, less), (_BETWEEN, sign), (_BEFORE, sign))


# The number of something, and no colour or topic. A word that says so already is enough.
_HASH = r"(?<![0-9A-Za-z&#])[#\uff03] ?(?P<number>[0-9]{1,9})(?![0-9A-Za-z#\uff03])"
_SAID = re.compile(r"(?:\b[Nn]umber|\b[Nn]os?\.?):? ?\Z")
_UNIT = "[号楼栋房室层座单幢户线]"


def _english_number(match: re.Match[str]) -> str:
    said = _SAID.search(match.string, max(0, match.start() - 12), match.start())
    return ("" if said else "number ") + match["number"]


NUMBER_ENGLISH: Rule = (re.compile(_HASH), _english_number)
NUMBER_CHINESE: Rule = (
    re.compile(rf"{_HASH}(?P<unit>{_UNIT}?)"),
    lambda match: match["number"] + (match["unit"] or "号"),
)
ENGLISH = _rules(_ENGLISH, "minus ", spaced=True)
CHINESE = _rules(_CHINESE, "负", spaced=False)
