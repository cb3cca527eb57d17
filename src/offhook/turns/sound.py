"""Sees that a turn makes a sound in time: a filler, its answer, or an honest end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from offhook.events import Aside, Command, CommandName, Event, Text
from offhook.speech.rules import Speech
from offhook.turns.phrases import spaced

if TYPE_CHECKING:
    from offhook.clock import Clock, Timer
    from offhook.events import Turn
    from offhook.turns.call import CallLine
    from offhook.turns.phrases import Phrases, Why
    from offhook.turns.reply import Reply

# Seconds that a tool may take before the phrase that it has for its caller is said: a quick one needs none.
_TOOL_FILLER_AFTER = 0.3
# Seconds by which a timer may be early.
_EARLY = 0.002


class Manner(msgspec.Struct, frozen=True):
    """What a platform, or the request, asks of how the house speaks.

    ``telephone`` and ``speculative`` are as in ``Dialect``; ``fillers`` tells that the platform has its own. ``whole``
    tells that the reply is read as one, so that nothing is to be said in between. ``tags`` are the platform's control
    tags, ``language`` is that of the phrases where the caller's cannot be told.

    ``speech`` is what is done to the text before it is spoken, ``sentences`` tells that it goes out in sentences.
    ``refuses`` gives why the platform does not take a command, told whether something has gone out already,
    ``refuses_call`` why it takes no call of a function, ``refuses_number`` why nobody can be connected to a number.
    ``speaks`` names the commands whose words the platform says itself. ``platform`` is its name.
    """

    telephone: bool = False
    fillers: bool = False
    speculative: bool = False
    whole: bool = False
    language: str = "en"
    tags: tuple[str, ...] = ()
    speech: Speech = Speech()
    sentences: bool = False
    refuses: Callable[[CommandName, bool], str | None] = lambda name, begun: None
    refuses_call: Callable[[str], str | None] = lambda function: None
    refuses_number: Callable[[str], str | None] = lambda number: None
    speaks: frozenset[CommandName] = frozenset()
    platform: str = "plain"


class SoundRules(msgspec.Struct, frozen=True, kw_only=True):
    """How long a caller waits: the settings ``turn_deadline``, ``turn_silence``, ``filler*`` and ``apology_then``.

    Times are in seconds, 0 for no limit. ``filler`` is "auto", "on" or "off". ``then`` is what follows an apology.
    """

    deadline: float = 8.0
    silence: float = 10.0
    filler: str = "auto"
    filler_after: float = 1.5
    then: Command | None = None


class Sound:
    """The timers of one turn, and what was said in them."""

    __slots__ = (
        "_clock",
        "_filled",
        "_line",
        "_manner",
        "_on_deadline",
        "_phrases",
        "_reply",
        "_rules",
        "_timers",
        "_turn",
        "let_out",
    )

    def __init__(
        self,
        turn: Turn,
        reply: Reply,
        *,
        manner: Manner,
        rules: SoundRules,
        phrases: Phrases,
        clock: Clock,
        line: CallLine | None,
    ) -> None:
        self._turn = turn
        self._reply = reply
        self._manner = manner
        self._rules = rules
        self._phrases = phrases
        self._clock = clock
        self._line = line
        self._filled = False
        self._timers: list[Timer] = []
        self._on_deadline: Callable[[], None] = lambda: None
        # Has what the agent has said already, and what waits for the end of its sentence, said now.
        self.let_out: Callable[[], None] = lambda: None

    def start(self, received: float, on_deadline: Callable[[], None]) -> None:
        """Set the timers of a turn that was ``received`` then; ``on_deadline`` is called when there was no sound."""
        waited = self._clock.monotonic() - received
        rules = self._rules
        self._on_deadline = on_deadline
        if rules.deadline > 0:
            self._timers.append(self._clock.call_later(max(0.0, rules.deadline - waited), self._too_late))
        if rules.filler == "on" or (rules.filler == "auto" and not self._manner.fillers):
            self._timers.append(self._clock.call_later(max(0.0, rules.filler_after - waited), self._say_filler))

    def heard(self) -> None:
        """Forget the timers of the beginning: from now on there may be no long silence."""
        self.stop()
        if self._rules.silence > 0:
            self._timers.append(self._clock.call_later(self._rules.silence, self._listen))

    def _too_late(self) -> None:
        """End a turn of which nothing was heard in time, unless it has words that only wait."""
        self.let_out()
        if self._reply.first_useful is None:
            self._on_deadline()

    def _listen(self) -> None:
        """End a turn that has been silent for too long; listen again when it can have been, otherwise."""
        reply = self._reply
        if reply.finish is not None:
            return
        self.let_out()
        # A client that takes nothing hears nothing: that is not the agent's silence.
        left = self._rules.silence - (0.0 if reply.blocked else self._clock.monotonic() - reply.last)
        if left <= _EARLY:
            self._on_deadline()
        else:
            self._timers = [self._clock.call_later(left, self._listen)]

    def stop(self) -> None:
        """Forget the timers: something was heard, or the reply has ended."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def fill(self, phrase: str) -> None:
        """Say a phrase soon, unless something else is said before."""
        if self._may_fill():
            self._timers.append(self._clock.call_later(_TOOL_FILLER_AFTER, lambda: self._say_of_tool(phrase)))

    def excuse(self) -> tuple[Event, ...]:
        """Give what is said before a reply ends as failed; nothing where the client is to be told by an error."""
        if self._reply.first_useful is not None:
            closing = self._pick("closing")
            if closing is not None:
                self._note(closing, "closing")
            return () if closing is None else (Aside(spaced(closing, self._last_words()), "closing"),)
        if not self._manner.telephone and not self._filled:
            return ()
        apology = self._pick("apology")
        if apology is None:
            return ()
        self._note(apology, "apology")
        then = self._rules.then if self._manner.telephone else None
        return (Aside(apology, "apology"),) if then is None else (Aside(apology, "apology"), then)

    def _may_fill(self) -> bool:
        reply = self._reply
        able = not self._filled and not self._manner.whole and self._rules.filler != "off"
        return able and reply.first_useful is None and reply.finish is None

    def _say_filler(self) -> None:
        self.let_out()
        if self._may_fill() and (phrase := self._pick("filler")) is not None:
            self._say(phrase)

    def _say_of_tool(self, phrase: str) -> None:
        """Say the phrase of a tool, unless it was what the caller was told last."""
        if self._last("filler") == phrase:
            self._say_filler()
        else:
            self._say(phrase)

    def _say(self, phrase: str) -> None:
        self.let_out()
        if not self._may_fill():
            return
        self._filled = True
        self._note(phrase, "filler")
        self._reply.write(Aside(spaced(phrase), "filler"))

    def _pick(self, why: Why) -> str | None:
        return self._phrases.pick(why, self._turn.language, self._last(why))

    def _last(self, why: Why) -> str | None:
        return None if self._line is None else self._line.last_phrase.get(why)

    def _note(self, phrase: str, why: Why) -> None:
        if self._line is not None:
            self._line.last_phrase[why] = phrase

    def _last_words(self) -> str:
        said = (event.text for event in reversed(self._reply.events) if isinstance(event, Text | Aside))
        return next(filter(None, said), "")
