"""The key that the server makes for itself when none is configured."""

from __future__ import annotations

import os
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, NamedTuple

from offhook.clock import new_secret
from offhook.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "api-key"


class OwnKey(NamedTuple):
    """The key, where it is kept, and whether it was made just now."""

    key: str
    path: Path
    created: bool


def read_key(data_dir: Path) -> str | None:
    """Give the key kept in ``data_dir``, or None when there is none."""
    try:
        return (data_dir / FILE).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def own_key(data_dir: Path) -> OwnKey:
    """Give the key kept in ``data_dir``, made and kept there (mode 0600) the first time.

    Raises SetupError when the directory cannot be written, or holds something else under that name.
    """
    path = data_dir / FILE
    known = _known(path)
    if known:
        return OwnKey(known, path, created=False)
    key = "ofk_" + new_secret()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written whole under another name first: of two servers that start at once, one makes the key for both.
        with NamedTemporaryFile("w", dir=data_dir, encoding="ascii") as file:
            file.write(key + "\n")
            file.flush()
            if path.exists() and not _known(path):
                path.unlink()
            os.link(file.name, path)
    except FileExistsError:
        return OwnKey(_known(path), path, created=False)
    except OSError as error:
        raise SetupError(
            f"The key cannot be kept in {data_dir}: {error.strerror}. "
            "Give a key with --api-key, or a writable directory with --data-dir."
        ) from None
    return OwnKey(key, path, created=True)


def _known(path: Path) -> str:
    """Give the key in a file, empty when there is none. Raises SetupError when something else is there."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        # Not overwritten: it may be the key that the platform has.
        why = error.strerror if isinstance(error, OSError) else "it is no key"
        raise SetupError(
            f"The key in {path} cannot be read: {why}. Give a key with --api-key, or another directory with --data-dir."
        ) from None
