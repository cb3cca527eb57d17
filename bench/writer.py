"""What the SQLite store's writer sustains, and how long one commit takes when nothing else is written."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from bench import procs
from bench.agents import WORD
from bench.caller import ASKS
from bench.grid import quantiles_ms
from offhook.clock import SystemClock
from offhook.store.base import CallRecord, EventRecord, PromptChange, TurnKept, TurnRecord
from offhook.store.choose import FILE
from offhook.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from offhook.store.base import Store

SYNCS = ("normal", "full")
# So many turns are always on their way.
WAITING = (1, 16, 256)
SECONDS = 3.0
IDLE = 200
PAUSE = 0.01
TURNS = 6
WORDS = 80


def run(note: Callable[[str], None]) -> dict[str, Any]:
    """Measure the writer with either kind of sync, the event loop and the writer's thread on one core."""
    server_core, _ = procs.cores()
    procs.pin(server_core)
    rates: list[dict[str, Any]] = []
    idle: list[dict[str, Any]] = []

    async def measure(folder: Path) -> None:
        for sync in SYNCS:
            for waiting in WAITING:
                note(f"writer: sync {sync}, {waiting} turns at once")
                path = folder / f"{sync}-{waiting}" / FILE
                rate = await _rate(path, sync, waiting)
                size = await asyncio.to_thread(path.stat)
                rates.append({**rate, "bytes_per_turn": round(size.st_size / rate["turns"])})
            note(f"writer: sync {sync}, one turn now and then")
            idle.append(await _idle(folder / f"{sync}-idle" / FILE, sync))

    with procs.disk_folder() as (folder, kind):
        procs.run_uvloop(measure(folder))
    return {"disk": kind, "seconds_each": SECONDS, "pause_ms": PAUSE * 1000, "rates": rates, "idle": idle}


def typical() -> Iterator[TurnKept]:
    """Give the records of one call after the other, with the words, prompt and marks that a turn has."""
    clock = SystemClock()
    reply = WORD * WORDS
    while True:
        call_id, begun = clock.new_id("bench-"), clock.now()
        for turn in range(TURNS):
            now = clock.now()
            said = ASKS[turn % len(ASKS)]
            call = CallRecord(
                id=call_id,
                platform="alibaba_ims",
                begun_at=begun,
                last_at=now,
                room="room-1",
                caller="***0000",
                callee="***1234",
                caller_mark=f"{turn:064x}",
                callee_mark="0" * 64,
                user_data='{"tenant":"bench"}',
            )
            added = ({"role": "assistant", "content": reply}, {"role": "user", "content": said})
            yield TurnKept(call=call, turn=_turn(clock.new_id("turn_"), call_id, turn, said, reply, added, now))


def _turn(
    uid: str, call_id: str, number: int, said: str, reply: str, added: tuple[dict[str, Any], ...], now: float
) -> TurnRecord:
    return TurnRecord(
        uid=uid,
        call_id=call_id,
        model="bench",
        turn_id=str(number),
        request_id=f"req_{uid}",
        said=said,
        digest=bytes(16),
        spoken=bytes(9 * 2 * number),
        memory="aligned",
        prompt=PromptChange(keep=2 * number, add=added),
        generated=reply,
        sent=reply,
        map=((0, 0),),
        received_at=now,
        started=0.0004,
        first_useful=0.31,
        first_byte=0.3101,
        ended=1.9,
        events=(EventRecord(kind="attempt", at=0.0005, data={"upstream": "127.0.0.1:8000", "model": "bench"}),),
    )


def _store(path: Path, sync: str) -> Store:
    return SqlStore(path, now=SystemClock().now, sync=sync)


async def _rate(path: Path, sync: str, waiting: int) -> dict[str, Any]:
    """Write for a while with so many turns on their way, and give what was committed, and what it cost."""
    store, changes = _store(path, sync), typical()
    await store.start()
    times: list[float] = []
    cpu, begun = time.process_time(), time.monotonic()

    async def one_after_the_other() -> None:
        while time.monotonic() - begun < SECONDS:
            written = time.monotonic()
            await store.write(next(changes))
            times.append((time.monotonic() - written) * 1000)

    try:
        await asyncio.gather(*(one_after_the_other() for _ in range(waiting)))
        took = time.monotonic() - begun
        cpu = time.process_time() - cpu
    finally:
        await store.close()
    return {
        "sync": sync,
        "waiting": waiting,
        "turns": len(times),
        "turns_per_second": round(len(times) / took),
        "cpu_us": round(cpu / len(times) * 1e6, 1),
        "core_busy": round(cpu / took, 3),
        "commit_ms": quantiles_ms(times),
    }


async def _idle(path: Path, sync: str) -> dict[str, Any]:
    """Write a turn now and then, and give how long each took to be committed."""
    store, changes = _store(path, sync), typical()
    await store.start()
    times: list[float] = []
    try:
        for _ in range(IDLE):
            await asyncio.sleep(PAUSE)
            change = next(changes)
            written = time.monotonic()
            await store.write(change)
            times.append((time.monotonic() - written) * 1000)
    finally:
        await store.close()
    return {"sync": sync, "commits": len(times), "commit_ms": quantiles_ms(times)}
