"""What the servers of a line share of a live call: the requests that are known, changed by pure steps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from offhook.turns.which import Asked, Known, Named, name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# So many requests of a call are known, and of so many the messages can still be compared one by one.
MOST_KNOWN = 512
MOST_COMPARED = 8


class CallState(msgspec.Struct, frozen=True, gc=False):
    """The requests of one call that began a reply, in their order of arrival."""

    known: tuple[Known, ...] = ()


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How the reply of a request ended, when (seconds since the epoch), and whether its body went out to the end."""

    ticket: str
    reason: str
    at: float
    delivered: bool = False


def claim(
    state: CallState, asked: Asked, *, ticket: str, owner: str, now: float, lifetime: float
) -> tuple[CallState, Named]:
    """Name a request and, if it is to run, enter it under its ticket."""
    named = name(asked, state.known, now=now, lifetime=lifetime)
    if named.answer == "join" and named.of is not None and asked.stream and not named.of.asked.stream:
        # From now on it is somebody's speech, which a newer turn ends.
        spoken = msgspec.structs.replace(named.of, asked=msgspec.structs.replace(named.of.asked, stream=True))
        return CallState(tuple(spoken if one is named.of else one for one in state.known)), named
    if named.answer != "run":
        return state, named
    return _bounded([*state.known, Known(ticket=ticket, owner=owner, asked=asked)]), named


def end(state: CallState, endings: Iterable[Ending]) -> CallState:
    """Enter how replies ended; of one that is not known nothing is kept."""
    by_ticket: dict[str, Ending] = {}
    for ending in endings:
        before = by_ticket.get(ending.ticket)
        # One of its readers may have left without the end; what another has got stays delivered.
        delivered = ending.delivered or (before is not None and before.delivered)
        by_ticket[ending.ticket] = msgspec.structs.replace(ending, delivered=delivered)
    if not by_ticket:
        return state
    return CallState(tuple(_ended(one, by_ticket.get(one.ticket)) for one in state.known))


def _ended(known: Known, ending: Ending | None) -> Known:
    if ending is None:
        return known
    delivered = known.delivered or ending.delivered
    return msgspec.structs.replace(known, reason=ending.reason, ended_at=ending.at, delivered=delivered)


def _bounded(known: Sequence[Known]) -> CallState:
    """Forget the oldest that have ended, and their messages a little sooner."""
    surplus = len(known) - MOST_KNOWN
    kept: list[Known] = []
    for place, one in enumerate(known):
        if one.reason is not None and surplus > 0:
            surplus -= 1
            continue
        if one.reason is not None and one.asked.spoken is not None and place < len(known) - MOST_COMPARED:
            one = msgspec.structs.replace(one, asked=msgspec.structs.replace(one.asked, spoken=None))
        kept.append(one)
    return CallState(tuple(kept))
