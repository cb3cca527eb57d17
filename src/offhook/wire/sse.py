"""Server-sent events on bytes (WHATWG HTML, 9.2 "Server-sent events").

The decoder never splits by text lines: U+2028 is legal inside a JSON string, and events arrive cut,
merged or one byte at a time.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from offhook.errors import WireError

DONE = b"data: [DONE]\n\n"

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class ServerEvent(NamedTuple):
    """One event: its ``data`` lines joined by ``\\n``, and its type, empty for the default."""

    data: bytes
    type: str = ""


def encode(data: bytes) -> bytes:
    """Give the event that carries ``data``, which must hold no line end (JSON text never does)."""
    return b"data: " + data + b"\n\n"


class Decoder:
    """Turns the bytes of an event stream into events, however they are cut.

    An event that the stream ends in the middle of is dropped, as the specification asks; ``pending`` then
    holds its bytes. ``max_event`` bounds the bytes of one event. What a service writes between the events when it
    breaks off, a line ``error: {...}`` (llama.cpp) or bare JSON, is an event of the type ``error``: no field of the
    format looks like that, and passed over it would leave a reply that ends for no reason.
    """

    __slots__ = ("_data", "_json", "_max_event", "_partial", "_size", "_started", "_type")

    def __init__(self, max_event: int = 16 * 1024 * 1024) -> None:
        self._partial = bytearray()
        self._data: list[bytes] = []
        # The lines of bare JSON; while there are any, the type is "error".
        self._json: list[bytes] = []
        self._type = ""
        self._size = 0
        self._started = False
        self._max_event = max_event

    @property
    def pending(self) -> bytes:
        """What was read of an event that is not complete."""
        return b"\n".join([*self._data, *self._json, self._partial])

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take the next bytes and give the events that they complete.

        Raises WireError when one event grows beyond ``max_event`` bytes.
        """
        held = self._partial
        between = self._started and not held and not self._data and not self._type
        if between and (whole := _whole(data, self._max_event)) is not None:
            return whole
        if self._started and held and not held.endswith(b"\r") and not _LINE_END.search(data):
            held += data  # Bytes that dribble into a long line are looked at once each.
            self._limit(len(held))
            return []
        buffer = bytes(held) + data
        # What is held has no line end, save for a CR at its end.
        search = max(len(held) - 1, 0)
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._partial = bytearray(buffer)
                return []
            self._started = True
            buffer = buffer.removeprefix(_BOM)
            search = 0
        events: list[ServerEvent] = []
        position = 0
        for end in _LINE_END.finditer(buffer, search):
            # A lone CR at the very end may be the first half of CRLF.
            if end.end() == len(buffer) and end.group() == b"\r":
                break
            self._limit(end.start() - position)
            self._line(buffer[position : end.start()], events)
            position = end.end()
        self._partial = bytearray(buffer[position:])
        self._limit(len(self._partial) - self._partial.endswith(b"\r"))
        return events

    def flush(self) -> list[ServerEvent]:
        """Take the end of the stream: a CR that was held back is a line end after all, and bare JSON an error."""
        events: list[ServerEvent] = []
        if self._partial.endswith(b"\r"):
            self._line(bytes(self._partial[:-1]), events)
            self._partial.clear()
        elif self._json or self._partial.startswith((b"{", b"error:")):
            self._line(bytes(self._partial), events)
            self._partial.clear()
        self._end_json(events)
        return events

    def _limit(self, line: int) -> None:
        if self._size + line > self._max_event:
            raise WireError(f"one event of the stream is larger than {self._max_event} bytes")

    def _line(self, line: bytes, events: list[ServerEvent]) -> None:
        if line.startswith(b"data: "):
            self._end_json(events)
            self._data.append(line[6:])
            self._size += len(line)
        elif not line:
            if self._data:
                events.append(ServerEvent(b"\n".join(self._data), self._type))
                self._data = []
            self._end_json(events)
            self._size = 0
            self._type = ""
        else:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                self._end_json(events)
                self._data.append(value)
                self._size += len(line)
            elif name == b"event":
                self._type = value.decode("utf-8", "replace")
            elif name == b"error":
                events.append(ServerEvent(value, "error"))
            elif self._json or line.startswith(b"{"):
                self._json.append(line)
                self._size += len(line)
                self._type = "error"
                # One line, or the last of many; who breaks off may never send the blank line behind it.
                if line.rstrip() == b"}" or (len(self._json) == 1 and line.rstrip().endswith(b"}")):
                    self._end_json(events)

    def _end_json(self, events: list[ServerEvent]) -> None:
        if self._json:
            events.append(ServerEvent(b"\n".join(self._json), "error"))
            self._json = []
            self._type = ""


def _whole(data: bytes, limit: int) -> list[ServerEvent] | None:
    """Give the events of a read that holds nothing but whole ones of the commonest form; None for any other."""
    if not data.endswith(b"\n\n") or b"\r" in data:
        return None
    blocks = data[:-2].split(b"\n\n")
    for block in blocks:
        if not block.startswith(b"data: ") or b"\n" in block or len(block) > limit:
            return None
    return [ServerEvent(block[6:]) for block in blocks]
