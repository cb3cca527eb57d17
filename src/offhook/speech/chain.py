"""Shapers one behind the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Shaper(Protocol):
    """Changes a text that comes in pieces, cut anywhere, into what is spoken; one for each reply."""

    def feed(self, text: str, /) -> str:
        """Take the next piece and give what may be spoken now, which may be nothing."""

    def pause(self) -> str:
        """Take that nothing has followed for a while and give what can be said all the same; the text may go on."""

    def flush(self) -> str:
        """Take the end of the text and give what was still held back."""


class Chain:
    """Shapers of which each is given what the one before it gives.

    Order matters: what puts pieces of text together by removing others, such as ``ThinkShaper``, stands before
    ``TagShaper``, which sees the text as it goes out.
    """

    __slots__ = ("_feeds", "_shapers", "feed")

    feed: Callable[[str], str]
    """Take the next piece and give what may be spoken now."""

    def __init__(self, shapers: Sequence[Shaper] = ()) -> None:
        self._shapers = tuple(shapers)
        self._feeds = tuple(shaper.feed for shaper in self._shapers)
        # Most lines have none or one: those pay for no loop.
        match self._shapers:
            case ():
                self.feed = _same
            case (only,):
                self.feed = only.feed
            case _:
                self.feed = self._through

    def _through(self, text: str) -> str:
        for feed in self._feeds:
            text = feed(text)
            if not text:
                break
        return text

    def pause(self) -> str:
        """Take that nothing has followed for a while and give what can be said all the same; the text may go on.

        What may still be the beginning of reasoning or of a control tag is held on: it must never be said.
        """
        rest = ""
        for shaper in self._shapers:
            if rest:
                rest = shaper.feed(rest)
            rest += shaper.pause()
        return rest

    def flush(self) -> str:
        """Take the end of the text and give what was held back, each shaper's rest led through those behind it."""
        rest = ""
        for shaper in self._shapers:
            if rest:
                rest = shaper.feed(rest)
            rest += shaper.flush()
        return rest


def _same(text: str) -> str:
    return text
