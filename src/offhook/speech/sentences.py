"""Cuts a text into pieces that a voice can say one by one."""

from __future__ import annotations

import re

from offhook.speech import abbreviations
from offhook.speech.mend import UNSPACED

# So many quotes, brackets and blanks behind a sentence go with it; none waits for more.
_MOST = 8
# Those of Hindi, Arabic and Urdu too.
_FULL = frozenset("。！？；।؟۔")
_ENDS = ".!?…" + "".join(sorted(_FULL)) + "\n"
_LATER = re.compile(f"[{_ENDS}]")
_FIRST = re.compile(f"[{_ENDS}，,：:;—]")
_ENDING = re.compile(rf"[{_ENDS.strip()}]{{1,{_MOST}}}|[，,：:;]|—{{1,{_MOST}}}")
_SPACE = re.compile(rf"\s{{0,{_MOST}}}")
_CLOSING = frozenset("\"'”’」』）】》)]")
_QUOTES = frozenset("\"'”’」』")
# A clause does not end within these.
_BRACKETS = (("(", ")"), ("（", "）"), ("《", "》"), ("【", "】"))
# Who asks behind what was asked stands in its sentence: “真的吗？”她问。
_SPEAKERS = frozenset("他她")
_ASKED = frozenset("!?！？")
# All of what stands behind the last blank, so that no address or name of a file is one.
_WORD = re.compile(r"(?:(?<=[\s\"'(“‘,!?])|\A)[A-Za-z]?[a-z]{1,30}(?:['’][a-z]{1,3})?\Z")
_NAME = re.compile(r"(?<![A-Za-z])[A-Z][a-z]{1,30}\Z")
_DOTS = re.compile(r"…|\.\.")

# Where a sentence that is too long is cut: behind a clause, or at least behind a word.
_CLAUSE = re.compile(r"[，；：、。！？][”’」』）】》]?\s*|[,;:.!?][\"')\]]?\s+|—+")
_BLANKS = re.compile(r"\s+")

# Three words, or as many Chinese characters as take so long.
_ENOUGH = 6
_WEIGHED = re.compile(
    r"(?P<character>[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff])|[^\W_]+(?:[.,'’-][^\W_]+)*"
)

_WAIT = -1


class SentenceSplitter:
    """Cuts a text into sentences; the pieces put together are the text, and no cut of what is fed changes them.

    White space belongs to the piece before it. The first piece may be a clause, once it has six Chinese characters or
    three words, so that the voice begins early. A sentence of more than ``longest`` characters is cut behind its last
    clause, or else its last word. A mark waits until the character is there that tells what it is: the next one that
    is no blank, and no closing quote or bracket.
    """

    __slots__ = ("_first", "_longest", "_seen", "_text", "_waits")

    def __init__(self, *, longest: int = 300) -> None:
        self._longest = longest
        # What came since the last piece, how much of it was looked at, and whether a mark waits there.
        self._text = ""
        self._seen = 0
        self._waits = False
        # No piece was given yet.
        self._first = True

    def feed(self, text: str, /) -> list[str]:
        """Take the next piece of the text and give the sentences that are whole."""
        if not text:
            return []
        self._text += text
        if not self._waits and len(self._text) < self._longest:
            # Only what is new is looked at; what was before it had no mark.
            if not (_FIRST if self._first else _LATER).search(text):
                return []
            self._seen = len(self._text) - len(text)
        return self._cut(final=False)

    def pause(self) -> list[str]:
        """Take that nothing has followed for a while and give the pieces that are whole if nothing does."""
        return self._cut(final=True)

    def flush(self) -> list[str]:
        """Take the end of the text and give what was held back."""
        pieces = self._cut(final=True)
        if self._text:
            pieces.append(self._text)
        self._text = ""
        self._seen = 0
        self._waits = False
        self._first = True
        return pieces

    def _cut(self, *, final: bool) -> list[str]:
        text = self._text
        pieces: list[str] = []
        start, place = 0, self._seen
        self._waits = False
        while True:
            mark = (_FIRST if self._first else _LATER).search(text, place, start + self._longest)
            if mark is None:
                place = len(text)
                if len(text) - start < self._longest:
                    break
                end = start + _long(text[start : start + self._longest])
            else:
                end, place = self._look(text, start, mark.start(), final=final)
                if end == _WAIT:
                    self._waits = True
                    break
                if not end:
                    continue
            pieces.append(text[start:end])
            start = place = end
            self._first = False
        self._text = text[start:]
        self._seen = place - start
        return pieces

    def _look(self, text: str, start: int, place: int, *, final: bool) -> tuple[int, int]:
        """Give where the piece from ``start`` ends by the mark at ``place``, and where to look on.

        The end is 0 where the mark ends nothing, and -1 while that is not known.
        """
        if text[place] == "\n":
            if not text[start:place].strip():
                return 0, place + 1
            end = behind = place
        else:
            ending = _ENDING.match(text, place)
            end = ending.end() if ending else place + 1
            behind = _closed(text, start, end)
        stop = _end_of_blanks(text, behind)
        if not final and stop == len(text) and stop - behind < _MOST:
            return _WAIT, place
        if text[place] == "\n":
            return stop, stop
        found = _Mark(text, start, place, end, behind, stop)
        return (stop if found.ends(first=self._first) else 0), end


def _closed(text: str, start: int, end: int) -> int:
    """Give where the quotes and brackets end that close behind a mark."""
    behind = end
    while behind < len(text) and behind - end < _MOST and text[behind] in _CLOSING:
        # A straight quote closes where one is open.
        if text[behind] == '"' and text.count('"', start, behind) % 2 == 0:
            break
        behind += 1
    return behind


def _end_of_blanks(text: str, place: int) -> int:
    blanks = _SPACE.match(text, place)
    return blanks.end() if blanks else place


def _long(text: str) -> int:
    """Give where a text without an end is cut."""
    for pattern in (_CLAUSE, _BLANKS):
        ends = [found.end() for found in pattern.finditer(text)]
        # What reaches to the very end may go on behind it.
        fit = [end for end in ends if len(text) // 4 < end < len(text)]
        if fit:
            return fit[-1]
    return len(text)


class _Mark:
    """A mark within a text: the marks themselves, what closes behind them, the blanks, and the character behind."""

    __slots__ = ("_before", "_blanks", "_closers", "_marks", "_next", "_sentence")

    def __init__(self, text: str, start: int, place: int, end: int, behind: int, stop: int) -> None:
        self._sentence = text[start:place]
        self._marks = text[place:end]
        self._closers = text[end:behind]
        self._blanks = text[behind:stop]
        # Behind so many blanks as are looked at, nothing is known.
        self._next = text[stop : stop + 1] if stop - behind < _MOST else ""

    def ends(self, *, first: bool) -> bool:
        """Tell whether a piece ends here."""
        if self._marks[0] in "，,：:;—":
            return first and self._ends_clause()
        quoted = not _QUOTES.isdisjoint(self._closers)
        if quoted and self._next in _SPEAKERS and not (self._blanks or _ASKED.isdisjoint(self._marks)):
            return False
        if not self._next or not _FULL.isdisjoint(self._marks) or "\n" in self._blanks:
            return True
        if self._next.islower() and (quoted or (self._marks == "!" and _NAME.search(self._sentence))):
            # "Really?" he asked. Yahoo! is a firm.
            return False
        if _DOTS.search(self._marks):
            return (self._next >= UNSPACED or bool(self._blanks)) and not self._goes_on()
        if not self._blanks:
            if self._next < UNSPACED:
                return self._next.isupper() and self._ends_word()
            return self._next not in "，、。：；" and not self._is_number()
        return self._marks[0] != "." or len(self._marks) > 1 or abbreviations.ends(self._sentence, self._next)

    def _goes_on(self) -> bool:
        return self._next.islower() or self._next in ",，、;；:："

    def _ends_word(self) -> bool:
        """Tell whether an English word stands before the mark: the blank behind it may be forgotten."""
        word = _WORD.search(self._sentence)
        if word is None or self._marks != ".":
            return word is not None
        # Ph.D. and St.Louis are short.
        return len(word[0]) > 2 and abbreviations.ends(self._sentence, self._next)

    def _is_number(self) -> bool:
        """Tell whether the dot is that of a number: ``1.苹果`` goes on."""
        return self._marks == "." and not self._closers and self._sentence[-1:].isdecimal()

    def _ends_clause(self) -> bool:
        """Tell whether a clause ends here that is worth saying by itself."""
        if self._marks in (",", ";", ":") and not self._blanks and self._next < UNSPACED:
            return False
        if any(self._sentence.count(opening) > self._sentence.count(closing) for opening, closing in _BRACKETS):
            return False
        weight = 0
        for found in _WEIGHED.finditer(self._sentence):
            weight += 1 if found["character"] else 2
            if weight >= _ENOUGH:
                return True
        return False
