"""A text is cut into sentences, of which nothing is lost, and the first piece comes early."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.speech.sentences import SentenceSplitter

if TYPE_CHECKING:
    from pathlib import Path


def cut(*pieces: str, longest: int = 300) -> list[str]:
    splitter = SentenceSplitter(longest=longest)
    return [*itertools.chain.from_iterable(map(splitter.feed, pieces)), *splitter.flush()]


# What the pieces are, with a bar between them.
SENTENCES = [
    "",
    "Hello",
    "  ",
    "Hello. |How are you? |Fine! |Bye",
    "您好。|请问有什么可以帮您？|好的！|嗯；|再见",
    "What?! |Yes!! |No.",
    "他说：“好。”|然后走了。",
    "（好的。）|（是吗？）|嗯",
    'He said "Hi." |She left. |(Really.) |[So.] |“Good.” |’Tis.',
    '他说"你好。"|我说。|"再见。"',
    "“Really?” he asked. |“No!” she said.",
    "Title\n|Line\n\n|End",
    "\n\nHello\n|",
    # Abbreviations, titles, initials.
    "So. |I am Dr. Smith, Mr. and Mrs. Jones. |Hello.",
    "So. |Fruit, e.g. apples, i.e. food. |Yes.",
    "He is from the U.S. and the U.S. Army. |Yes.",
    "So. |See No. 5, Fig. 3 and p. 7. |I said no. |Then he left.",
    "At 5 p.m. we go at 6 p.m. |Then we rest.",
    "Apple Inc. is here. |I like Apple Inc. |You too.",
    "Pens, paper, etc. are here. |Pens, etc. |You too.",
    "J. K. Rowling wrote. |So do I. |Then we go.",
    "On Jan. 5 and Sat. 6 we met. |Yes.",
    "She has a Ph.D. in it. |St. Louis is far, 5 Main St. is near.",
    # Numbers, versions, addresses, files.
    "So. |It is 3.14, 1,000.50 and v1.2.3. |Ok.",
    "1. Open it. |2. Close it. |It costs 5. |Then go.",
    "1.苹果好。|2.梨。|你好.|我是",
    "See https://x.com/a?b=1.5&c!d and main.py. |Ok.",
    "10:30. |3 p.m.\n|Ok",
    # Dots.
    "Well... maybe. |Well... |Maybe. |So...and on.",
    "嗯……|好的…|是……，对。",
    "Hmm… ok. |Hmm… |Ok.",
    "Yahoo! |It is. |Yahoo! is a firm.",
    "他说…“真的吗？”她问。|“好。”|他走了。",
    "Hello.|How are you?|I am fine.|You're in!|Yes.",
    "So. |System.out, a.B, Mr.Smith, https://x.com/a?B, x.Y, A?B, v2.Beta. |Ok.",
    "नमस्ते। |आप कैसे हैं? |هل أنت بخير؟ |نعم.",
    "a!b ?c x=1!",
]


@pytest.mark.parametrize("marked", SENTENCES)
def test_sentences_cut_at_every_place(marked: str) -> None:
    """Each text gives the pieces that are meant, whole, fed in two pieces, and one character at a time."""
    expected = [piece for piece in marked.split("|") if piece]
    text = "".join(expected)
    assert cut(text) == cut(*text) == expected
    for place in range(len(text) + 1):
        assert cut(text[:place], "", text[place:]) == expected, place


FIRST = [
    "您好，我是小明，|请问您有什么需要，请说。",
    "好的，没问题。|我来，帮您查一下，您看。",
    "Sure, I can help, |of course, yes. |One, two, three, four.",
    "Your order number one,000 is 1,000,000 and more, |yes.",
    "It is at 10:30 in the morning: |good, yes.",
    "Well then my friend—|go now—yes.",
    "这是一个好消息——|真的。",
    "营业时间是每天：|10:00，到。",
    "他大声地说：“好的，”|然后走了。",
    "We have apples, |red and green, and pears.",
    "Yes; no; maybe so; |ok.",
    "它是电影《007：大破天幕杀机》的主题曲，|对吧。",
    "We have three apples (red, green), |and pears.",
]


@pytest.mark.parametrize("marked", FIRST)
def test_the_first_piece_is_early(marked: str) -> None:
    """The first piece ends with a clause that is worth saying, and only the first does."""
    expected = marked.split("|")
    text = "".join(expected)
    assert cut(text) == cut(*text) == expected


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        (["Hello", ".", " ", "I"], [[], [], [], ["Hello. "]]),
        (["您好", "。", "我"], [[], [], ["您好。"]]),
        (["您好。", "”", "我"], [[], [], ["您好。”"]]),
        (["a? b! cd. D"], [["a? ", "b! ", "cd. "]]),
        (["3.", "1"], [[], []]),
        (["Hi\n", "\n", "a"], [[], [], ["Hi\n\n"]]),
        (["我想问一下吧", "，", "好"], [[], [], ["我想问一下吧，"]]),
        (["a." + " " * 8], [["a." + " " * 8]]),
    ],
)
def test_what_is_held_back(pieces: list[str], given: list[list[str]]) -> None:
    """A sentence comes as soon as the character is there that tells that it ended."""
    splitter = SentenceSplitter()
    assert [splitter.feed(piece) for piece in pieces] == given


def test_a_sentence_that_is_too_long() -> None:
    """It is cut behind its last clause, or its last word, or where it reaches the bound."""
    assert cut("a." + "b" * 10, longest=5) == ["a.bbb", "bbbbb", "bb"]
    assert cut("aa bb, cc dd ee ff", longest=14) == ["aa bb, ", "cc dd ee ff"]
    assert cut("aa bb cc dd ee ff", longest=10) == ["aa bb cc ", "dd ee ff"]
    assert cut("一" * 10, longest=4) == ["一" * 4, "一" * 4, "一" * 2]
    assert cut("Go. 一二三，四五六、七八九十", longest=9) == ["Go. ", "一二三，四五六、", "七八九十"]


def test_a_flush_begins_anew() -> None:
    """Behind the end of a text another one may be fed, and its first piece is early again."""
    splitter = SentenceSplitter()
    assert splitter.feed("Ab. B") == ["Ab. "]
    assert splitter.flush() == ["B"]
    assert splitter.flush() == []
    assert splitter.feed("我想问一下吧，好") == ["我想问一下吧，"]
    assert splitter.flush() == ["好"]


PARTS = [
    *(
        "a",
        "B",
        "I",
        "好",
        "我们",
        "3",
        "Dr",
        "e.g",
        "No",
        "p.m",
        "U.S",
        ".",
        "...",
        "!",
        "?",
        "…",
        "。",
        "！",
        "；",
        "，",
    ),
    *(
        ",",
        ":",
        ";",
        "：",
        "—",
        "\n",
        " ",
        "  ",
        '"',
        "'",
        "“",
        "”",
        "）",
        "(",
        ")",
        "word word",
        "1.",
        "\r\n",
        " " * 9,
    ),
    *(")" * 9, "." * 9, "x" * 40, "好" * 40),
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)


@given(TEXTS, st.lists(st.integers(0, 200), max_size=8), st.sampled_from([300, 20]))
@example("a." + " " * 9 + "B", [5], 300)
def test_no_cut_changes_anything(text: str, places: list[int], longest: int) -> None:
    """However a text is fed, the pieces are the same, and put together they are the text."""
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    whole = cut(text, longest=longest)
    assert "".join(whole) == text
    assert "" not in whole
    assert cut(*(text[start:end] for start, end in itertools.pairwise(edges)), longest=longest) == whole
    assert cut(*text, longest=longest) == whole
    assert all(len(piece) <= longest + 24 for piece in whole)


@given(TEXTS)
def test_what_waits_is_bounded(text: str) -> None:
    """Little more than the longest sentence ever waits, however the text goes on."""
    splitter = SentenceSplitter(longest=30)
    for character in text * 3:
        splitter.feed(character)
        assert len(splitter._text) <= 30 + 24


@pytest.mark.parametrize(
    "part", ["a", ".", "a.", ". ", ",", '"', ")", ".)", "\n", " ", "—", "a,", 'a."', "…", "好，", "1."]
)
def test_a_hostile_text_takes_time_by_its_length(part: str) -> None:
    """A hundred thousand repetitions pass within the test's time limit, whole and in small pieces."""
    text = part * 50_000
    whole = cut(text)
    assert cut(*(text[place : place + 3] for place in range(0, len(text), 3))) == whole


# --- real outputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_real_dialogues_are_whole(shared: Path, lang: str) -> None:
    """Of real turns nothing is lost, the cuts do not matter, and no piece ends with a title or within a number."""
    for line in (shared / "corpus" / "dialogues" / f"{lang}.jsonl").read_text("utf-8").splitlines():
        for turn in json.loads(line)["turns"]:
            text = turn["content"]
            pieces = cut(text)
            assert "".join(pieces) == text
            assert cut(*text) == pieces
            for left, right in itertools.pairwise(pieces):
                assert not left.endswith(("Dr. ", "Mr. ", "e.g. "))
                assert not (left[-1] in ".,:" and right[0].isdecimal())
