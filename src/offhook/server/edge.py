"""What the HTTP server needs to know of the settings."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import msgspec

from offhook.errors import SetupError
from offhook.server.protocol import Limits
from offhook.server.tls import Certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offhook.config import Settings


class Edge(msgspec.Struct, frozen=True):
    """The limits of a connection, its certificate (None: plain HTTP), and the proxies that are believed.

    ``max_frame`` is the bytes of a WebSocket message.
    """

    limits: Limits = Limits()
    certificate: Certificate | None = None
    proxies: tuple[str, ...] = ()
    max_frame: int = 8 * 1024 * 1024


def edge_of(settings: Settings) -> Edge:
    """Give what the settings say. Raises SetupError when it cannot work."""
    certificate = None
    if settings.tls_cert and settings.tls_key:
        certificate = Certificate(settings.tls_cert, settings.tls_key)
    elif settings.tls_cert or settings.tls_key:
        here, missing = ("--tls-cert", "--tls-key") if settings.tls_cert else ("--tls-key", "--tls-cert")
        raise SetupError(f"{here} is given and {missing} is not; TLS needs both.")
    limits = Limits(
        max_head=settings.max_head,
        head_timeout=settings.head_timeout,
        body_timeout=settings.body_timeout,
        slow_reader=settings.limits_slow_reader,
    )
    return Edge(
        limits=limits,
        certificate=certificate,
        proxies=_proxies(settings.forwarded_allow_ips),
        max_frame=settings.max_body,
    )


def _proxies(given: Sequence[str]) -> tuple[str, ...]:
    for proxy in given:
        if proxy != "*":
            try:
                ip_network(proxy)
            except ValueError:
                raise SetupError(
                    f"forwarded_allow_ips: {proxy!r} is no address, no network and not '*' (example: 10.0.0.0/8)."
                ) from None
    return ("*",) if "*" in given else tuple(given)
