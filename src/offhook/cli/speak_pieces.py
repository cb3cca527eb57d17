"""The pieces in which a text is spoken, and what each of them waited for. Pure."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from offhook.speech.language import language_of
from offhook.speech.sentences import SentenceSplitter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from offhook.speech.rules import Speech

# A word of an alphabet, a character of a script that is written without blanks, or a mark.
_TOKEN = re.compile(
    r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+|[^\w\s]|_"
)
# What was read and not spoken is kept so far: what is spoken stands in it, or just in front of its end.
_KEPT = 4096


class Piece(msgspec.Struct, frozen=True):
    """A piece of what is spoken.

    ``text`` of the source begins with its character ``begin`` and ends before ``end``; ``given`` is how many
    characters of the source had been read when the piece went out, ``waited`` how many of those were behind its own,
    which alone it waited for. ``seconds`` is how long its first character took to be heard at the model's pace.
    """

    text: str
    begin: int
    end: int
    given: int
    waited: int
    seconds: float


class Speaker:
    """Leads a text through the voice chain and tells of each piece what it waited for.

    ``pace`` is how many characters the model writes in a second. ``numbers`` puts those of a piece into words.
    """

    def __init__(
        self,
        speech: Speech,
        tags: tuple[str, ...],
        *,
        sentences: bool,
        language: str,
        pace: float,
        numbers: Callable[[str, str], str] | None = None,
    ) -> None:
        self._chain = speech.chain(tags, language)
        self._splitter = SentenceSplitter() if sentences or numbers else None
        self._language = language
        self._pace = pace
        self._numbers = numbers
        self._finder = _Finder()
        # Of what was spoken and is in no piece yet: from which to which of its characters stands where in the source.
        self._places: deque[tuple[int, int, int, int]] = deque()
        self._spoken = 0
        self._gone = 0
        self._last = 0

    def feed(self, text: str) -> Iterator[Piece]:
        """Take what the model wrote next and give the pieces that go out now."""
        self._finder.read(text)
        words = self._chain.feed(text)
        self._find(words)
        for piece in [words] if self._splitter is None else self._splitter.feed(words):
            yield from self._piece(piece)

    def flush(self) -> Iterator[Piece]:
        """Take the end of the text and give the pieces that were held back."""
        words = self._chain.flush()
        self._find(words)
        rest = [words] if self._splitter is None else [*self._splitter.feed(words), *self._splitter.flush()]
        for piece in rest:
            yield from self._piece(piece)

    def _find(self, words: str) -> None:
        for begin, end, first, last in self._finder.find(words):
            self._places.append((self._spoken + begin, self._spoken + end, first, last))
        self._spoken += len(words)

    def _piece(self, text: str) -> Iterator[Piece]:
        if not text:
            return
        self._gone += len(text)
        begin = end = None
        while self._places and self._places[0][0] < self._gone:
            _, spoken_end, first, last = self._places[0]
            begin = first if begin is None else begin
            # A word that the piece ends within is the next one's too.
            end = self._last = last - max(0, spoken_end - self._gone)
            if spoken_end > self._gone:
                self._places[0] = (self._gone, spoken_end, end, last)
                break
            self._places.popleft()
        if begin is None or end is None:
            begin = end = self._last
        said = text
        if self._numbers is not None:
            said = self._numbers(text, language_of(text) or self._language)
        given = self._finder.given
        seconds = round((given - begin) / self._pace, 3)
        yield Piece(said, begin=begin, end=end, given=given, waited=given - end, seconds=seconds)


class _Finder:
    """Finds where what is spoken stands in the source; what the chain itself added stands nowhere."""

    def __init__(self) -> None:
        # What was read behind the last place that was found, as far as it is kept, and how much was read before it.
        self._rest = ""
        self._before = 0

    @property
    def given(self) -> int:
        """How many characters were read."""
        return self._before + len(self._rest)

    def read(self, text: str) -> None:
        """Take what the model wrote next."""
        self._rest += text
        if len(self._rest) > 2 * _KEPT:
            self._drop(len(self._rest) - _KEPT)

    def find(self, words: str) -> Iterator[tuple[int, int, int, int]]:
        """Give from which to which of their characters words stand where in the source, in order."""
        tokens = list(_TOKEN.finditer(words))
        at = 0
        for number, token in enumerate(tokens):
            text = token[0]
            place = self._next(text, at)
            if place is None and text[0].isalnum():
                follows = tokens[number + 1] if number + 1 < len(tokens) else None
                if len(text) == 1 and follows is not None and follows.start() == token.end():
                    # One character of Chinese is everywhere; two are not.
                    text += follows[0]
                place = self._further(text, at, len(token[0]))
            if place is not None:
                yield (*token.span(), self._before + place[0], self._before + place[1])
                at = place[1]
        self._drop(at)

    def _next(self, text: str, at: int) -> tuple[int, int] | None:
        """Give where a token stands if nothing that could be spoken stands in front of it, marks within it or not."""
        begin: int | None = None
        if not text[0].isalnum():
            while at < len(self._rest) and not self._rest[at].isalnum():
                if self._rest[at] == text:
                    return at, at + 1
                at += 1
            return None
        for character in text:
            while at < len(self._rest) and not self._rest[at].isalnum():
                at += 1
            if self._rest[at : at + 1] != character:
                return None
            begin = at if begin is None else begin
            at += 1
        return None if begin is None else (begin, at)

    def _further(self, text: str, at: int, length: int) -> tuple[int, int] | None:
        """Give where a word stands behind what is not spoken."""
        place = self._rest.find(text, at)
        while place > 0 and text[0].isascii() and self._rest[place - 1].isalnum():
            place = self._rest.find(text, place + 1)
        return None if place < 0 else (place, place + length)

    def _drop(self, count: int) -> None:
        self._before += count
        self._rest = self._rest[count:]
