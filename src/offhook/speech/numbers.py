"""Numbers as they are said, in Chinese and English: the optional extra ``numbers``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from offhook.speech.numbers_library import normalizer, ready

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["load", "ready", "spoken"]

LANGUAGES = ("zh", "en")
_DIGIT = re.compile("[0-9\uff10-\uff19]")
_NARROW = {ord("\uff10") + digit: ord("0") + digit for digit in range(10)}


def load() -> None:
    """Load the library and its data, which takes a quarter of a second and 45 MiB, so that no sentence waits for it.

    Raises ImportError where the extra is not installed, and RuntimeError where the library does not do what it did.
    """
    for language, expected in (("zh", "\u56db\u5341\u4e8c"), ("en", "forty two")):
        normalizer(language)
        if (words := spoken("42", language)) != expected:
            raise RuntimeError(f"the library for numbers reads 42 as {words!r}")


def spoken(sentence: str, language: str) -> str:
    """Give a whole sentence with its numbers as they are said; ``language`` is ISO 639-1, with or without a region.

    Anything but numbers, their signs and their units is left as it is, and so is the whole sentence where its language
    is neither Chinese nor English, or where the extra is not installed. Raises nothing. It computes for about a
    millisecond, so it is called off the event loop, and by one thread at a time: nobody promises that the library can
    be used by two.
    """
    if not _DIGIT.search(sentence):
        return sentence
    read = _reader(language.replace("_", "-").partition("-")[0].lower())
    if read is None:
        return sentence
    try:
        return read(sentence.translate(_NARROW))
    except Exception:  # A sentence with its numbers unread is better than no sentence.
        return sentence


@lru_cache(maxsize=8)
def _reader(language: str) -> Callable[[str], str] | None:
    """Give what reads a language. Its patterns are many, and only compiled for those who use them."""
    if language not in LANGUAGES or ready():
        return None
    if language == "zh":
        from offhook.speech.numbers_zh import read
    else:
        from offhook.speech.numbers_en import read
    return read
