"""What becomes of a turn when its model service fails: every fault in every phase, and what is heard of it.

The tests in ``server/test_faults.py`` and ``server/test_fault_proxy.py`` take their cases from here, and so does
``docs/faults.md``.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from offhook.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from offhook.testing.faults import Fault, Phase


class End(NamedTuple):
    """An ending: what a plain client gets and what is heard on a telephone, and the record's reason."""

    plain: str
    telephone: str
    reason: str


class Outcome(Enum):
    """The endings that there are."""

    WHOLE = End("whole", "whole", "stop")
    OTHER = End("other", "other", "stop")
    NOTHING = End("503", "apology", "failed")
    BROKEN = End("broken off", "broken off", "failed")
    ENDLESS = End("endless", "endless", "cancelled")


MEANINGS: Final[Mapping[str, str]] = {
    "whole": "The whole answer, `stop` and `[DONE]`: nobody notices anything.",
    "other": "The same, and it is the answer of the other service. Nothing was heard of the faulty one.",
    "503": "The status 503 with `x-should-retry: false` and the error of the record. Nothing of an answer was sent.",
    "apology": "An apology in the caller's language, `stop` and `[DONE]`.",
    "broken off": "The answer as far as it came, then the error event; with `[closing.phrases]` one of those, `stop` "
    "and `[DONE]`.",
    "endless": "The answer goes on until the client leaves.",
}


class Stated(NamedTuple):
    """What becomes of a turn: with the faulty service ``alone``, and with a healthy one asked after it.

    ``code`` is the record's error, None where there is none.
    """

    alone: Outcome
    code: str | None
    beside: Outcome

    @property
    def tries(self) -> int:
        """How often a service that is alone is asked, where three attempts are allowed."""
        return 3 if self.code in ("upstream_unreachable", "upstream_broken") and self.alone is Outcome.NOTHING else 1

    @property
    def code_beside(self) -> str | None:
        """The record's error with a healthy service."""
        return self.code if self.beside is self.alone else None


_WHOLE = Stated(Outcome.WHOLE, None, Outcome.WHOLE)
_ENDLESS = Stated(Outcome.ENDLESS, None, Outcome.ENDLESS)


def _nothing(code: str) -> Stated:
    return Stated(Outcome.NOTHING, code, Outcome.OTHER)


def _broken(code: str) -> Stated:
    return Stated(Outcome.BROKEN, code, Outcome.BROKEN)


# Nothing is given up for what is not there: who has one service waits for it as long as the turn may wait.
_LATE = _nothing("turn_timeout")
_AWAY = _nothing("upstream_unreachable")
_WRONG = _nothing("upstream_broken")
_SILENT = _broken("upstream_timeout")
_CUT = _broken("upstream_broken")

TABLE: Final[Mapping[tuple[Fault, Phase], Stated]] = {
    ("refuse", "connect"): _AWAY,
    ("delay", "before_headers"): _WHOLE,
    ("delay", "after_headers"): _WHOLE,
    ("delay", "after_role"): _WHOLE,
    ("delay", "mid"): _WHOLE,
    ("delay", "before_done"): _WHOLE,
    ("stall", "connect"): _AWAY,
    ("stall", "before_headers"): _LATE,
    ("stall", "after_headers"): _LATE,
    ("stall", "after_role"): _LATE,
    ("stall", "mid"): _SILENT,
    ("stall", "before_done"): _WHOLE,
    ("role_only", "after_headers"): _LATE,
    ("comments", "after_headers"): _LATE,
    ("comments", "after_role"): _LATE,
    ("comments", "mid"): _SILENT,
    ("comments", "before_done"): _WHOLE,
    ("reasoning", "after_role"): _LATE,
    ("reasoning", "mid"): _SILENT,
    ("think", "after_role"): _LATE,
    ("think", "mid"): _SILENT,
    ("endless", "after_role"): _ENDLESS,
    ("endless", "mid"): _ENDLESS,
    ("whitespace", "after_role"): _LATE,
    ("whitespace", "mid"): _SILENT,
    ("empty", "after_headers"): _WRONG,
    ("empty", "after_role"): _WRONG,
    ("dribble", "before_headers"): _WHOLE,
    ("dribble", "after_headers"): _WHOLE,
    ("dribble", "mid"): _WHOLE,
    ("merged", "before_headers"): _WHOLE,
    ("merged", "after_headers"): _WHOLE,
    ("merged", "mid"): _WHOLE,
    ("cut", "before_headers"): _WHOLE,
    ("cut", "after_headers"): _WHOLE,
    ("cut", "mid"): _WHOLE,
    ("reset", "connect"): _AWAY,
    ("reset", "before_headers"): _AWAY,
    ("reset", "after_headers"): _WRONG,
    ("reset", "after_role"): _WRONG,
    ("reset", "mid"): _CUT,
    ("reset", "before_done"): _WHOLE,
    ("half_close", "connect"): _AWAY,
    ("half_close", "before_headers"): _AWAY,
    ("half_close", "after_headers"): _WRONG,
    ("half_close", "after_role"): _WRONG,
    ("half_close", "mid"): _CUT,
    ("half_close", "before_done"): _WHOLE,
    ("status_401", "before_headers"): _nothing("upstream_refused"),
    ("status_429", "before_headers"): _nothing("upstream_busy"),
    ("status_500", "before_headers"): _WRONG,
    ("status_502", "before_headers"): _WRONG,
    ("wrong_json", "before_headers"): _WRONG,
    ("wrong_json", "after_headers"): _WRONG,
    ("wrong_json", "after_role"): _WRONG,
    ("wrong_json", "mid"): _CUT,
    ("html", "before_headers"): _WRONG,
    ("html", "after_headers"): _WRONG,
    ("html", "after_role"): _WRONG,
    ("html", "mid"): _CUT,
    ("error_event", "after_headers"): _WRONG,
    ("error_event", "after_role"): _WRONG,
    ("error_event", "mid"): _CUT,
    ("error_event", "before_done"): _WHOLE,
}

# Faults that last until we leave, wherever a connection was made.
LASTING: Final[frozenset[Fault]] = frozenset(
    {"stall", "role_only", "comments", "reasoning", "think", "endless", "whitespace"}
)


class Case(NamedTuple):
    """What the network does, what becomes of a turn whose only service is behind it, and the record's error.

    ``deadlines`` are the settings that the case is about, in seconds short enough for a test.
    """

    name: str
    act: Callable[[FaultProxy], object]
    outcome: Outcome
    code: str | None = None
    deadlines: Mapping[str, float] = MappingProxyType({})


_WAIT: Final = MappingProxyType({"turn_deadline": 0.2})
_STALL: Final = MappingProxyType({"failover_stall_after": 0.3})

# Before the request was sent.
NETWORK_FIRST: Final = (
    Case("no connection is accepted", FaultProxy.refuse, Outcome.NOTHING, "upstream_unreachable"),
    Case("nothing passes", FaultProxy.freeze, Outcome.NOTHING, "turn_timeout", _WAIT),
    Case("nothing passes to the service", lambda net: net.freeze("up"), Outcome.NOTHING, "turn_timeout", _WAIT),
    Case("nothing passes from the service", lambda net: net.freeze("down"), Outcome.NOTHING, "turn_timeout", _WAIT),
    Case("FIN in the headers", lambda net: net.cut_after(20), Outcome.NOTHING, "upstream_unreachable"),
    Case("RST in the headers", lambda net: net.cut_after(20, reset=True), Outcome.NOTHING, "upstream_unreachable"),
    Case("FIN in the first event", lambda net: net.cut_after(150), Outcome.NOTHING, "upstream_broken"),
    Case("RST in the first event", lambda net: net.cut_after(150, reset=True), Outcome.NOTHING, "upstream_broken"),
    Case("few bytes pass per second", lambda net: net.limit(8000), Outcome.WHOLE),
    Case("bytes pass late", lambda net: net.latency(0.05), Outcome.WHOLE),
)
# After the first words; then the service says the rest.
NETWORK_MID: Final = (
    Case("no connection is accepted", FaultProxy.refuse, Outcome.WHOLE),
    Case("nothing passes", FaultProxy.freeze, Outcome.BROKEN, "upstream_timeout", _STALL),
    Case("nothing passes to the service", lambda net: net.freeze("up"), Outcome.WHOLE),
    Case("nothing passes from the service", lambda net: net.freeze("down"), Outcome.BROKEN, "upstream_timeout", _STALL),
    Case("FIN in an event", lambda net: net.cut_after(30), Outcome.BROKEN, "upstream_broken"),
    Case("RST in an event", lambda net: net.cut_after(30, reset=True), Outcome.BROKEN, "upstream_broken"),
    Case("FIN between two events", FaultProxy.close, Outcome.BROKEN, "upstream_broken"),
    Case("RST between two events", FaultProxy.reset, Outcome.BROKEN, "upstream_broken"),
    Case("few bytes pass per second", lambda net: net.limit(4000), Outcome.WHOLE),
    Case("bytes pass late", lambda net: net.latency(0.05), Outcome.WHOLE),
)
