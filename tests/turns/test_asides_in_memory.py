"""A phrase of the house is taken out of a platform's message, and an agent's own words never are, whoever says what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from offhook.events import CallContext, Message
from offhook.store.base import EventRecord, TurnRecord
from offhook.turns.call import CallLine
from offhook.turns.phrases import FILLERS, Phrases, SaidTurn
from tests.callers import Run, Talker, heard, scene, turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from offhook.events import Turn
    from tests.callers import Said

FILLER, OTHER = "Let me see. ", "One moment, please. "
AN_APOLOGY = "I am sorry, I could not do that just now."


def reply(generated: str, *asides: str, asked: str = "") -> SaidTurn:
    """Give a turn as the call knows it, with these fillers."""
    return SaidTurn.of([(one, "filler") for one in asides], asked=asked, generated=generated)


def shown(text: str, heard: int | None = None, *, interrupted: bool = False) -> Message:
    """Give an assistant's message of a window."""
    cut = interrupted or heard is not None
    return Message("assistant", text, {"role": "assistant", "content": text}, interrupted=cut, heard=heard)


def caller(text: str) -> Message:
    """Give a caller's message."""
    return Message("user", text, {"role": "user", "content": text})


def left_of(message: Message, *turns: SaidTurn, asked: str | None = None) -> Message:
    """Give what is left of a message behind what was asked, if that is shown, before what the caller says now."""
    window = [*([] if asked is None else [caller(asked)]), message, caller("and now?")]
    return Phrases().without(window, turns)[-2]


# --- an agent's own words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [None, "two", "one two"])
@pytest.mark.parametrize(
    "text",
    ["Let me see. Your order is here.", "Let me see.Your order is here.", "Let me see. Your or", "Let me see. Y"],
)
def test_an_answer_may_begin_with_the_words_of_an_earlier_filler(text: str, asked: str | None) -> None:
    """What an agent said stays, whole or cut short, whatever the platform makes of the white space."""
    turns = (reply("Ten.", FILLER, asked="one"), reply("Let me see. Your order is here.", asked="two"))
    for message in (shown(text), shown(text, 5), shown(text, interrupted=True)):
        assert left_of(message, *turns, asked=asked) is message


def test_an_answer_may_repeat_its_own_filler() -> None:
    """The house said it once and the agent once: once it is taken out, and not at all where it was not kept."""
    turns = [reply("Let me see. Ten.", FILLER)]
    assert left_of(shown("Let me see. Let me see. Ten."), *turns).text == "Let me see. Ten."
    message = shown("Let me see. Ten.")
    assert left_of(message, *turns) is message


def test_who_is_cut_off_after_a_filler_loses_no_word() -> None:
    """The agent's first letters may be those of another filler of ours."""
    one = left_of(shown("Let me see. L", 13), reply("Long ago.", FILLER))
    assert (one.text, one.heard) == ("L", 1)


# --- the house's --------------------------------------------------------------------------------------------------


@given(
    st.sampled_from([FILLER, OTHER]),
    st.lists(st.sampled_from(["Let me see.", "One moment, please.", "Ten.", "L"]), min_size=1, max_size=3),
    st.data(),
)
def test_what_was_heard_is_counted_in_the_answer(filler: str, words: list[str], data: st.DataObject) -> None:
    """However alike the two are, the filler goes and the offset becomes one into the answer."""
    answer = " ".join(words)
    place = data.draw(st.integers(0, len(filler + answer)))
    one = left_of(shown(filler + answer, place), reply(answer, filler, asked="so?"), asked="so?")
    assert (one.text, one.heard) == (answer, max(0, place - len(filler)))


@pytest.mark.parametrize("first", [True, False])
def test_the_caller_s_words_tell_which_of_two_answers_it_is(first: bool) -> None:
    """One begins with a filler of ours, the other with the same words of the agent's; both were cut off there."""
    turns = (reply("Ten.", FILLER, asked="one"), reply("Let me see. Your order is here.", asked="two"))
    for text in ("Let me see.", "Let me s"):
        one = left_of(shown(text, interrupted=True), *turns, asked="one" if first else "two")
        assert one.text == ("" if first else text)


def test_of_two_answers_that_read_the_same_the_words_before_decide() -> None:
    """With a filler and without one the platform holds the same text."""
    turns = (reply("Ten.", FILLER, asked="one"), reply("Let me see. Ten.", asked="two"))
    message = shown("Let me see. Ten.")
    assert left_of(message, *turns, asked="one").text == "Ten."
    assert left_of(message, *turns, asked="two") is message
    assert left_of(message, *turns) is message


def test_words_that_a_platform_put_before_the_caller_s_change_nothing() -> None:
    """It may make one message of two of them, the last of which was answered."""
    turns = (reply("Let me see. Yes.", asked="two"), reply("Ten.", FILLER, asked="one"))
    message = shown("Let me see.", interrupted=True)
    assert left_of(message, *turns, asked="well, two") is message
    assert left_of(message, *turns, asked="well, one").text == ""


def test_an_answer_that_is_all_of_a_message_goes_before_the_beginning_of_another() -> None:
    """Where the words before it are not shown, a whole answer is likelier than a newer one that was cut off."""
    message = shown("Let me see.", interrupted=True)
    assert left_of(message, reply("Let me see."), reply("Ten.", FILLER)) is message
    assert left_of(message, reply("Let me see. Yes."), reply("Ten.", FILLER)).text == ""


@pytest.mark.parametrize("generated", ["Hello.", "Let me see. Hello.", "L", ""])
@pytest.mark.parametrize("filler", ["Let me see. ", "Just a second. "])
def test_a_filler_of_a_turn_without_a_record_goes(generated: str, filler: str) -> None:
    """A server was killed after it: neither what earlier turns said nor that they said no filler makes it an answer."""
    turns = (reply(generated, asked="hi"), reply("Yes.", OTHER, asked="there?"))
    assert left_of(shown(filler), *turns, asked="how are you").text == ""
    assert left_of(shown(f"{filler}It is 3."), *turns, asked="how are you").text == "It is 3."


def test_a_turn_of_which_nothing_is_known_loses_one_phrase_of_a_kind() -> None:
    """A turn has a filler and an apology at most: what comes behind is the agent's."""
    assert left_of(shown(f"{FILLER}{AN_APOLOGY}")).text == ""
    assert left_of(shown(f"{FILLER}{OTHER}Ten.")).text == "One moment, please. Ten."


def test_a_call_knows_what_was_said_in_its_newest_turns() -> None:
    """Of a record that is not at hand any more nothing is held."""
    line = CallLine(CallContext(), id="c", begun_at=0.0)
    aside = EventRecord(kind="aside", at=1.5, data={"text": FILLER, "why": "filler"})
    for number in range(100):
        uid = f"turn_{number}"
        line.keep(TurnRecord(uid=uid, call_id="c", model="m", said="a b", generated="It is 3.", events=(aside,)))
    line.sent_again("turn_99", 5)
    assert line.said == (reply("It is 3.", FILLER, asked="ab"),) * 64


# --- a whole call -------------------------------------------------------------------------------------------------


class Slow(Talker):
    """An agent that is slow where it is asked to wait, and then says what it is to say."""

    @override
    async def __call__(self, turn: Turn) -> AsyncIterator[Any]:
        run = Run(turn)
        self._enter(run)
        try:
            wait, _, words = turn.text.partition(": ")
            if wait == "wait":
                await run.held()
            yield words
        finally:
            self._leave(run)


def test_a_call_is_remembered_though_an_answer_begins_like_a_filler() -> None:
    """With a window of two messages the third turn has all of the first two, and no filler."""
    with scene(Slow(), filler="on") as stage:
        wire = stage.ask(turn("c", 1, "wait: Ten."))
        stage.talker.wait(lambda: len(stage.talker.runs) == 1)
        stage.clock.wait_for_timers(2)
        stage.clock.advance(1.5)
        wire.read_until(b'. "')
        stage.talker.runs[-1].go_on()
        first = heard(wire).text
        filler = first.removesuffix("Ten.")
        assert filler.strip() in FILLERS["en"]
        own = f"{filler}Your order is here."
        history: Sequence[Said] = [("user", "wait: Ten."), ("assistant", first)]
        assert stage.tell(turn("c", 2, f"say: {own}", before=history)).text == own
        stage.tell(turn("c", 3, "say: Bye.", before=[("assistant", own)]))
        assert stage.talker.of("c")[-1].history == [
            ("user", "wait: Ten."),
            ("assistant", "Ten."),
            ("user", f"say: {own}"),
            ("assistant", own),
            ("user", "say: Bye."),
        ]
        assert [record.memory for record in stage.records("c")] == ["first", "aligned", "aligned"]


def test_a_filler_that_no_record_has_is_not_given_to_an_agent() -> None:
    """A window holds the filler of a turn that was lost with its server; the call knows an earlier turn."""
    with scene(Slow()) as stage:
        stage.tell(turn("c", 1, "say: Hello."))
        before: list[Said] = [("user", "say: Hello."), ("assistant", "Hello."), ("user", "how are you")]
        stage.tell(turn("c", 3, "say: Yes.", before=[*before, ("assistant", "Just a second. ")]))
        assert stage.talker.of("c")[-1].history == [*before, ("user", "say: Yes.")]
