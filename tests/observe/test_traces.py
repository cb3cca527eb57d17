"""Spans hang together as they were: call, turn, attempt and tool."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from typing_extensions import override

from offhook.errors import SetupError, UpstreamBroken
from offhook.events import Attempt, AttemptEnded, ToolRun
from offhook.observe import genai, spans
from offhook.observe.hooks import TurnDetails, TurnStart
from offhook.observe.traces import make_traces
from offhook.testing import JumpClock
from tests.documents import DOCS, named_in_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{PARENT}-01"
SECRETS = ("my pin is 4711", "13800000001")


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest.fixture
def kept() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def start(ticket: str = "turn_1", *, call_id: str | None = "call-1", at: float = 0.0, **fields: Any) -> TurnStart:
    return TurnStart(
        ticket=ticket,
        request_id="req_1",
        call_id=call_id,
        turn_id="3",
        platform="plain",
        model="abc",
        received_at=JumpClock().now() + at,
        **fields,
    )


def details(ticket: str = "turn_1", reason: str = "stop", **fields: Any) -> TurnDetails:
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
        "first_useful": 0.5,
        "cancelled": None,
        "ended": 2.0,
        "stopped_at": 2.0,
        **fields,
    }
    return TurnDetails(ticket=ticket, reason=reason, **given)


def by_name(kept: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    finished = kept.get_finished_spans()
    assert len({span.name for span in finished}) == len(finished)
    return {span.name: span for span in finished}


def seconds_of(span: ReadableSpan) -> tuple[float, float]:
    """Give when a span began and ended, in seconds since the clock's start."""
    assert span.start_time is not None and span.end_time is not None
    begin = JumpClock().now()
    return round(span.start_time / 1e9 - begin, 3), round(span.end_time / 1e9 - begin, 3)


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    number: int = span.context.span_id
    return number


async def test_a_call_has_turns_and_a_turn_has_attempts_and_tools(clock: JumpClock, kept: InMemorySpanExporter) -> None:
    """Spans hang together as call, turn, attempt and tool, each with the times at which it really was."""
    traces = make_traces(clock, kept)
    traces.turn_started(start())
    attempts = (
        AttemptEnded(1, "one", "failed", 0.25, code="upstream_broken", at=0.125),
        AttemptEnded(2, "two", "answered", 1.0, 0.125, prompt_tokens=80, completion_tokens=4, cost=0.5, at=0.375),
    )
    begun = (Attempt("one", "m1"), Attempt("two", "m2", number=2))
    run = ToolRun("look_up", f'{{"who": "{SECRETS[1]}"}}', "ok", 0.5, id="tool-9", at=1.375)
    traces.turn_ended(details(attempts=attempts, begun=begun, tools=(run,), asides=("filler",), cost=0.5))
    clock.advance(10.0)
    traces.call_ended("call-1")
    await traces.close()
    seen = by_name(kept)
    call, turn = seen["call"], seen["turn"]
    assert parent_of(call) is None
    assert parent_of(turn) == id_of(call)
    assert {parent_of(seen[name]) for name in ("chat m1", "chat m2", "execute_tool look_up")} == {id_of(turn)}
    assert seconds_of(call) == (0.0, 10.0)
    assert seconds_of(turn) == (0.0, 2.0)
    assert seconds_of(seen["chat m1"]) == (0.125, 0.375)
    assert seconds_of(seen["chat m2"]) == (0.375, 1.375)
    assert seconds_of(seen["execute_tool look_up"]) == (1.375, 1.875)
    assert (turn.kind, seen["chat m1"].kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert [round(event.timestamp / 1e9 - JumpClock().now(), 3) for event in turn.events] == [0.5]


async def test_an_attempt_says_what_it_asked_and_what_it_took(clock: JumpClock, kept: InMemorySpanExporter) -> None:
    """The span of an attempt has the names that OpenTelemetry has for generative AI, and its outcome."""
    traces = make_traces(clock, kept)
    traces.turn_started(start())
    ended = AttemptEnded(1, "one", "answered", 0.5, 0.25, prompt_tokens=80, completion_tokens=4, estimated=True)
    traces.turn_ended(details(attempts=(ended,), begun=(Attempt("one", "m1", hedge=True),)))
    await traces.close()
    assert dict(by_name(kept)["chat m1"].attributes or {}) == {
        "gen_ai.conversation.id": "call-1",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m1",
        "gen_ai.usage.input_tokens": 80,
        "gen_ai.usage.output_tokens": 4,
        "offhook.attempt.hedge": True,
        "offhook.attempt.number": 1,
        "offhook.attempt.round": 1,
        "offhook.first_useful": 0.25,
        "offhook.outcome": "answered",
        "offhook.tokens.estimated": True,
        "offhook.upstream": "one",
    }


async def test_an_attempt_that_was_cut_off_has_a_span(clock: JumpClock, kept: InMemorySpanExporter) -> None:
    """The attempt that ran when its turn was cancelled lasts from the end of those before it to the end of the turn."""
    traces = make_traces(clock, kept)
    traces.turn_started(start())
    ended = AttemptEnded(1, "one", "slow", 1.0, at=0.25)
    traces.turn_ended(
        details(reason="cancelled", attempts=(ended,), begun=(Attempt("one", "m1"), Attempt("two", "m2", 2)))
    )
    await traces.close()
    seen = by_name(kept)
    assert seconds_of(seen["chat m2"]) == (1.25, 2.0)
    assert (seen["chat m2"].attributes or {})["offhook.outcome"] == "cancelled"
    assert seen["chat m2"].status.status_code is StatusCode.UNSET
    assert seen["chat m1"].status.status_code is StatusCode.ERROR
    assert (seen["chat m1"].attributes or {})["error.type"] == "slow"


async def test_the_context_of_the_request_is_the_parent(clock: JumpClock, kept: InMemorySpanExporter) -> None:
    """A turn whose request belongs to a trace goes on in that trace, and is linked with its call."""
    traces = make_traces(clock, kept)
    carried = traces.turn_started(start(trace={"traceparent": HEADER, "tracestate": "a=1"}))
    traces.turn_ended(details())
    await traces.close()
    seen = by_name(kept)
    turn, call = seen["turn"], seen["call"]
    assert parent_of(turn) == int(PARENT, 16)
    assert carried == {"traceparent": f"00-{TRACE}-{id_of(turn):016x}-01", "tracestate": "a=1"}
    assert [link.context.span_id for link in turn.links] == [id_of(call)]
    assert call.context is not None and call.context.trace_id != int(TRACE, 16)


async def test_a_turn_without_context_carries_its_own(clock: JumpClock, kept: InMemorySpanExporter) -> None:
    """What a turn asks of others is told its span, also where its request came without context or with a bad one."""
    traces = make_traces(clock, kept)
    carried = traces.turn_started(start(trace={"traceparent": "nonsense"}))
    traces.turn_ended(details())
    await traces.close()
    turn = by_name(kept)["turn"]
    assert turn.context is not None
    assert list(carried) == ["traceparent"]
    assert carried["traceparent"].startswith(f"00-{turn.context.trace_id:032x}-{turn.context.span_id:016x}-0")
    assert turn.links == ()


async def test_a_trace_that_is_not_sampled_is_not_written_but_goes_on(
    clock: JumpClock, kept: InMemorySpanExporter
) -> None:
    """Where the platform says that a trace is not kept, ours is not either, and who is asked next is told the same."""
    traces = make_traces(clock, kept)
    carried = traces.turn_started(start(trace={"traceparent": f"00-{TRACE}-{PARENT}-00"}))
    traces.turn_ended(details(attempts=(AttemptEnded(1, "one", "answered", 1.0),)))
    await traces.close()
    assert [span.name for span in kept.get_finished_spans()] == ["call"]
    assert carried["traceparent"].startswith(f"00-{TRACE}-")
    assert carried["traceparent"].endswith("-00")


async def test_two_turns_of_a_call_have_one_call(clock: JumpClock, kept: InMemorySpanExporter) -> None:
    """The span of a call is one for all its turns, and a request that names no call has none."""
    traces = make_traces(clock, kept)
    traces.turn_started(start("a"))
    traces.turn_started(start("b"))
    traces.turn_started(start("c", call_id=None))
    for ticket in ("a", "b", "c", "never begun"):
        traces.turn_ended(details(ticket))
    traces.call_ended("call-1")
    traces.call_ended("never begun")
    await traces.close()
    finished = kept.get_finished_spans()
    [call] = [span for span in finished if span.name == "call"]
    assert [parent_of(span) for span in finished if span.name == "turn"] == [id_of(call), id_of(call), None]


async def test_a_failure_is_told_by_its_kind(clock: JumpClock, kept: InMemorySpanExporter) -> None:
    """A failed turn, attempt or tool has the status of an error and its code, and nothing that was said."""
    traces = make_traces(clock, kept)
    traces.turn_started(start())
    run = ToolRun("look_up", SECRETS[0], "failed", 0.1, code="KeyError")
    traces.turn_ended(details(reason="failed", error=UpstreamBroken(SECRETS[0]), tools=(run,)))
    traces.turn_started(start("other", call_id=None))
    traces.turn_ended(details("other", reason="failed", error=ValueError(SECRETS[0])))
    await traces.close()
    finished = kept.get_finished_spans()
    failed = [span for span in finished if span.status.status_code is StatusCode.ERROR]
    assert {(span.attributes or {})["error.type"] for span in failed} == {"upstream_broken", "KeyError", "ValueError"}
    everything = " ".join(span.to_json() for span in finished)
    assert [secret for secret in SECRETS if secret in everything] == []


async def test_a_silent_call_ends_after_an_hour(clock: JumpClock, kept: InMemorySpanExporter) -> None:
    """The span of a call that nobody ends is ended with its last turn once an hour has passed."""
    traces = make_traces(clock, kept)
    traces.turn_started(start("d", call_id="busy"))
    traces.turn_started(start("a", call_id="quiet"))
    traces.turn_ended(details("a"))
    clock.advance(1800.0)
    traces.turn_started(start("b", call_id="busy", at=1800.0))
    clock.advance(1800.0)
    traces.turn_started(start("c", call_id="busy", at=3600.0))
    # Swept then, and not first when the server ends.
    assert "quiet" not in traces._calls
    clock.advance(10.0)
    await traces.close()
    calls = {
        (span.attributes or {})["gen_ai.conversation.id"]: span
        for span in kept.get_finished_spans()
        if span.name == "call"
    }
    assert seconds_of(calls["quiet"]) == (0.0, 0.0)
    assert seconds_of(calls["busy"]) == (0.0, 3610.0)


async def test_spans_that_never_end_are_bounded(
    clock: JumpClock, kept: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls and turns whose end is never told do not grow the memory."""
    monkeypatch.setattr(spans, "_MOST_CALLS", 10)
    monkeypatch.setattr(spans, "_MOST_TURNS", 10)
    traces = make_traces(clock, kept)
    for number in range(50):
        traces.turn_started(start(f"turn_{number}", call_id=f"call-{number}"))
    assert len(traces._calls) <= 10
    assert len(traces._turns) <= 10
    await traces.close()
    assert len(kept.get_finished_spans()) == 100


@pytest.mark.parametrize("value", ["\ud800", "x" * 100_000, "\x00\n", ""])
async def test_any_id_is_an_attribute(clock: JumpClock, kept: InMemorySpanExporter, value: str) -> None:
    """Whatever a client sends as an id becomes an attribute that can be sent, in bounded length."""
    traces = make_traces(clock, kept)
    traces.turn_started(start(call_id=value))
    traces.turn_ended(details(call_id=value))
    await traces.close()
    for span in kept.get_finished_spans():
        conversation = str((span.attributes or {})["gen_ai.conversation.id"])
        conversation.encode()
        assert len(conversation) <= 256


class Stuck(SpanExporter):
    """An exporter whose collector never answers."""

    def __init__(self) -> None:
        self.release = threading.Event()

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.release.wait(10)
        return SpanExportResult.FAILURE


async def test_a_collector_that_hangs_holds_up_nobody(clock: JumpClock) -> None:
    """Turns and the end of the server do not wait for a collector that takes nothing."""
    stuck = Stuck()
    traces = spans.Traces(clock, stuck, patience=0.05)
    try:
        # More than the queue takes, so that the exporter is at work and spans are dropped.
        for number in range(3000):
            traces.turn_started(start(str(number), call_id=None))
            traces.turn_ended(details(str(number)))
        await traces.close()
        assert not stuck.release.is_set()
    finally:
        stuck.release.set()


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, clock: JumpClock) -> None:
    """Without the packages of the extra, traces are refused with what to install."""
    monkeypatch.delitem(sys.modules, "offhook.observe.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SetupError, match=r"pip install 'offhook\[otel\]'"):
        make_traces(clock)


def test_variables_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, clock: JumpClock) -> None:
    """What OpenTelemetry cannot use of its variables is told as a mistake of set-up."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(SetupError, match="OTEL_"):
        make_traces(clock)


def test_every_attribute_is_documented() -> None:
    """docs/traces.md lists every attribute that a span can have, and no other."""
    ours = {
        value for name, value in vars(genai).items() if name.isupper() and isinstance(value, str) and ("." in value)
    }
    assert {name for name in named_in_rows(DOCS / "traces.md") if "." in name} == ours
