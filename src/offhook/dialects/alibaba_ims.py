"""Alibaba Cloud IMS real-time workflow, "self-developed LLM (OpenAI specification)".

Source: the vendor's page "LLM standard interface" (``extendData``, ``hangup``; its sample server reads ``task_id`` and
``room_id`` from the query), its pages on hanging up, transferring and not being interrupted (the tags), ``LlmConfig``
of the vendor's SDK (``OpenAIExtraQuery``, ``HistorySyncWithTTS``, ``FunctionMap``). Every field is optional in
practice, and types vary.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec

from offhook.dialects.base import (
    Arrival,
    Delivery,
    Dialect,
    Options,
    Piece,
    Reading,
    read_history,
    read_id,
    read_object,
    read_query,
    read_user_data,
    write_openai,
)
from offhook.events import CallContext, Command, CommandName, Event, Message
from offhook.speech.tags import TagShaper, disarm
from offhook.wire.chat import text_of

# Put into an assistant message where the caller cut in, when HistorySyncWithTTS is on.
INTERRUPTED = "<ims_agent_interrupted>"
_INTERRUPTED = re.compile(r"<\s*+/?+\s*+ims_agent_interrupted\s*+/?+\s*+>", re.IGNORECASE)

# What the platform takes for a command wherever it stands in a reply: hanging up, transferring, not being interrupted.
TAGS = ("<imsagent_", "<no interrupting")

# What no telephone number and no SIP address is made of.
_NO_NUMBER = re.compile(r"[^0-9A-Za-z+*#@.:-]+")

# Without one of these nothing can be dialled (RFC 3261, 19.1, for the addresses).
_DIALLED = re.compile(r"[0-9]|^sips?:.", re.IGNORECASE)

# What could end an attribute or a tag, begin one, or be taken for one by a parser that looks less closely: quotes, in
# which the vendor's own examples differ, brackets, the equals sign, and all that is no printable character.
_NO_WORDS = re.compile(r"""[<>="`\u201c-\u201f\u00ab\u00bb\uff02\uff1c\uff1d\uff1e\\\x00-\x20\x7f-\xa0\u2028\u2029]+""")

# A tag that comes in so many parts is looked at anew with each of them; of more the texts are put into one.
_MOST_PARTS = 200


def marks(arrival: Arrival) -> bool:
    """Tell whether the request is this platform's: ``extendData``, or the sample server's ``task_id`` in the query.

    A ``call_id`` beside that, or its header, is what a person adds to the request of some other platform.
    """
    if "extendData" in arrival.request.body:
        return True
    return "task_id" in arrival.query and "call_id" not in arrival.query and "x-call-id" not in arrival.headers


def read(arrival: Arrival) -> Reading:
    """Read the call context from ``extendData``, and from the query what is missing there."""
    extend = read_object(arrival.request.body.get("extendData"))
    user_data, user_data_raw = read_user_data(extend.get("userData"))
    return Reading(
        call=CallContext(
            id=read_id(extend.get("instanceId")) or read_id(arrival.query.get("task_id")),
            room=read_id(extend.get("channelId")) or read_id(arrival.query.get("room_id")),
            caller=read_id(extend.get("callerNumber")),
            callee=read_id(extend.get("calleeNumber")),
            user_data=user_data,
            user_data_raw=user_data_raw,
            platform="alibaba_ims",
            query=read_query(arrival.query),
        ),
        turn_id=read_id(extend.get("sentenceId")),
        history=tuple(_as_said(message) for message in read_history(arrival.request)),
    )


def write(event: Event, delivery: Delivery) -> tuple[Piece, ...]:
    """Write an event as plain OpenAI has it, and as a tag what the platform knows no function for."""
    if not isinstance(event, Command):
        return write_openai(event, delivery)
    match event.name:
        case "protect":
            return ("<No Interrupting>",)
        case "transfer":
            return _transfer(event, delivery.options)
        case "hangup" if delivery.options.hangup_as == "tag":
            return (_tag("imsagent_hangup", endword=_words(event.text)),)
    return write_openai(event, delivery)


def refuses(name: CommandName, delivery: Delivery) -> str | None:
    """Give why a command is not to be had in a reply."""
    if name == "say_to_app":
        return "Alibaba IMS has it in its server API alone; call SendAIAgentDataChannelMessage with the id of turn.call"
    return None


def refuses_number(number: str) -> str | None:
    """Give why nobody can be connected to what is neither a number nor the address of a telephone."""
    return None if _number(number) else "Alibaba IMS connects to telephone numbers and sip: addresses; give one of them"


def speaks(options: Options) -> frozenset[CommandName]:
    """Name the commands whose tag has the words in it."""
    return frozenset(("hangup", "transfer")) if options.hangup_as == "tag" else frozenset(("transfer",))


def _transfer(command: Command, options: Options) -> tuple[Piece, ...]:
    """Give the tag of a transfer; what is no number at all has failed before it began."""
    number = _number(command.to)
    if not number:
        failed = _words(command.failed)
        return (failed,) if failed else ()
    # In the order in which the vendor has them.
    attributes = {
        "caller": _number(options.transfer_caller or ""),
        "callee": number,
        "err_msg": _words(command.failed),
        "msg": _words(command.text),
    }
    return (_tag("imsagent_transfer_call", **{name: value for name, value in attributes.items() if value}),)


def _number(text: str) -> str:
    """Give a number or SIP address as it is dialled, full-width digits included; empty for what is neither."""
    # Digits of any script are heard as digits: one that was left out would make it another's number.
    plain = "".join(
        str(unicodedata.digit(one)) if one.isdecimal() else one for one in unicodedata.normalize("NFKC", text)
    )
    number = _NO_NUMBER.sub("", plain)
    return number if _DIALLED.search(number) else ""


def _tag(name: str, **attributes: str) -> str:
    """Give a tag in the vendor's form, which has commas between the attributes."""
    written = ", ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f"<{name} {written}/>"


def _words(text: str) -> str:
    """Give what is heard of a text, without anything that could end the attribute that it stands in."""
    # An apostrophe is heard, and yet a quote to some.
    return _NO_WORDS.sub(" ", disarm(text, TAGS)).replace("'", "\u2019").strip()


def _as_said(message: Message) -> Message:
    """Give a message without the marks that nobody said."""
    if "<" not in message.text:
        return message
    if message.role == "assistant":
        return _without_mark(message)
    # Only what callers and the agent say is disarmed: the other roles are written by the line's owner, and so is
    # ``userData``, which has to reach the agent byte for byte. What of all that an agent says is disarmed on its way
    # out.
    return _disarmed(message) if message.role == "user" else message


def _without_mark(message: Message) -> Message:
    """Give what the agent said without the marks where it was cut off, and without its commands.

    A model that saw its tags in what it said before would write more of them.
    """
    mark = _INTERRUPTED.search(message.text)
    if mark is None:
        return _disarmed(message)
    text = disarm(_INTERRUPTED.sub("", message.text), TAGS)
    heard = min(len(text), len(disarm(message.text[: mark.start()], TAGS)))
    fields = {**message.fields, "content": text}
    return msgspec.structs.replace(message, text=text, fields=fields, interrupted=True, heard=heard)


def _disarmed(message: Message) -> Message:
    content = message.fields.get("content")
    if isinstance(content, list):
        content = _disarmed_parts(content)
        text = text_of(content)
    else:
        content = text = disarm(message.text, TAGS)
    if text == message.text:
        return message
    return msgspec.structs.replace(message, text=text, fields={**message.fields, "content": content})


def _disarmed_parts(parts: list[Any]) -> list[Any]:
    """Give the parts of a content as if their texts were one: a tag may be spread over several."""
    if len(parts) > _MOST_PARTS:
        others = [part for part in parts if not text_of([part])]
        return [*others, {"type": "text", "text": disarm(text_of(parts), TAGS)}]
    shaper = TagShaper(TAGS)
    kept = [_with_text(part, shaper.feed(text)) if (text := text_of([part])) else part for part in parts]
    rest = shaper.flush()
    return [*kept, {"type": "text", "text": rest}] if rest else kept


def _with_text(part: Any, text: str) -> Any:
    return text if isinstance(part, str) else {**part, "text": text}


ALIBABA_IMS = Dialect(
    name="alibaba_ims",
    marks=marks,
    read=read,
    write=write,
    refuses=refuses,
    refuses_number=refuses_number,
    speaks=speaks,
    memory="call",
    telephone=True,
    fillers=True,
    language="zh",
    tags=TAGS,
    ordered=True,
    hangups=frozenset(("call", "tag")),
)
