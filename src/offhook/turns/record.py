"""What is kept of a turn that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.errors import OffhookError
from offhook.events import Aside, Attempt, AttemptEnded, Command, Event, Finish, Refused, Text, ToolCall, ToolRun, Usage
from offhook.store.base import EventRecord, TurnRecord
from offhook.turns.live import since, tokens_of, total_cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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
        heard=live.heard,
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
    """Give the events of a recorded reply, with its words in as few pieces as can be, and how it ended."""
    events: list[Event] = []
    words, place = record.generated, 0
    for event in record.events:
        make = _REPLAYED.get(event.kind)
        if make is None:
            continue
        data = dict(event.data)
        behind = data.pop(BEHIND, len(words))
        if behind > place and words[place:behind]:
            events.append(Text(words[place:behind]))
            place = behind
        events.append(make(**data))
    if words[place:]:
        events.append(Text(words[place:]))
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
    behind = _behind(live.reply.events)
    for place, time in live.reply.times:
        event = live.reply.events[place]
        kind = _KINDS.get(type(event))
        if kind is not None:
            at = time - live.received
            data = {name: getattr(event, name) for name in event.__struct_fields__}
            if type(event) is Command:
                data = {name: value for name, value in data.items() if value or name in ("name", "to")}
            if place in behind:
                data[BEHIND] = behind[place]
            kept.append(EventRecord(kind=kind, at=at, data=data))
    kept.extend(EventRecord(kind="retry", at=at - live.received, data={"request_id": id}) for id, at in live.retries)
    return tuple(kept)


def _behind(events: Sequence[Event]) -> dict[int, int]:
    """Give behind how many characters of the answer a call or command stands that has words behind it, by its place."""
    places: dict[int, int] = {}
    said = 0
    for place, event in enumerate(events):
        if type(event) is Text:
            said += len(event.text)
        elif type(event) is Command or type(event) is ToolCall:
            places[place] = said
    return {place: behind for place, behind in places.items() if behind < said}


# The member of an event's data that holds its place among the words; without it none come behind it.
BEHIND = "behind"

_REPLAYED: dict[str, Callable[..., Event]] = {"tool_call": ToolCall, "command": Command}

_KINDS: dict[type, str] = {
    ToolCall: "tool_call",
    Command: "command",
    Attempt: "attempt",
    AttemptEnded: "attempt_ended",
    ToolRun: "tool_run",
    Refused: "refused",
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
