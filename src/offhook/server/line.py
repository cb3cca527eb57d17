"""The line: agents, the engine that runs them, and the application in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp

    from offhook.agents.base import Agent
    from offhook.turns.engine import Engine


class Line:
    """Holds together what starts and ends together. ``app`` is the ASGI application."""

    app: ASGIApp

    def __init__(self, agents: Sequence[Agent], engine: Engine) -> None:
        self.agents = tuple(agents)
        self.engine = engine

    async def start(self) -> None:
        """Make what lives in the event loop."""
        for agent in self.agents:
            await agent.start()

    async def close(self) -> None:
        """End the live turns and let go of everything."""
        await self.engine.close()
        for agent in self.agents:
            await agent.close()
