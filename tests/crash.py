"""Kills servers in the middle of calls, and looks for every turn whose end a client received."""

from __future__ import annotations

import json
import os
import random
import selectors
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from offhook.store.base import Change, TurnKept
from offhook.turns.spool_file import HEADER, MAGIC
from tests.crash_server import Weather, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

PATIENCE = 20.0
SCRIPT = Path(__file__).with_name("crash_server.py")
CALLS = 20
# Of the platform's messages, which it cuts off at 20 records.
WINDOW = 6
DONE = b"data: [DONE]\n\n"
END = b"\r\n0\r\n\r\n"

# Fair and slow: most kills hit a commit. Late: commits that come when the spool has the record already. Hasty: only the
# spool is waited for. Locked: the database cannot be written from the first turn on; shut: not even before. Tough: the
# spool's disk is slow as well, so that twenty records need longer than a commit is waited for.
WEATHERS: dict[str, dict[str, Any]] = {
    "fair": {},
    "slow": {"slow": 0.008},
    "late": {"slow": 0.08},
    "hasty": {"slow": 0.005, "commit_wait": 0.0},
    "locked": {},
    "shut": {},
    "tough": {"slow_spool": 0.01},
}

_change: msgspec.msgpack.Decoder[Change] = msgspec.msgpack.Decoder(Change)


class Servers:
    """Servers in processes of their own, one at a time, forked by one that has everything loaded."""

    def __init__(self) -> None:
        # A file, as nobody reads a pipe meanwhile.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            cwd=SCRIPT.parent.parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPT.parent.parent), *sys.path])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        self.pid = self.port = 0

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=PATIENCE)
        self._log.close()

    @property
    def log(self) -> str:
        """What the servers have logged, warnings and worse."""
        self._log.seek(0)
        return self._log.read()

    def start(self, weather: Weather) -> bool:
        """Start a server; False when it killed itself before it served."""
        assert self._process.stdin is not None
        if self.pid:
            # Left by a test that failed.
            self.signal(signal.SIGKILL)
            self.ended()
        self._process.stdin.write(msgspec.json.encode(weather) + b"\n")
        self._process.stdin.flush()
        said = self._said()
        if "ended" in said:
            assert said["ended"] == -signal.SIGKILL, said
            return False
        self.pid, self.port = said["pid"], said["port"]
        return True

    def burn(self, weather: Weather) -> bool:
        """Start a server and return when it has killed itself; tell whether that was before it served."""
        if not self.start(weather):
            return True
        assert self.ended() == -signal.SIGKILL
        return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server that runs."""
        os.kill(self.pid, number)

    def ended(self) -> int:
        """Give the exit status of the server once it has ended."""
        self.pid = 0
        status: int = self._said()["ended"]
        return status

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the servers are gone (exit status {self._process.poll()})"
        said: dict[str, Any] = json.loads(line)
        return said


class Caller:
    """One call that asks turn after turn; ``seen`` has the text of every turn whose end came, whatever came after."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.seen: dict[str, str] = {}
        self._turn = 0
        self._history: list[dict[str, str]] = []
        self._came = b""
        self._socket: socket.socket | None = None

    def way(self, port: int) -> socket.socket:
        """Give the connection; where there is none, another turn begins at the server on this port."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
            self._ask(self._socket)
        return self._socket

    def _ask(self, way: socket.socket) -> None:
        self._came = b""
        self._turn += 1
        self._history = [*self._history, {"role": "user", "content": f"What is in turn {self._turn}?"}][-WINDOW:]
        ids = {"instanceId": self.call, "sentenceId": self._turn}
        body = json.dumps({"model": "m", "stream": True, "messages": self._history, "extendData": ids}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n"
        way.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)

    def read(self) -> int:
        """Take what has come and go on to the next turn when this one is over; give how many turns that ended."""
        assert self._socket is not None
        data = self._socket.recv(65536)
        assert data, f"the server closed the connection: {self._came!r}"
        self._came += data
        if not self._came.endswith(END):
            return 0
        text = self._note()
        assert text is not None, self._came
        self._history.append({"role": "assistant", "content": text})
        self._ask(self._socket)
        return 1

    def read_to_end(self) -> bool:
        """Take what came before the server died; tell whether the reply had finished and its end was still to come."""
        gone, self._socket = self._socket, None
        if gone is None:
            return False
        with gone, suppress(ConnectionError):
            while data := gone.recv(65536):
                self._came += data
        return self._note() is None and b'"finish_reason":"stop"' in self._came

    def _note(self) -> str | None:
        """Give the text of a reply, which is one that was seen; None when its end has not come."""
        if DONE not in self._came:
            return None
        lines = [line for line in self._came.split(b"\n") if line.startswith(b"data: {")]
        deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines]
        text = "".join(delta.get("content") or "" for delta in deltas)
        assert text == "".join(words(self.call, str(self._turn)))
        self.seen[str(self._turn)] = text
        return text


class Kill(NamedTuple):
    """What was there when a server was killed.

    ``seen`` turns had been received with their end, ``ending`` replies waited for nothing but that. Of those seen
    ``spooled`` had gone to the spool, and ``waiting`` were still there.
    """

    weather: str
    seen: int
    ending: int
    spooled: int
    waiting: int


class Found(NamedTuple):
    """What became of the turns that were seen: which are not there, there twice, or with other words."""

    seen: int
    missing: list[tuple[str, str]]
    doubled: list[tuple[str, str]]
    other: list[tuple[str, str]]

    @property
    def wrong(self) -> list[tuple[str, str]]:
        return [*self.missing, *self.doubled, *self.other]


class Crash:
    """Calls that go on from one server to the next in one data directory. ``held`` False switches the wait off."""

    def __init__(self, servers: Servers, folder: Path, seed: int, *, held: bool = True, calls: int = CALLS) -> None:
        self._servers = servers
        folder.mkdir(exist_ok=True)
        self._folder = folder / "data"
        self._notes = folder / "spooled"
        self._random = random.Random(seed)
        self._held = held
        self.database = self._folder / "offhook.db"
        self.callers = [Caller(f"call-{seed}-{number}") for number in range(calls)]

    def weather(self, **weather: Any) -> Weather:
        """Give the weather of a server in this data directory."""
        made = {"data_dir": str(self._folder), "notes": str(self._notes), "held": self._held, **weather}
        return Weather(**made)

    def start(self, **weather: Any) -> bool:
        """Start a server; False when it killed itself before it served."""
        return self._servers.start(self.weather(**weather))

    def play(self, name: str, *, most: int = 150) -> Kill:
        """Let all calls ask at once, and kill the server at a moment that nobody chose."""
        before = self.seen()
        self.talk(self._random.randint(1, most), self._random.uniform(0, 0.01))
        ending = self.kill()
        new = self.seen() - before
        return Kill(name, len(new), ending, len(new & self.spooled()), len(new & self.waiting()))

    def kill(self) -> int:
        """Kill the server; give how many replies had finished and waited for nothing but their end."""
        self._servers.signal(signal.SIGKILL)
        ending = sum([caller.read_to_end() for caller in self.callers])
        assert self._servers.ended() == -signal.SIGKILL
        return ending

    def talk(self, turns: int, seconds: float = 0.0) -> None:
        """Let all calls ask turn after turn, until so many have ended and so much time has passed after that."""
        with selectors.DefaultSelector() as selector:
            for caller in self.callers:
                selector.register(caller.way(self._servers.port), selectors.EVENT_READ, caller)
            until = None
            while until is None or time.monotonic() < until:
                ready = selector.select(PATIENCE if until is None else max(0.0, until - time.monotonic()))
                assert ready or until is not None, "nothing came"
                turns -= sum([key.data.read() for key, _ in ready])
                if turns <= 0 and until is None:
                    until = time.monotonic() + seconds

    def seen(self) -> set[tuple[str, str]]:
        """Give call and turn id of every turn that was seen."""
        return {(caller.call, turn) for caller in self.callers for turn in caller.seen}

    def spooled(self) -> set[tuple[str, str]]:
        """Give call and turn id of everything that the spool ever took."""
        return {(call, turn) for call, turn in map(str.split, self._notes.read_text().splitlines())}

    def waiting(self) -> set[tuple[str, str]]:
        """Give call and turn id of what lies in the spool; nothing is changed there."""
        found = set()
        for path in (self._folder / "offhook.db-spool").glob("spool-*.bin"):
            data = path.read_bytes()
            start = data.find(MAGIC)
            while start >= 0:
                length = HEADER.unpack_from(data, start)[1]
                change = decode_change(data[start + HEADER.size : start + HEADER.size + length])
                if isinstance(change, TurnKept):
                    found.add((change.turn.call_id, str(change.turn.turn_id)))
                start = data.find(MAGIC, start + 1)
        return found

    def find(self) -> Found:
        """Look for every turn that was ever seen."""
        kept: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
            for call, turn, *texts in connection.execute("SELECT call_id, turn_id, generated, sent, reason FROM turns"):
                kept.setdefault((call, turn), []).append(tuple(texts))
        found = Found(0, [], [], [])
        for caller in self.callers:
            for turn, text in caller.seen.items():
                id = (caller.call, turn)
                rows = kept.get(id, [])
                found = found._replace(seen=found.seen + 1)
                if not rows:
                    found.missing.append(id)
                elif len(rows) > 1:
                    found.doubled.append(id)
                elif rows != [(text, text, "stop")]:
                    found.other.append(id)
        return found

    def stop(self) -> None:
        """End the server in good order; what the calls received by then counts."""
        self._servers.signal(signal.SIGTERM)
        for caller in self.callers:
            caller.read_to_end()
        assert self._servers.ended() == 0


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Keep servers from writing to their database, as another process does that writes for long."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=PATIENCE)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def decode_change(payload: bytes) -> Change | None:
    """Give a change from the spool; None when it was torn."""
    try:
        return _change.decode(payload)
    except msgspec.MsgspecError:
        return None


def crash(
    servers: Servers, folder: Path, seed: int, weathers: Sequence[str], *, held: bool = True, most: int = 150
) -> tuple[list[Kill], Found]:
    """Kill a server in each of these weathers, one after the other in one data directory.

    Gives each kill, and what was found after all of them. Unless that is expected to fail, it is looked after each.
    """
    plan = Crash(servers, folder, seed, held=held)
    kills: list[Kill] = []
    for name in weathers:
        with locked(plan.database) if name == "shut" else nullcontext():
            assert plan.start(**WEATHERS[name])
            # A server that cannot write has everything in the spool still.
            if held and kills and name != "shut":
                assert not plan.find().wrong
            with locked(plan.database) if name in ("locked", "tough") else nullcontext():
                kills.append(plan.play(name, most=most))
    assert plan.start()
    found = plan.find()
    plan.talk(1)
    plan.stop()
    if held:
        assert not plan.find().wrong
        assert not plan.waiting()
    return kills, found


def table(kills: Iterable[Kill]) -> str:
    """Show kills, one in a line."""
    return "\n".join("  ".join(f"{name} {value}" for name, value in kill._asdict().items()) for kill in kills)
