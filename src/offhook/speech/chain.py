"""Shapers one behind the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Shaper(Protocol):
    """Changes a text that comes in pieces, cut anywhere, into what is spoken; one for each reply."""

    def feed(self, text: str, /) -> str:
        """Take the next piece and give what may be spoken now, which may be nothing."""

    def pause(self) -> str:
        """Take that nothing has followed for a while and give what can be said all the same; the text may go on."""

    def rest(self) -> str:
        """Take the end of a part of the text and give what was held back; what follows begins a new line."""

    def flush(self) -> str:
        """Take the end of the text and give what was still held back."""


class Chain:
    """Shapers of which each is given what the one before it gives.

    Order matters: what puts pieces of text together by removing others, such as ``ThinkShaper``, stands before
    ``TagShaper``, which sees the text as it goes out.
    """

    __slots__ = ("_shapers", "feed")

    feed: Callable[[str], str]
    """Take the next piece and give what may be spoken now."""

    def __init__(self, shapers: Sequence[Shaper] = ()) -> None:
        self._shapers = tuple(shapers)
        # Most lines have none or one: those pay for no loop.
        match self._shapers:
            case ():
                self.feed = _same
            case (only,):
                self.feed = only.feed
            case _:
                # No method of this object: that would be a circle, which only the collector finds.
                self.feed = _through(tuple(shaper.feed for shaper in self._shapers))

    def pause(self) -> str:
        """Take that nothing has followed for a while and give what can be said all the same; the text may go on.

        What may still be the beginning of reasoning or of a control tag is held on: it must never be said.
        """
        return self._led((shaper.feed, shaper.pause) for shaper in self._shapers)

    def rest(self) -> str:
        """Take the end of a part of the text and give what was held back; what follows begins a new line.

        Reasoning and control tags go on into it, as in a pause.
        """
        return self._led((shaper.feed, shaper.rest) for shaper in self._shapers)

    def flush(self) -> str:
        """Take the end of the text and give what was held back."""
        return self._led((shaper.feed, shaper.flush) for shaper in self._shapers)

    def _led(self, shapers: Iterable[tuple[Callable[[str], str], Callable[[], str]]]) -> str:
        """Give what the shapers hold back, each one's rest led through those behind it."""
        rest = ""
        for feed, give in shapers:
            if rest:
                rest = feed(rest)
            rest += give()
        return rest


def _same(text: str) -> str:
    return text


def _through(feeds: Sequence[Callable[[str], str]]) -> Callable[[str], str]:
    def feed(text: str) -> str:
        for each in feeds:
            text = each(text)
            if not text:
                break
        return text

    return feed
