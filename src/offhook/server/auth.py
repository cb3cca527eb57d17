"""Who may call: keys, checked before the body is read."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from offhook.errors import BadKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Keys:
    """The keys that this server accepts; with none given everybody is let in (``--no-auth``)."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def check(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Return when one of the places that may hold a key holds a good one. Raises BadKey otherwise.

        The places: ``Authorization: Bearer`` (scheme in any case, RFC 9110 11.1), the ``api-key`` header, and the
        ``api-key`` query parameter (the vendor's ``OpenAIExtraQuery``).
        """
        if not self._digests:
            return
        offered = [key for key in (_bearer(headers), headers.get("api-key"), query.get("api-key")) if key]
        if not offered:
            raise BadKey(
                "No API key came along. Send 'Authorization: Bearer <API-KEY>' "
                "with the key that 'offhook serve' was given."
            )
        # No early way out: how long the check takes says nothing about the keys.
        good = [self._known(key) for key in offered]
        if not any(good):
            raise BadKey(
                "Incorrect API key. Compare the API-KEY field of the workflow's LLM node with the server's key."
            )

    def _known(self, key: str) -> bool:
        digest = sha256(key.encode("utf-8", "surrogateescape")).digest()
        return any(hmac.compare_digest(digest, known) for known in self._digests)


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None
