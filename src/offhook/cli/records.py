"""What the commands about records share: where the records are, the store opened, times as a person writes them."""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer

from offhook.clock import SystemClock
from offhook.config import Settings, load
from offhook.errors import SetupError
from offhook.store.base import Store
from offhook.store.choose import database_path, make_store
from offhook.turns.spool_file import MAGIC

Result = TypeVar("Result")

DataDirOption = Annotated[
    str | None, typer.Option(help="Data directory of the server [env: OFFHOOK_DATA_DIR]", show_default=False)
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        help="Where the server records calls: 'sqlite' (in its data directory) or 'sqlite:///file' "
        "[default: sqlite] [env: OFFHOOK_STORE]",
        show_default=False,
    ),
]

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Place(NamedTuple):
    """Where the records of a server are: its settings, and the file of its database, which need not be there."""

    settings: Settings
    path: Path

    @property
    def nothing_yet(self) -> str:
        """What is said where there is no such file."""
        return f"Nothing was recorded yet: there is no database {self.path}."

    @property
    def spooled(self) -> bool:
        """Tell whether records wait in the spool beside the database, so that they come to it later."""
        files = self.path.with_name(f"{self.path.name}-spool").glob("spool-*.bin")
        with suppress(OSError):
            return any(MAGIC in file.read_bytes() for file in files)
        return False


def place_of(*, config: str | None, data_dir: str | None, store: str | None) -> Place:
    """Give where a server with these settings keeps its records.

    Raises SetupError when its settings are wrong, or it keeps none that can be read from outside.
    """
    settings = load({"data_dir": data_dir, "store": store}, config=config).settings
    folder = Path(settings.data_dir)
    path = database_path(settings.store, folder)
    if path is None:
        # Says which stores there are, if this is none of them.
        make_store(settings.store, data_dir=folder, now=SystemClock().now)
        raise SetupError(
            f"A server with the store {settings.store!r} keeps no records that can be read from outside. "
            "Name the store of one that does with --store, or its directory with --data-dir."
        )
    return Place(settings, path.absolute())


async def with_store(place: Place, work: Callable[[Store], Awaitable[Result]]) -> Result:
    """Open the store, give what ``work`` makes of it, and let go of it; say so where words that it deleted may stay.

    Raises StoreError, and SetupError for a file of another program or of a newer version.
    """
    settings = place.settings
    store = make_store(
        settings.store, data_dir=Path(settings.data_dir), sync=settings.store_sync, now=SystemClock().now
    )
    assert store is not None
    await store.start()
    try:
        result = await work(store)
    finally:
        await store.close()
    # Loaded only here: other commands share this module.
    from offhook.store.sql import SqlStore

    # Asked afterwards: closing it may have done what was not possible before.
    if isinstance(store, SqlStore) and not store.wiped:
        sys.stderr.write(
            f"The words of what was deleted may still stand in {place.path}, or the log beside it: the file was in "
            "use, or could not be written anew. They go with the next deletion while it is free.\n"
        )
    return result


def seconds_of(text: str, option: str) -> float:
    """Give the length of a time such as ``90m``, ``2h`` or ``30d``. Raises SetupError for anything else."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise SetupError(f"{option} is {text!r}, which is no length of time; write 90m, 2h, 30d or 4w.")
    return float(match[1]) * _SECONDS[match[2]]


def moment_of(text: str, now: float, option: str) -> float:
    """Give the time so long before ``now``, or at an ISO 8601 date and time, which is local where no zone stands in it.

    Raises SetupError for anything else.
    """
    if _SPAN.fullmatch(text.strip().lower()):
        return now - seconds_of(text, option)
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise SetupError(
            f"{option} is {text!r}, which is no time; write 2h or 3d for so long ago, or 2026-11-23T08:00."
        ) from None


def confirmed(question: str) -> bool:
    """Ask at the terminal; anything but yes is no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
