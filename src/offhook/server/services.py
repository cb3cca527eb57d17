"""What stands behind the agents of a line: model services, tools, and the phrases of the house, from the settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offhook.errors import SetupError
from offhook.events import Command
from offhook.server.speech import asks_for_numbers, load_numbers
from offhook.speech.numbers import spoken
from offhook.tools.run import Toolbox
from offhook.tools.schema import describe
from offhook.turns.aloud import Reading
from offhook.turns.phrases import Phrases
from offhook.turns.sound import SoundRules
from offhook.upstream.attempt import Upstream
from offhook.upstream.failover import Failover, Rules
from offhook.upstream.spec import UpstreamSpec, spec_of_url, specs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from offhook.clock import Clock
    from offhook.config import AgentSpec, Settings
    from offhook.tools.ledger import Ledger


# What may be called: a telephone number, or a SIP address.
_NUMBER = re.compile(r"\+?[0-9*#][0-9*#() -]*|sips?:[^\s<>\"]+")


class Services:
    """The model services and tools that the agents of a line share; each service has one health for all of them.

    Raises SetupError for an entry of ``[[upstream]]`` that cannot work.
    """

    def __init__(self, settings: Settings, clock: Clock, ledger: Ledger | None) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._named = {spec.name: self._upstream(spec) for spec in specs_of(settings.upstream_table)}
        self.upstreams: list[Upstream] = list(self._named.values())
        self._fillers: set[str] = set()
        self.reading = Reading(spoken, load_numbers if asks_for_numbers(settings) else None)

    @property
    def described(self) -> bool:
        """Tell whether there is any ``[[upstream]]``."""
        return bool(self._named)

    def failover(self, spec: AgentSpec) -> Failover:
        """Give the model services of an agent: that of its ``upstream``, or those of its ``upstreams``.

        Raises SetupError for a name that no ``[[upstream]]`` has.
        """
        settings = self._settings
        rules = Rules(
            first_useful=settings.failover_first_useful,
            hedge_after=settings.failover_hedge_after,
            hedge_share=settings.failover_hedge_share,
            stall_after=settings.failover_stall_after,
            attempts=settings.failover_attempts,
            retry_share=settings.failover_retry_share,
        )
        return Failover(self._chosen(spec), rules, self._clock)

    def toolbox(self, functions: Sequence[Callable[..., Any]]) -> Toolbox | None:
        """Give a toolbox of these functions; None for none. Raises SetupError for one that cannot be a tool."""
        if not functions:
            return None
        settings = self._settings
        box = Toolbox(
            functions,
            clock=self._clock,
            timeout=settings.tools_timeout,
            threads=settings.threads,
            ledger=self._ledger,
        )
        self._fillers.update(phrase for one in functions for said in describe(one).fillers.values() for phrase in said)
        return box

    def phrases(self) -> Phrases:
        """Give what the house says by itself. Raises SetupError for a table that cannot work."""
        settings = self._settings
        return Phrases(settings.filler_phrases, settings.apology_phrases, settings.closing_phrases, self._fillers)

    def _chosen(self, spec: AgentSpec) -> list[Upstream]:
        if spec.upstream:
            if spec.upstreams:
                raise SetupError("Both upstream (a URL) and upstreams (names) are given; leave one out.")
            upstream = self._upstream(spec_of_url(spec.upstream, model=spec.upstream_model, key=spec.upstream_key))
            self.upstreams.append(upstream)
            return [upstream]
        for name in spec.upstreams or ():
            if name not in self._named:
                there = ", ".join(self._named) or "none"
                raise SetupError(f"upstreams names {name!r}, but there is no such [[upstream]]; there are: {there}.")
        return [self._named[name] for name in spec.upstreams or self._named]

    def _upstream(self, spec: UpstreamSpec) -> Upstream:
        return Upstream(spec, self._clock, open_for=self._settings.failover_open_for)


def sound_rules(settings: Settings) -> SoundRules:
    """Give how long a caller waits. Raises SetupError when ``apology_then`` is no order."""
    return SoundRules(
        deadline=settings.turn_deadline,
        silence=settings.turn_silence,
        filler=settings.filler,
        filler_after=settings.filler_after,
        then=_then(settings.apology_then),
    )


def _then(text: str) -> Command | None:
    name, _, number = text.partition(":")
    if text == "nothing":
        return None
    if text == "hangup":
        return Command("hangup")
    if name == "transfer" and _NUMBER.fullmatch(number.strip()):
        return Command("transfer", to=number.strip())
    raise SetupError(f"apology_then = {text!r}; write 'nothing', 'hangup' or 'transfer:NUMBER'.")
