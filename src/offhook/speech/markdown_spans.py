"""Takes the marks inside a line of Markdown, one after the other."""

from __future__ import annotations

import re

from offhook.speech import kaomoji
from offhook.speech import markdown_inline as inline
from offhook.speech.markdown_blocks import CJK, heads_table
from offhook.speech.markdown_foreign import Foreign
from offhook.speech.markdown_inline import ADDRESS, LIMIT
from offhook.speech.markdown_line import SPECIAL

_URL_END = re.compile(rf"""[\s<>"|`*\\^{{}}{CJK}]""")
_INFO = re.compile(r"[^\n`]{0,30}(\n)?")
_RUN = 64
# Brackets within brackets.
_DEEP = 8
# The rest of a line that may be a table's head, and the line below it.
_HEAD = 400

# One of these has to come before a second look at what is held back is worth it.
_CODE_UNTIL = re.compile(r"[`\n]")
_LINK_UNTIL = re.compile(r"[\[\]\n]")
_LINE_UNTIL = re.compile(r"\n")
_ADDRESS_UNTIL = re.compile(r"[\s()<>]")
_PLAIN_ADDRESS = re.compile(r"\([^\s()<>]+")


class Spans(Foreign):
    """Markdown's own marks inside a line."""

    __slots__ = ()

    # --- emphasis -------------------------------------------------------------------------------------------------

    def _emphasis(self, text: str, at: int, final: bool) -> int:
        mark = text[at]
        piece = text[at : at + _RUN]
        run = len(piece) - len(piece.lstrip(mark))
        end = at + run
        if end == len(text) and not final:
            return self._hold(text, at)
        after = text[end : end + 1]
        voice = self._voice
        before = voice.before
        opened = self._open.get(mark, 0) & min(run, 3)
        if mark == "~" and run == 1:
            return self._script(text, at, final)
        if mark == "*":
            if after == "." and run == 1 and not before.isalnum():
                # A file pattern, unless more dots follow.
                if end + 1 == len(text) and not final:
                    return self._hold(text, at)
                keeps = text[end + 1 : end + 2].isalnum()
            else:
                last = voice.last if not (after.strip() and before.strip()) else ""
                keeps = inline.keeps_stars(run, before, last, after, is_open=bool(opened), called=self._called)
        elif mark == "_":
            if run == 2 and (not before.isalnum() or (inline.is_cjk(before) and not opened)):
                name = inline.DUNDER.match(text, at)
                if name:
                    voice.say(name[1])
                    return name.end(1)
                if not final and inline.DUNDER_BEGUN.fullmatch(text, at):
                    return self._hold(text, at)
            keeps = inline.keeps_underscores(run, before, after, is_open=bool(opened))
        elif mark == "~":
            keeps = run != 2 or not (before.strip() or after.strip())
        else:
            keeps = inline.keeps_equals(run, before, after, is_open=bool(opened))
        if keeps:
            voice.say(text[at:end])
        elif opened:
            self._open[mark] &= ~opened
        elif after.strip():
            self._open[mark] = self._open.get(mark, 0) | min(run, 3)
        return end

    def _script(self, text: str, at: int, final: bool) -> int:
        """Take a mark around what stands lower or higher, right behind a letter, a bracket or (if higher) a digit."""
        mark, before = text[at], self._voice.before
        if (before.isascii() and before.isalpha()) or before in {")", "]"} or (mark == "^" and before.isdigit()):
            found = inline.SCRIPTS[mark].match(text, at)
            open_ended = not final and (found is None or found.end() == len(text))
            if open_ended and inline.SCRIPTS_BEGUN[mark].fullmatch(text, at):
                return self._hold(text, at)
            if found:
                self._voice.say(found[1])
                return found.end()
        return self._literal(text, at, final)

    # --- code -----------------------------------------------------------------------------------------------------

    def _code(self, text: str, at: int, final: bool) -> int:
        piece = text[at : at + _RUN]
        run = len(piece) - len(piece.lstrip("`"))
        end = at + run
        more = not final and len(text) - at < LIMIT
        if end == len(text):
            return self._hold(text, at) if more else end
        info = _INFO.match(text, end)
        if run >= 3 and info and info[1]:
            # A fence that does not stand at a line's start.
            if self._sentence:
                self._voice.stop()
            self._voice.newline()
            self._enclose(text[at : info.end() - 1].rstrip())
            return info.end() - 1
        if run >= 3 and more and info and info.end() == len(text):
            return self._hold(text, at)
        self._ticks = run
        self._coded = False
        self._mode = type(self)._code_words
        return end

    def _code_words(self, text: str, at: int, final: bool) -> int:
        """Say the words of inline code as they come; what may be a mark in them waits for the code's end."""
        found = SPECIAL.search(text, at)
        place = found.start() if found else len(text)
        self._voice.say(text[at:place])
        self._coded = self._coded or place > at
        if found is None:
            return place
        if text[place] in "\r\n":
            self._mode = type(self)._inline
            return place
        run = self._ticks
        line = text.find("\n", place, place + LIMIT)
        stop = line if line >= 0 else min(len(text), place + LIMIT)
        close = text.find("`" * run, place, stop)
        while close >= 0:
            rest = close + run
            while rest < stop and text[rest] == "`":
                rest += 1
            if rest - close == run:
                break
            close = text.find("`" * run, rest, stop)
        more = not final and line < 0 and len(text) - place < LIMIT
        if close < 0 and more:
            return self._hold(text, place, _CODE_UNTIL)
        if close + run == len(text) and more:
            return self._hold(text, place)
        self._mode = type(self)._inline
        if close < 0:
            # Never closed: what stands there is text, but for the ticks.
            return place + len(text[place:stop]) - len(text[place:stop].lstrip("`"))
        # What stands before a mark tells what it is: 2**3.
        before = self._voice.before if self._coded else ""
        self._voice.say(inline.code_words(before + text[place:close])[len(before.strip()) :])
        return close + run

    # --- links ----------------------------------------------------------------------------------------------------

    def _image(self, text: str, at: int, final: bool) -> int:
        # Behind a word it ends a sentence, which does not wait.
        if self._voice.before.strip():
            return self._literal(text, at, final)
        if at + 1 == len(text) and not final:
            return self._hold(text, at)
        if not text.startswith("[", at + 1):
            return self._literal(text, at, final)
        return self._link(text, at, final, bracket=at + 1)

    def _link(self, text: str, at: int, final: bool, *, bracket: int | None = None) -> int:
        start = at if bracket is None else bracket
        more = not final and len(text) - at < LIMIT
        note = inline.FOOTNOTE.match(text, start)
        if note:
            return note.end()
        told = self._label(text, at, start, more=more)
        if told is not None:
            return told
        found = inline.LINK_TEXT.match(text, start, at + LIMIT - 1)
        if found is None:
            if more and inline.LINK_TEXT_BEGUN.fullmatch(text, start):
                return self._hold(text, at, _LINK_UNTIL)
            return self._no_link(text, at, start)
        end = found.end()
        if end == len(text):
            return self._hold(text, at) if more else self._no_link(text, at, start)
        tail: int | None = 0
        if text[end] == "(":
            tail = self._address(text, end, final)
        elif text[end] == "[" and inline.may_be_reference(found[1], self._voice.before):
            reference = inline.REFERENCE.match(text, end)
            if reference:
                tail = reference.end()
            elif not final and inline.REFERENCE_BEGUN.fullmatch(text, end):
                tail = None
        if tail is None:
            return self._hold(text, at, _ADDRESS_UNTIL if _PLAIN_ADDRESS.fullmatch(text, end) else None)
        if not tail:
            return self._no_link(text, at, start)
        self._inner(found[1])
        return tail

    def _label(self, text: str, at: int, start: int, *, more: bool) -> int | None:
        """Drop the bracket in front of words, which are spoken be it a link's or not; None where it is another."""
        before = self._voice.before
        if (before.isascii() and before.isalnum()) or before in {"]", ")", "_"} or len(self._labels) >= _DEEP:
            return None
        mark = inline.MODEL_MARK.match(text, start)
        if mark:
            return mark.end()
        if more and inline.LABEL_BEGUN.fullmatch(text, start):
            return self._hold(text, at)
        if not inline.LABEL.match(text, start):
            return None
        self._labels.append(False)
        return start + 1

    def _close_label(self, text: str, at: int, final: bool) -> int:
        if not self._labels or self._labels[-1]:
            if self._labels:
                self._labels.pop()
            return self._literal(text, at, final)
        if at + 1 == len(text) and not final:
            return self._hold(text, at)
        tail: int | None = 0
        if text.startswith("(", at + 1):
            tail = self._address(text, at + 1, final)
        elif text.startswith("[", at + 1):
            reference = inline.REFERENCE.match(text, at + 1)
            if reference:
                tail = reference.end()
            elif not final and inline.REFERENCE_BEGUN.fullmatch(text, at + 1):
                tail = None
        if tail is None:
            return self._hold(text, at, _ADDRESS_UNTIL if _PLAIN_ADDRESS.fullmatch(text, at + 1) else None)
        self._labels.pop()
        return tail or at + 1

    def _no_link(self, text: str, at: int, start: int) -> int:
        self._voice.say(text[at : start + 1])
        if len(self._labels) < _DEEP:
            self._labels.append(True)
        return start + 1

    def _address(self, text: str, at: int, final: bool) -> int | None:
        """Give the end of a link's address in parentheses, 0 for none, None for not yet known."""
        found = inline.LINK_ADDRESS.match(text, at, at + ADDRESS)
        if found:
            return found.end()
        begun = inline.LINK_ADDRESS_BEGUN.match(text, at, at + ADDRESS)
        if begun is None or begun.end() < min(len(text), at + ADDRESS):
            return 0
        if not final and len(text) - at < ADDRESS:
            return None
        # As long as this it is data in an address, of which nothing is spoken.
        self._skip = ")"
        self._mode = type(self)._pass_over
        return begun.end()

    def _slash(self, text: str, at: int, final: bool) -> int:
        if self._voice.before != ":":
            return self._literal(text, at, final)
        if at + 1 == len(text) and not final:
            return self._hold(text, at)
        if text.startswith("/", at + 1):
            self._mode = type(self)._url
        return self._literal(text, at, final)

    def _url(self, text: str, at: int, final: bool) -> int:
        """Pass an address through, in which no mark is one."""
        found = _URL_END.search(text, at)
        end = found.start() if found else len(text)
        self._voice.say(text[at:end])
        if found:
            self._mode = type(self)._inline
        return end

    # --- faces ----------------------------------------------------------------------------------------------------

    def _bracket(self, text: str, at: int, final: bool) -> int:
        """Let a face through that is written with marks: (*_*)."""
        before = self._voice.before
        kind, end = kaomoji.look(text, at, before, final=final)
        if kind == "wait":
            return self._hold(text, at)
        if kind == "drop":
            # It is for a shaper behind this one.
            self._voice.say(text[at:end])
            return end
        self._called = before.isascii() and before.isalnum()
        return self._literal(text, at, final)

    # --- the rest -------------------------------------------------------------------------------------------------

    def _hash(self, text: str, at: int, final: bool) -> int:
        before = self._voice.before
        if not self._heading or (before.strip() and not inline.is_cjk(before)):
            return self._literal(text, at, final)
        piece = text[at : at + _RUN]
        end = at + len(piece) - len(piece.lstrip("#"))
        rest = text[end : end + _RUN]
        end += len(rest) - len(rest.lstrip(" \t\r"))
        if end == len(text) and not final:
            return self._hold(text, at)
        return end if text[end : end + 1] in {"", "\n"} else self._literal(text, at, final)

    def _bar(self, text: str, at: int, final: bool) -> int:
        voice = self._voice
        if voice.row:
            voice.separate()
            return at + 1
        if self._bars:
            return self._literal(text, at, final)
        if at + 1 == len(text) and not final:
            return self._hold(text, at)
        if voice.before.strip() or text[at + 1 : at + 2].strip():
            return self._literal(text, at, final)
        window = text[at : at + _HEAD]
        told = heads_table(window, 0, more=not final and len(window) < _HEAD)
        if told is None:
            return self._hold(text, at, None if "\n" in text[at:] else _LINE_UNTIL)
        if told:
            self._row()
            voice.separate()
            return at + 1
        self._bars = True
        return self._literal(text, at, final)


Spans._handlers = {
    "*": Spans._emphasis,
    "_": Spans._emphasis,
    "~": Spans._emphasis,
    "=": Spans._emphasis,
    "^": Spans._script,
    "`": Spans._code,
    "[": Spans._link,
    "<": Spans._angle,
    "&": Spans._entity,
    "$": Spans._dollar,
    "\\": Spans._backslash,
    "|": Spans._bar,
    "\n": Spans._newline,
    "\r": Spans._newline,
    "#": Spans._hash,
    "/": Spans._slash,
    "!": Spans._image,
    "]": Spans._close_label,
    "(": Spans._bracket,
    "（": Spans._bracket,
}
