"""What an agent writes is made fit to be spoken on its way into the reply."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import TurnOver
from offhook.events import AttemptEnded, Event, Finish, Text, ToolCall, ToolRun, Usage
from offhook.turns.sound import Manner
from offhook.turns.voice import Voice
from tests.doubles import Listener, new_reply

if TYPE_CHECKING:
    from offhook.turns.reply import Reply

TAGS = ("<imsagent_", "<no interrupting")
WRITTEN = "<think>he wants <b>three</b></think>One <two, <imsagent_hangup/>three <no interrupting>four <"
SPOKEN = "One <two, three four <"


def new_voice(*, tags: tuple[str, ...] = TAGS) -> tuple[Voice, Reply, Listener, list[str]]:
    """Give a voice on a new reply, with the reply, its only reader, and the phrases that tools asked for."""
    reply, clock = new_reply()
    reader = Listener()
    reply.attach(reader)
    clock.advance(100)
    phrases: list[str] = []
    return (
        Voice(reply, Manner(tags=tags), phrases.append, lambda seconds: clock.monotonic() - seconds),
        reply,
        reader,
        phrases,
    )


@given(st.sets(st.integers(1, len(WRITTEN) - 1)), st.booleans())
def test_thoughts_and_tags_are_never_spoken_wherever_they_are_cut(cuts: set[int], at_once: bool) -> None:
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


def test_where_the_platform_has_no_tags_none_is_looked_for() -> None:
    """A line may speak of tags that mean nothing on it, and of thoughts nowhere."""
    voice, _, reader, _ = new_voice(tags=())
    voice.write(Text("<think>no</think><imsagent_hangup/>"))
    voice.close(Finish())
    assert reader.text == "<imsagent_hangup/>"


@pytest.mark.parametrize("event", [ToolCall("look"), ToolCall("look", "{}", "c")])
def test_what_is_held_back_comes_before_a_tool_call(event: Event) -> None:
    """Words that might have become a tag were none, once something else follows them."""
    voice, _, reader, _ = new_voice()
    voice.write(Text("It is <thi"))
    assert reader.text == "It is "
    voice.write(event, Text("s."))
    assert reader.events == [Text("It is "), Text("<thi"), event, Text("s.")]


def test_a_count_of_tokens_ends_no_word() -> None:
    """A service that counts after each piece may cut a tag in two by it."""
    voice, _, reader, _ = new_voice()
    voice.write(Text("<thi"), Usage(1, 2), Text("nk>no</think>Yes."))
    voice.close(Finish())
    assert reader.text == "Yes."


def test_thoughts_that_a_tool_call_cuts_off_stay_thoughts() -> None:
    """What is held back inside the reasoning is not spoken because a tool is called."""
    voice, _, reader, _ = new_voice()
    voice.write(Text("<think>he wants </thi"), ToolCall("look"))
    assert reader.events == [ToolCall("look")]


def test_nothing_is_written_behind_the_end() -> None:
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


def test_what_is_noted_has_the_time_when_it_began() -> None:
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
