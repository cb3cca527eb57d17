"""Web and e-mail addresses as a voice says them, or without them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from offhook.speech import addresses
from offhook.speech.addresses import BODY, LIMIT
from offhook.speech.links_drop import Dropper

if TYPE_CHECKING:
    from collections.abc import Callable

Mode = Literal["read", "drop", "keep"]

# What asks for a closer look at a text: a dot, an at sign, or the beginning of "http", "ftp" or "www". The first class
# makes the search quick, and what is behind it looks back at it.
_MAYBE = re.compile(r"[.@FfHhWw](?:(?<=[.@])|(?<=[FfHh])(?:[Tt]|\Z)|(?<=[Ww])(?:[Ww]|\Z))")
_START = re.compile(
    r"[.@FfHhWw](?:(?<=[A-Za-z0-9][.@])"
    r"|(?<![A-Za-z0-9][FfHh])(?<=[FfHh])(?=[Tt]|\Z)|(?<![A-Za-z0-9][Ww])(?<=[Ww])(?=[Ww]|\Z))"
)
_URL = re.compile(rf"(?:(?:https?|ftp)://|www\.)(?=[A-Za-z0-9]){BODY}+", re.IGNORECASE)
_URL_BEGUN = re.compile(
    rf"(?:h|ht|htt|ft?|(?:https?|ftp)(?::(?:/(?:/(?:[A-Za-z0-9]{BODY}*)?)?)?)?)|w(?:w(?:w(?:\.(?:[A-Za-z0-9]{BODY}*)?)?)?)?",
    re.IGNORECASE,
)
_LABELS = re.compile(r"(?:\.[A-Za-z0-9_+%-]+)+")
_NAMES = re.compile(r"(?:\.[A-Za-z0-9-]+)*\.([A-Za-z]{2,6})")
_BEHIND = re.compile(rf"(?::[0-9]{{1,5}})?(?:[/?#]{BODY}*)?")
_SCHEME = re.compile(r"(?<![A-Za-z0-9])(?:https?|ftp)\Z", re.IGNORECASE)
_AT = re.compile(r"@[A-Za-z0-9.-]*")
_AT_HOST = re.compile(r"@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24})(?![A-Za-z0-9-])")
_BODY_RUN = re.compile(f"{BODY}*")


class LinkShaper:
    """Says web and e-mail addresses in words (``read``), leaves them out (``drop``), or lets them be (``keep``).

    In English ``https://www.example.com/docs?x=1`` is ``example dot com slash docs`` and ``bob@example.com`` is
    ``bob at example dot com``; in Chinese ``example点com斜杠docs`` and ``bob艾特example点com``. Scheme, ``www.``, query
    and fragment are not said, and of a path that nobody would read out nothing is. An address ends at the first
    character that is not ASCII; punctuation behind it belongs to the sentence. File names, versions, numbers and
    abbreviations are no addresses.

    ``read`` waits from the dot or the at sign on, as the word before it is said in any case; ``drop`` waits for the end
    of each word of ASCII characters. Nothing waits for more than 100 characters: what is behind them is not said.
    """

    __slots__ = ("_shaper", "feed")

    feed: Callable[[str], str]
    """Take the next piece and give what may be spoken now."""

    def __init__(self, mode: Mode = "read", language: str = "en") -> None:
        self._shaper: Reader | Dropper | None = None
        if mode != "keep":
            self._shaper = Reader(language) if mode == "read" else Dropper()
        self.feed = self._shaper.feed if self._shaper else _same

    def pause(self) -> str:
        """Give what was held back: a text that goes on here gets no closer look."""
        return self.flush()

    def rest(self) -> str:
        """Give what was held back: what follows is another text."""
        return self.flush()

    def flush(self) -> str:
        """Take the end of the text and give what was held back."""
        return self._shaper.flush() if self._shaper else ""


def _same(text: str) -> str:
    return text


class Reader:
    """Says addresses in words."""

    __slots__ = ("_held", "_last", "_plain", "_skipping", "_words")

    def __init__(self, language: str) -> None:
        self._words = addresses.words_of(language)
        # The end of what came, from what may be the beginning of an address, and the text before it.
        self._held = ""
        self._last = ""
        # Within an address that is too long to be said.
        self._skipping = False
        # Nothing of this asks for a closer look at a text without what addresses are made of.
        self._plain = True

    def feed(self, text: str, /) -> str:
        """Take the next piece and give what of it, and of what was held back, may be spoken now."""
        if not text:
            return text
        if self._plain and not _MAYBE.search(text):
            self._last = text
            return text
        return self._shape(text, final=False)

    def flush(self) -> str:
        """Take the end of the text and give what was held back."""
        rest = "" if self._plain else self._shape("", final=True)
        self._held = self._last = ""
        self._skipping = False
        self._plain = True
        return rest

    def _shape(self, text: str, *, final: bool) -> str:
        # The character before what is new tells whether a word or a host goes on.
        before = self._last[-1:]
        text = before + self._held + text
        position = len(before)
        self._held = ""
        given: list[str] = []
        while True:
            if self._skipping:
                end = _end(_BODY_RUN, text, position)
                rest = addresses.tail(text[position:end])
                if end == len(text) and not final:
                    self._held = rest
                    position = end - len(rest)
                    break
                given.append(rest)
                position = end
                self._skipping = False
            start = _START.search(text, position)
            if start is None:
                given.append(text[position:])
                position = len(text)
                break
            place = start.start()
            given.append(text[position:place])
            said, end = self._look(text, place, final=final)
            if said is None:
                self._held = text[place:]
                position = place
                break
            given.append(said)
            position = end
        self._last = text[:position][-1:]
        self._plain = not self._held and not self._skipping
        return "".join(given)

    def _look(self, text: str, place: int, *, final: bool) -> tuple[str | None, int]:
        """Give what is said for what begins at ``place``, None while that is not known, and where it ends."""
        open_end = not final and len(text) - place < LIMIT
        if text[place] == "@":
            return self._email(text, place, place, open_end=open_end)
        if text[place] == ".":
            return self._dot(text, place, open_end=open_end)
        if open_end and _URL_BEGUN.fullmatch(text, place):
            return None, place
        url = _URL.match(text, place, place + LIMIT)
        if url is None:
            return text[place], place + 1
        if url.end() == place + LIMIT:
            self._skipping = True
            return addresses.say_url(url[0], self._words), url.end()
        end = place + addresses.trimmed(url[0])
        return addresses.say_url(text[place:end], self._words), end

    def _dot(self, text: str, place: int, *, open_end: bool) -> tuple[str | None, int]:
        if place + 1 == len(text):
            return (None, place) if open_end else (".", place + 1)
        if text[place - 1].isdecimal() and text[place + 1].isdecimal():
            return ".", place + 1
        labels = _LABELS.match(text, place, place + LIMIT)
        if labels is None:
            return ".", place + 1
        end = labels.end()
        following = text[end : end + 1]
        if open_end and (not following or (following in ".:/" and end + 1 == len(text))):
            return None, place
        if following == "@":
            return self._email(text, place, end, open_end=open_end)
        scheme = _SCHEME.search(labels[0]) if following == ":" else None
        if scheme:
            # Right behind a dot an address begins.
            if open_end and len(text) < end + 3 and "://".startswith(text[end:]):
                return None, place
            if text.startswith("://", end):
                return labels[0][: scheme.start()], place + scheme.start()
        names = _NAMES.fullmatch(labels[0])
        path = following == "/" and text[end + 1 : end + 2].isalnum()
        if names is None or not addresses.is_domain(names[1], path=path):
            return labels[0], end
        behind = _BEHIND.match(text, end, place + LIMIT)
        stop = behind.end() if behind else end
        if open_end and stop == len(text):
            return None, place
        host = addresses.say_host(labels[0], self._words)
        if stop == place + LIMIT:
            self._skipping = True
            return host, stop
        rest = text[end:stop]
        rest = rest[: addresses.trimmed(rest)]
        port = rest[1:].partition("/")[0] if rest.startswith(":") else ""
        said = (self._words[":"] + port if port else "") + addresses.say_path(
            rest.removeprefix(f":{port}"), self._words
        )
        return host + said, end + len(rest)

    def _email(self, text: str, place: int, at: int, *, open_end: bool) -> tuple[str | None, int]:
        """Look at an at sign, in front of which the text from ``place`` on is part of the name."""
        end = _end(_AT, text, at, place + LIMIT)
        if open_end and end == len(text):
            return None, place
        host = _AT_HOST.match(text, at, end)
        if host is None:
            return text[place : at + 1], at + 1
        said = addresses.say_host(text[place:at] + "\0" + host[1], self._words).replace("\0", self._words["@"])
        return said, host.end()


def _end(pattern: re.Pattern[str], text: str, place: int, stop: int | None = None) -> int:
    found = pattern.match(text, place, len(text) if stop is None else stop)
    return found.end() if found else place
