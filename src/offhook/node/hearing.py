"""What a platform hears in a reply: what it speaks, and what it obeys instead. Pure: no I/O, no await, no clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.node.platforms.base import Order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from offhook.node.platforms.base import Function, Platform, Tag
    from offhook.wire.calls import Call

# A tag that has not ended within so many characters is none.
_LIMIT = 2000
# From behind a tag's name to its end; quotes may hold a ">".
_REST = re.compile(r"""(?:[^>"']|"[^"]*+"|'[^']*+')*+>""")
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|“([^”]*)”|([^\s,"'/>]+))""")
_SPACE = re.compile(r"\s+")


class TagReader:
    """Takes a platform's tags out of a text that comes in pieces, and tells what they order."""

    __slots__ = ("_held", "_tags")

    def __init__(self, tags: Iterable[Tag]) -> None:
        self._tags = [
            # A closing tag, and one that closes itself, are the same to it.
            (
                re.compile(r"<\s*/?\s*" + r"\s+".join(map(re.escape, tag.name.split())) + r"(?![\w-])", re.IGNORECASE),
                tag,
            )
            for tag in tags
        ]
        # The end of what came, from a "<" that may begin a tag.
        self._held = ""

    def feed(self, text: str, *, final: bool = False) -> list[str | Order]:
        """Take the next piece and give the texts and orders that are certain now, in their order."""
        if not self._tags or (not self._held and "<" not in text):
            return [text] if text else []
        text, self._held = self._held + text, ""
        given: list[str | Order] = []
        position = said = 0
        while (start := text.find("<", position)) >= 0:
            found = self._look(text, start, final=final)
            if found is None:
                self._held = text[start:]
                text = text[:start]
                break
            end, order = found
            if order is not None:
                given += [text[said:start], order]
                said = end
            position = end
        given.append(text[said:])
        return [one for one in given if one != ""]

    def _look(self, text: str, start: int, *, final: bool) -> tuple[int, Order | None] | None:
        """Give where what begins at ``start`` ends and what it orders; None when more of it has to come."""
        for pattern, tag in self._tags:
            opening = pattern.match(text, start)
            if opening is None:
                continue
            end = _REST.match(text, opening.end(), start + _LIMIT)
            if end is not None:
                return end.end(), tag.order(_attributes(text[opening.end() : end.end()]))
            if not final and len(text) - start < _LIMIT:
                return None
        if not final and self._begun(text, start):
            return None
        return start + 1, None

    def _begun(self, text: str, start: int) -> bool:
        """Tell whether all that came from ``start`` on is the beginning of a tag's name."""
        tail = _SPACE.sub(" ", text[start + 1 : start + _LIMIT]).lstrip(" /").lower()
        return any(tag.name.startswith(tail.rstrip()) and len(tail) <= len(tag.name) + 1 for _, tag in self._tags)


def _attributes(text: str) -> dict[str, str]:
    return {match[1].lower(): next((one for one in match.groups()[1:] if one is not None), "") for match in
            _ATTRIBUTE.finditer(text)}  # fmt: skip


class Hearing:
    """What one reply makes the platform speak and do; ``orders`` are those that came, each once."""

    __slots__ = ("_functions", "_platform", "_reader", "orders")

    def __init__(self, platform: Platform, hangup_function: str | None = None) -> None:
        self._platform = platform
        self._functions: Mapping[str, Function] = platform.functions(hangup_function)
        self._reader = TagReader(platform.tags)
        self.orders: list[Order] = []

    @property
    def protected(self) -> bool:
        """Tell whether the caller cannot cut in."""
        return any(order.kind == "protect" for order in self.orders)

    def chunk(self, data: bytes, *, first: bool) -> None:
        """Take a chunk, which may be an order by itself."""
        mark = self._platform.side_mark
        if not mark or mark not in data:
            return
        chunk = msgspec.json.decode(data)
        if isinstance(chunk, dict) and (order := self._platform.side(chunk, first)) is not None:
            self.orders.append(order)

    def text(self, text: str) -> str:
        """Take the next piece of text and give what is spoken of it, and what its orders make the platform say."""
        return self._spoken(self._reader.feed(text))

    def end(self, calls: Iterable[Call]) -> str:
        """Take the end of the text, and the functions that were called; give what is spoken then."""
        said = self._spoken(self._reader.feed("", final=True))
        for call in calls:
            function = self._functions.get(call.name)
            # Servers repeat the hang-up on every chunk: the call ends once.
            if function is not None and not any(order.kind == function.kind for order in self.orders):
                arguments = _object(call.arguments)
                number = _number(arguments.get(function.to)) if function.to else ""
                words = arguments.get(function.says) if function.says else ""
                said += self.obey(Order(function.kind, number, words if isinstance(words, str) else ""))
        return said

    def hangs_up(self, name: str) -> bool:
        """Tell whether this is the function that ends the call."""
        function = self._functions.get(name)
        return function is not None and function.kind == "hangup"

    def obey(self, order: Order) -> str:
        """Take an order and give what the platform says with it."""
        self.orders.append(order)
        return order.says

    def _spoken(self, parts: list[str | Order]) -> str:
        return "".join(self.obey(part) if isinstance(part, Order) else part for part in parts)


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: object) -> str:
    """Give a number, or the one that a destination has."""
    if isinstance(value, dict):
        value = value.get("number") or value.get("sipUri") or ""
    return value if isinstance(value, str) else "" if value is None else str(value)
