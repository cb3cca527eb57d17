"""Numbers are put into words in a thread, and the order of a reply stays what it was."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from offhook.errors import TurnOver
from offhook.events import Command, Finish, Text, ToolCall
from offhook.speech.rules import speech_of
from offhook.turns.aloud import Aloud, Reading
from offhook.turns.sound import Manner
from offhook.turns.voice import Voice
from tests.doubles import Listener, new_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook.events import Event

MANNER = Manner(speech=speech_of("default,numbers"))


class Reciter:
    """Says ``<n>`` for every digit, once it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.let.set()
        self.asked: list[tuple[str, str]] = []

    def __call__(self, sentence: str, language: str) -> str:
        self.asked.append((sentence, language))
        self.let.wait(10)
        if "9" in sentence:
            raise ValueError("nine")
        return "".join(f"<{one}>" if one.isdigit() else one for one in sentence)


@pytest.fixture
async def reciter() -> AsyncIterator[tuple[Reciter, Reading]]:
    """Give what says the numbers, and the reading through it."""
    reciter = Reciter()
    reading = Reading(reciter)
    await reading.start()
    yield reciter, reading
    reciter.let.set()
    await reading.close()


def speaking(reading: Reading) -> tuple[Voice, Listener]:
    """Give a voice that puts numbers into words, and who hears it."""
    reply, _ = new_reply()
    reader = Listener()
    reply.attach(reader)
    return Voice(reply, MANNER, lambda phrase: None, lambda seconds: seconds, reading=reading), reader


async def test_sentences_come_out_in_their_order(reciter: tuple[Reciter, Reading]) -> None:
    """One without a number waits for those before it, and a call for all that was said before it."""
    recited, reading = reciter
    voice, reader = speaking(reading)
    recited.let.clear()
    voice.write(Text("You are in room 12 now. There is a view. "), ToolCall("look"), Text("Gate 4."))
    voice.write(Command("hangup"))
    assert reader.events == []
    recited.let.set()
    await voice.settle()
    assert reader.text == "You are in room <1><2> now. There is a view. Gate <4>."
    kinds = [type(event) for event in reader.events]
    assert kinds.index(ToolCall) < kinds.index(Command)
    assert "Gate" not in "".join(e.text for e in reader.events[: kinds.index(ToolCall)] if isinstance(e, Text))


async def test_what_has_no_number_is_said_at_once(reciter: tuple[Reciter, Reading]) -> None:
    """Nobody is asked about it, and nothing waits."""
    recited, reading = reciter
    voice, reader = speaking(reading)
    recited.let.clear()
    voice.write(Text("Hello there, my friend. How"))
    assert reader.text.startswith("Hello there, my friend.")
    assert recited.asked == []


async def test_the_agents_own_end_waits_for_its_words(reciter: tuple[Reciter, Reading]) -> None:
    """A model that has ended its answer is heard to its last number, and then the reply ends as it said."""
    recited, reading = reciter
    voice, reader = speaking(reading)
    recited.let.clear()
    voice.write(Text("Room 12 is free now. And 4"))
    voice.close(Finish("length"))
    assert (reader.text, reader.finish) == ("", None)
    with pytest.raises(TurnOver):
        voice.write(Text("more"))
    recited.let.set()
    await voice.settle()
    voice.end(Finish("stop"))
    assert reader.text == "Room <1><2> is free now. And <4>"
    assert reader.finish == Finish("length")


async def test_an_end_from_outside_does_not_wait_for_words(reciter: tuple[Reciter, Reading]) -> None:
    """A reply that has to end now says the numbers as they were written, and nothing comes behind the end."""
    recited, reading = reciter
    voice, reader = speaking(reading)
    recited.let.clear()
    voice.write(Text("Room 12 is free now. And "))
    voice.end(Finish("failed"))
    assert reader.text == "Room 12 is free now. And "
    recited.let.set()
    await asyncio.gather(reading.read("1", "en"))
    assert reader.finish == Finish("failed")
    assert reader.text == "Room 12 is free now. And "


async def test_a_reply_that_is_over_takes_no_more(reciter: tuple[Reciter, Reading]) -> None:
    """An agent that goes on writing learns of the end as it does without numbers, and nobody reads for it."""
    recited, reading = reciter
    voice, reader = speaking(reading)
    voice.write(Text("So. "))
    voice.end(Finish("superseded"))
    with pytest.raises(TurnOver):
        voice.write(Text("Room 12 is free. And "))
    assert all("12" not in sentence for sentence, _ in recited.asked)
    assert reader.finish == Finish("superseded")


async def test_a_reply_has_one_sentence_read_at_a_time(reciter: tuple[Reciter, Reading]) -> None:
    """However much an agent writes, another reply waits for one sentence of it, and it is made to wait itself."""
    recited, reading = reciter
    greedy, reader = speaking(reading)
    polite, other = speaking(reading)
    recited.let.clear()
    for _ in range(200):
        greedy.write(Text("Room 1 is free now. "))
    assert greedy.blocked
    polite.write(Text("Gate 2 is open. "))
    recited.let.set()
    await polite.settle()
    assert other.text == "Gate <2> is open. "
    assert len(recited.asked) < 10
    await asyncio.wait_for(greedy.drain(), 10)
    assert not greedy.blocked
    greedy.over()
    read = len(reader.events)
    await reading.read("", "en")
    await asyncio.sleep(0)
    assert len(reader.events) == read


async def test_what_somebody_waits_for_is_said_as_it_is(reciter: tuple[Reciter, Reading]) -> None:
    """Before a filler or an apology would be said, the words are that are there already."""
    recited, reading = reciter
    voice, reader = speaking(reading)
    recited.let.clear()
    voice.write(Text("Room 12 is free. Let me check"))
    voice.let_out()
    assert reader.text == "Room 12 is free. Let me check"
    recited.let.set()


async def test_what_fails_at_the_reader_fails_the_turn(reciter: tuple[Reciter, Reading]) -> None:
    """The turn's task is told of it, and does not wait for ever."""
    _, reading = reciter

    def give(events: list[Event]) -> None:
        raise ValueError("no")

    aloud = Aloud(reading, "en", give)
    aloud.write([Text("Room 1")])
    with pytest.raises(ValueError, match="no"):
        await aloud.settle()


async def test_a_normaliser_that_fails_loses_no_word(
    reciter: tuple[Reciter, Reading], caplog: pytest.LogCaptureFixture
) -> None:
    """The sentence is said as it was written, and the log names the error and no word of the sentence."""
    _, reading = reciter
    voice, reader = speaking(reading)
    voice.write(Text("Room 9 is free. Room 1 too."))
    await voice.settle()
    assert reader.text == "Room 9 is free. Room <1> too."
    (record,) = caplog.records
    assert "ValueError" in record.getMessage() and "Room" not in record.getMessage()


async def test_each_sentence_is_read_in_its_own_language(reciter: tuple[Reciter, Reading]) -> None:
    """The script of the sentence tells it."""
    recited, reading = reciter
    voice, _ = speaking(reading)
    voice.write(Text("房间号是12。 The room is 12."))
    await voice.settle()
    assert {language for _, language in recited.asked} == {"zh", "en"}
