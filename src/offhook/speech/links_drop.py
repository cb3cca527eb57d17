"""Leaves web and e-mail addresses out of a text."""

from __future__ import annotations

import re

from offhook.speech import addresses
from offhook.speech.addresses import BODY, LIMIT
from offhook.speech.mend import BLANK, DROPPED, bridge, is_closing

_CLOSES = {"(": ")", "（": "）", "[": "]", "【": "】", "<": ">", "《": "》", "“": "”", '"': '"'}
_WORD = re.compile(rf"[A-Za-z0-9]{BODY}*")
_RUN = re.compile(f"{BODY}*")
# A word, with what is in front of it that would stand alone without it.
_NEXT = re.compile(
    r"(?P<colon>[：:]?)(?P<blanks>[ \t]{0,4})(?P<opening>[(（\[【<《“\"]?)"
    r"(?:(?=[A-Za-z0-9])|\Z)"
)


class Dropper:
    """Drops addresses, with the brackets and the colon that would be left with nothing, and mends the blanks."""

    __slots__ = ("_colon", "_gap", "_held", "_last", "_mode")

    def __init__(self) -> None:
        self._held = ""
        self._last = ""
        self._gap = 0
        self._colon = ""
        # Within an address that is too long (skip), or within a word that is too long and none (pass).
        self._mode = ""

    def feed(self, text: str, /) -> str:
        """Take the next piece and give what of it, and of what was held back, may be spoken now."""
        return self._shape(self._held + text, final=False)

    def flush(self) -> str:
        """Take the end of the text and give what was held back."""
        rest = self._shape(self._held, final=True)
        self._held = self._last = self._colon = self._mode = ""
        self._gap = 0
        return rest

    def _shape(self, text: str, *, final: bool) -> str:
        given: list[str] = []
        position = 0
        self._held = ""
        while True:
            if self._mode:
                position = self._through(text, position, given, final=final)
                if self._mode:
                    break
            found = _NEXT.search(text, position)
            if found is None:
                break
            self._give(text[position : found.start()], given)
            position = found.start()
            word = _WORD.match(text, found.end(), found.end() + LIMIT)
            if not final and (word is None or word.end() == len(text)) and len(text) - found.end() < LIMIT:
                self._held = text[position:]
                break
            if word is None:
                # The end: what is left is white space or a lone bracket.
                if not self._gap or text[position:].strip():
                    self._give(text[position:], given)
                break
            position = self._word(text, found, word, given)
        return "".join(given)

    def _word(self, text: str, found: re.Match[str], word: re.Match[str], given: list[str]) -> int:
        """Give or drop a word that is known to its end, and give where what comes next begins."""
        long = word.end() - word.start() == LIMIT
        link = addresses.find(word[0])
        if link is None:
            self._give(found[0] + word[0], given)
            self._mode = "pass" if long else ""
            return word.end()
        start, end = link
        if start:
            self._give(found[0] + word[0][:start], given)
            self._gap |= DROPPED
        else:
            self._gap |= DROPPED | BLANK * bool(found["blanks"])
            self._colon = self._colon or found["colon"]
        if long and end >= addresses.trimmed(word[0]):
            self._mode = "skip"
            return word.end()
        end += word.start()
        opening = found["opening"] if not start else ""
        if opening:
            if text[end : end + 1] == _CLOSES[opening]:
                end += 1
            else:
                self._give(opening, given)
                self._gap |= DROPPED
        return end

    def _through(self, text: str, position: int, given: list[str], *, final: bool) -> int:
        """Go to the end of a word that is too long to be looked at whole."""
        run = _RUN.match(text, position)
        end = run.end() if run else position
        if self._mode == "pass":
            self._give(text[position:end], given)
        else:
            rest = addresses.tail(text[position:end])
            if end == len(text) and not final:
                self._held = rest
                return end
            self._give(rest, given)
        if end < len(text) or final:
            self._mode = ""
        return end

    def _give(self, piece: str, given: list[str]) -> None:
        """Give a piece of text, and in front of it what stands for what was dropped."""
        if self._gap:
            words = piece.lstrip(" \t")
            if len(words) < len(piece):
                self._gap |= BLANK
            if not words:
                return
            if not (words[0].isspace() or is_closing(words[0])):
                given.append(self._colon)
                self._last = self._colon or self._last
            given.append(bridge(self._last[-1:], words[0], self._gap))
            self._gap = 0
            self._colon = ""
            piece = words
        if piece:
            given.append(piece)
            self._last = piece
