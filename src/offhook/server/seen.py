"""How a line can be seen from outside: its logs, metrics and traces, from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.clock import SystemClock
from offhook.observe.logs import TurnLog, dropped_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offhook.clock import Clock
    from offhook.config import Settings
    from offhook.observe.hooks import Tracer, TurnHook
    from offhook.observe.metrics import LoopLag, Metrics
    from offhook.observe.spans import Traces
    from offhook.server.line import Line, Part
    from offhook.upstream.attempt import Upstream

_STATES = {"closed": 0.0, "half_open": 0.5, "open": 1.0}


class Seen:
    """The hooks of a line, its tracer and its metrics; ``line`` is put in before the line starts.

    Raises SetupError when traces are asked for and OpenTelemetry is not installed.
    """

    line: Line

    def __init__(self, settings: Settings, clock: Clock, upstreams: Sequence[Upstream]) -> None:
        self._upstreams = upstreams
        self.metrics: Metrics | None = None
        self.tracer: Tracer | None = None
        self.hooks: list[TurnHook] = [TurnLog(content=settings.log_content or settings.show)]
        self.parts: list[Part] = []
        if settings.metrics != "off":
            self._add_metrics()
        if settings.traces:
            from offhook.observe.traces import make_traces

            traces = make_traces(clock)
            self.tracer = traces
            self.hooks.append(traces)
            self.parts.append(_Spans(traces))

    def refused(self, code: str | None) -> None:
        """Count a request that was refused before there was a turn."""
        if self.metrics is not None:
            self.metrics.refused(code)

    def _add_metrics(self) -> None:
        # Loaded only where it is used.
        from offhook.observe.metrics import LoopLag, Metrics, Sources

        sources = Sources(
            live=lambda: self.line.engine.live,
            waiting=lambda: self.line.admission.waiting,
            calls=lambda: len(self.line.calls),
            connections=lambda: self.line.connections(),
            degraded=lambda: bool(self.line.engine.degraded),
            stopping=lambda: self.line.engine.stopping,
            journal_lag=lambda: self.line.journal.lag if self.line.journal else 0.0,
            spooled=lambda: self.line.journal.spooled if self.line.journal else 0,
            upstreams=self._states,
            log_dropped=dropped_lines,
        )
        self.metrics = Metrics(sources)
        self.hooks.append(self.metrics)
        # What is late here is the real loop, whatever clock the turns go by.
        self.parts.append(_Lag(LoopLag(SystemClock(), self.metrics.lagged)))

    def _states(self) -> list[tuple[str, float]]:
        return [(one.spec.name, _STATES[one.state()]) for one in self._upstreams]


class _Lag:
    def __init__(self, lag: LoopLag) -> None:
        self._lag = lag

    async def start(self) -> None:
        self._lag.start()

    async def close(self) -> None:
        await self._lag.close()


class _Spans:
    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    async def start(self) -> None:
        """Spans have nothing to begin with."""

    async def close(self) -> None:
        await self._traces.close()
