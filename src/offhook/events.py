"""The vocabulary of a turn: what an agent is given and what it gives back.

An agent is given a ``Turn`` and gives events: ``Text``, ``ToolCall``, ``Command``, ``Usage``. The engine adds
``Aside`` and the last one, ``Finish``; the other kinds are recorded and never sent. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias

import msgspec
from typing_extensions import override

from offhook.speech.language import language_of

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "cancelled", "superseded", "failed"]


# What made the platform ask: see ``dialects/kind.py`` for the table.
Kind: TypeAlias = Literal["utterance", "wake_up", "silence", "tool_result", "injected"]


# ``gc=False`` here and in the records: no cycle goes through them, and thousands of calls hold very many. A full
# collection, which stops every call, takes a quarter of the time without them.
class Text(msgspec.Struct, frozen=True, gc=False, tag="text"):
    """A piece of what is said to the caller."""

    text: str


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A whole call of a function by the model; ``arguments`` is a JSON text, ``id`` may be left empty."""

    name: str
    arguments: str = "{}"
    id: str = ""


class Aside(msgspec.Struct, frozen=True, gc=False, tag="aside"):
    """A phrase of the house's own that is said to the caller and is no part of the conversation.

    ``why``: a ``filler`` while there is nothing else to say, the ``apology`` of a turn that failed, or the ``closing``
    of one that broke off after its first word.
    """

    text: str
    why: Literal["filler", "apology", "closing"]


CommandName: TypeAlias = Literal["hangup", "transfer", "protect", "say_to_app"]


class Command(msgspec.Struct, frozen=True, tag="command"):
    """An order to the platform; the dialect writes it in the platform's own way.

    ``hangup`` ends the telephone call and ``transfer`` connects the caller to the number ``to``, both once what was
    said is spoken; ``protect`` keeps the caller from interrupting this reply, ``say_to_app`` sends ``data`` to the
    app at the other end. ``text`` is said to the caller before a hangup or a transfer, ``failed`` when the transfer
    fails, where the platform can do that.
    """

    name: CommandName
    to: str = ""
    text: str = ""
    failed: str = ""
    data: Mapping[str, Any] = {}

    @property
    def ends(self) -> bool:
        """Tell whether the platform takes the call out of the agent's hands by it."""
        return self.name in ("hangup", "transfer")


class Usage(msgspec.Struct, frozen=True, tag="usage"):
    """Tokens that the turn took, as the model service counted them."""

    prompt_tokens: int
    completion_tokens: int


class Attempt(msgspec.Struct, frozen=True, tag="attempt"):
    """A try at a model service has begun: its name, and the model asked for. It is recorded and never sent.

    ``number`` counts the attempts of the turn from 1, ``round`` its model requests (more than one with tools);
    ``hedge`` tells that another attempt was running beside which it began.
    """

    upstream: str
    model: str
    number: int = 1
    round: int = 1
    hedge: bool = False


Outcome: TypeAlias = Literal["answered", "failed", "slow", "beaten", "cancelled"]


class AttemptEnded(msgspec.Struct, frozen=True, tag="attempt_ended"):
    """How an attempt ended. It is recorded and never sent.

    ``outcome``: ``answered`` (the model request is answered by it), ``failed`` (with the error's ``code``), ``slow``
    (nothing useful by its deadline), ``beaten`` (another's first useful event came sooner), ``cancelled`` (its turn
    ended while it ran). ``seconds`` is how long it
    ran, ``first_useful`` when its first useful event came, both from its beginning. Tokens are the service's own count,
    or an estimate where it gave none (``estimated``); ``cost`` is in the currency of the upstream's price, else None.
    ``at`` is when it began, in seconds since the turn's request was received.
    """

    number: int
    upstream: str
    outcome: Outcome
    seconds: float
    first_useful: float | None = None
    code: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    cost: float | None = None
    at: float = 0.0


class ToolRun(msgspec.Struct, frozen=True, tag="tool_run"):
    """A tool was run here for the model. It is recorded and never sent.

    ``outcome``: ``ok``, ``failed`` (it raised, named by ``code``), ``timeout``, ``refused`` (no such tool, bad
    arguments), ``unknown`` (a side effect was begun before, and nobody knows how it ended), ``again`` (a side effect of
    this turn was done before, and its result was given again). ``at`` is when it began, in seconds since the turn's
    request was received.
    """

    name: str
    arguments: str
    outcome: Literal["ok", "failed", "timeout", "refused", "unknown", "again"]
    seconds: float
    id: str = ""
    code: str | None = None
    at: float = 0.0


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """What the agent asked for and the platform does not take was left out. It is recorded and never sent.

    ``what`` is a command such as ``hangup``, or ``call of NAME``; ``why`` names the platform's own way.
    """

    what: str
    why: str


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """The last event of a reply. ``error`` is set when the reason is ``failed``.

    ``excused`` tells that an ``Aside`` before it has told the caller, so that the client sees a reply that ends well.
    """

    reason: FinishReason = "stop"
    error: Exception | None = None
    excused: bool = False


Event: TypeAlias = Text | Aside | ToolCall | Command | Usage | Attempt | AttemptEnded | ToolRun | Refused | Finish


class Message(msgspec.Struct, frozen=True, gc=False):
    """One record of the conversation as the platform sent it.

    ``role`` is kept as it came (``user``, ``assistant``, ``system``, ``tool``, but also ``plugin``, ``function``
    or ``developer``). ``fields`` is the whole message object. ``interrupted`` says that the platform
    marked this assistant message as cut off by the caller; then ``heard`` is how many characters of ``text`` had been
    spoken, None where that was not said.
    """

    role: str
    text: str
    fields: Mapping[str, Any] = {}
    interrupted: bool = False
    heard: int | None = None


class CallContext(msgspec.Struct, frozen=True, gc=False):
    """Who is on the line. Every field is None where the platform did not say.

    ``user_data`` is the parsed ``user_data_raw`` when that is a JSON text, otherwise the same string.
    ``query`` holds the parameters of the request's URL without the key, ``headers`` those in which the platform says
    more, by their names in lower case.
    """

    id: str | None = None
    room: str | None = None
    caller: str | None = None
    callee: str | None = None
    user_data: Any = None
    user_data_raw: str | None = None
    platform: str = "plain"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


class Params(msgspec.Struct, frozen=True):
    """Sampling parameters of the request; None where the client did not say (OpenAI chat completions)."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Cancellation(Protocol):
    """Says whether the turn was cancelled: the platform disconnected, or the server stops.

    An async agent need not look: its task is cancelled. A plain function may, from its own thread.
    """

    def is_set(self) -> bool:
        """Tell whether the turn was cancelled; safe in any thread."""

    async def wait(self) -> None:
        """Return when the turn is cancelled."""


class OpenCall:
    """A call as ``on_call_start`` and ``on_call_end`` are given it.

    ``state`` is what the call's turns see as ``turn.state``. ``ended_by`` is None at the start, then ``command``,
    ``idle``, ``callback`` or ``disconnect``. ``hung_up_by`` (``agent``, ``caller`` or ``system``) and ``duration``, in
    seconds, are what the platform reported of the end by then, None where it did not.
    """

    __slots__ = ("context", "duration", "ended_by", "hung_up_by", "state")

    def __init__(
        self,
        context: CallContext,
        state: dict[str, Any],
        ended_by: str | None = None,
        *,
        hung_up_by: str | None = None,
        duration: float | None = None,
    ) -> None:
        self.context = context
        self.state = state
        self.ended_by = ended_by
        self.hung_up_by = hung_up_by
        self.duration = duration

    @property
    def id(self) -> str | None:
        """The call's id."""
        return self.context.id

    @override
    def __repr__(self) -> str:
        return f"<OpenCall id={self.id!r} platform={self.context.platform!r} ended_by={self.ended_by!r}>"


class Turn:
    """One utterance of the caller, and all that is known about it.

    ``id`` names the utterance within the call (``sentenceId``), None where the platform sends none.
    ``kind`` tells what made the platform ask, and ``text`` is, for an utterance, what the caller said (for the
    other kinds see ``dialects/kind.py``). ``history`` holds the conversation, oldest first, the last message included:
    as the call remembers it, or as the platform sent it (``docs/memory.md``); ``window`` is what the platform sent.
    ``state`` is the agent's own: a dictionary of what JSON can hold, kept with the call from turn to turn.
    ``tools`` are the request's tool definitions; ``body`` is the request as it came, unknown fields included.
    ``trace`` holds the W3C Trace Context headers (``traceparent``, ``tracestate``) to send on to what the agent asks;
    it is empty where nobody traces. ``language`` is the caller's (``zh``, ``en``, ...), as far as what was said
    tells. ``speculative`` tells that the platform asks before it knows that the caller has finished: what cannot be
    undone is better not done at once. ``uid`` names the turn in the records, ``call_uid`` its call; ``key`` is the same
    when the platform asks for the turn once more.
    """

    __slots__ = (
        "_language",
        "_refuses",
        "_state",
        "body",
        "call",
        "call_uid",
        "cancelled",
        "history",
        "id",
        "key",
        "kind",
        "model",
        "params",
        "speculative",
        "text",
        "tools",
        "trace",
        "uid",
        "window",
    )

    def __init__(
        self,
        *,
        text: str,
        cancelled: Cancellation,
        call: CallContext | None = None,
        id: str | None = None,
        kind: Kind = "utterance",
        history: tuple[Message, ...] = (),
        window: tuple[Message, ...] | None = None,
        state: dict[str, Any] | None = None,
        model: str = "",
        params: Params | None = None,
        tools: tuple[Mapping[str, Any], ...] = (),
        body: Mapping[str, Any] | None = None,
        trace: Mapping[str, str] | None = None,
        uid: str = "",
        call_uid: str = "",
        key: str = "",
        language: str = "en",
        speculative: bool = False,
        refuses: Callable[[CommandName], str | None] = lambda name: None,
    ) -> None:
        self.text = text
        self.cancelled = cancelled
        self.call = call or CallContext()
        self.id = id
        self.kind = kind
        self.history = history
        self.window = history if window is None else window
        self._state = {} if state is None else state
        self.model = model
        self.params = params or Params()
        self.tools = tools
        self.body = body or {}
        self.trace = trace or {}
        self.uid = uid
        self.call_uid = call_uid
        self.key = key
        self.speculative = speculative
        self._language = language
        self._refuses = refuses

    @property
    def language(self) -> str:
        """The language that the caller spoke last; the platform's where no word of his is known."""
        said = (message.text for message in reversed(self.window) if message.role == "user")
        return language_of(self.text) or next(filter(None, map(language_of, said)), None) or self._language

    @property
    def state(self) -> dict[str, Any]:
        """What the agent keeps of the call; another one may be put in its place."""
        return self._state

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        kept = dict(state)
        self._state.clear()
        self._state.update(kept)

    def hangup(self, text: str = "") -> Command:
        """Give the event that ends the telephone call once what was said so far, and ``text``, has been spoken."""
        return Command("hangup", text=text)

    def transfer(self, number: str, text: str = "", *, failed: str = "") -> Command:
        """Give the event that connects the caller to ``number`` once what was said so far, and ``text``, is spoken.

        ``failed`` is said when that fails, where the platform can do so.
        """
        return Command("transfer", to=number, text=text, failed=failed)

    def protect(self) -> Command:
        """Give the event that keeps the caller from interrupting this reply; it stands before the first word."""
        return Command("protect")

    def say_to_app(self, data: Mapping[str, Any]) -> Command:
        """Give the event that sends ``data``, of what JSON can hold, to the app at the other end; nobody hears it."""
        return Command("say_to_app", data=data)

    def can(self, name: CommandName) -> bool:
        """Tell whether this platform takes the command; one that it does not take is left out, with a warning."""
        return self._refuses(name) is None

    @override
    def __repr__(self) -> str:
        # Nothing that the caller said, and no number: a Turn ends up in tracebacks.
        return f"<Turn call={self.call.id!r} id={self.id!r} platform={self.call.platform!r}>"
