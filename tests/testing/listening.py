"""A client that looks closely at the faulty model service, and what it makes of the bytes."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from offhook.testing.faults import POSSIBLE, Answer, Fault, Phase, says, with_fault
from offhook.wire.sse import Decoder
from tests.raw import Wire, chat_body

if TYPE_CHECKING:
    from offhook.testing.fault_server import FaultUpstream

HELLO = says("你好，", "I can hear you. ", "再见。")
TEXT = HELLO.whole
BEFORE = {"after_headers": 0, "after_role": 1, "mid": 2, "before_done": 5}
IN_STREAM = tuple(BEFORE)
FOR_EVER = ("comments", "reasoning", "think", "endless", "whitespace")
SILENT = ("stall", "role_only")


def faulty(fault: Fault, phase: Phase, **options: Any) -> Answer:
    """Give the greeting with a fault that does not waste the tests' time."""
    return with_fault(HELLO, fault, phase, **{"beat": 0.0, "seconds": 0.05, **options})


class Listener(Wire):
    """A client that can read a little, and say that it leaves while it still listens."""

    @override
    def __enter__(self) -> Listener:
        return self

    def more(self) -> bool:
        """Read once; false at the end of the connection, however it ended."""
        try:
            return self._read()
        except ConnectionResetError:
            return False

    def read_events(self, count: int) -> bytes:
        """Give the response once it holds so many events, the headers at least."""
        self.read_until(b"\r\n\r\n")
        while len(events(self.received)) < count:
            assert self.more(), self.received
        raw, self.received = self.received, b""
        return raw

    def leave(self) -> bytes:
        """Say that nothing more will be asked, and give what came until the service left too."""
        self._socket.shutdown(socket.SHUT_WR)
        return self.read_to_end()


def ask(service: FaultUpstream, **fields: Any) -> Listener:
    """Send a request on a connection of its own."""
    wire = Listener(service.base_url)
    wire.ask(chat_body(**fields))
    return wire


def read_all(wire: Wire) -> tuple[bytes, bool]:
    """Give everything that comes until the connection ends, and whether a reset ended it."""
    try:
        return wire.read_to_end(), False
    except ConnectionResetError:
        raw, wire.received = wire.received, b""
        return raw, True


def parts(raw: bytes) -> tuple[list[bytes], bool]:
    """Give the whole chunks of a response's HTTP body, and whether the body has its end."""
    _, _, body = raw.partition(b"\r\n\r\n")
    found: list[bytes] = []
    while body:
        size, line, rest = body.partition(b"\r\n")
        if not line:
            break
        length = int(size, 16)
        if length == 0:
            return found, True
        if len(rest) < length + 2:
            break
        found.append(rest[:length])
        body = rest[length + 2 :]
    return found, False


def events(raw: bytes) -> list[str]:
    """Give the data of a response's events."""
    return [event.data.decode() for event in Decoder().feed(b"".join(parts(raw)[0]))]


def deltas(data: list[str]) -> list[dict[str, Any]]:
    """Give the deltas of the events that are chunks."""
    return [json.loads(one)["choices"][0]["delta"] for one in data if one != "[DONE]"]


def text_of(data: list[str]) -> str:
    """Give the text of events."""
    return "".join(delta.get("content", "") for delta in deltas(data))


def is_text(part: bytes) -> bool:
    """Tell whether bytes are whole UTF-8 characters."""
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


def phases_of(*faults: str) -> list[tuple[Fault, Phase]]:
    """Give the rows of the table with these faults once the headers are sent."""
    return [(fault, phase) for fault, phase in POSSIBLE if fault in faults and phase in IN_STREAM]
