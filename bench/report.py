"""The figures as tables, on the screen and in ``docs/``."""

from __future__ import annotations

import datetime
import json
import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from bench.grid import Grid, ms, or_dash
from bench.procs import AVAILABLE
from bench.report_calls import memory_grids, records_grids, supersede_grids, writer_grids
from bench.report_lines import failover_grids, greedy_grids, seen_grids
from bench.report_speech import speech_grids

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("uvicorn", "uvloop", "httptools", "aiohttp", "msgspec", "starlette")


def circumstances() -> dict[str, Any]:
    """Say when and on what was measured, without naming the machine."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "cores": len(AVAILABLE) or os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def disconnect_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the table of the disconnects."""
    rows = [
        [
            f"{row['agent']} agent, {row['phase']}",
            row["upstream"],
            str(row["rounds"]),
            ms(row["agent_over"]),
            ms(row["upstream_closed"]),
            str(row["never"]),
        ]
        for row in result["rows"]
    ]
    verdict = "holds" if result["holds"] else "does NOT hold"
    note = (
        f"The bound of {result['bound_ms']:.0f} ms at p99 {verdict} (worst p99: {result['worst_p99_ms']:.2f} ms). "
        f"Times in ms, p50 / p99 / max, from the client's close; {result['workers']} clients at once. "
        "'Silent' is an agent or upstream that says nothing meanwhile."
    )
    head = ["phase", "meanwhile", "rounds", "agent's task over", "upstream sees it closed", "never"]
    return [Grid("From the disconnect to the end", head, rows, note)]


def _targets(result: dict[str, Any]) -> str:
    """Say whether the targets of the streams and the memory are met, each with its figure."""
    told = []
    for row in result["rows"]:
        if row["streams"] == TARGET_STREAMS and row["target"] in ("python", "model"):
            median = row["added_ms"]["p50"]
            what = f"added first token, {NAMES[row['target']]}, {TARGET_STREAMS} streams"
            told.append((what, median, TARGET_ADDED_MS, "ms"))
    told.extend(
        (f"memory, {NAMES[row['target']]}", row["kib_per_stream"], TARGET_KIB, "KiB a stream")
        for row in result["memory"]
        if row["target"] in ("python", "model")
    )
    lines = [
        f"{what} {figure:.2f} {unit} (target under {target:g}): {'met' if figure < target else 'NOT met'}"
        for what, figure, target, unit in told
    ]
    full = [
        f"The {NAMES[row['target']]} fills its core at {row['streams']} streams: these are figures of a queue."
        for row in result["rows"]
        if (row["server_busy"] or 0) > FULL
    ]
    return " ".join(["Targets: " + "; ".join(lines) + ".", *full])


def stream_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the tables of the paced streams, their first frames and their memory."""
    rows = [
        [
            NAMES[row["target"]],
            str(row["streams"]),
            or_dash(row["cpu_us"], "{:.0f}"),
            or_dash(row["cpu_ratio"], "{:.2f}"),
            or_dash(row["server_busy"], "{:.0%}"),
            ms(row["first_ms"], "p50", "p99"),
            "-" if row["target"] == "direct" else ms(row["added_ms"], "p50", "p99"),
            ms(row["delay_ms"], "p50", "p99"),
            f"{row['offered']:.0%}",
            or_dash(row["others_busy"], "{:.0%}") + ("!" if row["spoilt"] else ""),
            f"{row['driver_busy']:.0%}" + ("!" if row["driver_limited"] else ""),
        ]
        for row in result["rows"]
    ]
    head = [
        "through",
        "streams",
        "CPU us/event",
        "x nginx",
        "server busy",
        "first token ms",
        "added ms",
        "event delay ms",
        "of the offered",
        "others on its core",
        "driver busy",
    ]
    note = (
        f"nginx: {result['nginx']}. Times are p50 / p99. 'Added' is the first token's time less that of the upstream "
        "without anything between; for the Python agent, which has no upstream, the whole of it. One stream alone "
        "finds the core's caches cold at every event. A row with '!' is spoilt: the driver itself was the limit, or "
        "other programs took the server's core. "
    ) + _targets(result)
    bounds = [f"< {bound} ms" for bound in result["bounds_ms"]]
    frames = [[NAMES[row["target"]], *map(str, row["counts"])] for row in result["first_frames"]]
    memory = [
        [NAMES[row["target"]], str(row["streams"]), str(row["idle_mib"]), str(row["kib_per_stream"])]
        for row in result["memory"]
    ]
    step = result["step_40_ms"]
    ours = step.get("python", 0) + step.get("model", 0)
    frames_note = (
        "Fresh and reused connections, one stream alone and 100 at once. Nagle's algorithm and delayed "
        f"acknowledgements would put every first frame at 40 ms: ours between 35 and 45 ms are {ours}."
    )
    return [
        Grid("Paced streams, an event each 20 ms", head, rows, note),
        Grid("First frames", ["through", *bounds, "more"], frames, frames_note),
        Grid("Memory of an open stream", ["through", "streams", "idle MiB", "KiB/stream"], memory),
    ]


# Targets of the model and Python agents: the median added first token, and the memory of an open stream.
TARGET_STREAMS = 100
TARGET_ADDED_MS = 1.5
TARGET_KIB = 40.0
# A server that takes more of its core than this is no longer measured, but its queue is.
FULL = 0.95

NAMES = {"direct": "nothing", "nginx": "nginx", "python": "Python agent", "model": "model agent"}
GRIDS = {
    "disconnect": disconnect_grids,
    "supersede": supersede_grids,
    "stream": stream_grids,
    "records": records_grids,
    "writer": writer_grids,
    "memory": memory_grids,
    "failover": failover_grids,
    "greedy": greedy_grids,
    "seen": seen_grids,
    "speech": speech_grids,
}


def write(folder: Path, results: dict[str, Any]) -> None:
    """Write ``bench.json`` and ``bench.md``; what was not measured this time stays as it was."""
    folder.mkdir(exist_ok=True)
    data = folder / "bench.json"
    kept = json.loads(data.read_text("utf-8")) if data.is_file() else {}
    kept.update(results)
    data.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    parts = ["# Benchmarks", "", "Written by `make bench`; the same figures are in `bench.json`.", ""]
    for name, grids in GRIDS.items():
        if name in kept:
            parts += [_described(kept[name]["circumstances"]), ""]
            for grid in grids(kept[name]):
                parts += [grid.markdown(), ""]
    (folder / "bench.md").write_text("\n".join(parts), encoding="utf-8")


def _described(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return (
        f"Measured on {facts['date']}: {facts['system']}, {facts['cores']} cores, Python {facts['python']}, "
        f"{versions}. "
        "The server has one core, the driver (client and upstream in one process) the other."
    )
