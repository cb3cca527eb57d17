"""The prompt of a call's next turn, from the platform's window and what earlier prompts held. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from offhook.events import Message
from offhook.store.base import PromptChange
from offhook.turns.repair import settle, undoubled
from offhook.turns.signs import (
    Sign,
    Signs,
    agree,
    common,
    counts,
    is_silent,
    last_user,
    offset,
    said,
    sign_of,
    squeezed,
)
from offhook.wire.chat import text_of
from offhook.wire.tokens import estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SYSTEM = frozenset({"system", "developer"})
_RESULTS = frozenset({"tool", "function"})
# How many messages before a possible place in the transcript are looked at, to choose between places.
_DEPTH = 40


class PastReply(msgspec.Struct, frozen=True, gc=False):
    """What was answered to the last prompt and is not in a prompt yet.

    ``calls`` tells that it held tool calls that went to the platform. ``heard`` is an offset into ``sent``, None where
    nothing was reported.
    """

    sent: str
    generated: str = ""
    calls: bool = False
    heard: int | None = None


class Transcript(msgspec.Struct, frozen=True, gc=False):
    """A call's conversation with one model as its prompts had it, leading system messages apart.

    What the last request added begins at ``base``, what the last turn added at ``turn``: those are two where the turn
    went on with tool results.
    """

    messages: tuple[Message, ...] = ()
    base: int = 0
    reply: PastReply | None = None
    turn: int = 0


class Recalled(msgspec.Struct, frozen=True):
    """A prompt and how it was made.

    ``messages`` is what a model is given: the window's leading system messages, then the transcript, settled.
    ``transcript`` is what to keep, without a reply; its messages are ``before[change.drop:change.keep] + change.add``.
    ``heard`` is how far the last reply was spoken, as the window tells it; None where it does not.
    """

    messages: tuple[Message, ...]
    transcript: Transcript
    change: PromptChange
    outcome: Literal["first", "aligned", "missed"]
    heard: int | None = None


class _Found(NamedTuple):
    """Where the window goes on: the transcript up to ``keep``, then ``add``."""

    keep: int
    add: tuple[Message, ...]
    heard: int | None = None


def recall(window: Sequence[Message], transcript: Transcript, *, again: bool = False, budget: int = 0) -> Recalled:
    """Give the prompt for a window: what earlier prompts of the call held, and behind it what the window adds.

    ``again`` tells that the window is a grown form of the last turn or asks for it once more: what that turn had added
    goes first. ``budget`` is in estimated tokens, 0 for none: over it the oldest half is dropped, at whole turns.
    """
    lead = next((at for at, message in enumerate(window) if message.role not in _SYSTEM), len(window))
    rest = tuple(window[lead:])
    before = _without_last(transcript, rest) if again else transcript
    outcome: Literal["first", "aligned", "missed"] = "aligned"
    found = _align(rest, before)
    if found is None and again:
        # The platform may show the last reply under the same turn id: then the caller spoke on after it was cut off.
        found = _by_anchor(rest, transcript)
    if found is None:
        outcome = "missed" if before.messages or before.reply is not None else "first"
        found = _Found(0, undoubled(rest, pairs=True))
    add = tuple(map(_whole, found.add))
    drop = _overflow((*transcript.messages[: found.keep], *add), budget)
    add = add[max(0, drop - found.keep) :]
    change = PromptChange(drop=min(drop, found.keep), keep=found.keep, add=tuple(dict(one.fields) for one in add))
    after = _changed(transcript, change, add)
    return Recalled((*window[:lead], *settle(after.messages)), after, change, outcome, found.heard)


def restore(changes: Iterable[PromptChange]) -> Transcript:
    """Give the transcript that these changes led to, those of one call and model in their order; it has no reply."""
    transcript = Transcript()
    for change in changes:
        transcript = _changed(transcript, change, tuple(map(_read, change.add)))
    return transcript


def _changed(before: Transcript, change: PromptChange, add: tuple[Message, ...]) -> Transcript:
    """Give the transcript after a change: where its last turn begins follows from roles alone, also after a restart."""
    kept = before.messages[change.drop : change.keep]
    messages = kept + add
    base, turn = (min(max(place - change.drop, 0), len(kept)) for place in (before.base, before.turn))
    if not add:
        return Transcript(kept, base=base, turn=turn)
    base = len(kept) + max((at for at, one in enumerate(add, 1) if one.role == "assistant"), default=0)
    new = {one.role for one in messages[base:]}
    if not new & _RESULTS or "user" in new:
        turn = base
    elif not kept:
        turn = max((at for at, one in enumerate(messages[:base]) if one.role == "user"), default=base)
    return Transcript(messages, base=base, turn=turn)


def _without_last(transcript: Transcript, rest: tuple[Message, ...]) -> Transcript:
    """Give the transcript before the last turn, or before the last step of it where the window asks for that step."""
    keep = transcript.base if rest and rest[-1].role in _RESULTS else transcript.turn
    return Transcript(transcript.messages[:keep], base=keep, turn=min(transcript.turn, keep))


def _whole(message: Message) -> Message:
    """Give the message with its role and words among its fields, which are all that is kept of it."""
    if message.fields.get("role") == message.role:
        return message
    fields = {**(message.fields or {"content": message.text}), "role": message.role}
    return msgspec.structs.replace(message, fields=fields)


def _read(fields: dict[str, Any]) -> Message:
    content = fields.get("content")
    text = text_of(content) if isinstance(content, str | list) else ""
    return Message(role=str(fields.get("role", "")), text=text, fields=fields)


def _overflow(messages: tuple[Message, ...], budget: int) -> int:
    """Give how many messages go: up to the first turn behind which half the tokens are left, or fewer.

    A turn begins at a user message that does not follow a user message. The last turn stays, whatever it takes.
    """
    # A token has one character at least.
    if sum(len(message.text) for message in messages) <= budget:
        return 0
    total = left = sum(estimate(message.text) for message in messages) if budget > 0 else 0
    if total <= budget:
        return 0
    place = 0
    for at, message in enumerate(messages):
        if at > 0 and message.role == "user" != messages[at - 1].role:
            place = at
            if left <= min(total / 2, budget):
                break
        left -= estimate(message.text)
    return place


def _answers(shown: Message, reply: PastReply) -> tuple[bool, int | None]:
    """Tell whether the window's assistant message is the reply, and how far it says that it was spoken."""
    spoken = said(shown)
    words = squeezed(spoken)
    if not shown.interrupted or shown.heard is None:
        if sign_of(shown).ids and reply.calls and not (words and squeezed(reply.sent)):
            return True, None
        if not words or words in (squeezed(reply.sent), squeezed(reply.generated)):
            return words != "", None
    heard = offset(spoken, reply.sent)
    return heard is not None, heard


def _align(rest: tuple[Message, ...], before: Transcript) -> _Found | None:
    """Give where the window goes on; None if the transcript is empty, or does not hold the window's newest answer."""
    if not before.messages and before.reply is None:
        return None
    if all(is_silent(message) for message in rest if message.role == "assistant"):
        return _by_users(rest, before)
    return _by_anchor(rest, before)


def _by_users(rest: tuple[Message, ...], before: Transcript) -> _Found:
    """Give where a window without an assistant's words goes on: behind the caller's messages that are known."""
    told = [message for message in rest if message.role != "assistant"]
    # What was said last is new, also where it is what was said before.
    shown = (*undoubled(told[:-1]), *told[-1:])
    known, asked = _runs(before.messages), _runs(shown[:-1])
    count = _overlap([text for text, _ in known], [text for text, _ in asked])
    new = shown[asked[count - 1][1] + 1 :] if count else shown
    if any(message.role == "assistant" for message in rest):
        # The platform shows assistant messages, and this one has no words: nothing was spoken.
        return _Found(len(before.messages), _behind(before.messages, new), _unspoken(before))
    frozen = () if before.reply is None else _frozen(before.reply, before.reply.heard)
    return _Found(len(before.messages), _behind(before.messages, (*frozen, *new)))


def _unspoken(before: Transcript) -> int | None:
    return 0 if before.reply is not None and before.reply.sent else None


def _runs(messages: Iterable[Message]) -> list[tuple[str, int]]:
    """Give what the caller said and where, of what was said several times in a row the last time alone."""
    runs: list[tuple[str, int]] = []
    for at, message in enumerate(messages):
        if message.role == "user":
            text = squeezed(message.text)
            if runs and runs[-1][0] == text:
                runs.pop()
            runs.append((text, at))
    return runs


def _overlap(known: list[str], asked: list[str]) -> int:
    """Give how many of the first that were asked are the last that are known; known ones may have been dropped."""
    size = len(known)
    for count in range(min(size, len(asked)), 0, -1):
        if asked[:count] == known[size - count :]:
            return count
    return next((n for n in range(len(asked), size, -1) if size and asked[n - size : n] == known), 0)


def _by_anchor(rest: tuple[Message, ...], before: Transcript) -> _Found | None:
    """Give where the window goes on behind its newest answer, which must be the reply or stand in the transcript."""
    shown = undoubled(message for message in rest if not is_silent(message))
    signs = [sign_of(message) for message in shown]
    kept = Signs(before.messages)
    for anchor in _anchors(signs):
        place = _place(shown[anchor], anchor, signs, kept, before)
        if place is not None:
            break
    else:
        return None
    if place < len(kept):
        same, seen = common(kept[place + 1 :], signs[anchor + 1 :])
        keep, new = place + 1 + same, shown[anchor + 1 + seen :]
        # A turn that is shown without its reply, and another behind it: of the reply nothing was spoken.
        heard = _unspoken(before) if new and keep == len(kept) else None
        return _Found(keep, _behind(before.messages[:keep], new), heard)
    reply = before.reply or PastReply("")
    whole, behind = shown[anchor], anchor + 1
    # A platform may keep a reply sentence by sentence.
    while behind < len(shown) and (longer := _joined(whole, shown[behind])) and _answers(longer, reply)[0]:
        whole, behind = longer, behind + 1
    heard = _answers(whole, reply)[1]
    frozen = (whole,) if signs[anchor].ids else _frozen(reply, reply.heard if heard is None else heard)
    between = shown[_between(signs[:anchor], kept) : anchor]
    return _Found(len(kept), _behind(before.messages, (*between, *frozen, *shown[behind:])), heard)


def _place(shown: Message, anchor: int, signs: list[Sign], kept: Sequence[Sign], before: Transcript) -> int | None:
    """Give where the window's answer ``shown`` stands in the transcript, behind its end for the reply."""
    until, end = signs[: anchor + 1], len(kept)
    if _may_stand(shown, end, until, kept, before):
        spoken = sum(1 for _ in islice(_spoken_before(signs, anchor), _DEPTH))
        if anchor + 2 >= len(signs) and _agreement(kept, end, signs, anchor) == spoken:
            # All that the window shows agrees there, which no other place can better.
            return end
    places = [at for at in range(end + 1) if _may_stand(shown, at, until, kept, before)]
    # Of those that agree best the newest: a phrase may have been said more than once.
    return max(places, key=lambda at: (_agreement(kept, at, signs, anchor), at), default=None)


def _joined(first: Message, second: Message) -> Message | None:
    """Give two records as one, or None where they cannot be one reply's."""
    if second.role != "assistant" or sign_of(first).ids or sign_of(second).ids:
        return None
    heard = None if second.heard is None else len(said(first)) + second.heard
    return Message("assistant", said(first) + second.text, interrupted=second.interrupted, heard=heard)


def _anchors(signs: list[Sign]) -> Iterable[int]:
    """Give the newest assistant message, then those before it since the caller spoke: a platform may add its own."""
    newest = max((at for at, sign in enumerate(signs) if sign.role == "assistant"), default=-1)
    asked = last_user(signs, newest + 1)
    return (at for at in range(newest, -1 if asked is None else asked, -1) if signs[at].role == "assistant")


def _may_stand(shown: Message, at: int, signs: list[Sign], kept: Sequence[Sign], before: Transcript) -> bool:
    """Tell whether ``shown``, the last of ``signs``, may stand at ``at``, where the reply is behind the end."""
    if at < len(kept):
        if kept[at].role != "assistant" or not agree(kept[at], signs[-1]):
            return False
    elif before.reply is None or not _answers(shown, before.reply)[0]:
        return False
    asked, known = last_user(signs), last_user(kept, at)
    if asked is None or known is None:
        return True
    # A platform may make one message of two, the last of which was asked for.
    if signs[asked].text == kept[known].text or (kept[known].text and signs[asked].text.endswith(kept[known].text)):
        return True
    # It may also not keep what made it ask the last time: a silence, or words of its own.
    earlier = last_user(kept, before.turn)
    return at == len(kept) and earlier is not None and signs[asked].text == kept[earlier].text


def _agreement(kept: Sequence[Sign], at: int, signs: list[Sign], anchor: int) -> int:
    """Give how many messages agree without a break before and behind a place, the window's last message apart."""
    count = 0
    for one, other in zip(_spoken_before(kept, at), _spoken_before(signs, anchor), strict=False):
        if count == _DEPTH or not agree(one, other):
            break
        count += 1
    return count + common(kept[at + 1 :], signs[anchor + 1 : -1])[1]


def _spoken_before(signs: Sequence[Sign], end: int) -> Iterable[Sign]:
    return (signs[at] for at in range(end - 1, -1, -1) if signs[at].role != "tool" and counts(signs[at]))


def _between(signs: list[Sign], kept: Sequence[Sign]) -> int:
    """Give where that begins which the window puts between the caller's last message and the reply, and is new."""
    asked, known = last_user(signs), last_user(kept)
    if asked is None or known is None or signs[asked].text != kept[known].text:
        return len(signs) if kept else 0
    same, seen = common(kept[known + 1 :], signs[asked + 1 :])
    return asked + 1 + seen if known + 1 + same == len(kept) else len(signs)


def _behind(kept: tuple[Message, ...], new: tuple[Message, ...]) -> tuple[Message, ...]:
    """Give what is new without what doubles the message before it."""
    return undoubled((*kept[-1:], *new))[len(kept[-1:]) :]


def _frozen(reply: PastReply, heard: int | None) -> tuple[Message, ...]:
    """Give the reply as it stays in the prompts, as far as it was heard; nothing if that is nothing."""
    text = reply.sent if heard is None else reply.sent[: max(0, heard)]
    if not text.strip():
        return ()
    cut = len(text) if len(text) < len(reply.sent) else None
    fields = {"role": "assistant", "content": text}
    return (Message("assistant", text, fields, interrupted=cut is not None, heard=cut),)
