"""A chain leads the text through its shapers, and what one held back through those behind it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.speech.chain import Chain, Shaper
from offhook.speech.emoji import EmojiShaper
from offhook.speech.links import LinkShaper
from offhook.speech.markdown import MarkdownShaper
from offhook.speech.rules import speech_of
from offhook.speech.sentences import SentenceSplitter
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

    def pause(self) -> str:
        return self.flush()

    def rest(self) -> str:
        return self.pause()

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


# --- pauses -------------------------------------------------------------------------------------------------------

TAGS = ("<imsagent_",)


@pytest.mark.parametrize(
    ("shaper", "text", "given"),
    [
        (LinkShaper(), "It is 3.", "."),
        (LinkShaper(), "It is 3", ""),
        (LinkShaper(), "bob@example", "@example"),
        (LinkShaper("drop"), "It is 3.", " 3."),
        (LinkShaper("keep"), "It is 3.", ""),
        (EmojiShaper(), "Yes (", "("),
        (EmojiShaper(), "Yes :", ":"),
        (EmojiShaper(), "Yes 👍", ""),
        (ThinkShaper(), "Yes <thi", ""),
        (ThinkShaper(inside=True), "Yes", ""),
        (TagShaper(TAGS), "Yes <imsa", ""),
        (TagShaper(TAGS), "Yes <imsagent_hangup reason='3.'", ""),
        (MarkdownShaper(), "Yes **", ""),
        (MarkdownShaper(), "Yes [the pa", ""),
        (MarkdownShaper(), "Yes [1, 2", "[1, 2"),
        (MarkdownShaper(), "1", "1"),
        (MarkdownShaper(), "Yes <imsa", ""),
        (MarkdownShaper(), "Yes [a <imsa", ""),
        (MarkdownShaper(), "```sh\noffhook", ""),
    ],
)
def test_what_a_pause_gives(shaper: Shaper, text: str, given: str) -> None:
    """Words and dots that wait are said, and not marks or the beginnings of tags and thoughts; nothing comes twice."""
    said = shaper.feed(text)
    assert shaper.pause() == given
    assert shaper.pause() == ""
    rest = shaper.flush()
    # What was not said stays held.
    assert given not in rest if given else rest == _whole(shaper, text).removeprefix(said)


def _whole(shaper: Shaper, text: str) -> str:
    """Give what a shaper that was flushed says of a text."""
    return "" if isinstance(shaper, ThinkShaper) and text == "Yes" else shaper.feed(text) + shaper.flush()


def test_a_pause_goes_through_what_is_behind() -> None:
    """What a shaper gives in a pause is shaped by those behind it."""
    chain = Chain([Late(), Late(upper=True)])
    assert [chain.feed("a"), chain.pause(), chain.pause(), chain.flush()] == ["", "A", "", ""]


@pytest.mark.parametrize("names", ["think,tags", "default"])
@pytest.mark.parametrize(
    "text",
    [
        "Hi.<think>no 3. (no</think> you",
        "Hi.<imsagent_transfer callee='3. 4'/> you",
        "Hi.<imsa<think>no</think>gent_hangup/> you",
    ],
)
def test_thoughts_and_tags_are_not_said_wherever_a_pause_cuts_them(names: str, text: str) -> None:
    """A pause behind any character, and behind each, leaves reasoning and tags unsaid."""
    for places in (*([place] for place in range(len(text) + 1)), range(len(text) + 1)):
        chain = speech_of(names).chain(TAGS)
        said = []
        for place in range(len(text) + 1):
            if place in places:
                said.append(chain.pause())
            said.append(chain.feed(text[place : place + 1]))
        assert "".join([*said, chain.flush()]) == "Hi. you"


@given(
    st.lists(
        st.sampled_from(["<", "think>", "</think>", "no", "imsagent_", "/>", " ", "a.", "(", "**", "'"]), max_size=20
    ),
    st.sets(st.integers(0, 40)),
)
def test_no_pause_says_a_thought_or_a_tag(parts: list[str], pauses: set[int]) -> None:
    """However pieces and pauses come, the same is said as without pauses, and no opening of a tag."""
    plain, paused = (speech_of("think,tags").chain(TAGS) for _ in range(2))
    whole = "".join(run(plain, *parts))
    said = []
    for place, part in enumerate(parts):
        said.append(paused.feed(part))
        if place in pauses:
            said.append(paused.pause())
    assert "".join([*said, paused.flush()]) == whole
    assert "<imsagent_" not in whole


def test_a_pause_gives_whole_pieces_only() -> None:
    """A sentence whose end waited for the next character is given, and words without an end are not."""
    splitter = SentenceSplitter()
    assert splitter.feed("It is three o'clock. ") == []
    assert splitter.pause() == ["It is three o'clock. "]
    assert [splitter.pause(), splitter.feed("So we"), splitter.pause(), splitter.pause()] == [[], [], [], []]
    assert [splitter.feed(" go."), splitter.pause(), splitter.flush()] == [[], ["So we go."], []]


@given(st.lists(st.sampled_from(["Dr", ".", " ", "So we go", "3", ",", "。", "好的", '"', "\n", "!"]), max_size=30))
def test_pieces_put_together_are_the_text_with_pauses_too(parts: list[str]) -> None:
    """No pause loses or doubles anything of the text, and none gives an empty piece."""
    splitter = SentenceSplitter()
    pieces = [piece for part in parts for piece in (*splitter.feed(part), *splitter.pause())]
    pieces += splitter.flush()
    assert "".join(pieces) == "".join(parts)
    assert all(pieces)
