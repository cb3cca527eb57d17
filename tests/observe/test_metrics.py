"""Turns are counted when they end, the server is asked when somebody looks, and what shows the metrics knows them."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from offhook.errors import Overloaded, Stopping, TooMany, TurnTimeout, UpstreamBroken
from offhook.events import Attempt, AttemptEnded, ToolRun
from offhook.observe.hooks import TurnDetails
from offhook.observe.metrics import LoopLag, Metrics, Sources
from offhook.testing import JumpClock
from tests.documents import DOCS, REPO, named_in_rows, rows
from tests.test_package import loaded_by

if TYPE_CHECKING:
    from collections.abc import Iterator

DASHBOARD = REPO / "deploy" / "grafana" / "offhook.json"
RULES = REPO / "deploy" / "prometheus" / "offhook.rules.yml"
_NAME = re.compile(r"\boffhook_[a-z_]+")


def details(reason: str = "stop", **fields: Any) -> TurnDetails:
    given: dict[str, Any] = {
        "request_id": "req_1",
        "call_id": "call-1",
        "turn_id": "3",
        "platform": "plain",
        "model": "abc",
        "which": "newer",
        "memory": "window",
        "error": None,
        "events": 1,
        "started": 0.0,
        "first_useful": 0.4,
        "cancelled": None,
        "ended": 1.0,
        "stopped_at": 1.0,
        **fields,
    }
    return TurnDetails(reason=reason, **given)


def read(metrics: Metrics) -> dict[str, float]:
    """Give every sample as it stands in the text, by its name and labels."""
    text, content_type = metrics.render()
    assert content_type.startswith("text/plain")
    samples = [sample for family in parse(text.decode()) for sample in family.samples]
    return {_named(sample.name, sample.labels): sample.value for sample in samples}


def _named(name: str, labels: dict[str, str]) -> str:
    return name + "".join(f" {label}={value}" for label, value in sorted(labels.items()))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Sources())


def test_a_turn_is_counted_with_its_times(metrics: Metrics) -> None:
    """A turn that ended is one more of its platform and reason, with first useful event, longest gap and length."""
    metrics.turn_ended(details(gap=0.3))
    metrics.turn_ended(details(platform="vapi", first_useful=None))
    seen = read(metrics)
    assert seen["offhook_turns_total platform=plain reason=stop"] == 1
    assert seen["offhook_turns_total platform=vapi reason=stop"] == 1
    assert seen["offhook_turn_first_useful_seconds_sum platform=plain"] == 0.4
    assert seen["offhook_turn_first_useful_seconds_bucket le=0.5 platform=plain"] == 1
    assert seen["offhook_turn_first_useful_seconds_bucket le=0.3 platform=plain"] == 0
    assert seen["offhook_turn_gap_seconds_sum platform=plain"] == 0.3
    assert seen["offhook_turn_seconds_sum platform=plain"] == 1.0
    assert "offhook_turn_first_useful_seconds_count platform=vapi" not in seen
    assert "offhook_turn_gap_seconds_count platform=vapi" not in seen


def test_how_a_turn_ended_is_counted(metrics: Metrics) -> None:
    """Disconnects, supersedes and failures are told apart, and so is what was said beside the answer."""
    metrics.turn_ended(details("cancelled"))
    metrics.turn_ended(details("superseded"))
    metrics.turn_ended(details("superseded"))
    metrics.turn_ended(details("failed", error=UpstreamBroken("It broke."), asides=("filler", "apology")))
    seen = read(metrics)
    assert (seen["offhook_disconnects_total"], seen["offhook_supersedes_total"]) == (1, 2)
    assert seen["offhook_turns_total platform=plain reason=failed"] == 1
    assert seen["offhook_asides_total why=filler"] == seen["offhook_asides_total why=apology"] == 1


def test_a_refused_turn_is_not_a_failed_one(metrics: Metrics) -> None:
    """A turn that a limit refused counts as refused, one that ran out of time as failed."""
    metrics.turn_ended(details("failed", error=TooMany("No.", retry_after=1)))
    metrics.turn_ended(details("failed", error=Overloaded("No.", retry_after=1)))
    metrics.turn_ended(details("failed", error=TurnTimeout("No.")))
    seen = {name: value for name, value in read(metrics).items() if name.startswith("offhook_turns_total")}
    assert seen == {
        "offhook_turns_total platform=plain reason=refused": 2,
        "offhook_turns_total platform=plain reason=failed": 1,
    }


def test_a_turn_that_the_drain_cut_is_no_disconnect(metrics: Metrics) -> None:
    """A turn that was cancelled because the server goes down has not lost its client."""
    metrics.turn_ended(details("cancelled", error=Stopping("It goes down.")))
    seen = read(metrics)
    assert seen["offhook_disconnects_total"] == 0
    assert seen["offhook_turns_total platform=plain reason=cancelled"] == 1


def test_attempts_are_counted_by_upstream_and_outcome(metrics: Metrics) -> None:
    """Each attempt counts with its outcome, also one that was cut off with its turn."""
    ended = (
        AttemptEnded(1, "one", "slow", 4.0),
        AttemptEnded(2, "two", "answered", 1.0, 0.25),
        AttemptEnded(3, "one", "beaten", 1.0),
    )
    begun = (
        Attempt("one", "m"),
        Attempt("two", "m", number=2),
        Attempt("one", "m", number=3, hedge=True),
        Attempt("one", "m", number=4, round=2),
    )
    metrics.turn_ended(details("cancelled", attempts=ended, begun=begun))
    seen = read(metrics)
    outcomes = {name: value for name, value in seen.items() if name.startswith("offhook_attempts_total")}
    assert outcomes == {
        "offhook_attempts_total outcome=slow upstream=one": 1,
        "offhook_attempts_total outcome=answered upstream=two": 1,
        "offhook_attempts_total outcome=beaten upstream=one": 1,
        "offhook_attempts_total outcome=cancelled upstream=one": 1,
    }
    assert seen["offhook_attempt_first_useful_seconds_sum upstream=two"] == 0.25
    assert "offhook_attempt_first_useful_seconds_sum upstream=one" not in seen
    # The second round's attempt is the first of its round: no failover.
    assert (seen["offhook_hedges_total"], seen["offhook_failovers_total"]) == (1, 1)


def test_tools_tokens_and_cost_are_added_up(metrics: Metrics) -> None:
    """What turns took is added up, and a turn whose tokens or price nobody knows adds nothing."""
    runs = (ToolRun("a", "{}", "ok", 0.1), ToolRun("b", "{}", "timeout", 10.0))
    metrics.turn_ended(details(tools=runs, prompt_tokens=80, completion_tokens=4, cost=0.5))
    metrics.turn_ended(details(prompt_tokens=20, cost=0.25))
    metrics.turn_ended(details())
    seen = read(metrics)
    assert (seen["offhook_tool_runs_total outcome=ok"], seen["offhook_tool_runs_total outcome=timeout"]) == (1, 1)
    assert (seen["offhook_tokens_total kind=prompt"], seen["offhook_tokens_total kind=completion"]) == (100, 4)
    assert seen["offhook_cost_total"] == 0.75


def test_refusals_are_counted_by_code(metrics: Metrics) -> None:
    """A request that was refused before there was a turn is counted by its error's code."""
    metrics.refused("overloaded")
    metrics.refused(None)
    seen = read(metrics)
    assert (seen["offhook_refused_total code=overloaded"], seen["offhook_refused_total code=none"]) == (1, 1)


def test_the_server_is_asked_when_somebody_looks() -> None:
    """What is true at the moment is read from its source each time, and not before."""
    live = 3
    metrics = Metrics(
        Sources(
            live=lambda: live,
            waiting=lambda: 2,
            calls=lambda: 7,
            connections=lambda: 9,
            degraded=lambda: True,
            stopping=lambda: False,
            journal_lag=lambda: 1.5,
            spooled=lambda: 4096,
            upstreams=lambda: [("one", 0), ("two", 0.5)],
            log_dropped=lambda: 12,
        )
    )
    assert read(metrics)["offhook_live_turns"] == 3
    live = 4
    seen = read(metrics)
    names = ["live_turns", "waiting_turns", "calls", "connections", "store_degraded", "stopping"]
    assert [seen[f"offhook_{name}"] for name in names] == [4, 2, 7, 9, 1, 0]
    assert (seen["offhook_journal_lag_seconds"], seen["offhook_spool_records"]) == (1.5, 4096)
    assert (seen["offhook_upstream_state upstream=one"], seen["offhook_upstream_state upstream=two"]) == (0, 0.5)
    assert seen["offhook_log_lines_dropped_total"] == 12


def test_labels_are_bounded(metrics: Metrics) -> None:
    """An agent that names its attempts as it likes makes no more than a hundred series of them."""
    for number in range(500):
        metrics.turn_ended(details(attempts=(AttemptEnded(1, f"service-{number}", "answered", 1.0),)))
    seen = {name: value for name, value in read(metrics).items() if name.startswith("offhook_attempts_total")}
    assert len(seen) == 101
    assert seen["offhook_attempts_total outcome=answered upstream=others"] == 400


def test_two_servers_in_one_process_count_apart() -> None:
    """Each has a registry of its own."""
    one, two = Metrics(Sources()), Metrics(Sources())
    one.turn_ended(details("cancelled"))
    assert (read(one)["offhook_disconnects_total"], read(two)["offhook_disconnects_total"]) == (1, 0)


def test_who_asks_for_openmetrics_is_given_it(metrics: Metrics) -> None:
    """The format is the one that the Accept header asks for, and a strict reader of it takes every line."""
    metrics.turn_ended(details())
    text, content_type = metrics.render("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    families = parse_openmetrics(text.decode())  # type: ignore[no-untyped-call]  # the library gives it no types
    assert {family.name for family in families} >= {"offhook_turns", "offhook_live_turns"}


async def test_the_lag_is_how_late_the_loop_woke(metrics: Metrics) -> None:
    """A loop that wakes later than it was to is late by the difference; the longest is told once."""
    clock = JumpClock()
    lag = LoopLag(clock, metrics.lagged, every=0.25)
    lag.start()
    lag.start()
    for late in (0.5, 0.0):
        await asyncio.to_thread(clock.wait_for_sleepers)
        clock.advance(0.25 + late)
    await asyncio.to_thread(clock.wait_for_sleepers)
    await lag.close()
    await lag.close()
    seen = read(metrics)
    assert seen["offhook_event_loop_lag_seconds_count"] == 2
    assert seen["offhook_event_loop_lag_seconds_sum"] == 0.5
    assert seen["offhook_event_loop_lag_max_seconds"] == 0.5
    assert read(metrics)["offhook_event_loop_lag_max_seconds"] == 0


def test_metrics_are_loaded_by_nobody_else() -> None:
    """Neither the package nor the hooks and logs load the library for metrics or traces."""
    loaded = loaded_by("import offhook, offhook.observe.hooks, offhook.observe.logs, offhook.observe.traces")
    assert not loaded & {"prometheus_client", "opentelemetry"}


# --- what shows them ----------------------------------------------------------------------------------------------


def families() -> dict[str, str]:
    """Give every metric by the name that one asks for it, with its type."""
    found = {}
    for family in Metrics(Sources()).registry.collect():
        found[family.name + ("_total" if family.type == "counter" else "")] = family.type
    return found


def series() -> set[str]:
    """Give every name that a query may ask for."""
    parts = {"histogram": ("_bucket", "_count", "_sum")}
    return {name + part for name, kind in families().items() for part in parts.get(kind, ("",))}


def dashboard_queries() -> Iterator[str]:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (variable["query"] for variable in board["templating"]["list"])


def rules() -> list[dict[str, Any]]:
    read: dict[str, Any] = yaml.safe_load(RULES.read_text("utf-8"))
    return [rule for group in read["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("query", [*dashboard_queries(), *(rule["expr"] for rule in rules())])
def test_a_query_asks_for_metrics_that_there_are(query: str) -> None:
    """Every metric that the dashboard and the alerts ask for exists, and their brackets are closed."""
    assert set(_NAME.findall(query)) <= series()
    for pair in ("()", "{}", "[]"):
        assert query.count(pair[0]) == query.count(pair[1])


def test_the_dashboard_shows_every_metric() -> None:
    """No metric is left out of the dashboard, and each of its panels has a place and a title of its own."""
    asked = {name for query in dashboard_queries() for name in _NAME.findall(query)}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in asked} == set(families())
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    for key in ("id", "title"):
        values = [panel[key] for panel in panels]
        assert len(set(values)) == len(values)


def test_a_server_that_is_down_is_told() -> None:
    """An alert asks for the job that the documents tell the scraper to have."""
    [down] = [rule for rule in rules() if rule["alert"] == "OffhookDown"]
    assert down["expr"] == 'up{job="offhook"} == 0'
    assert "job_name: offhook\n" in (DOCS / "metrics.md").read_text("utf-8")


def test_refused_turns_are_neither_failures_nor_hide_any() -> None:
    """The share of failed turns is one of those that were not refused."""
    [fail] = [rule for rule in rules() if rule["alert"] == "OffhookTurnsFail"]
    assert '/ sum(rate(offhook_turns_total{reason!="refused"}[5m]))' in fail["expr"]


def test_every_alert_says_what_is_wrong() -> None:
    """An alert has a name of its own, words for who is woken, and a severity."""
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")


def test_every_metric_is_documented() -> None:
    """docs/metrics.md has a row for every metric with its type, and for nothing else."""
    documented = {
        row[0].strip("`").partition("{")[0]: row[1] for row in rows(DOCS / "metrics.md") if row[0][1:9] == "offhook_"
    }
    assert documented == families()


def test_every_alert_is_documented() -> None:
    """docs/metrics.md has a row for every alert."""
    documented = {name for name in named_in_rows(DOCS / "metrics.md") if name.startswith("Offhook")}
    assert documented == {rule["alert"] for rule in rules()}


def test_the_labels_are_documented() -> None:
    """A metric's row in docs/metrics.md names its labels."""
    documented = {}
    for row in rows(DOCS / "metrics.md"):
        name, _, labels = row[0].strip("`").partition("{")
        documented[name] = [label for label in labels.rstrip("}").split(", ") if label]
    metrics = Metrics(Sources(upstreams=lambda: [("one", 0)]))
    attempt = AttemptEnded(1, "one", "answered", 1.0, 0.5)
    runs = (ToolRun("a", "{}", "ok", 0.1),)
    metrics.turn_ended(details(attempts=(attempt,), asides=("filler",), tools=runs, prompt_tokens=1))
    metrics.refused("overloaded")
    for family in metrics.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        assert family.samples, name
        assert sorted(set(family.samples[0].labels) - {"le"}) == sorted(documented[name]), name
