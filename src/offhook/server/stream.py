"""Readers of a reply that stand at the client's side: one that streams, one that answers whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from typing_extensions import override

from offhook.dialects.base import Delivery, Dialect, Extra, Options
from offhook.errors import AgentError, OffhookError, Superseded
from offhook.events import Aside, Command, Event, Finish, Text, Usage
from offhook.server.answers import REQUEST_ID, error_messages, json_messages
from offhook.wire.chat import (
    CallDelta,
    ChatRequest,
    ChunkWriter,
    encode_completion,
    text_of,
    usage_object,
)
from offhook.wire.faults import error_event
from offhook.wire.tokens import estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message

    from offhook.clock import Clock
    from offhook.dialects.base import Piece
    from offhook.server.outlet import Outlet


class Face(msgspec.Struct, frozen=True):
    """How a reply looks from the client's side. ``holds`` tells that the end of its body waits for its record.

    ``offered`` are the functions that the request offers.
    """

    request: ChatRequest
    request_id: str
    dialect: Dialect
    options: Options
    holds: bool = False
    offered: frozenset[str] = frozenset()


class _Reader:
    """What both readers share: the way out, the pieces of an event, and the usage."""

    def __init__(self, face: Face, outlet: Outlet, clock: Clock) -> None:
        self._face = face
        self._outlet = outlet
        self._clock = clock
        self._usage: Usage | None = None
        self._said: list[str] = []
        self._call_ids: set[str] = set()
        self._over = False
        self._delivery = Delivery(face.options, face.offered, whole=not face.request.stream)
        self.first_byte: float | None = None
        self.id = clock.new_id("chatcmpl-")
        self.created = int(clock.now())

    @property
    def blocked(self) -> bool:
        return self._outlet.blocked

    @property
    def sent(self) -> int:
        return self._outlet.sent

    @property
    def delivered(self) -> bool:
        return self._outlet.over

    async def drain(self) -> None:
        await self._outlet.drain()

    def _put(self, message: Message, mark: int) -> None:
        """Send a message; ``mark`` is how many characters of the reply's text it and those before it carry."""
        if self.first_byte is None:
            self.first_byte = self._clock.monotonic()
        self._outlet.put(message, mark)

    def _pieces(self, event: Event) -> tuple[Piece, ...]:
        if isinstance(event, Usage):
            self._usage = event
            return ()
        return self._face.dialect.write(event, self._delivery)

    def _named(self, call: CallDelta) -> CallDelta:
        """Give the call with an id that no other call of the reply has."""
        if not call.id or call.id in self._call_ids:
            call = CallDelta(name=call.name, arguments=call.arguments, id=self._clock.new_id("call_"))
        self._call_ids.add(call.id)
        return call

    def _counted(self) -> Usage:
        """Give the usage that the agent reported, or else an estimate."""
        if self._usage is not None:
            return self._usage
        prompt = sum(estimate(text_of(message.content)) for message in self._face.request.messages)
        return Usage(prompt, estimate("".join(self._said)))


class StreamReader(_Reader):
    """Writes a reply as a stream of chunks; the headers wait for the first event, so that a failure can be a status.

    Where the end is held, everything but ``[DONE]`` and the end of the body goes out at once.
    """

    def __init__(self, face: Face, outlet: Outlet, clock: Clock) -> None:
        super().__init__(face, outlet, clock)
        self._writer = ChunkWriter(id=self.id, created=self.created, model=face.request.model)
        self._begun = False
        self._count = face.request.include_usage
        self._length = 0
        self._held = False
        # How many chunks of the platform's own stand in front of the one with the role.
        self._lead = 0

    def read(self, events: Sequence[Event]) -> None:
        chunks: list[bytes] = []
        for event in events:
            if isinstance(event, Finish):
                if not self._over:
                    self._finish(event, chunks)
                self._over = True
                return
            if chunks and isinstance(event, Command):
                self._go_on()
            for piece in self._pieces(event):
                if isinstance(piece, Extra) and not self._begun and len(chunks) == self._lead:
                    self._lead += 1
                chunks.append(self._chunk(piece))
            if isinstance(event, Text | Aside):
                # A command may be written as text too, and nobody hears that.
                self._length += len(event.text)
        if chunks:
            self._write(chunks)

    def _go_on(self) -> None:
        """Note that what comes next is not the first of the reply."""
        if not self._delivery.begun:
            self._delivery = msgspec.structs.replace(self._delivery, begun=True)

    def end(self) -> None:
        if self._held:
            self._held = False
            self._write([self._writer.done()], more=False)

    def _chunk(self, piece: Piece) -> bytes:
        if isinstance(piece, str):
            if self._count:
                self._said.append(piece)
            return self._writer.text(piece)
        if isinstance(piece, Extra):
            return self._writer.extra(piece.chunk)
        return self._writer.call(self._named(piece))

    def _finish(self, finish: Finish, chunks: list[bytes]) -> None:
        error = _error_of(finish, self._face.options)
        if error is None:
            chunks.append(self._writer.finish(_wire_reason(finish, called=self._writer.called)))
            if self._count:
                usage = self._counted()
                chunks.append(self._writer.usage(usage.prompt_tokens, usage.completion_tokens))
            self._held = self._face.holds
            if not self._held:
                chunks.append(self._writer.done())
        elif self._begun or chunks:
            chunks.append(error_event(error))
        else:
            for message in error_messages(error, request_id=self._face.request_id):
                self._put(message, 0)
            return
        self._write(chunks, more=self._held)

    def _write(self, chunks: list[bytes], *, more: bool = True) -> None:
        if not self._begun:
            self._begun = True
            self._put(_stream_start(self._face.request_id), 0)
            chunks.insert(self._lead, self._writer.role())
            self._go_on()
        message = {"type": "http.response.body", "body": b"".join(chunks), "more_body": more}
        self._outlet.put(message, self._length)


class CompletionReader(_Reader):
    """Gathers a reply and answers it as one completion.

    Where the end is held that is all of it, so that what it holds counts as sent when the reply is over.
    """

    def __init__(self, face: Face, outlet: Outlet, clock: Clock) -> None:
        super().__init__(face, outlet, clock)
        self._calls: list[CallDelta] = []
        self._extra: dict[str, Any] = {}
        self._held: tuple[Message, ...] = ()
        # How many characters can be heard of what was gathered, and of what has gone out.
        self._heard = 0
        self._length = 0

    @property
    @override
    def sent(self) -> int:
        return self._length

    def read(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Finish):
                if not self._over:
                    self._finish(event)
                self._over = True
                return
            if isinstance(event, Text | Aside):
                self._heard += len(event.text)
            for piece in self._pieces(event):
                if isinstance(piece, str):
                    self._said.append(piece)
                elif isinstance(piece, Extra):
                    self._extra = _merged(self._extra, piece.message)
                else:
                    self._calls.append(self._named(piece))

    def end(self) -> None:
        held, self._held = self._held, ()
        for message in held:
            self._put(message, self._length)

    def _finish(self, finish: Finish) -> None:
        error = _error_of(finish, self._face.options)
        if error is not None:
            self._held = error_messages(error, request_id=self._face.request_id)
            self.end()
            return
        usage = self._counted()
        body = encode_completion(
            id=self.id,
            created=self.created,
            model=self._face.request.model,
            text="".join(self._said),
            calls=self._calls,
            reason=_wire_reason(finish, called=bool(self._calls)),
            usage=usage_object(usage.prompt_tokens, usage.completion_tokens),
            extra=self._extra,
        )
        self._held = json_messages(200, body, request_id=self._face.request_id)
        self._length = self._heard
        self.first_byte = self._clock.monotonic()
        if not self._face.holds:
            self.end()


def _merged(fields: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of a message with more of them: objects under one name become one, the later key wins."""
    both = {name: {**fields[name], **value} for name, value in more.items() if _are_objects(fields.get(name), value)}
    return {**fields, **more, **both}


def _are_objects(one: object, other: object) -> bool:
    return isinstance(one, Mapping) and isinstance(other, Mapping)


def _error_of(finish: Finish, options: Options) -> OffhookError | None:
    """Give the error that the client is told of, None for a reply that ended well, or that told the caller itself."""
    if finish.excused:
        return None
    if finish.reason == "superseded" and options.superseded == "error":
        return Superseded("A newer turn of the call has begun.")
    if finish.reason not in ("failed", "cancelled"):
        return None
    if isinstance(finish.error, OffhookError):
        return finish.error
    return AgentError("The agent failed." if finish.reason == "failed" else "The reply was cancelled.")


def _wire_reason(finish: Finish, *, called: bool) -> str:
    """Give a finish reason that OpenAI knows; a reply with a call ends with ``tool_calls`` unless it was cut."""
    if finish.reason in ("length", "content_filter"):
        return finish.reason
    return "tool_calls" if called else "stop"


def _stream_start(request_id: str) -> Message:
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache, no-transform"),
            # nginx would otherwise gather the stream before it passes it on.
            (b"x-accel-buffering", b"no"),
            (REQUEST_ID, request_id.encode("latin-1")),
        ],
    }
