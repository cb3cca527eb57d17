"""The calls that live in this server: who is told when one begins and ends, and when it is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from offhook.errors import StoreError
from offhook.store.base import Heard, TurnKept
from offhook.turns.call import CallLine, context_of, id_of, restored
from offhook.turns.state import CallState, Ending, claim, end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offhook.agents.base import Agent
    from offhook.clock import Clock
    from offhook.coord.base import Coordinator
    from offhook.events import CallContext, OpenCall
    from offhook.store.base import CallRecord, Change, Store, TurnRecord
    from offhook.turns.journal import Journal
    from offhook.turns.live import LiveTurn
    from offhook.turns.which import Asked, Known, Named

log = logging.getLogger("offhook.turns")

# So many calls are held; past that the one that has been silent longest has ended.
_MOST_CALLS = 10_000
# Seconds that the first turn of a call after a restart, and a late retry, wait for the call's records.
_LONGEST_LOOK = 0.25
# Seconds that an agent has for the end of a call, and for that and its start when the server ends.
_LONGEST_FAREWELL = 10.0
_LONGEST_CLEAN_UP = 2.0
# So many calls, of so many seconds, are looked through after a restart for those that had not ended.
_MOST_RESUMED = 500
_RESUMED = 86_400.0

# An agent that calls exit() ends nothing, and something of its own that was cancelled is its own affair.
_FAILURES = (Exception, SystemExit, asyncio.CancelledError)


def _raise_if_cancelled(error: BaseException) -> None:
    """Raise the error when it is the cancellation of the task itself."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0):
        raise error


class Calls:
    """Holds a ``CallLine`` for each call from its first turn until ``idle`` seconds after its last one.

    ``number`` gives what may be shown of a telephone number, and its mark. Without a journal nothing is recorded.
    ``replay_for`` is how many seconds a reply that ended well answers a retry. ``missed`` counts the requests whose
    history did not fit what the call remembers. ``on_order`` is called with the ticket of a turn that another server
    ends, each of ``on_over`` with the id of a call that has ended, ``on_kept`` with a turn that the journal was given.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        owner: str,
        coord: Coordinator[CallState],
        store: Store | None = None,
        journal: Journal | None = None,
        number: Callable[[str], tuple[str, str]] = lambda number: ("***", ""),
        idle: float = 900.0,
        replay_for: float = 3600.0,
    ) -> None:
        self._clock = clock
        self._owner = owner
        self._coord = coord
        self._store = store
        self._journal = journal
        self.number = number
        self._idle = idle
        self._replay_for = replay_for
        self.missed = 0
        self.on_order: Callable[[str], None] = lambda ticket: None
        self.on_over: list[Callable[[str], None]] = []
        self.on_kept: Callable[[TurnKept], None] = lambda change: None
        self._lines: OrderedDict[str, CallLine] = OrderedDict()
        self._wake = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        coord.listen(owner, lambda order: self.on_order(order.decode()))

    def __len__(self) -> int:
        return len(self._lines)

    async def resume(self, answering: Callable[[str], Agent | None]) -> None:
        """Take up the calls that had not ended when the server did, so that their end is told all the same."""
        if self._store is None:
            return
        now = self._clock.now()
        try:
            for summary in await self._store.calls(limit=_MOST_RESUMED, since=now - _RESUMED):
                kept = summary.call
                stored = await self._store.find(kept.id) if kept.named and kept.ended_by is None else None
                if stored is None:
                    continue
                line = restored(stored, context_of(kept), self._owner)
                agents = {answering(turn.model) for turn in stored.turns}
                line.starts = {agent: None for agent in agents if agent is not None and agent.attends}
                self.use(line)
                line.last_at = kept.last_at
                line.used -= max(0.0, now - kept.last_at)
        except StoreError as error:
            log.warning("the calls from before the start could not be read: %(error)s", {"error": error})
        # The longest silent first, as in use.
        self._lines = OrderedDict(sorted(self._lines.items(), key=lambda item: item[1].used))

    async def open(self, context: CallContext, key: str | None = None) -> CallLine:
        """Give the call of a request that names one; it begins, or goes on. ``key``: see ``key_of``."""
        key = key or context.id
        assert key is not None
        line = self._lines.get(key)
        if line is None:
            stored = await self._look_up(context, key)
            # Another request of the call may have come back from there first.
            line = self._lines.get(key) or stored
        line.known_as(context)
        self.use(line)
        return line

    def go_on(self, line: CallLine) -> None:
        """Note that a turn of the call runs: a call that had ended begins again, with its state."""
        line.received_at = self._clock.now()
        if line.ended_by is not None:
            line.went_on = True
            line.ended_by = line.ended_at = line.hung_up_by = line.duration = None
            line.starts.clear()
            line.told_before = False

    def alone(self, context: CallContext) -> CallLine:
        """Give a call of its own for a request that names none; it is not held."""
        return CallLine(context, id=self._clock.new_id("call_"), begun_at=self._clock.now(), named=False)

    def use(self, line: CallLine) -> None:
        """Note that a call is in use now."""
        line.used = self._clock.monotonic()
        # Never back, whatever is done to the machine's clock: the newer record of a call wins.
        line.last_at = max(line.last_at, self._clock.now())
        if not line.named:
            return
        self._lines[line.id] = line
        self._lines.move_to_end(line.id)
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch(), name="calls that are silent")
        self._wake.set()
        if len(self._lines) > _MOST_CALLS:
            silent = next((one for one in self._lines.values() if not one.live), None)
            if silent is not None:
                self._forget(silent)

    @property
    def recorded(self) -> bool:
        """Tell whether anything is recorded."""
        return self._journal is not None

    @property
    def degraded(self) -> bool:
        """Tell whether the store is away."""
        return self._journal is not None and self._journal.degraded

    def goes_on(self, call_id: str | None) -> bool:
        """Tell whether an earlier turn of the call was served, and it has not ended."""
        line = None if call_id is None else self._lines.get(call_id)
        return line is not None and line.served and line.ended_by is None

    async def claim(self, line: CallLine, asked: Asked, ticket: str) -> Named:
        """Name a request of the call, and enter it under its ticket if it is to run."""
        endings, line.endings = line.endings, []
        now = self._clock.now()

        def step(state: CallState | None) -> tuple[CallState | None, Named]:
            known = end(line.seed if state is None else state, endings)
            return claim(known, asked, ticket=ticket, owner=self._owner, now=now, lifetime=self._replay_for)

        return await self._coord.update(line.id, step)

    async def order(self, known: Known) -> None:
        """Let another server end a turn of its own as superseded."""
        if known.owner != self._owner:
            await self._coord.tell(known.owner, known.ticket.encode())

    async def record(self, line: CallLine, uid: str) -> TurnRecord | None:
        """Give the record of a turn; None when it is not to be had."""
        record = line.at_hand(uid)
        if record is None and self._store is not None:
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_LONGEST_LOOK):
                    stored = await self._store.find(line.id)
                record = next((turn for turn in stored.turns if turn.uid == uid), None) if stored else None
        return record

    def note_end(self, live: LiveTurn) -> None:
        """Note how a turn's reply ended, and whether it arrived, for the call's next request."""
        finish, line = live.reply.finish, live.line
        if line is not None and line.named and finish is not None:
            # Not now: a client may leave long after.
            ended_at = live.received_at + live.ended_at - live.received
            line.endings.append(Ending(live.ticket, finish.reason, ended_at, live.delivered))

    def note_heard(self, live: LiveTurn, heard: int) -> None:
        """Note how far a turn was spoken: in its record, or for it where there is none yet."""
        live.heard = heard
        line = live.line
        if line is not None and line.at_hand(live.ticket) is not None:
            line.heard(live.ticket, heard)
            self.keep(Heard(uid=live.ticket, heard=heard))

    def note_again(self, line: CallLine, known: Known, *, sent: int, delivered: bool) -> None:
        """Note how much of a recorded reply went out when it was given again, and whether it arrived."""
        line.sent_again(known.ticket, sent)
        if delivered:
            line.endings.append(Ending(known.ticket, known.reason or "stop", known.ended_at, delivered=True))

    def note_gone(self, line: CallLine, named: Named) -> None:
        """Note that the reply of which a request is a retry cannot be given again."""
        if named.of is not None:
            line.endings.append(Ending(named.of.ticket, "failed", self._clock.now()))

    def keep(self, change: Change, done: Callable[[], None] | None = None) -> None:
        """Record a change, where anything is recorded; ``done`` is called when it is safe, or cannot be made so."""
        if self._journal is not None:
            self._journal.keep(change, done)
            if type(change) is TurnKept:
                if (line := self._lines.get(change.call.id)) is not None:
                    line.kept.add(change.turn.uid)
                self.on_kept(change)

    def call_record(self, line: CallLine) -> CallRecord:
        """Give a call as it is kept."""
        return line.record(self.number)

    def turn_over(self, line: CallLine, *, hung_up: bool) -> None:
        """Note that the task of one of the call's turns is over."""
        if hung_up:
            self.end(line.id, "command")
        elif line.encode_state() != line.kept_state:
            # An agent may go on after its last word, and one that is cancelled may clean up.
            self.keep(self.call_record(line))

    async def told(self, line: CallLine, agent: Agent) -> None:
        """Return when the agent has been told that the call began; each agent of a call is told once."""
        if not agent.attends or not line.named:
            return
        if line.told_before:
            line.starts.setdefault(agent, None)
            return
        task = line.starts.get(agent)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._start(line, agent), name=f"start of call {line.id}")
            line.starts[agent] = task
        # A turn that is cancelled leaves it to the call's next turn.
        await asyncio.shield(task)

    def at_hand(self, key: str) -> CallLine | None:
        """Give a call that is held, whether it has ended or not."""
        return self._lines.get(key)

    def only_live(self, call_id: str, of: Callable[[str], bool] = lambda platform: True) -> CallLine | None:
        """Give the only call held that the platform calls so, whosever it is; None where there is none, or several.

        ``of`` tells of the name of a platform whether it may be that of the call.
        """
        called = [line for key, line in self._lines.items() if key.startswith(call_id) and id_of(key) == call_id]
        found = [line for line in called if of(line.context.platform)]
        return found[0] if len(found) == 1 else None

    def end(self, call_id: str, by: str, *, at: float | None = None) -> bool:
        """End a call; its state is kept in case that it goes on all the same. False when it is not live here.

        ``at`` is when it ended, since the epoch, as far as that can be.
        """
        line = self._lines.get(call_id)
        if line is None or line.ended_by is not None:
            return False
        self._end(line, by, at)
        return True

    async def close(self) -> None:
        """Let go of every call without ending it: it may go on when the server is back."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        starts = {task for line in self._lines.values() for task in line.starts.values() if task is not None}
        if tasks := starts | self._farewells:
            _, late = await asyncio.wait(tasks, timeout=_LONGEST_CLEAN_UP)
            for task in late:
                task.cancel()
        self._lines.clear()

    async def _look_up(self, context: CallContext, key: str) -> CallLine:
        if self._store is not None:
            try:
                async with asyncio.timeout(_LONGEST_LOOK):
                    stored = await self._store.recent(key)
            except (StoreError, TimeoutError) as error:
                said = {"error": error, "call": key}
                log.warning("the records of a call could not be read: %(error)s call=%(call)s", said)
            else:
                if stored is not None:
                    return restored(stored, context, self._owner)
        return CallLine(context, id=key, begun_at=self._clock.now())

    async def _start(self, line: CallLine, agent: Agent) -> None:
        try:
            await agent.call_started(line.open_call())
        except _FAILURES as error:
            _raise_if_cancelled(error)
            said = {"error": type(error).__name__, "call": line.id}
            log.error("on_call_start failed: %(error)s call=%(call)s", said)

    def _end(self, line: CallLine, by: str, at: float | None = None) -> None:
        now = self._clock.now()
        line.ended_by, line.ended_at = by, at if at is not None and line.begun_at <= at <= now else now
        for over in self.on_over:
            over(line.id)
        # As it is now: a turn that comes in the same step begins it again.
        farewell = self._farewell(line, line.open_call(), tuple(line.starts.items()))
        task = asyncio.get_running_loop().create_task(farewell, name=f"end of call {line.id}")
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def _farewell(
        self, line: CallLine, call: OpenCall, starts: Sequence[tuple[Agent, asyncio.Task[None] | None]]
    ) -> None:
        for agent, start in starts:
            try:
                async with asyncio.timeout(_LONGEST_FAREWELL):
                    if start is not None:
                        await asyncio.shield(start)
                    await agent.call_ended(call)
            except _FAILURES as error:
                _raise_if_cancelled(error)
                said = {"error": type(error).__name__, "call": line.id}
                log.error("on_call_end failed: %(error)s call=%(call)s", said)
        self.keep(self.call_record(line))

    def _forget(self, line: CallLine) -> None:
        del self._lines[line.id]
        if line.ended_by is None:
            self._end(line, "idle")
        task = asyncio.get_running_loop().create_task(self._let_go(line), name=f"state of call {line.id}")
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def _let_go(self, line: CallLine) -> None:
        """Forget what was shared of the call, unless somebody has claimed a turn of it meanwhile."""
        endings, line.endings = line.endings, []

        def step(state: CallState | None) -> tuple[CallState | None, None]:
            state = None if state is None else end(state, endings)
            live = state is not None and any(one.reason is None for one in state.known)
            return (state if live else None), None

        await self._coord.update(line.id, step)

    async def _watch(self) -> None:
        """End the calls whose time has come, the longest silent first."""
        while True:
            line = next(iter(self._lines.values()), None)
            if line is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            rest = line.used + self._idle - self._clock.monotonic()
            if rest > 0:
                await self._clock.sleep(rest)
            elif line.live:
                self.use(line)
            else:
                self._forget(line)
