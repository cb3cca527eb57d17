"""Which language a text is written in, as far as its script tells, and whether it can be heard at all."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import Counter

# First and last character of a script, the language that it is taken for, and how many Latin letters one weighs.
_SCRIPTS = sorted(
    (ord(first), ord(last), language, weight)
    for first, last, language, weight in (
        ("A", "Z", "en", 1),
        ("a", "z", "en", 1),
        ("\u00c0", "\u024f", "en", 1),
        ("\u1e00", "\u1eff", "en", 1),
        ("\uff21", "\uff3a", "en", 1),
        ("\uff41", "\uff5a", "en", 1),
        ("\u0370", "\u03ff", "el", 1),
        ("\u1f00", "\u1fff", "el", 1),
        ("\u0400", "\u052f", "ru", 1),
        ("\u0530", "\u058f", "hy", 1),
        ("\u0590", "\u05ff", "he", 1),
        ("\u0600", "\u06ff", "ar", 1),
        ("\u0750", "\u077f", "ar", 1),
        ("\ufb50", "\ufdff", "ar", 1),
        ("\ufe70", "\ufefc", "ar", 1),
        ("\u0900", "\u097f", "hi", 1),
        ("\u0980", "\u09ff", "bn", 1),
        ("\u0b80", "\u0bff", "ta", 1),
        ("\u0c00", "\u0c7f", "te", 1),
        ("\u0e00", "\u0e7f", "th", 1),
        ("\u0e80", "\u0eff", "lo", 1),
        ("\u1000", "\u109f", "my", 1),
        ("\u10a0", "\u10ff", "ka", 1),
        ("\u1780", "\u17ff", "km", 1),
        ("\u1100", "\u11ff", "ko", 1),
        ("\u3130", "\u318f", "ko", 1),
        ("\uac00", "\ud7af", "ko", 3),
        ("\u3041", "\u309f", "ja", 3),
        # Without the middle dot and the long-vowel mark, which Chinese texts use in names.
        ("\u30a1", "\u30fa", "ja", 3),
        ("\uff66", "\uff9d", "ja", 3),
        ("\u3400", "\u4dbf", "zh", 3),
        ("\u4e00", "\u9fff", "zh", 3),
        ("\uf900", "\ufaff", "zh", 3),
        ("\U00020000", "\U0003ffff", "zh", 3),
    )
)
_FIRST = [script[0] for script in _SCRIPTS]

# Plus, dollar, degree, pictures; not Sk, which is lone accents and the back quote.
_SYMBOLS = frozenset(("Sm", "Sc", "So"))
# Punctuation by its category, and yet read out.
_READ_OUT = frozenset("%&@#\u2030\uff05\uff06\uff20\uff03\u00a7")


def language_of(text: str) -> str | None:
    """Give the language of the script that most of a text is in (ISO 639-1); None where there is no letter of any.

    A script stands for one language: Latin letters give ``en``, Cyrillic ones ``ru``, Arabic ones ``ar``. A Chinese,
    Japanese or Korean character counts like three Latin letters. Chinese characters with kana among them are ``ja``.
    """
    weights: Counter[str] = Counter()
    for character in text:
        code = ord(character)
        place = bisect_right(_FIRST, code) - 1
        if place >= 0 and code <= _SCRIPTS[place][1] and character.isalpha():
            weights[_SCRIPTS[place][2]] += _SCRIPTS[place][3]
    if weights["ja"]:
        weights["ja"] += weights.pop("zh", 0)
    if not weights.total():
        return None
    # Where two weigh the same, the one that is rarer in borrowed words.
    return max(weights, key=lambda language: (weights[language], language != "en"))


def speakable(text: str) -> bool:
    """Tell whether anything of a text can be heard: a letter, a digit or a symbol.

    White space, control and format characters, accents alone, and punctuation alone, such as ``...``, cannot.
    """
    # A loop and no any(): this is asked of every piece until the first that can be heard.
    for character in text:
        if character.isalnum() or character in _READ_OUT or unicodedata.category(character) in _SYMBOLS:
            return True
    return False
