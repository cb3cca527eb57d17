"""Lets the oracle see every stream that a server in this process sends, whatever the test looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offhook.server.outlet import Outlet
from tests.oracle import check_stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

# A longer stream is looked at up to here: tests of slow readers send without end.
LONGEST = 1_000_000


class StreamTap:
    """Watches ``Outlet.put``; ``judged`` counts whole streams, ``wrong`` says what the oracle found."""

    def __init__(self) -> None:
        self._bodies: dict[int, bytearray] = {}
        self.judged = 0
        self.wrong: list[str] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Watch from now on, until the patch is undone."""
        put = Outlet.put

        def watched(outlet: Outlet, message: Any, mark: int = 0) -> None:
            self.see(id(outlet), message)
            put(outlet, message, mark)

        patch.setattr(Outlet, "put", watched)

    def see(self, outlet: int, message: Mapping[str, Any]) -> None:
        """Take one ASGI message of one response."""
        if message["type"] == "http.response.start":
            kind = dict(message["headers"]).get(b"content-type", b"")
            self._bodies.pop(outlet, None)
            if kind.startswith(b"text/event-stream"):
                self._bodies[outlet] = bytearray()
            return
        body = self._bodies.get(outlet)
        if body is None:
            return
        body += message.get("body", b"")
        if len(body) > LONGEST:
            del self._bodies[outlet]
        elif not message.get("more_body", False):
            del self._bodies[outlet]
            self.judge(bytes(body))

    def judge(self, raw: bytes) -> None:
        """Let the oracle look at a whole stream. Models may send arguments that are no JSON; agents may not."""
        self.judged += 1
        failed = raw.rstrip().rpartition(b"\n\n")[2].startswith(b'data: {"error"')
        usage = b'"choices":[],"usage":' in raw
        try:
            check_stream(raw, usage_asked=usage, error_expected=failed, free_arguments=True)
        except AssertionError as error:
            self.wrong.append(f"{error}\n{raw[-600:]!r}")
