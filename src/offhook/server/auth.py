"""Who may call, and for what: keys, checked before the body is read."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from offhook.errors import BadKey, NotAllowed
from offhook.server.keys import SCOPES, KeyScope, Limits, digest_of, split_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from offhook.server.keys import KeyBook


class Owner(msgspec.Struct, frozen=True):
    """Whose key came along: its id and name, what it may be used for, and how much.

    ``speech`` is what is done to the text of its calls before it is spoken, None for what the settings say.
    """

    id: str
    name: str
    scopes: tuple[KeyScope, ...] = SCOPES
    limits: Limits = Limits()
    speech: str | None = None

    @property
    def tenant(self) -> str:
        """Whose its calls are: everybody's with a key of that name; empty for the keys of the settings."""
        return "" if self.id in (ANYBODY.id, SETTINGS.id) else self.name


# No key of the book has such an id.
ANYBODY = Owner("anybody", "anybody")
SETTINGS = Owner("settings", "settings")

_NO_DIGEST = bytes(32)


class Keys:
    """The keys that this server accepts: ``keys`` of its settings, for everything, and those of a ``book``.

    With neither, everybody is let in (``--no-auth``).
    """

    def __init__(self, keys: Iterable[str], book: KeyBook | None = None) -> None:
        self._digests = [sha256(key.encode()).digest() for key in keys]
        self._book = book

    def check(self, headers: Mapping[str, str], query: Mapping[str, str], scope: KeyScope) -> Owner:
        """Give whose key came along, when one of the places that may hold one holds a good one for ``scope``.

        The places: ``Authorization: Bearer`` (scheme in any case, RFC 9110 11.1), the ``api-key`` header, and the
        ``api-key`` query parameter (the vendor's ``OpenAIExtraQuery``). Raises BadKey when there is no good key in
        them, which does not tell what is wrong with it, and NotAllowed when it is good but not for this.
        """
        if not self._digests and self._book is None:
            return ANYBODY
        offered = [key for key in (_bearer(headers), headers.get("api-key"), query.get("api-key")) if key]
        if not offered:
            raise BadKey(
                "No API key came along. Send 'Authorization: Bearer <API-KEY>' "
                "with the key that 'offhook serve' was given."
            )
        # No early way out: how long the check takes says nothing about the keys.
        good = [owner for owner in map(self._owner, offered) if owner is not None]
        if not good:
            raise BadKey(
                "Incorrect API key. Compare the API-KEY field of the workflow's LLM node with the server's key."
            )
        for owner in good:
            if scope in owner.scopes:
                return owner
        raise NotAllowed(f"This key is not for this: it has not the scope {scope!r}. Make one with --scope {scope}.")

    def _owner(self, key: str) -> Owner | None:
        digest = digest_of(key)
        # All of them are compared.
        settings = [hmac.compare_digest(digest, known) for known in self._digests]
        booked = self._booked(key)
        return SETTINGS if any(settings) else booked

    def _booked(self, key: str) -> Owner | None:
        if self._book is None or (parts := split_key(key)) is None:
            return None
        id, secret = parts
        found = self._book.find(id)
        same = hmac.compare_digest(digest_of(secret), _NO_DIGEST if found is None else found[1])
        if found is None or not same or found[0].state(self._book.now()) != "good":
            return None
        record = found[0]
        return Owner(record.id, record.name, record.scopes, record.limits, record.speech)


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None
