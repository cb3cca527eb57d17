"""Telephone numbers: found by a mark under a secret, and never shown whole."""

from __future__ import annotations

import hashlib
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from offhook.errors import SetupError
from offhook.store.numbers import mark, masked, number_secret

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "number", ["+86 138-0013-8000", "0086 13800138000", "8613800138000", "(86)138 0013 8000", "\uff18\uff1613800138000"]
)
def test_one_number_has_one_mark(number: str) -> None:
    """However a number is written, its mark is the HMAC-SHA-256 of its digits."""
    expected = hmac.new(b"secret", b"8613800138000", hashlib.sha256).hexdigest()
    assert mark(b"secret", number) == expected


def test_marks_differ() -> None:
    """Other numbers, texts without digits and other secrets have other marks."""
    numbers = ["13800138000", "13800138001", "013800138000", "", "anonymous", "unknown", "\ud800", "00", "0"]
    marks = [mark(b"secret", number) for number in numbers] + [mark(b"other", "13800138000")]
    assert len(set(marks)) == len(marks)
    assert {len(item) for item in marks} == {64}


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+86 138-0013-8765", "***8765"),
        ("1234567", "***4567"),
        ("123456", "***"),
        ("", "***"),
        ("anonymous", "***"),
        ("sip:13800138765@example.com", "***8765"),
    ],
)
def test_what_is_shown_of_a_number(number: str, shown: str) -> None:
    """Of a number of more than six digits the last four are shown, and nothing of any other."""
    assert masked(number) == shown


def test_the_secret_is_made_once(tmp_path: Path) -> None:
    """The secret is made with its folder, is its owner's alone, and stays the same."""
    folder = tmp_path / "data"
    secret = number_secret(folder)
    assert len(secret) >= 32
    assert number_secret(folder) == secret
    assert [path.name for path in folder.iterdir()] == ["number-secret"]
    assert stat.S_IMODE((folder / "number-secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_of_many_who_start_at_once_one_makes_the_secret(tmp_path: Path) -> None:
    """All that ask at the same time are given one secret."""
    with ThreadPoolExecutor(16) as threads:
        secrets = set(threads.map(number_secret, [tmp_path] * 64))
    assert len(secrets) == 1


def test_an_empty_secret_is_replaced(tmp_path: Path) -> None:
    """A file in which there is no secret is not taken for one."""
    (tmp_path / "number-secret").write_text("\n")
    assert len(number_secret(tmp_path)) >= 32


def test_a_secret_that_cannot_be_kept(tmp_path: Path) -> None:
    """Where the secret cannot be made or read, SetupError says what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="--data-dir"):
        number_secret(tmp_path / "file")
    (tmp_path / "number-secret").mkdir()
    with pytest.raises(SetupError, match="--data-dir"):
        number_secret(tmp_path)
