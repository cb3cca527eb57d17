"""Disarms a platform's control tags in a text that callers or models wrote."""

from __future__ import annotations

import re
from functools import lru_cache

# A tag ends within so many characters, counted from its "<", or is none.
LIMIT = 400

_SIGNS = re.compile("<+")
# From behind a tag's opening to its end; quotes may hold a ">".
_END = re.compile(r"""(?:[^>"']|"[^"]*+"|'[^']*+')*+>""")


class TagShaper:
    """Removes the tags that begin with one of ``openings``, such as ``<imsagent_``, from a text that comes in pieces.

    An opening is matched in any case, with white space allowed behind its ``<`` and any run of it equal to a space;
    closing tags (``</imsagent_...``) are removed too. A tag goes from its ``<`` to its ``>``; of one that does not end
    within 400 characters only the ``<`` is dropped, and the rest is spoken. What comes out never holds an opening, also
    none that the removal of another tag would put together: then the ``<`` in front of the removed one is dropped too.
    """

    __slots__ = ("_held", "_looked", "_patterns")

    def __init__(self, openings: tuple[str, ...]) -> None:
        self._patterns = _compiled(openings) if openings else None
        # The end of what came, from a "<" that may be the beginning of a tag.
        self._held = ""
        # How far into it all is told: there stands the last "<", which alone may become something else.
        self._looked = 0

    def feed(self, text: str, /) -> str:
        """Take the next piece and give what of it, and of what was held back, may go out now."""
        if (not self._held and "<" not in text) or self._patterns is None:
            return text
        return self._shape(self._held + text, self._patterns, final=False)

    def pause(self) -> str:
        """Give nothing: what is held may be the beginning of a tag still, and that is never said."""
        return ""

    def rest(self) -> str:
        """Give nothing, as in a pause."""
        return ""

    def flush(self) -> str:
        """Take the end of the text and give what was held back, disarmed."""
        if not self._held or self._patterns is None:
            return ""
        return self._shape(self._held, self._patterns, final=True)

    def _shape(self, text: str, patterns: _Patterns, *, final: bool) -> str:
        given: list[str] = []
        position = 0
        looked, self._looked = self._looked, 0
        self._held = ""
        while (start := text.find("<", position)) >= 0:
            given.append(text[position:start])
            last, place, kind = patterns.look(text, start, start + looked)
            looked = 0
            if kind == "none" or (kind == "begun" and final):
                given.append(text[start:place])
                position = place
                continue
            # Everything up to here that might begin a tag stands right before one, or before the limit.
            before = text[start:place].replace("<", "")
            if kind == "opening":
                end = _END.match(text, place + 1, place + LIMIT)
                if end is not None:
                    position = end.end()
                elif final or len(text) - place >= LIMIT:
                    position = place + 1
                else:
                    kind = "begun"
            else:
                position = place
            if kind == "begun":
                self._held = text[start:]
                self._looked = last - start
                return "".join(given)
            given.append(before)
        given.append(text[position:])
        return "".join(given)


def disarm(text: str, openings: tuple[str, ...]) -> str:
    """Give a whole text without the tags that begin with one of ``openings``, as ``TagShaper`` does."""
    if not openings or "<" not in text:
        return text
    shaper = TagShaper(openings)
    return shaper.feed(text) + shaper.flush()


def begins_tag(text: str, openings: tuple[str, ...]) -> bool:
    """Tell whether a text begins with one of ``openings``."""
    return _compiled(openings).whole.match(text) is not None


class _Patterns:
    """What recognises the openings, whole and begun."""

    __slots__ = ("_begun", "whole")

    def __init__(self, openings: tuple[str, ...]) -> None:
        marks = [_marks(opening) for opening in openings]
        self.whole = re.compile("|".join("".join(each) for each in marks), re.IGNORECASE)
        # One each: in alternatives the first that fits wins, and not the one that reaches farthest.
        self._begun = [re.compile(_nested(each), re.IGNORECASE) for each in marks]

    def look(self, text: str, start: int, place: int) -> tuple[int, int, str]:
        """Tell what the ``<`` at ``start`` begins, and where that was decided, behind the last ``<`` looked at.

        ``opening``: a tag, whose ``<`` stands at the place; ``none``: text, up to the place; ``begun``: the text ends
        before it can be told; ``long``: it cannot be told within the limit. Beginnings that follow each other, as in
        ``<<imsa<imsagent_hangup/>``, have one fate, that of the last: its removal would join them to what follows. So
        a text that comes in pieces is looked at from ``place``, the last one of the time before.
        """
        limit = start + LIMIT
        while True:
            run = _SIGNS.match(text, place, limit)
            last = place = run.end() - 1 if run else place
            if self.whole.match(text, place, limit):
                return last, place, "opening"
            # Each begins with "<", which stands there.
            place = max(found.end() for begun in self._begun if (found := begun.match(text, place, limit)))
            if place == limit:
                return last, place, "long"
            if place == len(text):
                return last, place, "begun"
            if text[place] != "<":
                return last, place, "none"


@lru_cache(maxsize=64)
def _compiled(openings: tuple[str, ...]) -> _Patterns:
    return _Patterns(openings)


def _marks(opening: str) -> list[str]:
    """Give the patterns of an opening's characters. Raises ValueError when it does not begin with ``<``."""
    if not opening.startswith("<") or not opening[1:].strip():
        raise ValueError(f"{opening!r} is no beginning of a tag")
    words = opening[1:].split()
    marks = ["<", r"\s*+", "/?+", r"\s*+"]
    for number, word in enumerate(words):
        marks += [r"\s++"] * (number > 0) + [re.escape(character) for character in word]
    return marks


def _nested(marks: list[str]) -> str:
    """Give the pattern of the longest beginning that fits: each mark only where the one before it fits."""
    return "(?:".join(marks) + ")?" * (len(marks) - 1)
