"""The chat door: one request in, one turn begun, its reply read out while the disconnect is watched for."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from offhook.dialects.base import Arrival, Dialect, Options
from offhook.dialects.choose import choose
from offhook.dialects.kind import kind_of
from offhook.dialects.sources import apply
from offhook.events import Params, Turn
from offhook.server.body import check_content_type, read_body
from offhook.server.door import Door, Visit
from offhook.server.outlet import Outlet
from offhook.server.stream import CompletionReader, Face, StreamReader
from offhook.turns.live import Opening
from offhook.turns.which import Asked, asked_of
from offhook.wire.chat import ChatRequest, decode_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from offhook.clock import Clock
    from offhook.dialects.base import Reading
    from offhook.events import Cancellation, Message
    from offhook.server.auth import Keys
    from offhook.server.directory import Directory
    from offhook.turns.engine import Engine

log = logging.getLogger("offhook.server")

_SUFFIX = "/chat/completions"
# So many different mis-pasted addresses are told of before it is left at that.
_MOST_WARNINGS = 16


class ChatDoor(Door):
    """``POST .../chat/completions``, as raw ASGI: nothing stands between the agent and the client's transport.

    ``memory`` tells where the history of every turn comes from; None leaves it to the dialect.
    """

    methods = ("POST",)

    def __init__(
        self,
        *,
        engine: Engine,
        directory: Directory,
        keys: Keys,
        clock: Clock,
        dialect: Dialect | None = None,
        options: Mapping[str, Options] | None = None,
        max_body: int = 8 * 1024 * 1024,
        memory: Literal["call", "window"] | None = None,
    ) -> None:
        super().__init__(keys=keys, clock=clock)
        self._engine = engine
        self._directory = directory
        self._dialect = dialect
        self._options = dict(options or {})
        self._max_body = max_body
        self._memory = memory
        self._warned: set[str] = set()

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        received = self._clock.monotonic()
        self._warn_of_doubled_path(scope["path"])
        check_content_type(visit.headers)
        body = await read_body(visit.headers, receive, self._max_body)
        if body is None:
            return
        request = decode_request(body)
        agent = self._directory.answering(request.model)
        arrival = Arrival(request=request, headers=visit.headers, query=visit.query)
        dialect = choose(arrival, self._dialect)
        options = self._options.get(dialect.name, Options())
        reading = apply(options, arrival, dialect.read(arrival))
        face = Face(
            request=request, request_id=visit.request_id, dialect=dialect, options=options, holds=self._engine.recorded
        )
        reader = (StreamReader if request.stream else CompletionReader)(face, Outlet(scope, send), self._clock)
        opening = Opening(
            partial(make_turn, request, reading),
            request_id=visit.request_id,
            received=received,
            call=reading.call,
            window=reading.history,
            asked=_asked(request, reading),
            memory=(self._memory or dialect.memory) == "call",
            grace=options.cancel_grace,
        )
        live = await self._engine.begin(opening, agent, reader)
        try:
            # The agent starts only when this task waits: a client that has already gone never starts it.
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._engine.leave(live, reader)

    def _warn_of_doubled_path(self, path: str) -> None:
        if path.count(_SUFFIX) < 2 or path in self._warned or len(self._warned) >= _MOST_WARNINGS:
            return
        self._warned.add(path)
        log.warning(
            "a request came to %r: the base URL in the workflow's LLM node already ends in %s, which the platform "
            "appends by itself; set the base URL to one that ends in %r",
            path,
            _SUFFIX,
            path[: path.index(_SUFFIX)] or "the host",
        )


def _asked(request: ChatRequest, reading: Reading) -> Asked | None:
    """Give what is compared of a request; None where nothing can be, for want of a call id."""
    if reading.call.id is None:
        return None
    return asked_of(reading.history, model=request.model, turn_id=reading.turn_id, stream=bool(request.stream))


def make_turn(
    request: ChatRequest,
    reading: Reading,
    cancelled: Cancellation,
    history: tuple[Message, ...],
    state: dict[str, Any],
) -> Turn:
    """Give the turn that a request and what a dialect read from it make, with what its call remembers."""
    kind, text = kind_of(reading.history)
    return Turn(
        kind=kind,
        text=text,
        cancelled=cancelled,
        call=reading.call,
        id=reading.turn_id,
        history=history,
        window=reading.history,
        state=state,
        model=request.model,
        params=Params(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_completion_tokens or request.max_tokens,
            stop=request.stop,
            seed=request.seed,
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
        ),
        tools=tuple(request.tools or ()),
        body=request.body,
    )
