"""Spans: a call, its turns, and the attempts and tools of each, for OpenTelemetry. Loaded only when traces are on."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from offhook import __version__
from offhook.errors import OffhookError
from offhook.observe import genai
from offhook.observe.context import passed_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from offhook.clock import Clock
    from offhook.events import Attempt, AttemptEnded, ToolRun
    from offhook.observe.hooks import TurnDetails, TurnStart

# Seconds without a turn after which the span of a call ends that nobody ended.
_IDLE = 3600.0
_MOST_CALLS = 10_000
_MOST_TURNS = 10_000
_LONGEST_VALUE = 256
# Seconds that the end waits for the spans that are left.
_PATIENCE = 2.0


class _Call(NamedTuple):
    span: Span
    last: float


class _Turn(NamedTuple):
    span: Span
    received_at: float


class Traces:
    """A tracer and a hook. Spans wait in a bounded queue and are sent by a thread; nothing here waits for it.

    The span of a turn is the child of the request's own where it brought one, and is then linked with its call's;
    otherwise it is the child of its call's span, which lasts from the first turn to the end of the call.
    ``patience`` is how many seconds the end waits for what is left to be sent.
    """

    def __init__(self, clock: Clock, exporter: SpanExporter | None = None, *, patience: float = _PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        ours = Resource({"service.name": "offhook", "service.version": __version__})
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("offhook", __version__)
        self._propagator = TraceContextTextMapPropagator()
        # In the order of their last turns, oldest first.
        self._calls: dict[str, _Call] = {}
        self._turns: dict[str, _Turn] = {}

    # --- the tracer -----------------------------------------------------------------------------------------------

    def turn_started(self, start: TurnStart) -> Mapping[str, str]:
        self._sweep()
        call = self._call(start) if start.call_id is not None else None
        came = passed_on(start.trace)
        if came:
            context = self._propagator.extract(came, Context())
            links = [Link(call.get_span_context())] if call is not None else []
        else:
            context, links = set_span_in_context(call, Context()) if call is not None else Context(), []
        span = self._tracer.start_span(
            "turn",
            context,
            SpanKind.SERVER,
            {**_names(start), genai.OPERATION_NAME: genai.INVOKE_AGENT, genai.AGENT_NAME: _bounded(start.model)},
            links,
            _nanoseconds(start.received_at),
        )
        self._turns[start.ticket] = _Turn(span, start.received_at)
        while len(self._turns) > _MOST_TURNS:
            self._turns.pop(next(iter(self._turns))).span.end(_nanoseconds(self._clock.now()))
        carried: dict[str, str] = {}
        self._propagator.inject(carried, set_span_in_context(span, Context()))
        return carried

    def call_ended(self, call_id: str) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            call.span.end(_nanoseconds(self._clock.now()))

    def _call(self, start: TurnStart) -> Span:
        assert start.call_id is not None
        call = self._calls.pop(start.call_id, None)
        if call is None:
            attributes = {genai.CONVERSATION_ID: _bounded(start.call_id), genai.PLATFORM: start.platform}
            at = _nanoseconds(start.received_at)
            span = self._tracer.start_span("call", Context(), SpanKind.INTERNAL, attributes, start_time=at)
            call = _Call(span, start.received_at)
        self._calls[start.call_id] = _Call(call.span, start.received_at)
        return call.span

    def _sweep(self) -> None:
        """End the spans of calls that have been silent for long, or are too many, with their last turn."""
        now = self._clock.now()
        while self._calls:
            call_id = next(iter(self._calls))
            span, last = self._calls[call_id]
            if now - last < _IDLE and len(self._calls) < _MOST_CALLS:
                return
            del self._calls[call_id]
            span.end(_nanoseconds(last))

    # --- the hook -------------------------------------------------------------------------------------------------

    def turn_ended(self, details: TurnDetails) -> None:
        turn = self._turns.pop(details.ticket, None)
        if turn is None:
            return
        span, received_at = turn
        if span.is_recording():
            self._fill(span, details, received_at)
            context = set_span_in_context(span, Context())
            self._attempts(details, received_at, context)
            for run in details.tools:
                self._tool(run, details, received_at, context)
        span.end(_nanoseconds(received_at + details.ended))

    def _fill(self, span: Span, details: TurnDetails, received_at: float) -> None:
        span.set_attributes(
            _known(
                {
                    genai.WHICH: details.which,
                    genai.MEMORY: details.memory,
                    genai.RESPONSE_FINISH_REASONS: (details.reason,),
                    genai.USAGE_INPUT_TOKENS: details.prompt_tokens,
                    genai.USAGE_OUTPUT_TOKENS: details.completion_tokens,
                    genai.FIRST_USEFUL: details.first_useful,
                    genai.GAP: details.gap,
                    genai.ASIDES: details.asides or None,
                    genai.COST: details.cost,
                }
            )
        )
        if details.first_useful is not None:
            span.add_event("first useful", timestamp=_nanoseconds(received_at + details.first_useful))
        if details.reason == "failed":
            _failed(span, _error_type(details.error))

    def _attempts(self, details: TurnDetails, received_at: float, context: Context) -> None:
        begun = {attempt.number: attempt for attempt in details.begun}
        for ended in details.attempts:
            self._attempt(begun.pop(ended.number, None), ended, details, received_at, context)
        for attempt in begun.values():
            # It was cut off with its turn. When it began is not told; it was after those before it had ended.
            before = [other.at + other.seconds for other in details.attempts if other.number < attempt.number]
            at = max([details.started, *before])
            cut = _span_times(received_at, at, max(0.0, details.ended - at))
            span = self._child(f"{genai.CHAT} {_bounded(attempt.model)}", SpanKind.CLIENT, context, cut[0], details)
            span.set_attributes({**_begun(attempt), **_chat(attempt.upstream), genai.OUTCOME: "cancelled"})
            span.end(cut[1])

    def _attempt(
        self, begun: Attempt | None, ended: AttemptEnded, details: TurnDetails, received_at: float, context: Context
    ) -> None:
        start, end = _span_times(received_at, ended.at, ended.seconds)
        name = f"{genai.CHAT} {_bounded(begun.model if begun else ended.upstream)}"
        span = self._child(name, SpanKind.CLIENT, context, start, details)
        counted = ended.prompt_tokens or ended.completion_tokens
        attributes: dict[str, AttributeValue | None] = {
            genai.OUTCOME: ended.outcome,
            genai.NUMBER: ended.number,
            genai.USAGE_INPUT_TOKENS: ended.prompt_tokens if counted else None,
            genai.USAGE_OUTPUT_TOKENS: ended.completion_tokens if counted else None,
            genai.ESTIMATED: ended.estimated if counted else None,
            genai.FIRST_USEFUL: ended.first_useful,
            genai.COST: ended.cost,
        }
        span.set_attributes({**_known(attributes), **_chat(ended.upstream), **(_begun(begun) if begun else {})})
        if ended.outcome in ("failed", "slow"):
            _failed(span, ended.code or ended.outcome)
        span.end(end)

    def _tool(self, run: ToolRun, details: TurnDetails, received_at: float, context: Context) -> None:
        start, end = _span_times(received_at, run.at, run.seconds)
        span = self._child(f"{genai.EXECUTE_TOOL} {_bounded(run.name)}", SpanKind.INTERNAL, context, start, details)
        attributes: dict[str, AttributeValue | None] = {
            genai.OPERATION_NAME: genai.EXECUTE_TOOL,
            genai.TOOL_NAME: _bounded(run.name),
            genai.TOOL_TYPE: genai.FUNCTION,
            genai.TOOL_CALL_ID: _bounded(run.id) or None,
            genai.OUTCOME: run.outcome,
        }
        span.set_attributes(_known(attributes))
        if run.outcome not in ("ok", "again"):
            _failed(span, run.code or run.outcome)
        span.end(end)

    def _child(self, name: str, kind: SpanKind, context: Context, start: int, details: TurnDetails) -> Span:
        call = {} if details.call_id is None else {genai.CONVERSATION_ID: _bounded(details.call_id)}
        return self._tracer.start_span(name, context, kind, call, start_time=start)

    # --- the end --------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End the spans that are open and send what is left, for ``patience`` seconds at most."""
        now = _nanoseconds(self._clock.now())
        open_spans: Iterable[_Turn | _Call] = (*self._turns.values(), *self._calls.values())
        for item in open_spans:
            item.span.end(now)
        self._turns.clear()
        self._calls.clear()
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            try:
                loop.call_soon_threadsafe(done.set)
            except RuntimeError:  # The loop did not wait so long.
                return

        # A thread of its own, and a daemon: one of the loop's would hold up the end of the process.
        threading.Thread(target=shut_down, name="offhook-traces", daemon=True).start()
        try:
            async with asyncio.timeout(self._patience):
                await done.wait()
        except TimeoutError:
            return


def _names(start: TurnStart) -> dict[str, AttributeValue]:
    return _known(
        {
            genai.CONVERSATION_ID: None if start.call_id is None else _bounded(start.call_id),
            genai.TURN_ID: None if start.turn_id is None else _bounded(start.turn_id),
            genai.REQUEST_ID: _bounded(start.request_id),
            genai.PLATFORM: start.platform,
        }
    )


def _chat(upstream: str) -> dict[str, AttributeValue]:
    return {
        genai.OPERATION_NAME: genai.CHAT,
        genai.PROVIDER_NAME: genai.OPENAI,
        genai.UPSTREAM: _bounded(upstream),
    }


def _begun(attempt: Attempt) -> dict[str, AttributeValue]:
    return {
        genai.REQUEST_MODEL: _bounded(attempt.model),
        genai.NUMBER: attempt.number,
        genai.ROUND: attempt.round,
        genai.HEDGE: attempt.hedge,
    }


def _known(attributes: Mapping[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _failed(span: Span, kind: str) -> None:
    """Mark a span as failed by the kind of the error; its message may hold what a caller said."""
    span.set_attribute(genai.ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR))


def _error_type(error: Exception | None) -> str:
    if isinstance(error, OffhookError) and error.code:
        return error.code
    return "unknown" if error is None else type(error).__name__


def _bounded(value: str) -> str:
    """Keep a value short and encodable: half a character in one span would cost all that are sent with it."""
    return value[:_LONGEST_VALUE].encode("utf-8", "replace").decode()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _span_times(received_at: float, at: float, seconds: float) -> tuple[int, int]:
    return _nanoseconds(received_at + at), _nanoseconds(received_at + at + seconds)
