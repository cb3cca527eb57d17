"""What an agent gave, as an event: checked here, so that a mistake is told and never reaches the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

import msgspec

from offhook.errors import AgentValueError
from offhook.events import Attempt, Command, CommandName, Event, Finish, Text, ToolCall, Usage

_EXAMPLE = """\
An agent gives strings and events, for example:

    async def reply(turn):
        yield "Goodbye."
        yield turn.hangup()"""

_GIVEN = (Text, ToolCall, Command, Usage, Attempt, Finish)
_Given: TypeAlias = Text | ToolCall | Command | Usage | Attempt | Finish
_REASONS = ("stop", "length", "tool_calls", "content_filter")


def to_event(value: Any) -> Event:
    """Give the event for what an agent gave.

    Raises AgentValueError when it is none, or is one with a wrong field; the message shows what to write.
    """
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, _GIVEN):
        wrong = _what_is_wrong(value)
        if wrong is None:
            return value
        raise AgentValueError(f"The agent gave {wrong}.\n{_EXAMPLE}")
    if value is None:
        raise AgentValueError(f"The agent gave None: a branch without a yield or return?\n{_EXAMPLE}")
    if isinstance(value, bytes):
        raise AgentValueError(f"The agent gave bytes; decode them first: yield data.decode().\n{_EXAMPLE}")
    raise AgentValueError(f"The agent gave {type(value).__name__}, which is neither text nor an event.\n{_EXAMPLE}")


def _what_is_wrong(event: _Given) -> str | None:
    """Say what is wrong with an event's fields, None for nothing: the structs themselves do not look."""
    match event:
        case Text(text):
            return None if isinstance(text, str) else f"Text({type(text).__name__}); write Text(str(...))"
        case ToolCall():
            return _wrong_call(event)
        case Command():
            return _wrong_command(event)
        case Usage(prompt, completion):
            good = all(type(count) is int and count >= 0 for count in (prompt, completion))
            return None if good else "a Usage whose counts are not whole numbers from 0 up"
        case Attempt(upstream, model):
            good = isinstance(upstream, str) and isinstance(model, str)
            return None if good else "an Attempt without the names of a service and a model"
        case Finish(reason, error):
            good = reason in _REASONS and error is None
            return None if good else f"Finish({reason!r}); there are: {', '.join(_REASONS)}"


def _wrong_command(command: Command) -> str | None:
    if command.name not in get_args(CommandName):
        return (
            f"Command({command.name!r}); there are turn.hangup(), turn.transfer(number), turn.protect() and "
            "turn.say_to_app({...})"
        )
    if command.name == "transfer" and (not isinstance(command.to, str) or not command.to.strip()):
        return "a transfer without a number; write turn.transfer('+4930123456')"
    if not isinstance(command.text, str) or not isinstance(command.failed, str):
        return f"a {command.name} whose words are no text; write turn.{command.name}(..., 'Goodbye!')"
    if command.name == "say_to_app" and not _is_json_object(command.data):
        return "a message to the app that is no JSON object; write turn.say_to_app({'key': 'value'})"
    return None


def _is_json_object(data: object) -> bool:
    try:
        return isinstance(data, Mapping) and bool(msgspec.json.encode(data))
    except (TypeError, ValueError, RecursionError):
        return False


def _wrong_call(call: ToolCall) -> str | None:
    if not isinstance(call.name, str) or not call.name:
        return "a ToolCall without a name"
    if not isinstance(call.id, str):
        return f"a ToolCall whose id is {type(call.id).__name__}, not str"
    if not isinstance(call.arguments, str):
        return "a ToolCall whose arguments are no JSON text; write ToolCall(name, json.dumps({...}))"
    try:
        msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return "a ToolCall whose arguments are not valid JSON; write ToolCall(name, json.dumps({...}))"
    return None
