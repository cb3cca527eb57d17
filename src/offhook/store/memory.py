"""Records in the memory of the process: for tests, and where nothing is to be kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from offhook.errors import StoreError
from offhook.store.base import CallRecord, CallSummary, CallTold, Heard, IntentDone, StoredCall, TurnKept, in_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.store.base import Change, Intent, Spoken, TurnRecord


class MemoryStore:
    """Records in dictionaries; of more than ``most_calls`` calls those that were changed longest ago are forgotten.

    Of intents, ten times as many are kept.
    """

    def __init__(self, *, most_calls: int = 1000) -> None:
        self._most_calls = most_calls
        self._most_intents = 10 * most_calls
        self._open = False
        # By id, in the order of their last change.
        self._calls: dict[str, CallRecord] = {}
        self._turns: dict[str, dict[str, TurnRecord]] = {}
        # By their key.
        self._spoken: dict[str, dict[str, Spoken]] = {}
        # The call of each turn.
        self._homes: dict[str, str] = {}
        # By key, the oldest first.
        self._intents: dict[str, Intent] = {}

    async def start(self) -> None:
        """Take changes from now on."""
        self._open = True

    async def close(self) -> None:
        """Take no more changes."""
        self._open = False

    def write(self, change: Change) -> asyncio.Future[None]:
        """Take a change; the future is done."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._open:
            future.set_exception(StoreError("The store is closed."))
            # Nobody has to look.
            future.exception()
            return future
        if isinstance(change, Heard):
            self._heard(change)
        elif isinstance(change, CallTold):
            self._told(change)
        elif isinstance(change, IntentDone):
            self._intent_done(change)
        else:
            if isinstance(change, TurnKept):
                self._keep(change.call)
                if change.turn.uid not in self._homes:
                    self._homes[change.turn.uid] = change.call.id
                    self._turns[change.call.id][change.turn.uid] = change.turn
            elif change.id in self._calls:
                self._keep(change)
            while len(self._calls) > self._most_calls:
                self._forget(next(iter(self._calls)))
        future.set_result(None)
        return future

    def _keep(self, call: CallRecord) -> None:
        old = self._calls.pop(call.id, None)
        self._calls[call.id] = call if old is None else merged(old, call)
        self._turns.setdefault(call.id, {})

    def _heard(self, change: Heard) -> None:
        home = self._homes.get(change.uid)
        if home is not None:
            turns = self._turns[home]
            turns[change.uid] = msgspec.structs.replace(turns[change.uid], heard=change.heard)

    def _told(self, change: CallTold) -> None:
        if (old := self._calls.get(change.call_id)) is not None:
            self._calls[old.id] = told(old, change)
            self._spoken.setdefault(old.id, {}).update({one.key: one for one in change.spoken})

    def _intent_done(self, change: IntentDone) -> None:
        intent = self._intents.get(change.key)
        if intent is not None and intent.outcome is None:
            self._intents[change.key] = msgspec.structs.replace(
                intent, outcome=change.outcome, code=change.code, result=change.result, ended_at=change.ended_at
            )

    def _forget(self, call_id: str) -> None:
        del self._calls[call_id]
        self._spoken.pop(call_id, None)
        for uid in self._turns.pop(call_id):
            del self._homes[uid]
        self._forget_intents(lambda intent: intent.call_id == call_id)

    def _forget_intents(self, which: Callable[[Intent], bool]) -> None:
        self._intents = {key: intent for key, intent in self._intents.items() if not which(intent)}

    def _check(self) -> None:
        if not self._open:
            raise StoreError("The store is closed.")

    async def claim(self, intent: Intent) -> Intent | None:
        """Keep an intent unless there is one of its key; give that, and None when this one is kept."""
        self._check()
        found = self._intents.get(intent.key)
        if found is None:
            self._intents[intent.key] = intent
            while len(self._intents) > self._most_intents:
                del self._intents[next(iter(self._intents))]
        return found

    async def unclaim(self, key: str) -> None:
        """Forget an intent whose side effect has not begun and never will; one that has ended stays."""
        self._check()
        intent = self._intents.get(key)
        if intent is not None and intent.outcome is None:
            del self._intents[key]

    async def find(self, call_id: str) -> StoredCall | None:
        """Give a call and its turns; None when it is not here."""
        self._check()
        call = self._calls.get(call_id)
        if call is None:
            return None
        spoken = in_order(self._spoken.get(call_id, {}).values())
        return StoredCall(call=call, turns=tuple(self._turns[call_id].values()), spoken=spoken)

    async def recent(self, call_id: str) -> StoredCall | None:
        """Give a call as ``find`` does: all that is here may go on."""
        return await self.find(call_id)

    async def calls(self, *, limit: int = 50, since: float | None = None) -> list[CallSummary]:
        """Give the calls that were last active after ``since``, the newest first."""
        self._check()
        some = [call for call in self._calls.values() if since is None or call.last_at > since]
        some.sort(key=lambda call: (call.last_at, call.id), reverse=True)
        return [self._summary(call) for call in some[: max(limit, 0)]]

    def _summary(self, call: CallRecord) -> CallSummary:
        turns = self._turns[call.id].values()
        return CallSummary(call=call, turns=len(turns), failed=sum(turn.reason == "failed" for turn in turns))

    async def delete(self, call_id: str) -> int:
        """Delete a call and all that belongs to it; give how many calls that were (0 or 1)."""
        self._check()
        self._forget_intents(lambda intent: intent.call_id == call_id)
        return len(self._forget_all([call_id] if call_id in self._calls else []))

    async def delete_number(self, mark: str) -> list[str]:
        """Delete the calls of a number by its mark, caller or callee; give their ids."""
        self._check()
        return self._forget_all(
            [call.id for call in self._calls.values() if mark in (call.caller_mark, call.callee_mark)]
        )

    async def purge(self, before: float) -> int:
        """Delete the calls that were last active before then, and the intents from before; give how many calls."""
        self._check()
        self._forget_intents(lambda intent: intent.at < before)
        return len(self._forget_all([call.id for call in self._calls.values() if call.last_at < before]))

    def _forget_all(self, ids: list[str]) -> list[str]:
        for id in ids:
            self._forget(id)
        return ids


def merged(old: CallRecord, new: CallRecord) -> CallRecord:
    """Give a call after a change: the newer of the two wins, the other one fills in what it does not know."""
    older, newer = (old, new) if new.last_at >= old.last_at else (new, old)
    # Who hung up and for how long it was are of an end, and nothing of a call that goes on.
    own = {"ended_at", "ended_by"} if newer.ended_by is not None else {"ended_at", "ended_by", "hung_up_by", "duration"}
    known = {
        name: getattr(older, name)
        for name in CallRecord.__struct_fields__
        if getattr(newer, name) is None and name not in own
    }
    return msgspec.structs.replace(newer, begun_at=min(old.begun_at, new.begun_at), **known)


def told(old: CallRecord, new: CallTold) -> CallRecord:
    """Give a call after its platform reported something of it: it ends once, and numbers are only filled in."""
    names = set(CallRecord.__struct_fields__).intersection(CallTold.__struct_fields__)
    known = {name: value for name in names if (value := getattr(new, name)) is not None}
    for name in names - {"hung_up_by", "duration"}:
        taken = old.ended_by if name == "ended_at" else getattr(old, name)
        if taken is not None:
            known.pop(name, None)
    return msgspec.structs.replace(old, **known)
