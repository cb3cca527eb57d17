"""What one turn costs those who look at it, without a server around: ``python -m bench.hooks`` prints it as JSON.

It needs a standard error that nobody reads: the log lines go there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from typing_extensions import override

from offhook.clock import SystemClock
from offhook.events import Attempt, AttemptEnded
from offhook.observe.hooks import TurnDetails, TurnStart
from offhook.observe.logs import TurnLog, set_up
from offhook.observe.metrics import Metrics, Sources
from offhook.observe.traces import make_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

TURNS = 3000
# So many turns are given at once, then their spans and lines have time to go: what does not fit a queue costs nothing.
_AT_ONCE = 100
_REST = 0.02
_CALL_TURNS = 6


class Nowhere(SpanExporter):
    """Makes of spans what would be sent, and forgets it."""

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def details(number: int) -> TurnDetails:
    """Give a turn of a call as it ended well, with one attempt."""
    return TurnDetails(
        request_id=f"req_{number}",
        call_id=f"call-{number // _CALL_TURNS}",
        turn_id=str(number % _CALL_TURNS),
        platform="alibaba_ims",
        model="bench",
        which="newer",
        memory="aligned",
        reason="stop",
        error=None,
        events=80,
        started=0.001,
        first_useful=0.42,
        cancelled=None,
        ended=2.1,
        stopped_at=1000.0,
        ticket=f"turn_{number}",
        gap=0.05,
        begun=(Attempt("local", "bench"),),
        attempts=(AttemptEnded(1, "local", "answered", 2.1, 0.42, prompt_tokens=200, completion_tokens=80),),
        prompt_tokens=200,
        completion_tokens=80,
    )


def start(number: int) -> TurnStart:
    """Give the beginning of the same turn."""
    turn = details(number)
    return TurnStart(turn.ticket, turn.request_id, turn.call_id, turn.turn_id, turn.platform, turn.model, time.time())


def cost(work: Callable[[int], object], end: Callable[[], object] = lambda: None) -> float:
    """Give the CPU time of a turn in microseconds, with all threads, until what waits in a queue has gone.

    ``work`` is given the number of each turn, ``end`` is called behind the last.
    """
    begun = time.process_time_ns()
    for number in range(TURNS):
        work(number)
        if number % _AT_ONCE == _AT_ONCE - 1:
            time.sleep(_REST)
    end()
    return round((time.process_time_ns() - begun) / TURNS / 1000, 1)


def main() -> None:
    """Print the microseconds of a turn by who looks at it."""
    starts = [start(number) for number in range(TURNS)]
    turns = [details(number) for number in range(TURNS)]
    found: dict[str, float] = {}
    for name, format in (("a log line as text", "text"), ("a log line as JSON", "json")):
        queue = set_up("info", "json" if format == "json" else "text")
        hook = TurnLog()
        found[name] = cost(lambda number, hook=hook: hook.turn_ended(turns[number]), queue.close)  # type: ignore[misc]  # a default binds the loop's hook
    metrics = Metrics(Sources())
    found["metrics"] = cost(lambda number: metrics.turn_ended(turns[number]))
    traces = make_traces(SystemClock(), Nowhere())

    def trace(number: int) -> None:
        traces.turn_started(starts[number])
        traces.turn_ended(turns[number])
        if turns[number].turn_id == str(_CALL_TURNS - 1):
            traces.call_ended(turns[number].call_id or "")

    found["traces"] = cost(trace, lambda: asyncio.run(traces.close()))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
