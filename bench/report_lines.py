"""The tables of a line with several services, keys and people who look at it."""

from __future__ import annotations

from typing import Any

from bench.grid import Grid, ms


def greedy_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the table of polite clients beside a greedy one."""
    rows = [
        [
            row["case"],
            str(row["think_ms"]),
            ms(row["quiet_ms"], "p50", "p95", "max"),
            ms(row["beside_ms"], "p50", "p95", "max"),
            ms(row["ratio"], "p50", "p95"),
            str(row["turns"]),
            str(row["served_per_second"]),
            str(row["refused_per_second"]),
            f"{row['server_busy']:.0%}",
            "yes" if row["bound"] else "no",
        ]
        for row in result["rows"]
    ]
    verdict = "holds" if result["holds"] else "does NOT hold"
    note = (
        f"{result['polite']} polite clients, each with a key of its own, and one that keeps {result['greedy']} "
        "requests on their way with another key, whatever it is told: by turns without and with it, on the same "
        "server. First tokens of the polite ones in ms, p50 / p95 / max. The bound of "
        f"{result['most_ratio']:g} times the quiet value at p50 and p95, in the rows with 'yes', {verdict}. The 5 ms "
        "for which an agent thinks there stand for a model: far less than any takes for its first word. Where it takes "
        "none, what is measured is the line alone, of whose time at p95 one event of another turn is a doubling."
    )
    head = [
        "what stands against it",
        "agent thinks ms",
        "alone ms",
        "beside it ms",
        "x alone",
        "polite turns",
        "its served/s",
        "its refused/s",
        "server busy",
        "bound",
    ]
    return [Grid("A greedy client beside polite ones", head, rows, note)]


def seen_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the table of what metrics, traces and JSON logs cost, and that of the hooks alone."""
    rows = [
        [
            row["mode"],
            f"{row['ratio']:.3f}",
            "{:.2f} - {:.2f}".format(*row["ratio_range"]),
            str(row["us_turn"]),
            f"{row['added_us_turn']:+.0f}",
            f"{row['added_us_event']:+.1f}",
            str(row["turns"]),
        ]
        for row in result["rows"]
    ]
    noise = max(abs(row["ratio"] - 1) for row in result["rows"] if row["mode"].startswith("off"))
    scrape = result["scrape"]
    note = (
        f"The model agent, {len(rows)} servers on one core at the same time, {result['calls']} calls on each with "
        f"{result['events_of_a_turn']} events in a turn, {result['pace_ms']:g} ms apart; 'off' is without metrics and "
        f"traces, with logs as text. All is compared with the mean of the two that are off, in {result['rounds']} "
        f"rounds of new processes: those two differ from it by {noise:.1%}, and less than that is nothing. Spans go to "
        f"a collector, {result['trace_bytes_turn']} bytes a turn. One reading of /metrics: {scrape['us']} us, "
        f"{scrape['bytes']} bytes."
    )
    events = result["events_of_a_turn"]
    hooks = [
        [name, f"{us:.1f}", f"{us / events:.2f}", f"{us / 80:.2f}"] for name, us in result["hooks_us_turn"].items()
    ]
    apart = (
        "The same hooks without a server, with all their threads, until what they queue is written or encoded: CPU in "
        "microseconds. Nothing is called for an event, so that an event's part is a turn's, divided."
    )
    head = ["what is on", "x off", "in each round", "CPU us/turn", "added us/turn", "added us/event", "turns"]
    return [
        Grid("What it costs to be seen", head, rows, note),
        Grid("The hooks alone", ["hook", "us/turn", f"us/event of {events}", "us/event of 80"], hooks, apart),
    ]


def failover_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the table of what several services cost, and that of how soon another one speaks."""
    rows = [
        [
            row["mode"],
            f"{row['ratio']:.3f}",
            "{:.2f} - {:.2f}".format(*row["ratio_range"]),
            f"{row['us_event']:.1f}",
            str(row["us_turn"]),
            ms(row["first_ms"], "p50", "p99"),
            f"{row['later_ms']:+.2f}",
            str(row["turns"]),
        ]
        for row in result["rows"]
    ]
    note = (
        f"Three servers on one core at the same time, {result['calls']} calls on each with "
        f"{result['events_of_a_turn']} events in a turn, {result['pace_ms']:g} ms apart, in {result['rounds']} rounds "
        "of new processes. 'x one' and 'later' (first token, p50) compare with one service as [[upstream]]."
    )
    ways = [[row["way"], str(row["failures"]), ms(row["ms"])] for row in result["ways"]]
    apart = (
        "One request at a time, and the service that is asked first always fails: ms from its failure (or from when "
        "the hedge or the deadline for the first word is due) to the other's first word at the client, p50 / p99 / max."
    )
    head = ["services", "x one", "in each round", "CPU us/event", "us/turn", "first token ms", "later ms", "turns"]
    return [
        Grid("Several services behind the line", head, rows, note),
        Grid("From a failure to the other's first word", ["failure", "requests", "first word ms"], ways, apart),
    ]
