"""``offhook serve``: the endpoint."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from offhook.cli.options import AgentArgument, ConfigOption, given, with_settings
from offhook.client.address import without_query
from offhook.clock import SystemClock
from offhook.config import Settings, load
from offhook.observe.logs import set_up
from offhook.server.build import build_line
from offhook.server.directory import ANY_MODEL
from offhook.server.edge import edge_of
from offhook.server.keyfile import OwnKey, own_key
from offhook.server.listen import base_url_of, listening
from offhook.server.run import run

_EXAMPLES = """Serve an agent, or a model, as an OpenAI-specification endpoint that a voice workflow calls.

Every option is also a setting in offhook.toml and a variable in the environment; a flag wins over the
environment, the environment over the file. Without AGENT and --upstream the built-in test line answers.

\b
Examples:
  offhook serve
  offhook serve app:reply --api-key k --model-id abc
  offhook serve --upstream http://127.0.0.1:11434/v1 --upstream-model qwen3
  offhook serve app.py:reply --host 0.0.0.0 --show
"""


def _serve(
    agent: AgentArgument = None,
    config: ConfigOption = None,
    **flags: Any,
) -> None:
    settings = load(given({"agent": agent, **flags}), config=config).settings
    set_up(settings.log_level, settings.log_format)
    clock = SystemClock()
    console = Console(highlight=False, soft_wrap=True)
    own: OwnKey | None = None

    def keys() -> tuple[str, ...]:
        """Give the keys; asked for last, so that a start that fails makes no key that nobody is shown."""
        nonlocal own
        if settings.api_key or settings.no_auth:
            return tuple(settings.api_key)
        own = own_key(Path(settings.data_dir))
        return (own.key,)

    edge = edge_of(settings)
    with listening(settings) as listener:
        line = build_line(settings, keys=keys, clock=clock, show=_print)
        run(
            line,
            listener,
            stop_timeout=settings.stop_timeout,
            edge=edge,
            on_started=lambda: _greet(console, settings, own, listener),
        )


_serve.__name__ = "serve"
_serve.__doc__ = _EXAMPLES
serve = with_settings(_serve)


def _greet(console: Console, settings: Settings, own: OwnKey | None, listener: socket.socket) -> None:
    key_line = "any (the server was started with --no-auth)" if settings.no_auth else "the one given (not shown)"
    if own is not None:
        key_line = own.key if own.created else f"the one kept in {own.path}"
    console.print(f"offhook answers with {_who(settings)}. Paste into the workflow's LLM node:", markup=False)
    model = ", ".join([*settings.agents, *settings.model_id]) or f"any name, for example {ANY_MODEL}"
    console.print(f"  ModelId   {model}", markup=False)
    console.print(f"  API-KEY   {key_line}", markup=False)
    console.print(f"  base URL  {base_url_of(listener, tls=settings.tls_cert is not None)}", markup=False)
    if settings.uds:
        console.print(f"            (through the socket {settings.uds})", markup=False)
    elif settings.host in ("0.0.0.0", "::"):
        console.print("            (from outside: this machine's own name or address in its place)", markup=False)
    console.print("Ctrl-C stops it.", markup=False)


def _who(settings: Settings) -> str:
    if settings.upstream:
        return f"the model service at {without_query(settings.upstream)}"
    if settings.agent:
        return f"the agent {settings.agent}"
    if settings.upstream_table and not settings.agents:
        names = settings.upstreams or [str(table["name"]) for table in settings.upstream_table]
        return f"the model services {', '.join(names)}"
    return f"the agents of {len(settings.agents)} ModelIds" if settings.agents else "the built-in test line"


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
