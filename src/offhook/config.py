"""Settings: flags over environment over offhook.toml. The only file that reads the environment."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from offhook.errors import SetupError
from offhook.settings import AgentSpec as AgentSpec
from offhook.settings import Settings as Settings

PREFIX = "OFFHOOK_"
FILE = "offhook.toml"

FIELDS: tuple[str, ...] = Settings.__struct_fields__
# ``[store] sync = "full"`` in the file is ``store_sync = "full"``; ``url`` there is ``store`` itself.
_PREFIXED = {
    "store": "url",
    "tools": "functions",
    "filler": "mode",
    "apology": "",
    "closing": "",
    "speech": "chain",
    "failover": "",
    "limits": "",
    "log": "",
}
# Only in the file: tables have no form as a flag.
TABLES = frozenset(
    {"agents", "dialect", "upstream_table", "filler_phrases", "apology_phrases", "closing_phrases", "webhooks"}
)
_LISTS = frozenset({"api_key", "model_id", "forwarded_allow_ips", "upstreams", "tools"})
SECRETS = frozenset({"api_key", "upstream_key", "key", "headers", "token", "secret", "auth_token"})


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and where each that is not a default came from: ``flag``, the variable's or the file's name."""

    settings: Settings
    sources: Mapping[str, str]
    file: Path | None


def agent_spec(settings: Settings) -> AgentSpec:
    """Give the agent that the settings name outside ``[agents]``."""
    return AgentSpec(**{name: getattr(settings, name) or None for name in AgentSpec.__struct_fields__})


def load(flags: Mapping[str, Any], *, config: str | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Give the settings; a flag whose value is None or an empty list was not given.

    ``config`` names the file; without it ``OFFHOOK_CONFIG`` does, else ./offhook.toml where there is one. Raises
    SetupError, in one line, when a value or name is wrong or the named file cannot be read.
    """
    environ = os.environ if environ is None else environ
    file, table = _read_file(config or environ.get(PREFIX + "CONFIG") or None)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in FIELDS:
        variable = PREFIX + name.upper()
        given = flags.get(name)
        if given is not None and given != []:
            values[name], sources[name] = given, "flag"
        elif name not in TABLES and environ.get(variable):
            values[name], sources[name] = _from_text(name, environ[variable]), variable
        elif name in table:
            values[name], sources[name] = _as_list(name, table[name]), str(file)
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SetupError(_what_is_wrong(str(error), values, sources)) from None
    folder = settings.data_dir or str(default_data_dir(environ))
    if folder == "~" or folder.startswith("~/"):  # No shell has read what stands in a file.
        folder = str(_home(environ)) + folder[1:]
    tables = [_with_key(table, environ) for table in settings.upstream_table]
    settings = msgspec.structs.replace(settings, data_dir=folder, upstream_table=tables)
    return Loaded(settings=settings, sources=sources, file=file)


def _with_key(table: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Give an entry of [[upstream]] with the key that its ``key_env`` names a variable for."""
    fields = dict(table)
    variable = fields.pop("key_env", None)
    if variable is None:
        return fields
    name = fields.get("name", "?")
    if "key" in fields or "key_file" in fields:
        raise SetupError(f"[[upstream]] {name!r} has key_env beside another key; leave one out.")
    key = environ.get(str(variable))
    if not key:
        raise SetupError(f"[[upstream]] {name!r} takes its key from {variable}, which is not set in the environment.")
    return {**fields, "key": key}


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Give where offhook keeps things when nothing is said (XDG Base Directory Specification)."""
    environ = os.environ if environ is None else environ
    home = Path(environ.get("XDG_DATA_HOME") or "")
    if not home.is_absolute():  # To be ignored then, says the specification.
        home = _home(environ) / ".local" / "share"
    return home / "offhook"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or "~").expanduser()


def is_loopback(host: str) -> bool:
    """Tell whether an address or name is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_file(named: str | None) -> tuple[Path | None, dict[str, Any]]:
    path = Path(named or FILE)
    if named is None and not path.is_file():
        return None, {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} is not valid TOML: {error}.") from None
    for name, itself in _PREFIXED.items():
        if isinstance(inner := table.get(name), dict):
            del table[name]
            table |= {name if key == itself else f"{name}_{key}": value for key, value in inner.items()}
    if isinstance(table.get("upstream"), dict):
        raise SetupError(f"{path}: [upstream] is one of several model services; write [[upstream]].")
    if isinstance(table.get("upstream"), list):
        table["upstream_table"] = table.pop("upstream")
    for key in table:
        if key not in FIELDS:
            raise SetupError(f"{path}: {no_such_setting(key, FIELDS)}")
    agents = table.get("agents")
    for model_id, entry in agents.items() if isinstance(agents, dict) else ():
        for key in entry if isinstance(entry, dict) else ():
            if key not in AgentSpec.__struct_fields__:
                raise SetupError(f"{path}: [agents.{model_id}]: {no_such_setting(key, AgentSpec.__struct_fields__)}")
    return path, table


def no_such_setting(key: str, names: Sequence[str]) -> str:
    """Say that a name is none of these, and which of them may be meant."""
    near = difflib.get_close_matches(key.replace("-", "_").lower(), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}."
    return f"there is no setting {key!r}{hint}"


def _from_text(name: str, text: str) -> Any:
    if name in _LISTS:
        return [piece.strip() for piece in text.split(",") if piece.strip()]
    return text


def _as_list(name: str, value: Any) -> Any:
    return [value] if name in _LISTS and isinstance(value, str) else value


def _what_is_wrong(message: str, values: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    what, _, path = message.partition(" - at `$.")
    name = path.rstrip("`").split("[")[0].split(".")[0]
    if name not in values:
        return f"Bad configuration: {message}."
    if what.startswith("Invalid enum value") and name not in TABLES:
        (choice, *_) = get_args(get_type_hints(Settings, include_extras=True)[name])
        what = f"there are: {', '.join(get_args(choice))}"
    # A table in the wrong place may hold a key.
    value = "..." if name in SECRETS or isinstance(values[name], dict) else repr(values[name])
    place = path.rstrip("`") if name in TABLES else f"{name} = {value}"
    return f"{place} ({sources[name]}): {what[:1].lower()}{what[1:]}."
