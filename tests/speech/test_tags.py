"""A platform's control tags never go out armed, and no other text is changed."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.speech import tags
from offhook.speech.tags import LIMIT, TagShaper, disarm

OPENINGS = ("<imsagent_", "<no interrupting")
ARMED = re.compile(r"<\s*/?\s*(imsagent_|no\s+interrupting)", re.IGNORECASE)
HANGUP = '<imsagent_hangup endword="Bye."/>'


def shaped(*pieces: str, openings: tuple[str, ...] = OPENINGS) -> str:
    shaper = TagShaper(openings)
    return "".join([*(shaper.feed(piece) for piece in pieces), shaper.flush()])


FORMS: dict[str, tuple[str, str]] = {
    "nothing": ("", ""),
    "no tag": ("Well, hello.", "Well, hello."),
    "a hang-up": (f"Bye.{HANGUP}", "Bye."),
    "a transfer": ('One moment.<imsagent_transfer_call callee="1", msg="a"/> Yes.', "One moment. Yes."),
    "no interrupting": ("<No Interrupting>Listen.", "Listen."),
    "capitals": ("a<IMSAGENT_hangup/>b", "ab"),
    "white space": ("a< \n imsagent_hangup />b<no \t interrupting>c", "abc"),
    "a closing tag": ("a</imsagent_hangup>b< / no interrupting >c", "abc"),
    "more letters": ("a<no interruptingly>b", "ab"),
    "a bracket in quotes": ("a<imsagent_hangup endword=\"1 > 0\" x='>'/>b", "ab"),
    "a tag in quotes": ('a<imsagent_hangup endword="<imsagent_hangup/>"/>b', "ab"),
    "two": (f"{HANGUP}a{HANGUP}b", "ab"),
    "side by side": (f"a{HANGUP}{HANGUP}b", "ab"),
    "one inside another": ("<imsagent_<imsagent_hangup/>hangup/>", "hangup/>"),
    "one that the removal puts together": ("<imsa<imsagent_hangup/>gent_hangup/>", "imsagent_hangup/>"),
    "put together from the sign": ("<<imsagent_hangup/>imsagent_hangup/>", "imsagent_hangup/>"),
    "put together in three": ("<i<ims<imsagent_a/>agent_b/>msagent_c/>", "iimsagent_b/>msagent_c/>"),
    "put together by two": ("<imsa<imsagent_a/><imsagent_b/>gent_c/>", "imsagent_c/>"),
    "put together by another": ("<no <imsagent_hangup/>interrupting>", "no interrupting>"),
    "signs alone": ("a << b <<< c <", "a << b <<< c <"),
    "beginnings alone": ("<imsa<b <imsagent <no <noon>", "<imsa<b <imsagent <no <noon>"),
    "a beginning at the end": ("a<imsagent", "a<imsagent"),
    "beginnings at the end": ("a<imsa<im<", "a<imsa<im<"),
    "a tag without an end": ("a<imsagent_hangup", "aimsagent_hangup"),
    "a quote without an end": ('a<imsagent_hangup endword="/> Hello', 'aimsagent_hangup endword="/> Hello'),
    "a tag behind one without an end": (f'a<imsagent_x "b{HANGUP}c', 'aimsagent_x "bc'),
    "other tags": ("<b>a</b> <agent_hangup/> imsagent_hangup", "<b>a</b> <agent_hangup/> imsagent_hangup"),
    "less than": ("1 < 2, no < interrupting, i<3", "1 < 2, no < interrupting, i<3"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_cut_at_every_place(name: str) -> None:
    """Each form gives what is meant, whole, in two pieces cut anywhere, and one character at a time."""
    text, expected = FORMS[name]
    assert disarm(text, OPENINGS) == shaped(text) == shaped(*text) == expected
    for place in range(len(text) + 1):
        assert shaped(text[:place], "", text[place:]) == expected, place


def test_a_tag_without_an_end_is_given_up() -> None:
    """After 400 characters without an end only the sign is dropped, and the rest is spoken without waiting longer."""
    shaper = TagShaper(OPENINGS)
    begun = "<imsagent_" + "x" * (LIMIT - 11)
    assert shaper.feed(begun) == ""
    assert shaper.feed("y") == begun[1:] + "y"
    assert shaper.feed(">") == ">"
    assert shaped("<imsagent_" + "x" * (LIMIT - 11) + ">") == ""


def test_what_is_held_back_is_bounded() -> None:
    """White space without end behind a sign, and signs without end, are held back for 400 characters."""
    for filling in (" ", "<", "<imsa"):
        shaper = TagShaper(OPENINGS)
        given = "".join(shaper.feed(character) for character in "<" + filling * 1000)
        assert len(given) >= len(filling.replace("<", "")) * 1000 - LIMIT
        assert not ARMED.search(given + "imsagent_hangup/>")


def test_a_long_hostile_text_is_read_in_time() -> None:
    """A megabyte of beginnings is read well within the time limit of a test."""
    for piece in ("<", "<imsa", "<imsagent_", '<imsagent_"', "< "):
        assert not ARMED.search(disarm(piece * (1_000_000 // len(piece)), OPENINGS))


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        (["a <"], ["a "]),
        (["a <", " ", "b"], ["a ", "", "< b"]),
        (["a <i", "t"], ["a ", "<it"]),
        (["<no", "on"], ["", "<noon"]),
        (["<imsagent_hangup", " /", ">b"], ["", "", "b"]),
        (["a</", "b"], ["a", "</b"]),
    ],
)
def test_no_more_is_held_back_than_cannot_be_told(pieces: list[str], given: list[str]) -> None:
    """Only what may still become a tag is held back, and is given by the piece that decides."""
    shaper = TagShaper(OPENINGS)
    assert [shaper.feed(piece) for piece in pieces] == given


def test_what_is_held_is_not_looked_at_again() -> None:
    """A row of signs costs one look for each, however many of them are held and however it is cut."""
    looked: list[int] = []
    patterns = tags._Patterns(OPENINGS)
    whole = patterns.whole

    class Counted:
        def match(self, text: str, place: int, limit: int) -> re.Match[str] | None:
            looked.append(place)
            return whole.match(text, place, limit)

    patterns.whole = Counted()  # type: ignore[assignment]  # it has what is asked of it
    shaper = TagShaper(OPENINGS)
    shaper._patterns = patterns
    text = "</" * 3000
    assert "".join(map(shaper.feed, cut(text, list(range(0, len(text), 7))))) + shaper.flush()
    assert len(looked) < len(text)


def test_without_openings_nothing_is_changed() -> None:
    """A platform without control tags gets every text as it is."""
    assert shaped("a<", HANGUP, openings=()) == "a<" + HANGUP
    assert disarm(HANGUP, ()) == HANGUP


@pytest.mark.parametrize("opening", ["", "imsagent_", "<", "< "])
def test_an_opening_that_is_none(opening: str) -> None:
    """An opening that does not begin with a sign and a name is refused."""
    with pytest.raises(ValueError, match="no beginning of a tag"):
        TagShaper((opening,))


# --- any text -----------------------------------------------------------------------------------------------------

MARKS = [
    "<",
    "</",
    ">",
    "/>",
    '"',
    "'",
    " ",
    "\n",
    "ims",
    "agent_",
    "imsagent_",
    "IMSAGENT_hangup",
    "no",
    "interrupting",
]
TEXTS = st.lists(st.sampled_from([*MARKS, "a", "，好", "<imsagent_x/>", "<No Interrupting>"]), max_size=40).map("".join)
CUTS = st.lists(st.integers(0, 1000), max_size=8)


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


LONG = st.tuples(TEXTS, st.integers(380, 405), st.sampled_from([" ", "<", "x", "<imsa"]), TEXTS).map(
    lambda parts: parts[0] + (parts[2] * parts[1])[: parts[1]] + parts[3]
)


@given(TEXTS | LONG, CUTS)
@example("<imsa<imsagent_hangup/>gent_hangup/>", [5, 6])
def test_nothing_comes_out_armed_however_cut(text: str, places: list[int]) -> None:
    """Any text gives the same in one piece and in many, and no tag of the platform is in it."""
    whole = disarm(text, OPENINGS)
    assert shaped(*cut(text, places)) == shaped(*text) == whole
    assert not ARMED.search(whole)


@given(TEXTS | st.text(), CUTS)
def test_a_text_without_tags_is_not_changed(text: str, places: list[int]) -> None:
    """A text in which no opening stands comes out as it is, whatever else is in it."""
    if not ARMED.search(text):
        assert shaped(*cut(text, places)) == text


@given(TEXTS)
def test_nothing_but_tags_and_signs_is_lost(text: str) -> None:
    """What is disarmed is a part of the text, in its order, and disarming it again changes nothing."""
    result = disarm(text, OPENINGS)
    rest = iter(text)
    assert all(character in rest for character in result)
    assert disarm(result, OPENINGS) == result
