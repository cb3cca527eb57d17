"""What is compared of messages, to find where one list of them goes on with another. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

from typing_extensions import override

from offhook.turns.repair import call_ids, is_empty, result_id

if TYPE_CHECKING:
    from offhook.events import Message

_CALLS = frozenset({"tool_calls", "function_call"})


class Sign(NamedTuple):
    """What is compared of a message: its words without white space, and the ids of its tool calls or its result."""

    role: str
    text: str
    ids: tuple[str, ...] = ()


class Signs(Sequence[Sign]):
    """The signs of messages, each made when it is first looked at: mostly the end of a long list is all that is."""

    def __init__(self, messages: tuple[Message, ...]) -> None:
        self._messages = messages
        self._made: dict[int, Sign] = {}

    @override
    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, at: int) -> Sign: ...

    @overload
    def __getitem__(self, at: slice) -> list[Sign]: ...

    @override
    def __getitem__(self, at: int | slice) -> Sign | list[Sign]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        sign = self._made.get(at)
        if sign is None:
            sign = self._made[at] = sign_of(self._messages[at])
        return sign


def squeezed(text: str) -> str:
    """Give a text without its white space."""
    return "".join(text.split())


def said(message: Message) -> str:
    """Give the words of a message that were spoken."""
    return message.text[: message.heard] if message.interrupted and message.heard is not None else message.text


def is_silent(message: Message) -> bool:
    """Tell whether this is an assistant message of which nothing was spoken."""
    cut = message.interrupted and not said(message).strip() and not call_ids(message)
    return message.role == "assistant" and (cut or is_empty(message))


def sign_of(message: Message) -> Sign:
    """Give what is compared of a message."""
    ids: tuple[str, ...] = ()
    if message.role == "assistant" and not message.fields.keys().isdisjoint(_CALLS):
        ids = tuple(id_ or str(message.fields["tool_calls"]) for id_ in call_ids(message))
        if legacy := message.fields.get("function_call"):
            ids += (str(legacy),)
    elif message.role == "tool":
        ids = (result_id(message),)
    return Sign(message.role, squeezed(said(message)), ids)


def agree(kept: Sign, shown: Sign) -> bool:
    """Tell whether the window's message is the transcript's; an assistant's words may be cut short on either side."""
    if kept.role != shown.role:
        return False
    if kept.role != "assistant":
        return kept.text == shown.text and kept.ids == shown.ids
    if kept.ids and shown.ids:
        return kept.ids == shown.ids
    short, long = sorted((kept.text, shown.text), key=len)
    return short != "" and long.startswith(short)


def offset(part: str, whole: str) -> int | None:
    """Give where ``part`` ends in ``whole`` as its beginning, white space apart; None if it is not its beginning."""
    if whole.startswith(part):
        return len(part)
    wanted = squeezed(part)
    left = len(wanted)
    if not squeezed(whole).startswith(wanted):
        return None
    for at, character in enumerate(whole):
        if left == 0:
            return at
        left -= not character.isspace()
    return len(whole)


def counts(sign: Sign) -> bool:
    """Tell whether a window must show this, where it shows what stands around it."""
    return sign.role in ("user", "tool") or (sign.role == "assistant" and bool(sign.text or sign.ids))


def common(kept: Sequence[Sign], shown: Sequence[Sign]) -> tuple[int, int]:
    """Give how much of the transcript's tail stays, and how much of the window's is known by that."""
    same = seen = 0
    for at, sign in enumerate(kept, 1):
        if seen < len(shown) and agree(sign, shown[seen]):
            same, seen = at, seen + 1
        elif counts(sign):
            return same, seen
    # What a platform put between and does not show again (the time, a note) stays where it was.
    return (len(kept) if seen < len(shown) else same), seen


def last_user(signs: Sequence[Sign], end: int | None = None) -> int | None:
    """Give where the caller spoke last before ``end``, None where that is nowhere."""
    start = (len(signs) if end is None else end) - 1
    return next((at for at in range(start, -1, -1) if signs[at].role == "user"), None)
