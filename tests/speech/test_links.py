"""Addresses are said in words, left out, or let be, and what looks like them is untouched."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.speech.links import LinkShaper, Mode

if TYPE_CHECKING:
    from pathlib import Path


def spoken(*pieces: str, mode: Mode = "read", language: str = "en") -> str:
    shaper = LinkShaper(mode, language)
    return "".join([*(shaper.feed(piece) for piece in pieces), shaper.flush()])


READ: dict[str, str] = {
    "https://www.example.com/a/b?x=1": "example dot com slash a slash b",
    "See https://example.com.": "See example dot com.",
    "See (https://example.com/docs), ok": "See (example dot com slash docs), ok",
    "HTTP://Example.COM/": "Example dot COM",
    "https://user:pass@example.com/": "example dot com",
    "https://a.b.example.co.uk/x#y": "a dot b dot example dot co dot uk slash x",
    "http://localhost:8080/": "localhost port 8080",
    "http://192.168.1.1/a": "192 dot 168 dot 1 dot 1 slash a",
    "https://en.wikipedia.org/wiki/Foo_(bar).": "en dot wikipedia dot org.",
    "https://x.io/index.html!": "x dot io slash index dot html!",
    "https://x.io/2024/05/news": "x dot io slash 2024 slash 05 slash news",
    "https://x.io/item/83749201": "x dot io",
    "https://x.io/a%20b": "x dot io",
    "https://x.io/a/b/c/d": "x dot io",
    f"at https://x.io/{'a/' * 200}. Ok": "at x dot io. Ok",
    "Visit www.example.com now": "Visit example dot com now",
    "at example.com/docs.": "at example dot com slash docs.",
    "docs.python.org has it": "docs dot python dot org has it",
    "163.com": "163 dot com",
    "example.com:8080/x": "example dot com port 8080 slash x",
    "my-site.com, t.me/x": "my-site dot com, t dot me slash x",
    "Booking.com and EXAMPLE.COM": "Booking dot com and EXAMPLE dot COM",
    "hwww.http://x.com": "hwww.x dot com",
    "ftp://x.com/a": "x dot com slash a",
    "FTP://Files.example.com, after f ft ftp": "Files dot example dot com, after f ft ftp",
    "x.com...": "x dot com...",
    f"x.com/{'a' * 300} y": "x dot com y",
    "bob@example.com": "bob at example dot com",
    "<bob.smith@mail.example.com>.": "<bob dot smith at mail dot example dot com>.",
    "a_b+c@x.de?": "a_b+c at x dot de?",
    "user1.2x@x.com": "user1.2x at x dot com",
    "www": "www",
    "https://x.com和https://y.cn。": "x dot com和y dot cn。",
}

CHINESE: dict[str, str] = {
    "请访问https://www.example.com/docs查看": "请访问example点com斜杠docs查看",
    "官网是example.com。": "官网是example点com。",
    "邮箱bob.smith@example.com.cn，": "邮箱bob点smith艾特example点com点cn，",
    "（http://x.cn:80/）": "（x点cn端口80）",
}

KEPT = [
    "Hello, world. How are you? I am fine.",
    "main.py README.md Node.js e.g. i.e. U.S.A. a.m. Ph.D. index.html x.sh",
    "ASP.NET VB.Net ADO.NET .NET ftp sftp:// aft",
    "3.11.2 v1.2.3 1.50 $3.99 10.30pm 127.0.0.1",
    "end.It is. done.So what.In the",
    "http https:// http://中文 www. hello what who th ww ht",
    "@user me@ a@b user@host react@18.2",
    "你好.我 用Node.js写 文件.txt",
    "well... ...com . com .5 a..com",
    "self.name obj.to_string() x.append(1) foo.com_x",
    "This is to. me",
]

DROPPED: dict[str, str] = {
    "Visit https://x.com/a?b=1 for more": "Visit for more",
    "Visit https://x.com.": "Visit.",
    "Visit www.x.com!": "Visit!",
    "Visit ftp://x.com!": "Visit!",
    "官网：https://x.com。": "官网。",
    "见(https://x.com)。": "见。",
    "见（https://x.com），好": "见，好",
    "See: x.com/docs\nNext": "See:\nNext",
    "See: x.com for": "See: for",
    "Mail bob.smith@example.com now": "Mail now",
    "(see https://x.com)": "(see)",
    "(https://x.com and)": "(and)",
    "https://x.com": "",
    "请访问https://x.com查看": "请访问查看",
    f"at https://x.io/{'a/' * 200}. Ok": "at. Ok",
    "x" * 300 + ".com y": "x" * 300 + ".com y",
    "to: ": "to: ",
    "Booking.com is it": "Booking.com is it",
    "f(x) a:b (1) “hi” [2]: ": "f(x) a:b (1) “hi” [2]: ",
}


def check(text: str, expected: str, mode: Mode = "read", language: str = "en") -> None:
    assert spoken(text, mode=mode, language=language) == expected
    assert spoken(*text, mode=mode, language=language) == expected
    for place in range(len(text) + 1):
        assert spoken(text[:place], "", text[place:], mode=mode, language=language) == expected, place


@pytest.mark.parametrize("text", [*READ, *KEPT])
def test_an_address_in_english_words(text: str) -> None:
    """Each text gives what is meant, whole, in two pieces cut anywhere, and one character at a time."""
    check(text, READ.get(text, text))


@pytest.mark.parametrize("text", CHINESE)
def test_an_address_in_chinese_words(text: str) -> None:
    """In Chinese text the signs have Chinese names, and no blanks stand around them."""
    check(text, CHINESE[text], language="zh-CN")


@pytest.mark.parametrize("text", [*DROPPED, *KEPT])
def test_an_address_that_is_dropped(text: str) -> None:
    """An address goes with the brackets, colon and blanks that would be left alone."""
    expected = DROPPED.get(text, text)
    check(text, expected, mode="drop")


@pytest.mark.parametrize("text", [*READ, *KEPT])
def test_an_address_that_is_kept(text: str) -> None:
    """Where addresses are kept nothing changes and nothing waits."""
    shaper = LinkShaper("keep")
    assert shaper.feed(text) is text
    assert shaper.flush() == ""


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        (["Hello", " you", "."], ["Hello", " you", ""]),
        (["a.", " b"], ["a", ". b"]),
        (["a.", "b", " c"], ["a", "", ".b c"]),
        (["你好.", "a"], ["你好.", "a"]),
        (["3.", "5", " c"], ["3", ".5", " c"]),
        ([" h", "e"], [" ", "he"]),
        (["oh", "t"], ["oh", "t"]),
        (["ht", "m"], ["", "htm"]),
        (["bob", "@", "x.", "com", " "], ["bob", "", "", "", " at x dot com "]),
        (["example", ".com", "，"], ["example", "", " dot com，"]),
        (["www", ".", "x.de", "\n"], ["", "", "", "x dot de\n"]),
        (["a@", " "], ["a", "@ "]),
        (["file.", "py", "/"], ["file", "", ""]),
        (["http://x.de/", "a" * 100, "b", " c"], ["", "x dot de", "", " c"]),
    ],
)
def test_what_is_held_back(pieces: list[str], given: list[str]) -> None:
    """Only what may still be part of an address waits, and no longer than that."""
    shaper = LinkShaper()
    assert [shaper.feed(piece) for piece in pieces] == given


def test_plain_text_is_the_same_object() -> None:
    """A piece without anything of an address is given as it came, without a copy."""
    piece = "".join(["Hel", "lo"])
    assert LinkShaper().feed(piece) is piece


def test_a_flush_begins_anew() -> None:
    """Behind the end of a text another one may be fed."""
    shaper = LinkShaper()
    assert shaper.feed("a.") + shaper.flush() == "a."
    assert shaper.feed("com ") + shaper.feed("http://x.de/" + "a" * 200) + shaper.flush() == "com x dot de"
    assert shaper.feed("b") + shaper.flush() == "b"
    assert shaper.flush() == ""


PARTS = [
    *(
        "http://",
        "https://",
        "www.",
        "h",
        "ht",
        "w",
        "example",
        "bob",
        ".",
        "com",
        "cn",
        "py",
        "me",
        "@",
        "/",
        ":",
        "80",
    ),
    *(
        "?",
        "#",
        "=",
        "-",
        "_",
        "+",
        "%",
        "(",
        ")",
        "[",
        "]",
        "“",
        "”",
        "（",
        "）",
        "：",
        " ",
        "  ",
        "\n",
        "，",
        "。",
        "好",
        "1",
    ),
    *(",", "!", "...", "x.com", "https://x.com", "a@x.de", "a" * 60, "/" * 30, ")" * 9, "<", ">", '"', "T"),
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=25).map("".join)
MODES = st.sampled_from(["read", "drop", "keep"])


@given(TEXTS, st.lists(st.integers(0, 200), max_size=8), MODES)
@example("a@x.de.com", [6], "read")
@example("/abc", [1], "drop")
def test_no_cut_changes_anything(text: str, places: list[int], mode: Mode) -> None:
    """However a text is cut, the same is spoken."""
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    whole = spoken(text, mode=mode)
    assert spoken(*(text[start:end] for start, end in itertools.pairwise(edges)), mode=mode) == whole
    assert spoken(*text, mode=mode) == whole


@given(TEXTS, MODES)
def test_what_is_no_address_is_spoken(text: str, mode: Mode) -> None:
    """No scheme of an address comes out unless it is kept, and no Chinese character is lost."""
    given_ = spoken(text, mode=mode)
    assert given_.count("好") == text.count("好")
    if mode != "keep":
        assert not re.search(r"(?<![A-Za-z0-9])https?://[A-Za-z0-9]", given_)


@given(TEXTS, MODES)
def test_what_waits_is_bounded(text: str, mode: Mode) -> None:
    """Little more than a hundred characters ever wait, however the text goes on."""
    shaper = LinkShaper(mode)
    for character in text * 5:
        shaper.feed(character)
        assert len(getattr(shaper._shaper, "_held", "")) <= 110


@pytest.mark.parametrize("mode", ["read", "drop"])
@pytest.mark.parametrize(
    "part",
    ["a", "a.", ".", "@", "a@", "h", "http://", "http://a", "www.", "/", "(", " ", "： (", "a.com/", "a@b.", ")", "a)"],
)
def test_a_hostile_text_takes_time_by_its_length(part: str, mode: Mode) -> None:
    """A hundred thousand repetitions pass within the test's time limit, whole and in small pieces."""
    text = part * 50_000
    whole = spoken(text, mode=mode)
    assert spoken(*(text[place : place + 3] for place in range(0, len(text), 3)), mode=mode) == whole


# --- real outputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("mode", ["read", "drop"])
def test_real_outputs_are_told_the_same_however_cut(shared: Path, lang: str, mode: Mode) -> None:
    """Of real outputs no address is left as it was written, and the cuts do not matter."""
    for line in (shared / "corpus" / "llm_outputs" / f"{lang}.jsonl").read_text("utf-8").splitlines():
        text = json.loads(line)["content"]
        whole = spoken(text, mode=mode, language=lang)
        assert not re.search(r"(?<![A-Za-z0-9])https?://[A-Za-z0-9]", whole)
        assert spoken(*(text[place : place + 3] for place in range(0, len(text), 3)), mode=mode, language=lang) == whole
