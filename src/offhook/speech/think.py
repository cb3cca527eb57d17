"""Keeps the reasoning that some models write into their text from being spoken."""

from __future__ import annotations

import re

# Seen in real outputs, in any case: most write <think>, Marco-o1 <Thought>, some distilled models < think >.
_NAMES = ("thinking", "thoughts", "thought", "think", "reasoning", "seed:think")

# White space is bounded: a "<" is held back no longer than it may still begin a tag.
_GAP = r"\s{0,4}"
_TAG = re.compile(rf"<{_GAP}(?:(/){_GAP})?(?:{'|'.join(_NAMES)}){_GAP}(?:(/){_GAP})?>", re.IGNORECASE)
_BEGUN = sorted({name[:length] for name in _NAMES for length in range(1, len(name))}, key=len, reverse=True)
_BEGINNING = re.compile(
    rf"<{_GAP}(?:/{_GAP})?(?:(?:{'|'.join(_NAMES)}){_GAP}(?:/{_GAP})?|{'|'.join(_BEGUN)})?", re.IGNORECASE
)


class ThinkShaper:
    """Drops what stands between ``<think>`` (or one of its relatives) and the closing tag, and the tags themselves.

    ``inside`` tells that the text begins inside the reasoning, for models whose prompt holds the opening tag. Any
    relative's closing tag ends the reasoning, and an opening tag within it changes nothing: models that reason about
    the tag itself do not close it twice. Reasoning that is not closed is never spoken; a closing tag alone is dropped.
    Words that mention a tag, as in "use the <think> tag", cannot be told apart from it in a stream: what follows is
    taken for reasoning.
    """

    __slots__ = ("_held", "_inside", "_plain", "_said", "_trim")

    def __init__(self, *, inside: bool = False) -> None:
        self._inside = inside
        # The end of what came, from a "<" that may be the beginning of a tag.
        self._held = ""
        # Something other than white space was given, so that white space is no longer the beginning of speech.
        self._said = False
        # White space is dropped until something is said.
        self._trim = False
        # Nothing of this asks for a closer look at a text without "<".
        self._plain = False

    def feed(self, text: str, /) -> str:
        """Take the next piece and give what of it, and of what was held back, may be spoken now."""
        if self._plain and "<" not in text:
            return text
        return self._shape(self._held + text)

    def pause(self) -> str:
        """Give nothing: what is held may be the beginning of a tag still, and that is never said."""
        return ""

    def rest(self) -> str:
        """Give nothing, as in a pause."""
        return ""

    def flush(self) -> str:
        """Take the end of the text and give what was held back, unless it is reasoning."""
        held, self._held = self._held, ""
        spoken = "" if self._inside else self._speak(held)
        self._plain = self._said and not self._inside
        return spoken

    def _shape(self, text: str) -> str:
        given: list[str] = []
        position = 0
        self._held = ""
        while (start := text.find("<", position)) >= 0:
            tag = _TAG.match(text, start)
            end = start if tag else start + 1
            if tag is None and _BEGINNING.fullmatch(text, start):
                self._held = text[start:]
                end = start
            if not self._inside:
                given.append(self._speak(text[position:end]))
            if tag is None:
                position = end
                if self._held:
                    break
                continue
            position = tag.end()
            closing, closed = tag.groups()
            if closing:
                self._inside = False
                self._trim = not self._said
            elif not closed:
                self._inside = True
        if not self._inside and not self._held:
            given.append(self._speak(text[position:]))
        self._plain = self._said and not (self._inside or self._held)
        return "".join(given)

    def _speak(self, piece: str) -> str:
        """Give the piece without the white space between the reasoning and the first word."""
        if self._trim:
            piece = piece.lstrip()
            self._trim = not piece
        if not self._said:
            self._said = bool(piece) and not piece.isspace()
        return piece
