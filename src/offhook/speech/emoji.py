"""Drops pictures and faces, which are drawn for a screen and cannot be heard."""

from __future__ import annotations

import re

from offhook.speech import kaomoji
from offhook.speech.mend import ARROW, BLANK, DROPPED, bridge

# What is dropped wherever it stands: emoji by the blocks they are in (whole ones, so that those of coming versions of
# Unicode are known), skin tones and flags among them, bullets, boxes, stars, ticks, and the private use areas.
# Kept are those that are spoken or stand for a word: sharps and flats, the triangle of geometry, the circle that
# Chinese texts write for a left-out word, and the numbers in circles.
PICTURES = (
    "\u2022\u2023\u2043\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u24c2"
    "\u2500-\u25b2\u25b4-\u25ca\u25cc-\u266c\u2670-\u2775\u2795-\u2797\u27b0\u27bf\u2934\u2935\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\ufe35\ufe36\ue000-\uf8ff\U0001f000-\U0001fbff\U000f0000-\U0010fffd"
)
# An arrow between words is a pause: "Settings → Privacy" is "Settings, Privacy".
_ARROWS = "\u2192\u21d2\u21e8\u2794\u2798-\u27af\u27b1-\u27be\u27f6\u27f9"
# They only tell how the character before them is drawn: what is left of a keycap is its digit.
_MARKS = "\ufe00-\ufe0f\u20e3\U000e0020-\U000e007f"
_JOINER = "\u200d"
_SPOKEN = {"\U0001f51f": "10", "\u203c": "!", "\u2049": "?"}

_TRIGGERS = f"{PICTURES}{_ARROWS}{_MARKS}{_JOINER}\u203c\u2049{kaomoji.TRIGGERS}"
# Behind a letter or a digit none of these begins a face.
_PLAIN_NOT = re.compile(rf"[{_TRIGGERS}](?<![A-Za-z0-9][:;=<>^])")
_NEXT = re.compile(rf"[{_TRIGGERS}]|(?<![A-Za-z0-9'’])[{kaomoji.ARMS}](?=[(（]|\Z)")
_RUN = re.compile(f"[{PICTURES}](?<!\U0001f51f)(?:(?!\U0001f51f)[{PICTURES}{_MARKS}{_JOINER}])*")
_IS_ARROW = re.compile(f"[{_ARROWS}]")
_IS_MARK = re.compile(f"[{_MARKS}]+")


class EmojiShaper:
    """Drops emoji, pictures and faces such as ``:-)``, ``:smile:`` and ``(｡♥‿♥｡)``, and the blanks behind them.

    A keycap gives its digit, an arrow between words a comma, in Chinese text ``，``. Signs that are spoken stay:
    ``™``, ``°``, currency, mathematics, ``①``, ``※``, ``○``. Blanks in front of what is dropped stay, as they are
    given before it comes: "Great! 🎉" is "Great! ". Between letters a blank takes the place of what stood there
    without any, and a line of pictures alone goes with its end. A bracket with words or numbers in it stays, and so
    do ``10:30:45`` and ``a:b:c``. Letters alone (``xD``, ``T_T`` outside brackets, ``orz``) stay: they would have to
    wait whenever a word begins like them.
    """

    __slots__ = ("_gap", "_held", "_last", "_plain")

    def __init__(self) -> None:
        # The end of what came, which may be the beginning of a face.
        self._held = ""
        # The last text that was given, in front of blanks at least its last character, and what was dropped behind it.
        self._last = ""
        self._gap = 0
        # Nothing was dropped, and nothing is held: a text without triggers needs no closer look.
        self._plain = True

    def feed(self, text: str, /) -> str:
        """Take the next piece and give what of it, and of what was held back, may be spoken now."""
        if not text:
            return text
        if not self._plain or _PLAIN_NOT.search(text) or (text[-1] in kaomoji.ARMS and not _in_word(text[-2:-1])):
            return self._shape(self._held + text, final=False)
        self._last = text if not text.isspace() else self._word() + text
        return text

    def pause(self) -> str:
        """Give what was held back: a text that goes on here gets no closer look."""
        return self.flush()

    def rest(self) -> str:
        """Give what was held back: what follows is another text."""
        return self.flush()

    def flush(self) -> str:
        """Take the end of the text and give what was held back."""
        rest = self._shape(self._held, final=True) if self._held else ""
        self._held = self._last = ""
        self._gap = 0
        self._plain = True
        return rest

    def _shape(self, text: str, *, final: bool) -> str:
        given: list[str] = []
        position = 0
        self._held = ""
        while match := _NEXT.search(text, position):
            place = match.start()
            self._give(text[position:place], given)
            kind, end = self._look(text, place, final=final)
            if kind == "wait":
                self._held = text[place:]
                position = len(text)
                break
            if kind == "drop" or kind == "arrow":
                self._gap |= DROPPED | ARROW * (kind == "arrow")
            elif kind != "mark":
                self._give(_SPOKEN.get(text[place:end], text[place:end]), given)
            position = end
        self._give(text[position:], given)
        self._plain = not self._gap and not self._held
        return "".join(given)

    def _look(self, text: str, place: int, *, final: bool) -> tuple[str, int]:
        """Tell what begins at ``place`` and where that ends: drop, arrow, mark, text, or wait for more."""
        if run := _RUN.match(text, place):
            return "drop", run.end()
        if mark := _IS_MARK.match(text, place):
            return "mark", mark.end()
        character = text[place]
        if character == _JOINER:
            # It joins emoji, and the letters of some scripts.
            return ("mark" if self._gap else "text"), place + 1
        if _IS_ARROW.match(character):
            return "arrow", place + 1
        if character in _SPOKEN:
            return "text", place + 1
        before = " " if self._gap else self._last[-1:]
        if character in kaomoji.ARMS:
            if _in_word(before) or before in {"'", "’"}:
                return "text", place + 1
            if place + 1 == len(text):
                return ("text" if final else "wait"), place + final
            kind, end = kaomoji.look(text, place + 1, "", final=final)
            return kind, place + 1 if kind == "text" else end
        return kaomoji.look(text, place, before, final=final, last=self._word())

    def _word(self) -> str:
        """Give the last character that is no blank."""
        return self._last.rstrip(" \t")[-1:]

    def _give(self, piece: str, given: list[str]) -> None:
        """Give a piece of text, and in front of it what stands for what was dropped."""
        if self._gap:
            words = piece.lstrip(" \t")
            if len(words) < len(piece):
                self._gap |= BLANK
            if not words:
                return
            if words[0] == "\n" and self._word() in {"", "\n"}:
                # Of a line with nothing else on it no empty one is left.
                words = words[1:]
            else:
                left = self._word() if self._gap & ARROW else self._last[-1:]
                given.append(bridge(left, words[0], self._gap))
            self._gap = 0
            piece = words
        if piece:
            given.append(piece)
            self._last = piece if not piece.isspace() else self._word() + piece


def _in_word(before: str) -> bool:
    """Tell whether what stands behind a character is the end of an English word."""
    return before.isascii() and before.isalnum()
