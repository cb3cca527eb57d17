"""A reply is a log: one writer, many readers, each event once and in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from offhook.clock import SystemClock
from offhook.errors import TurnOver
from offhook.events import Command, Finish, Text, ToolCall, Usage
from offhook.turns.reply import Reply
from tests.doubles import Listener, new_reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offhook.events import Event


def test_a_reader_is_given_events_in_the_writers_own_step_and_order() -> None:
    """What one write brings reaches every reader at once, in order, before write returns."""
    reply, _ = new_reply()
    first, second = Listener(), Listener()
    reply.attach(first)
    reply.attach(second)
    reply.write(Text("a"), Text("b"))
    reply.write(Text("c"))
    assert first.events == second.events == [Text("a"), Text("b"), Text("c")]
    assert first.steps == [2, 1]


def test_a_late_reader_sees_everything_from_the_first_event() -> None:
    """A reader that comes late is given the whole log, and then what follows."""
    reply, _ = new_reply()
    reply.write(Text("a"))
    reply.write(Text("b"))
    late = Listener()
    reply.attach(late)
    assert late.events == [Text("a"), Text("b")]
    reply.write(Text("c"))
    assert late.events == [Text("a"), Text("b"), Text("c")]


def test_a_reader_that_comes_after_the_end_sees_the_finish() -> None:
    """A reply that has ended can still be read whole, its finish included."""
    reply, _ = new_reply()
    reply.write(Text("a"))
    reply.close(Finish("length"))
    late = Listener()
    reply.attach(late)
    assert late.events == [Text("a"), Finish("length")]


def test_a_reader_of_an_empty_reply_is_not_called() -> None:
    """Attaching to a reply without events calls nobody."""
    reply, _ = new_reply()
    reader = Listener()
    reply.attach(reader)
    assert reader.steps == []


def test_a_detached_reader_is_given_nothing_more() -> None:
    """Who has left the reply is not called again, and leaving twice is no fault."""
    reply, _ = new_reply()
    reader = Listener()
    reply.attach(reader)
    assert reply.readers == 1
    reply.detach(reader)
    reply.detach(reader)
    reply.write(Text("a"))
    assert reader.events == []
    assert reply.readers == 0
    assert reply.events == [Text("a")]


def test_writing_after_the_finish_raises() -> None:
    """A write to a reply that has ended raises TurnOver and leaves the log as it was."""
    reply, _ = new_reply()
    reply.close(Finish())
    with pytest.raises(TurnOver):
        reply.write(Text("late"))
    assert reply.events == [Finish()]


def test_only_the_first_finish_counts() -> None:
    """Closing a reply a second time changes nothing."""
    reply, _ = new_reply()
    reader = Listener()
    reply.attach(reader)
    reply.close(Finish("cancelled"))
    reply.close(Finish("stop"))
    assert reply.finish == Finish("cancelled")
    assert reader.events == [Finish("cancelled")]


def test_a_reader_that_ends_the_reply_while_it_reads_the_finish_gets_one_finish() -> None:
    """A reader may leave, and thereby close the reply, from within its own read of the finish."""
    reply, _ = new_reply()

    class Leaver(Listener):
        @override
        def read(self, events: Sequence[Event]) -> None:
            super().read(events)
            reply.close(Finish("cancelled"))

    leaver = Leaver()
    reply.attach(leaver)
    reply.close(Finish("stop"))
    assert reply.events == leaver.events == [Finish("stop")]


@pytest.mark.parametrize("event", [Text("word"), ToolCall("lookup"), Command("hangup")])
def test_the_first_useful_event_is_marked_with_the_clock(event: Text | ToolCall | Command) -> None:
    """The mark is the monotonic time of the first word, tool call or command."""
    reply, clock = new_reply()
    clock.advance(1.5)
    reply.write(event)
    clock.advance(1.0)
    reply.write(Text("more"))
    assert reply.first_useful == 1.5


@pytest.mark.parametrize("event", [Text(""), Text(" "), Text("\n\t\u3000"), Usage(1, 2), Finish()])
def test_what_nobody_hears_is_not_useful(event: Text | Usage | Finish) -> None:
    """White space, usage and the finish leave the mark empty."""
    reply, _ = new_reply()
    if isinstance(event, Finish):
        reply.close(event)
    else:
        reply.write(event)
    assert reply.first_useful is None


def test_a_useful_event_behind_white_space_in_one_write_is_marked() -> None:
    """The mark looks at every event of a write, not only at the first."""
    reply, clock = new_reply()
    clock.advance(2.0)
    reply.write(Text(" "), Text("word"))
    assert reply.first_useful == 2.0


async def test_drain_waits_for_every_reader_that_is_blocked() -> None:
    """The writer waits until the last blocked reader can take more."""
    reply, _ = new_reply()
    slow, slower, quick = Listener(), Listener(), Listener()
    for reader in (slow, slower, quick):
        reply.attach(reader)
    assert not reply.blocked
    slow.block()
    slower.block()
    assert reply.blocked
    waiting = asyncio.ensure_future(reply.drain())
    await asyncio.sleep(0)
    slow.unblock()
    await asyncio.sleep(0)
    assert not waiting.done()
    slower.unblock()
    await waiting
    assert not reply.blocked


async def test_drain_returns_at_once_when_nobody_is_blocked() -> None:
    """A writer whose readers keep up, or that has none, does not wait."""
    reply, _ = new_reply()
    await reply.drain()
    reply.attach(Listener())
    await reply.drain()


def test_a_reader_that_cannot_write_the_end_is_given_a_failure() -> None:
    """A finish that a reader raises on becomes a failed one, so that its client is answered."""

    class Breaking(Listener):
        def __init__(self) -> None:
            super().__init__()
            self.finishes: list[Finish] = []

        @override
        def read(self, events: Sequence[Event]) -> None:
            self.finishes.extend(event for event in events if isinstance(event, Finish))
            if self.finishes and self.finishes[-1].reason != "failed":
                raise TypeError("cannot be written")

    reply, reader = Reply(SystemClock()), Breaking()
    reply.attach(reader)
    reply.close(Finish("stop"))
    assert [finish.reason for finish in reader.finishes] == ["stop", "failed"]
    assert reply.finish is reply.events[-1] is reader.finishes[-1]
