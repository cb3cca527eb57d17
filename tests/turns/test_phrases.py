"""What the house says by itself is varied, in the caller's language, and no part of the conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import SetupError
from offhook.events import Message
from offhook.turns.phrases import APOLOGIES, FILLERS, Phrases, SaidTurn, spaced

if TYPE_CHECKING:
    from offhook.turns.phrases import Why

OURS = Phrases(closings={"en": ["Sorry, the line broke."], "zh": ["抱歉，刚才断了。"]}, more=["Let me look that up."])
FILLED = [*FILLERS["en"], *FILLERS["zh"], "Let me look that up."]
SORRY = [*APOLOGIES["en"], *APOLOGIES["zh"]]
IN_FRONT = [*FILLED, *SORRY]
BEHIND = ["Sorry, the line broke.", "抱歉，刚才断了。"]
# Words as a model gives them: of digits, so that none of them is a phrase.
WORDS = st.from_regex(r"[0-9][0-9 ]{0,20}[0-9]", fullmatch=True)


def said(text: str, *, heard: int | None = None, interrupted: bool = False, role: str = "assistant") -> Message:
    fields = {"role": role, "content": text}
    return Message(role, text, fields, interrupted=interrupted or heard is not None, heard=heard)


def cleaned(message: Message, phrases: Phrases = OURS) -> Message:
    """Give a message as the agent sees it, with the caller's words behind it."""
    [one, _] = phrases.without([message, said("and?", role="user")])
    return one


# --- which is said ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["filler", "apology"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_phrase_is_in_the_language_and_never_the_one_before(why: Why, language: str) -> None:
    """In a hundred picks none follows itself, and each of the language's phrases is said."""
    table = {"filler": FILLERS, "apology": APOLOGIES}[why]
    phrases, before, told = Phrases(), None, set()
    for _ in range(100):
        picked = phrases.pick(why, language, before)
        assert picked is not None and picked in table[language] and picked != before
        told.add(picked)
        before = picked
    assert told == set(table[language])


def test_a_language_without_phrases_gets_english_ones() -> None:
    """A caller whose language nobody wrote phrases in hears something all the same."""
    assert Phrases().pick("filler", "ru") in FILLERS["en"]
    assert Phrases(closings={"zh": ["再见。"]}).pick("closing", "ru") == "再见。"


def test_one_s_own_phrases_stand_in_place_of_ours() -> None:
    """A language that is written replaces ours, and the other languages stay."""
    phrases = Phrases(fillers={"en": ["Hm.", "Well."], "fr": ["Un instant.", "Voyons."]})
    assert {phrases.pick("filler", "en") for _ in range(9)} == {"Hm.", "Well."}
    assert phrases.pick("filler", "fr") in ("Un instant.", "Voyons.")
    assert phrases.pick("filler", "zh") in FILLERS["zh"]


def test_without_closing_phrases_there_is_none() -> None:
    """Nobody is told goodbye in words that nobody wrote."""
    assert Phrases().pick("closing", "en") is None


def test_a_single_apology_is_said_again() -> None:
    """An honest end that was heard before is better than none."""
    phrases = Phrases(apologies={"en": ["Sorry."]})
    assert phrases.pick("apology", "en", "Sorry.") == "Sorry."


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"fillers": {"en": ["Hm."]}}, "two phrases"),
        ({"fillers": {"en": ["Hm.", "Hm."]}}, "two phrases"),
        ({"fillers": {"en": ["Hm.", " "]}}, "empty"),
        ({"apologies": {"fr": [""]}}, "empty"),
        ({"closings": {"fr": ["\n"]}}, "empty"),
    ],
)
def test_a_table_that_cannot_work_is_refused(tables: dict[str, dict[str, list[str]]], words: str) -> None:
    """One filler would be said twice in a row, and an empty phrase is silence."""
    with pytest.raises(SetupError, match=words):
        Phrases(**tables)


@pytest.mark.parametrize(
    ("phrase", "before", "given"),
    [
        ("Hm.", "", "Hm. "),
        ("Hm. ", "", "Hm. "),
        ("好的。", "", "好的。"),
        ("Минуту…", "", "Минуту… "),
        ("Bye.", "Well,", " Bye."),
        ("Bye.", "Well, ", "Bye."),
        ("再见。", "好，", "再见。"),
    ],
)
def test_a_phrase_is_parted_from_the_words_beside_it(phrase: str, before: str, given: str) -> None:
    """By a space where words are: a voice platform tells by it that a sentence is over."""
    assert spaced(phrase, before) == given


# --- the conversation without them --------------------------------------------------------------------------------


def some(phrases: list[str]) -> st.SearchStrategy[list[str]]:
    """Give one of the phrases, or none."""
    return st.lists(st.sampled_from(phrases), max_size=1)


@given(WORDS, some(FILLED), some(SORRY), some(BEHIND))
def test_a_reply_comes_back_as_the_model_gave_it(
    words: str, filler: list[str], apology: list[str], behind: list[str]
) -> None:
    """Whatever was said around a reply, nothing of it is left and nothing of the reply is lost."""
    kept = "".join(map(spaced, filler + apology)) + words + "".join(spaced(one, words) for one in behind)
    one = cleaned(said(kept))
    assert one.text == one.fields["content"] == words
    assert one.role == one.fields["role"] == "assistant"


@given(WORDS, st.sampled_from(IN_FRONT), st.data())
def test_what_was_heard_is_counted_in_the_reply(words: str, phrase: str, data: st.DataObject) -> None:
    """An offset into what was said with a filler becomes one into the reply, 0 where only the filler was heard."""
    front = spaced(phrase)
    heard = data.draw(st.integers(0, len(front + words)))
    one = cleaned(said(front + words, heard=heard))
    assert (one.text, one.heard, one.interrupted) == (words, max(0, heard - len(front)), True)


@given(st.sampled_from(IN_FRONT), st.data())
def test_a_filler_that_was_cut_off_leaves_a_reply_of_which_nothing_was_heard(phrase: str, data: st.DataObject) -> None:
    """A platform that keeps what was spoken keeps the beginning of a filler."""
    cut = data.draw(st.integers(1, len(phrase)))
    one = cleaned(said(phrase[:cut], heard=cut))
    assert (one.text, one.heard, one.interrupted) == ("", 0, True)


@given(WORDS, st.sampled_from(BEHIND), st.data())
def test_a_closing_that_was_cut_off_is_taken_away(words: str, phrase: str, data: st.DataObject) -> None:
    """Its first third is no sure sign of it, and any longer beginning is."""
    cut = data.draw(st.integers(len(phrase) // 3 + 1, len(phrase)))
    one = cleaned(said(words + spaced(phrase, words)[: cut + 1], heard=len(words) + cut))
    assert (one.text, one.heard) == (words, len(words))


@pytest.mark.parametrize("role", ["user", "system", "tool", "developer"])
def test_the_words_of_others_are_theirs(role: str) -> None:
    """A caller may say what the house says."""
    message = said("Let me see. It is 3.", role=role)
    assert cleaned(message) is message


@pytest.mark.parametrize(
    "message",
    [
        said("It is 3."),
        said("Well. Let me see. It is 3."),
        said("It is 3. Let me see."),
        said("Sorry, the line broke. It is 3."),
        said("Let me s"),
        said("It is 3, and", heard=5),
        said("", heard=0),
        said(""),
        said("  "),
        said("  ", heard=2),
    ],
)
def test_what_is_no_phrase_in_its_place_stays(message: Message) -> None:
    """A filler is only looked for in front and a closing only behind, and what was cut off only where that is told."""
    assert cleaned(message) is message


def test_a_turn_that_was_nothing_else_has_no_words() -> None:
    """Of a reply that was shown as a filler alone, or was an apology, nothing was heard."""
    for text in ("Let me see.", "Let me see. Sorry, something went wrong here. Could you say that again?"):
        one = cleaned(said(text))
        assert (one.text, one.fields["content"], one.heard) == ("", "", None)


def test_who_cut_in_on_a_filler_heard_nothing_also_where_no_place_is_told() -> None:
    """A platform may only say that the reply was cut off: what it kept is the filler's beginning."""
    one = cleaned(said("Let me s", interrupted=True))
    assert (one.text, one.heard, one.interrupted) == ("", 0, True)


def test_as_the_last_message_it_is_left_out() -> None:
    """A model is not given an empty answer to go on from."""
    first = said("hello", role="user")
    assert OURS.without([first, said("Let me see.")]) == (first,)
    empty = said("")
    assert OURS.without([first, empty]) == (first, empty)


def test_tool_calls_stay() -> None:
    """A filler that stood beside a tool call goes, and the call with its results is kept."""
    calls = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    fields = {"role": "assistant", "content": "Let me see.", "tool_calls": calls}
    [one] = OURS.without([Message("assistant", "Let me see.", fields)])
    assert (one.text, one.fields) == ("", {**fields, "content": ""})


def test_a_turn_has_one_phrase_of_a_kind() -> None:
    """What follows a filler is the agent's, also where it is what we might have said."""
    assert cleaned(said("Let me see. One moment, please. It is 3.")).text == "One moment, please. It is 3."


def test_the_phrases_of_an_older_setting_are_known_where_the_call_knows_them() -> None:
    """What was said counts, and not what would be said now."""
    turn = SaidTurn.of([("Hmm, hmm. ", "filler")], asked="?", generated="It is 3.")
    [one, _] = Phrases().without([said("Hmm, hmm. It is 3."), said("ok", role="user")], [turn])
    assert one.text == "It is 3."
