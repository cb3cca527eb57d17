"""The key that the server makes for itself: made once, strong, and for its owner's eyes only."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from offhook.errors import SetupError
from offhook.server.keyfile import FILE, own_key, read_key

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_a_key_and_the_second_finds_it(tmp_path: Path) -> None:
    """The key is made where none is, kept, and given again."""
    folder = tmp_path / "data" / "offhook"
    first = own_key(folder)
    assert first.created
    assert first.path == folder / FILE
    second = own_key(folder)
    assert second == (first.key, first.path, False)
    assert read_key(folder) == first.key


def test_the_key_is_strong_and_easy_to_paste(tmp_path: Path) -> None:
    """It holds 256 random bits in characters that need no quoting anywhere, and no two are alike."""
    one, two = own_key(tmp_path / "one").key, own_key(tmp_path / "two").key
    assert one != two
    for key in (one, two):
        assert key.startswith("ofk_")
        assert len(key) == 4 + 43
        assert key.replace("_", "").replace("-", "").isalnum()


def test_file_and_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    """The file has mode 0600 and a folder that was made for it 0700, whatever the umask is."""
    before = os.umask(0)
    try:
        path = own_key(tmp_path / "data").path
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


def test_a_file_that_others_could_read_is_closed_before_the_key_goes_in(tmp_path: Path) -> None:
    """An empty file that was there before is taken over with mode 0600."""
    path = tmp_path / FILE
    path.touch(mode=0o644)
    path.chmod(0o644)
    assert own_key(tmp_path).created
    assert mode(path) == 0o600


def test_a_key_that_a_person_put_there_is_kept(tmp_path: Path) -> None:
    """White space around it does not belong to it."""
    (tmp_path / FILE).write_text("  mine \n\n")
    assert own_key(tmp_path) == ("mine", tmp_path / FILE, False)


def test_an_unreadable_key_is_not_overwritten(tmp_path: Path) -> None:
    """A file that is there but is no key stays as it is, and the error names it."""
    (tmp_path / FILE).write_bytes(b"\xff\xfe not text")
    with pytest.raises(SetupError) as raised:
        own_key(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (tmp_path / FILE).read_bytes() == b"\xff\xfe not text"
    assert read_key(tmp_path) is None


def test_servers_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    """Of many first starts at the same moment one makes the key, and all have it."""
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(lambda _: own_key(tmp_path / "new"), range(64)))
    assert len({key.key for key in keys}) == 1
    assert [key.created for key in keys].count(True) == 1
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["api-key"]


def test_there_is_no_key_where_none_was_made(tmp_path: Path) -> None:
    """Looking for a key makes none."""
    assert read_key(tmp_path / "nowhere") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/inside"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, place: str) -> None:
    """The error says what to give instead."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="--data-dir") as raised:
        own_key(tmp_path / place)
    assert "\n" not in str(raised.value)


def test_a_folder_in_the_place_of_the_key_is_one_line(tmp_path: Path) -> None:
    """What cannot be read as a file is refused, not removed."""
    (tmp_path / FILE).mkdir()
    with pytest.raises(SetupError):
        own_key(tmp_path)
    assert (tmp_path / FILE).is_dir()
