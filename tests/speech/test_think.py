"""Reasoning within tags is not spoken, and everything else is."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.speech.think import ThinkShaper

if TYPE_CHECKING:
    from pathlib import Path


def spoken(*pieces: str, inside: bool = False) -> str:
    shaper = ThinkShaper(inside=inside)
    return "".join([*(shaper.feed(piece) for piece in pieces), shaper.flush()])


FORMS: dict[str, tuple[str, str]] = {
    "nothing": ("", ""),
    "no tag": ("Well, hello.", "Well, hello."),
    "by the book": ("<think>hm</think>Hello", "Hello"),
    "white space behind the tag": ("<think>\nhm\n</think>\n\nHello\n", "Hello\n"),
    "white space before the tag": ("\n<think>hm</think>\n Hello", "\nHello"),
    "thinking": ("<thinking>hm</thinking>Hello", "Hello"),
    "thought": ("<thought>hm</thought>Hello", "Hello"),
    "Thought": ("<Thought>\nhm\n</Thought>\n<Output>\nHello", "<Output>\nHello"),
    "reasoning": ("<reasoning>hm</reasoning>Hello", "Hello"),
    "seed:think": ("<seed:think>hm</seed:think>Hello", "Hello"),
    "capitals": ("<THINK>hm</ThInK>Hello", "Hello"),
    "spaces inside the tags": ("< think >hm</ think >Hello", "Hello"),
    "a space before the slash": ("<think>hm< /think>Hello", "Hello"),
    "a line inside the tag": ("<think\n>hm</think\n>Hello", "Hello"),
    "a colon behind the tag": ("<think>：\n1. 我们</think>好", "好"),
    "never closed": ("Well. <think>hm, Hello", "Well. "),
    "never opened": ("Well. </think> Hello", "Well.  Hello"),
    "never opened, and nothing before": ("</think>\n\nHello", "Hello"),
    "closed twice": ("<think>hm</think>\n</think>\nHello", "Hello"),
    "closed by a relative": ("<think>hm</thinking>Hello", "Hello"),
    "nothing inside": ("<think></think>Hello", "Hello"),
    "closed in itself": ("<think/>Hello<think />.", "Hello."),
    "an opening tag inside": ("<think> <think> hm</think>Hello", "Hello"),
    "a word about the tag inside": ("<think>the <think> tag?</think>Hello", "Hello"),
    "twice": ("<think>a</think>Well, <think>b</think>hello", "Well, hello"),
    "white space between": ("<think>a</think> \n<think>b</think>\nHello", "Hello"),
    "words behind white space": (" Hello<think>hm</think> you", " Hello you"),
    "white space later": ("Well,<think>b</think> hello", "Well, hello"),
    "another tag": (
        "<b>Hello</b> <thin>x</thin> <thinker> <think-tank>",
        "<b>Hello</b> <thin>x</thin> <thinker> <think-tank>",
    ),
    "attributes are no tag": ("<think hard> <thought: x>", "<think hard> <thought: x>"),
    "less than": ("a < b, 1 <2, x<think, <<think", "a < b, 1 <2, x<think, <<think"),
    "too much white space": ("<     think>Hello", "<     think>Hello"),
    "a tag behind a sign": ("a <<think>hm</think>b", "a <b"),
    "less than inside": ("<think>a < b </thin </b> <</think>Hello", "Hello"),
    "a tag begun inside": ("<think>hm</thi", ""),
    "a tag begun at the end": ("Hello</thin", "Hello</thin"),
    "an entity": ("&lt;think&gt;Hello", "&lt;think&gt;Hello"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_cut_at_every_place(name: str) -> None:
    """Each form gives what is meant, whole, in two pieces cut anywhere, and one character at a time."""
    text, expected = FORMS[name]
    assert spoken(text) == expected
    assert spoken(*text) == expected
    for place in range(len(text) + 1):
        assert spoken(text[:place], "", text[place:]) == expected, place


INSIDE: dict[str, tuple[str, str]] = {
    "closed": ("hm</think>\n\nHello", "Hello"),
    "opened all the same": ("<think>hm</think>Hello", "Hello"),
    "never closed": ("hm, Hello", ""),
    "a tag begun": ("hm</think", ""),
    "opened again": ("hm</think>Hello<think>hm", "Hello"),
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_text_that_begins_inside(name: str) -> None:
    """Where the prompt held the opening tag, nothing is spoken before the closing one."""
    text, expected = INSIDE[name]
    assert spoken(text, inside=True) == spoken(*text, inside=True) == expected


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        (["a <"], ["a "]),
        (["a <", " "], ["a ", ""]),
        (["a < ", "b"], ["a ", "< b"]),
        (["a <b"], ["a <b"]),
        (["<thi"], [""]),
        (["<thi", "rd>"], ["", "<third>"]),
        (["<think", "s"], ["", "<thinks"]),
        (["<<"], ["<"]),
        (["<<", "x"], ["<", "<x"]),
        (["a</", "b"], ["a", "</b"]),
        (["Hello.", "Hello. <b"], ["Hello.", "Hello. <b"]),
        (["</think>", " ", "Hello", " "], ["", "", "Hello", " "]),
    ],
)
def test_no_more_is_held_back_than_cannot_be_told(pieces: list[str], given: list[str]) -> None:
    """Only what may still become a tag is held back, and is given by the piece that decides."""
    shaper = ThinkShaper()
    assert [shaper.feed(piece) for piece in pieces] == given


def test_a_shaper_goes_on_after_its_end() -> None:
    """What was held back is given once, and what is fed later is shaped as before."""
    shaper = ThinkShaper()
    assert (shaper.feed("a<thi"), shaper.flush(), shaper.flush()) == ("a", "<thi", "")
    assert (shaper.feed("nk>b"), shaper.feed("<think>c")) == ("nk>b", "")


# --- any text -----------------------------------------------------------------------------------------------------

MARKS = [
    "<",
    ">",
    "/",
    " ",
    "   ",
    "\n",
    "think",
    "Think",
    "thinking",
    "thought",
    "reasoning",
    "th",
    "ink",
    "a",
    "b.",
    "，好",
]
TAGS = ["<think>", "</think>", "< Thinking >", "</ thought>", "<think/>"]
CUTS = st.lists(st.integers(0, 200), max_size=8)
PLAIN = st.text(alphabet=st.characters(exclude_characters="<"), max_size=20)


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(st.sampled_from(MARKS + TAGS), max_size=30).map("".join), CUTS, st.booleans())
def test_no_cut_changes_anything(text: str, places: list[int], inside: bool) -> None:
    """Any text gives the same in one piece and in many."""
    assert spoken(*cut(text, places), inside=inside) == spoken(*text, inside=inside) == spoken(text, inside=inside)


@given(st.lists(st.sampled_from(MARKS), max_size=30).map("".join) | st.text(), CUTS)
@example("<" * 1000, [500])
def test_a_text_without_tags_is_not_changed(text: str, places: list[int]) -> None:
    """A text in which no tag stands comes out as it is, whatever else is in it."""
    if not re.search(r"<\s*/?\s*(thinking|thoughts?|think|reasoning)\s*/?\s*>", text, re.IGNORECASE):
        assert spoken(*cut(text, places)) == text


@given(st.lists(st.tuples(PLAIN, PLAIN), max_size=4), PLAIN, CUTS)
def test_nothing_inside_is_ever_spoken(parts: list[tuple[str, str]], last: str, places: list[int]) -> None:
    """Of words and reasoning in turn the words come out, and of the reasoning nothing."""
    text = "".join(f"{words}<think>{reasoning}</think>" for words, reasoning in parts) + last
    expected = "x" + "".join(words for words, _ in parts) + last
    assert spoken(*cut("x" + text, places)) == expected


@given(st.lists(st.sampled_from([m for m in MARKS if m != "/"]), max_size=30).map("".join), CUTS)
def test_what_is_not_closed_is_never_spoken(text: str, places: list[int]) -> None:
    """Behind an opening tag nothing is spoken as long as no closing one comes."""
    assert spoken(*cut("Well.<think>" + text, places)) == "Well."


# --- real outputs -------------------------------------------------------------------------------------------------

TAG = re.compile(r"<\s*(/?)\s*(?:think|thought)\s*>", re.IGNORECASE)


def records(shared: Path) -> list[dict[str, Any]]:
    file = shared / "corpus" / "llm_outputs" / "think.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]


def test_real_reasoning_is_not_spoken_and_the_answer_is(shared: Path) -> None:
    """Of every recorded output with one pair of tags exactly the answer is spoken, in pieces of a few characters."""
    proper = 0
    for record in records(shared):
        text = record["content"]
        tags = list(TAG.finditer(text))
        inside = "opening_tag" in record
        if [tag[1] for tag in tags] != (["/"] if inside else ["", "/"]):
            continue
        proper += 1
        begin = 0 if inside else tags[0].start()
        answer = text[tags[-1].end() :]
        pieces = [text[place : place + 5] for place in range(0, len(text), 5)]
        expected = text[:begin] + (answer if text[:begin].strip() else answer.lstrip())
        assert spoken(*pieces, inside=inside) == expected, record["id"]
    assert proper >= 100


def test_real_malformed_reasoning_is_told_the_same_however_cut(shared: Path) -> None:
    """Recorded outputs with missing, doubled and misspelt tags give the same in pieces, and nothing unclosed."""
    for record in records(shared):
        text = record["content"]
        whole = spoken(text)
        assert spoken(*text) == whole
        opened = TAG.search(text)
        if opened and not any(tag[1] for tag in TAG.finditer(text)):
            assert whole == text[: opened.start()], record["id"]
