"""LiveKit Agents with its ``openai`` plugin as the client.

Source: the published package ``livekit-agents`` (``inference/_utils.py`` for the headers, ``inference/llm.py`` for the
requests and retries, ``voice/turn.py`` for preemptive generation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from offhook.dialects.base import Dialect, Reading, read_header
from offhook.dialects.headers import first_header, read_with_headers
from offhook.dialects.offers import refuse_unoffered, write_offered

if TYPE_CHECKING:
    from offhook.dialects.base import Arrival, Delivery
    from offhook.events import CommandName

_ROOM = "x-livekit-room-id"
_JOB = "x-livekit-job-id"
# The session id is another one in each request, and so is no call's.
_HEADERS = frozenset({_ROOM, _JOB, "x-livekit-agent-id", "x-livekit-session-id"})
_USER_AGENT = "livekit agents/"


def marks(arrival: Arrival) -> bool:
    """Tell whether the request is this framework's: one of its headers, or its user agent."""
    agent = arrival.headers.get("user-agent", "")
    return agent.lower().startswith(_USER_AGENT) or not _HEADERS.isdisjoint(arrival.headers)


def read(arrival: Arrival) -> Reading:
    """Read the call id from a header of one's own, or else from the room's or the job's."""
    reading = read_with_headers(arrival, "livekit")
    room = first_header(arrival, _ROOM)
    call = msgspec.structs.replace(
        reading.call,
        id=reading.call.id or room or first_header(arrival, _JOB),
        room=reading.call.room or room,
        headers={name: value for name in _HEADERS if (value := read_header(arrival, name)) is not None},
    )
    return msgspec.structs.replace(reading, call=call)


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not written: the agent's process does all that is done, by functions that it offers."""
    match name:
        case "protect":
            return "LiveKit's agent decides that; set allow_interruptions=False on the Agent"
        case "say_to_app":
            return "LiveKit's agent talks to the app; publish data to the room from a function tool of its own"
    return refuse_unoffered(name, delivery, how="give the LiveKit agent")


# No telephone: the agent's process tries again when a request fails before its first word, and has an error of its own
# to tell the caller; words of ours would hide both.
LIVEKIT = Dialect(
    name="livekit",
    marks=marks,
    read=read,
    write=write_offered,
    refuses=refuses,
    speculative=True,
)
