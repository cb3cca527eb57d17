"""What a request is to the others of its call. Pure.

| name | the request has, compared with one that is known | what is done |
| --- | --- | --- |
| retry | the same call, model, turn and messages | joins the live reply, is given a recorded one, or runs again |
| continuation | the same utterance, then tool calls and their results | runs: the next step of the same turn |
| grown | the same turn id, or, of a live one, all but the caller's last message | ends the live reply, runs |
| newer | a turn id that comes after the others, or the live request's messages and more | ends the live reply, runs |
| older | a turn id that comes before another | never runs: the stored reply, or nothing said |
| beside | none of these; all else with ``stream: false``; every one without a call id | runs beside what is live |

Turn ids that a platform counts compare as integers where both are integers; all others are names, and one that has
not been seen yet is the newest. Where one of the two requests has no turn id only their messages are compared, system
messages apart. Requests for different models never touch each other.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from offhook.events import Message

Which: TypeAlias = Literal["retry", "continuation", "grown", "newer", "older", "beside"]
Answer: TypeAlias = Literal["run", "join", "replay", "nothing"]

# How a reply must have ended for a retry to be answered from the record.
REPLAYED = frozenset({"stop", "length", "tool_calls"})
# Seconds in which equal messages without a turn id are a retry of a reply that did not arrive whole.
UNDELIVERED = 10.0

# Of several names the one that tells most.
_BY_WEIGHT: tuple[Which, ...] = ("continuation", "grown", "newer", "beside")

# A message's sign: a letter for who speaks, and a digest of what.
_SIGN = 9
_LETTERS = {"user": b"u", "assistant": b"a", "tool": b"t", "function": b"t"}
_SYSTEM = frozenset({"system", "developer"})
_INTEGER = re.compile(r"-?[0-9]{1,64}")
_TOLD = ("role", "content", "tool_calls", "tool_call_id", "name", "function_call")


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What is compared of a request: ``digest`` of all its messages, and one sign in ``spoken`` for each but system's.

    ``turn`` is the turn's id, ``number`` the same where it is an integer, and ``ordered`` tells that the platform
    counts its turns, so that those are compared. ``spoken`` is None once it has been forgotten: such a request is
    compared as a whole only.
    """

    model: str
    turn: str | None
    stream: bool
    digest: bytes
    spoken: bytes | None
    number: int | None = None
    ordered: bool = False

    def place(self, other: Asked) -> int | str | None:
        """Give the turn of another request as this one's platform compares it."""
        return other.number if self.ordered and other.number is not None else other.turn

    def same_turn(self, other: Asked) -> bool:
        """Tell whether another request is of the same turn, or neither of any."""
        return self.place(self) == self.place(other)


class Known(msgspec.Struct, frozen=True, gc=False):
    """A request of the call that began a reply: ``reason`` is how that ended, None while it is live.

    ``ended_at`` is in seconds since the epoch. ``delivered`` tells that its body went out to the end.
    """

    ticket: str
    owner: str
    asked: Asked
    reason: str | None = None
    ended_at: float = 0.0
    delivered: bool = False


class Named(msgspec.Struct, frozen=True):
    """What a request is, how it is answered, and what it ends; ``of`` is the one whose reply is given again."""

    which: Which
    answer: Answer
    of: Known | None = None
    ends: tuple[Known, ...] = ()


def asked_of(
    messages: Sequence[Message], *, model: str, turn_id: str | None, stream: bool, ordered: bool = False
) -> Asked:
    """Give what is compared of a request with these messages, as they came; ``ordered`` is as in ``Dialect``."""
    whole = hashlib.blake2b(digest_size=16)
    spoken = bytearray()
    for message in messages:
        told = msgspec.json.encode([message.fields.get(name) for name in _TOLD] if message.fields else message.text)
        whole.update(b"%d:" % len(told))
        whole.update(told)
        if message.role not in _SYSTEM:
            spoken += _letter(message) + hashlib.blake2b(told, digest_size=_SIGN - 1).digest()
    return Asked(
        model=model,
        turn=turn_id,
        stream=stream,
        digest=whole.digest(),
        spoken=bytes(spoken),
        number=number_of(turn_id),
        ordered=ordered,
    )


def name(asked: Asked, known: Iterable[Known], *, now: float, lifetime: float) -> Named:
    """Name a request among those of its call, which are given in their order of arrival.

    ``now`` is in seconds since the epoch; a reply is replayed for ``lifetime`` seconds after its end.
    """
    others = [one for one in known if one.asked.model == asked.model]
    twin = _twin(asked, others)
    if twin is not None and twin.reason is None:
        return Named("retry", "join", twin)
    if twin is not None and _may_be_replayed(twin, now, lifetime):
        return Named("retry", "replay", twin)
    if asked.stream and _is_late(asked, others):
        return Named("older", "nothing")
    if twin is not None and (asked.turn is not None or (now - twin.ended_at <= UNDELIVERED and not twin.delivered)):
        which: Which = "retry"
    else:
        # What is answered whole is nobody's speech, and no turn of the conversation.
        which = _relation(asked, [one for one in others if one.asked.stream] if asked.stream else others)
    if not asked.stream:
        return Named(which if which in ("retry", "continuation") else "beside", "run")
    if which == "continuation":
        return Named(which, "run")
    ends = tuple(one for one in others if one.reason is None and one.asked.stream and _overtakes(asked, one.asked))
    return Named(which, "run", ends=ends)


def _twin(asked: Asked, others: Sequence[Known]) -> Known | None:
    """Give the request with the same turn and messages: a live one, else the last that has ended."""
    twins = [one for one in others if one.asked.digest == asked.digest and asked.same_turn(one.asked)]
    live = [one for one in twins if one.reason is None]
    return next(reversed(live or twins), None)


def _may_be_replayed(twin: Known, now: float, lifetime: float) -> bool:
    if twin.reason not in REPLAYED:
        return False
    if twin.asked.turn is None:
        return not twin.delivered and now - twin.ended_at <= UNDELIVERED
    return now - twin.ended_at <= lifetime


def _is_late(asked: Asked, others: Sequence[Known]) -> bool:
    """Tell whether a request belongs to a turn before the newest one."""
    if asked.turn is None:
        return False
    arrived: dict[int | str, int] = {}
    newest: int | str | None = None
    for place, one in enumerate(others):
        turn = asked.place(one.asked)
        if turn is None or not one.asked.stream:
            continue
        arrived.setdefault(turn, place)
        if newest is None or _comes_after(turn, newest, arrived):
            newest = turn
    own = asked.place(asked)
    return newest is not None and own is not None and own != newest and not _comes_after(own, newest, arrived)


def _comes_after(one: int | str, other: int | str, arrived: Mapping[int | str, int]) -> bool:
    """Tell whether a turn comes after another that has arrived; what has not is the last to arrive."""
    if isinstance(one, int) and isinstance(other, int):
        return one > other
    return arrived.get(one, len(arrived) + arrived[other]) > arrived[other]


def _relation(asked: Asked, others: Sequence[Known]) -> Which:
    """Name the request by the live ones first, then by those that have ended."""
    live = {_compare(asked, one.asked) for one in others if one.reason is None}
    ended = {_compare_ended(asked, one.asked) for one in others if one.reason is not None}
    for which in _BY_WEIGHT:
        if which in live:
            return which
    for which in _BY_WEIGHT:
        if which in ended:
            return which
    return "beside" if others else "newer"


def _overtakes(asked: Asked, other: Asked) -> bool:
    return _compare(asked, other) in ("grown", "newer")


def _compare(asked: Asked, other: Asked) -> Which:
    """Name a request by one other that it is no retry of; with turn ids it is known not to be late."""
    if asked.turn is not None and other.turn is not None:
        if not asked.same_turn(other):
            return "newer"
        return "continuation" if _continues(asked, other) else "grown"
    if asked.spoken is None or other.spoken is None:
        return "beside"
    if _continues(asked, other):
        return "continuation"
    if asked.spoken.startswith(other.spoken):
        return "newer"
    return "grown" if _without_last_user(asked.spoken) == _without_last_user(other.spoken) is not None else "beside"


def _compare_ended(asked: Asked, other: Asked) -> Which:
    """Name a request by one other whose reply is over: without turn ids other words are then the caller's next ones."""
    which = _compare(asked, other)
    named = asked.turn is not None and other.turn is not None
    return "beside" if which == "grown" and not named else which


def _continues(asked: Asked, other: Asked) -> bool:
    """Tell whether the messages are the other's, then tool calls and results."""
    if asked.spoken is None or other.spoken is None or not asked.spoken.startswith(other.spoken):
        return False
    letters = asked.spoken[len(other.spoken) :: _SIGN]
    return letters.startswith(b"c") and b"t" in letters and not letters.strip(b"cta")


def _without_last_user(spoken: bytes) -> tuple[bytes, bytes] | None:
    """Give what stands before and after the caller's last message; None when the caller said nothing."""
    letters = spoken[::_SIGN]
    last = letters.rfind(b"u")
    return None if last < 0 else (spoken[: last * _SIGN], spoken[(last + 1) * _SIGN :])


def _letter(message: Message) -> bytes:
    if message.role == "assistant" and (message.fields.get("tool_calls") or message.fields.get("function_call")):
        return b"c"
    return _LETTERS.get(message.role, b"o")


def number_of(turn_id: str | None) -> int | None:
    """Give a turn's id as a number, None where it is no integer."""
    return int(turn_id) if turn_id is not None and _INTEGER.fullmatch(turn_id) else None
