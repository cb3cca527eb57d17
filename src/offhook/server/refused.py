"""Who answers a turn that cannot be answered: it fails at once, so that a caller is told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.agents.base import ReplyWriter
    from offhook.errors import OffhookError
    from offhook.events import OpenCall, Turn


class Refusal:
    """An agent that raises ``error`` for every turn, and tells ``on_refused`` its code."""

    attends = False

    def __init__(self, error: OffhookError, on_refused: Callable[[str | None], None]) -> None:
        self._error = error
        self._on_refused = on_refused

    async def answer(self, turn: Turn, reply: ReplyWriter) -> None:
        """Raise the error."""
        self._on_refused(self._error.code)
        raise self._error

    async def call_started(self, call: OpenCall) -> None:
        """Do nothing."""

    async def call_ended(self, call: OpenCall) -> None:
        """Do nothing."""

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""
