"""What a line of Markdown begins with: marks of blocks, told from their first characters."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Kind = Literal[
    "text", "rule", "quote", "item", "number", "heading", "box", "note", "definition", "alert", "fence", "row"
]

# Nothing at a line's start is held back longer, in characters.
LIMIT = 400

CJK = "\u2e80-\u303f\u3041-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9d\U00020000-\U0003ffff"
# What Chinese models write right behind a mark, without the blank that CommonMark asks for.
_TIGHT = rf"[{CJK}*“‘]"

_BLANKS = re.compile(r"[ \t\u3000]*")
# Of these a line's marks are made; a rule only of the first ones.
_RULERS = frozenset("-*_=+|:─━═—–")
_MARKS = _RULERS | frozenset(">#•‣◦▪▫●·∙⁃0123456789（[`~")
# What asks for a closer look at a line's start.
OPENERS = _MARKS | frozenset(" \t\u3000\\\r\n")
_RULE_LINE = re.compile(r"[-*_=+|: \t─━═—–]*")
_RULE = re.compile(r"[-*_=+─━═]|[—–]{3}")
_BULLET = re.compile(rf"[-*+](?=[ \t])|[•‣◦▪▫●·∙⁃]|-(?=[{CJK}*“‘])")
_NUMBER = re.compile(
    rf"(?:(\d{{1,3}})(?:[.)](?=[ \t])|[.)．](?={_TIGHT})|[、．）](?=\S))|（(\d{{1,3}})）)"
    r"[ \t]{0,40}(?=\*{0,40}[^\s*])"
)
_NUMBER_BEGUN = re.compile(r"\d{1,3}(?:[.)、．）][ \t]{0,40}\*{0,40})?|（(?:\d{1,3}(?:）[ \t]{0,40}\*{0,40})?)?")
# A mark that is escaped at a line's start would be heard as one all the same.
ESCAPED = re.compile(r"[ \t]{0,40}\\(?:(?=[-+#>*=])|\Z)")
# Emphasis around a number at a line's start.
BOLD_NUMBER = re.compile(r"[ \t]{0,40}[*]{1,3}(?=\d)")
_HEADING = re.compile(rf"#+(?=[ \t\n]|{_TIGHT})|##+(?=[^\W_])")
# A face, and no quote: >_<
_PLEADING = re.compile(r">[_.]{1,3}<(?!\w)")
_PLEADING_BEGUN = re.compile(r">[_.]{1,3}<?")
_BOX = re.compile(r"\[[ xX✓√]\](?=[ \t])")
_BOX_BEGUN = re.compile(r"\[(?:[ xX✓√]\]?)?")
_NOTE = re.compile(r"\[\^[^\]\s]{1,40}\]:[ \t]{0,8}")
_DEFINITION = re.compile(
    r"\[[^\]\[\n^][^\]\[\n]{0,39}\]:[ \t]{0,8}(?=<?(?:[a-zA-Z][a-zA-Z+.-]{1,20}://|mailto:|www\.))"
)
# What a quote is headed with, such as [!NOTE]; some fold it with a sign.
_ALERT = re.compile(r"\[!([A-Za-z]{3,20})\][+-]?[ \t]{0,40}")
# What a term means, on the line below it; no face.
_MEANING = re.compile(r":[ \t]{1,40}(?=[^\s()|])")
_LABEL_BEGUN = re.compile(
    r"\[(?:\^[^\]\s]{0,40}(?:\]:?)?|[^\]\[\n^][^\]\[\n]{0,39}(?:\](?::[ \t]{0,8}(?:<?[a-zA-Z+.-]{0,22}(?::/?)?)?)?)?)?"
)
_FENCE = re.compile(r"(`{3,}|~{3,})([^\n]{0,200})(\n)?")
# A row that delimits a table's head from its body.
_DELIMITER = re.compile(r"[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_SIZES = re.compile(r"\S\|[ \t]*[=<>≤≥+*/-]+[ \t]*\|\S")
_ROW = re.compile(r"\|[^\n]*\|[^\n]*\|[ \t]*")


class Opening(NamedTuple):
    """What a line goes on with, where that ends, and what is kept of it: number, fence, blanks."""

    kind: Kind
    end: int
    kept: str = ""


def opening(text: str, at: int, *, item: bool, table: bool, final: bool) -> Opening | None:
    """Tell what stands at a line's start or behind another mark there; None where more must come to tell.

    ``item`` tells that the mark before was that of a list, ``table`` that the line is one of a table.
    """
    # All is told from the same characters, however many of them have come.
    window = text[at : at + LIMIT]
    found = _opening(window, item=item, table=table, more=not final and len(window) < LIMIT, final=final)
    return Opening(found.kind, at + found.end, found.kept) if found and at else found


def _opening(text: str, *, item: bool, table: bool, more: bool, final: bool) -> Opening | None:
    start = _end(_BLANKS, text, 0) if text[0] in " \t\u3000" else 0
    if start == len(text):
        return None if more else Opening("text", start, text)
    mark = text[start]
    if mark not in _MARKS:
        return Opening("text", start, text[:start])
    if mark in _RULERS:
        rule = _end(_RULE_LINE, text, start)
        if rule == len(text) and more:
            return None
        if (rule == len(text) or text[rule] in "\r\n") and _RULE.search(text, start, rule):
            return Opening("rule", rule)
        meaning = _MEANING.match(text, start) if mark == ":" and not table else None
        if meaning:
            return Opening("item", meaning.end())
        # A bar at the start of a line as long as the limit is that of a row.
        if mark == "|" and (table or not (more or final or "\n" in text)):
            return Opening("row", start)
    named = _named(text, start, item=item, more=more, mark=mark)
    if start and named is not None and named.kind == "text":
        return Opening("text", start, text[:start])
    return named


def _named(text: str, at: int, *, item: bool, more: bool, mark: str) -> Opening | None:
    if mark == ">":
        if at + 1 == len(text) and more:
            return None
        if _PLEADING_BEGUN.fullmatch(text, at) and more:
            return None
        words = text.startswith("=", at + 1) or _PLEADING.match(text, at)
        return Opening("text", at) if words else Opening("quote", at + 1)
    if mark == "#":
        end = at + len(text[at : at + LIMIT]) - len(text[at : at + LIMIT].lstrip("#"))
        if end == len(text) and more:
            return None
        if end == len(text) or _HEADING.match(text, at):
            return Opening("heading", end)
        return Opening("text", at)
    if mark in "0123456789（":
        return _number(text, at, more=more)
    if mark in "`~":
        return _fence(text, at, more=more)
    if mark == "|":
        return _row(text, at, more=more)
    if mark == "[":
        return _label(text, at, item=item, more=more)
    found = _BULLET.match(text, at)
    return Opening("item", found.end()) if found else Opening("text", at)


def _number(text: str, at: int, *, more: bool) -> Opening | None:
    found = _NUMBER.match(text, at)
    if found:
        # What tells the script: the mark itself, and the first character behind it.
        return Opening("number", found.end(), found[1] or found[2])
    if more and _NUMBER_BEGUN.fullmatch(text, at):
        return None
    return Opening("text", at)


def _fence(text: str, at: int, *, more: bool) -> Opening | None:
    mark = text[at]
    run = len(text[at : at + 4]) - len(text[at : at + 4].lstrip(mark))
    if run < 3:
        return None if more and at + run == len(text) else Opening("text", at)
    found = _FENCE.match(text, at)
    if found is None or (mark == "`" and "`" in found[2]):
        return Opening("text", at)
    if found[3] is None and found.end() == len(text) and more:
        return None
    return Opening("fence", found.end() - len(found[3] or ""), found[1] + found[2].rstrip())


def _label(text: str, at: int, *, item: bool, more: bool) -> Opening | None:
    for pattern, kind in ((_BOX, "box"), (_NOTE, "note"), (_DEFINITION, "definition")):
        found = pattern.match(text, at)
        if found and (kind != "box" or item):
            # The blanks behind a note's mark may go on.
            return Opening(kind, found.end())  # type: ignore[arg-type]  # the pairs above hold kinds
    alert = _ALERT.match(text, at)
    if alert:
        # What follows on the line is heard behind a pause.
        return None if more and alert.end() == len(text) else Opening("alert", alert.end(), alert[1].capitalize())
    if more and (_LABEL_BEGUN.fullmatch(text, at) or (item and _BOX_BEGUN.fullmatch(text, at))):
        return None
    return Opening("text", at)


def _row(text: str, at: int, *, more: bool) -> Opening | None:
    """Tell whether a line that begins with a bar is a row: it ends with one, or a delimiter row follows it."""
    end = text.find("\n", at, at + LIMIT)
    if end < 0:
        if more:
            return None
        end = len(text)
    line = text[at:end].rstrip("\r")
    # Bars around what is compared mean its size: |x| = |y|.
    if _ROW.fullmatch(line) and not _SIZES.search(line):
        return Opening("row", at)
    told = heads_table(text, at, more=more)
    return None if told is None else Opening("row" if told else "text", at)


def heads_table(text: str, at: int, *, more: bool) -> bool | None:
    """Tell whether the line that goes on at ``at`` is followed by a table's delimiter row; None for not yet known."""
    end = text.find("\n", at, at + LIMIT)
    if end < 0:
        return None if more else False
    below = text.find("\n", end + 1, end + 1 + LIMIT)
    line = text[end + 1 : below if below >= 0 else end + 1 + LIMIT].rstrip("\r")
    if below < 0 and more and all(character in " \t>|:-" for character in line):
        return None
    return "-" in line and bool(_DELIMITER.fullmatch(line))


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at, at + LIMIT)
    return found.end() if found else at


@lru_cache(maxsize=16)
def _closing(mark: str, run: int) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Give what closes a fence of so many marks, and what that begins like."""
    return (
        re.compile(rf"[ \t>]{{0,40}}{mark}{{{run},}}[ \t\r]*(?=\n)"),
        re.compile(rf"[ \t>]{{0,40}}{mark}*[ \t\r]{{0,40}}"),
    )


class Fence:
    """The inside of fenced code, which is passed over up to the line that closes it."""

    __slots__ = ("_close", "_close_begun", "_quoted", "name", "named")

    def __init__(self, kept: str, *, quoted: bool) -> None:
        mark = kept[0]
        run = len(kept) - len(kept.lstrip(mark))
        self.name = language_name(kept[run:].strip())
        # It is named where its first character comes: a closing mark without an opening one looks like an opening one.
        self.named = False
        self._quoted = quoted
        self._close, self._close_begun = _closing(mark, run)

    def line(self, text: str, at: int, *, final: bool) -> tuple[int, bool] | None:
        """Tell where a line at its start is passed over to, and whether the code is closed; None for not yet known."""
        if self._quoted and at < len(text) and not text[at].isspace() and text[at] != ">":
            return at, True
        window = text[at : at + LIMIT]
        found = self._close.match(window)
        if found:
            return at + found.end(), True
        if self._close_begun.fullmatch(window):
            return None if not final and len(window) < LIMIT else (at + len(window), True)
        return at, False


_NAMES = {
    "bash": "Bash", "c": "C", "c#": "C#", "c++": "C++", "cpp": "C++", "cs": "C#", "csharp": "C#", "css": "CSS",
    "go": "Go", "html": "HTML", "ini": "INI", "java": "Java", "javascript": "JavaScript", "js": "JavaScript",
    "json": "JSON", "jsx": "JSX", "kotlin": "Kotlin", "latex": "LaTeX", "lua": "Lua", "markdown": "Markdown",
    "matlab": "MATLAB", "md": "Markdown", "perl": "Perl", "php": "PHP", "powershell": "PowerShell", "py": "Python",
    "python": "Python", "python3": "Python", "r": "R", "rb": "Ruby", "ruby": "Ruby", "rust": "Rust",
    "scala": "Scala", "sh": "shell", "shell": "shell", "sql": "SQL", "swift": "Swift", "toml": "TOML",
    "ts": "TypeScript", "tsx": "TSX", "typescript": "TypeScript", "vue": "Vue", "xml": "XML", "yaml": "YAML",
    "yml": "YAML",
}  # fmt: skip


def language_name(info: str) -> str:
    """Give the name of the programming language that a fence's first word stands for, or nothing."""
    word = info.split(maxsplit=1)[0].lower() if info else ""
    return _NAMES.get(word, "")
