"""Ten thousand clients that go away, one server process, and what of them is left in it."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bench import procs, report, upstream
from bench.client import request_bytes
from tests.soak.page import write_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.procs import Server
    from bench.upstream import Upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="optional: descriptors and memory are read from /proc")

ROUNDS = 10
DISCONNECTS = 1000
AT_ONCE = 25
MOST_GROWTH = 2 * 2**20
# Seconds after which whatever was waited for will not come.
PATIENCE = 5.0
# The phases of a disconnect, and requests that break off in their head or in their body.
KINDS = ("headers", "first", "mid", "half a head", "half a body")
NAMES = {"headers": "before upstream headers", "first": "before the first token", "mid": "mid-stream"}


class Round(NamedTuple):
    """What the server said of itself after a round."""

    number: int
    seconds: float
    turns: int
    live: int
    tasks: int
    descriptors: int
    rss: int
    unseen: int

    def cells(self) -> list[str]:
        mebibytes = f"{self.rss / 2**20:.2f}"
        figures = (self.turns, self.live, self.tasks, self.descriptors, mebibytes, self.unseen)
        return [str(self.number), f"{self.seconds:.1f}", *map(str, figures)]


HEAD = ("round", "seconds", "turns begun", "live turns", "tasks", "descriptors", "RSS MiB", "upstream not closed")


@pytest.fixture(scope="module")
def page() -> Iterator[dict[str, list[str]]]:
    """Gather the figures of every agent, and write them to their part of docs/soak.md at the end."""
    sections: dict[str, list[str]] = {}
    yield sections
    facts = report.circumstances()
    lines = [
        f"On {facts['date']}: {facts['cores']} cores, Python {facts['python']}. "
        f"{ROUNDS} rounds of {DISCONNECTS} disconnects against one server process, {AT_ONCE} clients at once: "
        f"{', '.join(NAMES.get(kind, kind) for kind in KINDS)}, mixed. "
        "The figures are those of the server after each round.",
        "",
    ]
    for name, section in sections.items():
        lines += [f"### {name}", "", *section, ""]
    write_part("Clients that go away", lines)


@pytest.mark.parametrize("agent", ["model", "python"])
def test_disconnects_leave_nothing_behind(
    agent: str, page: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Tasks and descriptors after round 10 are those after round 2, and memory has grown by less than 2 MiB."""
    rounds: list[Round] = []

    def show(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(text + "\n")

    async def soak() -> None:
        async with upstream.running() as behind:
            address = f"http://127.0.0.1:{behind.port}/v1" if agent == "model" else None
            with procs.server(agent=None if address else "paced", upstream=address) as server:
                for number in range(1, ROUNDS + 1):
                    rounds.append(await play(server, behind, number, agent))
                    show("  ".join(f"{k} {v}" for k, v in zip(HEAD, rounds[-1].cells(), strict=True)))

    show(f"\n{agent} agent")
    procs.run_uvloop(soak())
    second, last = rounds[1], rounds[-1]
    growth = last.rss - second.rss
    verdict = (
        f"From round 2 to round {ROUNDS}: tasks {second.tasks} -> {last.tasks}, descriptors {second.descriptors} -> "
        f"{last.descriptors}, memory {growth / 2**20:+.2f} MiB (at most {MOST_GROWTH / 2**20:.0f})."
    )
    show(verdict)
    rule = "| " + " | ".join("---:" for _ in HEAD) + " |"
    page[f"{agent} agent"] = [
        *("| " + " | ".join(cells) + " |" for cells in [HEAD]),
        rule,
        *("| " + " | ".join(one.cells()) + " |" for one in rounds),
        "",
        verdict,
    ]
    # A request that broke off in the middle never became a turn.
    assert [one.turns for one in rounds] == [DISCONNECTS * len(NAMES) // len(KINDS)] * ROUNDS
    assert [one.live for one in rounds] == [0] * ROUNDS
    assert [one.unseen for one in rounds] == [0] * ROUNDS
    assert (last.tasks, last.descriptors) == (second.tasks, second.descriptors)
    assert growth < MOST_GROWTH


async def play(server: Server, behind: Upstream, number: int, agent: str) -> Round:
    """Let a thousand clients go away, and ask the server what is left of them."""
    begun = time.monotonic()
    server.ask("turns")
    kinds = [KINDS[i % len(KINDS)] for i in range(DISCONNECTS)]
    random.Random(number).shuffle(kinds)
    waiting = iter(enumerate(kinds))
    seen: Counter[bool] = Counter()

    async def client() -> None:
        for index, kind in waiting:
            seen[await disconnect(server.port, behind, kind, f"s{number}x{index}", agent)] += 1

    async with asyncio.timeout(120):
        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    assert seen.total() == DISCONNECTS
    stats = settled(server)
    taken = time.monotonic() - begun
    turns = len(server.ask("turns"))
    return Round(number, taken, turns, stats["live"], stats["tasks"], stats["fds"], stats["rss"], seen[False])


def settled(server: Server) -> dict[str, Any]:
    """Give the server's figures when they have stopped changing."""
    stats = server.settled()
    for _ in range(50):
        time.sleep(0.1)
        again = server.ask("stats")
        if (again["tasks"], again["fds"]) == (stats["tasks"], stats["fds"]):
            return again
        stats = again
    return stats


async def disconnect(port: int, behind: Upstream, kind: str, number: str, agent: str) -> bool:
    """Be one client that goes away; tell whether the upstream saw it, where there is one."""
    loop = asyncio.get_running_loop()
    reached, closed = behind.expect(number)
    phase = kind if kind in NAMES else "mid"
    chatty = "true" if number.endswith(("1", "3", "5", "7", "9")) else "false"
    request = request_bytes(f"count=10000 pace=5 hold={phase} chatty={chatty} round={number}")
    body = request.index(b"\r\n\r\n") + 4
    if kind == "half a head":
        request = request[: body // 2]
    elif kind == "half a body":
        request = request[: (body + len(request)) // 2]
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, request)
        if kind in NAMES and agent == "model":
            await asyncio.wait_for(reached, PATIENCE)
        if kind == "mid":
            await asyncio.wait_for(first_word(sock), PATIENCE)
        await asyncio.sleep(random.uniform(0.0, 0.01))
    if kind not in NAMES or agent != "model":
        return True
    try:
        await asyncio.wait_for(closed, PATIENCE)
    except TimeoutError:
        return False
    return True


async def first_word(sock: socket.socket) -> None:
    """Read until the reply has begun."""
    got = b""
    while b"t=" not in got:
        data = await asyncio.get_running_loop().sock_recv(sock, 65536)
        assert data, f"the server closed the connection after {got[:200]!r}"
        got += data
