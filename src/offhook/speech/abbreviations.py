"""Tells the dot that ends a sentence from that of an abbreviation, an initial or a number in a list."""

from __future__ import annotations

import re

from offhook.speech.mend import UNSPACED

# No word that is known is longer, with the dots in it.
_FAR = 20
_LETTERS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")

# What follows belongs to them.
_TITLES = frozenset(
    "mr mrs ms dr prof st gen sen rep gov capt cpt col lt sgt maj rev hon mt pres messrs"  # noqa: SIM905  one word a line would be long
    " vs e.g i.e eg ie cf viz approx incl excl resp tel".split()
)
# A number belongs to them.
_NUMBERED = frozenset(
    "no nos nr fig figs vol vols ch chap sec p pp eq eqs art ext apt ste rm op par para bldg"  # noqa: SIM905  as above
    " jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
# They may stand at the end of a sentence: a capital behind them begins the next.
_MAY_END = frozenset(
    "etc inc ltd co corp bros llc jr sr esq dept est al ave blvd rd st mon tue tues wed thu thur thurs fri sat sun"  # noqa: SIM905  as above
    " a.m p.m am pm min max hr hrs sec secs lb lbs oz ft in cm km kg ph.d m.d b.a m.a b.sc m.sc".split()
)


def ends(sentence: str, following: str) -> bool:
    """Tell whether the dot behind ``sentence`` ends it, where ``following`` comes behind a blank."""
    word = _last_word(sentence[-_FAR:])
    if not word:
        return True
    known = word.lower()
    if known.isdecimal():
        # "1. Open the box": a number that nothing stands before.
        return bool(sentence[: -len(word)].strip())
    if known in _NUMBERED and following.isdecimal():
        return False
    if len(word) == 1:
        # "J. K. Rowling", "a. the first"; but "so do I."
        return word == "I" or (word.islower() and bool(sentence[:-1].strip()))
    if known in _TITLES and not (known in _MAY_END and not following.isupper()):
        return False
    if known in _MAY_END:
        return not (following.islower() or following.isdecimal() or following in ",;:")
    # "U.S. Army"; but "main.py."
    return not _LETTERS.fullmatch(word)


def _last_word(text: str) -> str:
    """Give the letters and dots, or else the digits, at the end of a text."""
    place = len(text)
    while place and ((text[place - 1].isalpha() and text[place - 1] < UNSPACED) or text[place - 1] == "."):
        place -= 1
    if place < len(text):
        return text[place:].lstrip(".")
    while place and text[place - 1].isdecimal():
        place -= 1
    return text[place:]
