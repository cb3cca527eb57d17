"""The page on speech: what its tables show is what comes out."""

from __future__ import annotations

import pytest

from offhook.dialects.alibaba_ims import ALIBABA_IMS
from offhook.speech.numbers import ready, spoken
from offhook.speech.rules import MORE, SHAPERS, Links, speech_of
from offhook.speech.sentences import SentenceSplitter
from tests import documents
from tests.documents import DOCS

PAGE = DOCS / "speech.md"


def shown(heading: str) -> list[list[str]]:
    """Give the cells of the rows under a heading, as the texts that stand between their backticks."""
    lines = PAGE.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0].split("\n")
    rows = [documents.cells(line) for line in lines if line.startswith("| `")]
    return [[cell.strip("`").replace("\\n", "\n").replace("\\|", "|") for cell in row] for row in rows]


def chained(setting: str, text: str, links: Links = "read") -> str:
    """Give what the chain makes of a text."""
    chain = speech_of(setting, links).chain(ALIBABA_IMS.tags)
    return "".join(map(chain.feed, text)) + chain.flush()


def test_every_stage_has_a_heading() -> None:
    """What the setting may name is told."""
    assert {*SHAPERS, *MORE} - set(documents.headings(PAGE)) == set()


@pytest.mark.parametrize(
    ("name", "written", "says"), [(name, *row[:2]) for name in SHAPERS for row in shown(name)], ids=repr
)
def test_what_is_shown_is_spoken(name: str, written: str, says: str) -> None:
    """Each row of the page is spoken as it says, by its stage alone and by all of them."""
    assert chained(name, written) == says
    assert chained("default", written) == says


@pytest.mark.parametrize(("written", "read", "dropped"), shown("links"), ids=repr)
def test_what_is_dropped_is_shown(written: str, read: str, dropped: str) -> None:
    """The rows of addresses say what is left without them."""
    assert read != dropped
    assert chained("default", written, "drop") == dropped


@pytest.mark.parametrize(("written", "pieces"), shown("sentences"), ids=repr)
def test_the_sentences_that_are_shown(written: str, pieces: str) -> None:
    """A row has its pieces."""
    splitter = SentenceSplitter()
    assert [*splitter.feed(written), *splitter.flush()] == pieces.split("` · `")


@pytest.mark.skipif(bool(ready()), reason="optional: the packages for numbers are not installed")
@pytest.mark.parametrize(("written", "says"), shown("numbers"), ids=repr)
def test_the_numbers_that_are_shown(written: str, says: str) -> None:
    """A row is said as it says."""
    assert spoken(written, "en") == says
