"""What is kept of a turn, and the reply that is made of it again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from offhook.errors import UpstreamBusy
from offhook.events import Aside, Attempt, AttemptEnded, Command, Event, Finish, Text, ToolCall, Turn, Usage
from offhook.store.base import EventRecord
from offhook.turns.record import events_of, generated_at
from tests.desk import Desk, desk
from tests.doubles import Listener, Scripted, forever
from tests.store.samples import turn as kept_turn
from tests.table import Table, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from offhook.agents.base import ReplyWriter
    from offhook.store.base import TurnRecord

HELLO = [("system", "be kind"), ("user", "hello")]


class Counted(Listener):
    """A reader to which so many characters went out."""

    def __init__(self, sent: int) -> None:
        super().__init__()
        self._sent = sent

    @property
    @override
    def sent(self) -> int:
        return self._sent


async def recorded(it: Desk, answer: Callable[[Turn, ReplyWriter], Awaitable[None]], **asked: Any) -> TurnRecord:
    """Give the record of a turn that this function answers."""
    table = Table(journal=it.journal, store=it.store, clock=it.clock)
    await table.ask(Scripted(answer), Listener(), HELLO, **asked)
    await settled()
    await table.close()
    return it.store.turns[-1]


def writing(*events: Event) -> Callable[[Turn, ReplyWriter], Awaitable[None]]:
    """Give an agent that gives these events."""

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        reply.write(*events)

    return answer


# --- what is kept -------------------------------------------------------------------------------------------------


async def test_a_record_names_its_turn() -> None:
    """Call, turn, model and request are those of the request, and what was said is the caller's."""
    async with desk() as it:
        record = await recorded(it, writing(Text("Hi.")), call="c", id="7", model="m")
        assert (record.call_id, record.turn_id, record.model, record.said) == ("c", "7", "m", "hello")
        assert (record.which, record.kind, record.memory, record.stream) == ("newer", "utterance", "window", True)
        assert record.uid and record.request_id and record.digest and record.spoken


async def test_a_turn_without_a_call_is_kept_under_a_call_of_its_own() -> None:
    """The store is told that nobody named it."""
    async with desk() as it:
        first = await recorded(it, writing(Text("Hi.")), call=None)
        second = await recorded(it, writing(Text("Hi.")), call=None)
        assert first.call_id != second.call_id
        changes = [change.call for change in it.store.taken if hasattr(change, "call")]
        assert [(call.id, call.named) for call in changes] == [(first.call_id, False), (second.call_id, False)]


async def test_generated_and_sent_are_kept_apart() -> None:
    """All the words stand in one text, with a map between the two and no word on what was heard."""
    async with desk() as it:
        record = await recorded(it, writing(Text("Hel"), Text("lo. "), ToolCall("look"), Text("Bye.")))
        assert (record.generated, record.sent, record.map) == ("Hello. Bye.", "Hello. Bye.", ((0, 0),))
        assert record.heard is None


async def test_what_was_said_beside_the_answer_is_in_neither_text() -> None:
    """However much of a reply went out, of the answer that much was sent which stands there without the asides."""
    events = (Aside("Let me see. ", "filler"), Text("One, "), Text("two."), Aside(" Bye.", "closing"))
    whole = "Let me see. One, two. Bye."
    for sent in range(len(whole) + 1):
        async with desk() as it:
            table = Table(journal=it.journal, store=it.store, clock=it.clock)
            await table.ask(Scripted(writing(*events)), Counted(sent), HELLO)
            await settled()
            await table.close()
            [record] = it.store.turns
        words = whole[len("Let me see. ") : sent]
        assert (record.generated, record.sent) == ("One, two.", words.removesuffix(" Bye."[: max(0, sent - 21)]))
        assert record.map == (((0, 0),) if words else ())
        assert [(event.kind, event.data["why"]) for event in record.events] == [
            ("aside", "filler"),
            ("aside", "closing"),
        ]


async def test_what_a_turn_cost_is_kept() -> None:
    """All its attempts together; none where no price is known."""
    async with desk() as it:

        async def answer(turn: Turn, reply: ReplyWriter) -> None:
            it.clock.advance(2.5)
            for cost in (0.25, None, 0.5):
                reply.note(AttemptEnded(1, "a", "slow", 2.0, cost=cost))
            reply.write(Text("Hi."))

        it.clock.advance(100)
        record = await recorded(it, answer)
        assert record.cost == 0.75
        assert [event.data["at"] for event in record.events] == [0.5] * 3
        assert (await recorded(it, writing(Text("Hi.")), call="d")).cost is None


async def test_the_events_that_matter_are_kept_with_their_times() -> None:
    """Attempts, tool calls and commands, not words and not usage."""

    async with desk() as it:

        async def answer(turn: Turn, reply: ReplyWriter) -> None:
            reply.write(Attempt("model.test", "big"), Text("One moment."))
            it.clock.advance(0.5)
            reply.write(ToolCall("look", '{"n":1}', "c1"), Usage(10, 3))
            it.clock.advance(0.25)
            reply.write(Command("hangup"))

        it.clock.advance(100)
        record = await recorded(it, answer)
        assert record.events == (
            EventRecord(
                kind="attempt",
                at=0.0,
                data={"upstream": "model.test", "model": "big", "number": 1, "round": 1, "hedge": False},
            ),
            EventRecord(kind="tool_call", at=0.5, data={"name": "look", "arguments": '{"n":1}', "id": "c1"}),
            EventRecord(kind="command", at=0.75, data={"name": "hangup", "to": ""}),
        )
        assert (record.reason, record.prompt_tokens, record.completion_tokens) == ("tool_calls", 10, 3)


async def test_the_times_count_from_the_request() -> None:
    """When the agent started, the first thing that can be heard came, and the reply ended."""
    async with desk() as it:
        it.clock.advance(100)
        received = it.clock.now()

        async def answer(turn: Turn, reply: ReplyWriter) -> None:
            it.clock.advance(0.5)
            reply.write(Text(" "))
            it.clock.advance(0.5)
            reply.write(Text("Hi."))
            it.clock.advance(1.0)

        record = await recorded(it, answer)
        assert record.received_at == received
        assert (record.started, record.first_useful, record.cancelled, record.ended) == (0.0, 1.0, None, 2.0)


async def test_what_did_not_happen_has_no_time() -> None:
    """A client that has gone before the agent was called leaves neither a start nor a word."""
    async with desk() as it:
        table, reader = Table(journal=it.journal, store=it.store, clock=it.clock), Listener()
        live = await table.ask(Scripted(writing(Text("Hi."))), reader, HELLO)
        table.engine.leave(live, reader)
        await settled()
        await table.close()
        [record] = it.store.turns
        assert (record.reason, record.generated, record.sent, record.map) == ("cancelled", "", "", ())
        assert (record.started, record.first_useful, record.first_byte) == (None, None, None)
        assert (record.cancelled, record.ended) == (0.0, 0.0)


@pytest.mark.parametrize(("error", "code"), [(ValueError("13800000001"), "agent_error"), (UpstreamBusy("x"), None)])
async def test_a_failure_is_kept_by_its_code(error: Exception, code: str | None) -> None:
    """The message stays out of the record: it may hold what a caller said."""
    async with desk() as it:

        async def answer(turn: Turn, reply: ReplyWriter) -> None:
            raise error

        record = await recorded(it, answer)
        assert (record.reason, record.error) == ("failed", code or getattr(error, "code", None))
        assert "13800000001" not in repr(record)


async def test_a_turn_that_was_cut_off_has_the_time_of_that() -> None:
    """Superseded or cancelled: when that came in stands beside the end."""
    async with desk() as it:
        table = Table(journal=it.journal, store=it.store, clock=it.clock)

        async def answer(turn: Turn, reply: ReplyWriter) -> None:
            reply.write(Text("Well, "))
            await forever()

        await table.ask(Scripted(answer), Listener(), HELLO, id="1")
        await settled()
        it.clock.advance(1.5)
        await table.ask(Scripted(writing(Text("Hi."))), Listener(), HELLO, id="2")
        await settled()
        older = it.store.turns[0]
        assert (older.reason, older.cancelled, older.ended, older.sent) == ("superseded", 1.5, 1.5, "Well, ")
        assert older.error is None
        await table.close()


async def test_a_retry_stands_among_the_events() -> None:
    """A request that joined is kept by its id and time."""
    async with desk() as it:
        table, go = Table(journal=it.journal, store=it.store, clock=it.clock), asyncio.Event()

        async def answer(turn: Turn, reply: ReplyWriter) -> None:
            await go.wait()

        agent = Scripted(answer)
        first = await table.ask(agent, Listener(), HELLO, id="1")
        it.clock.advance(0.5)
        await table.ask(agent, Listener(), HELLO, id="1")
        go.set()
        await settled()
        [record] = it.store.turns
        [event] = record.events
        assert (event.kind, event.at) == ("retry", 0.5)
        assert event.data["request_id"] not in ("", first.request_id)
        await table.close()


# --- a reply of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["stop", "length"])
async def test_a_recorded_reply_is_the_reply(reason: str) -> None:
    """Its words come in one piece, then what it called and the tokens it took, and no attempt."""
    async with desk() as it:

        async def answer(turn: Turn, reply: ReplyWriter) -> None:
            reply.write(Attempt("model.test", "big"), Text("One "), Text("moment."))
            reply.write(ToolCall("look", '{"n":1}', "c1"), Command("hangup"), Usage(10, 3))
            if reason == "length":
                reply.close(Finish("length"))

        record = await recorded(it, answer)
        events, finish = events_of(record)
        assert events == (
            Text("One moment."),
            ToolCall("look", '{"n":1}', "c1"),
            Command("hangup"),
            Usage(10, 3),
        )
        assert finish == Finish("length" if reason == "length" else "stop")


async def test_a_replay_keeps_the_order_of_words_and_commands() -> None:
    """What stood before or between the words stands there again; no piece of text is cut that need not be."""
    async with desk() as it:
        events: tuple[Event, ...] = (
            Command("protect"),
            Aside("Well. ", "filler"),
            Text("One, "),
            Text("two. "),
            Command("say_to_app", data={"a": 1}),
            ToolCall("look", "{}", "c1"),
            Text("Three."),
            Command("hangup"),
        )
        record = await recorded(it, writing(*events))
        assert [event.data.get("behind") for event in record.events if event.kind != "aside"] == [0, 10, 10, None]
        assert events_of(record)[0] == (
            Command("protect"),
            Text("One, two. "),
            Command("say_to_app", data={"a": 1}),
            ToolCall("look", "{}", "c1"),
            Text("Three."),
            Command("hangup"),
        )


@pytest.mark.parametrize("behind", [-3, 0, 4, 400])
def test_a_place_that_is_none_loses_no_words(behind: int) -> None:
    """Whatever a record says of it, all the words come, once."""
    kept = kept_turn(
        generated="One. Two.",
        events=(
            EventRecord(kind="command", at=0.0, data={"name": "protect", "behind": 5}),
            EventRecord(kind="command", at=0.0, data={"name": "protect", "behind": behind}),
        ),
    )
    events, _ = events_of(kept)
    assert "".join(event.text for event in events if isinstance(event, Text)) == "One. Two."


def test_a_reply_without_words_has_no_empty_ones() -> None:
    """Of a reply that said nothing nothing is said."""
    assert events_of(kept_turn(generated="", sent="")) == ((), Finish("stop"))


# --- offsets ------------------------------------------------------------------------------------------------------


def test_an_offset_into_what_was_sent_is_found_in_what_was_generated() -> None:
    """Between two pairs of the map the texts run side by side, and nothing lies behind the end."""
    record = kept_turn(generated="**Good** day.", sent="Good day.", map=((0, 2), (4, 8)))
    assert [generated_at(record, sent) for sent in (0, 3, 4, 9, 99)] == [2, 5, 8, 13, 13]
    assert generated_at(kept_turn(generated="Hi.", sent="Hi."), 2) == 2


@given(st.text(), st.integers(0, 50))
def test_where_nothing_was_changed_the_offsets_are_the_same(text: str, sent: int) -> None:
    """With one pair at the beginning an offset means the same in both texts."""
    record = kept_turn(generated=text, sent=text, map=((0, 0),))
    assert generated_at(record, min(sent, len(text))) == min(sent, len(text))
