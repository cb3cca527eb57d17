"""Any text, however hostile, gives the same speech however it is cut, in time and without waiting for ever."""

from __future__ import annotations

import itertools
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offhook.speech.markdown import MarkdownShaper

if TYPE_CHECKING:
    from types import FrameType


def spoken(*pieces: str) -> str:
    shaper = MarkdownShaper()
    return "".join([*(shaper.feed(piece) for piece in pieces), shaper.flush()])


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


MARKS = [
    *"*_~=`[]()<>&$\\|\n\r#/!-+•>.:;\"'^{} 0123aB中。，（）１①",
    "**", "__", "```", "~~~", "---", "\n\n", "\n```\n", "    ", "| a | b |\n", "|---|---|\n",
    "1. ", "- ", "- [ ] ", "# ",
    "> ", "[a](b)", "[^1]", "[1]: http://a", "![", "](", "<b>", "</b>", "<br>",
    "<!--", "-->", "<script>", "</script>",
    "&amp;", "&lt;", "$x$", "$$", "\\(", "\\)", "\\[", "\\]", "\\frac{1}{2}", "\\begin{a}",
    "\\end{a}", "http://", "word",
    "<Enter>", "<p> ", "[INST]", "<|x|>", "(*_*)", ">_<", "&lt;think&gt;", "[abcd", "</", "<foo", "\\o/",
    "中文", "かな", "(", "（1）", "2、",
    "__init__.py", "<foo_bar/>", "<No Interrupting>", "[!NOTE]", ": ", "H~2~", "x^2^",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(MARKS), max_size=40).map("".join)
LONG = st.tuples(TEXTS, st.sampled_from(MARKS), st.integers(100, 700), TEXTS).map(
    lambda parts: parts[0] + parts[1] * parts[2] + parts[3]
)
CUTS = st.lists(st.integers(0, 5000), max_size=8)


@settings(max_examples=400)
@given(TEXTS, CUTS)
@example("\\", [1])
@example("a|\n-", [2])
def test_no_cut_changes_anything(text: str, places: list[int]) -> None:
    """Any text gives the same in one piece and in many."""
    assert spoken(*cut(text, places)) == spoken(*text) == spoken(text)


@settings(max_examples=100)
@given(LONG, CUTS)
def test_no_cut_changes_anything_near_a_limit(text: str, places: list[int]) -> None:
    """A mark that is repeated beyond every limit gives the same in one piece and in many."""
    assert spoken(*cut(text, places)) == spoken(*text) == spoken(text)


PLAIN = st.text(alphabet=st.characters(exclude_characters="*_~=`[]<>&$\\|\n\r#/!"), max_size=60)
STARTS = re.compile(r"[\s\d+•‣◦▪▫●·∙⁃（\-─━═—–:]")


@given(PLAIN, CUTS)
def test_a_text_without_marks_is_not_changed(text: str, places: list[int]) -> None:
    """A line in which no mark stands comes out as it is, whatever else is in it."""
    if not STARTS.match(text):
        assert spoken(*cut(text, places)) == text


@given(TEXTS)
def test_what_went_out_as_it_stands_is_plain(text: str) -> None:
    """A text that is fed after an end is spoken as the first one was."""
    shaper = MarkdownShaper()
    first = shaper.feed(text) + shaper.flush()
    shaper.feed("a\n")
    shaper.flush()
    assert spoken(text) == first


REPEATED = [
    *"*_~=`[]()<>&$\\|\n#/!-+•１1a （",
    "[a", "[[", "](", "[a](", "<a ",
    "<a b=", "</", "<!", "<!-", "&a", "&#1", "$a", "$1 ", "$$", "\\(", "\\[", "\\a", "\\text{",
    "\\begin{a}", "**a", "_a", "a*", "~~", "==", "``", "` ", "|a", "| ", "a|b ",
    "|\n", "|-", "\n|", "a|\n", "1.", "1. ", "- ", "-\n",
    "> ", ">\n", "# ", "\n```\n", "```", "~~~\n", "<script>", "[^",
    "[a]: ", "http://", ":/", "\\\\", "! ", "![", "<!--", "{", "\\sqrt",
    "\r", "<a@", "<a:",
]  # fmt: skip


class Steps:
    """Counts the calls of Python functions, which is how much work there was, whatever the machine."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        self.count += event in {"call", "c_call"}

    def __enter__(self) -> Steps:
        sys.setprofile(self)
        return self

    def __exit__(self, *details: object) -> None:
        sys.setprofile(None)


@pytest.mark.parametrize("piece", REPEATED)
def test_the_work_grows_with_the_text_and_no_faster(piece: str) -> None:
    """Ten times as much of any mark needs at most about ten times the steps."""
    counts = []
    for length in (2_000, 20_000):
        with Steps() as steps:
            spoken(piece * (length // len(piece)))
        counts.append(steps.count)
    assert counts[1] <= 14 * counts[0] + 1000
    assert counts[1] <= 60 * 20_000


@pytest.mark.parametrize("piece", REPEATED)
def test_a_long_hostile_text_is_read_in_time(piece: str) -> None:
    """A hundred thousand characters of any mark are read well within the time limit of a test."""
    text = piece * (100_000 // len(piece))
    spoken(text)
    spoken(*cut(text[:8000], list(range(0, 8000, 3))))


@pytest.mark.parametrize(
    "opening", ["[", "<a b", "`", "$x", "a | b", "| b", "1", "#", "-", "***", "[a](", "\\(", "&a", "\\frac{", "[1]: "]
)
def test_what_is_held_back_is_bounded(opening: str) -> None:
    """A mark that is never closed gives up its words after a bounded number of characters."""
    shaper = MarkdownShaper()
    given = shaper.feed(opening)
    for _ in range(3000):
        given += shaper.feed("x ")
    assert given
    assert shaper.feed("y").strip() == "y" or "formula" in given or opening == "[1]: "
