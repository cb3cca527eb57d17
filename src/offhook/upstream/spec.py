"""A model service, as data."""

from __future__ import annotations

import msgspec


class UpstreamSpec(msgspec.Struct, frozen=True):
    """Where a model service is and how to ask it. Times are in seconds.

    ``base_url`` is without ``/chat/completions``; ``model`` None means the request's own model name.
    ``read_timeout`` bounds the silence between two reads.
    """

    base_url: str
    model: str | None = None
    key: str | None = None
    read_timeout: float = 60.0
