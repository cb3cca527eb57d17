"""The language of a text by its script, and whether there is anything to hear in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.speech.language import language_of, speakable


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", None),
        ("12:30, 42 €", None),
        ("……！？", None),
        ("😀", None),
        ("Hello", "en"),
        ("Grüß Gott, ça va?", "en"),
        ("\uff28\uff49", "en"),
        ("你好", "zh"),
        ("你好，我想查一下 iPhone 的订单", "zh"),
        ("请打开WiFi", "zh"),
        ("I live in 北京 since last year", "en"),
        ("阿诺德・施瓦辛格", "zh"),
        ("東京都", "zh"),
        ("東京タワーはどこですか", "ja"),
        ("予約をお願いします、3人です", "ja"),
        ("ｱﾘｶﾞﾄｳ", "ja"),
        ("東京都の天気", "ja"),
        ("안녕하세요, KT입니다", "ko"),
        ("Здравствуйте", "ru"),
        ("مرحبا", "ar"),
        ("สวัสดีครับ", "th"),
        ("שלום", "he"),
        ("नमस्ते", "hi"),
        ("Γειά", "el"),
        ("ok да ок", "ru"),
        ("abc 中", "zh"),
        ("ᚠᚢᚦ", None),
    ],
)
def test_the_language_of_a_text(text: str, language: str | None) -> None:
    """The script that most of a text is in names the language."""
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["a", " Hi", "7", "你", "é", "$", "+", "°", "%", "😀", "٣", "…a", "①"])
def test_what_can_be_heard(text: str) -> None:
    """A letter, a digit or a symbol is heard."""
    assert speakable(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\t",
        ",",
        "…",
        "...",
        "。",
        "！？",
        "—",
        "**",
        "`",
        "\u200b",
        "\ufeff",
        "\x00",
        "\u0301",
        "\ufe0f",
        "「」",
        "_",
    ],
)
def test_what_cannot_be_heard(text: str) -> None:
    """White space, control characters and punctuation alone are silence."""
    assert not speakable(text)


@given(st.text())
def test_what_has_a_language_can_be_heard(text: str) -> None:
    """Any text is taken, and one that has a language has something to hear."""
    if language_of(text) is not None:
        assert speakable(text)
