"""A model service whose every step is a test's own: it says something when the test says so, and not before."""

from __future__ import annotations

import json
import queue
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from offhook.testing import live_server
from tests.oracle import check_http, check_stream
from tests.raw import PATIENCE, Wire, chat_body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offhook.observe.hooks import TurnDetails
    from offhook.testing import LiveServer
    from tests.oracle import Transcript

DONE = b"data: [DONE]\n\n"
COMMENT = b": keep-alive\n\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """Give the event of a chunk."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return (
        b"data: "
        + json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": choices, **more}).encode()
        + (b"\n\n")
    )


def text(words: str) -> bytes:
    """Give the event of a piece of text."""
    return chunk({"content": words})


class Asked:
    """A request, and the answer as far as the test has given it."""

    def __init__(self, connection: socket.socket, path: str, headers: dict[str, str], body: Any) -> None:
        self._connection = connection
        self._begun = False
        self.over = threading.Event()
        self.path = path
        self.headers = headers
        self.body = body

    def write(self, *events: bytes) -> None:
        """Send events in one write, behind the headers where they are the first; none of them: the headers alone."""
        head = b"" if self._begun else _HEAD
        self._begun = True
        data = b"".join(events)
        self._connection.sendall(head + (b"%x\r\n%b\r\n" % (len(data), data) if data else b""))

    def say(self, *words: str) -> None:
        """Send pieces of text."""
        self.write(*map(text, words))

    def end(self, *events: bytes) -> None:
        """End the answer well; the connection may serve again."""
        last = b"".join(events) + chunk({}, "stop") + DONE
        head = b"" if self._begun else _HEAD
        self._connection.sendall(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))
        self.over.set()

    def refuse(self, status: int, *headers: str) -> None:
        """Answer with an error status; the connection may serve again."""
        lines = (f"HTTP/1.1 {status} No", "content-length: 2", "content-type: application/json", *headers, "", "{}")
        self._connection.sendall("\r\n".join(lines).encode())
        self.over.set()

    def hang_up(self) -> None:
        """End the connection in good order, in the middle of whatever was said."""
        self._connection.shutdown(socket.SHUT_WR)

    def wait_left(self) -> None:
        """Return when the client has left. Raises TimeoutError when it does not."""
        with suppress(ConnectionError):
            assert self._connection.recv(1) == b"", "a client says nothing more"


class Service:
    """The service. ``connections`` and ``greetings`` count what was made, and asked for the list of models."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._asked: queue.Queue[Asked] = queue.Queue()
        self._held: list[tuple[socket.socket, list[Asked]]] = []
        self._stopped = False
        self._greeted = threading.Semaphore(0)
        self.connections = 0
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    def asked(self) -> Asked:
        """Give the next request. Raises queue.Empty when none comes."""
        return self._asked.get(timeout=PATIENCE)

    @property
    def left_alone(self) -> bool:
        """Tell whether no request has come that was not taken."""
        return self._asked.empty()

    def wait_for_greetings(self, count: int) -> None:
        """Return when the list of models was asked for so many times. Raises AssertionError when it is not."""
        for _ in range(count):
            assert self._greeted.acquire(timeout=PATIENCE)

    def accept(self) -> None:
        """Take connections until ``stop``; each is served in a thread of its own."""
        threads = []
        while True:
            connection, _ = self._listener.accept()
            if self._stopped:
                connection.close()
                break
            connection.settimeout(PATIENCE)
            self.connections += 1
            mine: list[Asked] = []
            self._held.append((connection, mine))
            threads.append(threading.Thread(target=self._serve, args=(connection, mine), name="paced connection"))
            threads[-1].start()
        for connection, asked in self._held:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            for one in asked:
                one.over.set()
        for thread in threads:
            thread.join(PATIENCE)
        for connection, _ in self._held:
            connection.close()

    def stop(self) -> None:
        """Make ``accept`` return."""
        self._stopped = True
        socket.create_connection(self._listener.getsockname()).close()

    def _serve(self, connection: socket.socket, mine: list[Asked]) -> None:
        with suppress(OSError), connection.makefile("rb") as reader:
            while first := reader.readline().split():
                lines = iter(lambda: reader.readline().decode().strip(), "")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                raw = reader.read(int(headers.get("content-length", "0")))
                if first[0] == b"GET":
                    connection.sendall(b"HTTP/1.1 404 None\r\ncontent-length: 2\r\n\r\n{}")
                    self._greeted.release()
                    continue
                asked = Asked(connection, first[1].decode(), headers, json.loads(raw))
                mine.append(asked)
                self._asked.put(asked)
                asked.over.wait()


@contextmanager
def service() -> Iterator[Service]:
    """Run a service on a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Service(listener)
        thread = threading.Thread(target=one.accept, name="paced service")
        thread.start()
        try:
            yield one
        finally:
            one.stop()
            thread.join(PATIENCE)


# By far the most of it, so that the order of asking is that of the table.
FIRST = 1e12


@contextmanager
def failover(
    count: int = 2, *, each: dict[str, Any] | None = None, tables: list[dict[str, Any]] | None = None, **settings: Any
) -> Iterator[tuple[LiveServer, list[Service]]]:
    """Give a server behind which there are so many services, ``a``, ``b`` ..., asked in this order.

    ``each`` is in every service's table, ``tables`` has more for one service each. Nothing but the failover has timers.
    """
    with ExitStack() as stack:
        services = [stack.enter_context(service()) for _ in range(count)]
        described = [
            {
                "name": "abcdef"[place],
                "base_url": one.base_url,
                "weight": FIRST**-place,
                "connections": 0,
                **(each or {}),
                **(tables[place] if tables else {}),
            }
            for place, one in enumerate(services)
        ]
        quiet: dict[str, Any] = {"turn_deadline": 0.0, "turn_silence": 0.0, "filler": "off"}
        yield stack.enter_context(live_server(upstream_table=described, **{**quiet, **settings})), services


def call_body(call: str = "c1", turn: int = 1, **fields: Any) -> dict[str, Any]:
    """Give a turn of a call."""
    return chat_body(extendData={"instanceId": call, "sentenceId": turn}, **fields)


def heard(wire: Wire, **expected: Any) -> Transcript:
    """Give what a whole reply said; ``expected`` goes to the oracle."""
    reply = check_http(wire.read_response())
    assert reply.status == 200, reply.body
    return check_stream(reply.body, usage_asked=False, **expected)


def outcomes(details: TurnDetails) -> list[tuple[int, str, str]]:
    """Give number, service and outcome of the attempts of a turn."""
    return [(one.number, one.upstream, one.outcome) for one in details.attempts]
