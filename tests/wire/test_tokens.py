"""The guess at tokens is cheap, monotonous and never nothing for something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.wire.tokens import estimate


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        (" ", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("你好", 2),
        ("你好吗 abcd", 5),
        ("ひらカナ", 4),
        ("안녕", 2),
        ("𠀀𪜶", 2),
        ("，。", 1),
    ],
)
def test_the_guess(text: str, tokens: int) -> None:
    """A CJK character counts as one token, and four others as one."""
    assert estimate(text) == tokens


@given(st.text(), st.text())
def test_more_text_is_not_fewer_tokens(first: str, second: str) -> None:
    """More text has at least as many tokens, at most one for each character, and only the empty string has none."""
    both = estimate(first + second)
    assert max(estimate(first), estimate(second)) <= both <= len(first + second)
    assert (both == 0) == (not first + second)
