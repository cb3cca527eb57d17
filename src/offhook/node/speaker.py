"""How long words take to say, and how much of them had been heard when the caller cut in."""

from __future__ import annotations

import re

import msgspec

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
# One unit of speech: a character of a script without spaces, or a word.
_UNIT = re.compile(rf"(?P<character>[{_CJK}])|[^\W{_CJK}]+(?:['’.,:\-][^\W{_CJK}]+)*")
# What is said as part of the unit before it: closing marks, but no space.
_CLOSING = re.compile(rf"[^\w\s{_CJK}]*")
# Longer than any word; so much of what was said before decides where a word began.
_TAIL = 64


class Pace(msgspec.Struct, frozen=True):
    """How fast somebody speaks: Chinese, Japanese and Korean in characters, all else in words per second."""

    characters_per_second: float = 4.5
    words_per_second: float = 2.7


DEFAULT = Pace()


def duration(text: str, pace: Pace = DEFAULT) -> float:
    """Give how many seconds it takes to say ``text``; marks and spaces take none."""
    return sum(_length(match, pace) for match in _UNIT.finditer(text))


def heard(text: str, seconds: float, pace: Pace = DEFAULT) -> int:
    """Give how much of ``text``, as an offset into it, has been heard ``seconds`` after its beginning.

    A character or word counts once it is said to its end, with the marks that follow it.
    """
    spoken = 0.0
    offset = 0
    for match in _UNIT.finditer(text):
        spoken += _length(match, pace)
        # A millionth of a second forgives what adding floats loses.
        if spoken > seconds + 1e-6:
            return offset
        closing = _CLOSING.match(text, match.end())
        offset = closing.end() if closing else match.end()
    return len(text)


def added(before: str, piece: str, pace: Pace = DEFAULT) -> float:
    """Give how many seconds ``piece`` adds to ``before``, also where it goes on with a word."""
    tail = before[-_TAIL:]
    return max(0.0, duration(tail + piece, pace) - duration(tail, pace))


def _length(match: re.Match[str], pace: Pace) -> float:
    return 1 / (pace.characters_per_second if match["character"] else pace.words_per_second)


def whole_words(text: str, offset: int) -> int:
    """Give ``offset``, moved back to the beginning of the word that it would cut in two."""
    for match in _UNIT.finditer(text):
        if match.start() < offset < match.end():
            return match.start()
    return offset
