"""What an agent writes is made fit to be spoken on its way into the reply."""

from __future__ import annotations

import asyncio
import weakref
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import TurnOver
from offhook.events import AttemptEnded, Command, Event, Finish, Text, ToolCall, ToolRun, Usage
from offhook.speech.rules import Speech
from offhook.turns.sound import Manner
from offhook.turns.voice import Voice
from tests.doubles import AS_WRITTEN, Listener, new_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.events import CommandName, FinishReason
    from offhook.turns.reply import Reply

TAGS = ("<imsagent_", "<no interrupting")
WRITTEN = "<think>he wants <b>three</b></think>One <two, <imsagent_hangup/>three <no interrupting>four <"
SPOKEN = "One <two, three four <"


def new_voice(
    *,
    tags: tuple[str, ...] = TAGS,
    speech: Speech = AS_WRITTEN,
    sentences: bool = False,
    refuses: Callable[[CommandName, bool], str | None] = lambda name, begun: None,
) -> tuple[Voice, Reply, Listener, list[str]]:
    """Give a voice on a new reply, with the reply, its only reader, and the phrases that tools asked for."""
    reply, clock = new_reply()
    reader = Listener()
    reply.attach(reader)
    clock.advance(100)
    phrases: list[str] = []
    return (
        Voice(
            reply,
            Manner(tags=tags, speech=speech, sentences=sentences, refuses=refuses),
            phrases.append,
            lambda seconds: clock.monotonic() - seconds,
        ),
        reply,
        reader,
        phrases,
    )


@given(st.sets(st.integers(1, len(WRITTEN) - 1)), st.booleans())
async def test_thoughts_and_tags_are_never_spoken_wherever_they_are_cut(cuts: set[int], at_once: bool) -> None:
    """What goes out is the same whether the model's words came in one piece or many, in one step or several."""
    voice, _, reader, _ = new_voice()
    places = [0, *sorted(cuts), len(WRITTEN)]
    pieces = [Text(WRITTEN[start:end]) for start, end in pairwise(places)]
    for step in [pieces] if at_once else [[piece] for piece in pieces]:
        voice.write(*step)
    voice.close(Finish("stop"))
    assert reader.text == SPOKEN
    assert reader.finish == Finish("stop")
    assert all(event.text for event in reader.events if isinstance(event, Text))


async def test_where_the_platform_has_no_tags_none_is_looked_for() -> None:
    """A line may speak of tags that mean nothing on it, and of thoughts nowhere."""
    voice, _, reader, _ = new_voice(tags=())
    voice.write(Text("<think>no</think><imsagent_hangup/>"))
    voice.close(Finish())
    assert reader.text == "<imsagent_hangup/>"


@pytest.mark.parametrize("event", [ToolCall("look"), ToolCall("look", "{}", "c")])
async def test_what_is_held_back_comes_before_a_tool_call(event: Event) -> None:
    """A dot that might have become an address was none, once something else follows it."""
    voice, _, reader, _ = new_voice(speech=Speech())
    voice.write(Text("It is so."))
    assert reader.text == "It is so"
    voice.write(event, Text("Yes"))
    assert reader.events == [Text("It is so"), Text("."), event, Text("Yes")]


@pytest.mark.parametrize("event", [ToolCall("look"), Command("protect"), Command("say_to_app"), Command("hangup")])
@pytest.mark.parametrize("speech", [AS_WRITTEN, Speech()], ids=["as written", "default"])
@pytest.mark.parametrize("taken", [True, False])
async def test_nothing_in_the_middle_of_a_tag_arms_it(event: Event, speech: Speech, taken: bool) -> None:
    """A model that calls a function between two halves of a tag, or of its reasoning, has neither heard."""
    voice, _, reader, _ = new_voice(speech=speech, refuses=lambda name, begun: None if taken else "not here")
    for text in ("So <imsa", "gent_hangup/>it <no interrup", "ting>is <thi", "nk>hm</th", "ink>now"):
        voice.write(Text(text))
        voice.write(event)
    voice.close(Finish())
    assert reader.text == "So it is now"


async def test_a_count_of_tokens_ends_no_word() -> None:
    """A service that counts after each piece may cut a tag in two by it."""
    voice, _, reader, _ = new_voice()
    voice.write(Text("<thi"), Usage(1, 2), Text("nk>no</think>Yes."))
    voice.close(Finish())
    assert reader.text == "Yes."


async def test_thoughts_that_a_tool_call_cuts_off_stay_thoughts() -> None:
    """What is held back inside the reasoning is not spoken because a tool is called."""
    voice, _, reader, _ = new_voice()
    voice.write(Text("<think>he wants </thi"), ToolCall("look"))
    assert reader.events == [ToolCall("look")]


async def test_nothing_is_written_behind_the_end() -> None:
    """Events for a reply that has ended raise, also those of which nothing would be spoken; notes are passed over."""
    voice, reply, reader, _ = new_voice()
    voice.write(Text("It is <"))
    reply.close(Finish("superseded"))
    for text in ("three.", "<think>", ""):
        with pytest.raises(TurnOver):
            voice.write(Text(text))
    voice.note(ToolRun("look", "{}", "ok", 0.5))
    voice.close(Finish("stop"))
    assert reader.events == [Text("It is "), Finish("superseded")]


async def test_what_is_noted_has_the_time_when_it_began() -> None:
    """How long it took is known at its end, and so its beginning is counted back; no word ends by it."""
    voice, reply, reader, _ = new_voice()
    voice.write(Text("<thi"))
    voice.note(ToolRun("look", "{}", "ok", 0.5))
    voice.note(AttemptEnded(1, "a", "failed", 2.0))
    assert [getattr(event, "at", None) for event in reply.events] == [99.5, 98.0]
    voice.write(Text("nk>"))
    voice.close(Finish())
    assert reader.text == ""


def test_a_phrase_for_a_tool_is_passed_on() -> None:
    """Whether and when it is said is not the voice's to decide."""
    voice, _, reader, phrases = new_voice()
    voice.fill("Let me look that up.")
    assert (phrases, reader.events) == (["Let me look that up."], [])


# --- what waits when nothing follows ------------------------------------------------------------------------------


def timer(voice: Voice) -> asyncio.TimerHandle:
    """Give the timer that looks after what is held back."""
    assert voice._pausing is not None
    return voice._pausing


async def after(handle: asyncio.TimerHandle) -> None:
    """Return when the loop has come past the time of a timer."""
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_at(handle.when(), passed.set_result, None)
    await passed


@pytest.mark.parametrize("sentences", [False, True])
async def test_a_sentences_end_is_heard_although_nothing_follows(sentences: bool) -> None:
    """The dot that may go on as an address is said a tenth of a second behind the words at the latest."""
    voice, _, reader, _ = new_voice(speech=Speech(), sentences=sentences)
    voice.write(Text("It is 3."))
    assert reader.text == ("" if sentences else "It is 3")
    assert timer(voice).when() <= asyncio.get_running_loop().time() + 0.1
    await after(timer(voice))
    assert reader.text == "It is 3."
    assert voice._pausing is None
    voice.write(Text("com is a number."))
    voice.close(Finish())
    assert reader.text == "It is 3.com is a number."


async def test_what_is_held_back_anew_has_its_own_time() -> None:
    """A timer that finds younger words waits on for them, and no longer than a tenth of a second behind them."""
    voice, _, reader, _ = new_voice(speech=Speech())
    voice.write(Text("It is 3."))
    first = timer(voice)
    voice.write(Text(" No, 4."))
    assert timer(voice) is first
    await after(first)
    if voice._pausing is not None:
        assert timer(voice).when() <= first.when() + 0.1
        await after(timer(voice))
    assert reader.text == "It is 3. No, 4."


@pytest.mark.parametrize("held", ["<thi", "<imsagent_hang", "<think>he wants 3.", "<imsagent_transfer callee='3."])
async def test_what_may_be_thought_or_tag_is_not_said_in_a_pause(held: str) -> None:
    """However long the rest takes, the beginning of reasoning or of a tag stays unsaid, and so does the whole."""
    voice, _, reader, _ = new_voice(speech=Speech())
    voice.write(Text("Well" + held))
    await after(timer(voice))
    assert reader.text == "Well"
    rest = {"<thi": "nk>", "<imsagent_hang": "up/>", "<think>he wants 3.": "", "<imsagent_transfer callee='3.": "'/>"}
    voice.write(Text(rest[held] + ("no</think>" if "<thi" in held else "") + ", yes"))
    voice.close(Finish())
    assert reader.text == "Well, yes"


@pytest.mark.parametrize("way", ["close", "hurry", "settle"])
async def test_no_timer_is_left_behind_the_end(way: str) -> None:
    """Whoever ends the reply through the voice ends the timer too."""
    voice, _, reader, _ = new_voice(speech=Speech())
    voice.write(Text("It is 3."))
    handle = timer(voice)
    if way == "settle":
        await voice.settle()
        voice.close(Finish())
    elif way == "hurry":
        voice.hurry()
    else:
        voice.close(Finish())
    assert handle.cancelled() and voice._pausing is None
    assert reader.text == "It is 3."


@pytest.mark.parametrize("reason", ["superseded", "cancelled"])
async def test_a_reply_that_is_ended_past_the_voice_is_left_alone(reason: FinishReason) -> None:
    """Behind such an end nothing is written, and voice and reply are kept no longer than the timer's time."""
    voice, reply, reader, _ = new_voice(speech=Speech())
    voice.write(Text("It is 3."))
    handle = timer(voice)
    reply.close(Finish(reason))
    with pytest.raises(TurnOver):
        voice.write(Text(" And 4."))
    await after(handle)
    assert reader.events == [Text("It is 3"), Finish(reason)]
    assert voice._pausing is None
    # It hangs on the reply and on the voice.
    kept = weakref.ref(reply._clock)
    del voice, reply, handle
    assert kept() is None


async def test_a_late_close_ends_the_timer_of_a_reply_that_was_ended() -> None:
    """The agent of a superseded turn closes its voice, and nothing waits from then on."""
    voice, reply, _, _ = new_voice(speech=Speech())
    voice.write(Text("It is 3."))
    handle = timer(voice)
    reply.close(Finish("superseded"))
    voice.close(Finish("stop"))
    assert handle.cancelled() and voice._pausing is None
