"""Puts tool calls together from the fragments of a stream, as tolerantly as the services need.

Seen in real streams: no index, an index that begins at 1, an id or name repeated or emptied on later
fragments, the whole call repeated on every chunk (the vendor's sample server).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


class Call:
    """One tool call, as far as it has come."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments = ""


class CallAssembler:
    """Groups fragments by index, else by id; the first id and name that are not empty win; arguments are joined."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def feed(self, fragments: Iterable[Any]) -> None:
        """Take the ``tool_calls`` of one delta; fragments that are not objects are passed over."""
        for fragment in fragments:
            if isinstance(fragment, Mapping):
                self._add(fragment)

    def _add(self, fragment: Mapping[str, Any]) -> None:
        function = fragment.get("function")
        if not isinstance(function, Mapping):
            function = {}
        index = fragment.get("index")
        id_ = _text(fragment.get("id"))
        name = _text(function.get("name"))
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):  # Some services give the object itself instead of its JSON text.
            arguments = msgspec.json.encode(arguments).decode()
        arguments = _text(arguments)
        call = self._find(index if isinstance(index, int) else None, id_, name)
        if name and name == call.name and arguments == call.arguments and (call.id == id_ or not id_):
            return  # The whole call once more.
        call.id = call.id or id_
        call.name = call.name or name
        call.arguments += arguments

    def _find(self, index: int | None, id_: str, name: str) -> Call:
        for call in reversed(self.calls):
            if index is not None:
                # Some services give every one of several calls the same index; a new id and name then begin a new one.
                if call.index == index and not _is_another(call, id_, name):
                    return call
            elif id_:
                if call.id == id_:
                    return call
            elif not name or (name == call.name and not _complete(call.arguments)):
                return call  # Neither index nor id: it goes on with the last call, unless it names a new one.
            else:
                break
        call = Call(index)
        self.calls.append(call)
        return call


def _is_another(call: Call, id_: str, name: str) -> bool:
    """Tell whether a fragment with the same index is another call; some services change the id on every fragment."""
    if not (id_ and name and call.id) or id_ == call.id:
        return False
    return _complete(call.arguments) or (not call.arguments and name != call.name)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _complete(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return False
    return True
