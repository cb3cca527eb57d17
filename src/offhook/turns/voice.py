"""The agent's end of a reply: what it writes is made fit to be spoken on its way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import msgspec

from offhook.errors import TurnOver
from offhook.events import AttemptEnded, Command, Event, Finish, Refused, Text, ToolCall, ToolRun, Usage
from offhook.speech.chain import Chain
from offhook.speech.sentences import SentenceSplitter
from offhook.turns.aloud import Aloud
from offhook.turns.phrases import parting
from offhook.turns.reply import NEVER_SENT
from offhook.wire.chat import all_well_formed, well_formed

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.turns.aloud import Reading
    from offhook.turns.reply import Reply
    from offhook.turns.sound import Manner

log = logging.getLogger("offhook.turns")

# Seconds without a word after which what only waits for the next character is said: an agent that has said a sentence
# and looks something up is not to be heard without its end.
_PAUSE = 0.1

# No reader writes these.
_NOT_SENT = NEVER_SENT | {Usage}

# What was warned of: a platform and a command or call. It is told once, and not in every turn. A model may make up any
# number of functions.
_warned: set[tuple[str, str, str]] = set()
_MOST_WARNED = 256


class Voice:
    """Writes into a reply through the voice chain, in the manner of a platform.

    ``fill`` is called with what to say while a tool runs. ``ago`` gives how long after the turn's request something
    began that took so many seconds up to now. ``language`` is that of the words which the chain adds. ``reading``
    puts numbers into words, where the manner asks for that.
    """

    __slots__ = (
        "_ago",
        "_aloud",
        "_apart",
        "_at_end",
        "_chain",
        "_fill",
        "_finish",
        "_language",
        "_last",
        "_manner",
        "_pausing",
        "_reply",
        "_since",
        "_splitter",
        "tags",
        "telephone",
    )

    def __init__(
        self,
        reply: Reply,
        manner: Manner,
        fill: Callable[[str], None],
        ago: Callable[[float], float],
        *,
        language: str = "en",
        reading: Reading | None = None,
    ) -> None:
        self._reply = reply
        self._manner = manner
        self.tags = manner.tags
        self.telephone = manner.telephone
        self._at_end: Callable[[], None] | None = None
        self._language = language
        self._chain = manner.speech.chain(manner.tags, language)
        numbers = manner.speech.numbers and reading is not None
        self._splitter = SentenceSplitter() if manner.sentences or numbers else None
        self._aloud = Aloud(reading, language, self._give) if numbers and reading is not None else None
        self._fill = fill
        # What was said last, and whether what follows is parted from it.
        self._last = ""
        self._apart = False
        # How the agent ended its reply, while its words are on their way.
        self._finish: Finish | None = None
        self._ago = ago
        # When something was last held back, in seconds of the loop, and the timer that looks after it.
        self._since = 0.0
        self._pausing: asyncio.TimerHandle | None = None

    @property
    def blocked(self) -> bool:
        return self._reply.blocked or (self._aloud is not None and self._aloud.full)

    def write(self, *events: Event) -> None:
        if self._finish is not None:
            raise TurnOver("The reply has already ended.")
        spoken: list[Event] = []
        held = False
        for event in events:
            if type(event) is Text:
                words = self._chain.feed(event.text)
                if self._apart and words:
                    words = parting(words, self._last) + words
                    self._apart = False
                self._last = words or self._last
                # Nothing is held where all of it came out.
                held = words is not event.text or self._splitter is not None
                if self._splitter is not None:
                    spoken.extend(map(Text, self._splitter.feed(words)))
                elif words == event.text:
                    spoken.append(event)
                elif words:
                    spoken.append(Text(words))
            elif type(event) is Usage:
                # Some services count after every piece: no word ends there.
                spoken.append(event)
            else:
                # What waits for its end comes before what follows it; what may be the beginning of reasoning or of a
                # control tag waits on, or its end would come as words behind the event.
                self._add_held(spoken)
                if type(event) is Command:
                    self._add_command(event, spoken)
                elif type(event) is ToolCall and (why := self._manner.refuses_call(event.name)) is not None:
                    self._refuse(f"call of {event.name}", f"a call of {event.name!r}", why, spoken)
                else:
                    spoken.append(event)
        self._pass_on(spoken)
        if held:
            self._listen()

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

    async def settle(self) -> None:
        """Return when all that was written is in the reply, what still waited for its end included."""
        if self._aloud is None:
            return
        self._stop_listening()
        if self._reply.finish is None:
            rest: list[Event] = []
            self._add_rest(rest)
            self._aloud.write(rest)
        await self._aloud.settle()

    def rest(self) -> None:
        """Say what is held back: what follows begins anew, such as the words of a model behind its tools."""
        rest: list[Event] = []
        self._add_words(self._chain.rest(), rest)
        self._apart = True
        self._pass_on(rest)

    def let_out(self) -> None:
        """Say all that can be said now, in the middle of a sentence too: somebody has waited for too long."""
        if self._reply.finish is None:
            rest: list[Event] = []
            self._add_held(rest)
            self._pass_on(rest)
            if self._aloud is not None:
                self._aloud.hurry()

    def hurry(self) -> None:
        """Say all that was written now, as it is."""
        self._stop_listening()
        rest: list[Event] = []
        self._add_rest(rest)
        if self._aloud is not None:
            self._aloud.write(rest)
            self._aloud.hurry()
        elif rest:
            self._reply.write(*rest)

    def close(self, finish: Finish) -> None:
        if self._aloud is not None and self._reply.finish is None:
            # Its words are on their way: the end comes behind them.
            self._finish = self._finish or finish
        else:
            self.end(finish)

    def end(self, finish: Finish) -> None:
        """End the reply with the reason that the agent gave, else with this one; what waits is said as it is."""
        self._stop_listening()
        if self._reply.finish is None:
            self.hurry()
        self._reply.close(self._finish or finish)

    def over(self) -> None:
        """Let go of what only a running turn needs: the circles through it would be left to the collector."""
        self._stop_listening()
        self._chain = Chain()
        if self._aloud is not None:
            self._aloud.drop()
        self._aloud = None
        self._fill = lambda phrase: None
        self._ago = lambda seconds: 0.0

    async def drain(self) -> None:
        if self._aloud is not None:
            await self._aloud.room()
        await self._reply.drain()

    def _pass_on(self, events: list[Event]) -> None:
        if self._aloud is None:
            self._reply.write(*events)
        elif self._reply.finish is not None:
            raise TurnOver("The reply has already ended.")
        else:
            self._aloud.write(events)

    def _listen(self) -> None:
        """Say what is held back once nothing has been held back behind it for a while."""
        # By the loop's clock, which goes on where a test's own clock stands still: no rule of the house hangs on it.
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        # One timer for all that comes meanwhile: an agent writes a hundred times in that while.
        if self._pausing is None:
            self._pausing = loop.call_at(self._since + _PAUSE, self._paused, self._since)

    def _paused(self, since: float) -> None:
        self._pausing = None
        if self._reply.finish is not None:
            return
        if since != self._since:
            loop = asyncio.get_running_loop()
            self._pausing = loop.call_at(self._since + _PAUSE, self._paused, self._since)
            return
        words = self._chain.pause()
        self._last = words or self._last
        pieces = [words] if self._splitter is None else [*self._splitter.feed(words), *self._splitter.pause()]
        if spoken := [Text(piece) for piece in pieces if piece]:
            self._pass_on(list(spoken))

    def _stop_listening(self) -> None:
        if self._pausing is not None:
            self._pausing.cancel()
            self._pausing = None

    def _give(self, events: list[Event]) -> None:
        if self._reply.finish is None:
            self._reply.write(*events)

    def _add_held(self, spoken: list[Event]) -> None:
        self._add_words(self._chain.pause(), spoken)

    def _add_rest(self, spoken: list[Event]) -> None:
        self._add_words(self._chain.flush(), spoken)

    def _add_words(self, words: str, spoken: list[Event]) -> None:
        """Add words behind which no word goes on."""
        self._last = words or self._last
        if self._splitter is not None:
            spoken.extend(map(Text, (*self._splitter.feed(words), *self._splitter.flush())))
        elif words:
            spoken.append(Text(words))

    def _add_command(self, command: Command, spoken: list[Event]) -> None:
        """Add a command that the platform takes; its words are said as any others unless the platform says them."""
        texts = {"to": command.to, "text": command.text, "failed": command.failed}
        command = msgspec.structs.replace(command, **{name: well_formed(text) for name, text in texts.items()})
        if command.data:
            with contextlib.suppress(RecursionError):
                command = msgspec.structs.replace(command, data=all_well_formed(command.data))
        before = (*self._reply.rare, *(() if self._aloud is None else self._aloud.waiting), *spoken)
        begun = self._reply.first_useful is not None or any(type(event) not in _NOT_SENT for event in before)
        why = self._manner.refuses(command.name, begun)
        if why is None and command.name == "transfer":
            why = self._manner.refuses_number(command.to)
            if why is not None and command.failed:
                # The platform would have said so.
                command = msgspec.structs.replace(command, text=command.failed)
        if command.text and (why is not None or command.name not in self._manner.speaks):
            self._add_words(self._chain.feed(self._parted(command.text)) + self._chain.pause(), spoken)
            command = msgspec.structs.replace(command, text="")
        if why is None:
            if command.text or command.failed:
                # The platform says these.
                words = {"text": self._shaped(command.text), "failed": self._shaped(command.failed)}
                command = msgspec.structs.replace(command, **words)
            spoken.append(command)
            return
        self._refuse(command.name, f"turn.{command.name}", why, spoken)

    def _parted(self, words: str) -> str:
        return parting(words, self._last) + words

    def _refuse(self, kept: str, what: str, why: str, spoken: list[Event]) -> None:
        """Leave something out: the record of the turn says so, and the log once for each reason."""
        spoken.append(Refused(kept, why))
        told = (self._manner.platform, what, why)
        if told in _warned or len(_warned) >= _MOST_WARNED:
            return
        _warned.add(told)
        said = {"what": what, "platform": self._manner.platform, "why": why}
        log.warning("%(what)s was left out: %(why)s (platform %(platform)s; told once, each is in its record)", said)

    def _shaped(self, words: str) -> str:
        chain = self._manner.speech.chain(self.tags, self._language)
        return chain.feed(words) + chain.flush()
