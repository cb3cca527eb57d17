"""Numbers are read in their language, and everything else in the sentence stays as it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.speech import numbers, numbers_library
from offhook.speech.language import language_of
from offhook.speech.numbers import load, ready, spoken
from tests import documents

if TYPE_CHECKING:
    from pathlib import Path

LANGUAGES = st.sampled_from(["zh", "en"])


def shown() -> list[tuple[str, str, str]]:
    """Give the rows of the tables in docs/numbers.md: language, what is written, what is said."""
    found = []
    language = ""
    for row in documents.rows(documents.DOCS / "numbers.md"):
        if row[-1] in {"in English", "in Chinese"}:
            language = {"in English": "en", "in Chinese": "zh"}[row[-1]]
        elif language and len(row) == 3:
            found.append((language, row[1], row[2]))
    return found


def test_what_the_document_shows_is_so() -> None:
    """Every row of the tables of docs/numbers.md is what is said."""
    rows = shown()
    assert len({language for language, _, _ in rows}) == 2
    assert [(written, said) for _, written, said in rows] == [
        (written, spoken(written, language)) for language, written, _ in rows
    ]


def test_the_known_mistakes_are_still_made() -> None:
    """Every row of the table of known mistakes is what is said, so that a mended one leaves the table."""
    rows = [row for row in documents.rows(documents.DOCS / "numbers.md") if row[0] in {"en", "zh"} and len(row) == 4]
    assert len(rows) > 5
    assert [(written, said) for _, written, said, _ in rows] == [
        (written, spoken(written, language)) for language, written, _, _ in rows
    ]
    assert [row for row in rows if row[2] == row[3]] == []


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "at five"),
        ("en-GB", "at five"),
        ("EN_us", "at five"),
        ("zh", "at 五"),
        ("zh-CN", "at 五"),
        ("zh_TW", "at 五"),
    ],
)
def test_a_language_with_and_without_region(language: str, said: str) -> None:
    """The language is taken from the front of a tag, in any case."""
    assert spoken("at 5", language) == said


@pytest.mark.parametrize("language", ["", "fr", "ja", "english", "-"])
def test_another_language_is_left_alone(language: str) -> None:
    """A sentence in a language that nobody can read numbers in is unchanged."""
    assert spoken("à 5 h 30, 1 234,50 €", language) == "à 5 h 30, 1 234,50 €"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_is_no_number_stays(language: str) -> None:
    """Capitals, signs, full-width letters, spaces and quotes beside a number are not touched."""
    beside = "  ＡＢＣ\u3000“It's OK”，你好儿……啊！ DON'T (yes) [no] <b> &amp; #tag @me ½ ² Ⅳ ① 三 \t"
    assert spoken(f"{beside}、7", language)[:-1].startswith(beside)
    assert spoken(beside, language) == beside


def test_full_width_digits_are_read() -> None:
    """Digits of a Chinese keyboard's full width are digits."""
    assert spoken("１２个，２０２６年", "zh") == "十二个，二零二六年"


# --- without the library ------------------------------------------------------------------------------------------


def test_without_the_package_its_name_and_the_command_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, its name and the command that installs it are told."""
    assert ready() is None
    monkeypatch.setattr(numbers_library, "PACKAGE", "no_such_package")
    assert ready() == (
        "reading numbers needs the package no_such_package, which is not installed; type: "
        "pip install 'offhook[numbers]'"
    )


def test_without_the_package_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, a sentence stays as it is, and loading says so."""
    monkeypatch.setattr(numbers_library, "PACKAGE", "no_such_package")
    numbers_library.normalizer.cache_clear()
    numbers._reader.cache_clear()
    try:
        assert spoken("at 5", "en") == "at 5"
        with pytest.raises(ImportError, match="no_such_package"):
            load()
    finally:
        numbers_library.normalizer.cache_clear()
        numbers._reader.cache_clear()


def test_a_library_that_fails_is_told_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that raises on every number is reported by loading, and its numbers are read digit by digit."""
    monkeypatch.setattr("offhook.speech.numbers_en_words.ask", lambda text, language: None)
    monkeypatch.setattr("offhook.speech.numbers_zh.ask", lambda text, language: None)
    assert spoken("42 pears", "en") == "four two pears"
    with pytest.raises(RuntimeError, match="reads 42 as"):
        load()


def test_the_module_loads_nothing_heavy() -> None:
    """Importing the module does not import the library, and neither does a sentence without digits."""
    code = (
        "import sys; from offhook.speech.numbers import spoken, ready, load; spoken('no digit', 'en'); ready();"
        "assert 'wetext' not in sys.modules; spoken('1', 'en'); assert 'wetext' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_makes_it_ready() -> None:
    """Loading raises nothing where the extra is installed."""
    load()


# --- any text -----------------------------------------------------------------------------------------------------

PIECES = [
    *("1", "2", "0", "00", "12", "105", "1999", "2026", "138", "1234", "8888", "12345678", "1,234", "1.5", "1e5"),
    *(
        "-",
        "~",
        "–",
        ":",
        "：",
        "/",
        ".",
        ",",
        "，",
        "。",
        " ",
        "  ",
        "+",
        "(",
        ")",
        "#",
        "%",
        "％",
        "$",
        "¥",
        "€",
        "°",
        "℃",
    ),
    *(
        "年",
        "月",
        "日",
        "号",
        "点",
        "元",
        "个",
        "第",
        "折",
        "万",
        "电话",
        "编号",
        "室",
        "km",
        "kg",
        "m",
        "pm",
        "a.m.",
        "s",
    ),
    *("st", "th", "May", "Nov", "in", "the", "A", "B2B", "T", "USD", "k", "Street", "room", "x", "\n", "²", "1/2"),
]
MIXED = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


@given(st.text() | MIXED, st.text(max_size=6) | LANGUAGES)
@example("9" * 5000, "en")
@example("9" * 5000, "zh")
@example("1" * 400 + "." + "1" * 400 + "%", "en")
@example("+" + "1-" * 500, "zh")
@example("\ud8001\udfff", "zh")
@example("0/0 99/99 00:00:00 31/31/2026 2026-99-99 0%", "en")
@example("0/0 99/99 00:00:00 31/31/2026 2026-99-99 0%", "zh")
def test_nothing_is_raised(text: str, language: str) -> None:
    """Any text in any language gives a text."""
    assert isinstance(spoken(text, language), str)


@given(st.text() | MIXED, LANGUAGES)
def test_no_digit_is_left(text: str, language: str) -> None:
    """Every digit of a sentence is read, whatever stands around it."""
    assert not re.search("[0-9\uff10-\uff19]", spoken(text, language))


@given(st.text() | MIXED, LANGUAGES)
def test_a_text_without_digits_is_not_changed(text: str, language: str) -> None:
    """A text in which there is no digit comes out as it is."""
    plain = re.sub("[0-9\uff10-\uff19]", "", text)
    assert spoken(plain, language) == plain


@given(st.text() | MIXED, LANGUAGES)
def test_what_is_read_is_not_read_again(text: str, language: str) -> None:
    """What has been read stays as it is when it is read once more."""
    said = spoken(text, language)
    assert spoken(said, language) == said


WORDS = ["Hello", "isn't", "Wednesday", "WE", "退款", "你好吗", "e-mail", "“Quote”", "Größe", "東京", "…", "(x)", "Ｘ"]
AMOUNTS = [
    "7",
    "1,234.50",
    "$5",
    "2026-11-23",
    "10:30",
    "5%",
    "010-88374993",
    "3-5",
    "第3",
    "1/2",
    "20℃",
    "12345678901",
]


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(AMOUNTS)), min_size=1, max_size=8), LANGUAGES)
def test_words_survive_in_their_order(pairs: list[tuple[str, str]], language: str) -> None:
    """Between numbers every word comes out whole, in its place."""
    said = spoken("; ".join(f"{word}; {amount}" for word, amount in pairs), language)
    assert re.fullmatch("; .*; ".join(re.escape(word) for word, _ in pairs) + "; .*", said)


@pytest.mark.parametrize(
    "unit", ["1,", "1,111,", "1-", "1 - ", "+1 (", "$1", "号码:", "1月1日-", "9:00-", "1 1/2", "1111 ", "1~", "A1-"]
)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_long_row_of_beginnings_is_read_in_time(unit: str, language: str) -> None:
    """Text of 100,000 characters that begins a number again and again is read within the test's time limit."""
    assert spoken(unit * (100_000 // len(unit)), language)


# --- real text ----------------------------------------------------------------------------------------------------

SENTENCE = re.compile(r"(?<=[.?!])\s+|(?<=[。！？])|\n")


def sentences(shared: Path, *names: str) -> list[str]:
    """Give the sentences with digits of some files of the corpus."""
    found = []
    for name in names:
        for line in (shared / "corpus" / name).read_text("utf-8").split("\n"):
            record: dict[str, Any] = json.loads(line) if line else {"content": ""}
            texts = [turn["content"] for turn in record["turns"]] if "turns" in record else [record["content"]]
            found += [part for text in texts for part in SENTENCE.split(text) if re.search("[0-9]", part)]
    return found


@pytest.mark.parametrize("language", ["zh", "en"])
def test_real_text_is_read_without_a_digit_left(shared: Path, language: str) -> None:
    """Every number of the dialogues and of what models wrote is read, and Chinese stays Chinese around it."""
    texts = sentences(shared, f"dialogues/{language}.jsonl", f"llm_outputs/{language}.jsonl")
    assert len(texts) > 1000
    for text in texts:
        said = spoken(text, language)
        assert not re.search("[0-9]", said), text
        if language == "zh" and language_of(text) == "zh":
            assert language_of(said) == "zh"


def test_real_telephone_numbers_are_read_digit_by_digit(shared: Path) -> None:
    """Every telephone number with an area code in the Chinese dialogues is read digit by digit."""
    read = 0
    for text in sentences(shared, "dialogues/zh.jsonl"):
        for number in re.findall(r"(?<![0-9-])010-?[0-9]{8}(?![0-9-])", text):
            said = number.replace("-", "").translate(str.maketrans("0123456789", "零幺二三四五六七八九"))
            assert said in spoken(text, "zh"), text
            read += 1
    assert read > 50
