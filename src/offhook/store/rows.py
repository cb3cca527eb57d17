"""Records to rows and back. A row holds the fields of its record in their order, as ``schema.py`` does."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from offhook.store.base import (
    CallRecord,
    CallSummary,
    CallTold,
    EventRecord,
    Intent,
    IntentDone,
    PromptChange,
    Spoken,
    StoredCall,
    TurnKept,
    TurnRecord,
    in_order,
)
from offhook.wire.chat import well_formed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from offhook.store.base import Change

Row: TypeAlias = tuple[Any, ...]

# What a column for whole numbers holds, in any database.
LARGEST = 2**63 - 1

_call_row = msgspec.structs.astuple
_encode = msgspec.json.Encoder().encode
_prompt = msgspec.json.Decoder(PromptChange).decode
_map = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode
_data = msgspec.json.Decoder(dict[str, Any]).decode


def encoded(value: object) -> str:
    """Give a value as JSON. Raises what msgspec raises for what has no JSON, or no UTF-8."""
    return _encode(value).decode()


class Rows:
    """The rows of a batch of changes, by the statement that takes them."""

    __slots__ = ("calls", "encode", "ended", "events", "heard", "spoken", "told", "turns")

    def __init__(self, changes: Iterable[Change], *, encode: Callable[[object], str] = encoded) -> None:
        self.calls: list[Row] = []
        self.turns: list[Row] = []
        self.events: list[Row] = []
        self.heard: list[Row] = []
        self.told: list[Row] = []
        self.spoken: list[Row] = []
        self.ended: list[Row] = []
        self.encode = encode
        for change in changes:
            self._take(change)

    def _take(self, change: Change) -> None:
        if isinstance(change, TurnKept):
            self.calls.append((*_call_row(change.call), True, change.call.id))
            self.turns.append(_turn_row(change.turn, self.encode))
            uid = change.turn.uid
            self.events.extend(
                (uid, position, event.kind, event.at, self.encode(event.data))
                for position, event in enumerate(change.turn.events)
            )
        elif isinstance(change, CallRecord):
            self.calls.append((*_call_row(change), False, change.id))
        elif isinstance(change, CallTold):
            *values, spoken = msgspec.structs.astuple(change)[1:]
            self.told.append((*values, change.call_id))
            self.spoken.extend((change.call_id, *msgspec.structs.astuple(one), change.call_id) for one in spoken)
        elif isinstance(change, IntentDone):
            self.ended.append((change.outcome, change.code, change.result, change.ended_at, change.key))
        else:
            self.heard.append((change.heard, change.uid))


def _turn_row(turn: TurnRecord, encode: Callable[[object], str]) -> Row:
    return (
        turn.uid,
        turn.call_id,
        turn.model,
        turn.turn_id,
        turn.request_id,
        turn.which,
        turn.kind,
        turn.said,
        turn.digest,
        turn.spoken,
        turn.stream,
        turn.memory,
        None if turn.prompt is None else encode(turn.prompt),
        turn.generated,
        turn.sent,
        encode(turn.map) if turn.map else "[]",
        turn.heard,
        turn.reason,
        turn.error,
        turn.prompt_tokens,
        turn.completion_tokens,
        turn.received_at,
        turn.started,
        turn.first_useful,
        turn.first_byte,
        turn.cancelled,
        turn.ended,
        turn.cost,
    )


def intent_row(intent: Intent) -> Row:
    """Give the row of an intent, with texts that every database can hold."""
    return tuple(_mended(value) for value in msgspec.structs.astuple(intent))


# --- what a database refuses --------------------------------------------------------------------------------------


def mended(change: Change) -> Rows:
    """Give the rows of a change that a database refused, with the texts and numbers that it cannot hold put right.

    A lone surrogate becomes U+FFFD, a whole number beyond 64 bits the nearest within. Raises TypeError, ValueError or
    RecursionError when there is something in it that has no JSON.
    """
    rows = Rows((change,), encode=_encoded_at_any_rate)
    for kind in (rows.calls, rows.turns, rows.events, rows.heard, rows.told, rows.spoken, rows.ended):
        kind[:] = [tuple(_mended(value) for value in row) for row in kind]
    return rows


def call_id(id: str) -> str:
    """Give the id under which a call is kept."""
    return id if id.isascii() else well_formed(id)


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, int):
        return max(-LARGEST, min(value, LARGEST))
    return value


def _encoded_at_any_rate(value: object) -> str:
    """Give a value as JSON also where msgspec does not: a number of any size, a text with surrogates."""
    return json.dumps(_plain(msgspec.to_builtins(value)), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# --- and back -----------------------------------------------------------------------------------------------------


_CALL = CallRecord.__struct_fields__
_SPOKEN = Spoken.__struct_fields__
_TURN = tuple(name for name in TurnRecord.__struct_fields__ if name != "events")


def call_of(row: Row) -> CallRecord:
    """Give the call of a row."""
    fields = dict(zip(_CALL, row, strict=True))
    fields["named"] = bool(fields["named"])
    return CallRecord(**fields)


def intent_of(row: Row) -> Intent:
    """Give the intent of a row."""
    return Intent(**dict(zip(Intent.__struct_fields__, row, strict=True)))


def summary_of(row: Row) -> CallSummary:
    """Give the call of a row that ends in the counts of its turns and of those that failed."""
    *call, turns, failed = row
    return CallSummary(call=call_of(tuple(call)), turns=turns, failed=failed)


def stored_call(call: Row, turns: Iterable[Row], events: Iterable[Row], spoken: Iterable[Row] = ()) -> StoredCall:
    """Give a call with its turns and theirs with their events, each in the order of its rows, and what was spoken."""
    of_turn: dict[str, list[EventRecord]] = {}
    for uid, _, kind, at, data in events:
        of_turn.setdefault(uid, []).append(EventRecord(kind=kind, at=at, data=_data(data)))
    return StoredCall(
        call=call_of(call),
        turns=tuple(_turn_of(row, of_turn.get(row[0], ())) for row in turns),
        spoken=in_order(Spoken(**dict(zip(_SPOKEN, row[1:], strict=True))) for row in spoken),
    )


def _turn_of(row: Row, events: Iterable[EventRecord]) -> TurnRecord:
    fields = dict(zip(_TURN, row, strict=True))
    fields["stream"] = bool(fields["stream"])
    fields["prompt"] = None if fields["prompt"] is None else _prompt(fields["prompt"])
    fields["map"] = _map(fields["map"])
    return TurnRecord(**fields, events=tuple(events))
