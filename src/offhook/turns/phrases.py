"""What the house says by itself, in the caller's language, and how that is kept out of the conversation. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from offhook.errors import SetupError
from offhook.turns.repair import is_empty
from offhook.turns.signs import squeezed

if TYPE_CHECKING:
    from offhook.events import Message

Why: TypeAlias = Literal["filler", "apology", "closing"]
Table: TypeAlias = Mapping[str, Sequence[str]]

FALLBACK = "en"

# What stands at the end of a word or a sentence, and never behind a space.
_CLOSING = frozenset(".,;:!?%)]}\u2026\u2019\u201d")

FILLERS: Table = {
    "zh": ("嗯，我想一下。", "好的，请稍等。", "我看一下。", "稍等一下。"),
    "en": ("Let me think.", "One moment, please.", "Let me see.", "Just a second."),
}
APOLOGIES: Table = {
    "zh": ("抱歉，我这边出了点问题，请您再说一遍。", "不好意思，刚才没能处理好，请再说一次。"),
    "en": ("Sorry, something went wrong here. Could you say that again?", "I am sorry, I could not do that just now."),
}

# A phrase that is shorter is no sure sign that a message begins with one.
_SHORTEST = 2


class SaidTurn(msgspec.Struct, frozen=True, gc=False):
    """What was said in a turn of a call: ``asides`` by the house, in their order, ``generated`` by the agent.

    ``asked`` are the caller's words. Those and the agent's are without white space.
    """

    asides: tuple[tuple[str, Why], ...]
    asked: str
    generated: str

    @classmethod
    def of(cls, asides: Iterable[tuple[str, Why]], *, asked: str, generated: str) -> SaidTurn:
        """Give it from texts as they were said."""
        return cls(tuple(asides), squeezed(asked), squeezed(generated))

    def forms(self) -> Iterable[tuple[bool, str]]:
        """Give what a platform may keep of the turn, without white space, and whether that is with the asides."""
        yield False, self.generated
        if self.asides:
            front = "".join(text for text, why in self.asides if why != "closing")
            behind = "".join(text for text, why in self.asides if why == "closing")
            yield True, squeezed(front) + self.generated + squeezed(behind)


class Phrases:
    """The phrases by kind and language. ``more`` are those of tools, which are only recognised here.

    Raises SetupError for an empty phrase, and for fillers of a language of which there are fewer than two: none is said
    twice in a row.
    """

    def __init__(
        self,
        fillers: Table | None = None,
        apologies: Table | None = None,
        closings: Table | None = None,
        more: Iterable[str] = (),
    ) -> None:
        self._tables: dict[Why, dict[str, tuple[str, ...]]] = {
            "filler": _merged(FILLERS, fillers or {}),
            "apology": _merged(APOLOGIES, apologies or {}),
            "closing": _merged({}, closings or {}),
        }
        for kind, table in self._tables.items():
            for language, phrases in table.items():
                if not all(phrase.strip() for phrase in phrases):
                    raise SetupError(f"[{kind}.phrases] {language}: a phrase is empty, so that nothing would be said.")
        for language, phrases in self._tables["filler"].items():
            if len(set(phrases)) < 2:
                raise SetupError(f"[filler.phrases] {language} needs two phrases: none is said twice in a row.")
        self._turn = 0
        known = {(phrase, kind) for kind, table in self._tables.items() for said in table.values() for phrase in said}
        self._every: frozenset[tuple[str, Why]] = frozenset(known | {(phrase, "filler") for phrase in more})
        self._known = _Known(self._every)

    def pick(self, why: Why, language: str, before: str | None = None) -> str | None:
        """Give a phrase in a language, or in English, or in any; not ``before``. None where there is none."""
        table = self._tables[why]
        phrases = table.get(language) or table.get(FALLBACK) or next(iter(table.values()), ())
        fresh = [phrase for phrase in phrases if phrase != before] or list(phrases)
        if not fresh:
            return None
        self._turn += 1
        return fresh[self._turn % len(fresh)]

    def without(self, messages: Sequence[Message], turns: Sequence[SaidTurn] = ()) -> tuple[Message, ...]:
        """Give the conversation without the phrases that a platform kept with the assistant's words.

        ``turns`` are those of the call that are known, the newest last. A message that is a reply of theirs loses what
        was said beside that reply, and nothing where that was nothing: an agent may use the same words. Of any other
        message one of our fillers, apologies and closings each is taken for a phrase, and so is what was said in
        ``turns``. A message that was nothing else has no words any more, which tells that nothing of the reply was
        heard; as the last message it is left out.
        """
        more = {aside for turn in turns for aside in turn.asides} - self._every
        known = _Known(self._every | more) if more else self._known
        kept: list[Message] = []
        asked = ""
        for message in messages:
            if message.role == "user":
                asked = message.text
            kept.append(known.taken_from(message) if message.role == "assistant" else message)
            if kept[-1] is not message and (asides := _asides_of(message, kept[-1], asked, turns)) is not None:
                kept[-1] = _Known(asides).taken_from(message)
        if kept and kept[-1] is not messages[-1] and is_empty(kept[-1]):
            kept.pop()
        return tuple(kept)


def _asides_of(
    message: Message, bare: Message, asked: str, turns: Sequence[SaidTurn]
) -> tuple[tuple[str, Why], ...] | None:
    """Give what of an assistant's message the house said beside it; None where it is no reply of ``turns``.

    ``bare`` is the message without all that may be a phrase, ``asked`` what the caller said before it. Replies may be
    alike, or one the beginning of another, where a reply was cut off: then the one to these words of the caller counts,
    then one that is all of the message, then the newest.
    """
    words, asked = squeezed(message.text), squeezed(asked)
    phrases = len(words) - len(squeezed(bare.text))
    found: tuple[tuple[str, Why], ...] | None = None
    best = (False, False, -1, False)
    for at, turn in enumerate(turns):
        # A platform may make one message of two of the caller's.
        same = turn.asked != "" and asked.endswith(turn.asked)
        for beside, form in turn.forms():
            whole = form == words
            begun = form.startswith(words) or (form != "" and words.startswith(form))
            if not same and asked != "" and min(len(form), len(words)) <= phrases:
                # A phrase alone may begin many a reply, and other words of the caller tell that it is not this one.
                begun = False
            if (whole or begun) and (same, whole, at, beside) > best:
                best, found = (same, whole, at, beside), turn.asides if beside else ()
    return found


class _Known:
    """Phrases that are recognised: in front of the words a filler, then an apology, and behind them a closing."""

    def __init__(self, phrases: Iterable[tuple[str, Why]]) -> None:
        by_kind: dict[Why, set[str]] = {"filler": set(), "apology": set(), "closing": set()}
        for phrase, why in phrases:
            if len(phrase.strip()) >= _SHORTEST:
                by_kind[why].add(phrase.strip())
        # The longest first: one may be the beginning of another.
        fillers, apologies, closings = (tuple(sorted(some, key=len, reverse=True)) for some in by_kind.values())
        self._front = (fillers, apologies)
        self._behind = closings

    def taken_from(self, message: Message) -> Message:
        """Give a message without these phrases, one of each kind at most; the same one if there are none."""
        text = message.text
        for phrases in self._front:
            if phrase := next((one for one in phrases if text.lstrip().startswith(one)), None):
                text = text.lstrip()[len(phrase) :].lstrip()
            elif message.interrupted and _begins_one(text.strip(), phrases):
                # The caller cut in while it was said.
                text = ""
        gone = len(message.text) - len(text)
        if phrase := next((one for one in self._behind if text.rstrip().endswith(one)), None):
            text = text.rstrip()[: -len(phrase)].rstrip()
        elif message.interrupted and (begun := self._begun_behind(text)):
            text = text[: -len(begun)].rstrip()
        if len(text) == len(message.text):
            return message
        heard = None if message.heard is None else min(max(0, message.heard - gone), len(text))
        if not text and message.interrupted:
            heard = 0
        return msgspec.structs.replace(message, text=text, fields={**message.fields, "content": text}, heard=heard)

    def _begun_behind(self, text: str) -> str:
        """Give the beginning of a closing phrase that a text ends with; one that is short is no sure sign of it."""
        begun = (phrase[:length] for phrase in self._behind for length in range(len(phrase) - 1, len(phrase) // 3, -1))
        return max((one for one in begun if len(one) >= _SHORTEST and text.endswith(one)), key=len, default="")


def spaced(phrase: str, before: str = "") -> str:
    """Give a phrase as it is said before other words, or behind those that end with ``before``.

    A voice platform speaks a sentence when it sees that it has ended: where words are parted by spaces that takes one.
    """
    if before:
        return phrase if before[-1].isspace() or _is_wide(phrase[0]) else f" {phrase}"
    return phrase if phrase[-1].isspace() or _is_wide(phrase[-1]) else f"{phrase} "


def parting(words: str, before: str) -> str:
    """Give what stands between two texts that were written apart: a space where words are parted by spaces."""
    if not words or not before or before[-1].isspace() or words[0].isspace() or words[0] in _CLOSING:
        return ""
    return "" if _is_wide(words[0]) or _is_wide(before[-1]) else " "


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _begins_one(text: str, phrases: Iterable[str]) -> bool:
    return text != "" and any(one.startswith(text) for one in phrases)


def _merged(ours: Table, theirs: Table) -> dict[str, tuple[str, ...]]:
    return {language: tuple(phrases) for language, phrases in {**ours, **theirs}.items() if phrases}
