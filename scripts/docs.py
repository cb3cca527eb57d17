"""Writes the parts of the documents that are made from the code; with --check only says which of them are stale.

Such a part stands between two comments, ``<!-- begin NAME: ... -->`` and ``<!-- end NAME -->``.
"""

from __future__ import annotations

import importlib
import re
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import typer.main
from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.config import PREFIX, Settings
from offhook.dialects.base import Delivery, Options
from offhook.dialects.choose import DIALECTS
from offhook.dialects.offers import HANGUPS, TRANSFERS
from offhook.events import CommandName
from offhook.testing.faults import DESCRIPTIONS, PHASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from offhook.dialects.base import Dialect

REPO = Path(__file__).resolve().parent.parent
DOCS = REPO / "docs"
WIDTH = 100

# What is taken when nothing is said, where the field's own default does not tell.
_DEFAULTS = {
    "agent": "`testline`",
    "data_dir": "`$XDG_DATA_HOME/offhook`, else `~/.local/share/offhook`",
    "model_id": "any",
    "api_key": "one that the server makes",
    "upstream_model": "the request's own",
    "upstreams": "all",
    "filler_phrases": "ours, in Chinese and English",
    "apology_phrases": "ours, in Chinese and English",
}


# What tells whether a dialect takes a command: nothing, words before it, a function that the request offers for it.
_DELIVERIES = (Delivery(), Delivery(begun=True), Delivery(offered=frozenset({*HANGUPS, *TRANSFERS})))


def settings_table() -> str:
    """Give a table row for each setting."""
    flags = _flags()
    rows = ["| setting | flag | variable | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for field in msgspec.structs.fields(Settings):
        flag = flags.get(field.name, "-")
        variable = "-" if field.name not in flags and field.name != "agent" else f"`{PREFIX}{field.name.upper()}`"
        cells = (f"`{field.name}`", flag, variable, _default(field), _meaning(field.type))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def commands() -> str:
    """Give the help of each command, and of each within it, under a heading of its own."""
    return "\n\n".join(_help(*words) for words in _paths(typer.main.get_command(app)))


def _paths(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """Give the words that name a command and each one within it."""
    yield words
    inner = getattr(command, "commands", {})
    # At the top by name; within a group in the order in which they are used.
    for name in inner if words else sorted(inner):
        yield from _paths(inner[name], *words, name)


def _help(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="offhook", terminal_width=WIDTH)
    if result.exit_code:
        raise RuntimeError(f"offhook {' '.join(words)} --help failed: {result.output}")
    lines = "\n".join(line.rstrip() for line in result.output.strip().split("\n"))
    return f"## {' '.join(('offhook', *words))}\n\n```text\n{lines}\n```"


def _flags() -> dict[str, str]:
    """Give how each setting is given on the command line, by its name."""
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]  # it is a group, having commands
    return {
        param.name: f"`{param.opts[0]}`" if param.opts[0].startswith("-") else "the argument" for param in serve.params
    }


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.name in _DEFAULTS:
        return _DEFAULTS[field.name]
    if field.default is None or field.default_factory is not msgspec.NODEFAULT:
        return "none"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _meaning(annotation: Any) -> str:
    metas = (meta for meta in typing.get_args(annotation)[1:] if isinstance(meta, msgspec.Meta))
    return next(meta.description for meta in metas if meta.description).replace("|", "\\|")


def orders() -> str:
    """Give a table row for each dialect: which commands it takes, and when."""
    names = get_args(CommandName)
    rows = [
        (f"`{dialect.name}`", *(_taken(dialect, name) for name in names))
        for dialect in sorted(DIALECTS.values(), key=lambda one: one.name)
    ]
    return _rows(("dialect", *(f"`{name}`" for name in names)), rows)


def _taken(dialect: Dialect, name: CommandName) -> str:
    """Tell when a dialect takes a command, and whether the platform says its words by itself."""
    taken = [dialect.refuses(name, one) is None for one in _DELIVERIES]
    match taken:
        case [True, True, _]:
            says = "yes"
        case [True, False, _]:
            says = "before the first word"
        case [False, _, True]:
            says = "where offered"
        case _:
            return "no"
    return f"{says}; says its words" if name in dialect.speaks(Options()) else says


def faults() -> str:
    """Give a table row for each fault of a model service."""
    return _rows(("fault", "what happens"), [(f"`{fault}`", _marked(says)) for fault, says in DESCRIPTIONS.items()])


def phases() -> str:
    """Give a table row for each phase of an answer."""
    return _rows(("phase", "when"), [(f"`{phase}`", _marked(says)) for phase, says in PHASES.items()])


def endings() -> str:
    """Give a table row for each ending of a turn."""
    return _rows(("ending", "what the client gets"), list(_fault_table().MEANINGS.items()))


def outcomes() -> str:
    """Give a table row for each fault in each phase, as it is tested."""
    rows = []
    for (fault, phase), stated in _fault_table().TABLE.items():
        rows.append((f"`{fault}`", f"`{phase}`", *_ending(stated.alone, stated.code), stated.beside.value.plain))
    return _rows(("fault", "phase", "plain", "telephone", "record", "with another"), rows)


def network_outcomes() -> str:
    """Give a table row for each fault of the network, as it is tested."""
    table = _fault_table()
    rows = [
        (case.name, when, *_ending(case.outcome, case.code))
        for when, cases in (("before the request", table.NETWORK_FIRST), ("mid", table.NETWORK_MID))
        for case in cases
    ]
    return _rows(("network", "when", "plain", "telephone", "record"), rows)


def _marked(says: str) -> str:
    """Give a sentence with what stands on the wire marked as such."""
    return re.sub(r"<think>|\[DONE\]|reasoning_content|Retry-After", r"`\g<0>`", says)


def _fault_table() -> Any:
    """Give the module of the tests that has the table; as a script we do not see it by itself."""
    if str(REPO) not in sys.path:
        sys.path.insert(0, str(REPO))
    return importlib.import_module("tests.fault_table")


def _ending(outcome: Any, code: str | None) -> tuple[str, str, str]:
    plain, telephone, reason = outcome.value
    return plain, telephone, f"`{reason}`" if code is None else f"`{reason}`, `{code}`"


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))


PARTS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "settings.md": {"settings": settings_table},
    "cli.md": {"commands": commands},
    "agents.md": {"orders": orders},
    "faults.md": {
        "faults": faults,
        "phases": phases,
        "endings": endings,
        "outcomes": outcomes,
        "network": network_outcomes,
    },
}


def renew(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Give a document with its generated parts written anew.

    Raises ValueError when the comments of a part are missing.
    """
    for name, make in parts.items():
        pattern = re.compile(rf"(<!-- begin {name}: .*? -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        made = f"\n{make()}\n\n"
        text, count = pattern.subn(lambda match, made=made: match[1] + made + match[2], text)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        if count != 1:
            raise ValueError(f"the comments around {name!r} stand {count} times in the document, not once")
    return text


def stale(folder: Path = DOCS) -> dict[Path, str]:
    """Give what should stand in each document that is not as it should be."""
    wanted = {folder / name: renew((folder / name).read_text("utf-8"), parts) for name, parts in PARTS.items()}
    return {path: text for path, text in wanted.items() if path.read_text("utf-8") != text}


def main(arguments: list[str], folder: Path = DOCS) -> int:
    """Write what is stale, or with --check say it; give the exit code."""
    found = stale(folder)
    for path, text in found.items():
        name = f"{folder.name}/{path.name}"
        if arguments == ["--check"]:
            sys.stderr.write(f"{name} is stale; type: make docs\n")
        else:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{name} written\n")
    return 1 if found and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
