"""What goes out of a WebSocket when its client is slow, has gone, or wants a reply no more."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from offhook.dialects.base import Options
from offhook.dialects.retell import RETELL, Responses
from offhook.events import Finish, Text
from offhook.server.doors.socket import FrameReader, SocketOutlet
from offhook.server.flow import FLOW
from offhook.server.stream import Face
from offhook.testing import JumpClock
from offhook.wire.chat import ChatRequest

if TYPE_CHECKING:
    from starlette.types import Message


class Client:
    """The server's side of a connection: full or not, gone or not. ``came`` is what went out."""

    def __init__(self) -> None:
        self.write_paused = False
        self.error: Exception | None = None
        self.came: list[Message] = []
        self._free = asyncio.Event()

    async def send(self, message: Message) -> None:
        if self.error is not None:
            raise self.error
        self.came.append(message)

    async def drain(self) -> None:
        await self._free.wait()

    def take(self) -> None:
        """Take what waits, and all that comes."""
        self.write_paused = False
        self._free.set()

    @property
    def words(self) -> list[str]:
        """The words of the frames."""
        return [json.loads(message["text"])["content"] for message in self.came if "text" in message]


@pytest.fixture
async def client() -> Client:
    return Client()


def outlet_of(client: Client) -> SocketOutlet:
    scope: dict[str, Any] = {"type": "websocket", "extensions": {FLOW: client}}
    return SocketOutlet(scope, client.send, clock=JumpClock(), patience=30.0)


def reader_of(outlet: SocketOutlet, id: int = 1, *, holds: bool = False) -> FrameReader:
    face = Face(
        request=ChatRequest(messages=[], model="m"), request_id="r", dialect=RETELL, options=Options(), holds=holds
    )
    return FrameReader(face, Responses(id), outlet, JumpClock())


async def test_a_frame_goes_out_within_the_writers_step(client: Client) -> None:
    """Nothing waits for another task while the client keeps up."""
    reader = reader_of(outlet_of(client))
    reader.read([Text("One "), Text("two.")])
    assert client.words == ["One two."]
    assert (reader.sent, reader.blocked, reader.delivered) == (8, False, False)
    reader.read([Finish()])
    assert client.words == ["One two.", ""]
    assert reader.delivered


async def test_the_end_waits_for_the_record(client: Client) -> None:
    """The frame that ends a reply is held until it is safe, and its follow-up comes behind it."""
    over: list[int] = []
    reader = reader_of(outlet_of(client), holds=True)
    reader.on_over = lambda: over.append(len(client.came))
    reader.read([Text("One."), Finish()])
    assert (client.words, reader.delivered, over) == (["One."], False, [])
    reader.end()
    reader.end()
    assert (client.words, reader.delivered, over) == (["One.", ""], True, [2])


async def test_a_full_client_is_waited_for(client: Client) -> None:
    """What does not fit waits, counts as not sent, and goes out in order."""
    outlet = outlet_of(client)
    reader = reader_of(outlet)
    client.write_paused = True
    reader.read([Text("One.")])
    reader.read([Text("Two."), Finish()])
    assert (client.words, reader.sent, reader.blocked, outlet.waiting) == ([], 0, True, 3)
    waiting = asyncio.create_task(reader.drain())
    await asyncio.sleep(0)
    client.take()
    await waiting
    assert (client.words, reader.sent, reader.delivered) == (["One.", "Two.", ""], 8, True)


async def test_what_waits_of_a_superseded_reply_is_taken_back(client: Client) -> None:
    """Of the older reply nothing more goes out, and the newer one's frames do."""
    outlet = outlet_of(client)
    older, newer = reader_of(outlet, 1), reader_of(outlet, 2)
    client.write_paused = True
    older.read([Text("Old.")])
    newer.read([Text("New.")])
    waiting = asyncio.create_task(outlet.drain())
    await asyncio.sleep(0)
    older.read([Finish("superseded")])
    older.end()
    client.take()
    await waiting
    assert client.words == ["New."]
    assert (older.sent, older.blocked, newer.sent) == (0, False, 4)


async def test_taking_everything_back_while_it_is_waited_for_is_safe(client: Client) -> None:
    """Whoever waits for room finds nothing to send any more."""
    outlet = outlet_of(client)
    reader = reader_of(outlet)
    client.write_paused = True
    reader.read([Text("Old.")])
    waiting = asyncio.create_task(outlet.drain())
    await asyncio.sleep(0)
    reader.mute()
    client.take()
    await waiting
    assert client.words == []


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("after the close")])
async def test_a_client_that_has_gone_harms_no_writer(client: Client, error: Exception) -> None:
    """What is written goes nowhere, and does not count as sent."""
    outlet = outlet_of(client)
    reader = reader_of(outlet)
    client.error = error
    reader.read([Text("One.")])
    reader.read([Text("Two."), Finish()])
    outlet.close(1001)
    assert (client.came, reader.sent, reader.delivered) == ([], 0, False)


async def test_nothing_follows_a_goodbye(client: Client) -> None:
    """Behind the close no frame goes out, and a second close neither."""
    outlet = outlet_of(client)
    outlet.close(1008, "No key.")
    outlet.frame("{}")
    outlet.close(1001)
    assert client.came == [{"type": "websocket.close", "code": 1008, "reason": "No key."}]


async def test_a_reply_that_failed_ends_all_the_same(client: Client) -> None:
    """The platform waits for the end of a response whatever became of it."""
    reader = reader_of(outlet_of(client))
    reader.read([Finish("failed")])
    assert json.loads(client.came[0]["text"])["content_complete"] is True
