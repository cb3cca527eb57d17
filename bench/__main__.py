"""``python -m bench [PART]...``: measure, print the figures, and write them to ``docs/``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench import disconnect, failover, greedy, memory, records, report, seen, speech, stream, supersede, writer
from bench.procs import REPO

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Callable[[Callable[[str], None]], dict[str, Any]]] = {
    "disconnect": disconnect.run,
    "supersede": supersede.run,
    "stream": stream.run,
    "records": records.run,
    "writer": writer.run,
    "memory": memory.run,
    "failover": failover.run,
    "greedy": greedy.run,
    "seen": seen.run,
    "speech": speech.run,
}


def main() -> int:
    """Run the parts that were asked for, all by default; give 1 where the bound beside a greedy client breaks."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what the line costs.")
    parser.add_argument("part", nargs="*", help=f"{' or '.join(PARTS)}; all by default")
    parser.add_argument("--out", type=Path, default=REPO / "docs", help="folder for bench.json and bench.md")
    wanted = parser.parse_args()
    for part in wanted.part:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}; there are: {', '.join(PARTS)}")
    if sys.platform != "linux":
        parser.error("the figures are read from /proc, so this needs Linux")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    results: dict[str, Any] = {}
    for part in wanted.part or PARTS:
        facts = report.circumstances()
        begun = time.monotonic()
        result = PARTS[part](lambda text: console.print(f"  {text} ...", style="dim", markup=False))
        results[part] = {"circumstances": facts, **result, "seconds": round(time.monotonic() - begun, 1)}
        for grid in report.GRIDS[part](results[part]):
            grid.print(console)
        console.print(f"{part} took {results[part]['seconds']} s\n")
    report.write(wanted.out, results)
    if not results.get("greedy", {"holds": True})["holds"]:
        console.print("FAILED: beside a greedy client the polite ones wait longer than the bound allows.")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
