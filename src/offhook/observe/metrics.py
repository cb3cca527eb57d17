"""Metrics for Prometheus. Turns are counted when they end; nothing is done per event."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from offhook.errors import Overloaded, Stopping, TooMany

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from offhook.clock import Clock
    from offhook.observe.hooks import TurnDetails

# Seconds. Speech: under 0.3 is quick, over 2 is a failure.
_FIRST = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_GAP = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_WHOLE = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# How many upstreams are told apart; an agent of a user's own may name attempts as it likes.
_MOST_UPSTREAMS = 100
_OTHERS = "others"


def _none() -> int:
    return 0


def _no_upstreams() -> Sequence[tuple[str, float]]:
    return ()


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked when metrics are read; each is called in the event loop, and must return at once.

    ``live`` turns, those ``waiting`` for admission, open ``calls`` and ``connections``; whether the store is away
    (``degraded``) and the server goes down (``stopping``); the age of the oldest record that is not safe yet in seconds
    (``journal_lag``), records that wait in the spool; each upstream's name with its breaker's state (0 closed, 0.5
    half-open, 1 open); the log lines dropped so far.
    """

    live: Callable[[], float] = _none
    waiting: Callable[[], float] = _none
    calls: Callable[[], float] = _none
    connections: Callable[[], float] = _none
    degraded: Callable[[], float] = _none
    stopping: Callable[[], float] = _none
    journal_lag: Callable[[], float] = _none
    spooled: Callable[[], float] = _none
    upstreams: Callable[[], Sequence[tuple[str, float]]] = _no_upstreams
    log_dropped: Callable[[], float] = _none


class Metrics:
    """A hook that counts turns, and what is read from ``sources`` when somebody looks.

    All but ``render`` is called in the event loop.
    """

    def __init__(self, sources: Sources) -> None:
        # A second series for each, saying when it was made, is of no use here.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library gives it no types
        self.registry = CollectorRegistry(auto_describe=False)
        self._make_turns()
        self._make_attempts()
        lag = "Seconds that the event loop was late when it was to wake up."
        self._lag = Histogram("offhook_event_loop_lag_seconds", lag, buckets=_LAG, registry=self.registry)
        refused = "Requests that were refused, by error code."
        self._refused = Counter("offhook_refused", refused, ["code"], registry=self.registry)
        self._now = _Now(sources)
        self.registry.register(self._now)

    def _make_turns(self) -> None:
        registry, platform = self.registry, ["platform"]
        self._turns = Counter(
            "offhook_turns",
            "Turns that ended, by finish reason, or refused.",
            ["platform", "reason"],
            registry=registry,
        )
        self._first = Histogram(
            "offhook_turn_first_useful_seconds",
            "From a turn's request to its first event that can be heard or acted on.",
            platform,
            buckets=_FIRST,
            registry=registry,
        )
        self._gap = Histogram(
            "offhook_turn_gap_seconds",
            "The longest silence within a turn, from its first useful event on.",
            platform,
            buckets=_GAP,
            registry=registry,
        )
        self._whole = Histogram(
            "offhook_turn_seconds",
            "From a turn's request to the end of its agent.",
            platform,
            buckets=_WHOLE,
            registry=registry,
        )
        self._disconnects = Counter(
            "offhook_disconnects", "Turns that ended because the client disconnected.", registry=registry
        )
        self._supersedes = Counter(
            "offhook_supersedes", "Turns that a newer turn of their call ended.", registry=registry
        )
        self._asides = Counter(
            "offhook_asides", "Phrases beside the answer: filler, apology or closing.", ["why"], registry=registry
        )

    def _make_attempts(self) -> None:
        registry = self.registry
        self._attempts = Counter(
            "offhook_attempts", "Attempts at model services, by outcome.", ["upstream", "outcome"], registry=registry
        )
        self._attempt_first = Histogram(
            "offhook_attempt_first_useful_seconds",
            "From an attempt's beginning to its first useful event.",
            ["upstream"],
            buckets=_FIRST,
            registry=registry,
        )
        self._hedges = Counter("offhook_hedges", "Attempts that began beside another one.", registry=registry)
        self._failovers = Counter(
            "offhook_failovers", "Attempts that began because another one had failed.", registry=registry
        )
        self._tools = Counter(
            "offhook_tool_runs", "Tools that were run here, by outcome.", ["outcome"], registry=registry
        )
        self._tokens = Counter(
            "offhook_tokens", "Tokens of all attempts, prompt or completion.", ["kind"], registry=registry
        )
        self._cost = Counter("offhook_cost", "What attempts cost, in the currency of their prices.", registry=registry)
        self._upstreams: set[str] = set()

    def turn_ended(self, details: TurnDetails) -> None:
        platform, reason = details.platform, _reason(details)
        self._turns.labels(platform, reason).inc()
        self._whole.labels(platform).observe(details.ended)
        if details.first_useful is not None:
            self._first.labels(platform).observe(details.first_useful)
            self._gap.labels(platform).observe(details.gap)
        if reason == "cancelled" and not isinstance(details.error, Stopping):
            self._disconnects.inc()
        elif reason == "superseded":
            self._supersedes.inc()
        for why in details.asides:
            self._asides.labels(why).inc()
        for run in details.tools:
            self._tools.labels(run.outcome).inc()
        self._count_attempts(details)
        if details.prompt_tokens:
            self._tokens.labels("prompt").inc(details.prompt_tokens)
        if details.completion_tokens:
            self._tokens.labels("completion").inc(details.completion_tokens)
        if details.cost:
            self._cost.inc(details.cost)

    def _count_attempts(self, details: TurnDetails) -> None:
        for attempt in details.attempts:
            upstream = self._known(attempt.upstream)
            self._attempts.labels(upstream, attempt.outcome).inc()
            if attempt.first_useful is not None:
                self._attempt_first.labels(upstream).observe(attempt.first_useful)
        ended = {attempt.number for attempt in details.attempts}
        rounds: set[int] = set()
        for begun in details.begun:
            if begun.number not in ended:
                self._attempts.labels(self._known(begun.upstream), "cancelled").inc()
            if begun.hedge:
                self._hedges.inc()
            elif begun.round in rounds:
                self._failovers.inc()
            rounds.add(begun.round)

    def _known(self, upstream: str) -> str:
        """Give the label of an upstream: its name, or ``others`` for those past the bound."""
        if upstream not in self._upstreams:
            if len(self._upstreams) >= _MOST_UPSTREAMS:
                return _OTHERS
            self._upstreams.add(upstream)
        return upstream

    def refused(self, code: str | None) -> None:
        """Count a request that was refused, by the code of its error."""
        self._refused.labels(code or "none").inc()

    def lagged(self, seconds: float) -> None:
        """Take how late the event loop was."""
        self._lag.observe(seconds)
        self._now.lag = max(self._now.lag, seconds)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Give all metrics and their content type, in the format that an ``Accept`` header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


def _reason(details: TurnDetails) -> str:
    """Give what a turn counts as: its finish reason, or ``refused`` where no agent failed but a limit was reached."""
    refused = details.reason == "failed" and isinstance(details.error, TooMany | Overloaded)
    return "refused" if refused else details.reason


class _Now(Collector):
    """What is read at the moment that somebody looks; ``lag`` is the longest since they last did."""

    def __init__(self, sources: Sources) -> None:
        self.lag = 0.0
        self._sources = sources

    @override
    def collect(self) -> Iterator[Metric]:
        sources = self._sources
        yield GaugeMetricFamily("offhook_live_turns", "Turns that are being answered.", sources.live())
        yield GaugeMetricFamily(
            "offhook_waiting_turns", "First turns of calls that wait to be let in.", sources.waiting()
        )
        yield GaugeMetricFamily("offhook_calls", "Calls that are open.", sources.calls())
        yield GaugeMetricFamily("offhook_connections", "Connections that are open.", sources.connections())
        yield GaugeMetricFamily("offhook_stopping", "1 while the server goes down.", sources.stopping())
        yield GaugeMetricFamily("offhook_store_degraded", "1 while the store is away.", sources.degraded())
        yield GaugeMetricFamily(
            "offhook_journal_lag_seconds", "Age of the oldest record that is not safe yet.", sources.journal_lag()
        )
        yield GaugeMetricFamily("offhook_spool_records", "Records that wait in the spool.", sources.spooled())
        state = GaugeMetricFamily(
            "offhook_upstream_state", "The breaker: 0 closed, 0.5 half-open, 1 open.", labels=["upstream"]
        )
        for name, value in sources.upstreams():
            state.add_metric([name], value)
        yield state
        yield CounterMetricFamily("offhook_log_lines_dropped", "Log lines that nobody took.", sources.log_dropped())
        lag, self.lag = self.lag, 0.0
        yield GaugeMetricFamily(
            "offhook_event_loop_lag_max_seconds", "The longest lag since metrics were last read.", lag
        )


class LoopLag:
    """Measures how late the event loop wakes a sleeper, every ``every`` seconds, and tells ``observe``."""

    def __init__(self, clock: Clock, observe: Callable[[float], None], *, every: float = 0.25) -> None:
        self._clock = clock
        self._observe = observe
        self._every = every
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, once, in the running event loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="offhook-lag")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            due = self._clock.monotonic() + self._every
            await self._clock.sleep(self._every)
            self._observe(max(0.0, self._clock.monotonic() - due))
