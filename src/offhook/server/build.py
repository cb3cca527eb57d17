"""Builds a line from its settings. The only file of the server that names concrete agents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.agents.function import FunctionAgent
from offhook.agents.load import load_function
from offhook.agents.model import ModelAgent
from offhook.agents.testline import testline
from offhook.config import is_loopback
from offhook.dialects.base import Options
from offhook.dialects.choose import named
from offhook.errors import SetupError
from offhook.observe.logs import TurnLog
from offhook.server.app import ModelsDoor, make_router
from offhook.server.auth import Keys
from offhook.server.capture import Sink, Tap, capture_to, show_on
from offhook.server.chat import ChatDoor
from offhook.server.line import Line
from offhook.turns.engine import Engine
from offhook.upstream.spec import UpstreamSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from offhook.agents.base import Agent
    from offhook.clock import Clock
    from offhook.config import Settings
    from offhook.observe.hooks import TurnHook

TESTLINE = "testline"
# What /models lists when any name is accepted.
ANY_MODEL = "offhook"


def build_line(
    settings: Settings,
    *,
    keys: Sequence[str],
    clock: Clock,
    hooks: Sequence[TurnHook] = (),
    function: Callable[..., Any] | None = None,
    show: Callable[[str], None] = print,
) -> Line:
    """Give the line that the settings describe; ``keys`` are those that callers must send.

    ``function`` is an agent given as an object instead of by its name. ``show`` takes what ``settings.show`` prints.
    Raises SetupError when the settings cannot work together.
    """
    if settings.no_auth and not is_loopback(settings.host):
        raise SetupError(
            f"--no-auth lets everybody in, so it works on a loopback address only, not on {settings.host}. "
            "Leave it out: a key is made by itself."
        )
    if not settings.no_auth and not (keys and all(keys)):
        raise SetupError("A key is empty, so nobody could call; give one with --api-key, or leave the option out.")
    agent = make_agent(settings, clock=clock, function=function)
    engine = Engine(clock, [TurnLog(content=settings.log_content or settings.show), *hooks])
    line = Line(agent, engine)
    accepted = Keys(() if settings.no_auth else keys)
    router = make_router(
        line,
        chat=ChatDoor(
            engine=engine,
            agent=agent,
            keys=accepted,
            clock=clock,
            model_ids=settings.model_id,
            dialect=None if settings.platform == "auto" else named(settings.platform),
            options=dialect_options(settings.dialect),
        ),
        models=ModelsDoor(model_ids=settings.model_id or (ANY_MODEL,), keys=accepted, clock=clock),
        clock=clock,
    )
    sinks: list[Sink] = []
    if settings.show:
        sinks.append(show_on(show))
    if settings.capture:
        sinks.append(capture_to(Path(settings.capture)))
    line.app = Tap(router, sinks, clock) if sinks else router
    return line


def make_agent(settings: Settings, *, clock: Clock, function: Callable[..., Any] | None = None) -> Agent:
    """Give the agent: the one named, else the model behind ``upstream``, else the test line."""
    if function is not None:
        return FunctionAgent(function, threads=settings.threads)
    if settings.agent and settings.upstream:
        raise SetupError("Both an agent and an upstream are given; leave one out.")
    if settings.upstream:
        spec = UpstreamSpec(base_url=settings.upstream, model=settings.upstream_model, key=settings.upstream_key)
        return ModelAgent(spec, system_prompt=_system_prompt(settings))
    for name in ("upstream_model", "upstream_key", "system_prompt", "system_prompt_file"):
        if getattr(settings, name):
            raise SetupError(f"{name} is for a model service; say where it is with --upstream URL.")
    if settings.agent in (None, TESTLINE):
        return FunctionAgent(testline(clock))
    return FunctionAgent(load_function(settings.agent), threads=settings.threads)


def dialect_options(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Options]:
    """Give the options of each dialect. Raises SetupError for an unknown dialect or a wrong option."""
    options: dict[str, Options] = {}
    for name, table in tables.items():
        named(name)
        try:
            options[name] = msgspec.convert(table, Options)
        except msgspec.ValidationError as error:
            there = ", ".join(Options.__struct_fields__)
            raise SetupError(f"[dialect.{name}]: {error}; there are: {there}.") from None
    return options


def _system_prompt(settings: Settings) -> str | None:
    if not settings.system_prompt_file:
        return settings.system_prompt
    if settings.system_prompt:
        raise SetupError("Both system_prompt and system_prompt_file are given; leave one out.")
    try:
        return Path(settings.system_prompt_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"The system prompt {settings.system_prompt_file} cannot be read: {error}.") from None
