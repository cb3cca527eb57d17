"""``offhook db``: the database of records, brought up to date, emptied of what is old, and copied."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from offhook.cli.calls import JsonOption
from offhook.cli.calls_view import json_text
from offhook.cli.options import ConfigOption
from offhook.cli.records import DataDirOption, StoreOption, place_of, seconds_of, with_store
from offhook.clock import SystemClock
from offhook.errors import SetupError
from offhook.store.backup import backup as copy
from offhook.store.base import Store
from offhook.store.sqlite import Database
from offhook.store.sqlite_open import version_of

_DAY = 86_400

db = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Look after the database that calls are recorded in: its version, its age, its backup.

\b
Examples:
  offhook db upgrade
  offhook db purge --older-than 30d
  offhook db backup calls.db
""",
)


@db.command()
def upgrade(
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    store: StoreOption = None,
) -> None:
    """Bring the database to this version of offhook.

    A server does that by itself when it starts; with this it is done before, and the server starts at once.

    \b
    Examples:
      offhook db upgrade
      offhook db upgrade --data-dir /var/lib/offhook
    """
    place = place_of(config=config, data_dir=data_dir, store=store)
    before = after = None
    if place.path.exists():
        database = Database(place.path)
        before = database.read(version_of)
        asyncio.run(with_store(place, _nothing))
        after = database.read(version_of)
    if as_json:
        typer.echo(json_text({"from": before, "to": after}))
    elif after is None:
        typer.echo(f"{place.nothing_yet} A server makes it when it starts.")
    elif before == after:
        typer.echo(f"{place.path} is up to date: version {after}.")
    else:
        typer.echo(f"{place.path} was brought from version {before or 'none'} to {after}.")


async def _nothing(store: Store) -> None:
    """Opening the store is all that it takes."""


@db.command()
def purge(
    older_than: Annotated[
        str | None,
        typer.Option(
            help="Delete calls whose last turn is longer ago: 12h, 30d, 8w [default: store_keep_days].",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    store: StoreOption = None,
) -> None:
    """Delete the calls that are old, with everything that is kept of them. Nobody is asked.

    A server does that by itself once an hour, by the setting store_keep_days.

    \b
    Examples:
      offhook db purge
      offhook db purge --older-than 12h
    """
    place = place_of(config=config, data_dir=data_dir, store=store)
    age = place.settings.store_keep_days * _DAY if older_than is None else seconds_of(older_than, "--older-than")
    if older_than is None and age == 0:
        raise SetupError("store_keep_days is 0, so calls are kept for ever; say how old with --older-than.")
    count = 0
    if there := place.path.exists():
        before = SystemClock().now() - age
        count = asyncio.run(with_store(place, lambda opened: opened.purge(before)))
    if as_json:
        typer.echo(json_text({"deleted": count}))
    elif there:
        typer.echo("1 call was deleted." if count == 1 else f"{count} calls were deleted.")
    else:
        typer.echo(place.nothing_yet)


@db.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make; one that is there is never changed.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    store: StoreOption = None,
) -> None:
    """Copy the database, as it is at one moment, to a file that only its owner can read; a server may run meanwhile.

    The secret that telephone numbers are kept under is not in it: it is the file number-secret in the data directory.

    \b
    Examples:
      offhook db backup calls.db
      offhook calls --store sqlite:///calls.db
    """
    place = place_of(config=config, data_dir=data_dir, store=store)
    known = file.exists()
    try:
        copy(place.path, file)
    except KeyboardInterrupt:
        if not known:
            file.unlink(missing_ok=True)
        raise
    size = file.stat().st_size
    if as_json:
        typer.echo(json_text({"from": str(place.path), "to": str(file), "bytes": size}))
    else:
        typer.echo(f"{place.path} was copied to {file}: {size} bytes.")
