"""What a dialect is: two pure functions and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from offhook.events import Aside, CallContext, Command, CommandName, Event, Kind, Message, Text, ToolCall
from offhook.wire.chat import CallDelta, ChatRequest, encode_value, text_of


class Extra(msgspec.Struct, frozen=True):
    """A chunk of a platform's own: ``chunk`` holds its fields beside ``id``, ``created`` and ``model``.

    ``message`` are the fields that the message of a whole completion has instead, where nothing is streamed.
    """

    chunk: Mapping[str, Any]
    message: Mapping[str, Any] = {}


# What is written to the stream for an event: text, a whole tool call, or a chunk of the platform's own.
Piece: TypeAlias = str | CallDelta | Extra

# Query parameters that hold a key; never shown, kept or handed to an agent.
KEY_PARAMETERS = frozenset({"api-key", "api_key", "key", "token", "access_token"})


class Arrival(msgspec.Struct, frozen=True):
    """A request as it arrived: header names in lower case, the last of a repeated query parameter, the URL's path."""

    request: ChatRequest
    headers: Mapping[str, str]
    query: Mapping[str, str]
    path: str = ""

    @property
    def offered(self) -> frozenset[str]:
        """The names of the functions that the request offers in ``tools``."""
        functions = (tool.get("function") for tool in self.request.tools or ())
        names = (one.get("name") for one in functions if isinstance(one, Mapping))
        return frozenset(name for name in names if isinstance(name, str))


class Reading(msgspec.Struct, frozen=True):
    """What a dialect read from a request.

    ``kind`` is what made the platform ask, where it says so itself; ``max_tokens`` is the limit where the platform has
    a name of its own for it.
    """

    call: CallContext
    turn_id: str | None
    history: tuple[Message, ...]
    kind: Kind | None = None
    max_tokens: int | None = None


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one dialect, ``[dialect.NAME]`` in offhook.toml.

    ``hangup_function`` is the function name that the platform takes for hanging up (``MatchFunction`` of the workflow's
    ``FunctionMap``). The others name where an id comes from, such as ``header:X-Call``, ``query:session_id`` or
    ``body:custom.id`` (see ``dialects/sources.py``); that wins over what the platform sends. ``cancel_grace`` is how
    many seconds a turn of which nothing was said yet goes on after a disconnect, for platforms that retry; without it
    the dialect says so. ``superseded`` is how the reply that a newer turn ends looks to the platform: whole, or broken
    off by an error. ``transfer_function`` is the function name for a transfer; without either the dialect knows it.
    ``hangup_as`` is how a hang-up is written where the platform knows two ways: a ``call`` of that function, or a
    ``tag`` in the text. ``telephone``, ``fillers``, ``speculative`` and ``language`` win over what the dialect says of
    the platform, see ``Dialect``. ``speech`` is what is done to the text before it is spoken, as the setting of that
    name. ``ordered`` tells that turn ids are counted, see ``Dialect``; without it they are where the platform's own do.
    ``transfer_caller`` is the number that a transfer is made from, where the platform can be told. ``begin`` has
    the agent speak first, and ``auth_token`` is the secret that the platform signs its requests with, both where it
    comes by a WebSocket.
    """

    hangup_function: str | None = None
    hangup_as: Literal["call", "tag"] = "call"
    transfer_function: str | None = None
    telephone: bool | None = None
    fillers: bool | None = None
    speculative: bool | None = None
    language: str | None = None
    transfer_caller: str | None = None
    cancel_grace: Annotated[float, Meta(ge=0)] | None = None
    superseded: Literal["stop", "error"] = "stop"
    ordered: bool | None = None
    call_id: str | None = None
    turn_id: str | None = None
    room: str | None = None
    caller: str | None = None
    callee: str | None = None
    user_data: str | None = None
    speech: str | None = None
    begin: bool = False
    auth_token: str | None = None


class Delivery(msgspec.Struct, frozen=True):
    """What a dialect knows of the reply that it writes.

    ``offered`` names the functions that the request offers; ``begun`` tells that something has gone out already,
    ``whole`` that the reply goes out as one, and not as a stream.
    """

    options: Options = Options()
    offered: frozenset[str] = frozenset()
    begun: bool = False
    whole: bool = False


def takes_call(function: str, delivery: Delivery) -> str | None:
    """Tell that the platform takes a call of any function."""
    return None


def takes_number(number: str) -> str | None:
    """Tell that the platform takes any number that a caller is to be connected to."""
    return None


def speaks_nothing(options: Options) -> frozenset[CommandName]:
    """Tell that the words of a command are said as any others, before it."""
    return frozenset()


def refuse_openai(name: CommandName, delivery: Delivery) -> str | None:
    """Give why plain OpenAI has no such command, None for those that are tool calls."""
    match name:
        case "protect":
            return "plain OpenAI has no way to keep a reply from being interrupted; set it on the platform"
        case "say_to_app":
            return "plain OpenAI has no side channel to an app; send it from the agent by other means"
    return None


class Dialect(msgspec.Struct, frozen=True):
    """One platform. ``marks`` tells whether a request is this platform's, from its body, headers or query.

    ``memory`` is where the history comes from when nothing else is set: the ``window`` where the platform sends all.
    ``telephone`` tells that only a voice is on the other end: what fails there is told in words. ``fillers`` tells that
    the platform has fillers of its own, ``speculative`` that it asks before it knows that the caller has finished.
    ``language`` is that of the house's phrases where the caller's cannot be told. ``cancel_grace`` is how many seconds
    a turn of which nothing was said yet waits for the platform's retry after a disconnect. ``tags`` matches, in any
    case, the beginning of what the platform takes for a command when it stands in a text, such as ``<imsagent_hangup``.

    ``write`` gives what goes out for an event; it is given no command that ``refuses`` gives a reason against, a
    sentence without a full stop that names the platform's own way. In the same manner ``refuses_call`` gives why an
    agent's call of a function is not written, and ``refuses_number`` why nobody can be connected to such a number.
    ``speaks`` names the commands whose words the platform says itself, so that they stay in the command. ``pieces`` is
    how the platform wants the text: as ``tokens``, as soon as they are there, or in ``sentences``. ``doubles_path``
    tells that it appends ``/chat/completions`` even to a base URL that ends in it, so that nobody has to be told of a
    slip. ``ordered`` tells that turn ids are numbers which grow from turn to turn; otherwise they are names. ``door``
    is where the platform comes in: with chat completions, or by a WebSocket of its own. ``hangups`` are the values of
    ``hangup_as`` that it knows a way for.
    """

    name: str
    marks: Callable[[Arrival], bool]
    read: Callable[[Arrival], Reading]
    write: Callable[[Event, Delivery], tuple[Piece, ...]]
    refuses: Callable[[CommandName, Delivery], str | None] = refuse_openai
    refuses_call: Callable[[str, Delivery], str | None] = takes_call
    refuses_number: Callable[[str], str | None] = takes_number
    speaks: Callable[[Options], frozenset[CommandName]] = speaks_nothing
    pieces: Literal["tokens", "sentences"] = "tokens"
    memory: Literal["call", "window"] = "window"
    telephone: bool = False
    fillers: bool = False
    speculative: bool = False
    language: str = "en"
    cancel_grace: float = 0.0
    tags: tuple[str, ...] = ()
    doubles_path: bool = False
    ordered: bool = False
    door: Literal["http", "socket"] = "http"
    hangups: frozenset[Literal["call", "tag"]] = frozenset(("call",))


def write_openai(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write an event as plain OpenAI has it; the hang-up is a tool call without arguments."""
    options = delivery.options
    if isinstance(event, Text | Aside):
        return (event.text,) if event.text else ()
    if isinstance(event, ToolCall):
        return (CallDelta(name=event.name, arguments=event.arguments or "{}", id=event.id),)
    if isinstance(event, Command) and event.name == "hangup":
        return (CallDelta(name=options.hangup_function or "hangup", arguments="{}", id=""),)
    if isinstance(event, Command) and event.name == "transfer":
        arguments = encode_value({"number": event.to}).decode()
        return (CallDelta(name=options.transfer_function or "transfer", arguments=arguments, id=""),)
    return ()


def read_history(request: ChatRequest) -> tuple[Message, ...]:
    """Give the messages as the vocabulary has them, every field kept."""
    return tuple(
        Message(role=message.role, text=text_of(message.content), fields=fields)
        for message, fields in zip(request.messages, request.body["messages"], strict=True)
    )


def read_query(query: Mapping[str, str]) -> dict[str, str]:
    """Give the query parameters without the key."""
    return {name: value for name, value in query.items() if name.lower() not in KEY_PARAMETERS}


def read_id(value: object) -> str | None:
    """Give an id as text, so that ``3`` and ``"3"`` are one; None for null, true, false, and what is blank or empty."""
    if value is None or isinstance(value, bool) or value in ({}, []):
        return None
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return read_text(value) or None


def read_header(arrival: Arrival, name: str) -> str | None:
    """Give a header's value, which is read as Latin-1, as the UTF-8 that it mostly is; None where it is absent."""
    value = arrival.headers.get(name.lower())
    if value is None or value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def read_text(value: object) -> str:
    """Give a string as it is, anything else as its JSON text; what is nested too deeply for that is empty."""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return ""


def read_user_data(value: object) -> tuple[Any, str | None]:
    """Give user data parsed, and as the text that it came as or that it makes; None twice for null."""
    raw = None if value is None else read_text(value)
    return parse_user_data(raw), raw


def read_object(value: object) -> Mapping[str, Any]:
    """Give an object, or the one whose JSON text this is; an empty one for anything else."""
    if isinstance(value, str):
        value = parse_user_data(value)
    return value if isinstance(value, Mapping) else {}


def parse_user_data(raw: str | None) -> Any:
    """Give the value of a JSON text, or the same string when it is none."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return raw
