"""What a dialect is: two pure functions and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from offhook.events import Aside, CallContext, Command, Event, Message, Text, ToolCall
from offhook.wire.chat import CallDelta, ChatRequest, text_of

# What is written to the stream for an event: text, or a whole tool call.
Piece: TypeAlias = str | CallDelta

# Query parameters that hold a key; never shown, kept or handed to an agent.
KEY_PARAMETERS = frozenset({"api-key", "api_key", "key", "token", "access_token"})


class Arrival(msgspec.Struct, frozen=True):
    """A request as it arrived: header names in lower case, the last of a repeated query parameter."""

    request: ChatRequest
    headers: Mapping[str, str]
    query: Mapping[str, str]


class Reading(msgspec.Struct, frozen=True):
    """What a dialect read from a request."""

    call: CallContext
    turn_id: str | None
    history: tuple[Message, ...]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one dialect, ``[dialect.NAME]`` in offhook.toml.

    ``hangup_function`` is the function name that the platform takes for hanging up (``MatchFunction`` of the
    workflow's ``FunctionMap``). The others name where an id comes from, such as ``header:X-Call``,
    ``query:session_id`` or ``body:custom.id`` (see ``dialects/sources.py``); that wins over what the platform sends.
    ``cancel_grace`` is how many seconds a turn of which nothing was said yet goes on after a disconnect, for platforms
    that retry. ``superseded`` is how the reply that a newer turn ends looks to the platform: whole, or broken off by an
    error. ``transfer_function`` is the function name for a transfer. ``telephone``, ``fillers``, ``speculative`` and
    ``language`` win over what the dialect says of the platform, see ``Dialect``.
    """

    hangup_function: str = "hangup"
    transfer_function: str = "transfer"
    telephone: bool | None = None
    fillers: bool | None = None
    speculative: bool | None = None
    language: str | None = None
    cancel_grace: Annotated[float, Meta(ge=0)] = 0.0
    superseded: Literal["stop", "error"] = "stop"
    call_id: str | None = None
    turn_id: str | None = None
    room: str | None = None
    caller: str | None = None
    callee: str | None = None
    user_data: str | None = None


class Dialect(msgspec.Struct, frozen=True):
    """One platform. ``marks`` tells whether a request is this platform's, from its body, headers or query.

    ``memory`` is where the history comes from when nothing else is set: the ``window`` where the platform sends all.
    ``telephone`` tells that only a voice is on the other end: what fails there is told in words. ``fillers`` tells that
    the platform has fillers of its own, ``speculative`` that it asks before it knows that the caller has finished.
    ``language`` is that of the house's phrases where the caller's cannot be told. ``tags`` matches, in any case, the
    beginning of what the platform takes for a command when it stands in a text, such as ``<imsagent_hangup``.
    """

    name: str
    marks: Callable[[Arrival], bool]
    read: Callable[[Arrival], Reading]
    write: Callable[[Event, Options], tuple[Piece, ...]]
    memory: Literal["call", "window"] = "window"
    telephone: bool = False
    fillers: bool = False
    speculative: bool = False
    language: str = "en"
    tags: tuple[str, ...] = ()


def write_openai(event: Event, options: Options) -> tuple[Piece, ...]:
    """Write an event as plain OpenAI has it; the hang-up is a tool call without arguments."""
    if isinstance(event, Text | Aside):
        return (event.text,) if event.text else ()
    if isinstance(event, ToolCall):
        return (CallDelta(name=event.name, arguments=event.arguments or "{}", id=event.id),)
    if isinstance(event, Command) and event.name == "hangup":
        return (CallDelta(name=options.hangup_function, arguments="{}", id=""),)
    if isinstance(event, Command):
        arguments = msgspec.json.encode({"number": event.to}).decode()
        return (CallDelta(name=options.transfer_function, arguments=arguments, id=""),)
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
    """Give an id as text, so that ``3`` and ``"3"`` are one; None for null and the empty string."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return read_text(value) or None


def read_text(value: object) -> str:
    """Give a string as it is, anything else as its JSON text; what is nested too deeply for that is empty."""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return ""


def parse_user_data(raw: str | None) -> Any:
    """Give the value of a JSON text, or the same string when it is none."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return raw
