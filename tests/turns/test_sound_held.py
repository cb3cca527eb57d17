"""Words that are there and only wait for the end of their sentence are said before the house says anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offhook.events import Aside, Text
from offhook.turns.sound import Manner
from offhook.turns.voice import Voice
from tests.turns.test_sound import Room

if TYPE_CHECKING:
    from offhook.events import Event

HELD = "Let me check that for you"


def held(**rules: Any) -> Room:
    """Give a turn whose agent has said half a sentence, on a platform that takes whole ones."""
    room = Room(**rules)
    voice = Voice(room.reply, Manner(sentences=True), lambda phrase: None, lambda seconds: seconds)
    room.sound.let_out = voice.let_out
    room.start()
    voice.write(Text(HELD))
    return room


def said(events: list[Event]) -> list[str]:
    """Give the texts, with the kind of those that are the house's own."""
    return [
        f"{event.why}: {event.text}" if isinstance(event, Aside) else event.text
        for event in events
        if isinstance(event, Text | Aside)
    ]


async def test_half_a_sentence_is_said_in_the_place_of_a_filler() -> None:
    """The caller hears what the agent has said so far, and no phrase of ours."""
    room = held(filler_after=1.0, deadline=8.0)
    assert said(await room.after(0.9)) == []
    assert said(await room.after(0.1)) == [HELD]
    assert room.late == 0


async def test_half_a_sentence_keeps_a_turn_from_being_too_late() -> None:
    """A turn that has words at its deadline has not failed."""
    room = held(filler_after=60.0, deadline=3.0, silence=0.0)
    assert said(await room.after(3)) == [HELD]
    assert room.late == 0


async def test_a_slow_answer_that_goes_on_is_no_silence() -> None:
    """What was written since the last sentence counts, though nobody has heard it yet."""
    room = held(filler_after=60.0, deadline=1.0, silence=2.0)
    assert said(await room.after(1)) == [HELD]
    voice = Voice(room.reply, Manner(sentences=True), lambda phrase: None, lambda seconds: seconds)
    room.sound.let_out = voice.let_out
    voice.write(Text(" and then"))
    assert said(await room.after(2))[-1] == " and then"
    assert room.late == 0
    await room.after(2)
    assert room.late == 1
