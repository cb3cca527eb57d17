"""From the client's disconnect to the agent's end, and to the upstream's seeing its connection closed."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import procs, upstream
from bench.client import request_bytes
from bench.grid import quantiles_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.procs import Server
    from bench.upstream import Upstream

BOUND_MS = 5.0
WORKERS = 8
ROUNDS = 800
PACE_MS = 20
# A connection that is not closed after so many seconds never will be.
NEVER = 4.0


class Case(NamedTuple):
    """One line of the table."""

    agent: str
    phase: str
    chatty: bool


CASES = (
    Case("python", "first", False),
    Case("python", "mid", False),
    Case("python", "mid", True),
    Case("model", "headers", False),
    Case("model", "first", False),
    Case("model", "first", True),
    Case("model", "mid", False),
    Case("model", "mid", True),
)
PHASES = {"headers": "before upstream headers", "first": "before the first token", "mid": "mid-stream"}


class Round(NamedTuple):
    """One disconnect: which request it ended, and its times in monotonic seconds."""

    request_id: str
    left: float
    upstream_closed: float | None


def run(note: Callable[[str], None]) -> dict[str, Any]:
    """Measure every case and give the rows."""
    server_core, driver_core = procs.cores()
    procs.pin(driver_core)
    rows: list[dict[str, Any]] = []

    async def measure() -> None:
        async with upstream.running() as behind:
            for agent in ("python", "model"):
                address = f"http://127.0.0.1:{behind.port}/v1" if agent == "model" else None
                function = "paced" if agent == "python" else None
                with procs.server(agent=function, upstream=address, core=server_core) as server:
                    await _case(server, behind, Case(agent, "mid", True), ROUNDS // 8)  # to get warm
                    for case in (case for case in CASES if case.agent == agent):
                        note(f"disconnect: {agent} agent, {PHASES[case.phase]}, {kind(case)}")
                        rows.append(await _case(server, behind, case, ROUNDS))

    procs.run_uvloop(measure())
    worst = max(worst_p99(row) for row in rows)
    never = sum(row["never"] for row in rows)
    return {
        "bound_ms": BOUND_MS,
        "worst_p99_ms": worst,
        "holds": worst <= BOUND_MS and not never,
        "workers": WORKERS,
        "rows": rows,
    }


def worst_p99(row: dict[str, Any]) -> float:
    """Give the longer p99 of the agent's end and its upstream's."""
    p99 = [row[what]["p99"] for what in ("agent_over", "upstream_closed") if row[what] is not None]
    return max(p99, default=0.0)


def kind(case: Case) -> str:
    """Say what comes while the round waits."""
    return f"a chunk each {PACE_MS} ms" if case.chatty else "silent"


async def _case(server: Server, behind: Upstream, case: Case, rounds: int) -> dict[str, Any]:
    server.ask("turns")
    numbers = iter(range(rounds))
    done: list[Round] = []

    async def worker() -> None:
        done.extend([await _round(server.port, behind, case, f"r{number}") for number in numbers])

    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    # The questions cost the server time (it collects its garbage), which is not to fall on the last disconnects.
    await asyncio.sleep(0.3)
    server.settled(NEVER)
    over = server.ask("turns")
    agent = [(over[one.request_id] - one.left) * 1000 for one in done if one.request_id in over]
    closed = [(one.upstream_closed - one.left) * 1000 for one in done if one.upstream_closed is not None]
    return row_of(case, len(done), agent, closed)


def row_of(case: Case, rounds: int, agent: Sequence[float], closed: Sequence[float]) -> dict[str, Any]:
    """Give the row of a case: when (ms) agents were over and upstreams saw the end, and how often that never came."""
    never = rounds - len(agent)
    if case.agent == "model":
        never += rounds - len(closed)
    return {
        "agent": case.agent,
        "phase": PHASES[case.phase],
        "upstream": kind(case),
        "rounds": rounds,
        "never": never,
        "agent_over": quantiles_ms(agent),
        "upstream_closed": quantiles_ms(closed) if case.agent == "model" else None,
    }


async def _round(port: int, behind: Upstream, case: Case, number: str) -> Round:
    loop = asyncio.get_running_loop()
    reached, closed = behind.expect(number)
    says = f"count=10000 pace={PACE_MS} hold={case.phase} chatty={str(case.chatty).lower()} round={number}"
    sock = new_socket()
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, request_bytes(says, request_id=number))
        if case.phase == "mid":
            await asyncio.wait_for(first_word(sock), NEVER)
        if case.agent == "model":
            await asyncio.wait_for(reached, NEVER)
        # Anywhere between two chunks.
        await read_on(sock, random.uniform(0.002, 0.002 + PACE_MS / 1000))
    finally:
        left = time.monotonic()
        sock.close()
    if case.agent != "model":
        return Round(number, left, None)
    try:
        return Round(number, left, await asyncio.wait_for(closed, NEVER))
    except TimeoutError:
        return Round(number, left, None)


def new_socket() -> socket.socket:
    """Give a socket that sends at once what it is given."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def first_word(sock: socket.socket) -> None:
    """Return when the reply's first word has come."""
    got = b""
    while b"t=" not in got:
        data = await asyncio.get_running_loop().sock_recv(sock, 65536)
        if not data:
            raise RuntimeError(f"the server closed the connection after {got[:200]!r}")
        got += data


async def read_on(sock: socket.socket, seconds: float) -> None:
    """Read for so long. Raises RuntimeError when the server closes the connection meanwhile."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            while await loop.sock_recv(sock, 65536):
                pass
    except TimeoutError:
        return
    raise RuntimeError("the server closed the connection by itself")
