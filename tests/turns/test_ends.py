"""The end of a reply waits for its record and then reaches every reader; the server's end waits for nobody."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from offhook.dialects.base import Options
from offhook.dialects.plain import PLAIN
from offhook.events import Finish, Text, Turn
from offhook.server.outlet import Outlet
from offhook.server.stream import CompletionReader, Face, StreamReader
from offhook.turns import engine as engine_module
from offhook.wire.chat import decode_request
from tests.desk import WAIT, Desk, desk
from tests.doubles import Listener, Scripted, forever
from tests.oracle import check_completion, check_stream
from tests.raw import chat_body
from tests.table import Table, settled

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from offhook.agents.base import ReplyWriter
    from offhook.events import OpenCall

HELLO = [("user", "hello")]


async def say_hello(turn: Turn, reply: ReplyWriter) -> None:
    reply.write(Text("Hello, "))
    reply.write(Text("you."))


async def hold(turn: Turn, reply: ReplyWriter) -> None:
    await forever()


def table_of(it: Desk) -> Table:
    return Table(journal=it.journal, store=it.store, clock=it.clock)


class Deaf(Listener):
    """A reader to which the end of its body never gets."""

    @property
    @override
    def delivered(self) -> bool:
        return False


class Client:
    """A client of a server that does not say how full its transport is; nothing goes out while it is ``stopped``."""

    def __init__(self, table: Table, *, stream: bool = True) -> None:
        body = json.dumps(chat_body(stream=stream)).encode()
        face = Face(request=decode_request(body), request_id="req", dialect=PLAIN, options=Options(), holds=True)
        outlet = Outlet({"type": "http"}, self._send)
        self.reader = (StreamReader if stream else CompletionReader)(face, outlet, table.clock)
        self.got = b""
        self.over = False
        self.open = asyncio.Event()
        self.open.set()

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        await self.open.wait()
        self.got += message.get("body", b"")
        self.over = message["type"] == "http.response.body" and not message.get("more_body", False)


# --- the end is held ----------------------------------------------------------------------------------------------


async def test_only_the_end_waits_for_the_record() -> None:
    """Words and finish are read at once, and the body is ended when the record is committed."""
    async with desk() as it:
        it.store.mode = "hold"
        table, reader = table_of(it), Listener()
        await table.ask(Scripted(say_hello), reader, HELLO)
        await settled()
        assert (reader.text, reader.finish, reader.ended) == ("Hello, you.", Finish("stop"), 0)
        assert [details.reason for details in table.hook.turns] == ["stop"]
        it.store.answer()
        await settled()
        assert reader.ended == 1
        await table.close()


async def test_a_retry_that_comes_meanwhile_waits_too() -> None:
    """It reads the whole reply at once, and both bodies end with the commit."""
    async with desk() as it:
        it.store.mode = "hold"
        table, readers = table_of(it), [Listener(), Listener()]
        lives = [await table.ask(Scripted(say_hello), reader, HELLO, id="1") for reader in readers[:1]]
        await settled()
        lives.append(await table.ask(Scripted(say_hello), readers[1], HELLO, id="1"))
        assert lives[0] is lives[1]
        assert [(reader.text, reader.ended) for reader in readers] == [("Hello, you.", 0)] * 2
        it.store.answer()
        await settled()
        assert [reader.ended for reader in readers] == [1, 1]
        await table.close()


async def test_the_end_comes_by_the_spool_when_the_wait_is_over() -> None:
    """A store that does not answer holds no body longer than it may."""
    async with desk() as it:
        it.store.mode = "hold"
        table, reader = table_of(it), Listener()
        await table.ask(Scripted(say_hello), reader, HELLO)
        await settled()
        await it.pass_(WAIT)
        assert reader.ended == 1 and it.spool.pending == 1
        await table.close()


@pytest.mark.parametrize("mode", ["commit", "hold"])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_end_also_goes_out_where_somebody_must_send_it(mode: Any, stream: bool) -> None:
    """On a server that does not say how full its transport is the held end is sent without another write."""
    async with desk() as it:
        it.store.mode = mode
        table = table_of(it)
        client = Client(table, stream=stream)
        await table.ask(Scripted(say_hello), client.reader, HELLO, stream=stream)
        await settled()
        it.store.answer()
        await settled()
        assert client.over
        said = check_stream(client.got, usage_asked=False) if stream else check_completion(client.got)
        assert said.text == "Hello, you."
        await table.close()


async def test_what_a_slow_client_still_takes_counts_as_sent() -> None:
    """The record of a reply is made when its last words have gone out."""
    async with desk() as it:
        table = table_of(it)
        client = Client(table)
        client.open.clear()
        await table.ask(Scripted(say_hello), client.reader, HELLO)
        await settled()
        assert it.store.taken == []
        client.open.set()
        await settled()
        [kept] = it.store.turns
        assert (kept.generated, kept.sent) == ("Hello, you.", "Hello, you.")
        await table.close()


async def test_what_a_client_did_not_take_is_not_sent() -> None:
    """One that leaves while words wait for it has had less than was generated, and the record says how much."""
    async with desk() as it:
        table = table_of(it)
        client = Client(table)

        async def answer(turn: Turn, reply: ReplyWriter) -> None:
            reply.write(Text("Hello, "))
            await reply.drain()
            client.open.clear()
            reply.write(Text("you"))
            await reply.drain()

        live = await table.ask(Scripted(answer), client.reader, HELLO)
        await settled()
        table.engine.leave(live, client.reader)
        await settled()
        [kept] = it.store.turns
        assert (kept.reason, kept.generated, kept.sent) == ("cancelled", "Hello, you", "Hello, ")
        assert kept.map == ((0, 0),)
        client.open.set()
        await table.close()


async def test_a_reply_that_arrived_for_one_client_has_arrived() -> None:
    """Without turn ids: one that leaves after another got the reply to its end does not make it a retry again."""
    table, deaf, runs = Table(), Deaf(), []

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        runs.append(turn)
        reply.write(Text("Hello."))

    agent = Scripted(answer)
    first = await table.ask(agent, deaf, HELLO)
    await settled()
    second = await table.ask(agent, listener := Listener(), HELLO)
    assert len(runs) == 1 and listener.text == "Hello."
    for live, reader in ((second, listener), (first, deaf)):
        table.engine.leave(live, reader)
    await table.ask(agent, Listener(), HELLO)
    await settled()
    assert len(runs) == 2
    await table.close()


# --- a call ends ---------------------------------------------------------------------------------------------------


class Attending(Scripted):
    """An agent that wants to know of calls; ``told`` has what it heard."""

    def __init__(self) -> None:
        super().__init__(say_hello)
        self.told: list[str] = []

    @property
    @override
    def attends(self) -> bool:
        return True

    @override
    async def call_started(self, call: OpenCall) -> None:
        self.told.append("start")

    @override
    async def call_ended(self, call: OpenCall) -> None:
        self.told.append(f"end by {call.ended_by}")


async def test_a_call_that_goes_on_in_the_moment_of_its_end_is_told_both() -> None:
    """A request that is there before anybody could be told of the end does not undo it."""
    table, agent = Table(), Attending()
    await table.ask(agent, Listener(), HELLO, id="1")
    await settled()
    assert table.calls.end("c", "callback")
    await table.ask(agent, Listener(), HELLO, id="2")
    await settled()
    assert agent.told == ["start", "end by callback", "start"]
    await table.close()


# --- the server ends ----------------------------------------------------------------------------------------------


async def test_a_turn_that_lingers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the server goes down nobody waits for the platform to come back."""
    monkeypatch.setattr(engine_module, "_LONGEST_CLEAN_UP", 3600.0)
    table, reader = Table(), Listener()
    live = await table.ask(Scripted(hold), reader, HELLO, grace=60.0)
    await settled()
    table.engine.leave(live, reader)
    await settled()
    assert live.reply.finish is None
    await table.close()
    assert live.reply.finish is not None and live.reply.finish.reason == "cancelled"


async def test_a_turn_that_has_ended_does_not_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the agent is through nothing waits on the clock for it."""
    monkeypatch.setattr(engine_module, "_LONGEST_CLEAN_UP", 3600.0)
    table, reader, go = Table(), Listener(), asyncio.Event()

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        await go.wait()
        reply.write(Text("Hello."))

    live = await table.ask(Scripted(answer), reader, HELLO, grace=60.0)
    await settled()
    table.engine.leave(live, reader)
    go.set()
    await settled()
    assert live.reply.finish == Finish("stop")
    await table.close()
