"""``offhook calls``: the calls that were recorded, listed, shown and deleted."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
from typing_extensions import override

from offhook.cli.calls_view import call_object, console, json_text, local, show_call, summary_object, table_of
from offhook.cli.options import ConfigOption
from offhook.cli.records import DataDirOption, Place, StoreOption, confirmed, moment_of, place_of, with_store
from offhook.clock import SystemClock
from offhook.errors import SetupError, UnknownCall
from offhook.store.base import CallSummary, Store, StoredCall
from offhook.store.numbers import FILE, mark, masked, number_secret

# As many as any database counts to.
_ALL = 2**31 - 2
# As many as a list may be asked for by number.
_MOST = 1_000_000
# So many ids are named where the beginning of one fits several.
_NAMED = 5

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


class ListFirst(typer.core.TyperGroup):
    """A group of commands whose ``list`` is meant where none is named."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


calls = typer.Typer(
    cls=ListFirst,
    rich_markup_mode=None,
    help="""List the calls that were recorded, show one with its timings, delete what is not to be kept.

Reads the records of the server on this machine that has the same settings, while it runs or not. Without a
command it lists: offhook calls --limit 5 is offhook calls list --limit 5.

\b
Examples:
  offhook calls
  offhook calls --since 2h --json
  offhook calls show 68e00b66
  offhook calls delete --number 13800000001
""",
)


@calls.command("list")
def list_calls(
    limit: Annotated[int, typer.Option(min=0, max=_MOST, help="How many calls to list; 0 for all.")] = 50,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only calls that were active since then: 2h or 3d for so long ago, or an ISO 8601 time.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    store: StoreOption = None,
) -> None:
    """List the calls that were recorded, the one that was active last first.

    Numbers are masked, and nothing of what was said is shown.

    \b
    Examples:
      offhook calls
      offhook calls list --limit 5
      offhook calls list --since 2026-11-23T08:00 --json
    """
    place = place_of(config=config, data_dir=data_dir, store=store)
    begin = None if since is None else moment_of(since, SystemClock().now(), "--since")
    found: list[CallSummary] = []
    # Looked at first: opening a database makes it.
    if there := place.path.exists():
        found = asyncio.run(with_store(place, lambda opened: opened.calls(limit=(limit or _ALL) + 1, since=begin)))
    more = bool(limit) and len(found) > limit
    found = found[:limit] if limit else found
    if as_json:
        typer.echo(json_text([summary_object(one) for one in found]))
    elif not found:
        no_calls = f"No calls are recorded in {place.path}{'' if since is None else f' since {since}'}."
        typer.echo(no_calls if there else place.nothing_yet)
    else:
        out = console()
        out.print(table_of(found, width=out.width))
        if more:
            typer.echo(f"There are more; offhook calls --limit {min(limit * 2, _MOST)} lists them, 0 lists all.")


@calls.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The call's id, or as much of it as no other call's has.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    store: StoreOption = None,
) -> None:
    """Show a call: what was said, where it was cut, what was called, and when.

    With --json it is all that is kept: times in ISO 8601 (UTC), lengths in seconds, digests in hexadecimal.

    \b
    Examples:
      offhook calls show 68e00b66-1c8f-4b0f-9b5b-1f0d6c3f8f5e
      offhook calls show 68e0
      offhook calls show 68e0 --json
    """
    place = place_of(config=config, data_dir=data_dir, store=store)
    found = _find(place, id.removesuffix("…"))
    if as_json:
        typer.echo(json_text(call_object(found)))
    else:
        show_call(console(), found)


@calls.command()
def delete(
    id: Annotated[str | None, typer.Argument(metavar="ID", help="The call's id, whole.", show_default=False)] = None,
    number: Annotated[
        str | None,
        typer.Option(help="Delete every call from or to this telephone number instead.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    store: StoreOption = None,
) -> None:
    """Delete a call, or all calls of a telephone number, with everything that is kept of them.

    Asks first; where nobody can be asked, --yes is needed. A number is found however it is written, but for its country
    code: give it as the platform does.

    \b
    Examples:
      offhook calls delete 68e00b66-1c8f-4b0f-9b5b-1f0d6c3f8f5e
      offhook calls delete --number 13800000001
      offhook calls delete --number 13800000001 --yes --json
    """
    if (id is None) == (number is None):
        raise SetupError("Give either the ID of a call or --number.")
    if not yes and not sys.stdin.isatty():
        raise SetupError("Nobody can be asked here; add --yes to delete without asking.")
    place = place_of(config=config, data_dir=data_dir, store=store)
    deleted = _delete_number(place, number, yes) if number is not None else _delete_call(place, id or "", yes)
    if as_json:
        typer.echo(json_text({"deleted": len(deleted), "ids": deleted}))
    else:
        typer.echo("1 call was deleted." if len(deleted) == 1 else f"{len(deleted)} calls were deleted.")
    if place.spooled:
        sys.stderr.write("Records wait in the spool: once the database has taken them, delete again.\n")


def _delete_call(place: Place, id: str, yes: bool) -> list[str]:
    call = _find(place, id, whole=True).call
    if not yes and not confirmed(f"Delete the call {call.id!r} from {local(call.begun_at)}?"):
        _nothing_deleted()
    count = asyncio.run(with_store(place, lambda opened: opened.delete(call.id)))
    _tell_of_live(int(call.ended_at is None and call.last_at > _live_since(place)))
    return [call.id] * count


def _delete_number(place: Place, number: str, yes: bool) -> list[str]:
    if not place.path.exists():
        return []
    folder = Path(place.settings.data_dir)
    # Looked at first: asking for the secret makes one.
    if not (folder / FILE).exists():
        raise SetupError(
            f"Calls cannot be found by their number: the secret that the numbers are kept under is not in {folder}. "
            "Name the server's directory with --data-dir."
        )
    sign = mark(number_secret(folder), number)
    if not yes and not confirmed(f"Delete every call from and to the number {masked(number)}?"):
        _nothing_deleted()

    async def work(opened: Store) -> tuple[set[str], list[str]]:
        active = (one.call for one in await opened.calls(limit=_ALL, since=_live_since(place)))
        live = {call.id for call in active if call.ended_at is None and sign in (call.caller_mark, call.callee_mark)}
        return live, await opened.delete_number(sign)

    live, deleted = asyncio.run(with_store(place, work))
    _tell_of_live(len(live.intersection(deleted)))
    return deleted


def _live_since(place: Place) -> float:
    """Give when a call that goes on was active last, at the earliest."""
    return SystemClock().now() - place.settings.call_idle


def _tell_of_live(count: int) -> None:
    if count == 1:
        sys.stderr.write("The call may still be live: what is said in it from now on is recorded again.\n")
    elif count:
        sys.stderr.write(f"{count} calls may still be live: what is said in them from now on is recorded again.\n")


def _nothing_deleted() -> None:
    sys.stderr.write("Nothing was deleted.\n")
    raise typer.Exit(1)


def _find(place: Place, id: str, *, whole: bool = False) -> StoredCall:
    """Give the call of an id or, unless ``whole``, of the only one that begins so.

    Raises UnknownCall when there is none, SetupError when there are several.
    """
    if not place.path.exists():
        raise UnknownCall(place.nothing_yet)

    async def look(opened: Store) -> StoredCall:
        if (found := await opened.find(id)) is not None:
            return found
        ids = [one.call.id for one in await opened.calls(limit=_ALL) if one.call.id.startswith(id)]
        if whole and ids:
            raise UnknownCall(f"There is no call {id!r}; to delete one give its whole id: {_some(ids)}.")
        if len(ids) > 1:
            raise SetupError(f"{len(ids)} calls begin with {id!r}: {_some(ids)}. Give more of the id.")
        if not ids or (found := await opened.find(ids[0])) is None:
            raise UnknownCall(f"There is no call {id!r} in {place.path}.")
        return found

    return asyncio.run(with_store(place, look))


def _some(ids: list[str]) -> str:
    return ", ".join(map(repr, ids[:_NAMED])) + (", ..." if len(ids) > _NAMED else "")
