"""One greedy client beside polite ones: how long the polite ones wait for their first token, alone and beside it.

Every client has a key of its own. The polite ones ask, listen to the whole reply, and pause before they ask again. The
greedy one, in a process of its own, keeps many requests on their way all the time: whatever is answered or refused is
asked again at once, also where it is told to wait. Every request of it says something else, so that none is a retry.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import select
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter
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
# Milliseconds that the agent thinks before its first word, in every other turn of a polite client.
THINKS = (5, 0)
# What is another in each request of the greedy one.
_NUMBER = "00000000"
SAYS = f"count=6 pace=20 think={THINKS[0]} number {_NUMBER}"
POLITE_SAYS = "count=2 pace=20 think=%d"
# Seconds that a polite client pauses between two turns, at least and at most.
PAUSE = (0.02, 0.06)
WINDOW = 1.0
# Seconds after which a polite client gives up.
LONGEST = 2.0
# Seconds that the greedy client has been at it when a window begins.
SETTLING = 0.5
MOST_RATIO = 2.0
# Of the times above those for which the bound is to hold.
BOUND = (5,)


class Case(NamedTuple):
    """What stands against the greedy client: the limits of its key, and settings of the server.

    ``call`` is the id of the one call that all its requests are of, empty where each is a call of its own. ``bound``
    tells whether the bound is to hold here.
    """

    name: str
    limits: Limits
    settings: dict[str, Any]
    call: str = ""
    bound: bool = True
    rounds: int = 2


CASES = (
    Case("its key: 5 calls at once", Limits(calls=5), {}),
    Case("its key: 60 turns a minute", Limits(turns_per_minute=60), {}),
    Case("its key: 5 calls at once; all it asks is of one call", Limits(calls=5), {}, call="one"),
    Case("no limit of its own; 20 turns in all, half of them at most", Limits(), {"limits_turns": 20}),
    Case("the defaults: nothing below 500 turns (not part of the bound)", Limits(), {}, bound=False, rounds=1),
)

# Not that of "charset=".
_FIRST = b'"t='
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
                rows.extend(await _case(case, Path(folder), server_core, driver_core, note))

    procs.run_uvloop(measure())
    return {
        "polite": POLITE,
        "greedy": GREEDY,
        "most_ratio": MOST_RATIO,
        "rows": rows,
        "holds": all(max(row["ratio"].values()) <= MOST_RATIO for row in rows if row["bound"]),
    }


async def _case(
    case: Case, folder: Path, server_core: int | None, driver_core: int | None, note: Callable[[str], None]
) -> list[dict[str, Any]]:
    clock, file = SystemClock(), KeyFile(folder)
    keys = [file.create(clock, f"polite {number}").key for number in range(POLITE)]
    greedy = file.create(clock, "greedy", limits=case.limits).key
    quiet, beside = _no_times(), _no_times()
    counts: Counter[str] = Counter()
    busy: list[float] = []
    seconds = 0.0
    with procs.server(agent="paced", core=server_core, data_dir=str(folder), **case.settings) as server:
        await _window(server, keys, _no_times())
        for number in range(case.rounds):
            note(f"greedy: {case.name}, round {number + 1} of {case.rounds}")
            await _window(server, keys, quiet)
            with procs.child(
                [sys.executable, "-m", "bench.greedy", str(server.port), greedy, case.call],
                core=driver_core,
                cwd=procs.REPO,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as process:
                _answer(process)
                # What is measured is not how it arrives, but that it stays.
                await asyncio.sleep(SETTLING)
                _ask(process)
                begun = time.monotonic()
                busy.append(await _window(server, keys, beside))
                counts.update(_ask(process))
                seconds += time.monotonic() - begun
    return [
        {
            "case": case.name,
            "bound": case.bound and think in BOUND,
            "think_ms": think,
            "quiet_ms": alone,
            "beside_ms": with_it,
            "ratio": {name: round(with_it[name] / alone[name], 2) for name in ("p50", "p95")},
            "turns": len(beside[think]),
            "served_per_second": round(counts["200"] / seconds),
            "refused_per_second": round((counts.total() - counts["200"]) / seconds),
            "server_busy": round(sum(busy) / len(busy), 3),
        }
        for think in THINKS
        for alone, with_it in [(_quantiles(quiet[think]), _quantiles(beside[think]))]
    ]


def _no_times() -> dict[int, array[float]]:
    return {think: array("d") for think in THINKS}


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


async def _window(server: Server, keys: Sequence[str], times: dict[int, array[float]]) -> float:
    """Let the polite clients talk for a while; add their first tokens in ms, and give how busy the server was."""
    begun, cpu = time.monotonic_ns(), procs.cpu_ns(server.pid)
    await asyncio.gather(*(_talk(server.port, key, times) for key in keys))
    return (procs.cpu_ns(server.pid) - cpu) / (time.monotonic_ns() - begun)


async def _talk(port: int, key: str, times: dict[int, array[float]]) -> None:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(key), "127.0.0.1", port)
    until = time.monotonic() + WINDOW
    requests = [(times[think], request_of(key, POLITE_SAYS % think)) for think in times]
    try:
        while time.monotonic() < until:
            for its, request in requests:
                asked = time.monotonic_ns()
                try:
                    first = await asyncio.wait_for(client.turn(request), LONGEST)
                except TimeoutError:
                    # Every kind of turn is told to have taken that long: this client asks no more.
                    for some in times.values():
                        some.append(LONGEST * 1000)
                    return
                its.append((first - asked) / 1e6)
                await asyncio.sleep(random.uniform(*PAUSE))
    finally:
        client.close()


def request_of(key: str, says: str, call: str = "") -> bytes:
    """Give a whole request with a key, of no call, or of that call of the Alibaba workflow and of no turn."""
    fields: dict[str, Any] = {"extendData": {"instanceId": call}} if call else {}
    return request_bytes(says, **fields).replace(KEY.encode(), key.encode())


class Client(asyncio.Protocol):
    """A connection with a key. Given one at all, ``again`` is told each status, and the next turn is asked for."""

    _numbers = itertools.count(1)

    def __init__(self, key: str, again: Callable[[str], None] | None = None, says: str = SAYS, call: str = "") -> None:
        self._request = request_of(key, says, call)
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
            self._ask_another()

    def turn(self, request: bytes | None = None) -> asyncio.Future[int]:
        """Ask, and give when the first token came, in monotonic nanoseconds, once the reply is over."""
        self._begin()
        self._transport.write(request or self._request)
        return self._over

    def _ask_another(self) -> None:
        self._transport.write(self._request.replace(_NUMBER.encode(), b"%08d" % next(self._numbers)))

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
            # A telephone platform is told in words that there is no place.
            self._again("apology" if status[1] == b"200" and not self._first else status[1].decode())
            self._seen = b""
            self._first = 0
            self._ask_another()
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


async def _be_greedy(port: int, key: str, call: str) -> None:
    """Ask and ask until standard input ends; to each line of it the statuses since the last are the answer."""
    counts: dict[str, int] = {}

    def again(status: str) -> None:
        counts[status] = counts.get(status, 0) + 1

    loop = asyncio.get_running_loop()
    for _ in range(GREEDY):
        await loop.create_connection(lambda: Client(key, again, call=call), "127.0.0.1", port)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps(counts) + "\n")
        sys.stdout.flush()
        counts.clear()


if __name__ == "__main__":
    procs.run_uvloop(_be_greedy(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
