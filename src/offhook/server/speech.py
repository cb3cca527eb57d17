"""What is done to the text of a request before it is spoken: as its key, its dialect or the settings say."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from offhook.errors import SetupError
from offhook.speech import numbers
from offhook.speech.rules import UNSHAPED, Speech, speech_of

if TYPE_CHECKING:
    from offhook.config import Settings
    from offhook.dialects.base import Options
    from offhook.speech.rules import Links
    from offhook.wire.chat import ChatRequest

log = logging.getLogger("offhook.server")


def speech_book(settings: Settings) -> SpeechBook:
    """Give the speech of a server.

    Raises SetupError when a setting says nothing, or asks for numbers and the package for them is missing.
    """
    book = SpeechBook(settings.speech, settings.speech_links)
    if asks_for_numbers(settings):
        check_numbers()
    return book


def asks_for_numbers(settings: Settings) -> bool:
    """Tell whether numbers are to be put into words anywhere. Raises SetupError when a setting says nothing."""
    # Every setting is read, so that a wrong one is told whatever stands before it.
    asked = [speech_of(settings.speech)]
    for name, table in settings.dialect.items():
        if isinstance(setting := table.get("speech"), str):
            try:
                asked.append(speech_of(setting))
            except SetupError as error:
                raise SetupError(f"[dialect.{name}]: {error}") from None
    return any(speech.numbers for speech in asked)


def check_numbers() -> None:
    """Raise SetupError when the packages that put numbers into words are missing."""
    if missing := numbers.ready():
        raise SetupError(missing)


def load_numbers() -> None:
    """Load what puts numbers into words. Raises SetupError where it cannot be used."""
    try:
        numbers.load()
    except (ImportError, RuntimeError, OSError) as error:
        raise SetupError(f"Numbers cannot be put into words: {error}.") from error


class SpeechBook:
    """The speech of every request: what its key says, else what its dialect's options say, else ``setting``."""

    def __init__(self, setting: str = "default", links: Links = "read") -> None:
        self._links: Links = links
        self._known: dict[str, Speech] = {}
        self._default = self.read(setting)

    def read(self, setting: str) -> Speech:
        """Give what a setting says, the same object for the same words. Raises SetupError when it says nothing."""
        speech = self._known.get(setting)
        if speech is None:
            speech = self._known[setting] = speech_of(setting, self._links)
        return speech

    def of(self, options: Options, key: str | None, request: ChatRequest) -> Speech:
        """Give the speech of a request. One that asks for JSON gets it as it is, but for tags: nobody is to hear it."""
        if _asks_for_json(request):
            return UNSHAPED
        for setting in (key, options.speech):
            if setting is not None:
                try:
                    return self.read(setting)
                except SetupError as error:
                    # The key file may be from a newer version; the options were checked at the start.
                    log.warning("%(error)s", {"error": error})
        return self._default


def _asks_for_json(request: ChatRequest) -> bool:
    asked = request.body.get("response_format")
    return isinstance(asked, dict) and asked.get("type") in ("json_object", "json_schema")
