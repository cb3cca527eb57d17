"""What the test line answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.agents.function import FunctionAgent

# Under another name: pytest would take testline() for a test.
from offhook.agents.testline import testline as build_line
from offhook.agents.testline.phrases import CHINESE, ENGLISH, pieces
from offhook.agents.testline.words import Count, Echo, Goodbye, TellTime, TellUserData, Wait, WhoIsCalling, understand
from offhook.events import CallContext, Command, Message, Text
from tests.agents.line import FakeClock, Writer, answer, heard, make_turn, user

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.agents.base import ReplyWriter

# --- who, what, which ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["hello", "Hi!", "good morning", "help"])
async def test_greeting_in_english(text: str) -> None:
    """A greeting is answered with words: who called whom, which turn, what can be asked."""
    reply = await heard(text)
    for part in (
        "offhook",
        "+ 8 6 1 3 8 0 0 1 3 8 0 0 0",
        "4 0 0 1",
        "I know the call and the room",
        "turn 3",
        "count to ten",
    ):
        assert part in reply


@pytest.mark.parametrize("text", ["你好", "您好！", "喂", "喂，听得到吗"])
async def test_greeting_in_chinese(text: str) -> None:
    """A Chinese greeting is answered in Chinese, with the same facts."""
    reply = await heard(text)
    for part in (
        "offhook测试线路",
        "+ 8 6 1 3 8 0 0 1 3 8 0 0 0",
        "4 0 0 1",
        "我知道这通电话和房间",
        "第3轮",
        "从一数到十",
    ):
        assert part in reply


@pytest.mark.parametrize("caller", ["13800138000", None])
@pytest.mark.parametrize("callee", ["4001", None])
@pytest.mark.parametrize("call", ["call-7", None])
@pytest.mark.parametrize("room", ["room-9", None])
@pytest.mark.parametrize("text", ["hello", "你好", "who am I", "我是谁"])
async def test_only_what_is_known(
    text: str, caller: str | None, callee: str | None, call: str | None, room: str | None
) -> None:
    """Numbers that the platform did not send are not spoken, nor anything called None."""
    reply = await heard(text, call=CallContext(id=call, room=room, caller=caller, callee=callee), id=None)
    assert ("1 3 8 0 0 1 3 8 0 0 0" in reply) == (caller is not None)
    assert ("4 0 0 1" in reply) == (callee is not None)
    assert "None" not in reply
    assert "{" not in reply


@pytest.mark.parametrize(("text", "turn"), [("who is calling", "turn 3"), ("谁打给谁", "第3轮")])
async def test_who_is_calling(text: str, turn: str) -> None:
    """Asked who is calling, the line tells all that it knows of the call."""
    reply = await heard(text)
    for part in ("+ 8 6 1 3 8", "4 0 0 1", "call-7", "room-9", "alibaba ims", turn):
        assert part in reply


async def test_turns_are_counted_where_they_have_no_id() -> None:
    """Without an id the turn is counted from what the caller said so far."""
    history = (user("hi"), Message("assistant", "Hello."), user("who am I"))
    assert "This is turn 2." in await heard("who am I", id=None, history=history)
    assert "This is turn 1." in await heard("who am I", id=None)
    assert "This turn is called x-5." in await heard("who am I", id="x-5")


async def test_a_caller_without_digits_keeps_its_name() -> None:
    """An address that is no telephone number is not spelled out."""
    assert "sip:li@example.com" in await heard("who am I", call=CallContext(caller="sip:li@example.com"))


@pytest.mark.parametrize(
    ("data", "spoken"),
    [
        ({"name": "Li", "level": 3}, "name: Li, level: 3."),
        ({"vip": True, "debt": None, "old": False}, "vip: yes, debt: nothing, old: no."),
        ({"order": {"id": 7, "items": ["tea", "rice"]}}, "order: id: 7, items: tea, rice."),
        ("gold card", "gold card."),
        (["a", 1.5], "a, 1.5."),
        (0, "0."),
        ({"{0}": "{caller}"}, "{0}: {caller}."),
    ],
)
async def test_user_data(data: object, spoken: str) -> None:
    """The user data is spoken pair by pair, whatever its shape."""
    assert (await heard("what is my user data", call=CallContext(user_data=data))).endswith(spoken)


@pytest.mark.parametrize("data", [None, "", {}, []])
async def test_no_user_data(data: object) -> None:
    """Where there is no user data the line says so."""
    assert await heard("user data", call=CallContext(user_data=data)) == ENGLISH.no_user_data
    assert await heard("用户数据", call=CallContext(user_data=data)) == CHINESE.no_user_data


async def test_user_data_in_chinese() -> None:
    """Chinese user data is spoken with Chinese marks."""
    data = {"姓名": "李雷", "会员": True}
    assert await heard("用户数据", call=CallContext(user_data=data)) == "用户数据如下：姓名：李雷，会员：是。"


async def test_user_data_too_deep_to_follow() -> None:
    """Deeply nested user data neither raises nor is spoken to its end."""
    data: dict[str, Any] = {}
    for _ in range(5000):
        data = {"a": data}
    assert "..." in await heard("user data", call=CallContext(user_data=data))


# --- reading back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("I need a therapist, in Gilroy.", "You said: I need a therapist, in Gilroy."),
        ("帮我找一家餐厅", "您说的是：帮我找一家餐厅"),
        ("repeat after me: The Quick {brown} Fox.", "The Quick {brown} Fox."),
        ("跟我读：床前明月光，疑是地上霜。", "床前明月光，疑是地上霜。"),
        ("don't hang up", "You said: don't hang up"),
        ("不要挂断", "您说的是：不要挂断"),
        ("", "I heard nothing. 我什么也没有听到。"),
        (" ... ", "I heard nothing. 我什么也没有听到。"),
    ],
)
async def test_reading_back(text: str, spoken: str) -> None:
    """The words come back as they were said."""
    assert await heard(text) == spoken


async def test_saying_the_last_reply_again() -> None:
    """The previous reply is repeated, and before the first there is none."""
    history = (user("hi"), Message("assistant", "Hello."), user("?"), Message("assistant", " "), user("say that again"))
    assert await heard("say that again", history=history) == "Hello."
    assert await heard("再说一遍") == CHINESE.nothing_yet


@given(st.text())
def test_pieces_joined_are_the_text(text: str) -> None:
    """Cutting into phrases loses nothing and gives no empty piece."""
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


@pytest.mark.parametrize("text", ["hello", "你好", "who am I", "我是谁", "what time is it", "现在几点"])
async def test_streaming_can_be_seen(text: str) -> None:
    """An answer of some length comes in several pieces."""
    assert len(await answer(text)) > 1


# --- goodbye ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["goodbye", "please hang up the phone", "no thanks, that's all"])
async def test_goodbye(text: str) -> None:
    """A goodbye is answered in words, and then the line hangs up, once."""
    *words, last = await answer(text)
    assert "".join(map(str, words)) == ENGLISH.goodbye
    assert last == Command("hangup")


@pytest.mark.parametrize("text", ["再见", "再見", "我要挂了", "请挂断电话", "不用了，谢谢", "拜拜", "挂了吧"])
async def test_goodbye_in_chinese(text: str) -> None:
    """A Chinese goodbye is answered in Chinese, and then the line hangs up."""
    *words, last = await answer(text)
    assert "".join(map(str, words)) == CHINESE.goodbye
    assert last == Command("hangup")


# --- all together -------------------------------------------------------------------------------------------------


@given(st.text())
async def test_every_utterance_is_answered(text: str) -> None:
    """Whatever is said, there is at least one word, and no word is empty."""
    values = await answer(text)
    words = [value for value in values if isinstance(value, str)]
    assert words
    assert all(words)
    assert "".join(words).strip()


async def test_the_offers_are_kept() -> None:
    """The line understands what its own greeting says one can ask for."""
    offers = {
        "count to ten": Count(1, 10),
        "wait three seconds": Wait(3.0),
        "time in Tokyo": TellTime("tokyo"),
        "who is calling": WhoIsCalling(),
        "user data": TellUserData(),
        "goodbye": Goodbye(),
    }
    offers_in_chinese = {
        "从一数到十": Count(1, 10),
        "等三秒再说": Wait(3.0),
        "东京现在几点": TellTime("东京"),
        "谁打给谁": WhoIsCalling(),
        "用户数据": TellUserData(),
        "再见": Goodbye(),
    }
    for phrases, wishes in ((ENGLISH, offers), (CHINESE, offers_in_chinese)):
        for words, wish in wishes.items():
            assert words in phrases.offers
            assert understand(words) == wish


async def test_it_is_a_function_agent_like_any_other() -> None:
    """The test line runs behind the same door as a user's function."""
    agent = FunctionAgent(build_line(FakeClock()))
    await agent.start()
    writer = Writer()
    await agent.answer(make_turn("goodbye"), cast("ReplyWriter", writer))
    await agent.close()
    assert writer.events == [*map(Text, pieces(ENGLISH.goodbye)), Command("hangup")]


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_opening_lines_of_real_dialogues(shared: Path, language: str) -> None:
    """The opening line of an ordinary dialogue is read back or greeted, and never hangs up."""
    lines = (shared / "corpus" / "dialogues" / f"{language}.jsonl").read_text("utf-8").splitlines()
    for line in lines:
        opening = next(turn["content"] for turn in json.loads(line)["turns"] if turn["role"] == "user")
        values = await answer(opening)
        assert values
        assert all(isinstance(value, str) for value in values)
        if isinstance(wish := understand(opening), Echo):
            assert "".join(map(str, values)).endswith(wish.text)
