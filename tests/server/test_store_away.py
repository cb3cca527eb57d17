"""The store goes away in mid-call: replies end all the same, and what was finished is kept once it is back."""

from __future__ import annotations

import json
import logging
import resource
import sqlite3
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from offhook.errors import StoreError
from offhook.server import build
from offhook.store.sql import SqlStore
from offhook.store.sqlite import Database
from offhook.testing import LiveServer, live_server
from offhook.turns import journal
from offhook.turns.spool import SpoolFiles
from tests.crash import PATIENCE, Crash, Servers, locked
from tests.crash_server import words
from tests.raw import Wire, chat_body, get, request, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from offhook.events import Turn
    from offhook.store.base import Change

DEGRADED = {"status": "ready", "degraded": ["store"]}
READY = {"status": "ready"}
# What does not end within a test.
NEVER = 1000.0


async def agent(turn: Turn) -> AsyncIterator[str]:
    """Say what can be foretold."""
    for text in words(turn.call.id, turn.id):
        yield text


def ask(turn: int, call: str = "c") -> dict[str, Any]:
    """Give the request for a turn of a call."""
    return chat_body(f"Say {turn}.", extendData={"instanceId": call, "sentenceId": turn})


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[LiveServer]:
    """Serve with a database in the folder."""
    with live_server(agent, store="sqlite", data_dir=str(folder), **settings) as server:
        yield server


def say(server: LiveServer, *turns: int) -> None:
    """Have each of these turns to its ``[DONE]``; the oracle sees that it comes, with the right words before it."""
    for turn in turns:
        assert stream(server.base_url, ask(turn)).text == "".join(words("c", str(turn)))


def begin(server: LiveServer) -> None:
    """Have turn 1, and return when it is in the database, also where a commit takes long by itself."""
    say(server, 1)
    wait_until_back(server.base_url)


def kept(folder: Path) -> dict[int, str]:
    """Give the words of each turn in the database, which must be there once."""
    with closing(sqlite3.connect(folder / "offhook.db")) as connection:
        rows = connection.execute("SELECT turn_id, sent FROM turns").fetchall()
    assert len(rows) == len({turn for turn, _ in rows}), rows
    return {int(turn): sent for turn, sent in rows}


def said(*turns: int) -> dict[int, str]:
    """Give what the database has to hold."""
    return {turn: "".join(words("c", str(turn))) for turn in turns}


def state(base_url: str) -> dict[str, Any]:
    """Give what the server says of itself; it takes turns, whatever became of the store."""
    reply = get(base_url, "/readyz", {})
    assert reply.status == 200
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


def wait_until_back(base_url: str) -> None:
    """Return when the server has its store again."""
    until = time.monotonic() + PATIENCE
    while (now := state(base_url)) != READY:
        assert now == DEGRADED
        assert time.monotonic() < until, "the store did not come back"


class Gate:
    """Holds whoever comes through, until it is opened; ``reached`` tells that somebody came."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        self.open = self._open.set

    def shut(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give the function behind the gate."""

        def gated(*arguments: Any) -> Any:
            self.reached.set()
            assert self._open.wait(PATIENCE), "nobody opened the gate"
            return function(*arguments)

        return gated


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the store looked for more often than in production, and locks waited for less long."""
    monkeypatch.setattr(journal, "_LOOK_AGAIN", 0.02)
    assert SqlStore.__init__.__kwdefaults__
    monkeypatch.setitem(SqlStore.__init__.__kwdefaults__, "lock_wait", 0.1)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give what was logged as an error."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- locked -------------------------------------------------------------------------------------------------------


def test_a_database_that_is_locked_in_mid_call(tmp_path: Path) -> None:
    """Replies end while another process holds the database, which has their turns when it is free again."""
    with serving(tmp_path) as server:
        begin(server)
        with locked(tmp_path / "offhook.db"):
            say(server, 2, 3)
            assert state(server.base_url) == DEGRADED
            assert kept(tmp_path) == said(1)
        wait_until_back(server.base_url)
        assert kept(tmp_path) == said(1, 2, 3)
        say(server, 4)
        wait_until_back(server.base_url)
        assert kept(tmp_path) == said(1, 2, 3, 4)


def test_a_database_that_is_locked_until_the_server_has_ended(tmp_path: Path) -> None:
    """Turns that never left the spool are in the database after the next start."""
    with ExitStack() as lock:
        with serving(tmp_path) as server:
            begin(server)
            lock.enter_context(locked(tmp_path / "offhook.db"))
            say(server, 2, 3)
        assert kept(tmp_path) == said(1)
    with serving(tmp_path) as server:
        assert state(server.base_url) == READY
        assert kept(tmp_path) == said(1, 2, 3)


def test_a_server_starts_on_a_locked_database(tmp_path: Path) -> None:
    """A server that finds turns in the spool and the database locked takes calls, and writes all of it later."""
    with ExitStack() as lock:
        with serving(tmp_path) as server:
            begin(server)
            lock.enter_context(locked(tmp_path / "offhook.db"))
            say(server, 2)
        with serving(tmp_path) as server:
            assert state(server.base_url) == DEGRADED
            say(server, 3)
            lock.close()
            wait_until_back(server.base_url)
            assert kept(tmp_path) == said(1, 2, 3)


# --- full ---------------------------------------------------------------------------------------------------------


def test_a_database_that_may_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Turns wait in the spool while SQLite says that the disk is full, and a start with room has them all."""

    def make(name: str, **options: Any) -> SqlStore:
        return SqlStore(options["data_dir"] / "offhook.db", now=options["now"], most_pages=12)

    with serving(tmp_path) as server:
        begin(server)
    with monkeypatch.context() as patch:
        patch.setattr(build, "make_store", make)
        with serving(tmp_path, store_commit_wait=NEVER) as server:
            turn = 1
            while state(server.base_url) == READY:
                turn += 1
                assert turn < 200, "the disk is never full"
                say(server, turn)
            say(server, turn + 1)
            assert state(server.base_url) == DEGRADED
            assert len(kept(tmp_path)) < turn + 1
    assert any("full" in error for error in errors(caplog))
    with serving(tmp_path):
        assert kept(tmp_path) == said(*range(1, turn + 2))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="optional: a limit is changed from outside on Linux only")
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """Where no file can get longer the spool takes the turns, as it has its size, and the store has them later."""
    with Servers() as servers:
        plan = Crash(servers, tmp_path, seed=1, calls=2)
        assert plan.start(spool=100_000, most_bytes=200_000, commit_wait=NEVER)
        while len(plan.spooled() & plan.seen()) < 10:
            plan.talk(1)
            assert len(plan.seen()) < 300, "the disk is never full"
        resource.prlimit(servers.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_until_back(f"http://127.0.0.1:{servers.port}/v1")
        assert plan.find().wrong == []
        plan.stop()
        assert "lost" not in servers.log


# --- deleted and replaced -----------------------------------------------------------------------------------------


def test_a_database_that_is_deleted_in_mid_call(tmp_path: Path) -> None:
    """Turns after that are in a new file of the same name, with their call, and nothing else is noticed."""
    with serving(tmp_path, store_commit_wait=NEVER) as server:
        begin(server)
        for file in tmp_path.glob("offhook.db*"):
            if file.is_file():
                file.unlink()
        say(server, 2, 3)
        assert state(server.base_url) == READY
        assert kept(tmp_path) == said(2, 3)
    assert kept(tmp_path) == said(2, 3)


def test_a_database_in_whose_place_another_stands_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Turns wait while another program's file stands where the database was, and are written when it is back."""
    database, away = tmp_path / "offhook.db", tmp_path / "away.db"
    with serving(tmp_path) as server:
        begin(server)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE others (id INTEGER)")
    with serving(tmp_path) as server:
        database.rename(away)
        (tmp_path / "other.db").rename(database)
        say(server, 2, 3)
        assert state(server.base_url) == DEGRADED
        looks = Gate()
        looks.open()
        monkeypatch.setattr(Database, "commit", looks.shut(Database.commit))
        # Whoever comes again has been sent away before.
        for _ in range(2):
            assert looks.reached.wait(PATIENCE)
            looks.reached.clear()
        # In one step, as in between the server would make a new one.
        away.replace(database)
        wait_until_back(server.base_url)
        assert kept(tmp_path) == said(1, 2, 3)
    assert [error for error in errors(caplog) if "the store is away" not in error] == []


# --- store and spool ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 100], ids=["no spool", "a spool that is full"])
def test_what_nobody_takes_is_said_to_be_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int) -> None:
    """Where store and spool refuse, a reply ends and an error is logged; a store that comes back takes the turn."""
    with serving(tmp_path, store_spool=size) as server:
        begin(server)
        caplog.clear()
        with locked(tmp_path / "offhook.db"):
            say(server, 2, 3)
            assert state(server.base_url) == DEGRADED
        assert sum("a record is lost for now" in error for error in errors(caplog)) == 2
        wait_until_back(server.base_url)
        assert kept(tmp_path) == said(1, 2, 3)
    assert not any("lost records" in error for error in errors(caplog))


def test_what_is_lost_in_the_end_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says how many turns the spool had refused when the store does not come back in the server's life."""
    # The server ends before the lock does.
    with ExitStack() as lock, serving(tmp_path, store_spool=0) as server:
        begin(server)
        lock.enter_context(locked(tmp_path / "offhook.db"))
        say(server, 2, 3)
    assert kept(tmp_path) == said(1)
    assert "lost records: 2; neither the store nor the spool took them" in errors(caplog)


def test_what_the_spool_refused_is_written_at_the_very_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is back when the server ends takes what nobody took before, though it was not looked for again."""
    monkeypatch.setattr(journal, "_LOOK_AGAIN", NEVER)
    with serving(tmp_path, store_spool=0) as server:
        begin(server)
        with locked(tmp_path / "offhook.db"):
            say(server, 2, 3)
    assert kept(tmp_path) == said(1, 2, 3)
    assert not any("lost records" in error for error in errors(caplog))


# --- hanging ------------------------------------------------------------------------------------------------------


def test_a_store_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies of old and new calls end while a commit hangs, their turns stand in the spool, and in the store later."""
    gate = Gate()
    with serving(tmp_path) as server:
        begin(server)
        monkeypatch.setattr(Database, "commit", gate.shut(Database.commit))
        say(server, 2)
        assert gate.reached.wait(PATIENCE)
        assert stream(server.base_url, ask(1, call="new")).text == "".join(words("new", "1"))
        say(server, 3)
        assert state(server.base_url) == DEGRADED
        gate.open()
        wait_until_back(server.base_url)
        with closing(sqlite3.connect(tmp_path / "offhook.db")) as connection:
            rows = connection.execute("SELECT call_id, turn_id FROM turns ORDER BY 1, 2").fetchall()
        assert rows == [("c", "1"), ("c", "2"), ("c", "3"), ("new", "1")]


def test_only_the_end_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every word of a reply and its finish chunk come while its record hangs, and the end when that is safe."""
    gate = Gate()
    with serving(tmp_path, store_commit_wait=NEVER) as server:
        begin(server)
        monkeypatch.setattr(Database, "commit", gate.shut(Database.commit))
        with Wire(server.base_url) as wire, Wire(server.base_url) as other:
            for turn, connection in ((2, wire), (3, other)):
                connection.ask(ask(turn, call=f"call {turn}"))
                came = connection.read_until(b'"finish_reason":"stop"')
                assert words(f"call {turn}", str(turn))[-1].rstrip(".").encode() in came
            assert gate.reached.wait(PATIENCE)
            assert b"[DONE]" not in wire.received + other.received
            gate.open()
            wire.read_until(b"data: [DONE]\n\n")
            other.read_until(b"data: [DONE]\n\n")
        assert state(server.base_url) == READY


def test_records_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that goes on after its end and a restart is answered though the records from before cannot be read."""
    gate = Gate()
    with serving(tmp_path) as server:
        begin(server)
        assert request(server.base_url, b"", path="/calls/c/end").status == 200
    with serving(tmp_path) as server:
        monkeypatch.setattr(Database, "read", gate.shut(Database.read))
        say(server, 2)
        assert gate.reached.wait(PATIENCE)
        gate.open()
        wait_until_back(server.base_url)
        assert kept(tmp_path) == said(1, 2)


def test_a_store_and_a_spool_that_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Replies end while both hang, and their turns are written when the disk answers again."""
    store, spool = Gate(), Gate()
    with serving(tmp_path) as server:
        begin(server)
        caplog.clear()
        monkeypatch.setattr(Database, "commit", store.shut(Database.commit))
        monkeypatch.setattr(SpoolFiles, "put", spool.shut(SpoolFiles.put))
        say(server, 2, 3)
        assert spool.reached.wait(PATIENCE)
        assert state(server.base_url) == DEGRADED
        assert sum("a record is lost for now" in error for error in errors(caplog)) == 2
        store.open()
        spool.open()
        wait_until_back(server.base_url)
        assert kept(tmp_path) == said(1, 2, 3)


def test_a_store_that_fails_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every third commit refused no turn is missing or there twice."""
    commit, count = Database.commit, 0

    def moody(database: Database, changes: Sequence[Change]) -> list[StoreError | None]:
        nonlocal count
        count += 1
        if count % 3 == 0:
            raise StoreError("not now")
        return commit(database, changes)

    monkeypatch.setattr(Database, "commit", moody)
    with serving(tmp_path) as server:
        say(server, *range(1, 31))
    assert count > 6
    with serving(tmp_path):
        assert kept(tmp_path) == said(*range(1, 31))
