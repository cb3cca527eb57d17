"""What a store of records is, and what is kept in one.

A store takes changes, one at a time, and promises each when it is committed; writing the same change twice is the same
as writing it once. Times are seconds since the epoch, except where a field says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable


class CallRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="call"):
    """A call as far as it is known: a later change fills in what an earlier one did not know, and wins elsewhere.

    ``caller`` and ``callee`` are what may be shown of the numbers (``***4567``), ``caller_mark`` and ``callee_mark``
    their HMAC (see ``numbers.py``); the numbers themselves are not kept. ``state`` is the agent's own, a JSON text.
    ``named`` tells that the platform named the call; otherwise ``id`` was made here for one turn. ``connected_at``,
    ``hung_up_by`` (``agent``, ``caller`` or ``system``) and ``duration``, in seconds, are what the platform reported.

    Alone it only changes a call that is there: one that was deleted, or never had a turn, does not begin by it.
    """

    id: str
    platform: str
    begun_at: float
    last_at: float
    named: bool = True
    room: str | None = None
    caller: str | None = None
    callee: str | None = None
    caller_mark: str | None = None
    callee_mark: str | None = None
    user_data: str | None = None
    state: str | None = None
    ended_at: float | None = None
    ended_by: str | None = None
    connected_at: float | None = None
    hung_up_by: str | None = None
    duration: float | None = None


class EventRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An event that matters: a tool call, command, attempt or retry; ``at`` is in seconds since ``received_at``."""

    kind: str
    at: float
    data: dict[str, Any] = {}


class PromptChange(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How a turn's prompt came from that of the turn before: ``before[drop:keep] + add``; system messages apart."""

    drop: int = 0
    keep: int = 0
    add: tuple[dict[str, Any], ...] = ()


class TurnRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A turn that has ended.

    ``digest`` is that of the request's messages, ``which`` what the request was to the call's others, ``memory`` how
    its history was made. ``generated`` is what the agent gave, ``sent`` what went out; ``map`` pairs offsets into
    ``sent`` with those into ``generated`` (in characters, each pair holding up to the next), ``heard`` is an offset
    into ``sent``, None where the platform did not report it. ``started``, ``first_useful``, ``first_byte``,
    ``cancelled`` and ``ended`` are seconds since ``received_at``, None where it did not happen. ``cost`` is in the
    currency of the upstreams' prices, None where none is known.
    """

    uid: str
    call_id: str
    model: str
    turn_id: str | None = None
    request_id: str = ""
    which: str = "newer"
    kind: str = "utterance"
    said: str = ""
    digest: bytes = b""
    spoken: bytes = b""
    stream: bool = True
    memory: str = "window"
    prompt: PromptChange | None = None
    generated: str = ""
    sent: str = ""
    map: tuple[tuple[int, int], ...] = ()
    heard: int | None = None
    reason: str = "stop"
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    received_at: float = 0.0
    started: float | None = None
    first_useful: float | None = None
    first_byte: float | None = None
    cancelled: float | None = None
    ended: float | None = None
    cost: float | None = None
    events: tuple[EventRecord, ...] = ()


class TurnKept(msgspec.Struct, frozen=True, kw_only=True, tag="turn"):
    """A change: a turn ended, and this is its call; the only one that brings a call into the store."""

    call: CallRecord
    turn: TurnRecord


class Heard(msgspec.Struct, frozen=True, kw_only=True, tag="heard"):
    """A change: the platform reported how far the turn ``uid`` was spoken."""

    uid: str
    heard: int


class Intent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A side effect that is about to begin, or has begun: a tool is run at most once for each ``key``.

    ``turn`` names the turn within the call; ``at`` and ``ended_at`` are when it was claimed and when it ended.
    ``outcome`` and ``code`` are as in ``ToolRun``, ``result`` is what the model was told; None where nobody knows
    whether it has ended.
    """

    key: str
    call_id: str
    turn: str
    tool: str
    at: float
    outcome: str | None = None
    code: str | None = None
    result: str | None = None
    ended_at: float | None = None


class Spoken(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Something that the platform reported as said in a call; told again under its ``key`` it replaces what was there.

    ``role`` is ``agent``, ``caller`` or ``other``; ``turn_id`` the platform's name of the turn, where it tells one.
    """

    key: str
    role: str
    text: str
    at: float | None = None
    turn_id: str | None = None


class CallTold(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="told"):
    """A change: the platform reported something of a call beside its turns; one that is not there is not made by it.

    It ends a call that has not ended, and leaves the end of another as it is. What it does not know stays; of numbers
    and user data it fills in what was not known.
    """

    call_id: str
    caller: str | None = None
    callee: str | None = None
    caller_mark: str | None = None
    callee_mark: str | None = None
    user_data: str | None = None
    ended_at: float | None = None
    ended_by: str | None = None
    connected_at: float | None = None
    hung_up_by: str | None = None
    duration: float | None = None
    spoken: tuple[Spoken, ...] = ()


class IntentDone(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="intent_done"):
    """A change: a side effect has ended; the first of its key counts, and one whose intent is gone changes nothing."""

    key: str
    outcome: str
    code: str | None
    result: str
    ended_at: float


# Of a CallRecord alone: its state changed, or it ended. A call that is not there, deleted maybe, is not made by it.
Change: TypeAlias = TurnKept | Heard | CallRecord | CallTold | IntentDone


class StoredCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call with its turns, in the order in which they were written, and what its platform reported as spoken."""

    call: CallRecord
    turns: tuple[TurnRecord, ...] = ()
    spoken: tuple[Spoken, ...] = ()


def in_order(spoken: Iterable[Spoken]) -> tuple[Spoken, ...]:
    """Give what was spoken in the order of its times, what has none last."""
    return tuple(sorted(spoken, key=lambda one: (one.at is None, one.at or 0.0, one.key)))


class CallSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A call in a list: how many turns, and how many of them failed."""

    call: CallRecord
    turns: int
    failed: int


class Store(Protocol):
    """Where records are kept. Every method but ``write`` raises StoreError when the store cannot be reached."""

    async def start(self) -> None:
        """Open it and bring its schema up to date. Called once, in the loop that uses it."""

    async def close(self) -> None:
        """Commit what was written, within a few seconds, and let go. Called once."""

    def write(self, change: Change) -> asyncio.Future[None]:
        """Take a change; the future is done when it is committed, or holds StoreError. Changes are kept in order."""

    async def claim(self, intent: Intent) -> Intent | None:
        """Commit an intent unless there is one of its key; give that, and None when this one was committed."""

    async def unclaim(self, key: str) -> None:
        """Forget an intent whose side effect has not begun and never will; one that has ended stays."""

    async def find(self, call_id: str) -> StoredCall | None:
        """Give a call and its turns; None when it is not here."""

    async def recent(self, call_id: str) -> StoredCall | None:
        """Give a call that may go on after a restart, as ``find`` does; costs nothing for a call that is new."""

    async def calls(self, *, limit: int = 50, since: float | None = None) -> list[CallSummary]:
        """Give the calls that were last active after ``since``, the newest first."""

    async def delete(self, call_id: str) -> int:
        """Delete a call and all that belongs to it, its intents too; give how many calls that were (0 or 1)."""

    async def delete_number(self, mark: str) -> list[str]:
        """Delete the calls of a number by its mark, caller or callee; give their ids."""

    async def purge(self, before: float) -> int:
        """Delete the calls that were last active before then, and the intents from before; give how many calls."""
