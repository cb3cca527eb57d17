"""What a setting such as ``default,numbers`` says is done to the text before it is spoken."""

from __future__ import annotations

import pytest

from offhook.errors import SetupError
from offhook.speech.rules import MORE, SHAPERS, UNTOUCHED, Speech, speech_of

TAGS = ("<imsagent_",)


def spoken(setting: str, text: str, tags: tuple[str, ...] = TAGS) -> str:
    """Give what is spoken of a whole text."""
    chain = speech_of(setting).chain(tags)
    return chain.feed(text) + chain.flush()


def test_the_default_is_every_shaper() -> None:
    """Numbers are an extra, and whether sentences go out whole is the platform's choice."""
    assert speech_of("default") == Speech() == Speech(frozenset(SHAPERS), numbers=False, sentences=None)


@pytest.mark.parametrize("setting", ["default", " default ", "default,tags", "default,think,"])
def test_blanks_and_what_is_named_twice_change_nothing(setting: str) -> None:
    """A person may write the list as he likes."""
    assert speech_of(setting) == Speech()


def test_more_and_less_than_the_default_can_be_named() -> None:
    """A name adds, a minus takes away."""
    speech = speech_of("default,numbers,sentences,-think")
    assert (speech.numbers, speech.sentences) == (True, True)
    assert speech.shapers == frozenset(SHAPERS) - {"think"}
    assert speech_of("default,-sentences").sentences is False
    assert speech_of("think").shapers == {"think", "tags"}


def test_none_touches_nothing() -> None:
    """Reasoning, marks and the platform's own tags go out as the model wrote them."""
    assert speech_of("none") == UNTOUCHED
    text = "<think>no</think> **so** <imsagent_hangup/> https://example.com 😀"
    assert spoken("none", text) == text


def test_each_shaper_does_its_own() -> None:
    """One that is named alone leaves the work of the others undone."""
    text = "<think>no</think>so <imsagent_hangup/>it is"
    assert spoken("think,-tags", text) == "so <imsagent_hangup/>it is"
    assert spoken("tags", text) == "<think>no</think>so it is"
    assert spoken("think,tags", text) == "so it is"


def test_tags_are_disarmed_unless_they_are_named_with_a_minus() -> None:
    """Whoever names two others wants no caller to hang up by what he says."""
    assert speech_of("think,markdown") == speech_of("markdown,think,tags")
    assert "tags" not in speech_of("think,-tags").shapers
    assert speech_of("numbers").shapers == {"tags"}


def test_with_nothing_but_minus_it_is_taken_from_the_default() -> None:
    """A person who wants no more than his emoji back writes just that."""
    assert speech_of("-emoji") == speech_of("default,-emoji")
    assert speech_of("-sentences,-links") == speech_of("default,-sentences,-links")


@pytest.mark.parametrize("setting", ["", ",", "thinking", "none,think", "default,-none", "--think", "-default"])
def test_what_names_nothing_is_refused(setting: str) -> None:
    """The message says what can be written."""
    with pytest.raises(SetupError) as refused:
        speech_of(setting)
    assert "default,numbers,-emoji" in str(refused.value)


def test_every_name_is_a_setting() -> None:
    """What the message lists can be written."""
    for name in (*SHAPERS, *MORE):
        assert speech_of(name) == speech_of(f" {name} ")
