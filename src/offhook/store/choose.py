"""Which store: the one place that knows them all by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offhook.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.store.base import Store

FILE = "offhook.db"
SQLITE = "sqlite"
URL = "sqlite:///"


def make_store(
    name: str, *, data_dir: Path, sync: str = "normal", now: Callable[[], float], recent_for: float = 3600.0
) -> Store | None:
    """Give the store of this name, not yet started; None for "none".

    ``sync``, ``now`` and ``recent_for`` are as in ``SqlStore``. Raises SetupError when there is no such store.
    """
    if name == "none":
        return None
    if name == "memory":
        # Each is loaded only where it is used.
        from offhook.store.memory import MemoryStore

        return MemoryStore()
    path = database_path(name, data_dir)
    if path is None:
        raise SetupError(
            f"There is no store {name!r}. Give sqlite ({FILE} in the data directory), sqlite:///a/file.db or "
            "sqlite:////an/absolute/file.db, memory (gone when the server stops) or none."
        )
    from offhook.store.sql import SqlStore

    return SqlStore(path, sync=sync, now=now, recent_for=recent_for)


def database_path(name: str, data_dir: Path) -> Path | None:
    """Give the file of a store that is one; None for any other name."""
    if name == SQLITE:
        return data_dir / FILE
    # A URL with more in it, such as options, is none of ours.
    file = name.removeprefix(URL)
    return Path(file) if file not in ("", name) and "?" not in file else None
