"""Settings: flags over environment over offhook.toml. The only file that reads the environment."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from offhook.errors import SetupError

PREFIX = "OFFHOOK_"
FILE = "offhook.toml"

Port = Annotated[int, Meta(ge=0, le=65535)]


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of ``[agents]``: who answers for a ModelId. The fields are those of ``Settings``."""

    agent: str | None = None
    upstream: str | None = None
    upstream_model: str | None = None
    upstream_key: str | None = None
    system_prompt: str | None = None
    system_prompt_file: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of ``offhook serve``; the description of each is its help text."""

    agent: Annotated[
        str | None, Meta(description="Who answers: 'module:function', 'file.py:function' or 'testline'.")
    ] = None
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 for all, :: for all of IPv6 too.")] = (
        "127.0.0.1"
    )
    port: Annotated[Port, Meta(description="Port to listen on; 0 takes a free one.")] = 8083
    uds: Annotated[str | None, Meta(description="Path of a Unix socket to listen on, instead of host and port.")] = None
    tls_cert: Annotated[
        str | None,
        Meta(description="File with the certificate chain (PEM); with tls_key it makes the address an https one."),
    ] = None
    tls_key: Annotated[str | None, Meta(description="File with the certificate's key (PEM), without a passphrase.")] = (
        None
    )
    forwarded_allow_ips: Annotated[
        list[str],
        Meta(
            description="Address or network of a proxy whose X-Forwarded-For and X-Forwarded-Proto are believed; "
            "may be given several times. '*': of everybody."
        ),
    ] = []
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
    data_dir: Annotated[str, Meta(description="Where offhook keeps its key and its records.")] = ""
    store: Annotated[
        str,
        Meta(
            description="Where calls are recorded: 'sqlite' (in data_dir), 'sqlite:///file', 'memory' (until the "
            "server ends) or 'none'."
        ),
    ] = "sqlite"
    store_sync: Annotated[
        Literal["normal", "full"],
        Meta(description="What a record outlives: 'normal' the death of the process, 'full' a power loss too."),
    ] = "normal"
    store_commit_wait: Annotated[
        float,
        Meta(ge=0, description="Seconds that the end of a reply waits for its record; then it goes to the spool."),
    ] = 0.05
    store_spool: Annotated[
        int,
        Meta(ge=0, le=2**40, description="Bytes of the file where records wait while the store is away; 0 for none."),
    ] = 16 * 1024 * 1024
    store_keep_days: Annotated[
        float, Meta(ge=0, description="Days after its last turn that a call is deleted; 0 keeps calls for ever.")
    ] = 30.0
    memory: Annotated[
        Literal["auto", "call", "window"],
        Meta(
            description="What an agent is given as history: the whole 'call' as recorded, or the platform's "
            "'window'; 'auto' takes what suits the dialect."
        ),
    ] = "auto"
    memory_tokens: Annotated[
        int,
        Meta(
            ge=0,
            description="Tokens (estimated) past which the older half of a remembered call is left out; 0: no bound.",
        ),
    ] = 16_000
    replay_for: Annotated[
        float, Meta(ge=0, description="Seconds that a reply which ended well answers a retry of its turn.")
    ] = 3600.0
    call_idle: Annotated[float, Meta(gt=0, description="Seconds without a turn after which a call has ended.")] = 900.0
    threads: Annotated[
        int, Meta(ge=1, le=4096, description="How many plain (not async) agent functions run at once.")
    ] = 32
    max_body: Annotated[int, Meta(ge=1, description="Most bytes that the body of a request may have.")] = (
        8 * 1024 * 1024
    )
    max_head: Annotated[
        int, Meta(ge=1024, description="Most bytes that the request line and headers of a request may have together.")
    ] = 64 * 1024
    head_timeout: Annotated[
        float, Meta(gt=0, description="Seconds in which the request line and headers must arrive.")
    ] = 10.0
    body_timeout: Annotated[float, Meta(gt=0, description="Seconds in which the body must arrive.")] = 60.0
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
    agents: Annotated[
        dict[str, str | AgentSpec],
        Meta(description="Who answers for which ModelId: [agents] in offhook.toml, an agent's name or a table each."),
    ] = {}
    dialect: Annotated[
        dict[str, dict[str, Any]], Meta(description="Settings of one dialect each: [dialect.NAME] in offhook.toml.")
    ] = {}


FIELDS: tuple[str, ...] = Settings.__struct_fields__
# ``[store] sync = "full"`` in the file is ``store_sync = "full"``; ``url`` there is ``store`` itself.
_PREFIXED = "store"
# Only in the file: tables have no form as a flag.
_TABLES = frozenset({"agents", "dialect"})
_LISTS = frozenset({"api_key", "model_id", "forwarded_allow_ips"})
SECRETS = frozenset({"api_key", "upstream_key"})


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and where each that is not a default came from: ``flag``, the variable's or the file's name."""

    settings: Settings
    sources: Mapping[str, str]
    file: Path | None


def agent_spec(settings: Settings) -> AgentSpec:
    """Give the agent that the settings name outside ``[agents]``."""
    return AgentSpec(**{name: getattr(settings, name) for name in AgentSpec.__struct_fields__})


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
    folder = settings.data_dir or str(default_data_dir(environ))
    if folder == "~" or folder.startswith("~/"):  # No shell has read what stands in a file.
        folder = str(_home(environ)) + folder[1:]
    settings = msgspec.structs.replace(settings, data_dir=folder)
    return Loaded(settings=settings, sources=sources, file=file)


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
    if isinstance(inner := table.get(_PREFIXED), dict):
        del table[_PREFIXED]
        table |= {_PREFIXED if key == "url" else f"{_PREFIXED}_{key}": value for key, value in inner.items()}
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
    if what.startswith("Invalid enum value") and name not in _TABLES:
        (choice, *_) = get_args(get_type_hints(Settings, include_extras=True)[name])
        what = f"there are: {', '.join(get_args(choice))}"
    value = "..." if name in SECRETS else repr(values[name])
    place = path.rstrip("`") if name in _TABLES else f"{name} = {value}"
    return f"{place} ({sources[name]}): {what[:1].lower()}{what[1:]}."
