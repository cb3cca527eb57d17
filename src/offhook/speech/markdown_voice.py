"""What a line has said so far: its script, its pauses and its full stop."""

from __future__ import annotations

import re

from offhook.speech.markdown_inline import ends_itself, is_cjk

_LETTER = re.compile("[\u3041-\u309f\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3041-\u309f\u30a1-\u30fa]")

# Blanks between two words of a cell; what is more is dropped.
_PAD = 64
_CODE = {"zh": "（{}代码示例）", "ja": "（{}コード例）"}


class Voice:
    """Takes what is to be said and knows what a pause, a stop or a name is in the script of the line."""

    __slots__ = (
        "_cells",
        "_chinese",
        "_gap",
        "_given",
        "_japanese",
        "_language",
        "_pad",
        "blank",
        "fresh",
        "han",
        "kana",
        "row",
        "tail",
        "trim",
    )

    def __init__(self, language: str) -> None:
        self._language = language.replace("_", "-").partition("-")[0].lower()
        self._given: list[str] = []
        # The script of the last line that told one.
        self._chinese: bool | None = None
        # Above nought for Japanese: lines with kana count for it, lines of Chinese characters alone against it.
        self._japanese = 0
        # No word has been given since the last line's end.
        self.fresh = True
        # In a table's row a pause is due before the next word; there and in a heading blanks wait for a word.
        self.row = self.trim = False
        self._gap = False
        self._pad = ""
        self._cells = False
        # The last piece of this line that is not blank, whether a blank one came behind it, and the line's script.
        self.tail = ""
        self.blank = True
        self.han = False
        self.kana = False

    @property
    def before(self) -> str:
        """The last character of the line; nothing at its start."""
        if self.tail:
            return " " if self.blank or self._pad or self._gap else self.tail[-1]
        return ""

    @property
    def last(self) -> str:
        """The line's last character that is not blank; nothing where there is none."""
        return self.tail.rstrip()[-1:]

    def take(self) -> str:
        """Give all that was said and not yet taken."""
        given = self._given
        if not given:
            return ""
        self._given = []
        return given[0] if len(given) == 1 else "".join(given)

    def say(self, piece: str) -> None:
        """Say a piece of the line."""
        if not piece:
            return
        if self.trim:
            piece = self._cell(piece)
            if not piece:
                return
        self._given.append(piece)
        if piece.isspace():
            self.blank = True
            return
        self.fresh = False
        self.tail = piece
        self.blank = False
        if not piece.isascii():
            self.hear(piece)

    def hear(self, piece: str) -> None:
        """Note the script of a piece that is not ASCII."""
        if not self.han and _LETTER.search(piece):
            self.han = True
        if not self.kana and _KANA.search(piece):
            self.kana = True

    def _cell(self, piece: str) -> str:
        """Keep blanks at the end back, and put the pause that is due before its first word."""
        words = piece.lstrip()
        if not words:
            self._pad = (self._pad + piece)[:_PAD]
            return ""
        lead = (self._pad + piece[: len(piece) - len(words)])[:_PAD]
        if self._gap:
            lead = self.pause(words[0])
            self._gap = False
        elif not (self._cells or self.tail):
            lead = ""
        self._cells = True
        spoken = words.rstrip()
        self._pad = words[len(spoken) :][:_PAD]
        return lead + spoken

    def begin_row(self) -> None:
        """Speak the rest of the line as the cells of a row, of which what it has said so far is the first."""
        self.row = self.trim = True
        self._cells = bool(self.tail)

    def separate(self) -> None:
        """End a cell of a row."""
        self._gap = self._cells
        self._pad = ""

    def pause(self, after: str = "") -> str:
        """Give the comma that fits the script here, or only a blank where the words before it end by themselves."""
        if ends_itself(self.last):
            return "" if self.is_chinese(after) else " "
        return self.comma(after)

    def comma(self, after: str = "") -> str:
        """Give the comma that fits the script here, where ``after`` is the next character."""
        if not self.is_chinese(after):
            return ", "
        return "、" if self._is_japanese(after) else "，"

    def _is_japanese(self, after: str = "") -> bool:
        # A line of Chinese characters may be either, and so may one that has said nothing.
        if self.kana or _KANA.match(after):
            return True
        return self._language == "ja" if self._chinese is None else self._japanese > 0

    def is_chinese(self, after: str = "") -> bool:
        """Tell whether full-width marks fit: by the line, else by the next character, else by the text so far."""
        if self.han or (after and is_cjk(after)):
            return True
        if after.isascii() and after.isalpha():
            return False
        return self._language in {"zh", "ja"} if self._chinese is None else self._chinese

    def words(self) -> str:
        """Give the language for words that stand for something that is not read: ``zh``, ``ja`` or ``en``."""
        if not self.is_chinese():
            return "en"
        return "ja" if self._is_japanese() else "zh"

    def code(self, name: str) -> str:
        """Give what is said instead of code in the language of that name, or in one that is not known."""
        language = self.words()
        if language in _CODE:
            return _CODE[language].format(name)
        return f"({name} code example)" if name else "(code example)"

    def stop(self) -> None:
        """End the line's words as a sentence."""
        last = self.last
        if last and not ends_itself(last):
            self._given.append("。" if self.han or is_cjk(last) else ".")

    def newline(self) -> None:
        """End the line, unless nothing stands on it."""
        if not self.fresh:
            self._given.append("\n")
            self.fresh = True
        last = self.last
        if self.han:
            self._chinese = True
            self._japanese = max(-2, min(2, self._japanese + (2 if self.kana else -1)))
        elif last.isascii() and (last.isalpha() or last in ".!?:,;"):
            self._chinese = False if last else self._chinese
        self.start()

    def start(self) -> None:
        """Begin a line."""
        self.tail = ""
        self.blank = True
        self.han = self.kana = self.row = self.trim = self._gap = self._cells = False
        self._pad = ""
