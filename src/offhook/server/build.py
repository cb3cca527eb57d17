"""Builds a line from its settings. The only file of the server that names concrete agents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.agents.function import FunctionAgent
from offhook.agents.load import load_function
from offhook.agents.model import ModelAgent
from offhook.agents.testline import testline
from offhook.config import AgentSpec, agent_spec, is_loopback, no_such_setting
from offhook.coord.memory import MemoryCoordinator
from offhook.dialects.base import Options
from offhook.dialects.choose import named
from offhook.dialects.sources import check as check_sources
from offhook.errors import SetupError
from offhook.observe.logs import TurnLog
from offhook.server.app import ModelsDoor, make_router
from offhook.server.auth import Keys
from offhook.server.capture import Sink, Tap, capture_to, show_reply_on, show_request_on
from offhook.server.chat import ChatDoor
from offhook.server.directory import Directory
from offhook.server.line import Line
from offhook.store.choose import database_path, make_store
from offhook.store.marks import Marks
from offhook.turns.calls import Calls
from offhook.turns.engine import Engine
from offhook.turns.journal import Journal
from offhook.turns.spool import Spool
from offhook.upstream.spec import UpstreamSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from offhook.agents.base import Agent
    from offhook.clock import Clock
    from offhook.config import Settings
    from offhook.observe.hooks import TurnHook
    from offhook.turns.state import CallState

TESTLINE = "testline"


def build_line(
    settings: Settings,
    *,
    keys: Sequence[str] | Callable[[], Sequence[str]],
    clock: Clock,
    hooks: Sequence[TurnHook] = (),
    function: Callable[..., Any] | None = None,
    show: Callable[[str], None] = print,
    load: Callable[[str], Callable[..., Any]] = load_function,
) -> Line:
    """Give the line that the settings describe; ``keys`` are those that callers must send, or what gives them.

    What gives them is called when all else has proved right, and not with ``no_auth``.
    ``function`` is an agent given as an object instead of by its name. ``show`` takes what ``settings.show`` prints.
    ``load`` finds the function of a name. Raises SetupError when the settings cannot work together.
    """
    if settings.no_auth and not is_loopback(settings.host):
        raise SetupError(
            f"--no-auth lets everybody in, so it works on a loopback address only, not on {settings.host}. "
            "Leave it out: a key is made by itself."
        )
    if settings.no_auth and settings.api_key:
        raise SetupError("--no-auth lets everybody in, so a key beside it would mean nothing; leave one out.")
    directory = make_directory(settings, clock=clock, function=function, load=load)
    dialect = None if settings.platform == "auto" else named(settings.platform)
    options = dialect_options(settings.dialect)
    arrivals, sinks = _taps(settings, show)
    accepted = _accepted(settings, keys)
    line = _make_line(settings, directory, clock, [TurnLog(content=settings.log_content or settings.show), *hooks])
    router = make_router(
        line,
        chat=ChatDoor(
            engine=line.engine,
            directory=directory,
            keys=accepted,
            clock=clock,
            dialect=dialect,
            options=options,
            max_body=settings.max_body,
            memory=None if settings.memory == "auto" else settings.memory,
        ),
        models=ModelsDoor(model_ids=directory.model_ids, keys=accepted, clock=clock),
        keys=accepted,
        clock=clock,
    )
    line.app = Tap(router, sinks, clock, arrivals=arrivals) if sinks else router
    return line


def _make_line(settings: Settings, directory: Directory, clock: Clock, hooks: Sequence[TurnHook]) -> Line:
    """Give the line without its addresses: what answers, remembers and records."""
    # As it is now: an agent may change the process's folder.
    folder = Path(settings.data_dir).absolute()
    coord: MemoryCoordinator[CallState] = MemoryCoordinator()
    # A call that has ended for its silence may go on, and its replies answer retries for a while longer.
    recent_for = settings.call_idle + settings.replay_for
    store = make_store(settings.store, data_dir=folder, sync=settings.store_sync, now=clock.now, recent_for=recent_for)
    database = database_path(settings.store, folder)
    numbers = Marks(None if database is None else folder)
    journal: Journal | None = None
    if store is not None:
        keep_for = settings.store_keep_days * 86_400
        journal = Journal(store, _spool(settings, database), clock, wait=settings.store_commit_wait, keep_for=keep_for)
    calls = Calls(
        clock,
        owner=clock.new_id("server_"),
        coord=coord,
        store=store,
        journal=journal,
        number=numbers,
        idle=settings.call_idle,
        replay_for=settings.replay_for,
    )
    engine = Engine(clock, calls, hooks, memory_tokens=settings.memory_tokens)
    return Line(directory, engine, calls, coord, store=store, journal=journal, secret=numbers if database else None)


def _spool(settings: Settings, database: Path | None) -> Spool | None:
    """Give the spool beside the database; None for a store whose records end with the process."""
    if database is None:
        return None
    folder = database.with_name(f"{database.name}-spool").absolute()
    return Spool(folder, size=settings.store_spool, sync=settings.store_sync == "full")


def _accepted(settings: Settings, keys: Sequence[str] | Callable[[], Sequence[str]]) -> Keys:
    if settings.no_auth:
        return Keys(())
    known = keys() if callable(keys) else keys
    if not known or not all(known):
        raise SetupError("A key is empty, so nobody could call; give one with --api-key, or leave the option out.")
    return Keys(known)


def _taps(settings: Settings, show: Callable[[str], None]) -> tuple[list[Sink], list[Sink]]:
    """Give who is handed an exchange when it arrives, and who when it has ended."""
    arrivals: list[Sink] = []
    sinks: list[Sink] = []
    if settings.show:
        arrivals.append(show_request_on(show))
        sinks.append(show_reply_on(show))
    if settings.capture:
        sinks.append(capture_to(Path(settings.capture)))
    return arrivals, sinks


def make_directory(
    settings: Settings,
    *,
    clock: Clock,
    function: Callable[..., Any] | None = None,
    load: Callable[[str], Callable[..., Any]] = load_function,
) -> Directory:
    """Give the agents by ModelId: those of ``[agents]``, and the one named outside it.

    The latter answers for each ``model_id``, or for every name where there is neither that nor ``[agents]``.
    """

    def make(spec: AgentSpec) -> Agent:
        return make_agent(spec, clock=clock, threads=settings.threads, load=load)

    spec = agent_spec(settings)
    if settings.agents and not settings.model_id:
        if function is not None or spec != AgentSpec():
            raise SetupError("[agents] is given, so the agent named beside it needs a ModelId of its own: --model-id.")
        return Directory({model_id: make(_as_spec(value)) for model_id, value in settings.agents.items()})
    doubled = set(settings.agents) & set(settings.model_id)
    if doubled:
        raise SetupError(f"The ModelId {min(doubled)!r} stands in [agents] and in model_id; leave one out.")
    own = make(spec) if function is None else FunctionAgent(function, threads=settings.threads)
    mapped = {model_id: make(_as_spec(value)) for model_id, value in settings.agents.items()}
    mapped |= dict.fromkeys(settings.model_id, own)
    return Directory(mapped, fallback=None if mapped else own)


def make_agent(
    spec: AgentSpec, *, clock: Clock, threads: int, load: Callable[[str], Callable[..., Any]] = load_function
) -> Agent:
    """Give the agent: the one named, else the model behind ``upstream``, else the test line."""
    if spec.agent and spec.upstream:
        raise SetupError("Both an agent and an upstream are given; leave one out.")
    if spec.upstream:
        upstream = UpstreamSpec(base_url=spec.upstream, model=spec.upstream_model, key=spec.upstream_key)
        return ModelAgent(upstream, system_prompt=_system_prompt(spec))
    for name in ("upstream_model", "upstream_key", "system_prompt", "system_prompt_file"):
        if getattr(spec, name):
            raise SetupError(f"{name} is for a model service; say where it is with --upstream URL.")
    if spec.agent in (None, TESTLINE):
        return FunctionAgent(testline(clock))
    return FunctionAgent(load(spec.agent), threads=threads)


def _as_spec(value: str | AgentSpec) -> AgentSpec:
    return AgentSpec(agent=value) if isinstance(value, str) else value


def dialect_options(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Options]:
    """Give the options of each dialect. Raises SetupError for an unknown dialect or a wrong option."""
    options: dict[str, Options] = {}
    for name, table in tables.items():
        named(name)
        for key in table:
            if key not in Options.__struct_fields__:
                raise SetupError(f"[dialect.{name}]: {no_such_setting(key, Options.__struct_fields__)}")
        try:
            options[name] = msgspec.convert(table, Options)
        except msgspec.ValidationError as error:
            raise SetupError(f"[dialect.{name}]: {error}.") from None
        check_sources(options[name])
    return options


def _system_prompt(spec: AgentSpec) -> str | None:
    if not spec.system_prompt_file:
        return spec.system_prompt
    if spec.system_prompt:
        raise SetupError("Both system_prompt and system_prompt_file are given; leave one out.")
    try:
        return Path(spec.system_prompt_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"The system prompt {spec.system_prompt_file} cannot be read: {error}.") from None
