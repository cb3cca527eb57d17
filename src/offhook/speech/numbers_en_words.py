"""English words for whole numbers, amounts, years and ordinals."""

from __future__ import annotations

from offhook.speech.numbers_library import ask
from offhook.speech.numbers_rules import split

DIGITS = {
    **{"0": "zero", "1": "one", "2": "two", "3": "three", "4": "four"},
    **{"5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"},
}
# Past this nobody follows the words of a number; its digits are read.
LONGEST = 15


def digits(text: str) -> str:
    """Read digits one by one."""
    return " ".join(DIGITS[character] for character in text if character in DIGITS)


def grouped(found: list[str]) -> str:
    """Read groups of digits with a pause between them."""
    return ", ".join(map(digits, found))


def cardinal(whole: str) -> str:
    """Read a whole number; one with a leading zero, or that is too long, digit by digit."""
    if len(whole) > LONGEST or (len(whole) > 1 and whole.startswith("0")):
        return digits(whole)
    # With separators, without which the library reads four digits as a year; it then drops the "one" of 1,234.
    words = ask(f"{int(whole):,}", "en")
    if words is None:
        return digits(whole)
    return f"one {words}" if words.startswith("thousand") else words


def amount(text: str) -> str:
    """Read an amount: a whole number, and what is behind its point digit by digit."""
    whole, fraction = split(text)
    # Leading zeros are told only where there is nothing behind a point: 007 is a name, 00.5 is not.
    words = cardinal(whole.lstrip("0") or "0" if fraction else whole)
    return f"{words} point {digits(fraction)}" if fraction else words


def year(text: str) -> str:
    """Read four digits as a year."""
    first, last = text[:2], text[2:]
    if last == "00":
        return cardinal(text) if first.endswith("0") else f"{cardinal(first)} hundred"
    if first.endswith("0"):
        return (
            f"{cardinal(str(int(first) // 10))} thousand {cardinal(last.lstrip('0'))}" if last < "10" else pairs(text)
        )
    return pairs(text)


def pairs(text: str) -> str:
    """Read the digits of a year or of a house two by two."""
    head, last = text[:-2], text[-2:]
    behind = "hundred" if last == "00" else f"oh {DIGITS[last[1]]}" if last[0] == "0" else cardinal(last)
    return f"{cardinal(head)} {behind}"


def ordinal(number: str) -> str:
    """Read the ordinal of a number, or its digits where it is too long."""
    ending = "th" if number[-2:-1] == "1" else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th")
    whole = number.lstrip("0") or "0"
    return (ask(whole + ending, "en") if len(whole) <= LONGEST else None) or digits(number)
