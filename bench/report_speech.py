"""The table of the voice chain."""

from __future__ import annotations

from typing import Any

from bench.grid import Grid


def speech_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the table of what each shaper and the chain of them cost."""
    texts = list(result["rows"][0]["us_chunk"])
    rows = [
        [
            row["what"],
            *(f"{row['us_chunk'][text]:.2f}" for text in texts),
        ]
        for row in result["rows"]
    ]
    verdict = "met" if result["holds"] else "NOT met"
    note = (
        f"Microseconds of CPU for each chunk of {result['chunk']} characters, {result['chunks']} chunks of one reply, "
        "median of the rounds. 'chain' is think, markdown, emoji, links and tags one behind the other. Target: the "
        f"chain under {result['target_us']:g} us a chunk of what models write (worst: {result['worst_us']:.2f} us): "
        f"{verdict}. A text with a mark in nearly every chunk takes up to {result['dense_us']:.2f} us."
    )
    return [Grid("The voice chain", ["shaper", *texts], rows, note)]
