"""What several model services behind a line cost, and how soon one speaks in the place of another that failed.

First servers at once on one core, as many calls on each: one service by its URL, the same as ``[[upstream]]``, and two
with a hedge armed that never comes. Then one request after the other, the first service always failing.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import time
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from bench import procs, upstream
from bench.caller import Calls, Script, open_caller
from bench.greedy import Client
from bench.grid import quantiles_ms
from bench.serve import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from bench.procs import Server

CALLS = 16
ROUNDS = 3
WINDOW = 3.0
SCRIPT = Script(turns=6, count=40, pace=20, stamps=8)
URL, ONE, TWO = "one, by its URL", "one, as [[upstream]]", "two, a hedge armed"
FAILURES = 60
HEDGE_AFTER = 0.05
FIRST_USEFUL = 0.1
# How a service fails, and the seconds after which the line does something about it.
WAYS = {"500 at once": 0.0, "reset": 0.0, "closed port": 0.0, "silence, hedged": HEDGE_AFTER, "silence": FIRST_USEFUL}

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def run(note: Callable[[str], None]) -> dict[str, Any]:
    """Measure what armed failover costs, then what it takes."""
    server_core, driver_core = procs.cores()
    procs.pin(driver_core)
    result: dict[str, Any] = {}

    async def measure() -> None:
        async with upstream.running() as first, upstream.running() as second:
            rounds = []
            for number in range(ROUNDS):
                note(f"failover: {URL}; {ONE}; {TWO}: at once, round {number + 1} of {ROUNDS}")
                rounds.append(await _round(first.port, second.port, server_core))
            result["rows"] = [_row(mode, rounds) for mode in (URL, ONE, TWO)]
            result["ways"] = [await _way(way, first.port, server_core, note) for way in WAYS]

    procs.run_uvloop(measure())
    return {"calls": CALLS, "rounds": ROUNDS, "events_of_a_turn": SCRIPT.count, "pace_ms": SCRIPT.pace, **result}


def _tables(*ports: int, **more: Any) -> list[dict[str, Any]]:
    """Give entries of [[upstream]]; the first is asked first as good as always."""
    return [
        {"name": f"u{place}", "base_url": f"http://127.0.0.1:{port}/v1", "weight": 1e9 if place == 0 else 1e-9, **more}
        for place, port in enumerate(ports)
    ]


# --- what it costs ------------------------------------------------------------------------------------------------


async def _round(first: int, second: int, core: int | None) -> dict[str, dict[str, Any]]:
    """Measure new servers at once; give CPU, events, turns and first tokens of each."""
    modes: dict[str, dict[str, Any]] = {
        URL: {"upstream": f"http://127.0.0.1:{first}/v1"},
        ONE: {"upstream_table": _tables(first)},
        TWO: {"upstream_table": _tables(first, second), "failover_hedge_after": 2.0},
    }
    with ExitStack() as stack:
        servers = {mode: stack.enter_context(procs.server(core=core, **settings)) for mode, settings in modes.items()}
        loads = {mode: Calls(SCRIPT, begin=10**6 * place) for place, mode in enumerate(modes, 1)}
        callers = []
        for number in range(CALLS):
            for mode in random.sample(list(modes), len(modes)):
                # Spread over one reply, so that the events of different streams fall between each other.
                await asyncio.sleep(SCRIPT.count * SCRIPT.pace / 1000 / CALLS / len(modes))
                callers.append(await open_caller(loads[mode], servers[mode].port, number % SCRIPT.turns + 1))
        for load in loads.values():
            load.begin_window()
        before = {mode: procs.cpu_ns(server.pid) for mode, server in servers.items()}
        await asyncio.sleep(WINDOW)
        found = {}
        for mode, server in servers.items():
            load = loads[mode]
            if load.refused or load.torn or not load.turns:
                raise RuntimeError(f"the server ({mode}) does not answer: {load.refused[:500]!r}")
            found[mode] = {
                "us": (procs.cpu_ns(server.pid) - before[mode]) / 1000,
                "events": load.events,
                "turns": load.turns,
                "first": [value / 1e6 for value in load.first_frames],
            }
        for caller in callers:
            caller.close()
        await asyncio.sleep(0.2)
    return found


def _row(mode: str, rounds: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    own = [one[mode]["us"] / one[mode]["events"] for one in rounds]
    base = [one[ONE]["us"] / one[ONE]["events"] for one in rounds]
    ratios = [us / was for us, was in zip(own, base, strict=True)]
    later = [statistics.median(one[mode]["first"]) - statistics.median(one[ONE]["first"]) for one in rounds]
    return {
        "mode": mode,
        "turns": sum(one[mode]["turns"] for one in rounds),
        "us_event": round(statistics.median(own), 1),
        "us_turn": round(statistics.median(one[mode]["us"] / one[mode]["turns"] for one in rounds)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "first_ms": quantiles_ms(value for one in rounds for value in one[mode]["first"]),
        "later_ms": round(statistics.median(later), 3),
    }


# --- how soon another one speaks ----------------------------------------------------------------------------------


class Failing(asyncio.Protocol):
    """A service that fails each request in one way, and notes when."""

    def __init__(self, way: str, times: list[int]) -> None:
        self._way = way
        self._times = times
        self._buffer = b""
        self._transport: asyncio.Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A transport of uvloop is none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length is not None and len(body) < int(length[1])):
            return
        self._buffer = b""
        if head.startswith(b"GET"):
            # The first connection is made before anybody calls.
            self._transport.write(_REFUSAL)
            return
        self._times.append(time.monotonic_ns())
        if self._way == "500 at once":
            self._transport.write(_REFUSAL)
        elif self._way == "reset":
            self._transport.abort()


@asynccontextmanager
async def _failing(way: str, times: list[int]) -> AsyncIterator[int]:
    """Run a service that fails; give its port."""
    if way == "closed port":
        yield procs.free_port()
        return
    server = await asyncio.get_running_loop().create_server(lambda: Failing(way, times), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _way(way: str, good: int, core: int | None, note: Callable[[str], None]) -> dict[str, Any]:
    """Let one service fail again and again; give the times from there to the other's first word at the client."""
    note(f"failover: {way}")
    times: list[int] = []
    settings: dict[str, Any] = {
        "failover_first_useful": FIRST_USEFUL,
        "failover_hedge_after": HEDGE_AFTER if way == "silence, hedged" else 0.0,
        "failover_hedge_share": 1.0,
        "failover_retry_share": 1.0,
        # The breaker would see to it that nobody asks again.
        "failover_open_for": 0.001,
    }
    async with _failing(way, times) as bad:
        # Two contexts: the server is ended before the service that it asks.
        with procs.server(core=core, upstream_table=_tables(bad, good), **settings) as server:
            taken = await _ask(server, way, times)
    return {"way": way, "failures": len(taken), "ms": quantiles_ms(taken)}


async def _ask(server: Server, way: str, times: list[int]) -> list[float]:
    taken: list[float] = []
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Client(KEY, says="count=1 pace=1"), "127.0.0.1", server.port
    )
    for _ in range(FAILURES):
        times.clear()
        asked = time.monotonic_ns()
        first = await client.turn()
        # A closed port fails when it is asked, which is hardly later than the client asks.
        failed = times[0] if times else asked
        if times or way == "closed port":
            taken.append((first - failed) / 1e6 - WAYS[way] * 1000)
        # Longer than the breaker stays open at most.
        await asyncio.sleep(0.02)
    client.close()
    return taken
