"""What a platform that speaks WebSocket sends and takes: frames of JSON, and nothing of the network. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from offhook.node.platforms.base import Asking, Order

Frame = Mapping[str, Any]


class Part(msgspec.Struct, frozen=True):
    """What one frame brings of the reply that is waited for."""

    text: str = ""
    orders: tuple[Order, ...] = ()
    complete: bool = False
    error: str | None = None


NOTHING = Part()


class SocketWire(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol. ``path`` and ``query`` give offhook's own door for a key and a ModelId, if there are any.

    ``opening`` gives the frames of a new connection, ``answering`` those that a frame is answered with at once,
    ``asking`` those of a question, ``cutting`` those of a barge-in after ``heard``. ``read`` tells what a frame brings
    of the reply to a question. ``introduces`` are the seconds in which a server may ask who calls. ``names_call`` tells
    that the call's id is appended to the address. ``late`` tells that what ends the call is obeyed at any time, and not
    only in the reply that is waited for. ``settles`` are the seconds in which what was still on its way at a barge-in
    is taken for the old reply.
    """

    path: Callable[[str, str], str]
    query: Callable[[str, str], tuple[tuple[str, str], ...]]
    opening: Callable[[Asking], tuple[Frame, ...]]
    answering: Callable[[Frame, Asking], tuple[Frame, ...]]
    asking: Callable[[Asking], tuple[Frame, ...]]
    cutting: Callable[[str, float], tuple[Frame, ...]]
    read: Callable[[Frame, Asking], Part]
    introduces: float = 0.0
    names_call: bool = False
    late: bool = False
    settles: float = 0.0


def words(value: object) -> str:
    """Give a string, empty for anything else."""
    return value if isinstance(value, str) else ""


def last_words(asking: Asking) -> str:
    """Give what the caller said last, empty when nobody spoke yet."""
    return next((words(one.get("content")) for one in reversed(asking.messages) if one.get("role") == "user"), "")
