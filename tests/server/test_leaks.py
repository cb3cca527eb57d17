"""A small round of disconnects: every turn ends, and no descriptor stays open."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from offhook.testing import live_server, scripted_upstream
from offhook.testing.upstream import HOLD

if TYPE_CHECKING:
    from offhook.testing import LiveServer
    from offhook.testing.upstream import Step

CLIENTS = 20
PATIENCE = 5.0
PHASES: dict[str, tuple[Step, ...]] = {
    "before upstream headers": (HOLD,),
    "before the first token": (b": nothing yet\n\n", HOLD),
    "mid-stream": ("Once upon", HOLD),
}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def request_bytes(server: LiveServer) -> bytes:
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {server.api_key}\r\n"
    return head.encode() + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def open_one(server: LiveServer, sent: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send that share of a request on a new connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.base_url).port)
    request = request_bytes(server)
    writer.write(request[: round(len(request) * sent)])
    await writer.drain()
    return reader, writer


@pytest.mark.skipif(sys.platform != "linux", reason="optional: descriptors are counted in /proc")
@pytest.mark.parametrize("phase", PHASES)
def test_disconnects_leave_no_turn_and_no_descriptor(phase: str) -> None:
    """After twenty disconnects in a phase, and half-sent requests, no turn is live and no descriptor more is open."""

    async def round_of(count: int, requests: int, sent: float) -> None:
        """Open connections, wait until the upstream has so many requests in all, and leave."""
        opened = await asyncio.gather(*(open_one(server, sent) for _ in range(count)))
        if sent == 1:
            await asyncio.to_thread(behind.wait_for_requests, requests)
            if phase == "mid-stream":
                await asyncio.gather(*(reader.readuntil(b"Once upon") for reader, _ in opened))
        for _, writer in opened:
            writer.close()

    with scripted_upstream(*PHASES[phase]) as behind, live_server(upstream=behind.base_url) as server:
        # What is opened once, for the first client, is not lost.
        asyncio.run(round_of(1, 1, 1))
        behind.wait_for_disconnects(1)
        server.wait_for_turns(1)
        before = descriptors()
        asyncio.run(round_of(CLIENTS, 1 + CLIENTS, 1))
        asyncio.run(round_of(CLIENTS, 1 + CLIENTS, 0.5))
        ended = server.wait_for_turns(1 + CLIENTS)
        assert len(ended) == len(behind.wait_for_requests()) == len(behind.wait_for_disconnects(1 + CLIENTS))
        assert {turn.reason for turn in ended} == {"cancelled"}
        until = time.monotonic() + PATIENCE
        while descriptors() > before and time.monotonic() < until:
            time.sleep(0.02)
        assert descriptors() <= before
