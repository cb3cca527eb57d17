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
from offhook.errors import Overloaded, TooMany
from offhook.events import Params, Turn
from offhook.observe.context import passed_on
from offhook.server.admission import enter_or_gone
from offhook.server.body import check_content_type, read_body
from offhook.server.door import Door, Visit
from offhook.server.outlet import Outlet
from offhook.server.refused import Refusal
from offhook.server.stream import CompletionReader, Face, StreamReader
from offhook.turns.call import key_of
from offhook.turns.live import Opening
from offhook.turns.sound import Manner
from offhook.turns.which import Asked, asked_of
from offhook.wire.chat import ChatRequest, decode_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from offhook.agents.base import Agent
    from offhook.clock import Clock
    from offhook.dialects.base import Reading
    from offhook.events import Cancellation, Message
    from offhook.server.admission import Admission
    from offhook.server.auth import Keys
    from offhook.server.directory import Directory
    from offhook.turns.calls import Calls
    from offhook.turns.engine import Engine
    from offhook.turns.live import LiveTurn

log = logging.getLogger("offhook.server")

_SUFFIX = "/chat/completions"
# So many different mis-pasted addresses are told of before it is left at that.
_MOST_WARNINGS = 16


class ChatDoor(Door):
    """``POST .../chat/completions``, as raw ASGI: nothing is between the agent and the client's transport.

    ``slow_reader`` is in seconds, see ``Outlet``. ``memory`` tells where the history of every turn comes from,
    ``language`` what is spoken where nobody has said a word yet; None leaves either to the dialect.
    """

    methods = ("POST",)

    def __init__(
        self,
        *,
        engine: Engine,
        calls: Calls,
        admission: Admission,
        directory: Directory,
        keys: Keys,
        clock: Clock,
        dialect: Dialect | None = None,
        options: Mapping[str, Options] | None = None,
        max_body: int = 8 * 1024 * 1024,
        memory: Literal["call", "window"] | None = None,
        language: str | None = None,
        slow_reader: float = 30.0,
    ) -> None:
        super().__init__(keys=keys, clock=clock)
        self._engine = engine
        self._calls = calls
        self._admission = admission
        self._directory = directory
        self._dialect = dialect
        self._options = dict(options or {})
        self._max_body = max_body
        self._memory = memory
        self._language = language
        self._slow_reader = slow_reader
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
        outlet = Outlet(scope, send, clock=self._clock, patience=self._slow_reader)
        reader = (StreamReader if request.stream else CompletionReader)(face, outlet, self._clock)
        manner = manner_of(dialect, options, whole=not request.stream, language=self._language)
        opening = Opening(
            partial(make_turn, request, reading, manner),
            request_id=visit.request_id,
            received=received,
            call=reading.call,
            window=reading.history,
            asked=_asked(request, reading),
            memory=(self._memory or dialect.memory) == "call",
            grace=options.cancel_grace,
            manner=manner,
            trace=passed_on(visit.headers),
            model=request.model,
            turn_id=reading.turn_id,
            call_key=key_of(reading.call.id, visit.owner.tenant),
        )
        live = await self._begin(opening, agent, reader, visit, receive)
        if live is None:
            return
        try:
            # The agent starts only when this task waits: a client that has already gone never starts it.
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._engine.leave(live, reader)

    async def _begin(
        self, opening: Opening, agent: Agent, reader: StreamReader | CompletionReader, visit: Visit, receive: Receive
    ) -> LiveTurn | None:
        """Begin a turn once there is a place for it; None when the client has left while it waited.

        What is refused is said in words where only a voice is on the other end, otherwise TooMany or Overloaded is
        raised. In a call that goes on the engine sees it first: a retry of a turn that was let in is not refused.
        """
        going_on = self._calls.goes_on(opening.call_key)
        try:
            place = await enter_or_gone(self._admission, receive, visit.owner, opening.call_key, going_on=going_on)
        except (TooMany, Overloaded) as error:
            if not await self._admission.hold_back(receive, visit.owner, opening.call_key if going_on else None):
                return None
            if not going_on and not opening.manner.telephone:
                raise
            opening.refused = True
            return await self._engine.begin(opening, Refusal(error, self.on_refused), reader, going_on=going_on)
        if place is None:
            return None
        opening.on_over = place.leave
        try:
            live = await self._engine.begin(opening, agent, reader)
        except BaseException:
            place.give_back()
            raise
        if live.task is None or live.request_id != opening.request_id:
            # A retry is no turn of its own.
            place.give_back()
        return live

    def _warn_of_doubled_path(self, path: str) -> None:
        if path.count(_SUFFIX) < 2 or path in self._warned or len(self._warned) >= _MOST_WARNINGS:
            return
        self._warned.add(path)
        log.warning(
            "a request came to %(path)r: the base URL in the workflow's LLM node already ends in %(suffix)s, which the "
            "platform appends by itself; set the base URL to one that ends in %(base)r",
            {"path": path, "suffix": _SUFFIX, "base": path[: path.index(_SUFFIX)] or "the host"},
        )


def _asked(request: ChatRequest, reading: Reading) -> Asked | None:
    """Give what is compared of a request; None where nothing can be, for want of a call id."""
    if reading.call.id is None:
        return None
    return asked_of(reading.history, model=request.model, turn_id=reading.turn_id, stream=bool(request.stream))


def manner_of(dialect: Dialect, options: Options, *, whole: bool, language: str | None) -> Manner:
    """Give how the house speaks on a platform: as the options say, and otherwise as the dialect does."""
    return Manner(
        telephone=dialect.telephone if options.telephone is None else options.telephone,
        fillers=dialect.fillers if options.fillers is None else options.fillers,
        speculative=dialect.speculative if options.speculative is None else options.speculative,
        whole=whole,
        language=options.language or language or dialect.language,
        tags=dialect.tags,
    )


def make_turn(
    request: ChatRequest,
    reading: Reading,
    manner: Manner,
    cancelled: Cancellation,
    history: tuple[Message, ...],
    state: dict[str, Any],
    *,
    uid: str = "",
    call_uid: str = "",
    key: str = "",
    trace: Mapping[str, str] | None = None,
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
        trace=trace,
        uid=uid,
        call_uid=call_uid,
        key=key,
        language=manner.language,
        speculative=manner.speculative,
    )
