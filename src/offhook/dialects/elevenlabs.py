"""ElevenLabs Agents, custom LLM.

Source: the vendor's page "Integrate your own model" (``elevenlabs_extra_body``, system tools, buffer words) and its
SDK (``custom_llm.py``, ``request_headers``). No id is sent unless somebody puts it into a header, such as
``system__conversation_id`` as a dynamic variable, or into the extra body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.dialects.base import Dialect, Options, Reading, read_id, read_object, read_user_data, write_openai
from offhook.dialects.headers import first_header, read_with_headers
from offhook.dialects.offers import function_of
from offhook.events import Aside, Command, ToolCall
from offhook.wire.chat import CallDelta, encode_value

if TYPE_CHECKING:
    from offhook.dialects.base import Arrival, Delivery, Piece
    from offhook.events import CommandName, Event

HANGUP = "end_call"
TRANSFER = "transfer_to_number"

# System tools that nobody else has, with a parameter by which those are told that others might name so too.
_ONLY_HERE = {
    "language_detection": "language",
    "play_keypad_touch_tone": "dtmf_tones",
    "skip_turn": "",
    "transfer_to_agent": "agent_number",
    "transfer_to_number": "client_message",
    "voicemail_detection": "",
}

# The headers, and the members of the extra body, that are looked for; the first that is there wins.
_CALL = (("x-conversation-id", "x-call-id"), ("call_id", "conversation_id", "system__conversation_id"))
_CALLER = (("x-caller-id", "x-caller"), ("caller", "caller_id", "system__caller_id"))
_CALLEE = (("x-called-number", "x-callee"), ("callee", "called_number", "system__called_number"))

# What ends a sentence; buffer words end in an ellipsis and a space instead, which keeps the voice's melody open.
_ENDS = ".\u2026\u3002!\uff01, \uff0c"


def marks(arrival: Arrival) -> bool:
    """Tell whether the request is this platform's: its extra body, or a system tool that only it has."""
    if "elevenlabs_extra_body" in arrival.request.body:
        return True
    return any(_is_system_tool(tool.get("function")) for tool in arrival.request.tools or ())


def read(arrival: Arrival) -> Reading:
    """Read the ids from headers, or else from the extra body, which is the user data."""
    reading = read_with_headers(arrival, "elevenlabs")
    given = arrival.request.body.get("elevenlabs_extra_body")
    extra = read_object(given)
    call = reading.call
    changes: dict[str, Any] = {
        "id": _find(arrival, extra, _CALL) or call.id,
        "caller": _find(arrival, extra, _CALLER) or call.caller,
        "callee": _find(arrival, extra, _CALLEE) or call.callee,
    }
    if given is not None:
        changes["user_data"], changes["user_data_raw"] = read_user_data(given)
    return msgspec.structs.replace(reading, call=msgspec.structs.replace(call, **changes))


def write(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write a command as a call of the system tool for it, a filler as buffer words, all else as OpenAI has it.

    A function that the request does not offer is never called.
    """
    if isinstance(event, ToolCall) and refuses_call(event.name, delivery) is not None:
        return ()
    if isinstance(event, Command) and event.name == "hangup":
        function, _ = function_of("hangup", delivery, (HANGUP,))
        return (_call(function, {"reason": "The conversation is over."}),)
    if isinstance(event, Command) and event.name == "transfer":
        function, _ = function_of("transfer", delivery, (TRANSFER,))
        arguments = {
            "reason": "The agent connects the caller.",
            "transfer_number": event.to,
            "client_message": event.text,
            "agent_message": "A caller is connected to you.",
        }
        return (_call(function, arguments),)
    if isinstance(event, Aside) and event.why == "filler" and event.text.strip():
        return (f"{event.text.rstrip().rstrip(_ENDS)}... ",)
    return write_openai(event, delivery)


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not written: its system tool is not offered, or the platform has no such command."""
    if name == "protect":
        return "ElevenLabs has no way to protect one reply; switch interruptions off for the whole agent there"
    if name == "say_to_app":
        return "ElevenLabs sends nothing of a reply to the app; add a client tool to the agent and call that"
    own = HANGUP if name == "hangup" else TRANSFER
    function, offered = function_of(name, delivery, (own,))
    if offered:
        return None
    return (
        f"the request offers no system tool {function!r}; switch it on among the system tools of the agent in "
        "ElevenLabs"
    )


def refuses_call(function: str, delivery: Delivery) -> str | None:
    """Give why an agent's call of a function is not written: the request does not offer it."""
    if function in delivery.offered:
        return None
    return "the request offers no such function; add it to the tools of the agent in ElevenLabs, or let offhook run it"


def speaks(options: Options) -> frozenset[CommandName]:
    """Tell that the words of a transfer are the platform's to say: ``client_message`` must be given."""
    return frozenset({"transfer"})


def _call(function: str, arguments: Mapping[str, str]) -> CallDelta:
    return CallDelta(name=function, arguments=encode_value(arguments).decode(), id="")


def _find(arrival: Arrival, extra: Mapping[str, Any], names: tuple[tuple[str, ...], tuple[str, ...]]) -> str | None:
    headers, members = names
    inside = (read_id(extra.get(name)) for name in members)
    return first_header(arrival, *headers) or next(filter(None, inside), None)


def _is_system_tool(function: object) -> bool:
    if not isinstance(function, Mapping) or not isinstance(name := function.get("name"), str):
        return False
    if name not in _ONLY_HERE:
        return False
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    wanted = _ONLY_HERE[name]
    return not wanted or (isinstance(properties, Mapping) and wanted in properties)


ELEVENLABS = Dialect(
    name="elevenlabs",
    marks=marks,
    read=read,
    write=write,
    refuses=refuses,
    refuses_call=refuses_call,
    speaks=speaks,
    telephone=True,
)
