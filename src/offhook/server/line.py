"""The line: an agent, the engine that runs it, and the application in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from offhook.agents.base import Agent
    from offhook.turns.engine import Engine


class Line:
    """Holds together what starts and ends together. ``app`` is the ASGI application."""

    app: ASGIApp

    def __init__(self, agent: Agent, engine: Engine) -> None:
        self.agent = agent
        self.engine = engine

    async def start(self) -> None:
        """Make what lives in the event loop."""
        await self.agent.start()

    async def close(self) -> None:
        """End the live turns and let go of everything."""
        await self.engine.close()
        await self.agent.close()
