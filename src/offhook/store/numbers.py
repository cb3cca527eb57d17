"""Telephone numbers: what is kept of one, and the secret by which calls are found by it."""

from __future__ import annotations

import hashlib
import hmac
import os
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from offhook.clock import new_secret
from offhook.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "number-secret"

# How many digits may be shown, and of a number with more than how many: of a short one they would tell it all.
SHOWN = 4
LONG = 6


def mark(secret: bytes, number: str) -> str:
    """Give the HMAC-SHA-256 of a number in hexadecimal, the same however the number is written.

    Only its digits count, without a leading 00 or +. A number that has none is marked as the text that it is.
    """
    digits = _digits(number)
    text = digits.removeprefix("00") or digits or number
    return hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def masked(number: str) -> str:
    """Give what may be shown of a number: its last four digits when it is long, and nothing otherwise."""
    digits = _digits(number)
    return "***" + (digits[-SHOWN:] if len(digits) > LONG else "")


def _digits(number: str) -> str:
    return "".join(str(int(sign)) for sign in number if sign.isdecimal())


def number_secret(folder: Path) -> bytes:
    """Give the secret kept in ``folder``, made and kept there (mode 0600) the first time.

    Raises SetupError when the folder cannot be written, or holds something else under that name.
    """
    path = folder / FILE
    known = _known(path)
    if known:
        return known
    secret = new_secret().encode()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written whole under another name first: of two servers that start at once, one makes the secret for both.
        with NamedTemporaryFile("wb", dir=folder) as file:
            file.write(secret + b"\n")
            file.flush()
            # Losing it in a power cut would make every number kept so far unfindable.
            os.fsync(file.fileno())
            if path.exists() and not _known(path):
                path.unlink()
            os.link(file.name, path)
    except FileExistsError:
        return _known(path)
    except OSError as error:
        raise SetupError(
            f"The secret for telephone numbers cannot be kept in {folder}: {error.strerror}. "
            "Give a writable directory with --data-dir, or switch records off with --store none."
        ) from None
    return secret


def _known(path: Path) -> bytes:
    """Give the secret in a file, empty when there is none. Raises SetupError when it cannot be read."""
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        return b""
    except OSError as error:
        # Not overwritten: the numbers in the database are marked with it.
        raise SetupError(
            f"The secret for telephone numbers in {path} cannot be read: {error.strerror}. "
            "Let the server's user read it, or give another directory with --data-dir."
        ) from None
