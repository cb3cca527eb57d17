"""History in the form that a model service accepts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offhook.events import Message

# What an assistant message may hold in place of words.
_MORE = ("function_call", "refusal", "audio")


def repair(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Give one window's messages with every tool call beside its results, and nothing doubled or empty.

    The last message is never dropped, though a tool result moves behind its call. A list that is right stays equal.
    """
    return undoubled(_answered(undoubled(messages, pairs=True)), pairs=True)


def settle(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Give what ``repair`` gives, but for repeated pairs: of a list that grows at its end, the result does so too.

    A pair that stands there twice was said twice, where the list was put together turn by turn. What is given does not
    begin with what was given before in two cases alone: a result came for a tool call that had already been passed
    over, and the list ended with what was only kept because it was the last (an empty message, a result without call).
    """
    return undoubled(_answered(undoubled(messages)))


def undoubled(messages: Iterable[Message], *, pairs: bool = False) -> tuple[Message, ...]:
    """Give the messages with identical neighbours made one, tool results apart, and with ``pairs`` also repeated pairs.

    A pair is a message of the caller and the assistant's next to it.
    """
    given: list[Message] = []
    for message in messages:
        # Two calls may have the same result: what is doubled of those is judged by their ids.
        if given and message.role != "tool" and _same(given[-1], message):
            continue
        given.append(message)
        if pairs and len(given) >= 4 and _is_pair(given[-4:]):
            del given[-2:]
    return tuple(given)


def call_ids(message: Message) -> tuple[str, ...]:
    """Give the ids of an assistant message's tool calls, empty where one has none."""
    return tuple(_id(call, "id") for call in _calls(message))


def result_id(message: Message) -> str:
    """Give the id of the call that a tool message answers, empty where it has none."""
    return _id(message.fields, "tool_call_id")


def is_empty(message: Message) -> bool:
    """Tell whether this is an assistant message without words, tool calls or anything else that counts."""
    if message.role != "assistant" or _calls(message) or any(message.fields.get(name) for name in _MORE):
        return False
    content = message.fields.get("content")
    if isinstance(content, list) and not all(isinstance(part, str) or _is_text(part) for part in content):
        return False
    return not message.text.strip()


def _answered(messages: Sequence[Message]) -> list[Message]:
    """Give the messages with each call's results directly behind it, without what has no counterpart or is empty."""
    if all(map(_is_plain, messages)):
        return list(messages)
    results, orphans = _owners(messages)
    last = len(messages) - 1
    given: list[Message] = []
    for index, message in enumerate(messages):
        if message.role == "tool":
            if index == last and index in orphans:
                given.append(message)
            continue
        behind: list[Message] = []
        if message.role == "assistant" and message.fields.get("tool_calls") is not None:
            wanted = call_ids(message)
            answers = _newest([messages[at] for at in results.get(index, ())], wanted)
            left = _with_calls(message, [result_id(answer) for answer in answers])
            if index != last or not is_empty(left):
                message, behind = left, answers
        if index == last or not is_empty(message):
            given += [message, *behind]
    return given


def _is_plain(message: Message) -> bool:
    """Tell whether a message is words of somebody, as most are, so that nothing has to be looked for."""
    if message.role in ("assistant", "tool"):
        return message.role == "assistant" and "tool_calls" not in message.fields and bool(message.text.strip())
    return True


def _owners(messages: Sequence[Message]) -> tuple[dict[int, list[int]], set[int]]:
    """Give for each assistant message where its results are, and where the results are that have no call."""
    results: dict[int, list[int]] = {}
    latest: dict[str, int] = {}
    # Results that came before their call: one that follows before the caller speaks again is taken for it.
    early: dict[str, list[int]] = {}
    orphans: set[int] = set()
    for index, message in enumerate(messages):
        if message.role == "user":
            early.clear()
        elif message.role == "assistant":
            for id_ in call_ids(message):
                latest[id_] = index
                for at in early.pop(id_, ()):
                    results.setdefault(index, []).append(at)
                    orphans.discard(at)
        elif message.role == "tool":
            id_ = result_id(message)
            if id_ in latest:
                results.setdefault(latest[id_], []).append(index)
            else:
                early.setdefault(id_, []).append(index)
                orphans.add(index)
    return results, orphans


def _newest(results: list[Message], wanted: tuple[str, ...]) -> list[Message]:
    """Give as many results for each id as there are calls with it, the newest ones, in their order."""
    room = {id_: wanted.count(id_) for id_ in wanted}
    kept: list[Message] = []
    for result in reversed(results):
        id_ = result_id(result)
        if room[id_] > 0:
            room[id_] -= 1
            kept.append(result)
    return kept[::-1]


def _with_calls(message: Message, answered: list[str]) -> Message:
    """Give the message with the tool calls alone that were answered; the same one if that is all of them."""
    open_ids = list(answered)
    calls = []
    for call in _calls(message):
        if (id_ := _id(call, "id")) in open_ids:
            open_ids.remove(id_)
            calls.append(call)
    if calls and calls == message.fields["tool_calls"]:
        return message
    fields = {name: value for name, value in message.fields.items() if name != "tool_calls"}
    if calls:
        fields["tool_calls"] = calls
    return msgspec.structs.replace(message, fields=fields)


def _calls(message: Message) -> list[Mapping[str, Any]]:
    calls = message.fields.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list | tuple) else []


def _id(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return "" if value is None else str(value)


def _is_text(part: object) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("text"), str)


def _same(one: Message, other: Message) -> bool:
    return one.role == other.role and one.text == other.text and one.fields == other.fields


def _is_pair(four: list[Message]) -> bool:
    roles = [message.role for message in four]
    return roles == ["user", "assistant"] * 2 and _same(four[0], four[2]) and _same(four[1], four[3])
