"""What a server shows and keeps of telephone numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.clock import new_secret
from offhook.store.numbers import mark, masked, number_secret

if TYPE_CHECKING:
    from pathlib import Path

# So many numbers are at hand: a call has the same ones in every turn.
_MOST = 4096


class Marks:
    """Gives for a number what may be shown of it, and its mark under the secret of ``folder``.

    Without a folder the secret is this process's own, and goes with it.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._secret = new_secret().encode()
        self._known: dict[str, tuple[str, str]] = {}

    def load(self) -> None:
        """Read the folder's secret, or make it; blocks. Raises SetupError when that cannot be done."""
        if self._folder is not None:
            self._secret = number_secret(self._folder)

    def __call__(self, number: str) -> tuple[str, str]:
        known = self._known.get(number)
        if known is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[number] = masked(number), mark(self._secret, number)
        return known
