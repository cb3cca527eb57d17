"""A foreign program as a child: what it says, as it says it."""

from __future__ import annotations

import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.procs import child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAMS = Path(__file__).resolve().parent / "programs"
# A JVM that compiles its program on a busy machine takes its time.
PATIENCE = 30.0


class Program:
    """Reads a program's output in a thread of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._output = b""
        self._errors = b""
        self._over = 0
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in ("stdout", "stderr")
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._process.pid

    @property
    def output(self) -> bytes:
        """What it has written so far."""
        return self._output

    def wait_for(self, words: bytes | str, timeout: float = PATIENCE) -> None:
        """Return when it has written these words. Fails when it ends without, or takes too long."""
        wanted = words.encode() if isinstance(words, str) else words
        with self._changed:
            self._changed.wait_for(lambda: wanted in self._output or self._over == 2, timeout)
        assert wanted in self._output, f"wrote {self._output[-2000:]!r}, {self._errors[-2000:]!r} and not {wanted!r}"

    def end(self, timeout: float = PATIENCE) -> bytes:
        """Give all that it wrote, when it has ended by itself and well."""
        status = self._process.wait(timeout)
        self.join()
        assert status == 0, f"ended with {status}: {self._errors[-2000:]!r}"
        return self._output

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def join(self) -> None:
        """Wait for the readers, which end with the program."""
        for thread in self._threads:
            thread.join(5)

    def _read(self, name: str) -> None:
        pipe = getattr(self._process, name)
        while data := pipe.read1(65536):
            with self._changed:
                if name == "stdout":
                    self._output += data
                else:
                    self._errors += data
                self._changed.notify_all()
        with self._changed:
            self._over += 1
            self._changed.notify_all()


@contextmanager
def running(command: Sequence[str | Path]) -> Iterator[Program]:
    """Run a program; it is ended on the way out."""
    words = [str(word) for word in command]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with child(words, **pipes) as process:
        program = Program(process)
        try:
            yield program
        finally:
            process.kill()
            program.join()
