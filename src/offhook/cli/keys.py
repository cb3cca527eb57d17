"""``offhook keys``: the keys that callers send, made, listed and revoked while a server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offhook.cli.calls import JsonOption, ListFirst
from offhook.cli.calls_view import console, json_text, local
from offhook.cli.keys_view import key_object, limits_text, table_of
from offhook.cli.options import ConfigOption
from offhook.cli.records import DataDirOption, seconds_of
from offhook.clock import SystemClock
from offhook.config import load
from offhook.errors import SetupError
from offhook.server.keys import DEFAULT_SCOPES, SCOPES, KeyFile, KeyScope, Limits
from offhook.server.speech import check_numbers
from offhook.speech.rules import speech_of

# Past that a key may as well have no end.
_LONGEST_DAYS = 36_500

ScopeOption = Annotated[
    list[str] | None,
    typer.Option(
        help=f"What it is for: {', '.join(SCOPES)}; may be given several times [default: {', '.join(DEFAULT_SCOPES)}]",
        metavar="<str>",
        show_default=False,
    ),
]
ExpiresOption = Annotated[
    str | None, typer.Option(help="How long it is good: 12h, 90d, 52w [default: for ever].", show_default=False)
]
MaxCallsOption = Annotated[
    int | None, typer.Option(min=1, help="Most calls at once [default: no limit].", show_default=False)
]
TurnsOption = Annotated[
    int | None, typer.Option(min=1, help="Most turns in any minute [default: no limit].", show_default=False)
]
TokensOption = Annotated[
    int | None,
    typer.Option(min=1, help="Most tokens of model services in any minute [default: no limit].", show_default=False),
]
SpeechOption = Annotated[
    str | None,
    typer.Option(
        help="What is done to the text of its calls before it is spoken, such as 'none' or 'default,numbers' "
        "[default: what the settings say].",
        show_default=False,
    ),
]

keys = typer.Typer(
    cls=ListFirst,
    rich_markup_mode=None,
    help="""Make, list and revoke the keys that callers send.

They are kept in the data directory of the server, which follows every change within a second: nothing has to be
restarted. Run it as the user that the server runs as, or as root. Without a command it lists.

\b
Examples:
  offhook keys create hotline
  offhook keys
  offhook keys revoke hotline
""",
)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, in up to 64 characters.")],
    scope: ScopeOption = None,
    expires: ExpiresOption = None,
    max_calls: MaxCallsOption = None,
    turns_per_minute: TurnsOption = None,
    tokens_per_minute: TokensOption = None,
    speech: SpeechOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a key and print it, this once: only a digest of it is kept.

    \b
    Examples:
      offhook keys create hotline
      offhook keys create shop --max-calls 20 --turns-per-minute 300 --expires 90d
      offhook keys create prometheus --scope metrics --json
      offhook keys create screen --speech none
    """
    if speech is not None and speech_of(speech).numbers:
        check_numbers()
    clock = SystemClock()
    made = _file(config, data_dir).create(
        clock,
        name,
        scopes=_scopes(scope or []),
        expires_at=None if expires is None else clock.now() + _span(expires),
        limits=Limits(calls=max_calls, turns_per_minute=turns_per_minute, tokens_per_minute=tokens_per_minute),
        speech=speech,
    )
    record = made.record
    if as_json:
        typer.echo(json_text({**key_object(record, clock.now()), "key": made.key}))
        return
    end = "for ever" if record.expires_at is None else f"until {local(record.expires_at)}"
    typer.echo(
        f"The key {record.name!r} was made: id {record.id}, scopes {', '.join(record.scopes)}, good {end}, "
        f"{limits_text(record.limits)}.\n"
        "It is shown this once and cannot be shown again:\n"
        f"\n{made.key}"
    )


@keys.command("list")
def list_keys(as_json: JsonOption = False, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """List the keys, the oldest first, those that are expired or revoked too; never a key itself.

    \b
    Examples:
      offhook keys
      offhook keys list --json
    """
    file = _file(config, data_dir)
    records, now = file.read(), SystemClock().now()
    if as_json:
        typer.echo(json_text([key_object(record, now) for record in records]))
    elif records:
        console().print(table_of(records, now))
    else:
        typer.echo(f"There are no keys in {file.path}; 'offhook keys create NAME' makes one.")


@keys.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="ID|NAME", help="The key's id, or a name that no other key has.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Revoke a key: within a second nothing begins with it any more. Replies that are under way run to their end.

    \b
    Examples:
      offhook keys revoke hotline
      offhook keys revoke 4f1c09ab7e
    """
    clock = SystemClock()
    record = _file(config, data_dir).revoke(clock, which)
    if as_json:
        typer.echo(json_text(key_object(record, clock.now())))
    else:
        assert record.revoked_at is not None
        typer.echo(f"The key {record.name!r}, id {record.id}, is revoked since {local(record.revoked_at)}.")


def _file(config: str | None, data_dir: str | None) -> KeyFile:
    settings = load({"data_dir": data_dir}, config=config).settings
    return KeyFile(Path(settings.data_dir).absolute())


def _scopes(named: list[str]) -> tuple[KeyScope, ...]:
    """Give these scopes, each once; the usual ones where none is named. Raises SetupError for another word."""
    for word in named:
        if word not in SCOPES:
            raise SetupError(f"There is no scope {word!r}; there are: {', '.join(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope in named) or DEFAULT_SCOPES


def _span(text: str) -> float:
    seconds = seconds_of(text, "--expires")
    if not 0 < seconds <= _LONGEST_DAYS * 86_400:
        raise SetupError(f"--expires is {text!r}; give more than nothing and at most {_LONGEST_DAYS}d.")
    return seconds
