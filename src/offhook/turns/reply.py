"""A reply: the append-only log of a turn's events, with one writer and many readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from offhook.errors import AgentError, TurnOver
from offhook.events import Aside, Attempt, AttemptEnded, Command, Event, Finish, Refused, Text, ToolCall, ToolRun
from offhook.speech.language import speakable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offhook.clock import Clock


# What is recorded only.
NEVER_SENT = frozenset({Attempt, AttemptEnded, ToolRun, Refused})


class Reader(Protocol):
    """Someone who is given the events of a reply, each once and in order, within the writer's own step."""

    @property
    def blocked(self) -> bool:
        """Tell whether it cannot take more now; the writer then waits in ``drain``."""

    def read(self, events: Sequence[Event]) -> None:
        """Take the next events; a ``Finish`` is the last. Never raises."""

    async def drain(self) -> None:
        """Return when it can take more, or has gone."""

    def end(self) -> None:
        """End the body after the ``Finish``: what was read is safe in the record now, or cannot be. Never raises."""

    @property
    def sent(self) -> int:
        """How many characters of the reply's text have gone out to it."""

    @property
    def first_byte(self) -> float | None:
        """When its response began, in the clock's monotonic seconds; None until then."""

    @property
    def delivered(self) -> bool:
        """Tell whether its body has gone out to the end."""


class Reply:
    """The log. The engine and the agent write; readers may come late and start at the first event.

    ``first_useful`` is the clock's monotonic time in seconds of the first event that the caller can hear or that the
    platform acts on; None until then, and ``on_useful`` is called once when it comes. ``gap`` is the longest time in
    seconds between two writes from then on, ``last`` the time of the last one. ``times`` has the place and time of
    every event but text. ``on_close`` is called once, when the readers have read the end.
    """

    __slots__ = (
        "_clock",
        "_readers",
        "events",
        "finish",
        "first_useful",
        "gap",
        "last",
        "on_close",
        "on_useful",
        "times",
    )

    def __init__(self, clock: Clock, on_close: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self.on_close = on_close
        self.on_useful: Callable[[], None] = lambda: None
        self.gap = self.last = 0.0
        self.times: list[tuple[int, float]] = []
        self._readers: list[Reader] = []
        self.events: list[Event] = []
        self.finish: Finish | None = None
        self.first_useful: float | None = None

    @property
    def readers(self) -> int:
        """How many read along."""
        return len(self._readers)

    @property
    def everyone(self) -> tuple[Reader, ...]:
        """Those who read along."""
        return tuple(self._readers)

    @property
    def rare(self) -> list[Event]:
        """The events that are not text, in their order."""
        return [self.events[place] for place, _ in self.times]

    @property
    def blocked(self) -> bool:
        """Tell whether a reader cannot take more now."""
        # Asked after every event: a loop is quicker here than any().
        for reader in self._readers:  # noqa: SIM110  see above
            if reader.blocked:
                return True
        return False

    def attach(self, reader: Reader) -> None:
        """Let ``reader`` read along, from the first event."""
        self._readers.append(reader)
        if self.events:
            reader.read(self.events)

    def detach(self, reader: Reader) -> None:
        """Let ``reader`` go; one that does not read along is passed over."""
        if reader in self._readers:
            self._readers.remove(reader)

    def write(self, *events: Event) -> None:
        """Append events and hand them to every reader.

        Raises TurnOver when the reply has ended.
        """
        if self.finish is not None:
            raise TurnOver("The reply has already ended.")
        self._append(events)

    def close(self, finish: Finish) -> None:
        """Append the last event; a reply that has ended stays as it is."""
        if self.finish is None:
            # Over before the readers hear of it: one that leaves from within its read would otherwise end it again.
            self.finish = finish
            try:
                self._append((finish,))
            except Exception as cause:
                # A reader could not write it: its client must not wait for an end that never comes.
                failure = AgentError("The reply could not be written; the server's log says where.")
                failure.__cause__ = cause
                self.finish = self.events[-1] = Finish("failed", failure)
                for reader in tuple(self._readers):
                    reader.read((self.finish,))
            self.on_close()

    async def drain(self) -> None:
        """Return when every reader can take more."""
        for reader in tuple(self._readers):
            if reader.blocked:
                await reader.drain()

    def _append(self, events: Sequence[Event]) -> None:
        if not events:
            return
        place = len(self.events)
        self.events.extend(events)
        now = self._clock.monotonic()
        if len(events) == 1 and type(events[0]) in NEVER_SENT:
            # Nobody hears it, so it breaks no silence.
            pass
        elif self.first_useful is not None:
            self.gap = max(self.gap, now - self.last)
            self.last = now
        elif type(events[0]) is not Aside and any(map(_useful, events)):
            # What follows an apology belongs to it.
            self.first_useful = self.last = now
            self.on_useful()
        for event in events:
            if type(event) is not Text:
                self.times.append((place, now))
            place += 1
        for reader in tuple(self._readers):
            reader.read(events)


def _useful(event: Event) -> bool:
    if isinstance(event, Text):
        return speakable(event.text)
    return type(event) is ToolCall or (type(event) is Command and event.ends)
