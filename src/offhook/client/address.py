"""Where an endpoint is: the base URL rule, and what may go into a request's head."""

from __future__ import annotations

import re

from yarl import URL

from offhook.errors import SetupError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def address(base_url: str, path: str) -> URL:
    """Give ``base_url`` with ``path`` appended to its path; its query string stays.

    This is what the workflow does with ``/chat/completions``. Raises SetupError when the base URL is no http(s) URL.
    """
    text = base_url.strip()
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise SetupError(f"The base URL {without_query(text)!r} is not a URL: {error}.") from None
    if url.scheme not in ("http", "https") or not url.host or port is None:
        raise SetupError(f"The base URL {without_query(text)!r} must look like http://host:port/v1 or https://host/v1.")
    if url.user is not None or url.password is not None:
        raise SetupError("The base URL must not hold a name or password; give the key as the API key.")
    return url.with_path(url.raw_path.rstrip("/") + path, encoded=True, keep_query=True)


def without_query(base_url: str) -> str:
    """Give a base URL as it may be shown: its query may hold a key."""
    return base_url.partition("?")[0]


def bearer(api_key: str | None) -> dict[str, str]:
    """Give the header that carries the key, none without one. Raises SetupError when a header cannot hold it."""
    if not api_key:
        return {}
    if _CONTROL.search(api_key) or not api_key.isascii():
        raise SetupError("The API key holds a line end, a control character or a letter beyond ASCII.")
    return {"Authorization": f"Bearer {api_key}"}
