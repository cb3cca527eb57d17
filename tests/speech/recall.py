"""Measures how much of real outputs' plain text is spoken, and writes docs/speech-recall.md.

Run as ``.venv/bin/python -m tests.speech.recall``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from offhook.speech.chain import Chain
from offhook.speech.rules import speech_of
from offhook.speech.think import ThinkShaper
from tests.speech.plain import in_order, plain, records, sounds

REPO = Path(__file__).resolve().parents[2]
DOCUMENT = REPO / "docs" / "speech-recall.md"

# At least this part of all letters and digits, and of each output but those that the document lists.
TARGET = 0.999
LIMIT = 0.999

# Why an output is listed: by its id, in words, and no text of the corpus.
REASONS = {
    "marco-o1-cot-043d8795b5": "fenced code right behind a line with a tag: the parser takes tag and fence for "
    "one block of HTML and the rest of the code for text; here the code is named.",
    "marco-o1-cot-916657755d": "as in `marco-o1-cot-043d8795b5`.",
    "datawhale-r1-math-1-5b-403d7babea": "the tag of its answer is written with blanks inside: for the parser that "
    "is text, here it is dropped as a tag.",
}


class Case(NamedTuple):
    """One output: the letters and digits of its plain text, and how many of them were spoken in order."""

    id: str
    features: tuple[str, ...]
    wanted: int
    found: int


# The control tags of a platform that has some.
TAGS = ("<imsagent_", "<No Interrupting")

DEFAULT = "default"
# The parser's plain text has no addresses, so they are left as they are.
MEASURED = "default,-links"


def chain(record: dict[str, Any], speech: str = DEFAULT) -> Chain:
    """Give the shapers that an output goes through; some outputs begin inside their reasoning."""
    shapers = speech_of(speech).chain(TAGS, record["lang"])
    return Chain([ThinkShaper(inside=True), shapers]) if "opening_tag" in record else shapers


def said(record: dict[str, Any], speech: str = DEFAULT) -> str:
    """Give what is spoken of an output that comes in one piece."""
    shapers = chain(record, speech)
    return shapers.feed(record["content"]) + shapers.flush()


def measured(shared: Path) -> list[Case]:
    """Measure every output; reasoning is taken away before the parser sees it."""
    cases = []
    for record in records(shared):
        reasoning = ThinkShaper(inside="opening_tag" in record)
        answer = reasoning.feed(record["content"]) + reasoning.flush()
        wanted = sounds(plain(answer))
        found = in_order(wanted, sounds(said(record, MEASURED)))
        cases.append(Case(record["id"], (record["lang"], *record["features"]), len(wanted), found))
    return cases


def table(cases: list[Case]) -> list[str]:
    """Give a row for each language, each feature and all."""
    features = {feature for case in cases for feature in case.features}
    languages = sorted(features & {"en", "zh"})
    order = [*languages, *sorted(features - set(languages), key=lambda name: (-count(cases, name), name))]
    return [
        "| of | outputs | letters and digits | spoken in order | recall |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(row(name, [case for case in cases if name in case.features]) for name in order),
        row("all", cases),
    ]


def count(cases: list[Case], feature: str) -> int:
    """Count the outputs with a feature."""
    return sum(feature in case.features for case in cases)


def row(name: str, cases: list[Case]) -> str:
    """Give the row of some outputs."""
    wanted, found = sum(case.wanted for case in cases), sum(case.found for case in cases)
    recall = 100 * found / wanted if wanted else 100.0
    return f"| {name} | {len(cases)} | {wanted} | {found} | {recall:.2f} % |"


def document(cases: list[Case]) -> str:
    """Give the page: what is measured, the table, and what is still wrong."""
    wrong = sorted((case for case in cases if case.found < case.wanted), key=lambda case: case.found - case.wanted)
    listed = [
        f"- `{case.id}`: {case.wanted - case.found} of {case.wanted}: {REASONS.get(case.id, 'not looked at yet.')}"
        for case in wrong
    ]
    lines = [
        "# Recall of speech",
        "",
        "Written by `.venv/bin/python -m tests.speech.recall`: how much of what models wrote is spoken.",
        "",
        f"{len(cases)} recorded outputs of models go through the voice chain `default,-links`. An independent",
        "parser (markdown-it-py, with tables and strikethrough) gives the plain text of each, outside reasoning,",
        "code, formulas, addresses and HTML tags; its letters and digits are looked for, in order, in what is spoken",
        "(longest common subsequence). A feature's row holds all outputs with that feature.",
        "",
        "They are kept outside of the repository, as their licences differ. The tests look for them beside it, in",
        "`../shared`, or where `OFFHOOK_SHARED` says; where they are absent these tests are skipped by name.",
        "",
        *table(cases),
        "",
        "## Still wrong",
        "",
        *(listed or ["None."]),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    page = document(measured(Path(os.environ.get("OFFHOOK_SHARED") or REPO.parent / "shared")))
    DOCUMENT.write_text(page, "utf-8")
    sys.stdout.write(page)
