"""One greedy client beside polite ones: how long the polite ones wait for their first token, alone and beside it.

Every client has a key of its own. The polite ones ask, listen to the whole reply, and pause before they ask again. The
greedy one, in a process of its own, keeps many requests on their way all the time: whatever is answered or refused is
asked again at once, also where it is told to wait.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import select
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from typing_extensions import override

from bench import procs
from bench.client import request_bytes
from bench.serve import KEY
from offhook.clock import SystemClock
from offhook.server.keys import KeyFile, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.procs import Server

POLITE = 5
GREEDY = 200
# Milliseconds that the agent thinks before its first word.
THINK = 5
SAYS = f"count=6 pace=20 think={THINK}"
# Seconds that a polite client pauses between two turns, at least and at most.
PAUSE = (0.02, 0.06)
WINDOW = 2.0
# Seconds that the greedy client has been at it when a window begins.
SETTLING = 0.5
ROUNDS = 2
MOST_RATIO = 2.0


class Case(NamedTuple):
    """What stands against the greedy client: the limits of its key, and settings of the server."""

    name: str
    limits: Limits
    settings: dict[str, Any]


CASES = (
    Case("its key: 5 calls at once", Limits(calls=5), {}),
    Case("its key: 60 turns a minute", Limits(turns_per_minute=60), {}),
    Case("no limit of its own; 20 turns in all, half of them at most", Limits(), {"limits_turns": 20}),
)

_FIRST = b"t="
_END = b"0\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d+)")


def run(note: Callable[[str], None]) -> dict[str, Any]:
    """Measure every case: by turns alone and beside the greedy client, on the same server."""
    server_core, driver_core = procs.cores()
    procs.pin(driver_core)
    rows: list[dict[str, Any]] = []

    async def measure() -> None:
        for case in CASES:
            with tempfile.TemporaryDirectory(prefix="offhook-bench-") as folder:
                rows.append(await _case(case, Path(folder), server_core, driver_core, note))

    procs.run_uvloop(measure())
    return {
        "polite": POLITE,
        "greedy": GREEDY,
        "think_ms": THINK,
        "most_ratio": MOST_RATIO,
        "rows": rows,
        "holds": all(row["ratio"]["p50"] <= MOST_RATIO and row["ratio"]["p95"] <= MOST_RATIO for row in rows),
    }


async def _case(
    case: Case, folder: Path, server_core: int | None, driver_core: int | None, note: Callable[[str], None]
) -> dict[str, Any]:
    clock, file = SystemClock(), KeyFile(folder)
    keys = [file.create(clock, f"polite {number}").key for number in range(POLITE)]
    greedy = file.create(clock, "greedy", limits=case.limits).key
    quiet, beside = array("d"), array("d")
    counts: dict[str, int] = {}
    busy: list[float] = []
    with procs.server(agent="paced", core=server_core, data_dir=str(folder), **case.settings) as server:
        await _window(server, keys)
        for number in range(ROUNDS):
            note(f"greedy: {case.name}, round {number + 1} of {ROUNDS}")
            quiet.extend((await _window(server, keys))[0])
            with procs.child(
                [sys.executable, "-m", "bench.greedy", str(server.port), greedy],
                core=driver_core,
                cwd=procs.REPO,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as process:
                _answer(process)
                # What is measured is not how it arrives, but that it stays.
                await asyncio.sleep(SETTLING)
                _ask(process)
                times, used = await _window(server, keys)
                beside.extend(times)
                busy.append(used)
                for status, count in _ask(process).items():
                    counts[status] = counts.get(status, 0) + count
    seconds = WINDOW * ROUNDS
    return {
        "case": case.name,
        "quiet_ms": _quantiles(quiet),
        "beside_ms": _quantiles(beside),
        "ratio": {name: round(_quantiles(beside)[name] / _quantiles(quiet)[name], 2) for name in ("p50", "p95")},
        "turns": len(beside),
        "served_per_second": round(counts.get("200", 0) / seconds),
        "refused_per_second": round(sum(count for status, count in counts.items() if status != "200") / seconds),
        "server_busy": round(sum(busy) / len(busy), 3),
    }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    return {name: round(ordered[round(last * share)], 3) for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))}


def _answer(process: subprocess.Popen[bytes]) -> dict[str, int]:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], procs.PATIENCE)
    line = process.stdout.readline() if ready else b""
    if not line:
        raise RuntimeError("the greedy client said nothing")
    answer: dict[str, int] = json.loads(line)
    return answer


def _ask(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """Give how many answers of each status the greedy client got since the last time."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    return _answer(process)


async def _window(server: Server, keys: Sequence[str]) -> tuple[array[float], float]:
    """Let the polite clients talk for a while; give their first tokens in ms and how busy the server was."""
    times = array("d")
    begun, cpu = time.monotonic_ns(), procs.cpu_ns(server.pid)
    await asyncio.gather(*(_talk(server.port, key, times) for key in keys))
    return times, (procs.cpu_ns(server.pid) - cpu) / (time.monotonic_ns() - begun)


async def _talk(port: int, key: str, times: array[float]) -> None:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(key), "127.0.0.1", port)
    until = time.monotonic() + WINDOW
    try:
        while time.monotonic() < until:
            asked = time.monotonic_ns()
            first = await client.turn()
            times.append((first - asked) / 1e6)
            await asyncio.sleep(random.uniform(*PAUSE))
    finally:
        client.close()


class Client(asyncio.Protocol):
    """A connection with a key. Given one at all, ``again`` is told each status, and the next turn is asked for."""

    def __init__(self, key: str, again: Callable[[str], None] | None = None, says: str = SAYS) -> None:
        self._request = request_bytes(says).replace(KEY.encode(), key.encode())
        self._again = again
        self._transport: asyncio.Transport
        self._begin()

    def _begin(self) -> None:
        self._first = 0
        self._seen = b""
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A transport of uvloop is none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        if self._again is not None:
            self._transport.write(self._request)

    def turn(self) -> asyncio.Future[int]:
        """Ask, and give when the first token came, in monotonic nanoseconds, once the reply is over."""
        self._begin()
        self._transport.write(self._request)
        return self._over

    @override
    def data_received(self, data: bytes) -> None:
        if not self._first and _FIRST in data:
            self._first = time.monotonic_ns()
        # Of a stream its beginning and its end are all that matters.
        self._seen = self._seen[:32] + (self._seen[32:] + data)[-2048:]
        status = _STATUS.match(self._seen)
        if status is None:
            return
        whole = self._seen.endswith(_END if status[1] == b"200" else b"}}")
        if not whole:
            return
        if self._again is not None:
            self._again(status[1].decode())
            self._seen = b""
            self._first = 0
            self._transport.write(self._request)
        elif status[1] == b"200":
            self._over.set_result(self._first)
        else:
            self._over.set_exception(RuntimeError(f"a polite client was refused: {self._seen[:300]!r}"))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._again is not None:
            self._again("lost")
        elif not self._over.done():
            self._over.set_exception(RuntimeError("the server closed the connection of a polite client"))

    def close(self) -> None:
        """Leave."""
        if not self._over.done():
            self._over.cancel()
        self._transport.abort()


async def _be_greedy(port: int, key: str) -> None:
    """Ask and ask until standard input ends; to each line of it the statuses since the last are the answer."""
    counts: dict[str, int] = {}

    def again(status: str) -> None:
        counts[status] = counts.get(status, 0) + 1

    loop = asyncio.get_running_loop()
    for _ in range(GREEDY):
        await loop.create_connection(lambda: Client(key, again), "127.0.0.1", port)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps(counts) + "\n")
        sys.stdout.flush()
        counts.clear()


if __name__ == "__main__":
    procs.run_uvloop(_be_greedy(int(sys.argv[1]), sys.argv[2]))
