"""Which agent answers for which ModelId."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offhook.agents.base import Agent

# What /models lists when any name is accepted.
ANY_MODEL = "offhook"


class Directory:
    """The agents of a server by ModelId; ``fallback`` answers for every name that is not among them, None for none."""

    def __init__(self, agents: Mapping[str, Agent], *, fallback: Agent | None = None) -> None:
        self._agents = dict(agents)
        self._fallback = fallback

    @property
    def model_ids(self) -> tuple[str, ...]:
        """The ModelIds that ``/models`` lists."""
        return tuple(self._agents) or (ANY_MODEL,)

    @property
    def agents(self) -> tuple[Agent, ...]:
        """Every agent once."""
        everyone = [*self._agents.values(), *([self._fallback] if self._fallback is not None else [])]
        return tuple({id(agent): agent for agent in everyone}.values())

    def find(self, model_id: str) -> Agent | None:
        """Give the agent that answers for a ModelId, None when none does."""
        return self._agents.get(model_id, self._fallback)

    def answering(self, model_id: str) -> Agent:
        """Give the agent that answers for a ModelId. Raises UnknownModel when none does."""
        agent = self.find(model_id)
        if agent is None:
            raise UnknownModel(
                f"The model {model_id!r} does not exist here; there is: {', '.join(sorted(self._agents))}. "
                "Correct the ModelId field, or start the server with --model-id.",
                param="model",
            )
        return agent
