"""Settings: flags over environment over offhook.toml. The only file that reads the environment."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from offhook.errors import SetupError

PREFIX = "OFFHOOK_"
FILE = "offhook.toml"

Port = Annotated[int, Meta(ge=0, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of ``offhook serve``; the description of each is its help text."""

    agent: Annotated[
        str | None, Meta(description="Who answers: 'module:function', 'file.py:function' or 'testline'.")
    ] = None
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Port to listen on; 0 takes a free one.")] = 8083
    api_key: Annotated[list[str], Meta(description="A key that callers must send; may be given several times.")] = []
    no_auth: Annotated[bool, Meta(description="Let everybody in; only on a loopback address.")] = False
    model_id: Annotated[
        list[str], Meta(description="A ModelId to answer for; may be given several times. None: any name.")
    ] = []
    platform: Annotated[str, Meta(description="The dialect of every request; 'auto' reads it from the request.")] = (
        "auto"
    )
    upstream: Annotated[
        str | None, Meta(description="Base URL of an OpenAI-specification model service; makes it the agent.")
    ] = None
    upstream_model: Annotated[
        str | None, Meta(description="Model name for the model service; by default the request's own.")
    ] = None
    upstream_key: Annotated[str | None, Meta(description="Key of the model service.")] = None
    system_prompt: Annotated[
        str | None,
        Meta(description="System prompt for the model; {{caller}} and {{user_data.name}} are filled in."),
    ] = None
    system_prompt_file: Annotated[str | None, Meta(description="File that holds the system prompt.")] = None
    data_dir: Annotated[str, Meta(description="Where offhook keeps its key.")] = ""
    threads: Annotated[
        int, Meta(ge=1, le=4096, description="How many plain (not async) agent functions run at once.")
    ] = 32
    stop_timeout: Annotated[
        float, Meta(ge=0, description="Seconds that live replies may go on when the server is told to stop.")
    ] = 5.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="From which level up to log.")
    ] = "info"
    log_content: Annotated[
        bool, Meta(description="Log messages and tracebacks of failed agents, which may hold what a caller said.")
    ] = False
    show: Annotated[bool, Meta(description="Print what the platform sends and what goes back (keys masked).")] = False
    capture: Annotated[str | None, Meta(description="Directory that keeps every request and reply as a file.")] = None
    dialect: Annotated[
        dict[str, dict[str, Any]], Meta(description="Settings of one dialect each: [dialect.NAME] in offhook.toml.")
    ] = {}


FIELDS: tuple[str, ...] = Settings.__struct_fields__
# Only in the file: tables have no form as a flag.
_TABLES = frozenset({"dialect"})
_LISTS = frozenset({"api_key", "model_id"})
SECRETS = frozenset({"api_key", "upstream_key"})


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and where each that is not a default came from: ``flag``, the variable's or the file's name."""

    settings: Settings
    sources: Mapping[str, str]
    file: Path | None


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
        elif name not in _TABLES and environ.get(variable):
            values[name], sources[name] = _from_text(name, environ[variable]), variable
        elif name in table:
            values[name], sources[name] = _as_list(name, table[name]), str(file)
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SetupError(_what_is_wrong(str(error), values, sources)) from None
    if not settings.data_dir:
        settings = msgspec.structs.replace(settings, data_dir=str(default_data_dir(environ)))
    return Loaded(settings=settings, sources=sources, file=file)


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Give where offhook keeps things when nothing is said (XDG Base Directory Specification)."""
    environ = os.environ if environ is None else environ
    home = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".local" / "share")
    return Path(home) / "offhook"


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
    for key in table:
        if key not in FIELDS:
            near = difflib.get_close_matches(key.replace("-", "_"), FIELDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(FIELDS)}."
            raise SetupError(f"{path}: there is no setting {key!r}{hint}")
    return path, table


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
    value = "***" if name in SECRETS else repr(values[name])
    return f"{name} = {value} ({sources[name]}): {what[:1].lower()}{what[1:]}."
