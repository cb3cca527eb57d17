"""Real outputs of models: the same speech however they are cut, no mark in it, and every word that a parser finds."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from offhook.speech.sentences import SentenceSplitter
from tests.speech.plain import records, without_codes
from tests.speech.recall import LIMIT, REASONS, TARGET, chain, measured, said

if TYPE_CHECKING:
    from pathlib import Path


def pieces(text: str, chance: random.Random) -> list[str]:
    """Cut a text at random, as a model's tokens are: a few characters, sometimes one, sometimes many."""
    cut = []
    place = 0
    while place < len(text):
        length = chance.choice((1, 1, 2, 3, 4, 4, 5, 6, 8, 13, 40))
        cut.append(text[place : place + length])
        place += length
    return cut


def sentences(given: list[str]) -> list[str]:
    """Give the pieces that a platform is given which takes whole sentences."""
    splitter = SentenceSplitter()
    return [*(sentence for piece in given for sentence in splitter.feed(piece)), *splitter.flush()]


def test_every_output_gives_the_same_however_cut(shared: Path) -> None:
    """Every output, in random cuts and one character at a time, is spoken as in one piece, and so is each sentence."""
    chance = random.Random(6)
    for record in records(shared):
        text = record["content"]
        whole = said(record)
        for cut in (pieces(text, chance), pieces(text, chance), list(text)):
            shaper = chain(record)
            given = [*map(shaper.feed, cut), shaper.flush()]
            assert "".join(given) == whole, record["id"]
            assert sentences(given) == sentences([whole]), record["id"]
        assert "".join(sentences([whole])) == whole, record["id"]


# Written from what a listener would hear as a mark, and not from the shaper. What stands beside a digit or a single
# letter is arithmetic; brackets behind each other are indices.
MARKS = {
    "stars": r"(?<![\w)\]])\*\*|\*\*(?![\w(])|(?<![\w)\]*])\*(?=[^\W\d])|(?<=[^\W\d_]{2})\*(?!\w)",
    "underscores": r"(?<!\w)__?(?=[^\W_])|(?<=[^\W_])__?(?!\w)",
    "tildes": r"~~",
    "highlights": r"(?<![=!<>])==(?![=\s])[^=\n]+(?<![\s=])==(?!=)",
    "backticks": r"`",
    "headings": r"^[ \t]*#{1,6}(?:\s|$)",
    "bullets": r"^[ \t]*(?:[-*+]\s|[•●▪·])",
    "numbers": r"^[ \t]*\d{1,3}[.)]\s|^[ \t]*\d{1,3}、|^[ \t]*（\d{1,3}）",
    "boxes": r"^[ \t]*\[[ xX]\]\s",
    "quotes": r"^[ \t]*>",
    "rows": r"^[ \t]*\|[^\n]*\|[ \t]*$|\|[ \t]*:?-{2,}",
    "rules": r"^[ \t]*(?:[-*_=][ \t]*){3,}$",
    "links": r"!?\[[^\[\]\n]+\]\([^\s()]+\)|^\[[^\[\]\n]+\]: *http",
    "footnotes": r"\[\^",
    "tags": r"</?(?:a|b|i|u|p|br|hr|em|div|span|strong|h[1-6]|ul|ol|li|table|tr|td|th|sub|sup|script|style|html|head"
    r"|body|form|input|button|img|code|pre|answer|output|think)\b[^<>\n]*>|<!--|-->",
    "entities": r"&(?:amp|lt|gt|quot|nbsp|times|#\d+);",
    "formulas": r"\\[()\[\]]|\$\$|\\(?:frac|times|cdot|sqrt|text|boxed|left|right|le|ge|neq)\b",
    "blank lines": r"\n[ \t]*\n",
    "addresses": r"https?://[A-Za-z0-9]|\bwww\.[A-Za-z0-9]|[A-Za-z0-9]@[A-Za-z0-9-]+\.[A-Za-z]{2}",
    "emoji": "[\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u2600-\u2604"
    "\u2614\u2615\u2705\u2728\u274c\u2753-\u2757\u2b50\u2764"
    "\ufe0f\u20e3]|:-?\\)(?:\\s|$)|(?<=\\s):[a-z]+_[a-z]+:",
    "control tags": r"<imsagent_|<no interrupting",
}
THOUGHTS = re.compile(r"<think>(.*?)(?:</think>|\Z)", re.DOTALL)


def test_no_mark_is_left(shared: Path) -> None:
    """In what is spoken of every output no mark, address, emoji or tag is found outside inline code."""
    patterns = {name: re.compile(pattern, re.MULTILINE) for name, pattern in MARKS.items()}
    left = []
    for record in records(shared):
        text = said({**record, "content": without_codes(record["content"])})
        left += [(record["id"], name) for name, pattern in patterns.items() if pattern.search(text)]
    assert left == []


def test_no_reasoning_is_left(shared: Path) -> None:
    """Of every line of reasoning that does not stand in the answer too, nothing is spoken as it was written."""
    seen = 0
    for record in records(shared):
        text = ("<think>" if "opening_tag" in record else "") + record["content"]
        answer, spoken = THOUGHTS.sub("", text), said(record)
        for thought in THOUGHTS.findall(text):
            for line in filter(None, map(str.strip, thought.split("\n"))):
                seen += 1
                assert len(line) < 12 or line in answer or line not in spoken, record["id"]
    assert seen >= 1000


def test_every_word_that_a_parser_finds_is_spoken(shared: Path) -> None:
    """Of the letters and digits that a Markdown parser gives as plain text the stated part is spoken in order."""
    cases = measured(shared)
    assert len(cases) >= 1000
    found, wanted = sum(case.found for case in cases), sum(case.wanted for case in cases)
    assert found >= TARGET * wanted
    assert all(case.found >= LIMIT * case.wanted for case in cases if case.id not in REASONS)
