"""Reads the documents: their fenced blocks, tables, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

REPO = Path(__file__).resolve().parent.parent
README = REPO / "README.md"
DOCS = REPO / "docs"
# One page for each platform; the page on dialects links to them.
PLATFORMS = DOCS / "platforms"
DOCUMENTS = (README, *sorted(DOCS.rglob("*.md")))

_FENCE = re.compile(r"^```(\S*)(?: title=\"(.*)\")?$")
_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Block:
    """A fenced block: where its text begins, in which language it is, and the file that it is to be typed into."""

    path: Path
    line: int
    language: str
    title: str | None
    text: str

    @override
    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"


def blocks(*languages: str, path: Path | None = None) -> list[Block]:
    """Give the fenced blocks of these languages (all of them when none is named), of one document or of all."""
    found = [block for document in ([path] if path else DOCUMENTS) for block in _blocks(document)]
    return [block for block in found if not languages or block.language in languages]


def _blocks(path: Path) -> list[Block]:
    found: list[Block] = []
    opening: tuple[int, str, str | None] | None = None
    lines: list[str] = []
    for number, line in enumerate(path.read_text("utf-8").split("\n"), start=1):
        if opening is None and (fence := _FENCE.match(line)):
            opening, lines = (number + 1, fence[1], fence[2]), []
        elif opening is not None and line == "```":
            found.append(Block(path, *opening, text="".join(f"{one}\n" for one in lines)))
            opening = None
        else:
            lines.append(line)
    assert opening is None, f"{path.name}: the block at line {opening} is not closed"
    return found


def prose(path: Path) -> list[str]:
    """Give the lines of a document that stand outside of fenced blocks."""
    lines = path.read_text("utf-8").split("\n")
    for block in _blocks(path):
        end = block.line - 1 + block.text.count("\n")
        lines[block.line - 2 : end + 1] = [""] * (end + 3 - block.line)
    return lines


def rows(path: Path) -> list[list[str]]:
    """Give the cells of every table row of a document, heads included."""
    return [cells(line) for line in prose(path) if line.startswith("|") and not re.fullmatch(r"[| -]*", line)]


def cells(line: str) -> list[str]:
    """Give the cells of a table row."""
    return [cell.strip() for cell in _CELL.split(line)[1:-1]]


def named_in_rows(path: Path) -> set[str]:
    """Give what stands between backticks in the first column of the tables of a document."""
    return {name for row in rows(path) for name in _CODE.findall(row[0])}


def headings(path: Path) -> list[str]:
    """Give the headings of a document without their marks."""
    return [line.lstrip("#").strip() for line in prose(path) if line.startswith("#")]


def anchors(path: Path) -> set[str]:
    """Give the names by which the headings of a document can be linked to."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(path)}


def links(path: Path) -> list[str]:
    """Give where the links of a document lead."""
    return [link for line in prose(path) for link in _LINK.findall(line)]


def code(path: Path) -> list[str]:
    """Give what stands between backticks in the prose of a document."""
    return [text for line in prose(path) for text in _CODE.findall(line)]
