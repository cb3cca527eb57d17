"""``transformers serve`` behind the model agent, with a tiny model that has random weights."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from bench.procs import cpu_ns, descriptors, free_port
from offhook.testing import live_server
from tests.oracle import check_stream
from tests.peers.models import (
    STARTING,
    Peer,
    caller,
    delivered,
    environment,
    leave,
    milliseconds,
    version,
    wait_for_health,
    when,
)
from tests.peers.program import PROGRAMS, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from offhook.testing import LiveServer

ANSWERED = '"POST /v1/chat/completions HTTP/1.1" 200 OK'
RECEIVED = "[Request received]"
# A request is longer than this, in bytes.
REQUEST = 200
# What a model of this size takes seconds for, and not many: it serves one request after the other, and does not give
# every reply up whose caller has left (see below).
LONG = 3000
# The server's processor time over so many seconds says whether it generates, and this share of a core is none.
WINDOW = 0.02
IDLE = 0.2
# How long it has to rest before it counts as resting.
QUIET = 0.3
# A reply that is given up ends within this time, and LONG words never do.
GIVEN_UP = 0.5
TIMES = 5


class Transformers:
    """The server that runs, and the model that it has."""

    def __init__(self, peer: Peer, model: Path) -> None:
        self.peer = peer
        self.model = str(model)

    def served(self) -> AbstractContextManager[LiveServer]:
        """Serve the model agent in front of it."""
        return live_server(upstream=self.peer.base_url, upstream_model=self.model)

    def busy(self) -> float:
        """Give how much of a core it uses, looking at it for a moment."""
        before, start = cpu_ns(self.peer.program.pid), time.monotonic_ns()
        time.sleep(WINDOW)
        return (cpu_ns(self.peer.program.pid) - before) / (time.monotonic_ns() - start)

    def rest_after(self, start: float) -> float:
        """Wait until it does nothing, and give how many seconds after the start it had begun to (to one window)."""
        rested: list[float] = []

        def quiet() -> bool:
            if self.busy() >= IDLE:
                rested.clear()
                return False
            rested.append(time.monotonic())
            return rested[-1] - rested[0] > QUIET

        when(quiet, "the model server has stopped generating")
        return rested[0] - start


# --- the server ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transformers | str]:
    """Make a model and serve it, or give the reason why there is none."""
    programs = environment("transformers")
    if isinstance(programs, str):
        yield programs
        return
    folder = tmp_path_factory.mktemp("transformers")
    model = folder / "tiny"
    # It may ask nobody outside, and keeps what it keeps in a folder that goes away.
    offline = [
        "env",
        "HF_HUB_OFFLINE=1",
        "HF_HUB_DISABLE_TELEMETRY=1",
        f"HF_HOME={folder}",
        "OMP_NUM_THREADS=1",
        "PYTHONUNBUFFERED=1",
    ]
    make = [*offline, str(programs / "python"), str(PROGRAMS / "tiny_model.py"), str(model)]
    made = subprocess.run(make, capture_output=True, text=True, timeout=STARTING, check=False)
    assert made.returncode == 0, made.stderr
    port = free_port()
    shell = [*offline, "sh", "-c", 'exec 2>&1; exec "$@"', "transformers"]
    serve = [programs / "transformers", "serve", model, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with running([*shell, *map(str, serve)]) as program:
        peer = Peer(program, port)
        wait_for_health(peer, "/health")
        yield Transformers(peer, model)


@pytest.fixture
def transformers(record_property: Callable[[str, object], None], model_server: Transformers | str) -> Transformers:
    """Give the server, with nothing to do."""
    record_property("peer", "transformers serve")
    if isinstance(model_server, str):
        pytest.skip(model_server)
    programs = environment("transformers")
    assert not isinstance(programs, str)
    record_property("version", f"{version(programs, 'transformers')}, torch {version(programs, 'torch')}")
    model_server.rest_after(time.monotonic())
    return model_server


# --- words --------------------------------------------------------------------------------------------------------


def test_transformers_speaks(transformers: Transformers) -> None:
    """The model agent speaks what a random model says, cut at the length that the caller asked for, with its usage."""
    asked = {"max_tokens": 8, "stream_options": {"include_usage": True}}
    with transformers.served() as server, caller(server, "w1 w2", **asked) as asking:
        said = check_stream(asking.read_all(), usage_asked=True)
    assert len(said.text.split()) == 8
    assert said.finish_reason == "length"
    assert said.usage == {"prompt_tokens": 4, "completion_tokens": 8, "total_tokens": 12}


def test_transformers_ends_without_done(transformers: Transformers) -> None:
    """The server ends its stream with a finish reason and no ``[DONE]``, and the model agent takes that for an end."""
    with caller(transformers.peer, model=transformers.model, max_tokens=4) as asking:
        raw = asking.read_all()
    assert b'"finish_reason":"length"' in raw
    assert b"[DONE]" not in raw
    with transformers.served() as server, caller(server, max_tokens=4) as asking:
        assert asking.read_all().endswith(b"data: [DONE]\n\n")


def test_transformers_keeps_the_pace(
    transformers: Transformers, record_property: Callable[[str, object], None]
) -> None:
    """The words of a long reply arrive while the model says them."""
    began, pieces, whole = time.monotonic(), [], b""
    with transformers.served() as server, caller(server, max_tokens=LONG) as asking:
        while data := asking.read():
            whole += data
            pieces.append(time.monotonic() - began)
    assert len(check_stream(whole, usage_asked=False).text.split()) == LONG
    assert pieces[0] < pieces[-1] / 2
    assert len(pieces) > 100
    took = f"the first word after {milliseconds(pieces[0])}, the last after {milliseconds(pieces[-1])}"
    record_property("measured", f"{took}, in {len(pieces)} reads")


# --- disconnects --------------------------------------------------------------------------------------------------

# When a client has left, Starlette cancels the sending of its stream, but does not close the generator behind it. If
# that waits for the next word just then, it is cancelled too and stops the model. If it has handed over a word that is
# still being sent, nothing tells it, and the model says the rest for nobody, while the connection is closed. Of 294
# replies that were left in mid-stream 7 went that way, of 50 that were left while the server stood still 13, and one
# that was left by a caller who had stopped reading.


def test_transformers_left_before_its_headers(
    transformers: Transformers, record_property: Callable[[str, object], None]
) -> None:
    """Left five times while it stood still, the server reads the request when it goes on, and closes its end."""
    peer, idle = transformers.peer, descriptors(transformers.peer.program.pid)
    closed, rests = [], []
    with transformers.served() as server:
        for _ in range(TIMES):
            mark = peer.mark
            os.kill(peer.program.pid, signal.SIGSTOP)
            try:
                with caller(server, max_tokens=LONG) as asking:
                    when(lambda: delivered(peer.port) > REQUEST, "the request is there to be read")
                    closed.append(leave(asking, server, peer.port).closed)
            finally:
                os.kill(peer.program.pid, signal.SIGCONT)
            woken = time.monotonic()
            peer.wait_for(RECEIVED, mark)
            when(lambda: descriptors(peer.program.pid) == idle, "the server has closed its end")
            rests.append(transformers.rest_after(woken))
    record_property("measured", measured(closed, rests))


def test_transformers_left_before_the_first_word(
    transformers: Transformers, record_property: Callable[[str, object], None]
) -> None:
    """Left after its headers while its model works for another, the server closes its end and drops the request."""
    peer, mark = transformers.peer, transformers.peer.mark
    with transformers.served() as other, transformers.served() as server, caller(other, max_tokens=LONG) as working:
        got = working.read_until("w")
        with caller(server, max_tokens=LONG) as asking:
            peer.wait_for(ANSWERED, mark, times=2)
            # The role, which comes with the headers, is on its way.
            time.sleep(0.1)
            both = descriptors(peer.program.pid)
            left = leave(asking, server, peer.port)
            assert left.turn.events == 1, "the finish, and no word"
            seen = when(lambda: descriptors(peer.program.pid) < both, "the server has closed its end") - left.at
        assert transformers.busy() > IDLE, "the other caller is still spoken to"
        got += working.read_all()
        assert transformers.rest_after(time.monotonic()) < GIVEN_UP
    assert len(check_stream(got, usage_asked=False).text.split()) == LONG
    record_property(
        "measured", f"our end closed after {milliseconds(left.closed)}, the server's after {milliseconds(seen)}"
    )


def test_transformers_left_in_mid_stream(
    transformers: Transformers, record_property: Callable[[str, object], None]
) -> None:
    """Left five times in mid-stream, the server closes its end each time, and stops generating, if not every time."""
    peer, idle = transformers.peer, descriptors(transformers.peer.program.pid)
    closed, rests = [], []
    with transformers.served() as server:
        for _ in range(TIMES):
            with caller(server, max_tokens=LONG) as asking:
                asking.read_until("w")
                assert transformers.busy() > IDLE
                left = leave(asking, server, peer.port)
            when(lambda: descriptors(peer.program.pid) == idle, "the server has closed its end")
            closed.append(left.closed)
            rests.append(transformers.rest_after(left.at))
    assert min(rests) < GIVEN_UP
    record_property("measured", measured(closed, rests))


def measured(closed: list[float], rests: list[float]) -> str:
    """Say when our ends were closed, and how many replies were given up and when the model rested then."""
    given_up = [rest for rest in rests if rest < GIVEN_UP]
    rested = f", the model resting after {milliseconds(max(given_up))}" if given_up else ""
    return f"our end closed after {milliseconds(max(closed))}, {len(given_up)} of {len(rests)} replies given up{rested}"
