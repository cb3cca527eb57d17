"""Emoji, pictures and faces are not spoken, and what looks like them is."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.speech.emoji import PICTURES, EmojiShaper

if TYPE_CHECKING:
    from pathlib import Path


def spoken(*pieces: str) -> str:
    shaper = EmojiShaper()
    return "".join([*(shaper.feed(piece) for piece in pieces), shaper.flush()])


SHAPED: dict[str, str] = {
    "": "",
    "Hello 👋 world": "Hello world",
    "Hello 👋.": "Hello .",
    "Hello👋world": "Hello world",
    "Great! 🎉": "Great! ",
    "Great! 🎉\nNext": "Great! \nNext",
    "你好👋。": "你好。",
    "你好 👋 世界": "你好 世界",
    "你好👋世界": "你好世界",
    "✅ Done\n❌ Not": "Done\nNot",
    "• One\n  ★ Two": "One\n  Two",
    "A 🎉 🎉🎉 B": "A B",
    "(👍) ok": "ok",
    "( 👍 now )": "( now )",
    "“👍ok”": "“ok”",
    # Lines of pictures alone.
    "👍\n": "",
    "A\n👍 🎉\nB": "A\nB",
    "A\n 👍 \n\n┌─┐\nB": "A\n \nB",
    "→\nA\n": "A\n",
    # Sequences: families, flags, skin tones, keycaps, the variation that draws a text sign as a picture.
    "👨\u200d👩\u200d👧\u200d👦 family": "family",
    "🇨🇳🇺🇸 ok": "ok",
    "🏴\U000e0067\U000e0062\U000e007f E": "E",
    "👍🏽 yes": "yes",
    "1️⃣ First": "1 First",
    "#️⃣1️⃣2️⃣": "#12",
    "🔟 items": "10 items",
    "I ❤️ you": "I you",
    "go‼️ what⁉": "go! what?",
    # Private use.
    "a\ue000 b\U000f0000": "a b",
    # Arrows.
    "Settings → Privacy": "Settings , Privacy",
    "Settings →Privacy.": "Settings , Privacy.",
    "Settings→Privacy \t→  Apps": "Settings, Privacy \t, Apps",
    "设置→隐私": "设置，隐私",
    "步骤：→ 点击": "步骤： 点击",
    "→ go": "go",
    "end → ": "end ",
    # Names of emoji.
    "Hi :smile: there": "Hi there",
    "Hi :smile::heart:": "Hi ",
    "好:+1:的": "好的",
    # Faces.
    "Thanks :)": "Thanks ",
    "谢谢:)。": "谢谢。",
    "Thanks :-D!": "Thanks !",
    "ok ;) see": "ok see",
    "no :'( sorry": "no sorry",
    "^_^ hi": "hi",
    "hm >_< hm": "hm hm",
    "Love you <3": "Love you ",
    "Love <3!": "Love !",
    "Great! :D see. :P\nhm :o": "Great! see. \nhm ",
    "hm :-D :-P ok": "hm ok",
    "hm (*_*) (-_-) (¬_¬) (#^.^#) (;_;) (ಥ﹏ಥ) (ಥ_ಥ) (*￣︶￣) hm": "hm hm",
    "m(_ _)m O(∩_∩)O ok": "ok",
    "谢谢m(_ _)m": "谢谢",
    "\\(^o^)/ yes \\o/": "yes ",
    "(ノ◕ヮ◕)ノ*:・゚✧ ok": "ok",
    "sorry (^^; ok": "sorry ok",
    "a :thumbs_up: :tada: b": "a b",
    "Oh (╯°□°)╯︵ ┻━┻": "Oh ",
    "开心(｡♥‿♥｡)！": "开心！",
    "开心（＾▽＾）": "开心",
    "¯\\_(ツ)_/¯ dunno": "dunno",
    "¯_(ツ)_/¯ dunno": "dunno",
    "ヽ(´▽`)/ yes": "yes",
    "(^_^) (T_T) (o_o) hm": "hm",
    "(｀・ω・´)ゞ": "",
    "ʕ•ᴥ•ʔ hi ಠ_ಠ": "hi ",
}

KEPT = [
    "Hello, world.",
    "trail ",
    "a    \t    b  ",
    "10:30:45 a:b:c x::y std::map:",
    "Note: (see) there; (then)",
    "注意：（见附录）和(见附录)",
    "(1) f(x) (a) (o) (x) (+86) (-5) (...) (?) (!) () (°C) (10°) (σ, ε) (∀x)(x>0)",
    "ok:smile:",
    "list :(a) b",
    "如下:(1)一",
    "options:) and (x:)",
    "http://x.y f(a, b=) x = y; z >= 3 <= 4",
    "2^3^4",
    "x <3 y, pH <3 is",
    "3*4*5 # 1 * 2",
    "T™ © ® 20°C $5 €6 ¥7 ※ ○ ① ❶ ± × ÷ ≤ C♯ △ABC",
    "约翰·史密斯 … —— ～",
    "क\u200dष",
    "ratio 4:3 at 3:00",
    "{a: :b} `:x`",
    "orz xD T_T",
    "if x <3! ok f (x_x) = 2 see (n.x) (x.x) files (*.*) O(n) I'm (o) m (m) am",
    "drive :D is a type :P here a :o b std :vector: x",
    "C:\\o/x \\o/a",
    "カタカナ ヽ ヾ٩",
]


@pytest.mark.parametrize("text", [*SHAPED, *KEPT])
def test_a_text_cut_at_every_place(text: str) -> None:
    """Each text gives what is meant, whole, in two pieces cut anywhere, and one character at a time."""
    expected = SHAPED.get(text, text)
    assert spoken(text) == expected
    assert spoken(*text) == expected
    for place in range(len(text) + 1):
        assert spoken(text[:place], "", text[place:]) == expected, place


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        (["Hello"], ["Hello"]),
        (["Hello ", "you"], ["Hello ", "you"]),
        (["Well, ", "👍", " ", "you"], ["Well, ", "", "", "you"]),
        (["Hello👋", "you"], ["Hello", " you"]),
        (["Note:", " it"], ["Note:", " it"]),
        (["好:", "的"], ["好", ":的"]),
        (["(", "see"], ["", "(see"]),
        (["(s", "ee"], ["(s", "ee"]),
        (["（", "见"], ["", "（见"]),
        (["f(", "x", ")"], ["f", "", "(x)"]),
        (["1", "\ufe0f", "\u20e3", " a"], ["1", "", "", " a"]),
        (["(^_", "^)", "!"], ["", "", "!"]),
        (["a <", "b"], ["a ", "<b"]),
    ],
)
def test_what_is_held_back(pieces: list[str], given: list[str]) -> None:
    """Only what may still be a face waits, and blanks behind what was dropped; those in front go out at once."""
    shaper = EmojiShaper()
    assert [shaper.feed(piece) for piece in pieces] == given


def test_plain_text_is_the_same_object() -> None:
    """A piece without anything to drop is given as it came, without a copy."""
    piece = "".join(["Hel", "lo"])
    assert EmojiShaper().feed(piece) is piece


def test_a_flush_begins_anew() -> None:
    """Behind the end of a text another one may be fed."""
    shaper = EmojiShaper()
    assert shaper.feed("a (^_") + shaper.flush() == "a (^_"
    assert shaper.feed("👍 b ") + shaper.flush() == "b "
    assert shaper.feed("c 👍") + shaper.flush() == "c "
    assert shaper.flush() == ""


PARTS = [
    *(
        " ",
        "  ",
        "\n",
        "\t",
        "a",
        "A",
        "1",
        "3",
        "好",
        "。",
        ".",
        ":",
        ";",
        "-",
        "'",
        "(",
        ")",
        "（",
        "）",
        "D",
        "o",
        "_",
    ),
    *(
        "^",
        "<",
        ">",
        "=",
        "/",
        "\\",
        "¯",
        "ツ",
        "ʕ",
        "ʔ",
        "ಠ",
        "ヽ",
        "▽",
        "°",
        "＾",
        "•",
        "→",
        "smile",
        "+1",
        "👍",
        "❤",
    ),
    *("\ufe0f", "\u20e3", "\u200d", "👩", "🏽", "🇨", "🔟", "‼", "\ue000", "100", "     ", "“", "”"),
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)


@given(TEXTS, st.lists(st.integers(0, 60), max_size=8))
@example("a  :) ", [2])
def test_no_cut_changes_anything(text: str, places: list[int]) -> None:
    """However a text is cut, the same is spoken."""
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    assert spoken(*(text[start:end] for start, end in itertools.pairwise(edges))) == spoken(text)
    assert spoken(*text) == spoken(text)


@given(TEXTS)
def test_no_picture_is_left_and_no_word_is_lost(text: str) -> None:
    """No character of the pictures comes out, and every letter outside of faces does."""
    given_ = spoken(text)
    assert not re.search(f"[{PICTURES}\ufe0f\u20e3]", given_)
    assert given_.count("好") == text.count("好")
    assert given_.count("A") == text.count("A")


@given(TEXTS)
def test_what_waits_is_bounded(text: str) -> None:
    """No more than forty characters ever wait, however the text goes on."""
    shaper = EmojiShaper()
    for character in text * 5:
        shaper.feed(character)
        assert len(shaper._held) <= 40


@pytest.mark.parametrize(
    "part", [" ", "(", "(^", ":", ":a", "<3 ", "👍 ", "^_", "ヽ", "¯\\", "\u200d", "(^ ", "ʕ•", "\t👍", ">_"]
)
def test_a_hostile_text_takes_time_by_its_length(part: str) -> None:
    """A hundred thousand repetitions pass within the test's time limit, whole and in small pieces."""
    text = part * 100_000
    whole = spoken(text)
    assert spoken(*(text[place : place + 3] for place in range(0, len(text), 3))) == whole


# --- real outputs -------------------------------------------------------------------------------------------------

PRESENTED = re.compile("[\U0001f300-\U0001faff\u2705\u274c\u2b50\ufe0f]")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_real_outputs_keep_their_words(shared: Path, lang: str) -> None:
    """Of real outputs no emoji is left, every letter and digit is, and the cuts do not matter."""
    for line in (shared / "corpus" / "llm_outputs" / f"{lang}.jsonl").read_text("utf-8").splitlines():
        text = json.loads(line)["content"]
        whole = spoken(text)
        assert not PRESENTED.search(whole)
        assert spoken(*(text[place : place + 3] for place in range(0, len(text), 3))) == whole
        if re.search(r"[:;]-?[DPpoO3]|<3|[:;]\w+:|\(", text):
            continue
        words, kept = re.findall(r"\w", text), re.findall(r"\w", whole)
        assert words == kept
