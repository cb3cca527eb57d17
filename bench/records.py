"""What records cost: the same calls with records off and on, on the same core of the server.

First by turns, all streams on one server: the time to the first token. Then on several servers at once, a share of the
streams on each: the CPU of an event. The speed of a machine that is not alone on its host changes by more, from one
second to the next, than records cost; servers that share every moment are hit alike.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import procs, upstream
from bench.caller import Caller, Calls, Script, open_caller
from bench.grid import quantiles_ms
from offhook.store.choose import FILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from bench.procs import Server

STREAMS = 100
ROUNDS = 6
WINDOW = 2.5
# Windows with all servers at once, one after the other.
SHARED = 8
SCRIPT = Script()
# Of these "named" is the line with records off, and "sqlite" with records on as by default.
MODES = ("unnamed", "named", "memory", "sqlite")
OFF, ON = "named", "sqlite"
# So much of the server's core taken by other programs spoils a measurement; it is then made again, so often in a run.
SPOILT = 0.1
AGAIN = 6
MOST_ADDED = 0.15


class Target(NamedTuple):
    """A server in one mode, or the upstream itself, whose process is the driver's."""

    mode: str
    port: int
    server: Server | None
    core: int | None


class Window(NamedTuple):
    """What was measured of one server in one window."""

    figures: dict[str, Any]
    first: list[float]
    ends: list[float]


def run(note: Callable[[str], None]) -> dict[str, Any]:
    """Measure both agents, by turns and at once."""
    server_core, driver_core = procs.cores()
    procs.pin(driver_core)
    agents: dict[str, dict[str, Any]] = {}

    async def measure(folder: Path) -> None:
        async with upstream.running() as behind:
            for agent in ("python", "model"):
                with _targets(agent, behind.port, folder / agent, server_core) as targets:
                    agents[agent] = await _agent(agent, targets, behind.port, note)
                agents[agent]["recorded"] = _recorded(folder / agent / ON / FILE)

    with procs.disk_folder() as (folder, kind):
        procs.run_uvloop(measure(folder))
    return {
        "streams": STREAMS,
        "rounds": ROUNDS,
        "shared_windows": SHARED,
        "turns_of_a_call": SCRIPT.turns,
        "events_of_a_turn": SCRIPT.count,
        "pace_ms": SCRIPT.pace,
        "disk": kind,
        "target_added_cpu": MOST_ADDED,
        "agents": list(agents.values()),
    }


@contextmanager
def _targets(agent: str, upstream_port: int, folder: Path, core: int | None) -> Iterator[list[Target]]:
    """Run one server for each mode; those that are not asked do nothing."""
    address = f"http://127.0.0.1:{upstream_port}/v1" if agent == "model" else None
    function = "paced" if agent == "python" else None
    with ExitStack() as stack:
        targets = []
        for mode in MODES:
            settings = {"store": {"memory": "memory", "sqlite": "sqlite"}.get(mode, "none")}
            if mode == ON:
                settings["data_dir"] = str(folder / mode)
            server = stack.enter_context(procs.server(agent=function, upstream=address, core=core, **settings))
            targets.append(Target(mode, server.port, server, core))
        yield targets


async def _agent(
    agent: str, targets: Sequence[Target], upstream_port: int, note: Callable[[str], None]
) -> dict[str, Any]:
    """Measure one agent: off and on by turns, in another order each time, then all modes at once."""
    direct: list[Window] = []
    if agent == "model":
        note("records: the upstream alone")
        direct.append((await _alone(Target("direct", upstream_port, None, None)))[0])
    windows: dict[str, list[Window]] = {OFF: [], ON: []}
    finished = 0
    again = AGAIN
    pair = [target for target in targets if target.mode in windows]
    for number in range(ROUNDS):
        note(f"records: {agent} agent, off and on by turns, round {number + 1} of {ROUNDS}")
        for target in pair if number % 2 else pair[::-1]:
            window, ended = await _alone(target)
            finished += ended * (target.mode == ON)
            while window.figures["others_busy"] > SPOILT and again:
                again -= 1
                other, ended = await _alone(target)
                finished += ended * (target.mode == ON)
                if other.figures["others_busy"] < window.figures["others_busy"]:
                    window = other
            windows[target.mode].append(window)
    note(f"records: {agent} agent, off and on at once")
    halves, ended = await _at_once(pair)
    note(f"records: {agent} agent, {', '.join(MODES)} at once")
    quarters, more = await _at_once(targets)
    added = statistics.median(_ratios(halves, ON)) - 1
    return {
        "agent": agent,
        "finished": finished + ended + more,
        "rows": [_row(mode, windows) for mode in (OFF, ON)],
        "halves": [_shared_row(mode, halves) for mode in (OFF, ON)],
        "quarters": [_shared_row(mode, quarters) for mode in MODES],
        "direct_first_ms": _quantiles(direct, "first"),
        "added_cpu": round(added, 3),
        "added_cpu_holds": added <= MOST_ADDED,
        **_first_token(windows),
    }


@asynccontextmanager
async def _placed(targets: Sequence[Target], streams: int) -> AsyncIterator[list[Calls]]:
    """Have so many calls in all running on these servers, as many on each."""
    loads = []
    for target in targets:
        script = Script(named=False) if target.mode == "unnamed" else SCRIPT
        # Numbers that no earlier call has: a call that is known already would go on.
        loads.append(Calls(script, begin=time.monotonic_ns() % 10**8))
    ramp = SCRIPT.count * SCRIPT.pace / 1000
    callers: list[Caller] = []
    begun = time.monotonic()
    for number in range(streams):
        # Spread over one reply, so that the events of different streams fall between each other.
        await asyncio.sleep(max(0.0, begun + number * ramp / streams - time.monotonic()))
        call, at = divmod(number, len(targets))
        callers.append(await open_caller(loads[at], targets[at].port, call % SCRIPT.turns + 1))
    await asyncio.sleep(max(0.3, begun + ramp + 0.3 - time.monotonic()))
    try:
        yield loads
    finally:
        for caller in callers:
            caller.close()
        # They are closed in the loop's next step, and the servers are asked within this one.
        await asyncio.sleep(0.2)
        for target in targets:
            if target.server is not None:
                target.server.settled()


async def _alone(target: Target) -> tuple[Window, int]:
    """Give one window of all streams on one server, and how many of its replies ended in all."""
    async with _placed([target], STREAMS) as loads:
        (window,) = await _measured([target], loads)
    return window, loads[0].finished


async def _at_once(targets: Sequence[Target]) -> tuple[dict[str, list[Window]], int]:
    """Give windows of all servers at the same time by mode, and how many replies ended with records on."""
    windows: dict[str, list[Window]] = {target.mode: [] for target in targets}
    async with _placed(targets, STREAMS) as loads:
        for _ in range(SHARED):
            for target, window in zip(targets, await _measured(targets, loads), strict=True):
                windows[target.mode].append(window)
    finished = next(load.finished for target, load in zip(targets, loads, strict=True) if target.mode == ON)
    return windows, finished


async def _measured(targets: Sequence[Target], loads: Sequence[Calls]) -> list[Window]:
    """Measure each server for a while."""
    for load in loads:
        load.begin_window()
    core = targets[0].core
    driver, before, busy = time.process_time_ns(), [_cpu(target) for target in targets], procs.core_busy(core)
    start = time.monotonic_ns()
    await asyncio.sleep(WINDOW)
    span = time.monotonic_ns() - start
    driver, spent = time.process_time_ns() - driver, [_cpu(one) - was for one, was in zip(targets, before, strict=True)]
    others = (procs.core_busy(core) - busy) * 1e9 - sum(spent)
    for target, load in zip(targets, loads, strict=True):
        if load.refused or not load.first_frames:
            raise RuntimeError(f"the server ({target.mode}) does not answer: {load.refused[:500]!r}")
    return [
        Window(
            {
                "events": load.events,
                "turns": load.turns,
                "cpu_us": cpu / max(load.events, 1) / 1000,
                "server_busy": cpu / span,
                "driver_busy": driver / span,
                "others_busy": max(0.0, others) / span if core is not None else 0.0,
                "torn": load.torn,
                "lost": load.lost,
            },
            [value / 1e6 for value in load.first_frames],
            [value / 1e6 for value in load.ends],
        )
        for load, cpu in zip(loads, spent, strict=True)
    ]


def _cpu(target: Target) -> int:
    return 0 if target.server is None else procs.cpu_ns(target.server.pid)


def _quantiles(windows: Sequence[Window], what: str) -> dict[str, float] | None:
    return quantiles_ms(value for window in windows for value in getattr(window, what))


def _recorded(database: Path) -> int:
    """Give how many turns that ended well are in the database."""
    with closing(sqlite3.connect(database)) as connection:
        count: int = connection.execute("SELECT count(*) FROM turns WHERE reason = 'stop'").fetchone()[0]
    return count


def _ratios(windows: dict[str, list[Window]], mode: str) -> list[float]:
    """Give the CPU per event as a multiple of that with records off, round by round."""
    pairs = zip(windows[mode], windows[OFF], strict=True)
    return [one.figures["cpu_us"] / off.figures["cpu_us"] for one, off in pairs]


def _row(mode: str, windows: dict[str, list[Window]]) -> dict[str, Any]:
    some = windows[mode]
    return {
        **_shared_row(mode, windows),
        "driver_busy": round(statistics.median(window.figures["driver_busy"] for window in some), 3),
        "first_ms": _quantiles(some, "first"),
        "end_ms": _quantiles(some, "ends"),
    }


def _shared_row(mode: str, windows: dict[str, list[Window]]) -> dict[str, Any]:
    figures = [window.figures for window in windows[mode]]
    cpu = statistics.median(one["cpu_us"] for one in figures)
    ratios = _ratios(windows, mode)
    return {
        "mode": mode,
        "turns": sum(one["turns"] for one in figures),
        "cpu_us": round(cpu, 2),
        "cpu_us_turn": round(cpu * SCRIPT.count),
        "cpu_ratio": round(statistics.median(ratios), 3),
        "cpu_ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "server_busy": round(statistics.median(one["server_busy"] for one in figures), 3),
        "others_busy": round(max(one["others_busy"] for one in figures), 3),
        "torn": max(one["torn"] for one in figures),
        "lost": max(one["lost"] for one in figures),
    }


def _first_token(windows: dict[str, list[Window]]) -> dict[str, Any]:
    """Compare on with off round by round, beside how far the rounds with records off differ from each other."""
    off = [statistics.median(window.first) for window in windows[OFF]]
    later = [statistics.median(on.first) - was for on, was in zip(windows[ON], off, strict=True)]
    difference, noise = statistics.median(later), max(off) - min(off)
    return {
        "first_later_ms": round(difference, 3),
        "first_noise_ms": round(noise, 3),
        "first_unchanged": difference <= noise,
    }
