"""The key that the server makes for itself when none is configured."""

from __future__ import annotations

import os
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

    Raises SetupError when the directory cannot be written.
    """
    path = data_dir / FILE
    known = read_key(data_dir)
    if known is not None:
        return OwnKey(known, path, created=False)
    key = "ofk_" + new_secret()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key + "\n")
    except OSError as error:
        raise SetupError(
            f"The key cannot be kept in {data_dir}: {error.strerror}. "
            "Give a key with --api-key, or a writable directory with --data-dir."
        ) from None
    return OwnKey(key, path, created=True)
