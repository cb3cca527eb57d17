"""A chain leads the text through its shapers, and what one held back through those behind it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.speech.chain import Chain, Shaper
from offhook.speech.tags import TagShaper
from offhook.speech.think import ThinkShaper


class Late:
    """Gives each piece with the next one, in capitals on request."""

    def __init__(self, *, upper: bool = False) -> None:
        self.held = ""
        self.upper = upper

    def feed(self, text: str, /) -> str:
        given, self.held = self.held, text
        return given.upper() if self.upper else given

    def flush(self) -> str:
        return self.feed("")


def run(chain: Chain, *pieces: str) -> list[str]:
    return [*map(chain.feed, pieces), chain.flush()]


def test_a_chain_without_shapers_changes_nothing() -> None:
    """A chain of nothing gives every piece as it came, and holds nothing back."""
    assert run(Chain(), "a <think>", "", "b") == ["a <think>", "", "b", ""]


def test_a_chain_of_one() -> None:
    """A chain of one shaper does what the shaper does."""
    assert run(Chain([ThinkShaper()]), "a<thi", "nk>b</think>c<") == ["a", "c", "<"]


def test_the_rest_goes_through_what_is_behind() -> None:
    """What a shaper held back at the end is shaped by those behind it, and theirs comes last."""
    assert run(Chain([Late(), Late(upper=True)]), "a", "b", "c") == ["", "", "A", "BC"]
    assert run(Chain([Late(upper=True), Late(), Late()]), "a", "b") == ["", "", "AB"]


def test_a_chain_is_a_shaper() -> None:
    """A chain can be part of a chain."""
    inner: Shaper = Chain([ThinkShaper()])
    assert run(Chain([inner, Late()]), "<think>a</think>", "b", "c<") == ["", "", "b", "c<"]


def test_a_tag_that_the_reasoning_parted() -> None:
    """A control tag that the removal of reasoning puts together does not go out armed."""
    chain = Chain([ThinkShaper(), TagShaper(("<imsagent_",))])
    assert "".join(run(chain, "Hi <imsa<think>x</think>gent_hang", "up/>.")) == "Hi ."


@given(st.lists(st.sampled_from(["<", "think>", "</think>", "imsagent_", "/>", " ", "a"]), max_size=30), st.data())
def test_no_cut_changes_anything(parts: list[str], data: st.DataObject) -> None:
    """The whole chain gives the same in one piece and in many."""
    text = "".join(parts)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    edges = [0, *places, len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]

    def chain() -> Chain:
        return Chain([ThinkShaper(), TagShaper(("<imsagent_",))])

    assert "".join(run(chain(), *pieces)) == "".join(run(chain(), text))


@pytest.mark.parametrize("shapers", [[], [ThinkShaper()], [ThinkShaper(), TagShaper(("<a",))]])
def test_a_chain_that_was_given_nothing(shapers: list[Shaper]) -> None:
    """The end of an empty text is empty."""
    assert Chain(shapers).flush() == ""
