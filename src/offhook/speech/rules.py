"""What is done to a text before it is spoken, as a setting says it: ``default``, ``none``, or names. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from offhook.errors import SetupError
from offhook.speech.chain import Chain
from offhook.speech.emoji import EmojiShaper
from offhook.speech.links import LinkShaper
from offhook.speech.markdown import MarkdownShaper
from offhook.speech.tags import TagShaper
from offhook.speech.think import ThinkShaper

if TYPE_CHECKING:
    from offhook.speech.chain import Shaper

Links: TypeAlias = Literal["read", "drop", "keep"]

# In the order in which they stand behind each other: what joins pieces by taking others away comes before ``tags``.
SHAPERS = ("think", "markdown", "emoji", "links", "tags")
# What else may be named: ``numbers`` are put into words, and ``sentences`` go out whole.
MORE = ("numbers", "sentences")


class Speech(msgspec.Struct, frozen=True):
    """What is done to a text before it is spoken.

    ``shapers`` are names of SHAPERS. ``sentences`` is None where the platform decides. ``links`` is how URLs and e-mail
    addresses are spoken.
    """

    shapers: frozenset[str] = frozenset(SHAPERS)
    numbers: bool = False
    sentences: bool | None = None
    links: Links = "read"

    def chain(self, tags: tuple[str, ...] = (), language: str = "en") -> Chain:
        """Give the voice chain of one reply, for a platform with these control tags.

        ``language`` is that of the words which the chain itself adds, as long as the text has not told its own.
        """
        return Chain(
            [shaper for name in SHAPERS if name in self.shapers for shaper in self._made(name, tags, language)]
        )

    def _made(self, name: str, tags: tuple[str, ...], language: str) -> tuple[Shaper, ...]:
        match name:
            case "think":
                return (ThinkShaper(),)
            case "markdown":
                return (MarkdownShaper(language=language, tags=tags),)
            case "emoji":
                return (EmojiShaper(),)
            case "links":
                return (LinkShaper(self.links, language=language),) if self.links != "keep" else ()
            case _:
                return (TagShaper(tags),) if tags else ()


# Who is handed a text that nobody is to hear may still be a platform that obeys tags.
UNSHAPED = Speech(frozenset({"tags"}), sentences=False)
UNTOUCHED = Speech(frozenset(), sentences=False)


def speech_of(text: str, links: Links = "read") -> Speech:
    """Give what a setting says: ``default``, ``default,numbers``, ``-emoji``, ``think,markdown`` or ``none``.

    A name with a minus is taken away, from the default where nothing else is named. Tags are disarmed in any case but
    ``none`` and ``-tags``: whoever names the others does not think of what a caller may have echoed.

    Raises SetupError for a word that names nothing, and for ``none`` or nothing at all beside other words.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == ["none"]:
        return UNTOUCHED
    if "none" in words:
        raise SetupError(f"speech = {text!r}: 'none' stands alone.{_HINT}")
    names: set[str] = set()
    without: set[str] = set()
    for word in words:
        if word == "default":
            names |= {*SHAPERS}
        elif word.removeprefix("-") in (*SHAPERS, *MORE):
            (without if word.startswith("-") else names).add(word.removeprefix("-"))
        else:
            raise SetupError(
                f"speech = {text!r}: there is no {word!r}; there are: {', '.join((*SHAPERS, *MORE))}.{_HINT}"
            )
    if not words:
        raise SetupError(f"speech = {text!r} names nothing.{_HINT}")
    if words == [f"-{name}" for name in (word.removeprefix("-") for word in words)]:
        names |= {*SHAPERS}
        words.append("default")
    names = (names | {"tags"}) - without
    sentences = True if "sentences" in names else False if "sentences" in without or "default" not in words else None
    return Speech(frozenset(names & {*SHAPERS}), numbers="numbers" in names, sentences=sentences, links=links)


_HINT = " Write 'default', 'none', or names such as 'think,markdown' or 'default,numbers,-emoji'."
