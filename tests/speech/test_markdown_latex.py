"""A formula is read in words, or named; braces and backslashes are never heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.speech.latex import LIMIT, formula_name, speak_formula

ENGLISH = {
    r"\frac{a}{b}": "a over b",
    r"\dfrac12": "1 over 2",
    r"x^2 + y^3 = z^{n+1}": "x squared + y cubed = z to the power of n + 1",
    r"x_1, x_{12}": "x sub 1, x sub 12",
    r"2 \times 3 \cdot 4 \div 5": "2 times 3 times 4 divided by 5",
    r"a \le b \geq c \neq d \approx e": "a is at most b is at least c is not equal to d is approximately e",
    r"\sqrt{x} + \sqrt[3]{y}": "the square root of x + the root of degree 3 of y",
    r"\sum_{i=1}^{n} i": "the sum from i = 1 to n of i",
    r"\prod_{p} p": "the product over p of p",
    r"\lim_{x \to 0} f(x)": "the limit as x to 0 of f (x)",
    r"\alpha + \Delta + \varphi": "alpha + delta + phi",
    r"\sin\theta": "sin theta",
    r"90^\circ, f'": "90 degrees, f prime",
    r"\boxed{\text{yes or no}}": "yes or no",
    r"\left( \mathbb{R} \right)": "(R)",
    r"\binom{n}{k} \equiv 1 \pmod{p}": "n choose k is congruent to 1 mod p",
    r"-1 - 2": "minus 1 minus 2",
    r"\$5, 50\%": "$5, 50%",
    r"a * b | c": "a times b c",
    r"1,000.5": "1,000.5",
    r"x \tag{12}": "x",
    r"x^": "x to the power of",
    "": "",
}


@pytest.mark.parametrize("source", ENGLISH)
def test_a_formula_in_english(source: str) -> None:
    """Each formula is read as it would be said."""
    assert speak_formula(source, "en") == ENGLISH[source]


CHINESE = {
    r"\frac{a}{b}": "b分之a",
    r"x^2 \times 3 \le \sqrt{2}": "x的平方乘3小于等于根号2",
    r"\sum_{i=1}^{n} i": "从i = 1到n求和i",
    r"\lim_{x \to 0} x": "当x趋于0时的极限x",
    r"-1 - 2": "负1减2",
    r"\pi r^{n}": "派r的n次方",
    r"\text{面积} = 3": "面积= 3",
}


@pytest.mark.parametrize("source", CHINESE)
def test_a_formula_in_chinese(source: str) -> None:
    """Each formula is read in Chinese where the text is Chinese."""
    assert speak_formula(source, "zh") == CHINESE[source]


def test_a_japanese_formula() -> None:
    """In Japanese a fraction is read from below, and the operators keep their English words."""
    assert speak_formula(r"\frac{1}{2} x^2", "ja") == "2分の1 xの2乗"


@pytest.mark.parametrize(
    "source",
    [
        r"\begin{aligned} x &= 1 \end{aligned}",
        r"\weird{x}",
        "{" * 50,
        "^" * LIMIT,
        r"\frac" * 40,
        "x" * (LIMIT + 1),
        "x^" * 60 + "{" * 30,
    ],
)
def test_what_is_odd_or_long_is_named(source: str) -> None:
    """An environment, an unknown command, deep braces and a long formula are named and not read."""
    assert speak_formula(source, "en") == formula_name("en") == "(formula)"
    assert speak_formula(source, "zh") == formula_name("zh") == "（公式）"


TOKENS = [
    "\\",
    "{",
    "}",
    "^",
    "_",
    "[",
    "]",
    "\\frac",
    "\\sqrt",
    "\\text",
    "\\sum",
    "\\left",
    "\\\\",
    "\\{",
    "'",
    "a",
    "1",
    " ",
    "中",
    "$",
    "`",
    "*",
    "-",
    "&",
]


@given(st.lists(st.sampled_from(TOKENS), max_size=120).map("".join), st.sampled_from(["en", "zh", "ja"]))
def test_nothing_of_the_notation_is_heard(source: str, language: str) -> None:
    """No backslash, brace, star, dollar sign or backtick comes out, whatever goes in."""
    assert not set(speak_formula(source, language)) & set("\\{}*`")
