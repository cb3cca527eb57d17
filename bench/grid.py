"""Tables and the figures in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console


def quantiles_ms(values: Iterable[float]) -> dict[str, float] | None:
    """Give median, 99th percentile and maximum; None for no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    last = len(ordered) - 1
    p50, p99 = ordered[round(last * 0.5)], ordered[round(last * 0.99)]
    return {"p50": round(p50, 3), "p99": round(p99, 3), "max": round(ordered[-1], 3)}


class Grid:
    """A table that can be printed and written as Markdown."""

    def __init__(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
        self.title = title
        self.head = head
        self.rows = rows
        self.note = note

    def print(self, console: Console) -> None:
        table = Table(title=self.title, title_justify="left", title_style="bold")
        for number, name in enumerate(self.head):
            table.add_column(name, justify="left" if number == 0 else "right")
        for row in self.rows:
            # As it is: a pair of brackets is no markup.
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        if self.note:
            console.print(self.note, markup=False)

    def markdown(self) -> str:
        line = "| " + " | ".join(self.head) + " |"
        rule = "| --- |" + " ---: |" * (len(self.head) - 1)
        rows = ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([f"## {self.title}", "", line, rule, *rows, *(["", self.note] if self.note else [])])


def ms(quantiles: dict[str, float] | None, *names: str) -> str:
    """Give quantiles as ``p50 / p99 / max``, or those of them that are named."""
    if quantiles is None:
        return "-"
    return " / ".join(f"{quantiles[name]:.2f}" for name in names or ("p50", "p99", "max"))


def or_dash(value: object, form: str = "{}") -> str:
    """Give a value in a form, and a dash where there is none."""
    return "-" if value is None else form.format(value)
