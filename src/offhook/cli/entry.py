"""Where the ``offhook`` command begins: before anything else is loaded, so that Ctrl-C is quiet from the start."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; exit code 130 after Ctrl-C."""
    try:
        from offhook.cli.main import main as run  # Late on purpose: loading takes most of a second.

        run()
    except KeyboardInterrupt:
        sys.exit(130)
