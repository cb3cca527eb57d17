"""The HTTP server's connection, as this house needs it."""

from __future__ import annotations

from typing import Protocol

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

FLOW = "offhook.flow"


class Flow(Protocol):
    """The sending side of a connection: whether its transport is full, and a wait until it is not."""

    write_paused: bool

    async def drain(self) -> None:
        """Return when the transport takes bytes again, or the client has gone."""


class LineProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP connection, which also tells the application whether its transport is full.

    A reader of a reply may then write within the agent's own step: while ``write_paused`` is false uvicorn's ``send``
    runs to its end without waiting.
    """

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {FLOW: self.flow}  # type: ignore[dict-item]  # an object of ours, not a table of ASGI's
