"""What is kept of a turn that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.errors import OffhookError
from offhook.events import Aside, Attempt, AttemptEnded, Command, Event, Finish, Text, ToolCall, ToolRun, Usage
from offhook.store.base import EventRecord, TurnRecord
from offhook.turns.live import since, tokens_of, total_cost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offhook.turns.live import LiveTurn


def record_of(live: LiveTurn, call_id: str, ended: float) -> TurnRecord:
    """Give the record of a turn whose reply has ended; ``ended`` is in the clock's monotonic seconds."""
    turn, reply, received = live.turn, live.reply, live.received
    finish = reply.finish or Finish("cancelled")
    generated = "".join([event.text for event in reply.events if type(event) is Text])
    prompt_tokens, completion_tokens = tokens_of(reply.rare)
    asked = live.asked
    sent = _words_sent(reply.events, live.sent) if any(map(_is_aside, reply.rare)) else live.sent
    return TurnRecord(
        uid=live.ticket,
        call_id=call_id,
        model=turn.model,
        turn_id=turn.id,
        request_id=live.request_id,
        which=live.which,
        kind=turn.kind,
        said=turn.text,
        digest=asked.digest if asked else b"",
        spoken=(asked.spoken or b"") if asked else b"",
        stream=asked.stream if asked else True,
        memory=live.memory,
        prompt=live.change,
        generated=generated,
        sent=generated[:sent],
        # The one text goes out as the other was written: what the voice chain took away is in neither.
        map=((0, 0),) if sent else (),
        reason=finish.reason,
        error=_error(finish),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        received_at=live.received_at,
        started=since(live.started, received),
        first_useful=since(reply.first_useful, received),
        first_byte=since(live.first_byte, received),
        cancelled=since(live.cancelled_at, received),
        ended=ended - received,
        cost=total_cost(event for event in reply.rare if type(event) is AttemptEnded),
        events=_events(live),
    )


def events_of(record: TurnRecord) -> tuple[tuple[Event, ...], Finish]:
    """Give the events of a recorded reply, its words in one, and how it ended."""
    events: list[Event] = [Text(record.generated)] if record.generated else []
    for event in record.events:
        if event.kind == "tool_call":
            events.append(ToolCall(**event.data))
        elif event.kind == "command":
            events.append(Command(**event.data))
    if record.prompt_tokens is not None and record.completion_tokens is not None:
        events.append(Usage(record.prompt_tokens, record.completion_tokens))
    return tuple(events), Finish("length" if record.reason == "length" else "stop")


def generated_at(record: TurnRecord, sent: int) -> int:
    """Give the offset into what was generated that belongs to an offset into what was sent."""
    pairs = [pair for pair in record.map if pair[0] <= sent] or [(0, 0)]
    start, generated = pairs[-1]
    return min(len(record.generated), generated + sent - start)


def _events(live: LiveTurn) -> tuple[EventRecord, ...]:
    kept = []
    for place, time in live.reply.times:
        event = live.reply.events[place]
        kind = _KINDS.get(type(event))
        if kind is not None:
            at = time - live.received
            kept.append(
                EventRecord(kind=kind, at=at, data={name: getattr(event, name) for name in event.__struct_fields__})
            )
    kept.extend(EventRecord(kind="retry", at=at - live.received, data={"request_id": id}) for id, at in live.retries)
    return tuple(kept)


_KINDS: dict[type, str] = {
    ToolCall: "tool_call",
    Command: "command",
    Attempt: "attempt",
    AttemptEnded: "attempt_ended",
    ToolRun: "tool_run",
    Aside: "aside",
}


def _is_aside(event: Event) -> bool:
    return type(event) is Aside


def _words_sent(events: Iterable[Event], sent: int) -> int:
    """Give how many characters of the answer are among the first that went out, fillers and apologies included."""
    words = 0
    for event in events:
        if type(event) is Text:
            taken = min(len(event.text), sent)
            words += taken
            sent -= taken
        elif type(event) is Aside:
            sent -= min(len(event.text), sent)
    return words


def _error(finish: Finish) -> str | None:
    """Give the code of what a reply failed with; its message may hold what a caller said."""
    if finish.error is None:
        return None
    code = finish.error.code if isinstance(finish.error, OffhookError) else None
    return code or type(finish.error).__name__
