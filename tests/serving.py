"""A server in a process of its own: started, told to stop by a signal, and looked at when it has ended."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from signal import SIGTERM, Signals
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

PATIENCE = 20.0
BASE_URL = re.compile(r"https?://\S+/v1")


class Serving:
    """A process that prints its base URL once it serves. ``out`` is what it has printed to standard output."""

    def __init__(
        self, arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str] | None = None, wait: bool = True
    ) -> None:
        # Nothing of the machine's own settings, and the data directory is the test's.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OFFHOOK_", "XDG_"))}
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**kept, "HOME": str(cwd), "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.out = ""
        self.err = ""
        self.base_url = ""
        if wait:
            self._wait_until_it_serves()

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.end()

    def _wait_until_it_serves(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.out += line
            found = BASE_URL.search(line)
            if found:
                self.base_url = found[0]
            # The last line of the greeting, or of a script that prints nothing else.
            if self.base_url and ("stops it" in line or line.strip() == self.base_url):
                return
        self.end()
        raise AssertionError(f"the process ended before it served: {self.err}")

    def signal(self, number: Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Give the exit code once the process has ended by itself."""
        if self._process.stdout is not None and not self._process.stdout.closed:
            try:
                out, self.err = self._process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self.err = self._process.communicate()[1]
                raise AssertionError(f"the process did not end: {self.err}") from None
            self.out += out
        return self._process.returncode

    def stop(self, number: Signals = SIGTERM) -> int:
        """Send a signal and give the exit code."""
        self.signal(number)
        return self.end()
