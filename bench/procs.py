"""Child processes that end with their parent, and what the kernel says of them."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

REPO = Path(__file__).resolve().parent.parent
PATIENCE = 15.0
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
# Asked before anything is pinned.
AVAILABLE = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def cores() -> tuple[int | None, int | None]:
    """Give a core for the server and one for the driver; None where there are not two to choose from."""
    return (AVAILABLE[0], AVAILABLE[1]) if len(AVAILABLE) > 1 else (None, None)


def pin(core: int | None) -> None:
    """Keep this process on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextmanager
def child(command: Sequence[str], *, core: int | None = None, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on one core; it is ended on the way out, and by the kernel when this process is killed."""
    guard = shutil.which("setpriv")
    guarded = [guard, "--pdeathsig", "TERM", *command] if guard else list(command)
    # A group of its own: a Ctrl-C at the terminal is for the parent, which then ends its children in order.
    process = subprocess.Popen(guarded, process_group=0, **options)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(PATIENCE / 3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


class Server:
    """A line in a process of its own (``bench.serve``), and its control pipe."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self.port = int(self._answer()["port"])

    def ask(self, question: str) -> dict[str, Any]:
        """Send one word and give the object that answers it."""
        assert self._process.stdin is not None
        self._process.stdin.write(question.encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def settled(self, within: float = 5.0) -> dict[str, Any]:
        """Give the server's figures once no turn is live, or those it has after so many seconds."""
        until = time.monotonic() + within
        while (stats := self.ask("stats"))["live"] and time.monotonic() < until:
            time.sleep(0.02)
        return stats

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            raise RuntimeError(f"the server process said nothing (exit status {self._process.poll()})")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def server(
    *, agent: str | None = None, upstream: str | None = None, core: int | None = None, **settings: Any
) -> Iterator[Server]:
    """Serve an agent of ``bench.agents``, or the model behind ``upstream``, in a process of its own.

    ``settings`` are those of ``offhook.config``; without a ``store`` among them nothing is recorded.
    """
    config = json.dumps({"agent": agent, "upstream": upstream, "settings": settings})
    command = [sys.executable, "-m", "bench.serve", config]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with child(command, core=core, cwd=REPO, **pipes) as process:
        yield Server(process)


@contextmanager
def disk_folder() -> Iterator[tuple[Path, str]]:
    """Give an empty folder on a disk, not in memory where that can be had, and the kind of its file system."""
    places = (Path(tempfile.gettempdir()), Path("/var/tmp"), REPO)
    kinds = [(place, file_system(place)) for place in places if os.access(place, os.W_OK)]
    place, kind = next(((place, kind) for place, kind in kinds if kind not in _IN_MEMORY), kinds[0])
    with tempfile.TemporaryDirectory(prefix="offhook-bench-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder), kind


def file_system(path: Path) -> str:
    """Give the kind of the file system that a path is on, for example ``ext4``."""
    found = (0, "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if path.is_relative_to(point):
            found = max(found, (len(point), kind))
    return found[1]


def free_port() -> int:
    """Give a port that nobody has now, for programs that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, within: float = PATIENCE) -> None:
    """Return when somebody listens on the port. Raises TimeoutError otherwise."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nobody listens on port {port}")


def cpu_ns(pid: int) -> int:
    """Give the user and system time of a process with all its threads, in nanoseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def kept_waiting() -> float:
    """Give the seconds in which this thread could have run and others had its core, the hypervisor's share included.

    The latter is counted in hundredths of a second, and over all cores.
    """
    waited = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    with open("/proc/stat", encoding="ascii") as stat:
        stolen = int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    return waited + stolen


def core_busy(core: int | None) -> float:
    """Give the seconds that a core was not idle since it started, the hypervisor's share included."""
    if core is None:
        return 0.0
    lines = Path("/proc/stat").read_text().splitlines()
    ticks = next(line.split()[1:9] for line in lines if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    """Give the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int | str = "self") -> int:
    """Give how many descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def run_uvloop(work: Coroutine[Any, Any, None]) -> None:
    """Run the driver's work on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
