"""Vapi, assistant model ``custom-llm``.

Source: the vendor's pages "Connecting Your Custom LLM to Vapi", "Custom LLM Tool Calling Integration" and "Flush
syntax", and its OpenAPI file (``CustomLLMModel.metadataSendMode``). The members ``id`` and ``number`` are those of the
general call model; no page says that they are in every request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from offhook.dialects.base import Dialect, Reading, read_id, read_object, read_text, write_openai
from offhook.dialects.headers import read_with_headers
from offhook.dialects.offers import function_of
from offhook.events import Command
from offhook.wire.chat import CallDelta, encode_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offhook.dialects.base import Arrival, Delivery, Piece
    from offhook.events import CommandName, Event

# Pushes what is buffered to the speech synthesis, wherever it stands in a reply; closed and bare forms count too.
TAGS = ("<flush",)

HANGUP = "endCall"
TRANSFER = "transferCall"

# What a request holds that is not the assistant's metadata, where that is spread over the top level.
_NOT_METADATA = frozenset(
    {"messages", "model", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens"}
    | {"stop", "seed", "presence_penalty", "frequency_penalty", "tools", "tool_choice", "parallel_tool_calls", "n"}
    | {"response_format", "user", "logit_bias", "logprobs", "top_logprobs", "functions", "function_call", "store"}
    | {"service_tier", "reasoning_effort", "modalities", "metadata"}
    | {"call", "phoneNumber", "customer", "assistant"}
)


def marks(arrival: Arrival) -> bool:
    """Tell whether the request is this platform's: a ``call`` object that has an id."""
    return read_id(read_object(arrival.request.body.get("call")).get("id")) is not None


def read(arrival: Arrival) -> Reading:
    """Read the call from ``call``, ``customer`` and ``phoneNumber``, the user data from ``metadata`` or what is spread.

    The customer is the caller, also in a call that the platform has placed.
    """
    body = arrival.request.body
    reading = read_with_headers(arrival, "vapi")
    call = read_object(body.get("call"))
    customer = read_object(body.get("customer")) or read_object(call.get("customer"))
    phone = read_object(body.get("phoneNumber")) or read_object(call.get("phoneNumber"))
    changes: dict[str, Any] = {
        "id": read_id(call.get("id")) or reading.call.id,
        "caller": read_id(customer.get("number")) or reading.call.caller,
        "callee": read_id(phone.get("number")) or reading.call.callee,
    }
    if reading.call.user_data_raw is None and (spread := _spread(body)):
        changes |= {"user_data": spread, "user_data_raw": read_text(spread)}
    return msgspec.structs.replace(reading, call=msgspec.structs.replace(reading.call, **changes))


def write(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write a hangup as a call of ``endCall`` and a transfer as one of ``transferCall``, all else as OpenAI has it."""
    if isinstance(event, Command) and event.name == "hangup":
        function, _ = function_of("hangup", delivery, (HANGUP,))
        return (CallDelta(name=function, arguments="{}", id=""),)
    if isinstance(event, Command) and event.name == "transfer":
        function, _ = function_of("transfer", delivery, (TRANSFER,))
        arguments = encode_value({"destination": event.to}).decode()
        return (CallDelta(name=function, arguments=arguments, id=""),)
    return write_openai(event, delivery)


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not written: the request has tools, and none for it, or the platform has no such command.

    A request without any tools does not tell what the platform would run, and so the call is written.
    """
    if name == "protect":
        return "Vapi has no way to protect one reply; set stopSpeakingPlan of the assistant"
    if name == "say_to_app":
        return "Vapi sends nothing of a reply to the app; add a function tool to the assistant and call that"
    own, tool = (HANGUP, "the End Call tool") if name == "hangup" else (TRANSFER, "the Transfer Call tool")
    function, offered = function_of(name, delivery, (own,))
    if offered or not delivery.offered:
        return None
    return (
        f"the request offers no function called {function!r}; add {tool} to the assistant in Vapi, "
        f"or set {name}_function under [dialect.vapi] to what it is called there"
    )


def _spread(body: Mapping[str, Any]) -> dict[str, Any]:
    """Give the metadata of ``metadataSendMode: destructured``, as far as it can be told from other fields."""
    return {name: value for name, value in body.items() if name not in _NOT_METADATA}


VAPI = Dialect(
    name="vapi",
    marks=marks,
    read=read,
    write=write,
    refuses=refuses,
    telephone=True,
    tags=TAGS,
    doubles_path=True,
)
