"""The tool of a line that answers from a folder of documents: a full-text search with SQLite, and no other service."""

import re
import sqlite3
from pathlib import Path

from offhook import tool

FOLDER = Path(__file__).parent / "notes"
KINDS = {".md", ".txt"}
MOST = 3


def passages(folder: Path) -> list[tuple[str, str]]:
    """Give the paragraphs of a folder's documents, each with the name of its file."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in KINDS)
    texts = ((path.stem, re.split(r"\n\s*\n", path.read_text("utf-8"))) for path in files)
    return [(name, paragraph.strip()) for name, parts in texts for paragraph in parts if paragraph.strip()]


def index_of(folder: Path) -> sqlite3.Connection:
    """Give an index of the passages, in memory: read once, at the first question.

    Trigrams find words in languages that part nothing by spaces too.
    """
    index = sqlite3.connect(":memory:", check_same_thread=False)
    index.execute("CREATE VIRTUAL TABLE passages USING fts5(name, text, tokenize = 'trigram')")
    index.executemany("INSERT INTO passages VALUES (?, ?)", passages(folder))
    return index


def find(index: sqlite3.Connection, words: list[str]) -> list[dict[str, str]]:
    """Give the best passages for any of the words, the best first."""
    # Quoted, so that nothing in them is taken for a part of the query language; a trigram needs three letters.
    asked = [f'"{word.replace(chr(34), "")}"' for word in words if len(word) >= 3]
    short = [word for word in words if 0 < len(word) < 3]
    found: list[tuple[str, str]] = []
    if asked:
        query = "SELECT name, text FROM passages WHERE passages MATCH ? ORDER BY bm25(passages) LIMIT ?"
        found += index.execute(query, (" OR ".join(asked), MOST))
    for word in short:
        query = "SELECT name, text FROM passages WHERE instr(text, ?) LIMIT ?"
        found += index.execute(query, (word, MOST))
    return [{"document": name, "text": text} for name, text in dict.fromkeys(found)][:MOST]


_index: list[sqlite3.Connection] = []


@tool(filler={"en": "Let me look that up.", "zh": "我查一下资料。"})
def look_up(words: list[str]) -> list[dict[str, str]] | str:
    """Find passages in the documents of the house. Answer only from what they say.

    Args:
        words: The words to look for, without stop words, in the language of the documents.
    """
    if not _index:
        _index.append(index_of(FOLDER))
    return find(_index[0], words) or "Nothing is written about that."
