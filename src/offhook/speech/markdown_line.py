"""A line of Markdown on its way: what was said, what is held back, what is open."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from offhook.speech.markdown_voice import Voice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A paragraph's end.
PARAGRAPH = re.compile(r"\n[ \t\r]{0,40}\n")
_PARAGRAPH_BEGUN = re.compile(r"\n[ \t\r]{0,40}\Z")

# What a line's words end at.
SPECIAL = re.compile(r"[*_~=`\[\]<&$\\|\n\r#/!(（^]")


class Line:
    """What all marks inside a line share; the line's start and end are the matter of ``MarkdownShaper``."""

    __slots__ = (
        *(
            "_bars",
            "_called",
            "_coded",
            "_heading",
            "_held",
            "_labels",
            "_mode",
            "_open",
            "_plain",
            "_sentence",
            "_skip",
        ),
        *("_tags", "_ticks", "_until", "_voice"),
    )

    # A function and no method of this object: that would be a circle, which only the collector finds.
    _mode: Callable[[Any, str, int, bool], int]
    # What takes each special character.
    _handlers: ClassVar[Mapping[str, Callable[[Any, str, int, bool], int]]]

    def __init__(self, language: str, tags: tuple[str, ...]) -> None:
        self._tags = tags
        self._voice = Voice(language)
        # The end of what came, from a mark that cannot be told yet, and what has to come to tell it, if that is known.
        self._held = ""
        self._until: re.Pattern[str] | None = None
        # Nothing asks for a closer look at a text without special characters.
        self._plain = False
        # Of this line: it is spoken as a sentence, it is a heading, its bars are no table's.
        self._sentence = self._heading = self._bars = False
        # The last bracket stands behind a name: f(*args).
        self._called = False
        # For each square bracket that is open in this line, whether it was given.
        self._labels: list[bool] = []
        # How many ticks close the code, and whether any of it was said.
        self._ticks = 0
        self._coded = False
        # The runs of each mark of emphasis that are open in this paragraph, as bits of 1 and 2.
        self._open: dict[str, int] = {}
        # What ends that which is passed over.
        self._skip = ""

    def _hold(self, text: str, at: int, until: re.Pattern[str] | None = None) -> int:
        self._held = text[at:]
        self._until = until
        return len(text)

    def _row(self) -> None:
        self._voice.begin_row()
        self._sentence = True

    def _inline(self, text: str, at: int, final: bool) -> int:
        found = SPECIAL.search(text, at)
        if found is None:
            self._voice.say(text[at:])
            return len(text)
        place = found.start()
        if place > at:
            self._voice.say(text[at:place])
        return self._handlers[text[place]](self, text, place, final)

    def _inner(self, text: str) -> None:
        """Take a text that stands inside a mark, such as that of a link."""
        mode = self._mode
        self._mode = type(self)._inline
        at = 0
        while at < len(text):
            at = self._mode(self, text, at, True)
        self._mode = mode
        self._skip = ""

    def _literal(self, text: str, at: int, final: bool) -> int:
        self._voice.say(text[at])
        return at + 1

    def _newline(self, text: str, at: int, final: bool) -> int:
        if text[at] == "\r":
            if at + 1 == len(text) and not final:
                return self._hold(text, at)
            if text.startswith("\n", at + 1):
                return at + 1
        self._line_end()
        return at + 1

    def _line_end(self) -> None:
        """End the line; what follows depends on the blocks that the line stands in."""

    def _enclose(self, kept: str) -> None:
        """Begin code that a tag encloses, which is named and not read."""

    def _pass_over(self, text: str, at: int, final: bool) -> int:
        """Pass over everything up to what is waited for, or to the paragraph's end: it may never come."""
        wanted = self._skip
        closing = wanted.startswith("</")
        found = re.compile(re.escape(wanted), re.IGNORECASE).search(text, at)
        end = found.start() if found else -1
        gap = PARAGRAPH.search(text, at, end if end >= 0 else len(text))
        if gap or end >= 0:
            self._mode = type(self)._inline
            self._skip = ""
            if gap:
                return gap.start()
            # A line's end and a closing tag are left to be taken.
            return end if closing or wanted == "\n" else end + len(wanted)
        begun = _PARAGRAPH_BEGUN.search(text, max(at, len(text) - 50))
        keep = len(text) - begun.start() if begun else min(len(text) - at, len(wanted) - 1)
        return len(text) if final or not keep else self._hold(text, len(text) - keep)
