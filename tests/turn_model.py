"""The table of requests once more, written from the words of the plan alone: what it says must be so.

It knows nothing of digests, tickets or tasks, and imports nothing of offhook.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Said = tuple[tuple[str, str], ...]

# Seconds: how long a reply is given again, and without turn ids one that did not arrive.
LIFETIME = 3600.0
UNDELIVERED = 10.0
GOOD = ("stop", "length", "tool_calls")


@dataclass(eq=False)
class Reply:
    """A run of the agent and what it said; ``reason`` is None while it is live."""

    call: str | None
    model: str
    id: str | None
    said: Said
    stream: bool
    grace: float
    text: str = ""
    tools: int = 0
    reason: str | None = None
    ended_at: float = 0.0
    delivered: bool = False
    readers: list[Response] = field(default_factory=list)
    # When it ends if nobody comes back; None while somebody reads.
    patience: float | None = None


@dataclass(eq=False)
class Response:
    """What one request got. ``deaf`` is a client that does not take the end of its body."""

    deaf: bool
    text: str = ""
    tools: int = 0
    reason: str | None = None
    left: bool = False


class Ambiguous(Exception):
    """The plan's words allow more than one outcome."""


class Model:
    """Every request so far, by call, in the order of arrival."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    @property
    def live(self) -> list[Reply]:
        """The replies that are not over."""
        return [reply for reply in self.replies if reply.reason is None]

    def ask(self, now: float, new: Reply, response: Response) -> Reply | None:
        """Answer a request; give the run that it starts or joins, None where nothing is run for it."""
        others = [one for one in self.replies if new.call and (one.call, one.model) == (new.call, new.model)]
        twins = [one for one in others if same_turn(one, new) and one.said == new.said]
        for twin in twins:
            if twin.reason is None:
                # Once somebody hears it as it comes, it is speech.
                twin.stream = twin.stream or new.stream
                self._read(twin, response)
                return twin
        if twins and self._is_given_again(now, twins[-1]):
            self._read(twins[-1], response)
            twins[-1].delivered = twins[-1].delivered or not response.deaf
            return None
        if new.stream and is_late(new, others):
            response.reason = "stop"
            return None
        for one in self._ended_by(new, others):
            self.end(now, one, "superseded")
        self.replies.append(new)
        self._read(new, response)
        return new

    def _is_given_again(self, now: float, twin: Reply) -> bool:
        if twin.reason not in GOOD:
            return False
        if twin.id is None:
            return not twin.delivered and now - twin.ended_at <= UNDELIVERED
        return now - twin.ended_at <= LIFETIME

    def _ended_by(self, new: Reply, others: list[Reply]) -> list[Reply]:
        if not new.stream:
            return []
        live = [one for one in others if one.reason is None and one.stream and overtakes(new, one)]
        if any(continues(new.said, one.said) and (same_turn(one, new) or None in (one.id, new.id)) for one in others):
            if live:
                raise Ambiguous
            return []
        return live

    def _read(self, reply: Reply, response: Response) -> None:
        response.text, response.tools, response.reason = reply.text, reply.tools, reply.reason
        if reply.reason is None:
            reply.readers.append(response)
            reply.patience = None

    def say(self, reply: Reply, text: str) -> None:
        """Let the agent say something."""
        reply.text += text
        for response in reply.readers:
            response.text += text

    def use_tool(self, reply: Reply) -> None:
        """Let the agent call a tool."""
        reply.tools += 1
        for response in reply.readers:
            response.tools += 1

    def end(self, now: float, reply: Reply, reason: str) -> None:
        """End a reply."""
        reply.reason, reply.ended_at, reply.patience = reason, now, None
        for response in reply.readers:
            response.reason = reason
            reply.delivered = reply.delivered or not response.deaf
        reply.readers.clear()

    def leave(self, now: float, response: Response) -> None:
        """Let a client go; what it has got stays as it is."""
        response.left = True
        for reply in self.live:
            if response in reply.readers:
                reply.readers.remove(response)
                if not reply.readers and reply.grace and not reply.text:
                    reply.patience = now + reply.grace
                elif not reply.readers:
                    self.end(now, reply, "cancelled")

    def pass_(self, now: float) -> None:
        """End what nobody came back for."""
        for reply in self.live:
            if reply.patience is not None and reply.patience <= now:
                self.end(now, reply, "cancelled")


# --- what the words mean ------------------------------------------------------------------------------------------


def number(id: str | None) -> int | str | None:
    """Give an id as it is compared: as an integer where it is one."""
    return int(id) if id is not None and id.isdecimal() else id


def same_turn(one: Reply, other: Reply) -> bool:
    return number(one.id) == number(other.id)


def is_late(new: Reply, others: list[Reply]) -> bool:
    """Tell whether one of the others is a later turn: by its number, else by when its turn first came."""
    ids = [number(one.id) for one in others if one.id is not None and one.stream]
    mine = number(new.id)
    if mine is None:
        return False
    if isinstance(mine, int):
        return any(isinstance(id, int) and id > mine for id in ids)
    return mine in ids and any(ids.index(id) > ids.index(mine) for id in ids)


def overtakes(new: Reply, live: Reply) -> bool:
    """Tell whether a live reply is over with a new request that is not late."""
    if new.id is not None and live.id is not None:
        return not (same_turn(new, live) and continues(new.said, live.said))
    mine, other = spoken(new.said), spoken(live.said)
    if continues(new.said, live.said):
        return False
    return mine[: len(other)] == other or differs_in_last_user_alone(mine, other)


def spoken(said: Said) -> Said:
    return tuple(one for one in said if one[0] != "system")


def differs_in_last_user_alone(one: Said, other: Said) -> bool:
    cut = []
    for said in (one, other):
        places = [at for at, (role, _) in enumerate(said) if role == "user"]
        if not places:
            return False
        cut.append((said[: places[-1]], said[places[-1] + 1 :]))
    return cut[0] == cut[1]


def continues(new: Said, old: Said) -> bool:
    """Tell whether it is the same utterance, and then tool calls and their results."""
    mine, other = spoken(new), spoken(old)
    return mine[: len(other)] == other and [role for role, _ in mine[len(other) :]] == ["call", "tool"]
