"""The normaliser of the optional extra ``numbers``, asked for one number, date or unit at a time.

It is loaded when it is asked first. Whole sentences are not given to it: it lowers capitals, moves spaces and takes the
words beside a number for units.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

PACKAGE = "wetext"
INSTALL = "pip install 'offhook[numbers]'"
# What words are made of. Anything else was not understood.
_ENGLISH = re.compile("[A-Za-z][A-Za-z ,'-]*")
_CHINESE = re.compile("[\u4e00-\u9fff]+")


def ready() -> str | None:
    """Say which package is missing and how to install it; None where all is there."""
    if find_spec(PACKAGE) is not None:
        return None
    return f"reading numbers needs the package {PACKAGE}, which is not installed; type: {INSTALL}"


@lru_cache(maxsize=4)
def normalizer(language: str) -> Any:
    """Give the library's normaliser for ``en`` or ``zh``. Raises ImportError where it is not installed."""
    # Each setting by name, since defaults changed between versions: nothing but numbers is to be touched.
    kept = dict.fromkeys(
        ("traditional_to_simple", "full_to_half", "remove_interjections", "remove_puncts", "remove_erhua", "tag_oov"),
        False,
    )
    return import_module(PACKAGE).Normalizer(lang=language, operator="tn", **kept)


def ask(text: str, language: str) -> str | None:
    """Give a number, date, time or amount in words; None where the library cannot, or leaves a digit or symbol.

    What is short comes again and again and is remembered; what is long may be somebody's, and is not.
    """
    return _remembered(text, language) if len(text) <= 6 else _ask(text, language)


def _ask(text: str, language: str) -> str | None:
    try:
        words: str = normalizer(language).normalize(text).strip()
    except Exception:  # The library raises what its transducers raise: assertions, runtime errors.
        return None
    return words if (_ENGLISH if language == "en" else _CHINESE).fullmatch(words) else None


_remembered = lru_cache(maxsize=4096)(_ask)
