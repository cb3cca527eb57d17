"""The JDK's HTTP client with its default settings, which offers HTTP/2 with every request on plain HTTP."""

from __future__ import annotations

import json

from tests.echo import digest, echo_server
from tests.peers.program import PROGRAMS, running

BODIES = (b'{"first": 1 }', b'{"second": 2}', b"x" * 260_000)


def test_java_offers_h2c(java: str) -> None:
    """Three POSTs of a default HttpClient (13 B, 13 B and 260 kB) arrive whole over one connection."""
    with echo_server() as echo, running([java, PROGRAMS / "H2c.java", echo.base_url]) as program:
        answers = [line.split(b" ", 2) for line in program.end().splitlines()]
    assert [(version, status) for version, status, _ in answers] == [(b"HTTP_1_1", b"200")] * 3
    told = [json.loads(body) for _, _, body in answers]
    assert all(digest(body).items() <= one.items() for body, one in zip(BODIES, told, strict=True))
    assert len(set(echo.ports)) == 1
