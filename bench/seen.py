"""What it costs to be seen: the same calls with metrics, traces and JSON logs on, each beside a server without them.

All servers share one core at the same time, so that what else the machine does hits them alike; two of them are the
same, and how far those differ is what cannot be told from nothing. The traces go to a collector that takes them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from bench import procs, upstream
from bench.caller import Calls, Script, open_caller
from bench.records import Target
from bench.serve import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

CALLS = 10
# One process is by some percent slower than another that is the same, so they are started anew for each round.
ROUNDS = 3
WINDOWS = 3
WINDOW = 1.2
# Short replies: what is looked at happens once in a turn.
SCRIPT = Script(turns=6, count=8, pace=20, stamps=8)
OFF = ("off", "off, again")
MODES: dict[str, dict[str, Any]] = {
    OFF[0]: {},
    OFF[1]: {},
    "metrics": {"metrics": "key"},
    "traces": {"traces": True},
    "JSON logs": {"log_format": "json"},
    "all three": {"metrics": "key", "traces": True, "log_format": "json"},
}
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


def run(note: Callable[[str], None]) -> dict[str, Any]:
    """Measure all servers at once."""
    server_core, driver_core = procs.cores()
    procs.pin(driver_core)
    result: dict[str, Any] = {}

    async def measure() -> None:
        async with upstream.running() as behind, _collector() as (port, spans):
            rounds = []
            for number in range(ROUNDS):
                note(f"seen: {len(MODES)} servers at once, round {number + 1} of {ROUNDS}")
                with _targets(behind.port, port, server_core, backwards=bool(number % 2)) as targets:
                    rounds.append(await _windows(targets))
                    result["scrape"] = _scrape(next(one for one in targets if one.mode == "metrics"))
            result["rows"] = [_row(mode, rounds) for mode in MODES]
            traced = sum(row["turns"] for row in result["rows"] if "traces" in MODES[row["mode"]])
            result["trace_bytes_turn"] = round(sum(spans) / traced)

    procs.run_uvloop(measure())
    note("seen: the hooks alone")
    return {
        "calls": CALLS,
        "rounds": ROUNDS,
        "windows": WINDOWS,
        "events_of_a_turn": SCRIPT.count,
        "pace_ms": SCRIPT.pace,
        "hooks_us_turn": _hooks(server_core),
        **result,
    }


def _hooks(core: int | None) -> dict[str, float]:
    """Give what a turn costs each hook, measured in a process of its own."""
    command = [sys.executable, "-m", "bench.hooks"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with procs.child(command, core=core, cwd=procs.REPO, **options) as process:
        assert process.stdout is not None
        found: dict[str, float] = json.loads(process.stdout.read())
    return found


@contextmanager
def _targets(upstream_port: int, collector: int, core: int | None, *, backwards: bool) -> Iterator[list[Target]]:
    """Run one server for each mode."""
    os.environ[_ENDPOINT] = f"http://127.0.0.1:{collector}"
    try:
        with ExitStack() as stack:
            targets = []
            for mode, settings in reversed(MODES.items()) if backwards else MODES.items():
                own = {"metrics": "off", **settings}
                address = f"http://127.0.0.1:{upstream_port}/v1"
                server = stack.enter_context(procs.server(upstream=address, core=core, **own))
                targets.append(Target(mode, server.port, server, core))
            yield targets
    finally:
        del os.environ[_ENDPOINT]


@asynccontextmanager
async def _collector() -> AsyncIterator[tuple[int, list[int]]]:
    """Take whatever is posted; give the port, and the sizes of what came."""
    sizes: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                sizes.append(len(await reader.readexactly(int(length[1]) if length else 0)))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], sizes
    finally:
        server.close()


async def _windows(targets: Sequence[Target]) -> list[dict[str, dict[str, float]]]:
    """Give turns and CPU in microseconds by mode, window by window."""
    loads = {target.mode: Calls(SCRIPT, begin=10**6 * place) for place, target in enumerate(targets, 1)}
    callers = []
    for number in range(CALLS):
        for target in random.sample(targets, len(targets)):
            # Spread over one reply, so that the events of different streams fall between each other; in another order
            # each time, since what comes after a pause finds the core's caches cold.
            await asyncio.sleep(SCRIPT.count * SCRIPT.pace / 1000 / CALLS / len(targets))
            callers.append(await open_caller(loads[target.mode], target.port, number % SCRIPT.turns + 1))
    await asyncio.sleep(0.5)
    windows = []
    for _ in range(WINDOWS):
        for load in loads.values():
            load.begin_window()
        before = [cpu_of(target) for target in targets]
        await asyncio.sleep(WINDOW)
        spent = [cpu_of(target) - was for target, was in zip(targets, before, strict=True)]
        for load in loads.values():
            if load.refused or load.torn or not load.turns:
                raise RuntimeError(f"a server does not answer: {load.refused[:500]!r}")
        windows.append(
            {
                target.mode: {"turns": loads[target.mode].turns, "us": cpu / 1000}
                for target, cpu in zip(targets, spent, strict=True)
            }
        )
    for caller in callers:
        caller.close()
    await asyncio.sleep(0.2)
    return windows


def cpu_of(target: Target) -> int:
    """Give the CPU time that a server has used, in nanoseconds."""
    assert target.server is not None, "every target here is a server"
    return procs.cpu_ns(target.server.pid)


def _row(mode: str, rounds: Sequence[Sequence[dict[str, dict[str, float]]]]) -> dict[str, Any]:
    """Compare with the two that show nothing, round by round: the windows of a round are one measurement."""
    own = [_us(mode, one) for one in rounds]
    off = [statistics.mean(_us(name, one) for name in OFF) for one in rounds]
    ratios = [us / was for us, was in zip(own, off, strict=True)]
    added = statistics.median(us - was for us, was in zip(own, off, strict=True))
    return {
        "mode": mode,
        "turns": int(sum(window[mode]["turns"] for one in rounds for window in one)),
        "us_turn": round(statistics.median(own)),
        "added_us_turn": round(added, 1),
        "added_us_event": round(added / SCRIPT.count, 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def _us(mode: str, windows: Sequence[dict[str, dict[str, float]]]) -> float:
    """Give the CPU of a turn in microseconds over several windows."""
    return sum(window[mode]["us"] for window in windows) / sum(window[mode]["turns"] for window in windows)


def _scrape(target: Target) -> dict[str, Any]:
    """Give what one reading of /metrics costs its server, and how long the text is."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}/metrics", headers={"Authorization": f"Bearer {KEY}"}
    )
    times = 20
    before = cpu_of(target)
    for _ in range(times):
        with urllib.request.urlopen(request) as response:
            length = len(response.read())
    return {"us": round((cpu_of(target) - before) / times / 1000), "bytes": length}
