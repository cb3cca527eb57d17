"""A caller who asks, is silent, interrupts and hangs up at random, and keeps every byte with its time."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Literal, cast

from typing_extensions import override

from bench.serve import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = re.compile(r"([a-e])\.(t\w+)\.(\d+)\.(\d+)/(\d+);")
_MARK = re.compile(MARK.pattern.encode())
_FINISH = re.compile(rb'"finish_reason":"\w')
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
# Seconds after which a reply that goes on for ever is interrupted.
LONGEST = 2.5
# Seconds after which what was waited for will not come.
PATIENCE = 5.0
_TICK = 0.005

Platform = Literal["alibaba_ims", "plain"]


class Lag:
    """How late this process is: the longest delay of its own loop in any stretch of time.

    ``server`` has the times at which the server's loop was late, by how much, and for how long others had its core.
    """

    def __init__(self) -> None:
        self.late: list[tuple[float, float]] = []
        self.server: list[tuple[float, float, float]] = []

    async def watch(self) -> None:
        """Look all the time, until cancelled."""
        while True:
            due = time.monotonic() + _TICK
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            if now - due > 0.001:
                self.late.append((now, now - due))

    def between(self, start: float, end: float) -> float:
        """Give the longest delay between two times, in seconds; of one that began before or ended after, that part."""
        return max((_within(start, end, at, late) for at, late in self.late), default=0.0)

    def waited(self, start: float, end: float) -> float:
        """Give how long others had the server's core between two times, in seconds, at the longest; of one as above."""
        return max((min(wait, _within(start, end, at, late)) for at, late, wait in self.server), default=0.0)


def _within(start: float, end: float, at: float, late: float) -> float:
    """Give how many seconds of a delay that was seen at some time lie between two others."""
    return max(0.0, min(end, at) - max(start, at - late))


class Turn(asyncio.Protocol):
    """One turn on a connection of its own. Times are monotonic seconds.

    ``came`` is what was read and when. ``ended`` is when the response was over; ``left`` when the caller left before
    that, ``lost`` when the connection broke before either. ``newer`` is when a newer turn was asked for meanwhile.
    """

    def __init__(self, call: str, number: int, tag: str, platform: Platform, request: bytes) -> None:
        self.call = call
        self.tag = tag
        self.platform = platform
        self.name = f"{call}-{number}"
        self.came: list[tuple[float, bytes]] = []
        self.asked = 0.0
        self.ended: float | None = None
        self.left: float | None = None
        self.lost: float | None = None
        self.newer: float | None = None
        self.how = "stayed"
        self._request = request
        self._seen = b""
        self._marks = 0
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = loop.create_future()
        self.finishing: asyncio.Future[None] = loop.create_future()
        self.spoken: asyncio.Future[None] = loop.create_future()
        self.enough = 1
        self._transport: asyncio.Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A transport of uvloop is none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self.asked = time.monotonic()
        self._transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self.over.done():
            return
        self.came.append((now, data))
        self._seen += data
        if _FINISH.search(data) and not self.finishing.done():
            self.finishing.set_result(None)
        self._marks += len(_MARK.findall(data))
        if self._marks >= self.enough and not self.spoken.done():
            self.spoken.set_result(None)
        if self._whole():
            self.ended = now
            self._over()

    def _whole(self) -> bool:
        if self._seen.startswith(b"HTTP/1.1 200"):
            return self._seen.endswith(b"0\r\n\r\n")
        head, end, body = self._seen.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return bool(end) and length is not None and len(body) >= int(length[1])

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.lost = time.monotonic()
            self._over()

    def leave(self, how: str, *, reset: bool = False) -> None:
        """Go away before the end, in good order or as a machine does that lost its mind; after it nothing happens."""
        if self.over.done():
            return
        self.left, self.how = time.monotonic(), how
        if reset:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._over()

    def _over(self) -> None:
        self.over.set_result(None)
        self._transport.abort()

    async def wait(self, *marks: asyncio.Future[None], within: float) -> None:
        """Return when one of these has happened, or the turn is over, or so many seconds are."""
        await asyncio.wait({self.over, *marks}, timeout=within, return_when=asyncio.FIRST_COMPLETED)

    def text(self) -> str:
        """Give the words that came."""
        return "".join(found.group().decode() for found in _MARK.finditer(self._seen))


async def play(port: int, number: int, seed: str) -> list[Turn]:
    """Play one call, and give its turns."""
    chance = random.Random(f"{seed} {number}")
    platform: Platform = chance.choice(("alibaba_ims", "plain"))
    call = f"{seed}n{number}"
    said: list[dict[str, str]] = [{"role": "system", "content": "Be brief."}]
    turns: list[Turn] = []
    last = chance.choice((2, 3, 3))
    for at in range(1, last + 1):
        tag = f"t{number}x{at}" + ("d" if chance.random() < 0.3 else "g")
        said.append({"role": "user", "content": tag})
        turn = Turn(call, at, tag, platform, request(call, at, platform, said))
        turn.enough = chance.randint(1, 4)
        await asyncio.get_running_loop().create_connection(lambda turn=turn: turn, "127.0.0.1", port)  # type: ignore[misc]  # a default binds the loop's turn
        turns.append(turn)
        await act(turn, chance, may_interrupt=at < last)
        if words := turn.text():
            said.append({"role": "assistant", "content": words})
    for turn in turns:
        # Those that were interrupted by a newer turn are read to their end.
        await turn.wait(within=PATIENCE)
        turn.leave("given up")
    return turns


async def act(turn: Turn, chance: random.Random, *, may_interrupt: bool) -> None:
    """Be a caller for one turn: who listens, goes away at some point, or speaks again before the reply is over."""
    reset = chance.random() < 0.5
    draw = chance.random()
    if draw < 0.20 and may_interrupt:
        await turn.wait(within=chance.uniform(0.0, 1.0))
        if not turn.over.done():
            turn.newer = time.monotonic()
    elif draw < 0.45:
        how = chance.choice(("at once", "before a word", "mid-stream", "at the finish"))
        if how == "before a word":
            await turn.wait(turn.spoken, within=chance.uniform(0.0, 0.8))
        elif how == "mid-stream":
            await turn.wait(turn.spoken, within=LONGEST)
        elif how == "at the finish":
            await turn.wait(turn.finishing, within=LONGEST)
        turn.leave(how, reset=reset)
    else:
        await turn.wait(within=LONGEST)
        turn.leave("goes on and on", reset=reset)


def request(call: str, at: int, platform: Platform, said: list[dict[str, str]]) -> bytes:
    """Give a whole request; the platform's own fields, or headers, tell call and turn."""
    body: dict[str, Any] = {"model": "soak", "stream": True, "messages": said}
    headers = [f"X-Request-Id: {call}-{at}"]
    if platform == "alibaba_ims":
        body["extendData"] = {"instanceId": call, "sentenceId": at}
    else:
        headers += [f"X-Call: {call}", f"X-Turn: {at}"]
    raw = json.dumps(body).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {KEY}",
        "Content-Type: application/json",
        f"Content-Length: {len(raw)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


async def play_all(port: int, numbers: Iterator[int], seed: str, at_once: int) -> tuple[list[Turn], Lag]:
    """Play calls, so many at once, and give their turns and how late this process was meanwhile."""
    lag, turns = Lag(), list[Turn]()
    watch = asyncio.create_task(lag.watch(), name="lag")

    async def caller() -> None:
        for number in numbers:
            turns.extend(await play(port, number, seed))

    try:
        await asyncio.gather(*(caller() for _ in range(at_once)))
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    return turns, lag
