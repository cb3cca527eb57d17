"""When the house speaks by itself: the timers of a turn, and what a tool has to say while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.events import Aside, CallContext, Command, Event, Finish, Text, ToolCall, Turn
from offhook.testing import JumpClock
from offhook.turns.call import CallLine
from offhook.turns.live import CancelSignal
from offhook.turns.phrases import FILLERS, Phrases
from offhook.turns.reply import Reply
from offhook.turns.sound import Manner, Sound, SoundRules
from tests.doubles import Listener
from tests.table import settled

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOK = "Let me look that up."


class Room:
    """One turn's sound on a jumping clock that shows 100 s: its reply, and how often the deadline was told."""

    def __init__(self, *, manner: Manner | None = None, line: CallLine | None = None, **rules: Any) -> None:
        self.clock = JumpClock()
        self.clock.advance(100)
        self.reply = Reply(self.clock)
        self.reader = Listener()
        self.reply.attach(self.reader)
        self.late = 0
        self.sound = Sound(
            Turn(text="hello", cancelled=CancelSignal()),
            self.reply,
            manner=manner or Manner(),
            rules=SoundRules(**rules),
            phrases=Phrases(closings={"en": ["Bye."]}),
            clock=self.clock,
            line=line,
        )
        self.reply.on_useful = self.sound.heard

    def start(self, *, waited: float = 0.0) -> None:
        """Start the timers of a turn whose request came so many seconds ago."""

        def tell() -> None:
            self.late += 1

        self.sound.start(self.clock.monotonic() - waited, tell)

    async def after(self, seconds: float) -> list[Event]:
        """Let time pass, and give all that the reader has."""
        self.clock.advance(seconds)
        await settled()
        return self.reader.events


def whys(events: Iterable[Event]) -> list[str]:
    return [event.why for event in events if isinstance(event, Aside)]


async def test_time_counts_from_the_request() -> None:
    """What a request waited before its turn began is time in which its caller heard nothing."""
    room = Room(filler_after=1.5, deadline=8.0)
    room.start(waited=1.0)
    assert whys(await room.after(0.4)) == []
    assert whys(await room.after(0.1)) == ["filler"]
    await room.after(6.4)
    assert room.late == 0
    await room.after(0.1)
    assert room.late == 1


async def test_who_has_waited_too_long_is_told_at_once() -> None:
    """Where the time is over before the turn begins nothing is waited for."""
    room = Room()
    room.start(waited=60.0)
    assert whys(await room.after(0)) == ["filler"]
    assert room.late == 1


@pytest.mark.parametrize("event", [Text("Yes."), ToolCall("look")])
async def test_what_can_be_heard_stops_the_timers(event: Event) -> None:
    """So does a tool call, which the platform acts on."""
    room = Room(silence=0)
    room.start()
    room.reply.write(event)
    assert await room.after(100) == [event]
    assert room.late == 0


async def test_what_cannot_be_heard_stops_nothing() -> None:
    """White space and dots are silence."""
    room = Room()
    room.start()
    room.reply.write(Text(" ... "))
    assert whys(await room.after(8)) == ["filler"]
    assert room.late == 1


async def test_a_filler_does_not_stop_the_deadline() -> None:
    """It is not what the caller waits for."""
    room = Room()
    room.start()
    await room.after(1.5)
    assert room.reply.first_useful is None
    await room.after(6.5)
    assert room.late == 1


# --- a tool's own -------------------------------------------------------------------------------------------------


async def test_a_slow_tool_says_its_own_phrase() -> None:
    """After 0.3 seconds, and in place of the turn's filler."""
    room = Room()
    room.start()
    room.sound.fill(LOOK)
    assert await room.after(0.2) == []
    assert await room.after(0.1) == [Aside(f"{LOOK} ", "filler")]
    assert len(await room.after(5)) == 1


async def test_a_quick_tool_says_nothing() -> None:
    """An answer that comes meanwhile is better than any phrase."""
    room = Room()
    room.start()
    room.sound.fill(LOOK)
    await room.after(0.2)
    room.reply.write(Text("Yes."))
    assert await room.after(5) == [Text("Yes.")]


@pytest.mark.parametrize("before", [Text("Yes."), Finish()])
async def test_a_tool_that_comes_late_says_nothing(before: Event) -> None:
    """A phrase after the first word, or behind the end, is none."""
    room = Room()
    room.start()
    if isinstance(before, Finish):
        room.reply.close(before)
    else:
        room.reply.write(before)
    room.sound.fill(LOOK)
    assert await room.after(5) == [before]


@pytest.mark.parametrize(
    ("manner", "rules", "said"),
    [
        (Manner(), {}, True),
        (Manner(fillers=True), {}, True),
        (Manner(whole=True), {}, False),
        (Manner(), {"filler": "off"}, False),
        (Manner(whole=True), {"filler": "on"}, False),
    ],
)
async def test_who_hears_a_tool(manner: Manner, rules: dict[str, Any], said: bool) -> None:
    """Also where the platform has fillers of its own, since somebody wrote this one for this line."""
    room = Room(manner=manner, **rules)
    room.start()
    room.sound.fill(LOOK)
    assert (whys(await room.after(0.3)) == ["filler"]) == said


async def test_two_turns_in_a_row_do_not_say_the_same_for_a_tool() -> None:
    """One of the house's own takes the place of a phrase that the caller has just heard."""
    line = CallLine(CallContext(id="c"), id="c", begun_at=0.0)
    told = []
    for _ in range(3):
        room = Room(line=line)
        room.start()
        room.sound.fill(LOOK)
        [aside] = await room.after(0.3)
        assert isinstance(aside, Aside)
        told.append(aside.text.strip())
    assert (told[0], told[2]) == (LOOK, LOOK)
    assert told[1] in FILLERS["en"]


# --- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("telephone", "said", "asides"),
    [
        (True, [], ["apology"]),
        (False, [], []),
        (True, [Text(" ")], ["apology"]),
        (False, [Text(" ")], []),
        (True, [Text("Well,")], ["closing"]),
        (False, [Text("Well,")], ["closing"]),
        (True, [ToolCall("look")], ["closing"]),
    ],
)
async def test_what_is_said_before_a_failure(telephone: bool, said: list[Event], asides: list[str]) -> None:
    """An apology where only a voice is on the other end, a closing behind words, otherwise nothing."""
    room = Room(manner=Manner(telephone=telephone))
    room.start()
    if said:
        room.reply.write(*said)
    assert whys(room.sound.excuse()) == asides


async def test_a_closing_is_parted_from_the_words_before_it() -> None:
    """By one space, where there is none."""
    for words, closing in (("Well,", " Bye."), ("Well, ", "Bye.")):
        room = Room()
        room.reply.write(Text(words))
        assert room.sound.excuse() == (Aside(closing, "closing"),)


# --- silence in the middle ----------------------------------------------------------------------------------------


async def test_a_long_silence_in_the_middle_is_told() -> None:
    """After the first word there may be no silence as long as this."""
    room = Room(silence=10, filler="off")
    room.start()
    room.reply.write(Text("Let me check that."))
    await room.after(9.9)
    assert room.late == 0
    await room.after(0.1)
    assert room.late == 1


async def test_every_word_begins_the_silence_anew() -> None:
    """A word 9 s after the first gives the turn another 10 s."""
    room = Room(silence=10, filler="off")
    room.start()
    room.reply.write(Text("One."))
    await room.after(9)
    room.reply.write(Text("Two."))
    await room.after(9)
    assert room.late == 0
    await room.after(1)
    assert room.late == 1


async def test_a_client_that_takes_nothing_is_not_the_agents_silence() -> None:
    """While the reader is blocked nobody is late; when it is not any more, the silence is."""
    room = Room(silence=10, filler="off")
    room.start()
    room.reply.write(Text("One."))
    room.reader.block()
    await room.after(10)
    await room.after(10)
    assert room.late == 0
    room.reader.unblock()
    await room.after(10)
    assert room.late == 1


@pytest.mark.parametrize("ended", [True, False])
async def test_no_silence_is_told_of_an_ended_reply_or_without_a_limit(ended: bool) -> None:
    """Nothing comes when the reply is over, nor with the setting 0."""
    room = Room(silence=10 if ended else 0, filler="off")
    room.start()
    room.reply.write(Text("One."))
    if ended:
        room.reply.close(Finish("stop"))
    await room.after(60)
    assert room.late == 0


async def test_the_order_behind_an_apology_is_not_useful() -> None:
    """A turn that only said that it failed, and hung up, has no first useful event."""
    room = Room()
    room.reply.write(Aside("Sorry.", "apology"), Command("hangup"))
    assert room.reply.first_useful is None
