"""Side effects are begun at most once: each is claimed in the store before it starts.

What is known of one: it was never claimed (it may begin), it ended (its result is given again), it is running in this
process (it is waited for), or it was claimed and nobody knows more, as after a crash (it is not begun again).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from offhook.errors import OffhookError
from offhook.store.base import Intent, IntentDone
from offhook.tools.limit import is_done_within
from offhook.wire.chat import well_formed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from offhook.clock import Clock
    from offhook.store.base import Change

log = logging.getLogger("offhook.tools")

_T = TypeVar("_T")

How: TypeAlias = Literal["ok", "failed", "timeout", "refused", "unknown", "again"]

# Results that this process remembers: so many, and so many characters of them.
_MOST_KEPT = 10_000
_MOST_TEXT = 16 * 1024 * 1024

_encode = msgspec.json.Encoder(order="deterministic").encode


class Outcome(NamedTuple):
    """How a tool ended: the text for the model, and ``outcome`` and ``code`` as in ``ToolRun``."""

    text: str
    outcome: How
    code: str | None = None


def error_text(message: str) -> str:
    """Give the text that tells the model of an error."""
    return msgspec.json.encode({"error": well_formed(message)}).decode()


UNKNOWN = Outcome(
    error_text(
        "Outcome unknown: this was begun before, and it is not known whether it was done. It is not done again. "
        "Do not say that it was done, nor that it was not."
    ),
    "unknown",
)
NOT_DONE = Outcome(error_text("This was not done: it cannot be recorded at the moment."), "refused", "store_away")


class IntentKeeper(Protocol):
    """Where intents are kept: the journal."""

    async def claim(self, intent: Intent) -> Intent | None:
        """Commit an intent unless there is one of its key; give that, or None. Raises StoreError when it cannot."""

    async def unclaim(self, key: str) -> None:
        """Forget an intent whose side effect has not begun and never will. Raises StoreError when it cannot."""

    def keep(self, change: Change) -> None:
        """Take a change, to be committed as soon as possible."""


class Occasion:
    """Where tools are run: one for each time that a turn is answered, over all rounds of the model.

    ``turn`` names the turn within the call, the same when the turn is asked for again: its id, or what else is known to
    be the same. ``speculative`` tells that the platform asks before it knows that the caller has finished.
    """

    def __init__(self, call_id: str, turn: str, *, speculative: bool = False) -> None:
        self.call_id = well_formed(call_id)
        self.turn = well_formed(turn)
        self.speculative = speculative
        self._counts: dict[bytes, int] = {}

    def key(self, tool: str, arguments: dict[str, Any]) -> str:
        """Give the key of this side effect: of call, turn, tool, arguments, and the how-manieth of equal ones it is.

        Raises TypeError when the arguments have no JSON.
        """
        same = _encode([self.call_id, self.turn, tool, arguments])
        count = self._counts[same] = self._counts.get(same, 0) + 1
        return hashlib.sha256(b"%d %b" % (count, same)).hexdigest()


class _Running:
    """A side effect that is being claimed or run: its intent, its task, and how many wait for it."""

    __slots__ = ("intent", "task", "waiting")

    def __init__(self, intent: Intent) -> None:
        self.intent = intent
        self.task: asyncio.Task[Outcome] | None = None
        self.waiting = 0


class Ledger:
    """Begins each side effect at most once, and owns those that have begun until they end.

    With ``keeper`` None that holds for the life of the process only, and as far back as it remembers.
    ``commit_wait`` is how many seconds a claim may take; a side effect that is not claimed by then is not begun.
    """

    def __init__(self, keeper: IntentKeeper | None, clock: Clock, *, commit_wait: float = 1.0) -> None:
        self._keeper = keeper
        self._clock = clock
        self._commit_wait = commit_wait
        self._running: dict[str, _Running] = {}
        # By call and key; the call that changed longest ago comes first.
        self._kept: dict[str, dict[str, Outcome]] = {}
        self._count = self._size = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def once(self, intent: Intent, work: Callable[[], Awaitable[Outcome]], *, hold: float = 0.0) -> Outcome:
        """Give how a side effect ended, begun now or before.

        ``work`` does it and must not raise; its outcome is ``refused`` where it never began. It begins after ``hold``
        seconds. Cancelled by then, or before the claim is committed, it never does; cancelled later, it goes on, and
        its result is kept.
        """
        if hold > 0 and intent.key not in self._running and self._known(intent) is None:
            await self._clock.sleep(hold)
        known = self._known(intent)
        if known is not None:
            return _again(known)
        running = self._running.get(intent.key)
        first = running is None
        if running is None:
            running = self._running[intent.key] = _Running(intent)
        if running.task is None:
            running.task = self._spawn(self._claim_and_do(running, work), f"side effect {intent.tool}")
        running.waiting += 1
        try:
            outcome = await asyncio.shield(running.task)
        finally:
            running.waiting -= 1
        return outcome if first else _again(outcome)

    def forget(self, call_id: str) -> None:
        """Let go of what this process remembers of a call that has ended."""
        gone = self._kept.pop(call_id, {})
        self._count -= len(gone)
        self._size -= sum(len(outcome.text) for outcome in gone.values())

    async def close(self, limit: float = 5.0) -> None:
        """Wait for what has begun, for ``limit`` seconds; then give it up: nobody will know how it ended."""
        pending = set(self._tasks)
        if pending:
            await is_done_within(self._clock, limit, asyncio.gather(*pending, return_exceptions=True))
        left = [task for task in self._tasks if not task.done()]
        if left:
            log.error("side effects given up at the end of the server: %(effects)d", {"effects": len(left)})
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # --- one side effect ------------------------------------------------------------------------------------------

    async def _claim_and_do(self, running: _Running, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
        intent = running.intent
        try:
            outcome = await self._claim(intent)
            if outcome is not None:
                return outcome
            # Where nobody wants it any more it does not begin.
            outcome = await work() if running.waiting else NOT_DONE
            if outcome.outcome != "refused":
                self._remember(intent, outcome)
                self._tell(intent, outcome)
                return outcome
        finally:
            # Before it is released: who comes now claims it anew.
            del self._running[intent.key]
        await self._release(intent.key)
        return outcome

    def _tell(self, intent: Intent, outcome: Outcome) -> None:
        if self._keeper is not None:
            text, how, code = outcome
            now = self._clock.now()
            self._keeper.keep(IntentDone(key=intent.key, outcome=how, code=code, result=text, ended_at=now))

    async def _claim(self, intent: Intent) -> Outcome | None:
        """Commit the intent; give how it ended where it cannot begin, None where it may."""
        if self._keeper is None:
            return None
        claim = self._spawn(self._keeper.claim(intent), "claim of a side effect")
        if not await is_done_within(self._clock, self._commit_wait, claim):
            # Committed after all it would stand for something that never began.
            claim.add_done_callback(lambda done: self._claimed_late(intent.key, done))
            log.error("a side effect was not begun: no commit within %(seconds).1f s", {"seconds": self._commit_wait})
            return NOT_DONE
        error = claim.exception()
        if error is not None:
            why = error.message if isinstance(error, OffhookError) else type(error).__name__
            log.error("a side effect was not begun: %(error)s", {"error": why})
            return NOT_DONE
        found = claim.result()
        if found is None:
            return None
        if found.result is None or found.outcome == "timeout":
            return UNKNOWN
        return Outcome(found.result, "again", found.code)

    def _claimed_late(self, key: str, claim: asyncio.Task[Intent | None]) -> None:
        if not claim.cancelled() and claim.exception() is None and claim.result() is None:
            self._spawn(self._release(key), "release of a side effect")

    async def _release(self, key: str) -> None:
        if self._keeper is None:
            return
        try:
            await self._keeper.unclaim(key)
        except OffhookError as error:
            log.warning("a side effect that never began stays claimed: %(error)s", {"error": error})

    # --- what is remembered ---------------------------------------------------------------------------------------

    def _known(self, intent: Intent) -> Outcome | None:
        return self._kept.get(intent.call_id, {}).get(intent.key)

    def _remember(self, intent: Intent, outcome: Outcome) -> None:
        of_call = self._kept.pop(intent.call_id, {})
        self._kept[intent.call_id] = of_call
        of_call[intent.key] = outcome
        self._count += 1
        self._size += len(outcome.text)
        while (self._count > _MOST_KEPT or self._size > _MOST_TEXT) and len(self._kept) > 1:
            self.forget(next(iter(self._kept)))

    def _spawn(self, work: Coroutine[Any, Any, _T], name: str) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _again(outcome: Outcome) -> Outcome:
    """Give what the model is told when it asks for a side effect that this process has begun before."""
    if outcome.outcome == "timeout":
        return UNKNOWN
    return outcome if outcome.outcome in ("refused", "unknown") else outcome._replace(outcome="again")
