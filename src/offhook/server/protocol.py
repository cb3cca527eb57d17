"""The HTTP server's connection, as this house needs it: bounded, and answering in the OpenAI shape whatever comes.

Everything here happens once per request or per block of bytes that arrives; nothing stands on the way of an event.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import httptools
import msgspec
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from offhook.errors import BadHttp, BodyTooLarge, HeadersTooLarge, OffhookError, SlowRequest, UrlTooLong, WrongMethod
from offhook.server.flow import FLOW, HOLD, MOST_UNSENT, Exit, Hold, Patience
from offhook.server.refusal import meant, plain_head, refusal, without_host

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from offhook.clock import Timer

log = logging.getLogger("offhook.server")

MOST_HEADERS = 128
# So many whole requests may wait behind the one that is being answered on their connection.
MOST_WAITING = 32
# So many bytes of their bodies are held: reading must go on, since a disconnect of the live one is seen by reading.
MOST_HELD = 1024 * 1024

# What of a request is coming in.
_NOTHING, _HEAD, _BODY = range(3)


class Limits(msgspec.Struct, frozen=True):
    """How much a connection takes, and for how long it waits.

    ``max_head`` is the bytes of a request line and its headers, ``head_timeout`` and ``body_timeout`` are seconds.
    A client that takes nothing of what waits for it is cut off after ``slow_reader`` seconds.
    Of a body that nobody wants any more ``most_discarded`` bytes are read, so that its sender comes to read the answer.
    """

    max_head: int = 64 * 1024
    head_timeout: float = 10.0
    body_timeout: float = 60.0
    slow_reader: float = 30.0
    most_discarded: int = 64 * 1024 * 1024


class _AnyLength(int):
    """The length of a response to HTTP/1.0, which has no chunks: it ends when the connection does."""

    @override
    def __lt__(self, other: int) -> bool:
        return False

    @override
    def __sub__(self, other: int) -> int:
        return self

    @override
    def __ne__(self, other: object) -> bool:
        return False

    @override
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class LineProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP connection, with limits, answers in the OpenAI shape, and no fear of ``Upgrade: h2c``.

    It also tells the application whether its transport is full: a reader of a reply may then write within the agent's
    own step, since while ``write_paused`` is false uvicorn's ``send`` runs to its end without waiting.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Uvicorn turns its access log on for whoever listens to all logs; its lines hold the query string, and so keys.
        self.access_log = False
        self._limits: Limits = getattr(self.config, "limits", None) or Limits()
        self._exit: Exit | None = None
        self._hold: Hold | None = None
        self._stage = _NOTHING
        self._upgrading = False
        # Counts the requests of this connection, so that each has a timer of its own.
        self._number = 0
        # Bytes since the head began or the last byte of a body came, and those of the block that is being read.
        self._unbroken = 0
        self._block = 0
        self._discarded = 0
        self._timer: Timer | None = None
        self._timed = (0, _NOTHING)
        # Runs while bytes wait for the client and no more of them come.
        self._patience: Patience | None = None
        # The request that is being answered; uvicorn's ``cycle`` is the one that came last.
        self._active: RequestResponseCycle | None = None
        # The answer to what can no longer be read; written when the requests before it are answered.
        self._last_words: bytes | None = None
        self._leaving = False

    # --- the connection ---------------------------------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        super().connection_made(transport)
        self._exit = Exit(transport, self._leave)
        self._hold = Hold(transport)
        # Over TLS it would be eight times as much.
        transport.set_write_buffer_limits(high=MOST_UNSENT)
        self._wait_for_a_request()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._leaving = True
        self._stop_timer()
        self._stop_patience()
        self._unset_keepalive_if_required()
        self._drop_active()
        self.pipeline.clear()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._leaving or self._last_words is not None:
            self._discarded += len(data)
            if self._discarded > self._limits.most_discarded:
                self.transport.close()
            return
        self._unset_keepalive_if_required()
        self._block = len(data)
        self._unbroken += self._block
        try:
            ours = self._parse(data)
        except httptools.HttpParserError as error:
            self._refuse(meant(error, data))
            return
        if not ours or self._leaving:
            return
        if self._unbroken > self._limits.max_head:
            self._refuse(self._too_large())
        else:
            self._watch()

    def _parse(self, data: bytes) -> bool:
        """Take the bytes; give False when the connection is now that of a WebSocket."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._upgrading = False
                if self._should_upgrade():
                    self._stop_timer()
                    self._stop_patience()
                    self.handle_websocket_upgrade()
                    return False
                # Nothing that we speak, so the same request without the offer. The parser has given its body up.
                data = plain_head(self.scope, self.url) + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return True

    @override
    def _should_upgrade(self) -> bool:
        """Tell whether a WebSocket is offered where there is one, and no response before it is under way."""
        free = self._active is None or self._active.response_complete
        spoken = (self.scope["method"], self.scope["http_version"]) == ("GET", "1.1")
        return super()._should_upgrade() and free and spoken and bool(getattr(self.config, "is_door", bool)(self.url))

    # --- the parser's news ------------------------------------------------------------------------------------

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        ours = {FLOW: self.flow, HOLD: self._hold}
        self.scope["extensions"] = ours  # type: ignore[typeddict-item]  # objects of ours, not tables of ASGI's
        self._stage = _HEAD
        self._number += 1

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage == _BODY:
            return  # A trailer: what it says came too late to be believed.
        if len(self.headers) >= MOST_HEADERS:
            raise HeadersTooLarge(f"The request has more than {MOST_HEADERS} headers.")
        super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        limit = self._limits.max_head
        if (self._block > limit or self._unbroken > limit) and self._head_size() > limit:
            raise self._too_large()
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BadHttp(f"HTTP/{version} is not spoken here; use HTTP/1.1.")
        if self.parser.should_upgrade():
            self._offered(version)
            return
        if len(self.pipeline) >= MOST_WAITING:
            raise BadHttp(f"More than {MOST_WAITING} requests wait on this connection; read their answers first.")
        self.url = without_host(self.url)
        if version == "1.0":
            self.expect_100_continue = False  # Such a client knows no interim answer.
        super().on_headers_complete()
        self._stage = _BODY
        self._unbroken = 0
        self._discarded = 0
        cycle = self.cycle
        cycle.transport = cast("asyncio.Transport", self._exit)
        if version == "1.0":
            cycle.chunked_encoding = False
            cycle.expected_content_length = _AnyLength()
        if self._active is None or self._active.response_complete:
            self._active = cycle
            self._mind()
        else:
            # It waits for its turn. Reading goes on: a disconnect must be seen, and few may wait.
            self.flow.resume_reading()

    def _offered(self, version: str) -> None:
        """Note a request that offers another protocol; the parser stops behind its head."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise WrongMethod("This is no proxy; use GET or POST.", allow="GET, HEAD, POST")
        self.url = without_host(self.url)
        self.scope["method"] = method.decode("ascii")
        self.scope["http_version"] = version
        self._upgrading = True

    @override
    def on_body(self, body: bytes) -> None:
        self._unbroken = 0
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > self._limits.most_discarded:
                raise BodyTooLarge("The rest of the body is too large to be thrown away.")
        if self.cycle is self._active:
            super().on_body(body)
        elif sum(len(cycle.body) for cycle, _ in self.pipeline) + len(body) > MOST_HELD:
            raise BodyTooLarge(f"More than {MOST_HELD} bytes wait behind a reply on this connection; read it first.")
        else:
            self.cycle.body += body

    @override
    def on_message_complete(self) -> None:
        if self._upgrading:
            return  # Only its head.
        super().on_message_complete()
        self._stage = _NOTHING
        self._unbroken = 0

    @override
    def on_response_complete(self) -> None:
        if self._leaving:
            self.server_state.total_requests += 1
            return
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        if following is not None:
            self._active = following
        elif self._last_words is not None:
            self._say_last_words()
        self._mind()

    # --- a client that does not read --------------------------------------------------------------------------

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._mind()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._mind()

    def _mind(self) -> None:
        """Let patience run while bytes wait for the client and nothing is written; it begins anew here."""
        self._stop_patience()
        silent = self.flow.write_paused or self._leaving or self._active is None or self._active.response_complete
        if silent and self._hold is not None and self.transport.get_write_buffer_size():
            self._patience = Patience(self._hold, self.loop.call_later, self._limits.slow_reader, self._hold.cut_off)

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    # --- limits -----------------------------------------------------------------------------------------------

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_large(self) -> OffhookError:
        limit = self._limits.max_head
        if self._stage == _NOTHING:
            return BadHttp("Only line ends came, and no request.")
        if self._stage == _BODY:
            return HeadersTooLarge(f"A chunk extension or the trailers have more than {limit} bytes.")
        if len(self.url) > limit // 2:
            return UrlTooLong(f"The address and the headers have more than {limit} bytes, most of them in the address.")
        return HeadersTooLarge(f"The headers have more than {limit} bytes.")

    def _watch(self) -> None:
        """Let a timer run as long as a request is on its way, and none while there is nothing to wait for."""
        if self._stage == _NOTHING and not self._unbroken:
            self._stop_timer()
            if self._active is None or self._active.response_complete:
                self._wait_for_a_request()
        elif self._timer is None or self._timed != (self._number, self._stage):
            self._stop_timer()
            self._timed = (self._number, self._stage)
            seconds = self._limits.body_timeout if self._stage == _BODY else self._limits.head_timeout
            self._timer = self.loop.call_later(seconds, self._expired)

    def _wait_for_a_request(self) -> None:
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        self._timer = None
        if self.flow.read_paused:
            self._watch()  # It is we who do not read.
        elif self._stage == _BODY:
            self._refuse(SlowRequest(f"The body did not arrive within {self._limits.body_timeout:g} seconds."))
        elif self._stage == _HEAD:
            self._refuse(SlowRequest(f"The headers did not arrive within {self._limits.head_timeout:g} seconds."))
        else:
            self._leave()

    # --- the end ----------------------------------------------------------------------------------------------

    def _refuse(self, error: OffhookError) -> None:
        """Read no more requests, answer those that were read, then this one, and leave."""
        log.info("a request was refused: %(status)d %(code)s", {"status": error.status, "code": error.code})
        self._stop_timer()
        self._last_words = refusal(error, self.server_state.default_headers)
        if self._stage == _BODY:
            if self.cycle is not self._active:
                self.pipeline = deque(waiting for waiting in self.pipeline if waiting[0] is not self.cycle)
            elif self.cycle.response_started:
                # Answered without its body, which then went wrong or on for too long.
                self._leave(at_once=True)
                return
            else:
                self._drop_active()
        active = self._active
        if active is None or active.response_complete or active.disconnected:
            self._say_last_words()

    def _say_last_words(self) -> None:
        if self._last_words is not None and not self.transport.is_closing():
            self.transport.write(self._last_words)
        self._leave()

    def _drop_active(self) -> None:
        """Tell the application that its client has gone."""
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()

    def _leave(self, *, at_once: bool = False) -> None:
        """Close the connection; while the client is still sending, only our side of it.

        Bytes that are never read make the machine send a reset, and that takes the answer away from the client.
        """
        if self._leaving:
            return
        self._leaving = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        self._drop_active()
        self.pipeline.clear()
        if self.transport.is_closing():
            return
        done = self._stage == _NOTHING and not self._unbroken and self._last_words is None
        if done or at_once:
            self.transport.close()
            # Closing waits until the rest is taken, and a client that reads nothing would keep it for ever.
            self._mind()
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(self._limits.body_timeout, self.transport.abort)
