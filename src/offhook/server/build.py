"""Builds a line from its settings. The only file of the server that names concrete agents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.agents.commands import DEFINITIONS
from offhook.agents.function import FunctionAgent
from offhook.agents.load import load_function, load_module
from offhook.agents.model import ModelAgent
from offhook.agents.testline import testline
from offhook.config import AgentSpec, agent_spec, is_loopback, no_such_setting
from offhook.coord.memory import MemoryCoordinator
from offhook.dialects.base import Options
from offhook.dialects.choose import fixed, named
from offhook.dialects.sources import check as check_sources
from offhook.errors import SetupError
from offhook.server.admission import Admission
from offhook.server.app import MetricsDoor, ModelsDoor, make_router
from offhook.server.auth import Keys
from offhook.server.capture import Sink, Tap, capture_to, show_reply_on, show_request_on
from offhook.server.chat import ChatDoor
from offhook.server.directory import Directory
from offhook.server.doors.relay import RelayDoor
from offhook.server.doors.retell import RetellDoor
from offhook.server.keys import KeyBook
from offhook.server.line import Line
from offhook.server.reception import Reception
from offhook.server.seen import Seen
from offhook.server.services import Services, sound_rules
from offhook.server.speech import speech_book
from offhook.server.webhooks import webhook_doors
from offhook.speech.rules import speech_of
from offhook.store.choose import database_path, make_store
from offhook.store.marks import Marks
from offhook.tools.ledger import Ledger
from offhook.tools.load import load_tools
from offhook.turns.calls import Calls
from offhook.turns.engine import Engine
from offhook.turns.journal import Journal
from offhook.turns.spool import Spool
from offhook.turns.told import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from offhook.agents.base import Agent
    from offhook.clock import Clock
    from offhook.config import Settings
    from offhook.dialects.base import Dialect
    from offhook.observe.hooks import TurnHook
    from offhook.server.line import Part
    from offhook.store.base import Store
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
    store = _store(settings, clock)
    journal = _journal(settings, store, clock)
    ledger = Ledger(journal, clock)
    services = Services(settings, clock, ledger)
    directory = make_directory(settings, services, clock=clock, function=function, load=load)
    arrivals, sinks = _taps(settings, show)
    # In tests there may be no directory for data, and so no keys in it.
    book = KeyBook(Path(settings.data_dir).absolute(), clock) if settings.data_dir and not settings.no_auth else None
    accepted = _accepted(settings, keys, book)
    seen = Seen(settings, clock, services.upstreams)
    seen.hooks.extend(hooks)
    line = _make_line(settings, directory, services, seen, store, journal, clock, [] if book is None else [book])
    line.ledger = ledger
    line.calls.on_over.append(ledger.forget)
    reception = _reception(settings, line)
    chat = _chat_door(settings, reception, accepted, clock)
    router = make_router(
        line,
        chat=chat,
        models=ModelsDoor(model_ids=directory.model_ids, keys=accepted, clock=clock),
        metrics=_metrics_door(settings, seen, accepted, clock),
        keys=accepted,
        clock=clock,
        webhooks=webhook_doors(settings, Told(clock, line.calls, store), clock),
        retell=RetellDoor(**_door_parts(settings, reception, accepted, clock)),
        relay=RelayDoor(**_door_parts(settings, reception, accepted, clock)),
        on_refused=seen.refused,
    )
    line.app = Tap(router, sinks, clock, arrivals=arrivals) if sinks else router
    return line


def _reception(settings: Settings, line: Line) -> Reception:
    return Reception(
        engine=line.engine,
        calls=line.calls,
        admission=line.admission,
        directory=line.directory,
        options=dialect_options(settings.dialect),
        memory=None if settings.memory == "auto" else settings.memory,
        language=None if settings.language == "auto" else settings.language,
        speech=speech_book(settings),
    )


def _chat_door(settings: Settings, reception: Reception, keys: Keys, clock: Clock) -> ChatDoor:
    return ChatDoor(
        reception=reception,
        keys=keys,
        clock=clock,
        dialect=fixed(settings.platform),
        max_body=settings.max_body,
        slow_reader=settings.limits_slow_reader,
    )


def _door_parts(settings: Settings, reception: Reception, keys: Keys, clock: Clock) -> dict[str, Any]:
    return {
        "reception": reception,
        "keys": keys,
        "clock": clock,
        "patience": settings.limits_slow_reader,
        "setup": settings.head_timeout,
    }


def _metrics_door(settings: Settings, seen: Seen, keys: Keys, clock: Clock) -> MetricsDoor | None:
    if seen.metrics is None:
        return None
    return MetricsDoor(metrics=seen.metrics, keys=None if settings.metrics == "open" else keys, clock=clock)


def _store(settings: Settings, clock: Clock) -> Store | None:
    # As it is now: an agent may change the process's folder.
    folder = Path(settings.data_dir).absolute()
    # A call that has ended for its silence may go on, and its replies answer retries for a while longer.
    recent_for = settings.call_idle + settings.replay_for
    return make_store(settings.store, data_dir=folder, sync=settings.store_sync, now=clock.now, recent_for=recent_for)


def _journal(settings: Settings, store: Store | None, clock: Clock) -> Journal | None:
    if store is None:
        return None
    spool = _spool(settings, database_path(settings.store, Path(settings.data_dir).absolute()))
    keep_for = settings.store_keep_days * 86_400
    return Journal(store, spool, clock, wait=settings.store_commit_wait, keep_for=keep_for)


def _make_line(
    settings: Settings,
    directory: Directory,
    services: Services,
    seen: Seen,
    store: Store | None,
    journal: Journal | None,
    clock: Clock,
    parts: Sequence[Part],
) -> Line:
    """Give the line without its addresses: what answers, remembers and records."""
    folder = Path(settings.data_dir).absolute()
    coord: MemoryCoordinator[CallState] = MemoryCoordinator()
    database = database_path(settings.store, folder)
    numbers = Marks(None if database is None else folder)
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
    engine = Engine(
        clock,
        calls,
        seen.hooks,
        memory_tokens=settings.memory_tokens,
        rules=sound_rules(settings),
        phrases=services.phrases(),
        tracer=seen.tracer,
        reading=services.reading,
    )
    admission = Admission(
        clock,
        turns=settings.limits_turns,
        queue=settings.limits_queue,
        wait=settings.limits_wait,
        share=settings.limits_share,
        call_idle=settings.call_idle,
    )
    calls.on_over.append(admission.call_over)
    line = Line(
        directory,
        engine,
        calls,
        coord,
        admission,
        store=store,
        journal=journal,
        secret=numbers if database else None,
        parts=[*parts, *seen.parts, services.reading],
    )
    seen.line = line
    return line


def _spool(settings: Settings, database: Path | None) -> Spool | None:
    """Give the spool beside the database; None for a store whose records end with the process."""
    if database is None:
        return None
    folder = database.with_name(f"{database.name}-spool").absolute()
    return Spool(folder, size=settings.store_spool, sync=settings.store_sync == "full")


def _accepted(settings: Settings, keys: Sequence[str] | Callable[[], Sequence[str]], book: KeyBook | None) -> Keys:
    if settings.no_auth:
        return Keys(())
    known = keys() if callable(keys) else keys
    if not known or not all(known):
        raise SetupError("A key is empty, so nobody could call; give one with --api-key, or leave the option out.")
    return Keys(known, book)


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
    services: Services,
    *,
    clock: Clock,
    function: Callable[..., Any] | None = None,
    load: Callable[[str], Callable[..., Any]] = load_function,
) -> Directory:
    """Give the agents by ModelId: those of ``[agents]``, and the one named outside it.

    The latter answers for each ``model_id``, or for every name where there is neither that nor ``[agents]``.
    """

    def make(spec: AgentSpec) -> Agent:
        return make_agent(spec, services, settings, clock=clock, load=load)

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
    spec: AgentSpec,
    services: Services,
    settings: Settings,
    *,
    clock: Clock,
    load: Callable[[str], Callable[..., Any]] = load_function,
) -> Agent:
    """Give the agent: the one named, else the model behind its upstreams, else the test line."""
    if spec.agent and (spec.upstream or spec.upstreams):
        raise SetupError("Both an agent and an upstream are given; leave one out.")
    if not spec.upstream and (spec.upstream_model or spec.upstream_key) and services.described:
        raise SetupError("upstream_model and upstream_key go with upstream, a URL; [[upstream]] has its own fields.")
    if spec.upstream or spec.upstreams or (services.described and not spec.agent):
        return ModelAgent(
            services.failover(spec),
            system_prompt=_system_prompt(spec),
            toolbox=services.toolbox(_tools(spec, load)),
            commands=[name for name in DEFINITIONS if name in (spec.tools or ())],
            rounds=settings.tools_rounds,
            hold=settings.tools_hold,
        )
    for name in ("upstream_model", "upstream_key", "system_prompt", "system_prompt_file", "tools"):
        if getattr(spec, name):
            raise SetupError(f"{name} is for a model service; say where it is with --upstream URL.")
    if spec.agent in (None, TESTLINE):
        return FunctionAgent(testline(clock))
    return FunctionAgent(load(spec.agent), threads=settings.threads)


def _tools(spec: AgentSpec, load: Callable[[str], Callable[..., Any]]) -> list[Callable[..., Any]]:
    # Who loads no agent wants no tool loaded either.
    names = [name for name in spec.tools or () if name not in DEFINITIONS]
    return load_tools(names, load_module) if load is load_function else []


def _as_spec(value: str | AgentSpec) -> AgentSpec:
    return AgentSpec(agent=value) if isinstance(value, str) else value


def dialect_options(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Options]:
    """Give the options of each dialect. Raises SetupError for an unknown dialect or a wrong option."""
    options: dict[str, Options] = {}
    for name, table in tables.items():
        dialect = named(name)
        for key in table:
            if key not in Options.__struct_fields__:
                raise SetupError(f"[dialect.{name}]: {no_such_setting(key, Options.__struct_fields__)}")
        try:
            options[name] = msgspec.convert(table, Options)
        except msgspec.ValidationError as error:
            raise SetupError(f"[dialect.{name}]: {error}.") from None
        try:
            _check_options(dialect, options[name])
        except SetupError as error:
            raise SetupError(f"[dialect.{name}]: {error}") from None
    return options


def _check_options(dialect: Dialect, options: Options) -> None:
    check_sources(options)
    if options.speech is not None:
        speech_of(options.speech)
    if options.hangup_as not in dialect.hangups:
        ways = " or ".join(map(repr, sorted(dialect.hangups)))
        raise SetupError(f"hangup_as = {options.hangup_as!r}: this platform knows no such way; it may be {ways}.")


def _system_prompt(spec: AgentSpec) -> str | None:
    if not spec.system_prompt_file:
        return spec.system_prompt
    if spec.system_prompt:
        raise SetupError("Both system_prompt and system_prompt_file are given; leave one out.")
    try:
        return Path(spec.system_prompt_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"The system prompt {spec.system_prompt_file} cannot be read: {error}.") from None
