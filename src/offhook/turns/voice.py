"""The agent's end of a reply: what it writes is made fit to be spoken on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from offhook.events import AttemptEnded, Event, Finish, Text, ToolRun, Usage
from offhook.speech.chain import Chain
from offhook.speech.tags import TagShaper
from offhook.speech.think import ThinkShaper

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.turns.reply import Reply
    from offhook.turns.sound import Manner


def chain_for(tags: tuple[str, ...]) -> Chain:
    """Give the voice chain of one reply, for a platform with these control tags."""
    return Chain((ThinkShaper(), TagShaper(tags))) if tags else Chain((ThinkShaper(),))


class Voice:
    """Writes into a reply through the voice chain, in the manner of a platform.

    ``fill`` is called with what to say while a tool runs. ``ago`` gives how long after the turn's request something
    began that took so many seconds up to now.
    """

    __slots__ = ("_ago", "_at_end", "_chain", "_fill", "_reply", "tags", "telephone")

    def __init__(
        self, reply: Reply, manner: Manner, fill: Callable[[str], None], ago: Callable[[float], float]
    ) -> None:
        self._reply = reply
        self.tags = manner.tags
        self.telephone = manner.telephone
        self._at_end: Callable[[], None] | None = None
        self._chain = chain_for(manner.tags)
        self._fill = fill
        self._ago = ago

    @property
    def blocked(self) -> bool:
        return self._reply.blocked

    def write(self, *events: Event) -> None:
        spoken: list[Event] = []
        for event in events:
            if type(event) is Text:
                words = self._chain.feed(event.text)
                if words == event.text:
                    spoken.append(event)
                elif words:
                    spoken.append(Text(words))
            elif type(event) is Usage:
                # Some services count after every piece: no word ends there.
                spoken.append(event)
            else:
                # What waits for its end comes before what follows it.
                self._add_rest(spoken)
                spoken.append(event)
        self._reply.write(*spoken)

    def at_end(self, callback: Callable[[], None] | None) -> None:
        self._at_end = callback

    def ending(self) -> None:
        """Let the agent note what is left before somebody else ends the reply."""
        callback, self._at_end = self._at_end, None
        if callback is not None:
            callback()

    def note(self, event: Event) -> None:
        if self._reply.finish is not None:
            return
        if isinstance(event, AttemptEnded | ToolRun):
            event = msgspec.structs.replace(event, at=self._ago(event.seconds))
        self._reply.write(event)

    def fill(self, phrase: str) -> None:
        self._fill(phrase)

    def close(self, finish: Finish) -> None:
        if self._reply.finish is None:
            rest: list[Event] = []
            self._add_rest(rest)
            if rest:
                self._reply.write(*rest)
        self._reply.close(finish)

    async def drain(self) -> None:
        await self._reply.drain()

    def _add_rest(self, spoken: list[Event]) -> None:
        if words := self._chain.flush():
            spoken.append(Text(words))
