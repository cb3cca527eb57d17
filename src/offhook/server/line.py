"""The line: agents, the engine that runs them, and the application in front."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp

    from offhook.coord.base import Coordinator
    from offhook.server.admission import Admission
    from offhook.server.directory import Directory
    from offhook.store.base import Store
    from offhook.tools.ledger import Ledger
    from offhook.turns.calls import Calls
    from offhook.turns.engine import Engine
    from offhook.turns.journal import Journal
    from offhook.turns.state import CallState


class Secret(Protocol):
    """Something that is read from the disk before it is used."""

    def load(self) -> None:
        """Read it, in any thread."""


class Part(Protocol):
    """Something beside the turns that lives as long as the line does."""

    async def start(self) -> None:
        """Begin. Called once, in the event loop."""

    async def close(self) -> None:
        """Let go. Called once."""


class Line:
    """Holds together what starts and ends together. ``app`` is the ASGI application.

    ``parts`` live beside the turns: they start before the first one and are closed after the last. ``store`` and
    ``journal`` are None where nothing is recorded, ``secret`` where none is kept on the disk.
    ``ledger`` owns the side effects of tools. ``connections`` gives how many connections are open.
    """

    app: ASGIApp

    def __init__(
        self,
        directory: Directory,
        engine: Engine,
        calls: Calls,
        coord: Coordinator[CallState],
        admission: Admission,
        store: Store | None = None,
        journal: Journal | None = None,
        secret: Secret | None = None,
        parts: Sequence[Part] = (),
        ledger: Ledger | None = None,
    ) -> None:
        self.directory = directory
        self.engine = engine
        self.calls = calls
        self.coord = coord
        self.admission = admission
        self.parts = tuple(parts)
        self.ledger = ledger
        self.store = store
        self.journal = journal
        self.secret = secret
        # Whoever serves the line knows.
        self.connections: Callable[[], int] = lambda: 0
        self._started = False

    async def start(self) -> None:
        """Make what lives in the event loop, once. Raises SetupError when the store can never be had."""
        if self._started:
            return
        self._started = True
        await self.coord.start()
        if self.journal is not None:
            await self.journal.start()
        if self.secret is not None:
            await asyncio.to_thread(self.secret.load)
        for part in self.parts:
            await part.start()
        for agent in self.directory.agents:
            await agent.start()
        await self.calls.resume(self.directory.find)

    async def close(self) -> None:
        """End the live turns and let go of everything."""
        self.admission.close()
        await self.engine.close()
        await self.calls.close()
        if self.ledger is not None:
            # Side effects that have begun run to their end, before what they run in is taken away.
            await self.ledger.close()
        for agent in self.directory.agents:
            await agent.close()
        for part in self.parts:
            await part.close()
        if self.journal is not None:
            await self.journal.close()
        await self.coord.close()
