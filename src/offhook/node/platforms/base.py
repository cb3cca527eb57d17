"""What one platform's own node does: how it asks, what it keeps of what was said, and what it obeys in a reply.

Pure. Written from what the vendors say, and apart from ``offhook.dialects``, which reads what is built here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from offhook.node.request import ExtendData, Outgoing

# What a caller can be told of by an option of ``offhook call``, by its name in ``ExtendData``.
FactName: TypeAlias = Literal["instance_id", "caller_number", "callee_number", "user_data"]
ALL: frozenset[FactName] = frozenset({"instance_id", "caller_number", "callee_number", "user_data"})

# The headers of a platform that sends no context of its own, but whatever headers its customer sets.
OWN_HEADERS: Mapping[FactName, str] = {
    "instance_id": "X-Call-Id",
    "caller_number": "X-Caller",
    "callee_number": "X-Callee",
    "user_data": "X-User-Data",
}


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """One question: what was said, oldest first, and who is calling.

    ``at`` is the wall clock in seconds, ``id`` a new id for what differs with each request.
    """

    model_id: str
    messages: Sequence[Mapping[str, Any]]
    facts: ExtendData = ExtendData()
    at: float = 0.0
    id: str = ""

    @property
    def turn(self) -> int:
        """The number of the turn, from 1."""
        return self.facts.sentence_id or 1


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was said, as the platform comes to keep it.

    ``text`` is all of it, ``heard`` what the caller heard of an agent's; ``sync`` asks a platform to keep that.
    """

    role: Literal["user", "assistant", "system"]
    text: str
    heard: str = ""
    interrupted: bool = False
    greeting: bool = False
    sync: bool = False
    turn: int = 0
    at: float = 0.0


class Order(msgspec.Struct, frozen=True):
    """What a reply orders the platform to do, and what the platform says of its own accord then."""

    kind: Literal["hangup", "transfer", "protect", "flush", "app"]
    to: str = ""
    says: str = ""
    data: Any = None


class Tag(msgspec.Struct, frozen=True):
    """A command that stands in the text: the beginning of its name in lower case, and what its attributes order."""

    name: str
    order: Callable[[Mapping[str, str]], Order]


class Function(msgspec.Struct, frozen=True):
    """A function that the platform itself runs: the arguments that hold the number, and the words to be spoken."""

    kind: Literal["hangup", "transfer"]
    to: str = ""
    says: str = ""


def no_tool(hangup_function: str | None) -> Mapping[str, Function]:
    """Give the functions of a platform that runs none."""
    return {}


def own_tools(hangup_function: str | None) -> Mapping[str, Function]:
    """Give the two functions that a customer's own bot runs, ``hangup`` and ``transfer``."""
    return {hangup_function or "hangup": Function("hangup"), "transfer": Function("transfer", to="number")}


def no_side(chunk: Mapping[str, Any], first: bool) -> Order | None:
    """Tell that no chunk is an order by itself."""
    return None


def no_drafts(text: str) -> tuple[str, ...]:
    """Give no questions before the caller has finished."""
    return ()


def growing(text: str) -> tuple[str, ...]:
    """Give the first half of an utterance, and three quarters of it."""
    cuts = (text[: len(text) // 2].rstrip(), text[: len(text) * 3 // 4].rstrip())
    return tuple(dict.fromkeys(cut for cut in cuts if cut and cut != text))


def keep(said: Said) -> dict[str, Any]:
    """Give what was said as a plain message; what was heard instead where that is asked for."""
    agent = said.role == "assistant" and not said.greeting
    return {"role": said.role, "content": said.heard if agent and said.sync else said.text}


def keep_heard(said: Said) -> dict[str, Any]:
    """Give what was said as a plain message, of the agent's words only those that were heard."""
    return keep(msgspec.structs.replace(said, sync=True))


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """One platform.

    ``request`` builds a question, ``message`` what is kept of what was said. ``sends`` names what it has a field for.
    ``functions`` gives the functions that end the call, for the name that the node was given; ``tags`` are the commands
    in a text, ``side`` tells whether a chunk is an order by itself (and whether it was the first). ``barge_in`` is what
    becomes of the connection when the caller cuts in: it is closed, or left open while a newer question goes out.
    ``drafts`` gives the earlier wordings of an utterance that are asked about before the caller has finished, and
    ``drafting`` tells that the platform does so unless it is told not to; ``leaves`` that it closes the connection of
    the one before. ``prewarm`` tells that it lists the models before the first question. ``whole_url`` tells that it
    is given the whole address and appends nothing. ``socket`` names the WebSocket protocol of one that speaks no HTTP;
    ``greeted`` tells that on it the server always says something first, if only that it does not, ``ends_late`` that
    the server may end the call after a reply is complete. ``unmarked`` tells that nothing in its questions says whose
    they are, so that a server is told in a header where the path of its address does not tell it. ``takes_hangup`` is
    false of one that offers no function for it in its questions and knows nothing else in a reply that ends the call.
    """

    name: str
    request: Callable[[Asking], Outgoing]
    message: Callable[[Said], dict[str, Any]] = keep
    sends: frozenset[FactName] = ALL
    functions: Callable[[str | None], Mapping[str, Function]] = no_tool
    tags: tuple[Tag, ...] = ()
    side: Callable[[Mapping[str, Any], bool], Order | None] = no_side
    side_mark: bytes = b""
    barge_in: Literal["close", "open"] = "close"
    drafts: Callable[[str], tuple[str, ...]] = no_drafts
    drafting: bool = False
    leaves: bool = True
    prewarm: bool = False
    whole_url: bool = False
    socket: Literal["retell", "conversation_relay"] | None = None
    greeted: bool = False
    ends_late: bool = False
    unmarked: bool = False
    takes_hangup: bool = True


def data_of(facts: ExtendData) -> Any:
    """Give the caller's user data as the value of its JSON text, else as it is; None for none."""
    raw = facts.user_data
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return raw


def strings_of(facts: ExtendData) -> dict[str, str]:
    """Give the caller's user data as strings by name, for a field that holds no more than those."""
    data = data_of(facts)
    if not isinstance(data, dict):
        return {} if data is None else {"user_data": facts.user_data or ""}
    return {
        str(name): value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in data.items()
    }


def own_headers(facts: ExtendData, *names: FactName) -> dict[str, str]:
    """Give the headers that a customer sets for what the platform sends no field of its own for."""
    return {OWN_HEADERS[name]: value for name in names or tuple(OWN_HEADERS) if (value := getattr(facts, name))}


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def rounds(messages: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """Give the prompt, the last ``count`` rounds of question and answer, and what was said last."""
    return last_of(messages, count * 2 + 1)


def last_of(messages: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """Give the prompt, which does not count, and the last ``count`` of what was said."""
    head = 0
    while head < len(messages) and messages[head].get("role") == "system":
        head += 1
    return [*messages[:head], *messages[head:][-count:]]


def tool(name: str, description: str, required: Sequence[str] = (), **properties: str) -> dict[str, Any]:
    """Give a function as ``tools`` offers it; each property by its JSON type."""
    parameters = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(required),
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


# What a customer's own bot offers so that the agent can end or hand over the call.
OWN_TOOLS = (
    tool("hangup", "Hang up the call."),
    tool("transfer", "Transfer the caller.", ("number",), number="string"),
)
