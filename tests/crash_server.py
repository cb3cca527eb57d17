"""Servers that are there to be killed: a program that has everything loaded and forks one whenever it is told to.

It reads a line of JSON for each server and prints where that serves, and with what it ended. A server ends when
standard input does.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.clock import SystemClock
from offhook.config import Settings
from offhook.observe.logs import set_up
from offhook.server.build import build_line
from offhook.server.run import bind, run
from offhook.store.base import TurnKept
from offhook.store.sqlite import Database
from offhook.turns import journal
from offhook.turns.spool import SpoolFiles
from offhook.turns.spool_file import SpoolFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from offhook.errors import StoreError
    from offhook.events import Turn
    from offhook.store.base import Change


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is up against.

    Each commit takes ``slow`` seconds longer, each record in the spool ``slow_spool``, and the store is looked for
    every ``look_again`` seconds. ``held`` False lets a reply end before its record is safe. ``die`` is where the server
    kills itself: a place and how often it has been there by then; ``fuse`` when, in seconds. No file gets longer than
    ``most_bytes``. The call and turn ids of what the spool took are written to the file ``notes``.
    """

    data_dir: str
    notes: str
    slow: float = 0.0
    slow_spool: float = 0.0
    look_again: float = 0.05
    held: bool = True
    commit_wait: float = 0.05
    spool: int = 4 * 2**20
    die: tuple[str, int] | None = None
    fuse: float | None = None
    most_bytes: int | None = None


def words(call: str | None, turn: str | None) -> list[str]:
    """Give what the agent says in a turn of a call."""
    return [f"Call {call}, ", f"turn {turn}: ", "that is all."]


async def agent(turn: Turn) -> AsyncIterator[str]:
    """Say what can be foretold, without a thought."""
    for text in words(turn.call.id, turn.id):
        yield text


class Trap:
    """Kills the process where it is told to."""

    def __init__(self, place: tuple[str, int] | None) -> None:
        self._place, self._left = place or ("", 0)

    def step(self, place: str) -> None:
        """Note that the process is at this place."""
        if place == self._place:
            self._left -= 1
            if self._left == 0:
                die()


def die() -> None:
    """End the process as the kernel does when memory is short: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def rig(weather: Weather) -> None:
    """Make the weather; the process serves one line only, so nothing is put back."""
    trap = Trap(weather.die)
    if weather.most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (weather.most_bytes, resource.RLIM_INFINITY))
    if weather.fuse is not None:
        threading.Timer(weather.fuse, die).start()
    notes = os.open(weather.notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    commit, put, forget = Database.commit, SpoolFiles.put, SpoolFile.forget

    def slow_commit(database: Database, changes: Sequence[Change]) -> list[StoreError | None]:
        time.sleep(weather.slow)
        trap.step("commit")
        outcome = commit(database, changes)
        trap.step("committed")
        return outcome

    def noted_put(files: SpoolFiles, change: Change) -> None:
        time.sleep(weather.slow_spool)
        put(files, change)
        if isinstance(change, TurnKept):
            os.write(notes, f"{change.turn.call_id} {change.turn.turn_id}\n".encode())

    def trapped_forget(file: SpoolFile, record: Any) -> None:
        forget(file, record)
        trap.step("forgotten")

    set_any(Database, "commit", slow_commit)
    set_any(SpoolFiles, "put", noted_put)
    set_any(SpoolFile, "forget", trapped_forget)
    set_any(journal, "_LOOK_AGAIN", weather.look_again)
    if not weather.held:
        set_any(journal.Journal, "keep", careless(journal.Journal.keep))


def set_any(owner: object, name: str, value: object) -> None:
    """Set what a type checker lets nobody set."""
    setattr(owner, name, value)


def careless(keep: Callable[..., None]) -> Callable[..., None]:
    """Give a ``Journal.keep`` that writes as ever, and does not wait for it."""

    def keep_without_waiting(self: journal.Journal, change: Change, done: Callable[[], None] | None = None) -> None:
        keep(self, change)
        if done is not None:
            done()

    return keep_without_waiting


def serve(weather: Weather) -> None:
    """Serve until told to stop."""
    rig(weather)
    settings = Settings(
        port=0,
        no_auth=True,
        store="sqlite",
        data_dir=weather.data_dir,
        store_commit_wait=weather.commit_wait,
        store_spool=weather.spool,
    )
    line = build_line(settings, keys=(), clock=SystemClock(), function=agent)
    listener = bind("127.0.0.1", 0)

    # Nothing is said to a server: what it reads is the end of whoever started it.
    threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()

    def started() -> None:
        say({"port": listener.getsockname()[1], "pid": os.getpid()})

    run(line, listener, stop_timeout=1, on_started=started)


def say(answer: dict[str, Any]) -> None:
    """Print an answer at once."""
    os.write(1, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Fork a server for each line of standard input."""
    set_up("warning")
    decode = msgspec.json.Decoder(Weather).decode
    while wanted := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                serve(decode(wanted))
                status = 0
            finally:
                os._exit(status)
        say({"ended": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})


if __name__ == "__main__":
    main()
