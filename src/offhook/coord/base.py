"""What the servers of one line share while a call lives: one state per call, changed by one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

S = TypeVar("S")
T = TypeVar("T")


class Coordinator(Protocol[S]):
    """Keeps one state per call, and carries orders between servers.

    A server is an ``owner``: what it was told reaches the function that it listens with, in the order of telling.
    """

    async def start(self) -> None:
        """Connect. Called once, before anything else."""

    async def close(self) -> None:
        """Let go. Called once."""

    async def update(self, call_id: str, step: Callable[[S | None], tuple[S | None, T]]) -> T:
        """Change the state of a call by a pure function, alone, and give what that gives beside the new state.

        ``step`` is given None for a call that is not known, and gives None to forget it. It may be run more than
        once. What it raises is raised, and the state stays.
        """

    def listen(self, owner: str, take: Callable[[bytes], None]) -> None:
        """Let ``take`` have, in the event loop, what is told to ``owner``."""

    async def tell(self, owner: str, order: bytes) -> bool:
        """Tell a server something; False when nobody listens there."""
