"""CPU per event, added time to first token and memory per open stream, beside nginx as a plain proxy."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import nginx, procs, upstream
from bench.client import Load, Stream, open_stream
from bench.grid import quantiles_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STREAMS = (1, 100, 400)
COUNT = 64
PACE_MS = 20
WINDOW = 2.5
RAMP = COUNT * PACE_MS / 1000
# First frames of one stream alone: so many one after the other on one connection, and so many on fresh ones.
REUSED = 300
FRESH = 100
HELD = 400
WARM = 20
TARGETS = ("direct", "nginx", "python", "model")
# Upper bounds of the histogram of first frames in ms; Nagle and delayed ACK together make a step at 40.
BOUNDS = (1, 2, 5, 10, 20, 35, 45)
# So much of the server's core taken by other programs spoils a row; it is then measured again, so often in a run.
SPOILT = 0.1
AGAIN = 3
# With the driver busier than this the figures are the driver's, not the server's.
BUSY = 0.9


class Target(NamedTuple):
    """Something that answers: its port, and its process (None for the upstream itself, which is the driver's)."""

    name: str
    port: int
    pid: int | None
    core: int | None


def run(note: Callable[[str], None]) -> dict[str, Any]:
    """Measure every target at every number of streams."""
    server_core, driver_core = procs.cores()
    procs.pin(driver_core)
    rows: list[dict[str, Any]] = []
    frames: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []
    names = [name for name in TARGETS if name != "nginx" or nginx.find() is not None]

    async def measure() -> None:
        again = AGAIN
        async with upstream.running() as behind:
            for name in names:
                with _target(name, behind.port, server_core) as target:
                    note(f"stream: {name}, first frames of one stream")
                    first, spread = await _alone(target)
                    for streams in STREAMS:
                        note(f"stream: {name}, {streams} paced streams")
                        row, some = await _paced(target, streams)
                        while (row["others_busy"] or 0) > SPOILT and again:
                            again -= 1
                            note("  (other programs took the server's core; once more)")
                            other, more = await _paced(target, streams)
                            if other["others_busy"] < row["others_busy"]:
                                row, some = other, more
                        if streams == 1:
                            row["first_ms"] = first  # One stream begins too seldom to say anything.
                        elif streams == 100:
                            spread = [*spread, *some]
                        rows.append(row)
                    frames.append({"target": name, "counts": _histogram(spread), "frames": len(spread)})
                if name != "direct":
                    # Another process, whose memory no load has touched.
                    with _target(name, behind.port, server_core) as target:
                        note(f"stream: {name}, memory of {HELD} open streams")
                        memory.append(await _memory(target))

    procs.run_uvloop(measure())
    _compare(rows)
    return {
        "rows": rows,
        "first_frames": frames,
        "bounds_ms": BOUNDS,
        "memory": memory,
        "nginx": nginx.version() or "not installed: its rows are left out",
        "step_40_ms": {row["target"]: row["counts"][-2] for row in frames},
    }


@contextmanager
def _target(name: str, upstream_port: int, core: int | None) -> Iterator[Target]:
    if name == "direct":
        yield Target(name, upstream_port, None, None)
    elif name == "nginx":
        with nginx.proxy(upstream_port, core=core) as proxy:
            yield Target(name, proxy.port, proxy.pid, core)
    else:
        address = f"http://127.0.0.1:{upstream_port}/v1" if name == "model" else None
        with procs.server(agent="paced" if name == "python" else None, upstream=address, core=core) as server:
            yield Target(name, server.port, server.pid, core)


async def _alone(target: Target) -> tuple[dict[str, float] | None, list[float]]:
    """Give the first frames of single streams, in ms: those on one connection summed up, and all of them."""
    load = Load(f"count=1 pace={PACE_MS / 10}", 1)
    stream = await open_stream(load, target.port)
    await load.reach(REUSED, procs.PATIENCE)
    stream.close()
    reused = _ms(load.first_frames)
    load = Load(f"count=1 pace={PACE_MS / 10}", 1)
    load.running = False
    for _ in range(FRESH):
        stream = await open_stream(load, target.port)
        await stream.over
    # The very first one pays for what is loaded and connected once.
    return quantiles_ms(reused[1:]), reused + _ms(load.first_frames)


async def _paced(target: Target, streams: int) -> tuple[dict[str, Any], list[float]]:
    load = Load(f"count={COUNT} pace={PACE_MS}", COUNT)
    opened: list[Stream] = []
    begun = time.monotonic()
    for number in range(streams):
        # Spread over one reply, so that the events of different streams fall between each other.
        await asyncio.sleep(max(0.0, begun + number * RAMP / streams - time.monotonic()))
        opened.append(await open_stream(load, target.port))
    await asyncio.sleep(max(0.3, begun + RAMP + 0.3 - time.monotonic()))
    load.begin_window()
    driver, server, busy = time.process_time_ns(), _cpu(target), procs.core_busy(target.core)
    start = time.monotonic_ns()
    await asyncio.sleep(WINDOW)
    span = time.monotonic_ns() - start
    driver, server = time.process_time_ns() - driver, _cpu(target) - server
    others = (procs.core_busy(target.core) - busy) * 1e9 - server
    events, first, delays = load.events, load.first_frames, load.delays
    load.running = False
    for stream in opened:
        stream.close()
    await asyncio.sleep(0.2)
    offered = streams * span / (PACE_MS * 1e6)
    spread = _ms(first)
    return {
        "target": target.name,
        "streams": streams,
        "events": events,
        "offered": round(events / offered, 3),
        "cpu_us": round(server / events / 1000, 1) if target.pid is not None else None,
        "server_busy": round(server / span, 3) if target.pid is not None else None,
        "driver_busy": round(driver / span, 3),
        "others_busy": round(max(0.0, others) / span, 3) if target.core is not None else None,
        "first_ms": quantiles_ms(spread),
        "delay_ms": quantiles_ms(_ms(delays)),
        "torn": load.torn,
        "lost": load.lost,
    }, spread


async def _memory(target: Target) -> dict[str, Any]:
    assert target.pid is not None
    for stream in await _hold(target, WARM):
        stream.close()
    await asyncio.sleep(0.3)
    before = procs.rss(target.pid)
    held = await _hold(target, HELD)
    after = procs.rss(target.pid)
    for stream in held:
        stream.close()
    return {
        "target": target.name,
        "streams": HELD,
        "idle_mib": round(before / 2**20, 1),
        "kib_per_stream": round((after - before) / HELD / 1024, 1),
    }


async def _hold(target: Target, streams: int) -> list[Stream]:
    """Open streams that have said one word and say no more."""
    load = Load("hold=mid", 1)
    held = [await open_stream(load, target.port) for _ in range(streams)]
    await load.reach(streams, procs.PATIENCE)
    return held


def _cpu(target: Target) -> int:
    return 0 if target.pid is None else procs.cpu_ns(target.pid)


def _ms(nanoseconds: Any) -> list[float]:
    return [value / 1e6 for value in nanoseconds]


def _histogram(frames: list[float]) -> list[int]:
    """Count the frames under each bound, and those over the last."""
    counts = [0] * (len(BOUNDS) + 1)
    for frame in frames:
        counts[next((i for i, bound in enumerate(BOUNDS) if frame < bound), len(BOUNDS))] += 1
    return counts


def _compare(rows: list[dict[str, Any]]) -> None:
    """Add to each row what it adds to the upstream's own time, and how it stands to nginx."""
    by_name = {(row["target"], row["streams"]): row for row in rows}
    for row in rows:
        direct = by_name["direct", row["streams"]]["first_ms"]
        proxy = by_name.get(("nginx", row["streams"]))
        first = row["first_ms"]
        # The Python agent has no upstream whose time could be taken off.
        known = row["target"] not in ("direct", "python") and first and direct
        row["added_ms"] = {q: round(first[q] - direct[q], 3) for q in ("p50", "p99")} if known else first
        row["cpu_ratio"] = round(row["cpu_us"] / proxy["cpu_us"], 2) if proxy and row["cpu_us"] else None
        row["driver_limited"] = row["driver_busy"] > BUSY
        row["spoilt"] = (row["others_busy"] or 0) > SPOILT
