"""``offhook config``: every setting, its value, and where it came from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offhook.cli.options import AgentArgument, ConfigOption, given, with_settings
from offhook.clock import SystemClock
from offhook.config import FIELDS, SECRETS, Loaded, Settings, load
from offhook.dialects.base import KEY_PARAMETERS
from offhook.server.build import build_line
from offhook.server.capture import MASK
from offhook.server.edge import edge_of

# A key in the query of a URL, as in https://host/v1?api-key=k.
_KEY = re.compile(rf"([?&](?:{'|'.join(sorted(KEY_PARAMETERS))})=)[^&#\s]*", re.IGNORECASE)

_EXAMPLES = """Show every setting of serve, its value, and where it came from.

A flag wins over a variable in the environment, a variable over the file, and the file over the default. Keys are
masked. What serve would refuse is one line on standard error, and exit code 2; the agent itself is not loaded.

\b
Examples:
  offhook config
  offhook config --config other.toml --port 8084
  offhook config --json
"""


def _config(
    agent: AgentArgument = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    **flags: Any,
) -> None:
    loaded = load(given({"agent": agent, **flags}), config=config)
    check(loaded.settings)
    if as_json:
        typer.echo(json.dumps(as_object(loaded), ensure_ascii=False, indent=2))
    else:
        Console(highlight=False).print(_table(loaded))


_config.__name__ = "config"
_config.__doc__ = _EXAMPLES
config = with_settings(_config)


def check(settings: Settings) -> None:
    """Raise SetupError where ``serve`` would, but for what is wrong with the agent itself."""
    build_line(
        msgspec.structs.replace(settings, show=False, capture=None),
        # A server that is given no key makes one.
        keys=settings.api_key or [MASK],
        clock=SystemClock(),
        load=_unloaded,
    )
    edge_of(settings)


def _unloaded(name: str) -> Callable[..., Any]:
    def agent(turn: object) -> str:
        raise AssertionError(f"{name} was not loaded")

    return agent


def as_object(loaded: Loaded) -> dict[str, Any]:
    """Give what ``--json`` prints, secrets masked."""
    return {
        "file": None if loaded.file is None else str(loaded.file),
        "settings": {
            name: {"value": value, **_origin(name, loaded)} for name, value in masked(loaded.settings).items()
        },
    }


def masked(settings: Settings) -> dict[str, Any]:
    """Give the settings as plain objects, with their secrets masked at every depth."""
    plain: dict[str, Any] = _masked(msgspec.to_builtins(settings))
    return {name: plain[name] for name in FIELDS}


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        # Of an upstream's headers every one may be a key.
        return {key: _masked(one, name if name in SECRETS else key) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one, name) for one in value]
    if value is not None and name in SECRETS:
        return MASK
    return _KEY.sub(rf"\g<1>{MASK}", value) if isinstance(value, str) else value


def _origin(name: str, loaded: Loaded) -> dict[str, str | None]:
    """Give the kind of place that a value came from, and the place: the flag, the variable, the file."""
    source = loaded.sources.get(name)
    if source is None:
        return {"source": "default", "name": None}
    if source == "flag":
        return {"source": "flag", "name": "AGENT" if name == "agent" else "--" + name.replace("_", "-")}
    return {"source": "file" if source == str(loaded.file) else "variable", "name": source}


def _table(loaded: Loaded) -> Table:
    table = Table("setting", "value", "from", show_edge=False)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.overflow = "fold"
    for name, value in masked(loaded.settings).items():
        origin = _origin(name, loaded)
        style = "dim" if origin["source"] == "default" else ""
        for path, one in _rows(name, value):
            table.add_row(Text(path), Text(_shown(one)), Text(origin["name"] or "default"), style=style)
    return table


def _rows(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Give a row for each thing in a table that somebody gave."""
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        for number, one in enumerate(value):
            yield from _rows(f"{name}[{one.get('name', number)}]", one)
        return
    if not isinstance(value, Mapping) or not value:
        yield name, value
        return
    for key, one in value.items():
        if one is not None:
            yield from _rows(f"{name}.{key}", one)


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
