"""The coordinator of a server that is alone: a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

S = TypeVar("S")
T = TypeVar("T")


class MemoryCoordinator(Generic[S]):
    """Keeps the states in this process. ``update`` never waits, so nothing comes between reading and writing."""

    def __init__(self) -> None:
        self._states: dict[str, S] = {}
        self._listeners: dict[str, Callable[[bytes], None]] = {}

    async def start(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        self._states.clear()
        self._listeners.clear()

    async def update(self, call_id: str, step: Callable[[S | None], tuple[S | None, T]]) -> T:
        state, result = step(self._states.get(call_id))
        if state is None:
            self._states.pop(call_id, None)
        else:
            self._states[call_id] = state
        return result

    def listen(self, owner: str, take: Callable[[bytes], None]) -> None:
        self._listeners[owner] = take

    async def tell(self, owner: str, order: bytes) -> bool:
        take = self._listeners.get(owner)
        if take is None:
            return False
        take(order)
        return True
