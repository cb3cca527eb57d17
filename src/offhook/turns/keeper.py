"""What happens to a reply that has ended: its record is made safe, and then its readers may end their bodies."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from offhook.store.base import TurnKept
from offhook.turns.record import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from offhook.clock import Clock
    from offhook.turns.calls import Calls
    from offhook.turns.live import LiveTurn

# Seconds that the record of a superseded reply waits for what its client has not read yet.
_LONGEST_LISTEN = 1.0


class Keeper:
    """Keeps the turns of an engine, and owns its chores; ``done`` is called when a record is safe."""

    def __init__(self, clock: Clock, calls: Calls, done: Callable[[LiveTurn], None]) -> None:
        self._clock = clock
        self._calls = calls
        self._done = done
        self._chores: set[asyncio.Task[None]] = set()
        # Those whose reply is over, and whose record is not safe.
        self._unsafe: set[LiveTurn] = set()
        self._safe = asyncio.Event()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something done beside the turns."""
        task = asyncio.get_running_loop().create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        return task

    async def close(self, seconds: float) -> None:
        """Return when every reply that is over is safe and its end sent, or when ``seconds`` have passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._chores or self._unsafe:
                    self._safe.clear()
                    await (asyncio.wait(self._chores) if self._chores else self._safe.wait())
        for chore in tuple(self._chores):
            chore.cancel()

    def reply_closed(self, live: LiveTurn) -> None:
        """Take a reply that has just been closed."""
        live.ended_at = self._clock.monotonic()
        self._unsafe.add(live)
        live.stop_lingering()
        if live.sound is not None:
            live.sound.stop()
        self._calls.note_end(live)
        if not live.reply.blocked:
            self._keep(live)
            return
        # What a slow client still has to take counts as sent only when it has gone out; a newer turn does not wait.
        if live.line is not None:
            live.note_all()
            live.line.keep(record_of(live, live.line.id, live.ended_at))
        self.spawn(self._keep_when_drained(live))

    async def _keep_when_drained(self, live: LiveTurn) -> None:
        superseded = live.reply.finish is not None and live.reply.finish.reason == "superseded"
        # A platform may leave the connection of a reply open that it reads no more.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_LISTEN if superseded else None):
                await live.reply.drain()
        self._keep(live)

    def _keep(self, live: LiveTurn) -> None:
        line = live.line
        live.note_all()
        if line is None:
            self._kept(live)
            return
        record = record_of(live, line.id, live.ended_at)
        line.keep(record)
        self._calls.use(line)
        if self._calls.recorded:
            self._calls.keep(TurnKept(call=self._calls.call_record(line), turn=record), lambda: self._kept(live))
        else:
            self._kept(live)

    def _kept(self, live: LiveTurn) -> None:
        self._unsafe.discard(live)
        self._safe.set()
        live.release()
        live.note_all()
        self._calls.note_end(live)
        if live.reply.blocked:
            # Nobody else would send the end that was held, and it may be the only thing that is to be sent.
            self.spawn(self._send_end(live))
        self._done(live)

    async def _send_end(self, live: LiveTurn) -> None:
        await live.reply.drain()
        live.note_all()
        self._calls.note_end(live)
