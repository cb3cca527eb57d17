"""How much of a call's prompt stays as it was from turn to turn: what an upstream's prefix cache can use again."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from bench import procs, upstream
from bench.caller import Calls, Script, open_caller
from bench.grid import quantiles_ms
from offhook.dialects.alibaba_ims import ALIBABA_IMS
from offhook.dialects.base import Arrival
from offhook.node.request import WINDOW
from offhook.turns.memory import PastReply, Transcript, recall
from offhook.wire.chat import decode_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.events import Message

TURNS = 60
# Every seventh reply is cut off by the caller, and the platform says where.
SCRIPT = Script(turns=TURNS, count=24, pace=1, stamps=8, cut=7)
BUDGET = 2000
CASES: dict[str, dict[str, Any]] = {
    "window": {"memory": "window"},
    "call": {"memory": "call"},
    "budget": {"memory": "call", "memory_tokens": BUDGET},
}
REPEATS = 200
PLACES = (10, 30, 60)


def run(note: Callable[[str], None]) -> dict[str, Any]:
    """Hold one long call with each kind of memory, and compare each prompt with the one before."""
    server_core, driver_core = procs.cores()
    procs.pin(driver_core)
    cases: list[dict[str, Any]] = []
    bodies: list[dict[str, Any]] = []

    async def measure() -> None:
        async with upstream.running() as behind:
            address = f"http://127.0.0.1:{behind.port}/v1"
            for name, settings in CASES.items():
                note(f"memory: a call of {TURNS} turns, {name}")
                behind.bodies = []
                with procs.server(upstream=address, core=server_core, **settings) as server:
                    asked = await _call(server.port)
                cases.append(_case(name, [json.loads(body)["messages"] for body in behind.bodies], asked))
                bodies[:] = asked

    procs.run_uvloop(measure())
    note("memory: recall alone")
    return {
        "turns": TURNS,
        "window": WINDOW,
        "budget": BUDGET,
        "cut": SCRIPT.cut,
        "slides_at": _slides_at(bodies),
        "cases": cases,
        "recall": _recall(bodies),
    }


async def _call(port: int) -> list[dict[str, Any]]:
    """Hold the call, and give the bodies of its requests."""
    calls = Calls(SCRIPT)
    calls.asked = []
    caller = await open_caller(calls, port, TURNS)
    async with asyncio.timeout(procs.PATIENCE * 4):
        while calls.turns < TURNS and not calls.refused:
            await asyncio.sleep(0.01)
            # The last turn is the call's last.
            calls.running = len(calls.asked) < TURNS
        await caller.over
    if calls.refused:
        raise RuntimeError(f"the server refused a turn of the call: {calls.refused[:500]!r}")
    if calls.torn or calls.lost or calls.finished != TURNS:
        raise RuntimeError(f"{calls.torn} replies of the call were torn, {calls.finished} came whole")
    return calls.asked


def _slides_at(bodies: list[dict[str, Any]]) -> int:
    """Give the first turn whose request leaves out what the one before still had."""
    firsts = [body["messages"][1] for body in bodies]
    return next(turn for turn, first in enumerate(firsts, 1) if first != firsts[0])


def _case(name: str, prompts: list[list[dict[str, Any]]], asked: list[dict[str, Any]]) -> dict[str, Any]:
    """Give, for each turn from the second, the shares of its prompt that stand at the beginning of the last one's."""
    if len(prompts) != TURNS:
        raise RuntimeError(f"the upstream was asked {len(prompts)} times for {TURNS} turns")
    rows = []
    for turn, (before, prompt) in enumerate(pairwise(prompts), 2):
        same = 0
        while same < min(len(before), len(prompt)) and before[same] == prompt[same]:
            same += 1
        characters = _length(prompt)
        share = _length(prompt[:same]) / characters
        rows.append(
            {
                "turn": turn,
                "messages": len(prompt),
                "characters": characters,
                "same_messages": round(same / len(prompt), 4),
                "same_characters": round(share, 4),
                "asked_messages": len(asked[turn - 1]["messages"]),
            }
        )
    slid = [row for row in rows if row["turn"] >= _slides_at(asked)]
    return {
        "memory": name,
        "turns": rows,
        "mean_same_messages": round(statistics.mean(row["same_messages"] for row in slid), 4),
        "mean_same_characters": round(statistics.mean(row["same_characters"] for row in slid), 4),
        "worst_same_characters": min(row["same_characters"] for row in slid),
    }


def _length(prompt: list[dict[str, Any]]) -> int:
    return sum(len(message["content"]) for message in prompt)


def _recall(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give how long the prompt of a turn takes to be made from the window and the transcript, in microseconds."""
    rows = []
    transcript = Transcript()
    for turn, body in enumerate(bodies, 1):
        window = _window(body)
        if turn > 1:
            said = next(message for message in reversed(window) if message.role == "assistant")
            # Where the platform cut it the rest is unknown here; any will do.
            sent = said.text + "再见" * len(said.text) if said.interrupted else said.text
            transcript = msgspec.structs.replace(transcript, reply=PastReply(sent, sent))
        recalled = recall(window, transcript, budget=16_000)
        if turn > 1 and recalled.outcome != "aligned":
            raise RuntimeError(f"the window of turn {turn} did not fit the call")
        if turn in PLACES:
            times = []
            for _ in range(REPEATS):
                begun = time.perf_counter_ns()
                recall(window, transcript, budget=16_000)
                times.append((time.perf_counter_ns() - begun) / 1000)
            rows.append({"turn": turn, "messages": len(recalled.messages), "us": quantiles_ms(times)})
        transcript = recalled.transcript
    return rows


def _window(body: dict[str, Any]) -> tuple[Message, ...]:
    request = decode_request(msgspec.json.encode(body))
    return ALIBABA_IMS.read(Arrival(request=request, headers={}, query={})).history
