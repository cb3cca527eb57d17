"""The addresses of the WebSocket doors, and what stands in them: a key, and a ModelId."""

from __future__ import annotations

import re
from urllib.parse import unquote

# Under any prefix, as all addresses here. A URL that was given with a slash at its end gets a second one.
RETELL = re.compile(r"(?:/.*)?/llm-websocket//?[^/]+/?", re.DOTALL)
RELAY = re.compile(r"(?:/.*)?/conversation-?relay(?:/.*)?", re.DOTALL)

# Behind this part come the parts that a platform which can send no header, and no query, is given.
_ROOTS = frozenset({"retell", "conversationrelay", "conversation-relay"})
_RETELL = "llm-websocket"
_MODEL = "model="
# Parts of addresses that are nobody's key.
_OURS = frozenset({_RETELL, "v1", "chat", "completions", "models", "calls", "end", "webhooks", *_ROOTS})
MASK = "***"


def is_door(url: bytes) -> bool:
    """Tell whether a WebSocket is spoken at a URL, as it stands in the request line."""
    path = unquote(url.partition(b"?")[0].decode("latin-1"))
    return RETELL.fullmatch(path) is not None or RELAY.fullmatch(path) is not None


def parts_of(path: str) -> tuple[str | None, str | None]:
    """Give the key and the ModelId that stand in the path of a door, None for what does not."""
    parts = path.split("/")
    inner = [parts[at] for at in _behind(parts, _end(path, parts))]
    keys = [part for part in inner if not part.startswith(_MODEL) and part.lower() not in _ROOTS]
    models = [part.removeprefix(_MODEL) for part in inner if part.startswith(_MODEL)]
    return keys[0] if keys else None, models[0] if models else None


def masked(path: str) -> str:
    """Give a path without what may be a key: all that stands behind a platform's name and is no word of ours.

    Also where the address is none of a door: what was nearly one holds the key as well.
    """
    parts = path.split("/")
    for at in _behind(parts, _end(path, parts)):
        if not parts[at].startswith(_MODEL) and parts[at].lower() not in _OURS:
            parts[at] = MASK
    return "/".join(parts)


def _end(path: str, parts: list[str]) -> int:
    """Give the place at which that begins which Retell itself appends."""
    if RETELL.fullmatch(path):
        return len(parts) - parts[::-1].index(_RETELL) - 1
    return len(parts)


def _behind(parts: list[str], end: int) -> list[int]:
    """Give the places of the parts behind the platform's name."""
    start = next((at for at, part in enumerate(parts[:end]) if part.lower() in _ROOTS), end)
    return [at for at in range(start + 1, end) if parts[at]]
