"""From a newer turn's request to the older agent's end, to its upstream's seeing it closed and its response's end."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import procs, upstream
from bench.client import request_bytes
from bench.disconnect import (
    CASES,
    NEVER,
    PACE_MS,
    PHASES,
    Case,
    first_word,
    kind,
    new_socket,
    read_on,
    row_of,
    worst_p99,
)
from bench.grid import quantiles_ms

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from bench.procs import Server
    from bench.upstream import Upstream

BOUND_MS = 10.0
WORKERS = 8
ROUNDS = 800
_END = b"0\r\n\r\n"


class Round(NamedTuple):
    """One turn that was superseded: its request, and its times in monotonic seconds, None for what never came."""

    request_id: str
    asked: float
    upstream_closed: float | None
    response_over: float | None


def run(note: Callable[[str], None]) -> dict[str, Any]:
    """Measure every case, with records on as by default, and give the rows."""
    server_core, driver_core = procs.cores()
    procs.pin(driver_core)
    rows: list[dict[str, Any]] = []

    async def measure(folder: str) -> None:
        async with upstream.running() as behind:
            for agent in ("python", "model"):
                address = f"http://127.0.0.1:{behind.port}/v1" if agent == "model" else None
                function = "paced" if agent == "python" else None
                records = {"store": "sqlite", "data_dir": f"{folder}/{agent}"}
                with procs.server(agent=function, upstream=address, core=server_core, **records) as server:
                    await _case(server, behind, Case(agent, "mid", True), ROUNDS // 8)  # to get warm
                    for case in (case for case in CASES if case.agent == agent):
                        note(f"supersede: {agent} agent, {PHASES[case.phase]}, {kind(case)}")
                        rows.append(await _case(server, behind, case, ROUNDS))

    with procs.disk_folder() as (folder, _):
        procs.run_uvloop(measure(str(folder)))
    worst = max(worst_p99(row) for row in rows)
    never = sum(row["never"] for row in rows)
    return {
        "bound_ms": BOUND_MS,
        "worst_p99_ms": worst,
        "holds": worst <= BOUND_MS and not never,
        "workers": WORKERS,
        "rows": rows,
    }


async def _case(server: Server, behind: Upstream, case: Case, rounds: int) -> dict[str, Any]:
    server.ask("turns")
    numbers = iter(range(rounds))
    done: list[Round] = []
    # No call is any other round's.
    call = f"{time.monotonic_ns()}-"

    async def worker() -> None:
        done.extend([await _round(server.port, behind, case, call, f"r{number}") for number in numbers])

    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    await asyncio.sleep(0.3)
    server.settled(NEVER)
    over = server.ask("turns")
    agent = [(over[one.request_id] - one.asked) * 1000 for one in done if one.request_id in over]
    closed = [(one.upstream_closed - one.asked) * 1000 for one in done if one.upstream_closed is not None]
    ended = [(one.response_over - one.asked) * 1000 for one in done if one.response_over is not None]
    row = row_of(case, len(done), agent, closed)
    return {**row, "never": row["never"] + len(done) - len(ended), "response_over": quantiles_ms(ended)}


async def _round(port: int, behind: Upstream, case: Case, call: str, number: str) -> Round:
    loop = asyncio.get_running_loop()
    reached, closed = behind.expect(number)
    says = f"count=10000 pace={PACE_MS} hold={case.phase} chatty={str(case.chatty).lower()} round={number}"
    older = request_bytes(says, request_id=number, extendData=_extend_data(call + number, 1))
    newer = request_bytes("count=1 pace=1", extendData=_extend_data(call + number, 2))
    with closing(new_socket()) as first, closing(new_socket()) as second:
        await loop.sock_connect(first, ("127.0.0.1", port))
        await loop.sock_connect(second, ("127.0.0.1", port))
        await loop.sock_sendall(first, older)
        if case.phase == "mid":
            await asyncio.wait_for(first_word(first), NEVER)
        if case.agent == "model":
            await asyncio.wait_for(reached, NEVER)
        # Anywhere between two chunks.
        await read_on(first, random.uniform(0.002, 0.002 + PACE_MS / 1000))
        ending = asyncio.ensure_future(_end(first))
        asked = time.monotonic()
        await loop.sock_sendall(second, newer)
        upstream_closed = await _within(closed) if case.agent == "model" else None
        response_over = await _within(ending)
        if await _within(asyncio.ensure_future(_end(second))) is None:
            raise RuntimeError("the newer turn was not answered")
    return Round(number, asked, upstream_closed, response_over)


def _extend_data(call_id: str, turn: int) -> dict[str, Any]:
    return {"instanceId": call_id, "sentenceId": turn}


async def _within(future: asyncio.Future[float]) -> float | None:
    try:
        return await asyncio.wait_for(future, NEVER)
    except TimeoutError:
        return None


async def _end(sock: socket.socket) -> float:
    """Give when the response's body was over. Raises RuntimeError when it does not end as a whole one does."""
    got = b""
    while not got.endswith(_END):
        data = await asyncio.get_running_loop().sock_recv(sock, 65536)
        if not data:
            raise RuntimeError(f"the server closed the connection after {got[-200:]!r}")
        got = (got + data)[-2000:]
    over = time.monotonic()
    if b'"finish_reason":"stop"' not in got or b"data: [DONE]" not in got:
        raise RuntimeError(f"the response ended in {got[-200:]!r}")
    return over
