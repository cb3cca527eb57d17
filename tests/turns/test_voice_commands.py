"""What an agent's commands become on the way: their words are said, and what the platform does not take is left out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from offhook.events import Command, CommandName, Finish, Refused, Text, ToolCall
from offhook.turns import voice as voices
from offhook.turns.sound import Manner
from offhook.turns.voice import Voice
from tests.doubles import Listener, new_reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offhook.events import Event

BYE = Command("hangup", text="Goodbye, **Ann**.")


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    """Let every test hear a warning that an earlier one heard."""
    voices._warned.clear()
    yield
    voices._warned.clear()


async def written(manner: Manner, *events: Event) -> list[Event]:
    """Give what a reader is given of these events, each written by itself."""
    reply, _ = new_reply()
    reader = Listener()
    reply.attach(reader)
    voice = Voice(reply, manner, lambda phrase: None, lambda seconds: seconds)
    for event in events:
        voice.write(event)
    voice.close(Finish())
    # Only the record has what was refused.
    return [event for event in reader.events[:-1] if type(event) is not Refused]


def refusing(name: CommandName, begun: bool) -> str | None:
    """Take a hang-up always, and a protection as long as nothing has gone out."""
    return None if name == "hangup" or (name == "protect" and not begun) else "use the console's switch"


async def test_the_words_of_a_command_are_said_before_it() -> None:
    """The goodbye of a hang-up is text like any other, and the command carries it no more."""
    assert await written(Manner(), Command("hangup", text="Goodbye.")) == [Text("Goodbye."), Command("hangup")]


async def test_the_words_of_a_command_go_through_the_voice_chain() -> None:
    """What a model writes as a goodbye is no more fit for the ear than what it writes elsewhere."""
    said = "".join(event.text for event in await written(Manner(), Text("<th"), BYE) if isinstance(event, Text))
    assert said.startswith("<thGoodbye, ")


async def test_a_platform_that_says_the_words_itself_is_given_them() -> None:
    """They stay in the command, fit for the ear, and are not said twice."""
    manner = Manner(speaks=frozenset({"hangup"}))
    assert await written(manner, BYE) == [Command("hangup", text="Goodbye, Ann.")]


async def test_what_the_platform_does_not_take_is_left_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The words are said all the same; the warning names command, platform and the platform's own way, once."""
    manner = Manner(refuses=refusing, platform="somewhere")
    for _ in range(2):
        with caplog.at_level(logging.WARNING, "offhook.turns"):
            command = Command("transfer", to="123", text="I connect you.")
            assert await written(manner, command) == [Text("I connect you.")]
    (record,) = caplog.records
    assert record.getMessage() == (
        "turn.transfer was left out: use the console's switch (platform somewhere; told once, each is in its record)"
    )


async def test_a_platform_may_take_a_command_only_at_the_beginning() -> None:
    """Before the first word it goes out, behind it it is left out."""
    manner = Manner(refuses=refusing)
    protect = Command("protect")
    assert await written(manner, protect, Text("So")) == [protect, Text("So")]
    assert await written(manner, Text("So"), protect) == [Text("So")]


@pytest.mark.parametrize(
    ("before", "words", "said"),
    [
        (("Thank you",), "Goodbye", "Thank you Goodbye"),
        (("Thank ", "you. "), "Goodbye", "Thank you. Goodbye"),
        (("Thank you.",), " Goodbye", "Thank you. Goodbye"),
        (("Thank you",), ", goodbye", "Thank you, goodbye"),
        (("谢谢",), "再见", "谢谢再见"),
        (("谢谢。",), "Goodbye", "谢谢。Goodbye"),
        (("Thank you.",), "再见", "Thank you.再见"),
        ((), "Goodbye", "Goodbye"),
    ],
)
async def test_the_words_of_a_command_are_parted_from_what_was_said(
    before: tuple[str, ...], words: str, said: str
) -> None:
    """A space stands between where words have one, and none where there is white space or a wide character."""
    events = await written(Manner(), *map(Text, before), Command("hangup", text=words))
    assert "".join(event.text for event in events if isinstance(event, Text)) == said
    assert events[-1] == Command("hangup")


async def test_nobody_is_connected_to_what_is_no_number(caplog: pytest.LogCaptureFixture) -> None:
    """What is to be said on failure is said, else the words; the warning comes once, without the number."""
    manner = Manner(refuses_number=lambda number: "give a number", speaks=frozenset({"transfer"}))
    with caplog.at_level(logging.WARNING, "offhook.turns"):
        assert await written(manner, Command("transfer", to="desk", text="I try.", failed="Nobody.")) == [
            Text("Nobody.")
        ]
        assert await written(manner, Command("transfer", to="desk", text="I try.")) == [Text("I try.")]
    assert [record.getMessage() for record in caplog.records] == [
        "turn.transfer was left out: give a number (platform plain; told once, each is in its record)"
    ]


async def test_a_call_that_the_platform_does_not_take_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """Each function is told of once, and of very many made-up ones some."""
    manner = Manner(refuses_call=lambda function: None if function == "look" else "it is not offered")
    calls = [ToolCall("look"), ToolCall("jump"), ToolCall("jump"), *(ToolCall(f"f{n}") for n in range(500))]
    with caplog.at_level(logging.WARNING, "offhook.turns"):
        assert await written(manner, *calls) == [ToolCall("look")]
    assert caplog.records[0].getMessage() == (
        "a call of 'jump' was left out: it is not offered (platform plain; told once, each is in its record)"
    )
    assert len(caplog.records) < 300


async def test_a_lone_surrogate_in_a_command_is_replaced() -> None:
    """What UTF-8 cannot hold stands neither in the words nor in the data, so that it can be kept and written."""
    manner = Manner(speaks=frozenset({"transfer"}))
    lone, whole = "a\ud800", "a\ufffd"
    told = Command("say_to_app", data={lone: [lone]})
    assert await written(manner, told, Command("transfer", to=lone, text=lone, failed=lone)) == [
        Command("say_to_app", data={whole: [whole]}),
        Command("transfer", to=whole, text=whole, failed=whole),
    ]


@pytest.mark.parametrize("name", ["protect", "say_to_app"])
def test_only_what_takes_the_call_away_ends_a_reply(name: CommandName) -> None:
    """A protected reply and a message to the app are no tool calls, so that the platform goes on listening."""
    assert not Command(name).ends
    assert Command("hangup").ends and Command("transfer", to="1").ends


async def test_what_was_left_out_is_in_the_record() -> None:
    """Whoever looks for the hang-up of a call finds what was asked for, and why the platform was not told."""
    reply, _ = new_reply()
    voice = Voice(reply, Manner(refuses=refusing), lambda phrase: None, lambda seconds: seconds)
    voice.write(Command("say_to_app", data={"a": 1}), ToolCall("look"))
    voice.close(Finish())
    assert Refused("say_to_app", "use the console's switch") in reply.rare
