"""A call while it lives in this server: what its turns share."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.dialects.base import parse_user_data
from offhook.events import CallContext, OpenCall
from offhook.store.base import CallRecord, EventRecord, StoredCall, TurnRecord
from offhook.turns.memory import PastReply, Transcript, restore
from offhook.turns.phrases import SaidTurn
from offhook.turns.state import CallState, Ending
from offhook.turns.which import Asked, Known, number_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from offhook.agents.base import Agent
    from offhook.store.base import Spoken
    from offhook.turns.which import Which

log = logging.getLogger("offhook.turns")

# So many records of a call are at hand for its retries; older ones are read from the store.
_MOST_AT_HAND = 64


class CallLine:
    """One call. Times are since the epoch; ``live`` counts its turns that run.

    ``transcripts``, ``latest`` (the uid of the turn that a transcript's end belongs to) and ``asked`` (what was asked
    in that) are by model. ``endings`` are how replies ended, to be entered with the next request. ``starts`` holds the
    tasks of ``on_call_start``, None for an agent that was told of the call before a restart, which ``told_before``
    tells. ``spoken_early`` holds what the platform reported as spoken in turns that are not recorded yet, ``kept``
    names those that are; ``spoken_entries`` and ``spoken_characters`` count all that was reported. ``received_at`` is
    when the last turn came, ``went_on`` tells that the call had ended before that. ``last_phrase`` is what the house
    said last by itself, of each kind; ``served`` tells that a turn was let in.
    """

    def __init__(self, context: CallContext, *, id: str, begun_at: float, named: bool = True) -> None:
        self.id = id
        self.named = named
        self.context = context
        self.begun_at = begun_at
        self.last_at = begun_at
        self.used = 0.0
        self.live = 0
        self.state: dict[str, Any] = {}
        self.kept_state: str | None = None
        self.ended_by: str | None = None
        self.ended_at: float | None = None
        self.connected_at: float | None = None
        self.hung_up_by: str | None = None
        self.duration: float | None = None
        self.received_at = begun_at
        self.went_on = False
        self.spoken_entries = 0
        self.spoken_characters = 0
        self.spoken_early: OrderedDict[str, list[str]] = OrderedDict()
        self.kept: set[str] = set()
        self.transcripts: dict[str, Transcript] = {}
        self.latest: dict[str, str] = {}
        self.asked: dict[str, Asked] = {}
        self.endings: list[Ending] = []
        self.starts: dict[Agent, asyncio.Task[None] | None] = {}
        self.told_before: bool = False
        self.last_phrase: dict[str, str] = {}
        self.served = False
        self.seed = CallState()
        self._records: OrderedDict[str, TurnRecord] = OrderedDict()
        self._said: dict[str, SaidTurn] = {}

    def open_call(self) -> OpenCall:
        """Give the call as an agent is told of it."""
        return OpenCall(self.context, self.state, self.ended_by, hung_up_by=self.hung_up_by, duration=self.duration)

    def known_as(self, context: CallContext) -> None:
        """Take over what a request says of the call; what it leaves out stays as it was."""
        if context == self.context:
            return
        said = {name: value for name, value in msgspec.structs.asdict(context).items() if value not in (None, {})}
        self.context = msgspec.structs.replace(self.context, **said)

    @property
    def said(self) -> tuple[SaidTurn, ...]:
        """What was said in the turns that are at hand, by the house and by the agents, the newest last."""
        return tuple(self._said.values())

    def keep(self, record: TurnRecord) -> None:
        """Have a record at hand for retries, and its reply for the next prompt of its model."""
        asides = ((event.data["text"], event.data["why"]) for event in record.events if event.kind == "aside")
        self._said[record.uid] = SaidTurn.of(asides, asked=record.said, generated=record.generated)
        self._records[record.uid] = record
        while len(self._records) > _MOST_AT_HAND:
            oldest, _ = self._records.popitem(last=False)
            del self._said[oldest]
        if self.latest.get(record.model) == record.uid:
            self._answered(record)

    def is_latest(self, asked: Asked, which: Which) -> bool:
        """Tell whether a request asks once more for the turn that its model's transcript ends with."""
        last = self.asked.get(asked.model)
        if last is None or which not in ("grown", "retry"):
            return False
        if asked.turn is not None or last.turn is not None:
            return asked.same_turn(last)
        return which == "grown" or asked.digest == last.digest

    def at_hand(self, uid: str) -> TurnRecord | None:
        """Give a record by its uid, None when it is not at hand."""
        return self._records.get(uid)

    def turns_of(self, turn_id: str) -> list[TurnRecord]:
        """Give the records at hand of a turn as the platform names it, oldest first."""
        return [record for record in self._records.values() if record.turn_id == turn_id]

    def count_spoken(self, spoken: Sequence[Spoken]) -> None:
        """Count something that the platform reported as spoken."""
        self.spoken_entries += len(spoken)
        self.spoken_characters += sum(len(one.text) for one in spoken)

    def sent_again(self, uid: str, sent: int) -> None:
        """Enter that more of a turn was sent than had been when it was recorded."""
        record = self._records.get(uid)
        if record is not None and sent > len(record.sent):
            self.keep(msgspec.structs.replace(record, sent=record.generated[:sent], map=((0, 0),)))

    def heard(self, uid: str, heard: int) -> None:
        """Enter how far a turn was spoken."""
        if (record := self._records.get(uid)) is not None:
            self._records[uid] = msgspec.structs.replace(record, heard=heard)

    def _answered(self, record: TurnRecord) -> None:
        transcript = self.transcripts.get(record.model)
        if transcript is not None:
            reply = PastReply(
                sent=record.sent,
                generated=record.generated,
                calls=any(_is_call(event) for event in record.events),
                heard=record.heard,
            )
            self.transcripts[record.model] = msgspec.structs.replace(transcript, reply=reply)

    def encode_state(self) -> str | None:
        """Give the agent's state as a JSON text: the last one kept where it is none now, which is logged."""
        try:
            # What was there once is taken away by an empty one.
            known = self.state or self.kept_state is not None
            return msgspec.json.encode(self.state).decode() if known else None
        except (TypeError, ValueError, RecursionError, UnicodeError) as error:
            said = {"error": type(error).__name__, "call": self.id}
            log.error("turn.state holds what is not JSON, so it is not kept: %(error)s call=%(call)s", said)
            return self.kept_state

    def record(self, number: Callable[[str], tuple[str, str]]) -> CallRecord:
        """Give the call as it is kept; ``number`` gives what may be shown of a number, and its mark."""
        context = self.context
        caller, caller_mark = number(context.caller) if context.caller else (None, None)
        callee, callee_mark = number(context.callee) if context.callee else (None, None)
        self.kept_state = self.encode_state()
        return CallRecord(
            id=self.id,
            platform=context.platform,
            named=self.named,
            begun_at=self.begun_at,
            last_at=self.last_at,
            room=context.room,
            caller=caller,
            caller_mark=caller_mark,
            callee=callee,
            callee_mark=callee_mark,
            user_data=context.user_data_raw,
            state=self.kept_state,
            ended_at=self.ended_at,
            ended_by=self.ended_by,
            connected_at=self.connected_at,
            hung_up_by=self.hung_up_by,
            duration=self.duration,
        )


def key_of(call_id: str | None, tenant: str) -> str | None:
    """Give what a call is held and kept under: the platform's id and, behind ``~``, whose it is, if it has a tenant.

    No two of them are alike: the call of one tenant is never that of another, whatever id it is given.
    """
    if call_id is None:
        return None
    if tenant:
        return f"{call_id}~{tenant.replace('%', '%25').replace('~', '%7E')}"
    return f"{call_id}~" if "~" in call_id else call_id


def id_of(key: str) -> str:
    """Give the platform's id of a call from what it is kept under."""
    return key.rpartition("~")[0] if "~" in key else key


def restored(stored: StoredCall, context: CallContext, owner: str) -> CallLine:
    """Give a call that goes on after a restart, from its records."""
    kept = stored.call
    line = CallLine(context, id=kept.id, begun_at=kept.begun_at)
    line.last_at = kept.last_at
    line.ended_at, line.ended_by = kept.ended_at, kept.ended_by
    line.connected_at, line.hung_up_by, line.duration = kept.connected_at, kept.hung_up_by, kept.duration
    line.received_at = max((turn.received_at for turn in stored.turns), default=kept.begun_at)
    line.kept = {turn.uid for turn in stored.turns}
    line.count_spoken(stored.spoken)
    line.told_before = kept.ended_by is None
    line.served = True
    line.kept_state = kept.state
    if kept.state:
        line.state.update(msgspec.json.decode(kept.state, type=dict[str, Any]))
    for model in {turn.model for turn in stored.turns}:
        turns = [turn for turn in stored.turns if turn.model == model and turn.prompt is not None]
        if turns:
            line.transcripts[model] = restore(turn.prompt for turn in turns if turn.prompt is not None)
            line.latest[model] = turns[-1].uid
            line.asked[model] = _asked(turns[-1])
    for turn in stored.turns:
        line.keep(turn)
    line.seed = CallState(tuple(_known(turn, owner) for turn in stored.turns))
    return line


def context_of(kept: CallRecord) -> CallContext:
    """Give what the record knows of who is on the line; the numbers are not kept."""
    raw = kept.user_data
    user_data = parse_user_data(raw)
    return CallContext(
        id=id_of(kept.id), room=kept.room, platform=kept.platform, user_data=user_data, user_data_raw=raw
    )


def _is_call(event: EventRecord) -> bool:
    """Tell whether an event may stand as a tool call in the platform's window."""
    return event.kind == "tool_call" or (event.kind == "command" and event.data.get("name") in ("hangup", "transfer"))


def _known(turn: TurnRecord, owner: str) -> Known:
    return Known(
        ticket=turn.uid,
        owner=owner,
        asked=_asked(turn),
        reason=turn.reason,
        ended_at=turn.received_at + (turn.ended or 0.0),
    )


def _asked(turn: TurnRecord) -> Asked:
    return Asked(
        model=turn.model,
        turn=turn.turn_id,
        stream=turn.stream,
        digest=turn.digest,
        spoken=turn.spoken,
        number=number_of(turn.turn_id),
    )
