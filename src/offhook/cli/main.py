"""The ``offhook`` command: one file per subcommand, and what they share of errors and exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from offhook import __version__
from offhook.cli.call import call
from offhook.cli.calls import calls
from offhook.cli.config import config
from offhook.cli.db import db
from offhook.cli.demo import demo
from offhook.cli.init import init
from offhook.cli.keys import keys
from offhook.cli.serve import serve
from offhook.cli.speak import speak
from offhook.errors import OffhookError, SetupError

app = typer.Typer(
    name="offhook",
    help="Pick up the phone with your own LLM: the endpoint that a real-time voice workflow calls, and its tools.",
    epilog="Begin with: offhook demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(serve)
app.command()(call)
app.command()(demo)
app.command()(init)
app.command()(config)
app.command()(speak)
app.add_typer(calls, name="calls")
app.add_typer(db, name="db")
app.add_typer(keys, name="keys")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"offhook {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Pick up the phone with your own LLM: the endpoint that a real-time voice workflow calls, and its tools."""


def main() -> None:
    """Run the command. What the user can mend is one line on standard error and exit code 2 (set-up) or 1."""
    try:
        app()
    except SetupError as error:
        sys.stderr.write(f"offhook: {error}\n")
        sys.exit(2)
    except OffhookError as error:
        sys.stderr.write(f"offhook: {error}\n")
        sys.exit(1)
