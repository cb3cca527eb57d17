"""What the engine asks of an agent, and what it offers to one.

The user's interface is a function (see ``agents/function.py``). This is the plumbing behind it: an agent writes
events into the reply within its own step, and no queue stands between it and the client's transport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.events import Event, Finish, OpenCall, Turn


class ReplyWriter(Protocol):
    """The writing end of a reply."""

    @property
    def blocked(self) -> bool:
        """Tell whether a reader cannot take more now; then ``await drain()`` before writing on."""

    def write(self, *events: Event) -> None:
        """Append events and hand them to every reader at once.

        Raises TurnOver when the reply has already ended.
        """

    @property
    def telephone(self) -> bool:
        """Tell whether only a voice is on the other end, whose platform acts on commands."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The control tags of the platform, which are taken out of what is said (see ``Dialect.tags``)."""

    def at_end(self, callback: Callable[[], None] | None) -> None:
        """Have ``callback`` called just before somebody else ends the reply, to note what is left; None for nothing."""

    def note(self, event: Event) -> None:
        """Append an event that is recorded and never sent; nothing is done when the reply has ended."""

    def fill(self, phrase: str) -> None:
        """Have a phrase said soon, if nothing was said in this turn before; for what takes time, such as a tool."""

    def rest(self) -> None:
        """Have said what waits for the words behind it: what follows begins anew, as behind a tool."""

    def close(self, finish: Finish) -> None:
        """End the reply with a reason of the agent's own, such as ``length``; otherwise the engine ends it."""

    async def drain(self) -> None:
        """Return when every reader can take more."""


class Agent(Protocol):
    """Who answers a turn."""

    async def answer(self, turn: Turn, reply: ReplyWriter) -> None:
        """Write the events of one reply and return when it is whole.

        Is cancelled when the turn is; whatever it raises ends the reply as failed.
        """

    @property
    def attends(self) -> bool:
        """Tell whether it wants to know when calls begin and end."""

    async def call_started(self, call: OpenCall) -> None:
        """Learn of a call before its first turn; only where ``attends``. What it raises is logged."""

    async def call_ended(self, call: OpenCall) -> None:
        """Learn that a call has ended; only where ``attends``. What it raises is logged."""

    async def start(self) -> None:
        """Make what must live in the event loop (connections). Called once before the first turn."""

    async def close(self) -> None:
        """Let go of it. Called once after the last turn."""
