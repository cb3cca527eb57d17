"""What a Markdown parser that is not ours takes for the plain text of an output, to hold the spoken text against."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from markdown_it.token import Token

FILES = ("en", "zh", "think")

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_FENCED = re.compile(r"^[ \t>]*(```+|~~~+)[^\n]*\n.*?(?:^[ \t>]*\1[^\n]*$|\Z)", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(?<!`)(`+)(?!`)[^\n]+?(?<!`)\1(?!`)")
_FORMULA = re.compile(
    r"\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|\\begin\{(\w+\*?)\}.+?\\end\{\1\}"
    r"|(?<![\\$])\$(?=[^\s$])[^$\n]{0,250}(?<=[^\s\\])\$(?!\d)|\\[a-zA-Z]{2,}(?:\{[^{}\n]*\})*",
    re.DOTALL,
)
_ADDRESS = re.compile(
    r"(?:[a-zA-Z][a-zA-Z+.-]{1,10}://|www\.)[^\s<>\"|`\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]+|[\w.+-]+@[\w-]+\.[\w.-]+"
)
_HTML = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>|<[/!?]?[A-Za-z][^<>]*>", re.DOTALL | re.IGNORECASE)
_FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]")


def records(shared: Path) -> Iterator[dict[str, Any]]:
    """Give every recorded output."""
    for name in FILES:
        file = shared / "corpus" / "llm_outputs" / f"{name}.jsonl"
        yield from (json.loads(line) for line in file.read_text("utf-8").split("\n") if line)


def without_formulas(text: str) -> str:
    """Give a text without its formulas, but for those that stand in code."""
    kept: list[str] = []
    place = 0
    for code in _FENCED.finditer(text):
        kept += [_without(text[place : code.start()]), code[0]]
        place = code.end()
    return "".join([*kept, _without(text[place:])])


def without_codes(text: str) -> str:
    """Give a text with a word for each inline code, which is read as it is, marks and all."""
    kept: list[str] = []
    place = 0
    for code in _FENCED.finditer(text):
        kept += [_CODE.sub("`x`", text[place : code.start()]), code[0]]
        place = code.end()
    return "".join([*kept, _CODE.sub("`x`", text[place:])])


def _without(text: str) -> str:
    codes = [(found.start(), found.end()) for found in _CODE.finditer(text)]
    # A dollar sign in code opens nothing, and a formula does not reach across code.
    return _FORMULA.sub(
        lambda found: found[0] if any(s < found.end() and found.start() < e for s, e in codes) else " ", text
    )


def plain(text: str) -> str:
    """Give a text's plain text outside code, formulas, addresses and HTML."""
    tokens = _PARSER.parse(_FOOTNOTE.sub("", without_formulas(text)))
    return _ADDRESS.sub(" ", "".join(_words(tokens)))


def _words(tokens: Iterable[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "inline":
            # An address is looked for in the whole line: the parser cuts it at its marks.
            yield _HTML.sub(" ", "".join(_inside(token.children or []))) + "\n"
        elif token.type == "html_block":
            yield plain_html(token.content) + "\n"


def plain_html(block: str) -> str:
    """Give the words of a block of HTML, whose lines may hold marks of Markdown all the same."""
    return html.unescape(_HTML.sub(" ", _FENCED.sub("", block)))


def _inside(tokens: Iterable[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "text":
            # Less-than signs of the text itself, so that only what the parser takes for HTML is dropped.
            yield token.content.replace("<", "\u2039")
        elif token.type == "html_inline":
            yield token.content
        elif token.type in {"softbreak", "hardbreak"}:
            yield "\n"
        elif token.type == "image":
            yield from _inside(token.children or [])


def sounds(text: str) -> str:
    """Give the letters and digits of a text."""
    return "".join(character for character in text if character.isalnum())


def in_order(expected: str, given: str) -> int:
    """Count the characters of ``expected`` that ``given`` holds in the same order: their longest common subsequence."""
    masks: dict[str, int] = {}
    for place, character in enumerate(expected):
        masks[character] = masks.get(character, 0) | 1 << place
    full = (1 << len(expected)) - 1
    row = full
    for character in given:
        matches = row & masks.get(character, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(expected) - row.bit_count()
