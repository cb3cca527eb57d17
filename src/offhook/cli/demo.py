"""``offhook demo``: a whole call, from the server on its built-in agent to the hang-up, on this machine alone."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offhook.clock import SystemClock
from offhook.config import Settings, load
from offhook.errors import SetupError
from offhook.node import BargeIn, Call, CallTurn, LLMNode, Pace
from offhook.server.build import build_line
from offhook.server.directory import ANY_MODEL
from offhook.server.keyfile import own_key
from offhook.server.run import ServerThread, bind

if TYPE_CHECKING:
    from offhook.observe.hooks import TurnDetails

# Quicker than anybody speaks, so that the demo is over in half a minute.
_PACE = Pace(characters_per_second=22, words_per_second=13)


class Line(msgspec.Struct, frozen=True):
    """What the caller of the demo says; ``barge_in`` is when they cut in on the reply, in seconds."""

    text: str
    barge_in: float | None = None


SCRIPT = (
    Line("你好！"),
    Line("What time is it in Tokyo?"),
    Line("跟我读：电话已经接通，请讲。"),
    Line("从1数到300", barge_in=2.0),
    Line("Please wait 1 second, then answer."),
    Line("我的用户数据是什么？"),
    Line("Count from 1 to 5"),
    Line("Thank you, goodbye!"),
)
_CALLER, _CALLEE = "13800000001", "13800000002"
_USER_DATA = {"name": "Li Lei", "order": "A-1024", "city": "杭州"}
# How long to wait for the server's word on when an agent stopped, in seconds.
_PATIENCE = 2.0


class Played(msgspec.Struct, frozen=True):
    """A turn of the call, and the seconds from the caller's disconnect to the agent's stop where there was one."""

    turn: CallTurn
    stopped: float | None


class _Ends:
    """A hook that remembers how each turn ended, for the thread that plays the call."""

    def __init__(self) -> None:
        self._details: dict[str | None, TurnDetails] = {}
        self._changed = threading.Condition()

    def turn_ended(self, details: TurnDetails) -> None:
        with self._changed:
            self._details[details.turn_id] = details
            self._changed.notify_all()

    def of(self, turn_id: str) -> TurnDetails | None:
        """Give the details of a turn once it has ended, None when that takes too long."""
        with self._changed:
            self._changed.wait_for(lambda: turn_id in self._details, _PATIENCE)
            return self._details.get(turn_id)


def demo(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the call as it goes.")
    ] = False,
) -> None:
    """Start the server on its built-in agent, place a call over real HTTP, and show it.

    Nothing else is needed: no key, no model, no service. The call has a barge-in and ends with the agent's hang-up.

    \b
    Examples:
      offhook demo
      offhook demo --json
    """
    settings = load({}).settings
    clock = SystemClock()
    key = own_key(Path(settings.data_dir)).key
    ends = _Ends()
    # The built-in agent, whatever is configured in this folder.
    line = build_line(Settings(store="memory"), keys=(key,), clock=clock, hooks=[ends])
    server = ServerThread(line, _bind_near(settings.port))
    console = Console(highlight=False, soft_wrap=True, quiet=as_json)
    try:
        server.start()
        _show_values(console, key, server.base_url)
        played = asyncio.run(_play(console, LLMNode(ANY_MODEL, key, server.base_url, clock=clock), ends))
    finally:
        server.stop()
    if as_json:
        typer.echo(json.dumps({"turns": [_as_object(one) for one in played]}, ensure_ascii=False, indent=2))
        return
    console.print(_summary(played))
    _show_next(console)


def _bind_near(port: int) -> socket.socket:
    """Give a socket on the usual port, or on a free one when that is taken."""
    with suppress(SetupError):
        return bind("127.0.0.1", port)
    return bind("127.0.0.1", 0)


async def _play(console: Console, node: LLMNode, ends: _Ends) -> list[Played]:
    call = Call(node, caller=_CALLER, callee=_CALLEE, user_data=_USER_DATA, pace=_PACE)
    played: list[Played] = []
    console.print(f"\nA call from {_CALLER} to {_CALLEE}, placed by offhook's own workflow node:")
    async with node:
        for line in SCRIPT:
            console.print(f"\n[bold]{len(played) + 1}[/] caller  {line.text}")
            console.print("  agent   ", end="")
            turn = await call.say(
                line.text,
                on_piece=lambda piece: console.print(Text(piece), end=""),
                barge_in=None if line.barge_in is None else BargeIn(seconds=line.barge_in),
            )
            console.print()
            played.append(Played(turn, await _stop_of(turn, ends)))
            _show_turn(console, played[-1])
            if turn.answer.error is not None:
                raise turn.answer.error
            if call.ended is not None:
                console.print("\nThe agent issued hangup: the platform ends the call.")
                break
    return played


async def _stop_of(turn: CallTurn, ends: _Ends) -> float | None:
    """Give the seconds from the caller's disconnect to the end of the agent's task."""
    left = turn.answer.disconnected_at
    if left is None:
        return None
    details = await asyncio.to_thread(ends.of, str(turn.sentence_id))
    return None if details is None else details.stopped_at - left


def _show_values(console: Console, key: str, base_url: str) -> None:
    console.print("Paste into the LLM node of the workflow (self-developed, OpenAI specification):")
    console.print(f"  ModelId   {ANY_MODEL}")
    console.print(f"  API-KEY   {key}", markup=False)
    console.print(f"  base URL  {base_url}", markup=False)
    console.print("  (a workflow in the cloud needs this machine's public https address in its place)")


def _show_turn(console: Console, one: Played) -> None:
    answer = one.turn.answer
    times = f"  first token {_milliseconds(answer.first_token)}, total {_milliseconds(answer.total)}"
    console.print(times, style="dim")
    if one.stopped is not None:
        console.print(
            f"  barge-in: the agent had stopped {_milliseconds(one.stopped)} after the disconnect", style="bold"
        )


def _summary(played: list[Played]) -> Table:
    table = Table(title="The call", title_justify="left")
    for name in ("turn", "caller", "first token", "total", "chars", "finish", "agent stopped after"):
        table.add_column(name, justify="left" if name in ("caller", "finish") else "right")
    for one in played:
        answer = one.turn.answer
        table.add_row(
            str(one.turn.sentence_id),
            Text(one.turn.caller),
            _milliseconds(answer.first_token),
            _milliseconds(answer.total),
            str(len(one.turn.text)),
            one.turn.finish,
            "" if one.stopped is None else _milliseconds(one.stopped),
        )
    return table


def _show_next(console: Console) -> None:
    console.print("Try next:")
    # As it was called: a fresh .venv is not on the path.
    program = "offhook" if shutil.which("offhook") else os.path.relpath(sys.argv[0])
    if program.endswith("__main__.py"):
        program = "python -m offhook"
    for command, what in (
        ("serve", "the same line, to be called by you or a workflow"),
        ("call", "call it yourself: type what the caller says; Enter cuts in"),
        ("serve app.py:reply", "your own agent behind it"),
        ("serve --upstream URL --upstream-model M", "a model behind it"),
        ("--help", "everything else"),
    ):
        console.print(f"  {program + ' ' + command:<60}{what}", markup=False)


def _as_object(one: Played) -> dict[str, Any]:
    answer = one.turn.answer
    return {
        "turn": one.turn.sentence_id,
        "caller": one.turn.caller,
        "text": one.turn.text,
        "first_token_s": answer.first_token,
        "total_s": answer.total,
        "finish": one.turn.finish,
        "hangup": answer.hangup,
        "stopped_after_s": one.stopped,
    }


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
