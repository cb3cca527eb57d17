"""The chat door: one request in, one turn begun, its reply read out while the disconnect is watched for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from typing_extensions import override

from offhook.dialects.base import Arrival, Dialect, Options
from offhook.dialects.choose import choose
from offhook.errors import BodyTooLarge, UnknownModel
from offhook.events import Params, Turn
from offhook.server.door import Door, Visit
from offhook.server.outlet import Outlet
from offhook.server.stream import CompletionReader, Face, StreamReader
from offhook.wire.chat import ChatRequest, decode_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from offhook.agents.base import Agent
    from offhook.clock import Clock
    from offhook.dialects.base import Reading
    from offhook.events import Cancellation
    from offhook.server.auth import Keys
    from offhook.turns.engine import Engine

log = logging.getLogger("offhook.server")

_SUFFIX = "/chat/completions"
# So many different mis-pasted addresses are told of before it is left at that.
_MOST_WARNINGS = 16


class ChatDoor(Door):
    """``POST .../chat/completions``, as raw ASGI: nothing stands between the agent and the client's transport."""

    methods = ("POST",)

    def __init__(
        self,
        *,
        engine: Engine,
        agent: Agent,
        keys: Keys,
        clock: Clock,
        model_ids: Sequence[str] = (),
        dialect: Dialect | None = None,
        options: Mapping[str, Options] | None = None,
        max_body: int = 8 * 1024 * 1024,
    ) -> None:
        super().__init__(keys=keys, clock=clock)
        self._engine = engine
        self._agent = agent
        self._model_ids = frozenset(model_ids)
        self._dialect = dialect
        self._options = dict(options or {})
        self._max_body = max_body
        self._warned: set[str] = set()

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        received = self._clock.monotonic()
        self._warn_of_doubled_path(scope["path"])
        body = await read_body(receive, self._max_body)
        if body is None:
            return
        request = decode_request(body)
        if self._model_ids and request.model not in self._model_ids:
            raise UnknownModel(
                f"The model {request.model!r} does not exist here; there is: {', '.join(sorted(self._model_ids))}. "
                "Correct the ModelId field, or start the server with --model-id.",
                param="model",
            )
        arrival = Arrival(request=request, headers=visit.headers, query=visit.query)
        dialect = choose(arrival, self._dialect)
        reading = dialect.read(arrival)
        face = Face(
            request=request,
            request_id=visit.request_id,
            dialect=dialect,
            options=self._options.get(dialect.name, Options()),
        )
        reader = (StreamReader if request.stream else CompletionReader)(face, Outlet(scope, send), self._clock)
        live = self._engine.begin(
            lambda cancelled: make_turn(request, reading, cancelled),
            self._agent,
            reader,
            request_id=visit.request_id,
            received=received,
        )
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


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """Give the whole body, or None when the client went away in the middle.

    Raises BodyTooLarge when it has more than ``limit`` bytes.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise BodyTooLarge(f"The body is larger than {limit} bytes.")
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def make_turn(request: ChatRequest, reading: Reading, cancelled: Cancellation) -> Turn:
    """Give the turn that a request and what a dialect read from it make."""
    spoken = [message for message in reading.history if message.role == "user"]
    return Turn(
        text=spoken[-1].text if spoken else "",
        cancelled=cancelled,
        call=reading.call,
        id=reading.turn_id,
        history=reading.history,
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
