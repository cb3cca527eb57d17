"""``offhook init``: a project to begin with."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from offhook.errors import SetupError

# What each file is called in the package, where a name must mean nothing to the tools of this project.
_TEMPLATES = {
    "app.py": "app.py.txt",
    "test_app.py": "test_app.py.txt",
    "offhook.toml": "offhook.toml.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
}


def files() -> dict[str, str]:
    """Give the text of each file of a new project."""
    folder = resources.files("offhook") / "templates"
    return {name: (folder / template).read_text(encoding="utf-8") for name, template in _TEMPLATES.items()}


def write_project(folder: Path, *, force: bool = False) -> list[Path]:
    """Write the files and give their paths; the folder is made where it is missing.

    Raises SetupError, before anything is written, when a file is there already and ``force`` is not given; also when
    a file cannot be written.
    """
    texts = files()
    there = [name for name in texts if os.path.lexists(folder / name)]
    if there and not force:
        raise SetupError(
            f"{', '.join(there)} in {folder.resolve()} would be overwritten, so nothing was written; "
            "--force overwrites."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{error.filename or folder} cannot be written: {error.strerror}.") from None
    return [folder / name for name in texts]


def init(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where to; made where it is missing [default: here].", show_default=False),
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Write a project to begin with: an agent, its tests, its settings.

    The tests run the agent on the real server, with a clock that does not wait and a model service that is scripted.
    A file that is there already stays as it is, and nothing is written, unless --force is given.

    \b
    Examples:
      offhook init
      offhook init hotline
      offhook init hotline --force
    """
    written = write_project(folder, force=force)
    typer.echo(f"Wrote {', '.join(path.name for path in written)} to {folder.resolve()}.")
    typer.echo("Next:")
    commands = [] if folder.resolve() == Path.cwd() else [(f"cd {shlex.quote(str(folder))}", "")]
    if find_spec("pytest") is None:
        commands.append((f"{shlex.quote(sys.executable)} -m pip install pytest", ""))
    commands += [
        (_program("pytest"), "test the agent"),
        (f"{_program('offhook')} serve", "serve it; prints the three values for the workflow's LLM node"),
        (f"{_program('offhook')} call", "call it, in another terminal: type what the caller says"),
    ]
    width = max(len(command) for command, _ in commands) + 2
    for command, what in commands:
        typer.echo(f"  {command:<{width}}{what}".rstrip())


def _program(name: str) -> str:
    """Give what to type: the name where it is on the path, as it is not in a fresh .venv, else where it stands."""
    return name if shutil.which(name) else shlex.quote(str(Path(sys.executable).with_name(name)))
