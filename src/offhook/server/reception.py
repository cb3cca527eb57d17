"""The reception: from a request and what its door knows of it to a turn that runs. Every door leads here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from offhook.agents.base import Agent
from offhook.dialects.base import Arrival, Delivery, Dialect, Options
from offhook.dialects.kind import kind_of
from offhook.dialects.sources import apply
from offhook.errors import Overloaded, Stopping, TooMany
from offhook.events import Params, Turn
from offhook.observe.context import passed_on
from offhook.server.admission import enter_or_gone
from offhook.server.auth import Owner
from offhook.server.refused import Refusal
from offhook.server.speech import SpeechBook
from offhook.server.stream import Face
from offhook.turns.call import key_of
from offhook.turns.live import Opening
from offhook.turns.sound import Manner
from offhook.turns.which import Asked, asked_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive

    from offhook.dialects.base import Reading
    from offhook.events import Cancellation, Message
    from offhook.server.admission import Admission
    from offhook.server.directory import Directory
    from offhook.speech.rules import Speech
    from offhook.turns.calls import Calls
    from offhook.turns.engine import Engine
    from offhook.turns.live import LiveTurn
    from offhook.turns.reply import Reader
    from offhook.wire.chat import ChatRequest


# Clients say what functions they offer: so many different ways of that are kept.
_MOST_MANNERS = 256
_NO_OPTIONS = Options()


class Guest(msgspec.Struct, frozen=True):
    """A request that came in by a door: whose it is, its id, and the clock's monotonic time of it in seconds."""

    arrival: Arrival
    dialect: Dialect
    owner: Owner
    request_id: str
    received: float


class Prepared(msgspec.Struct, frozen=True):
    """A guest's turn before it begins: how it is opened, who answers, and how the reply looks from outside."""

    opening: Opening
    agent: Agent
    face: Face
    owner: Owner


class Reception:
    """Lets turns in, whatever they came by: the same agents, memory, limits, speech and records.

    ``options`` are those of each dialect by its name. ``memory`` tells where the history of every turn comes from,
    ``language`` what is spoken where nobody has said a word yet; None leaves either to the dialect.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        calls: Calls,
        admission: Admission,
        directory: Directory,
        options: Mapping[str, Options] | None = None,
        memory: Literal["call", "window"] | None = None,
        language: str | None = None,
        speech: SpeechBook | None = None,
    ) -> None:
        self._engine = engine
        self._calls = calls
        self._admission = admission
        self.directory = directory
        self._options = dict(options or {})
        # By what they are made of: all but a few requests share one.
        self._manners: dict[tuple[str, frozenset[str], bool, Speech], Manner] = {}
        self._memory = memory
        self._language = language
        self._speech = speech or SpeechBook()

    @property
    def stopping(self) -> bool:
        """Tell whether no new turns are taken any more."""
        return self._engine.stopping

    def refuse_when_stopping(self) -> None:
        """Return while new turns are taken. Raises Stopping afterwards."""
        if self._engine.stopping:
            raise Stopping("The server is going down; try another one.")

    def options(self, dialect: Dialect) -> Options:
        """Give the options of a dialect."""
        return self._options.get(dialect.name, _NO_OPTIONS)

    def prepare(self, guest: Guest) -> Prepared:
        """Give what a guest's request is to become. Raises UnknownModel when nobody answers for its model."""
        arrival, dialect = guest.arrival, guest.dialect
        request = arrival.request
        agent = self.directory.answering(request.model)
        options = self.options(dialect)
        reading = apply(options, arrival, dialect.read(arrival))
        face = Face(
            request=request,
            request_id=guest.request_id,
            dialect=dialect,
            options=options,
            holds=self._engine.recorded,
            offered=arrival.offered,
        )
        speech = self._speech.of(options, guest.owner.speech, request)
        manner = self._manner(dialect, face, speech)
        opening = Opening(
            partial(make_turn, request, reading, manner),
            request_id=guest.request_id,
            received=guest.received,
            call=reading.call,
            window=reading.history,
            asked=_asked(request, reading, ordered=ordered_of(dialect, options)),
            memory=(self._memory or dialect.memory) == "call",
            grace=dialect.cancel_grace if options.cancel_grace is None else options.cancel_grace,
            manner=manner,
            trace=passed_on(arrival.headers),
            model=request.model,
            turn_id=reading.turn_id,
            call_key=key_of(reading.call.id, guest.owner.tenant),
        )
        return Prepared(opening, agent, face, guest.owner)

    def _manner(self, dialect: Dialect, face: Face, speech: Speech) -> Manner:
        made_of = (dialect.name, face.offered, bool(face.request.stream), speech)
        manner = self._manners.get(made_of)
        if manner is None:
            if len(self._manners) >= _MOST_MANNERS:
                self._manners.clear()
            manner = self._manners[made_of] = manner_of(dialect, face, speech=speech, language=self._language)
        return manner

    async def begin(
        self, prepared: Prepared, reader: Reader, receive: Receive, on_refused: Callable[[str | None], None]
    ) -> LiveTurn | None:
        """Begin a turn once there is room for it; None when the client has left while it waited.

        What is refused is said in words where only a voice is on the other end, otherwise TooMany or Overloaded is
        raised; ``on_refused`` is then given its code. In a call that goes on the engine sees it first: a retry of a
        turn that was let in is not refused. Raises Stopping when the server is going down.
        """
        opening, owner = prepared.opening, prepared.owner
        going_on = self._calls.goes_on(opening.call_key)
        try:
            room = await enter_or_gone(self._admission, receive, owner, opening.call_key, going_on=going_on)
        except (TooMany, Overloaded) as error:
            if not await self._admission.hold_back(receive, owner, opening.call_key if going_on else None):
                return None
            if not going_on and not opening.manner.telephone:
                raise
            opening.refused = True
            return await self._engine.begin(opening, Refusal(error, on_refused), reader, going_on=going_on)
        if room is None:
            return None
        opening.on_over = room.leave
        try:
            live = await self._engine.begin(opening, prepared.agent, reader)
        except BaseException:
            room.give_back()
            raise
        if live.task is None or live.on_over is not opening.on_over:
            # A retry is no turn of its own; its request id may be that of the turn which it joined.
            room.give_back()
        return live

    def leave(self, live: LiveTurn, reader: Reader) -> None:
        """Let a reader go, see ``Engine.leave``."""
        self._engine.leave(live, reader)

    def heard(self, live: LiveTurn, heard: int) -> None:
        """Take how many characters of a turn's reply were spoken."""
        self._calls.note_heard(live, heard)

    def goes_on(self, call_id: str | None, owner: Owner) -> bool:
        """Tell whether an earlier turn of a call was served, and it has not ended."""
        return self._calls.goes_on(key_of(call_id, owner.tenant))

    def end_call(self, key: str | None, by: str) -> None:
        """End the call that is held under a key, as its door knows; one that is not live here stays as it is."""
        if key is not None:
            self._calls.end(key, by)


def _asked(request: ChatRequest, reading: Reading, *, ordered: bool) -> Asked | None:
    """Give what is compared of a request; None where nothing can be, for want of a call id."""
    if reading.call.id is None:
        return None
    stream = bool(request.stream)
    return asked_of(reading.history, model=request.model, turn_id=reading.turn_id, stream=stream, ordered=ordered)


def ordered_of(dialect: Dialect, options: Options) -> bool:
    """Tell whether turn ids are counted: as the options say, else as the dialect does of the platform's own ids."""
    return options.turn_id is None and dialect.ordered if options.ordered is None else options.ordered


def manner_of(dialect: Dialect, face: Face, *, speech: Speech, language: str | None) -> Manner:
    """Give how the house speaks on a platform: as the options say, and otherwise as the dialect does."""
    options = face.options
    # Nothing has gone out, and something has.
    fresh = Delivery(options, face.offered, whole=not face.request.stream)
    deliveries = (fresh, msgspec.structs.replace(fresh, begun=True))
    return Manner(
        telephone=dialect.telephone if options.telephone is None else options.telephone,
        fillers=dialect.fillers if options.fillers is None else options.fillers,
        speculative=dialect.speculative if options.speculative is None else options.speculative,
        whole=not face.request.stream,
        language=options.language or language or dialect.language,
        tags=dialect.tags,
        speech=speech,
        sentences=dialect.pieces == "sentences" if speech.sentences is None else speech.sentences,
        refuses=lambda name, begun: dialect.refuses(name, deliveries[begun]),
        refuses_call=lambda function: dialect.refuses_call(function, fresh),
        refuses_number=dialect.refuses_number,
        speaks=dialect.speaks(options),
        platform=dialect.name,
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
    kind, text = kind_of(reading.history, reading.kind)
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
            max_tokens=request.max_completion_tokens or request.max_tokens or reading.max_tokens,
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
        refuses=lambda name: manner.refuses(name, False),
    )
