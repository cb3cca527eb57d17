"""Many calls at once: each stream plays one call after the other, turn by turn, with a platform's history."""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from typing import TYPE_CHECKING, Any, cast

import msgspec
from typing_extensions import override

from bench.agents import WORD
from bench.client import http_request
from offhook.dialects.alibaba_ims import INTERRUPTED
from offhook.node.request import ExtendData, request_body

if TYPE_CHECKING:
    from collections.abc import Iterator

_STAMP = re.compile(rb"t=(\d+);")
_FINISH = b'"finish_reason":"stop"'
_DONE = b"data: [DONE]"
_END = b"0\r\n\r\n"
PROMPT = (
    "你是一位耐心的电话客服，说话简短、口语化，不用列表和表情。来电人可能会打断你。"
    "先确认来电人的需求，再给出一个明确的下一步；不知道的事情就说不知道，并转给人工。"
)
ASKS = ("我想查一下上周的订单到哪里了", "那什么时候能送到呢", "可以改一下收货地址吗", "好的，那发票怎么开")


class Script(msgspec.Struct, frozen=True):
    """How the calls go: turns in each, events in a reply and the ms between them.

    With ``named`` false the requests carry no ids, so that they are nobody's turns. Of every ``cut``-th reply the
    platform reports that the caller cut it off half way; 0 for none.
    """

    turns: int = 6
    count: int = 80
    pace: float = 20
    stamps: int = 8
    named: bool = True
    cut: int = 0

    def asks(self, turn: int) -> str:
        """Give what the caller says in a turn, which also tells the agent how to answer."""
        wish = f"count={self.count} pace={self.pace:g} stamps={self.stamps}"
        return f"{ASKS[turn % len(ASKS)]}（第{turn}句，{wish}）"


class Calls:
    """What all calls of a run measure together; times in nanoseconds.

    ``first_frames`` is the time to the first word, ``ends`` that from the finish chunk to the end of the body.
    ``finished`` counts the replies that came whole since the beginning. ``asked`` keeps the request bodies where it is
    a list. ``refused`` is how an answer began that was none.
    """

    def __init__(self, script: Script, *, begin: int = 0) -> None:
        self.script = script
        self.running = True
        self.numbers: Iterator[int] = iter(range(begin, 10**9))
        self.finished = 0
        self.torn = 0
        self.lost = 0
        self.asked: list[dict[str, Any]] | None = None
        self.refused = b""
        self.begin_window()

    def begin_window(self) -> None:
        """Forget what was measured while the calls were starting."""
        self.events = 0
        self.turns = 0
        self.first_frames = array("q")
        self.ends = array("q")


class Caller(asyncio.Protocol):
    """Places one call after the other on one connection while the load runs; the first has so many turns."""

    def __init__(self, calls: Calls, turns: int) -> None:
        self._calls = calls
        self._left = turns
        self._turn = 0
        self._begin_call()
        self._transport: asyncio.Transport
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _begin_call(self) -> None:
        self._number = next(self._calls.numbers)
        self._turn = 0
        self._messages: list[dict[str, Any]] = [{"role": "system", "content": PROMPT}]

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A transport of uvloop is none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        script = self._calls.script
        self._turn += 1
        self._messages.append({"role": "user", "content": script.asks(self._turn)})
        body = request_body("bench", self._messages, self._extend_data() if script.named else None)
        if self._calls.asked is not None:
            self._calls.asked.append(body)
        data = http_request(msgspec.json.encode(body))
        self._stamps: list[bytes] = []
        self._finished = 0
        self._begun = self._done = False
        self._tail = b""
        self._transport.write(data)
        self._asked = time.monotonic_ns()

    def _extend_data(self) -> ExtendData:
        return ExtendData(
            instance_id=f"call-{self._number}",
            channel_id=f"room-{self._number}",
            sentence_id=self._turn,
            caller_number=f"138{self._number:08d}",
            callee_number="4008001234",
            user_data='{"tenant":"bench"}',
        )

    @override
    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        calls = self._calls
        if not self._begun:
            self._begun = True
            if not data.startswith(b"HTTP/1.1 200"):
                calls.refused = data
        stamps = _STAMP.findall(data)
        if stamps:
            if not self._stamps:
                calls.first_frames.append(now - self._asked)
            self._stamps += stamps
            calls.events += len(stamps) * calls.script.stamps
        if _FINISH in data:
            self._finished = now
        self._done = self._done or _DONE in data
        self._tail = data if len(data) >= len(_END) else (self._tail + data)[-len(_END) :]
        if self._tail.endswith(_END):
            self._over(now)

    def _over(self, now: float) -> None:
        calls, script = self._calls, self._calls.script
        whole = self._done and self._finished and len(self._stamps) * script.stamps == script.count
        calls.torn += not whole
        calls.finished += bool(whole)
        calls.turns += 1
        calls.ends.append(int(now) - self._finished)
        self._messages.append({"role": "assistant", "content": self._heard()})
        self._left -= 1
        if not calls.running:
            self.close()
            return
        if self._left <= 0:
            self._left = script.turns
            self._begin_call()
        self._ask()

    def _heard(self) -> str:
        """Give the reply as the platform will show it."""
        script = self._calls.script
        text = "".join(f"t={stamp.decode()};" + WORD * (script.stamps - 1) for stamp in self._stamps)
        if script.cut and self._turn % script.cut == 0:
            return text[: len(text) // 2] + INTERRUPTED
        return text

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self._calls.lost += 1
            self.over.set_result(None)

    def close(self) -> None:
        """Leave, whatever comes."""
        if not self.over.done():
            self.over.set_result(None)
        self._transport.abort()


async def open_caller(calls: Calls, port: int, turns: int) -> Caller:
    """Connect and place the first call, which has so many turns."""
    _, caller = await asyncio.get_running_loop().create_connection(lambda: Caller(calls, turns), "127.0.0.1", port)
    return caller
