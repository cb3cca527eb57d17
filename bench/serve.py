"""Serves a line on a free port, and answers questions about itself on its standard input.

``stats`` gives live turns, tasks, descriptors, memory and what the garbage collector knows; ``turns`` gives when the
turns since the last time were over; ``lag`` gives when its loop was late since the last time, and watches for that from
the first time on. The process ends with its parent: when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from bench import agents, procs
from bench.procs import descriptors, rss
from offhook.clock import SystemClock
from offhook.config import Settings
from offhook.observe.logs import set_up
from offhook.server.build import build_line
from offhook.server.run import bind, run

if TYPE_CHECKING:
    from offhook.observe.hooks import TurnDetails
    from offhook.server.line import Line

KEY = "bench-key"
# Seconds between two looks at the loop's lag.
_TICK = 0.005


class Ended:
    """A hook that keeps when each turn's task was over, by the id of its request."""

    def __init__(self) -> None:
        self.turns: dict[str, float] = {}
        self.keep = False

    def turn_ended(self, details: TurnDetails) -> None:
        if self.keep:
            self.turns[details.request_id] = details.stopped_at


class Lag:
    """How late the loop was: the monotonic seconds at which it was seen, how late, and how long others had its core."""

    def __init__(self) -> None:
        self.late: list[tuple[float, float, float]] = []
        self.task: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        """Look all the time."""
        while True:
            due, waited = time.monotonic() + _TICK, procs.kept_waiting()
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            if now - due > _TICK:
                self.late.append((now, now - due, procs.kept_waiting() - waited))


class Control:
    """Answers the questions."""

    def __init__(self, line: Line, ended: Ended) -> None:
        self._line = line
        self._ended = ended
        self._lag = Lag()

    def attend(self, port: int) -> None:
        """Say where the server is, and listen to standard input from now on."""
        asyncio.get_running_loop().add_reader(sys.stdin, self._read)
        self._say({"port": port})

    def _read(self) -> None:
        word = sys.stdin.readline().strip()
        if not word:
            os.kill(os.getpid(), signal.SIGTERM)
            asyncio.get_running_loop().remove_reader(sys.stdin)
        elif word == "stats":
            gc.collect()
            self._say(
                {
                    "live": self._line.engine.live,
                    "tasks": len(asyncio.all_tasks()),
                    "fds": descriptors(),
                    "rss": rss(os.getpid()),
                    "objects": len(gc.get_objects()),
                }
            )
        elif word == "turns":
            self._ended.keep = True
            turns, self._ended.turns = self._ended.turns, {}
            self._say(turns)
        elif word == "lag":
            self._lag.task = self._lag.task or asyncio.get_running_loop().create_task(self._lag.watch(), name="lag")
            late, self._lag.late = self._lag.late, []
            self._say({"late": late})

    def _say(self, answer: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Serve what the first argument describes until told to stop."""
    wanted = json.loads(sys.argv[1])
    # As in production: a log line for each turn; the parent throws them away.
    set_up("info", wanted["settings"].get("log_format", "text"))
    ended = Ended()
    line = build_line(
        Settings(upstream=wanted["upstream"], **{"store": "none", **wanted["settings"]}),
        keys=(KEY,),
        clock=SystemClock(),
        hooks=[ended],
        function=getattr(agents, wanted["agent"]) if wanted["agent"] else None,
    )
    listener = bind("127.0.0.1", 0)
    control = Control(line, ended)
    run(line, listener, stop_timeout=0, on_started=lambda: control.attend(listener.getsockname()[1]))


if __name__ == "__main__":
    main()
