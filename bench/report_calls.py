"""The tables of what calls cost: records, the writer, superseding turns, memory."""

from __future__ import annotations

from typing import Any

from bench.grid import Grid, ms, or_dash

MODES = {
    "unnamed": "nothing: no ids in the requests",
    "named": "off: names and memory, no store",
    "memory": "on, into memory",
    "sqlite": "on, into SQLite",
}
# The turns that are shown; all of them are in bench.json.
SHOWN = (2, 5, 10, 11, 12, 15, 20, 30, 40, 50, 60)


def records_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the table of the first tokens with records off and on, and that of what records cost."""
    rows = [
        [
            f"{one['agent']} agent, {MODES[row['mode']]}",
            ms(row["first_ms"], "p50", "p99"),
            ms(_added(row, one["direct_first_ms"]), "p50", "p99"),
            ms(row["end_ms"], "p50", "p99"),
            f"{row['cpu_us']:.1f}",
            str(row["turns"]),
            _others(row),
        ]
        for one in result["agents"]
        for row in one["rows"]
    ]
    costs = [
        [
            f"{one['agent']} agent, {MODES[row['mode']]}",
            str(streams),
            f"{row['cpu_ratio']:.3f}",
            "{:.2f} - {:.2f}".format(*row["cpu_ratio_range"]),
            f"{row['cpu_us']:.1f}",
            str(row["cpu_us_turn"]),
            str(row["turns"]),
            _others(row),
        ]
        for one in result["agents"]
        for streams, some in ((result["streams"] // 2, one["halves"]), (result["streams"] // 4, one["quarters"]))
        for row in some
    ]
    note = (
        f"{result['streams']} calls at once, {result['turns_of_a_call']} turns each, {result['events_of_a_turn']} "
        f"events in a turn, {result['pace_ms']:g} ms apart, every request with its history. Off and on by turns, "
        f"{result['rounds']} times each, on one core. Times are p50 / p99 of all rounds. 'Added' is the first token's "
        "time less that of the upstream alone, where there is one. 'Held end' is how long the end of a body waited "
        f"behind the finish chunk. The database is on {result['disk']}. "
    )
    apart = (
        "Two servers on one core at the same time, then four, as many of the calls on each: so all are hit alike by "
        f"what else the machine does. 'x off' is the median of {result['shared_windows']} windows; the target is for "
        "the two. "
    )
    head = ["records", "first token ms", "added ms", "held end ms", "CPU us/event", "turns", "others on its core"]
    cost = ["records", "calls", "x off", "in each window", "CPU us/event", "us/turn", "turns", "others on its core"]
    return [
        Grid("Records on and off", head, rows, note + " ".join(map(_first_verdict, result["agents"]))),
        Grid("What records cost", cost, costs, apart + " ".join(map(_cost_verdict, result["agents"]))),
    ]


def _others(row: dict[str, Any]) -> str:
    return f"{row['others_busy']:.0%}" + ("!" if row["others_busy"] > 0.1 else "")


def _added(row: dict[str, Any], direct: dict[str, float] | None) -> dict[str, float] | None:
    first: dict[str, float] | None = row["first_ms"]
    if first is None or direct is None:
        return first
    return {name: first[name] - direct[name] for name in ("p50", "p99")}


def _first_verdict(one: dict[str, Any]) -> str:
    noise = "within the noise" if one["first_unchanged"] else "MORE than the noise"
    return (
        f"{one['agent'].capitalize()} agent: the first token (p50) comes {one['first_later_ms']:+.2f} ms later, "
        f"{noise} (rounds with records off differ by up to {one['first_noise_ms']:.2f} ms); of {one['finished']} turns "
        f"whose end was received {one['recorded']} are in the database."
    )


def _cost_verdict(one: dict[str, Any]) -> str:
    met = "met" if one["added_cpu_holds"] else "NOT met"
    return f"{one['agent'].capitalize()} agent: {one['added_cpu']:+.1%} CPU (target: at most +15 %): {met}."


def writer_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the table of the writer's rates, and that of single commits."""
    rates = [
        [
            f"sync {row['sync']}, {row['waiting']} at once",
            f"{row['turns_per_second']}",
            f"{row['cpu_us']:.0f}",
            f"{row['core_busy']:.0%}",
            f"{row['bytes_per_turn'] / 1000:.1f}",
            ms(row["commit_ms"]),
        ]
        for row in result["rates"]
    ]
    idle = [[f"sync {row['sync']}", str(row["commits"]), ms(row["commit_ms"])] for row in result["idle"]]
    note = (
        "The SQLite store alone, event loop and writer's thread on one core, with records as a turn of a telephone "
        f"call makes them; {result['seconds_each']:g} s each, on {result['disk']}. 'At once' is how many turns are "
        "always on their way: they are committed together. The time is from the write to its promise: ms, "
        "p50 / p99 / max."
    )
    apart = f"One turn each {result['pause_ms']:g} ms, nothing else on its way; ms, p50 / p99 / max."
    head = ["store", "turns/s", "CPU us/turn", "core busy", "kB/turn", "committed within ms"]
    return [
        Grid("What the writer sustains", head, rates, note),
        Grid("One commit", ["store", "commits", "committed within ms"], idle, apart),
    ]


def supersede_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the table of the turns that a newer one ended."""
    rows = [
        [
            f"{row['agent']} agent, {row['phase']}",
            row["upstream"],
            str(row["rounds"]),
            ms(row["agent_over"]),
            ms(row["upstream_closed"]),
            ms(row["response_over"]),
            str(row["never"]),
        ]
        for row in result["rows"]
    ]
    verdict = "holds" if result["holds"] else "does NOT hold"
    note = (
        f"The bound of {result['bound_ms']:.0f} ms at p99 for agent and upstream {verdict} (worst p99: "
        f"{result['worst_p99_ms']:.2f} ms). Times in ms, p50 / p99 / max, from the sending of the newer turn's "
        f"request; records are on (SQLite), {result['workers']} calls at once. The older response ends whole, with "
        "a lone stop and [DONE], once its record is safe."
    )
    head = [
        "older turn",
        "meanwhile",
        "rounds",
        "its agent's task over",
        "upstream sees it closed",
        "its response over",
        "never",
    ]
    return [Grid("From a newer turn to the older one's end", head, rows, note)]


def memory_grids(result: dict[str, Any]) -> list[Grid]:
    """Give the table of what stays of a prompt, and that of the time it takes to make one."""
    names = {
        "window": "window",
        "call": "call",
        "budget": f"call, {result['budget']} tokens",
    }
    cases = {case["memory"]: case for case in result["cases"]}
    by_turn = {name: {row["turn"]: row for row in case["turns"]} for name, case in cases.items()}
    rows = [
        [
            f"turn {turn}",
            *(
                f"{row['same_messages']:.0%} / {row['same_characters']:.0%} of {row['messages']}"
                for row in (by_turn[name][turn] for name in names)
            ),
        ]
        for turn in SHOWN
        if turn in by_turn["call"]
    ]
    rows.append(
        [
            f"mean from turn {result['slides_at']}",
            *(f"{cases[name]['mean_same_messages']:.1%} / {cases[name]['mean_same_characters']:.1%}" for name in names),
        ]
    )
    note = (
        f"One call of {result['turns']} turns over HTTP against a platform that sends {result['window']} records, "
        f"system prompt and newest utterance among them, and reports each {result['cut']}th reply as cut off half way. "
        "Given is the share of the messages / of the characters of each prompt that stand at the beginning of the "
        f"prompt before, word for word, and how many messages it has. The window begins to slide in turn "
        f"{result['slides_at']}."
    )
    recall = [
        [f"turn {row['turn']}", str(row["messages"]), or_dash(row["us"] and row["us"]["p50"], "{:.0f}")]
        for row in result["recall"]
    ]
    return [
        Grid("What stays of a prompt", ["prompt", *names.values()], rows, note),
        Grid("Making a prompt (memory = call)", ["prompt", "messages", "us (p50)"], recall),
    ]
