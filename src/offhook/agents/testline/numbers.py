"""Numbers as callers say them, rewritten as digits, so that the patterns of the test line need to know digits only.

``fold`` makes the spellings of one thing alike and keeps the length; ``digits`` rewrites "twenty", "三百五" and
"half a second"; ``seconds`` reads a stretch of time out of the result. Pure.
"""

from __future__ import annotations

import re

# Traditional characters of the key phrases, each followed by its simplified form.
_TRADITIONAL = (
    "從从數数見见會会掛挂斷断話话現现幾几點点時时間间誰谁號号們们謝谢電电嗎吗請请個个務务業业戶户據据說说讀读複复覆复復复"
    "鐘钟鍾钟後后開开萬万兩两億亿還还對对聽听這这麼么煩烦幫帮給给應应報报過过線线訊讯資资來来沒没為为無无國国區区"
    "紐纽約约東东倫伦羅罗馬马爾尔韓韩漢汉溫温臺台灣湾磯矶舊旧頓顿亞亚內内維维納纳熱热盧卢貝贝際际莊庄濱滨廣广"
    "問问題题樣样關关囉啰結结束束妳你靜静暫暂認认識识誌志講讲繼继續续內内麗丽廈厦門门隻只聲声"
)
_PUNCTUATION = {"\u3000": " ", "\u2018": "'", "\u2019": "'", "\u02bc": "'", "、": ",", "\u2010": "-", "\u2013": "-"}
# Only one-to-one replacements: a place in the folded text is the same place in what was said.
_FOLD = str.maketrans(
    {chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)}
    | {chr(code): chr(code - 0xFEE0).lower() for code in range(0xFF01, 0xFF5F)}
    | dict(zip(_TRADITIONAL[::2], _TRADITIONAL[1::2], strict=True))
    | _PUNCTUATION
)

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = (
    {word: value for value, word in enumerate(_SMALL)}
    | {word: 10 * value for value, word in enumerate(_TENS, start=2)}
    | {"hundred": 100, "thousand": 1000, "million": 1_000_000}
)
_WORD = "(?:" + "|".join(sorted(_VALUES, key=len, reverse=True)) + ")"
_SCALE = "(?:hundred|thousand|million)"
_ENGLISH = re.compile(
    rf"\b(?:an? (?={_SCALE}))?(?:{_WORD}\b|(?<![0-9.])[0-9]+(?:\.[0-9]+)?(?= {_SCALE}))"
    rf"(?:(?: |-| and ){_WORD}\b)*(?: point(?: (?:{_WORD}|[0-9]+)\b)+)?"
)

_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10_000, "亿": 100_000_000}
# In these words the numeral is no number: 一直数到十, 万一, 千万别挂.
_NO_NUMBER = (
    "一[直下遍会些起样定共]|一点(?![零〇一二两三四五六七八九0-9])|(?<=数)一(?=数)|十分(?!钟)"
    "|(?<![零〇一二两三四五六七八九十百千0-9])万一|千万(?=[别不要])"
)
_NUMERAL = f"(?:(?!{_NO_NUMBER})[{''.join([*_DIGITS, *_UNITS, *_MYRIADS])}])"
_CHINESE = re.compile(rf"({_NO_NUMBER})|((?<![0-9.])[0-9]+(?:\.[0-9]+)?)?({_NUMERAL}+)(?:点((?:{_NUMERAL}|[0-9])+))?")

_UNIT = r"(?:seconds?|minutes?|milliseconds?|secs?|mins?|ms|s)\b"
_TIDY = (
    (re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))"), ""),
    (re.compile(r"(?<![0-9.])\.(?=[0-9])"), "0."),
)
_HALVES = (
    (re.compile(rf"(?<![0-9])([0-9]+) and a half (?={_UNIT})"), r"\1.5 "),
    (re.compile(rf"\b(?:an? )?half (?:an? )?(?={_UNIT})"), "0.5 "),
    (re.compile(rf"\b(?:an?|1) ({_UNIT}) and a half\b"), r"1.5 \1"),
    (re.compile(rf"\ban? (?={_UNIT})"), "1 "),
    (re.compile(r"(?<![0-9])([0-9]+)点([0-9]+)(?=秒|分钟)"), r"\1.\2"),
    (re.compile(r"(?<![0-9])([0-9]+)个半(?=秒|分钟)"), r"\1.5"),
    (re.compile(r"(?<![0-9])([0-9]+)(秒|分)钟?半"), r"\1.5\2钟"),
    (re.compile(r"半个?(?=秒|分钟)"), "0.5"),
)

# A stretch of time in text that went through ``digits``; a missing number means one: "every second", 每秒.
DURATION = rf"(?:(?:[0-9]+(?:\.[0-9]+)?)? ?(?:{_UNIT}|毫秒|秒钟?|分钟))"
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)? ?(milli|ms|毫秒|m|分|s|秒)")
_LENGTHS = {"milli": 0.001, "ms": 0.001, "毫秒": 0.001, "m": 60.0, "分": 60.0, "s": 1.0, "秒": 1.0}


def fold(text: str) -> str:
    """Make capitals, full-width forms and traditional characters alike; the length stays the same."""
    return text.translate(_FOLD)


def digits(text: str) -> str:
    """Rewrite the numbers of a folded text as digits, in English up to millions and in Chinese up to 亿."""
    text = _ENGLISH.sub(lambda found: _shown(_english(found[0])), text)
    for pattern, replacement in _TIDY:
        text = pattern.sub(replacement, text)
    text = _CHINESE.sub(_rewrite_chinese, text)
    for pattern, replacement in _HALVES:
        text = pattern.sub(replacement, text)
    return text


def seconds(text: str) -> float:
    """Read what DURATION matched: a number and a unit. Raises ValueError for anything else."""
    found = _DURATION.match(text.strip())
    if found is None:
        raise ValueError("not a stretch of time")
    return float(found[1] or 1) * _LENGTHS[found[2]]


def _shown(value: float) -> str:
    # 亿亿亿亿... grows beyond any float; nobody asks for more than this.
    value = min(value, 1e15)
    return str(int(value)) if value == int(value) else repr(value)


def _english(phrase: str) -> float:
    whole, _, fraction = phrase.partition(" point ")
    total, current = 0.0, 0.0
    for word in re.findall(r"[0-9.]+|[a-z]+", whole):
        if word in ("a", "an", "and"):
            continue
        value = float(word) if word not in _VALUES else _VALUES[word]
        if word == "hundred":
            current = (current or 1.0) * 100
        elif word in ("thousand", "million"):
            total, current = total + (current or 1.0) * value, 0.0
        else:
            current += value
    places = "".join(str(_VALUES.get(word, word)) for word in fraction.split())
    return total + current + (float("0." + places) if places else 0)


def _rewrite_chinese(found: re.Match[str]) -> str:
    kept, leading, numerals, places = found.groups()
    if kept:
        return str(kept)
    value = _chinese(numerals, leading)
    if value is None:
        return found[0]
    return _shown(value) + ("." + "".join(str(_DIGITS.get(char, char)) for char in places) if places else "")


def _chinese(numerals: str, leading: str | None) -> float | None:
    """Give the value of a numeral; ``leading`` is a number in digits before it, as in 3百 or 1万."""
    if not any(char in _UNITS or char in _MYRIADS for char in numerals):
        # Read digit by digit: 三〇〇. After digits of the other kind it is another number: not ours to judge.
        return None if leading else float("".join(str(_DIGITS[char]) for char in numerals))
    total = section = 0.0
    pending: float | None = float(leading) if leading else None
    # What a last digit counts without its unit: 三百五 is 350, but 三百零五 is 305.
    implied = 1
    for char in numerals:
        if char in _DIGITS:
            pending = _DIGITS[char]
            implied = 1 if char == "零" or char == "〇" else implied
        elif char in _UNITS:
            section += (1 if pending is None else pending) * _UNITS[char]
            pending, implied = None, _UNITS[char] // 10
        else:
            section += pending or 0
            total = (
                (total + (section or 1)) * _MYRIADS[char] if char == "亿" else total + (section or 1) * _MYRIADS[char]
            )
            section, pending, implied = 0, None, _MYRIADS[char] // 10
    return total + section + (pending or 0) * implied
