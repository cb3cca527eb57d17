"""Makes the Markdown that a model writes fit for the ear.

| written | spoken |
| --- | --- |
| ``**a**``, ``*a*``, ``_a_``, ``__a__``, ``~~a~~``, ``==a==`` | the words; a mark never closed is dropped too |
| ``3*4*5``, ``2 * 3``, ``snake_case``, ``*.txt``, ``5~10``, ``x^2``, ``a == b``, ``C#``, ``$5 and $10`` | as it is |
| ``# Title``, ``##标题``, ``Title`` over ``===`` | a sentence; under a line the rule is dropped |
| ``- a``, ``* a``, ``• a``, ``-中文``, ``- [x] a`` | a sentence |
| ``1. a``, ``1) a``, ``1、甲``, ``（1）甲`` | a sentence behind its number: ``1, a.``, ``1，甲。`` |
| ``> a`` | the words; ``> [!NOTE]`` a sentence: ``Note.`` |
| ``: a`` under a term | a sentence |
| ``H~2~O``, ``1^st^`` | the words |
| ``---``, ``***``, ``===``, ``+---+---+`` on a line | nothing |
| a table | each row a sentence, its cells behind commas; also a lone row between bars |
| ``[text](url)``, ``[text][1]``, ``![alt](url)`` | text, alt; ``[1]: url`` nothing |
| ``[sic]``, ``m[i][j]``; ``[some words]`` | as it is; the words |
| ``<https://a.example>``, ``https://a.example/_b_`` | the address, for a shaper behind this one |
| ``[^1]``; ``[^1]: a`` | nothing; a sentence |
| fenced code | ``(Python code example)``, ``（代码示例）``: named once, closed or not |
| inline code | the words inside |
| HTML | its words; comments, scripts and styles nothing; ``<br>`` and ends of blocks end a line |
| ``<answer>``, ``<|im_end|>``, ``[INST]``, ``<some_command/>``, ``<No Interrupting>`` | nothing |
| ``<Enter>``, ``<Your Name>``, ``List<String>`` | the words |
| ``&amp;``, ``&#39;`` | the character |
| ``$x$``, ``$$x$$``, ``\\(x\\)``, ``\\[x\\]`` | words (``a over b``), or ``(formula)`` |
| ``\\_``, ``\\$`` | the character; ``\\*`` only within arithmetic |
| blank lines | none: every line ends with one line feed |

Code that is only indented is taken for text: models indent prose far more often. Nothing waits but what is
undecidable, within a limit: a mark for the next character, a bracket for its end, a table's head for the next line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from offhook.speech import markdown_blocks as blocks
from offhook.speech.markdown_line import SPECIAL
from offhook.speech.markdown_spans import Spans

if TYPE_CHECKING:
    from offhook.speech.markdown_blocks import Opening

# Longer pieces are taken in parts, so that what is copied stays small.
_PART = 2048
_special = SPECIAL.search


class MarkdownShaper(Spans):
    """Speaks the Markdown of a model's text; what has no markup in it goes through as it is.

    ``language`` is that of the words it says itself, such as "(code example)", until the text tells its own script.
    ``tags`` are beginnings of a platform's control tags, which are left for ``TagShaper``.
    """

    __slots__ = ("_fence", "_item", "_marked", "_quoted", "_table")

    def __init__(self, *, language: str = "en", tags: tuple[str, ...] = ()) -> None:
        super().__init__(language, tags)
        self._mode = type(self)._begin
        # Of this line: a mark stood at its start, that of a list was the last one, a quote's was among them.
        self._marked = self._item = self._quoted = False
        # The lines from here on are rows.
        self._table = False
        self._fence: blocks.Fence | None = None

    def feed(self, text: str, /) -> str:
        """Take the next piece and give what of it, and of what was held back, may be spoken now."""
        if self._plain and text and _special(text) is None:
            voice = self._voice
            if text.isspace():
                voice.blank = True
                return text
            voice.tail = text
            voice.blank = False
            if not (voice.kana or text.isascii()):
                voice.hear(text)
            return text
        return self._shape(text, final=False)

    def pause(self) -> str:
        """Give what was held back as what it is if nothing follows; code that is not read goes on.

        What may be the beginning of a tag is held on: half of one would be said.
        """
        if not self._held or "<" in self._held or self._fence is not None or self._skip:
            return ""
        return self._shape("", final=True)

    def rest(self) -> str:
        """Give what was held back: what follows is another text."""
        return self.flush()

    def flush(self) -> str:
        """Take the end of the text and give what was held back; what is fed later begins a new line."""
        rest = self._shape("", final=True)
        if self._sentence:
            self._voice.stop()
            rest += self._voice.take()
        fresh = self._voice.fresh
        self._voice.start()
        self._voice.fresh = fresh
        self._reset()
        self._open.clear()
        self._skip = ""
        self._fence = None
        self._table = self._plain = False
        return rest

    def _shape(self, text: str, *, final: bool) -> str:
        if self._until is not None and not final:
            if len(text) + len(self._held) < blocks.LIMIT // 2 and self._until.search(text) is None:
                self._held += text
                return ""
            self._until = None
        if len(text) > _PART:
            return "".join([self.feed(text[start : start + _PART]) for start in range(0, len(text), _PART)])
        if self._held:
            text = self._held + text
            self._held = ""
        at, end = 0, len(text)
        while at < end:
            at = self._mode(self, text, at, final)
        if not self._held:
            self._until = None
        voice = self._voice
        self._plain = not (self._held or voice.trim) and voice.tail != "" and self._mode is type(self)._inline
        return voice.take()

    # --- lines ----------------------------------------------------------------------------------------------------

    def _begin(self, text: str, at: int, final: bool) -> int:
        """Take one mark at a line's start, or find that there is no more and the line's words begin."""
        character = text[at]
        if character not in blocks.OPENERS:
            # Most lines begin with a letter.
            if self._table:
                self._row()
            self._mode = type(self)._inline
            return at
        if character == "\n":
            if not self._marked:
                self._open.clear()
                self._table = False
            self._line_end()
            return at + 1
        if character == "\r":
            return at + 1
        escaped = blocks.ESCAPED.match(text, at) if character in " \t\\" else None
        if escaped and (escaped.end() < len(text) or not final):
            return escaped.end() if escaped.end() < len(text) else self._hold(text, at)
        bold = blocks.BOLD_NUMBER.match(text, at) if character in " \t*" else None
        if bold:
            # What stands in it may be a list's number.
            self._marked = True
            self._open["*"] = len(bold[0].lstrip())
            return bold.end()
        found = blocks.opening(text, at, item=self._item, table=self._table, final=final)
        if found is None:
            return self._hold(text, at)
        if found.kind == "text" or (self._voice.row and found.kind != "number"):
            return self._words(text, found)
        if found.kind == "row":
            # A number may stand in the first cell.
            self._row()
            self._marked = True
            return found.end + 1
        if found.kind == "rule":
            # It may stand between the head and the body of a table.
            bar = "|" in text[at : found.end]
            self._table = bar and (self._table or "-" in text[at : found.end])
            self._marked = True
            return found.end
        self._mark(text, found)
        return found.end

    def _words(self, text: str, found: Opening) -> int:
        if found.end < len(text) and text[found.end] in "\r\n":
            return found.end
        if self._table:
            self._row()
        elif not self._marked:
            self._voice.say(found.kept)
        self._mode = type(self)._inline
        return found.end

    def _mark(self, text: str, found: Opening) -> None:
        self._marked = True
        self._item = found.kind in {"item", "number"} and not self._voice.row
        self._sentence = self._sentence or found.kind in {"item", "number", "heading", "note", "alert"}
        if found.kind == "quote":
            self._quoted = True
            return
        self._open.clear()
        self._table = self._table and self._voice.row
        match found.kind:
            case "heading":
                self._heading = self._voice.trim = True
            case "number":
                words = text[found.end : found.end + blocks.LIMIT].lstrip("*")
                self._voice.say(found.kept + self._voice.comma(words[:1]))
            case "alert":
                title = text[found.end : found.end + 1].strip()
                self._voice.say(found.kept + (self._voice.comma(title) if title else ""))
            case "definition":
                self._skip = "\n"
                self._mode = type(self)._pass_over
            case "fence":
                self._enclose(found.kept)

    @override
    def _enclose(self, kept: str) -> None:
        self._fence = blocks.Fence(kept, quoted=self._quoted)
        self._mode = type(self)._code_line

    # --- fenced code ----------------------------------------------------------------------------------------------

    def _code_line(self, text: str, at: int, final: bool) -> int:
        """Pass over a line of fenced code from its start."""
        fence = self._fence
        assert fence is not None
        told = fence.line(text, at, final=final)
        if told is None:
            return self._hold(text, at)
        end, closed = told
        if closed:
            if not self._voice.fresh:
                self._voice.newline()
            self._fence = None
            self._reset()
            self._marked = True
            self._open.clear()
            return end
        self._mode = type(self)._code_rest
        return end

    def _code_rest(self, text: str, at: int, final: bool) -> int:
        fence = self._fence
        assert fence is not None
        end = text.find("\n", at)
        line = text[at : end if end >= 0 else len(text)]
        if not fence.named and line.strip(" \t\r>"):
            fence.named = True
            self._voice.say(self._voice.code(fence.name))
            self._voice.newline()
        if end < 0:
            return len(text)
        self._mode = type(self)._code_line
        return end + 1

    # --- ends -----------------------------------------------------------------------------------------------------

    @override
    def _line_end(self) -> None:
        if self._sentence:
            self._voice.stop()
            self._open.clear()
        self._voice.newline()
        self._reset()

    def _reset(self) -> None:
        self._mode = type(self)._begin
        self._marked = self._item = self._quoted = self._sentence = self._heading = self._bars = self._called = False
        self._labels.clear()
        self._voice.row = self._voice.trim = False
