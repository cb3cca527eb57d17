"""How long speech takes, and where it was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.node.speaker import Pace, added, duration, heard, whole_words

# Ten characters or five words take a second.
PACE = Pace(characters_per_second=10, words_per_second=5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0.0),
        ("。，!? \n", 0.0),
        ("今天天气晴朗。", 0.6),
        ("Hello, world!", 0.4),
        ("it's 12:30 in well-known U.S.A.", 1.0),
        ("从1数到300", 0.3 + 0.4),
        ("我有iPhone手机", 0.4 + 0.2),
        ("こんにちは", 0.5),
        ("안녕", 0.2),
    ],
)
def test_characters_and_words_take_their_time(text: str, seconds: float) -> None:
    """Chinese, Japanese and Korean is counted in characters, all else in words, and marks take no time."""
    assert duration(text, PACE) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "seconds", "spoken"),
    [
        ("今天天气，晴朗。", 0.0, ""),
        ("今天天气，晴朗。", 0.05, ""),
        ("今天天气，晴朗。", 0.4, "今天天气，"),
        ("今天天气，晴朗。", 0.55, "今天天气，晴"),
        ("今天天气，晴朗。", 0.6, "今天天气，晴朗。"),
        ("one two three", 0.39, "one"),
        ("one two three", 0.4, "one two"),
        ("  one", 0.1, ""),
        ("one  ", 9.0, "one  "),
        ("", 1.0, ""),
        ("，", 0.0, "，"),
    ],
)
def test_what_was_heard_is_cut_at_characters_and_words(text: str, seconds: float, spoken: str) -> None:
    """What was heard ends after a whole character or word and the marks behind it."""
    assert text[: heard(text, seconds, PACE)] == spoken


@given(st.text(alphabet="ab 今天，。1-'", max_size=40), st.floats(0, 10), st.floats(0, 10))
def test_more_time_never_hears_less(text: str, early: float, late: float) -> None:
    """What was heard only grows with time, and is everything once the duration has passed."""
    early, late = sorted((early, late))
    assert heard(text, early, PACE) <= heard(text, late, PACE) <= len(text)
    assert heard(text, duration(text, PACE), PACE) == len(text)


@given(st.lists(st.text(alphabet="ab 今天，。1", max_size=8), max_size=12))
def test_pieces_take_as_long_as_the_whole(pieces: list[str]) -> None:
    """A text takes as long in pieces as in one, also where a piece goes on with a word."""
    total, before = 0.0, ""
    for piece in pieces:
        total += added(before, piece, PACE)
        before += piece
    assert total == pytest.approx(duration(before, PACE))


@pytest.mark.parametrize(("offset", "whole"), [(0, 0), (3, 0), (5, 5), (6, 6), (8, 6), (11, 11), (12, 12)])
def test_a_cut_inside_a_word_moves_before_it(offset: int, whole: int) -> None:
    """A cut inside a word moves to its beginning, and one between words or characters stays."""
    assert whole_words("Hello world今天", offset) == whole
