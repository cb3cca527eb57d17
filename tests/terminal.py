"""A reader at a terminal who follows the README: types its files and runs its commands, in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from tests.documents import Block

STAND_IN = Path(__file__).with_name("curl.py")
PATIENCE = 15.0

# Commands that are not run, and why.
EXEMPT = {
    "git clone ... && cd offhook": "the clone is there, and this test runs in it",
    "make demo": "has tests of its own",
    "make test": "runs this very test",
}


class Terminal:
    """Runs blocks of shell commands one after the other; ``offhook serve`` runs on while the next ones do.

    Each server is given a free port, and the README's port stands for that of the server that runs. ``swaps`` replaces
    the addresses of services that a machine may not have.
    """

    def __init__(self, folder: Path, swaps: dict[str, str], *, real_curl: bool) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.base_url = ""
        self.api_key = ""
        self._swaps = dict(swaps)
        self._server: subprocess.Popen[str] | None = None
        tools = folder.with_name("bin")
        tools.mkdir()
        if not real_curl:
            stand_in = tools / "curl"
            stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n', "utf-8")
            stand_in.chmod(0o755)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
        self._environment = {
            **inherited,
            "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "OFFHOOK_PORT": "0",
            "OFFHOOK_DATA_DIR": str(folder.with_name("data")),
        }
        self._log = folder.with_name("server.log")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def type_in(self, block: Block) -> None:
        """Write a block into the file that it is titled with."""
        assert block.title is not None
        (self.folder / block.title).write_text(block.text, "utf-8")

    def run(self, block: Block, keyboard: str = "") -> str:
        """Run a block and give what it printed; ``keyboard`` is what is typed meanwhile."""
        lines = [line for line in block.text.splitlines() if line not in EXEMPT]
        script = "\n".join(lines)
        for shown, real in self._swaps.items():
            script = script.replace(shown, real)
        if not script.strip():
            return ""
        if script.startswith("offhook serve"):
            return self._serve(script)
        if self.base_url:
            script = script.replace("http://127.0.0.1:8083/v1", self.base_url)
        done = subprocess.run(
            ["sh", "-e", "-c", script],
            input=keyboard,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self._environment,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{block}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        assert not done.stderr, f"{block}: {done.stderr}"
        return done.stdout

    def stop(self) -> int | None:
        """End the server as Ctrl-C does; give its exit code, None when there was none."""
        server, self._server = self._server, None
        if server is None:
            return None
        with server:
            server.terminate()
            return server.wait(PATIENCE)

    def _serve(self, script: str) -> str:
        self.stop()
        with self._log.open("w", encoding="utf-8") as log:
            self._server = subprocess.Popen(
                ["sh", "-e", "-c", f"exec {script}"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env=self._environment,
            )
        assert self._server.stdout is not None
        said = self._greeting(self._server.stdout)
        self.base_url = _value(said, "base URL")
        self.api_key = _value(said, "API-KEY")
        return said

    def _greeting(self, output: IO[str]) -> str:
        said = ""
        for line in output:
            said += line
            if line.startswith("Ctrl-C"):
                return said
        raise AssertionError(f"the server ended:\n{said}{self._log.read_text('utf-8')}")


def has_curl() -> bool:
    """Tell whether this machine has curl."""
    return shutil.which("curl") is not None


def _value(said: str, name: str) -> str:
    match = re.search(rf"^  {name} +(.*)$", said, re.MULTILINE)
    assert match, f"the server did not say its {name}:\n{said}"
    return match[1]
