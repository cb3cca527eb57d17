"""What the test line understands, and above all what it does not take for a goodbye."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.agents.testline.words import (
    LONGEST,
    Count,
    Echo,
    Goodbye,
    Greeting,
    Nothing,
    Say,
    SayAgain,
    TellTime,
    TellUserData,
    Wait,
    WhoIsCalling,
    Wish,
    language_of,
    understand,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WISHES: list[tuple[Wish, str]] = [
    (
        Greeting(),
        "hello | Hello! | HI | hi there | good morning | Good evening. | um, hello | hello hello | hey | hello?"
        " | Can you hear me? | hello, are you there? | help | What can you do? | who are you | 你好 | 您好 | 喂"
        " | 喂？ | 喂，你好 | 喂喂喂 | 嗯，你好。 | 早上好 | 你好你好 | 你好，听得到吗？ | 哈喽 | 妳好 | 你能做什么"
        " | 你是谁？ | 帮助 | 喂，有人吗",
    ),
    (
        WhoIsCalling(),
        "who am I | Who am I? | who is calling | who's calling please | who called whom | which turn is this"
        " | what is my number | what number am I calling from? | what's the call id | who is on the line | 我是谁"
        " | 我是谁？ | 我是誰 | 谁打给谁 | 請問誰打給誰 | 我的号码是多少 | 这是第几轮 | 谁在打电话 | 主叫是谁",
    ),
    (
        TellUserData(),
        "user data | What is my user data? | please read the user data | what user data do you have | my data"
        " | 用户数据 | 业务数据 | 我的数据 | 用戶數據 | 请报一下用户数据 | 我的业务数据是什么 | 读一下我的资料",
    ),
    (
        TellTime(),
        "what time is it | What time is it now? | what's the time | tell me the time | do you have the time"
        " | time please | can you tell me what time it is | I have a question. What time is it? | 现在几点"
        " | 现在几点了？ | 現在幾點 | 请问现在几点钟 | 几点了 | 报时 | 现 在 几 点 | 嗯，现在是几点呢",
    ),
    (TellTime("tokyo"), "time in Tokyo | What time is it in Tokyo? | what time is it right now in tokyo | Tokyo time"),
    (
        TellTime("东京"),
        "东京现在几点 | 東京現在幾點 | 现在东京几点了 | 东京时间 | 东京几点 | 东京那边现在是几点"
        " | 请问东京现在几点了？",
    ),
    (TellTime("asia/shanghai"), "what time is it in Asia/Shanghai | time in ASIA/SHANGHAI please | Asia/Shanghai时间"),
    (TellTime("纽约"), "纽约时间 | 紐約時間 | 现在纽约是什么时间"),
    (TellTime("火星"), "火星现在几点"),
    (TellTime("atlantis"), "what time is it in Atlantis?"),
    (
        Count(1, 300),
        "count to 300 | Count to 300. | please count to three hundred | count from 1 to 300 | COUNT TO 300"
        " | can you count to 300 please? | um, count up to 300 | count from one to three hundred | 从1数到300"
        " | 從1數到300 | 从一数到三百 | 从１数到３００ | 数到300 | 请从1数到300。 | 从 1 数 到 300"
        " | 你能从一数到三百吗 | 嗯，请你从一开始数到三百 | 一直数到三百 | 1数到300 | 从1一直数到300",
    ),
    (Count(1, 30), "数到三十 | count to thirty"),
    (Count(1, 10), "count | 数数 | 数一数 | 数到十 | count to ten | 从一到十数一遍 | 数1到10"),
    (Count(1, 350), "数到三百五 | 数到三百五十"),
    (Count(1, 305), "数到三百零五 | count to three hundred and five"),
    (Count(5, 10), "count from 5 to 10 | count five to ten | 从五数到十"),
    (Count(10, 1), "count from 10 to 1 | count down from ten | 从10数到1 | 从十倒数 | 倒数十"),
    (
        Count(1, 20, 0.5),
        "count to 20 every 0.5 seconds | count to twenty every half a second | 数到二十，每秒两个"
        " | 数到20，每半秒一个 | 每隔半秒数一个，数到20 | 以每秒两个的速度数到20 | count to 20 at 2 per second",
    ),
    (
        Count(1, 100, 1.0),
        "从一数到一百，每秒一个 | 从一数到一百，一秒一个 | 从一数到一百每秒一个 | 慢慢数到一百"
        " | count to 100, one per second | count to one hundred, one every second | count slowly to 100",
    ),
    (Count(1, 100, 2.0), "count to 100 every two seconds | 数到一百，每隔两秒一个 | 数到一百，每个数间隔2秒"),
    (Count(1, 9, 0.0), "count to nine as fast as you can | 尽快数到九"),
    (Count(1, 20000), "count to 20,000 | count to twenty thousand | 数到两万 | 数到2万"),
    (Count(1, 10**9), "count to 99999999999999999999"),
    (
        Wait(3.0),
        "wait 3 seconds | Wait three seconds. | please wait for 3 seconds | wait 3 seconds, then answer"
        " | wait for 3 seconds before you answer | hold on for 3 seconds | answer after 3 seconds | pause for 3 s"
        " | 等3秒 | 等三秒 | 等三秒钟再说 | 等三秒鐘再說 | 等待3秒钟 | 请等3秒 | 三秒后再回答 | 过三秒再说"
        " | 停顿三秒 | 等３秒。",
    ),
    (Wait(2.5), "wait for 2.5 seconds and then answer | wait two and a half seconds | 等两秒半 | 等二点五秒 | 等2.5秒"),
    (Wait(0.5), "wait half a second | wait 500 milliseconds | 等半秒 | 等零点五秒 | 等500毫秒"),
    (Wait(1.0), "wait a second | wait one second | 等一秒"),
    (Wait(120.0), "wait 2 minutes | 等两分钟"),
    (
        Say("Hello World!"),
        "repeat after me: Hello World! | Repeat Hello World! | please say Hello World! | um, say Hello World!",
    ),
    (
        Say("床前明月光"),
        "跟我读床前明月光 | 跟我读：床前明月光 | 请跟我念，床前明月光 | 重复床前明月光 | 請說床前明月光"
        " | 重複：床前明月光 | 跟我讀床前明月光 | 跟 我 读 床 前 明 月 光 | 说：床前明月光",
    ),
    (Say("goodbye"), "say goodbye | Please say goodbye"),
    (Say("再见"), "跟我说再见 | 重复：再见"),
    (Say("再見"), "跟我說再見"),
    (SayAgain(), "say that again | repeat that please | repeat | 再说一遍 | 请再说一遍 | 重复一遍 | 再說一遍"),
]

GOODBYES = (
    "goodbye | Goodbye. | good bye | bye | bye bye | bye-bye! | OK, bye! | Bye, and thank you. | um, bye"
    " | Thanks for your help. Goodbye. | ok thank you bye bye | see you later | good night | bye for now | hang up"
    " | Hang up! | please hang up the phone | hang up now please | you can hang up | I'm hanging up now"
    " | could you hang up please? | can you please hang up the phone | end the call | I want to hang up"
    " | no, hang up | no thanks, that's all | No thanks. | No, thank you. | that's all, thank you"
    " | nothing else, thanks | that is all | 再见 | 再見 | 再见！ | 好的，再见 | 好的谢谢再见 | 谢谢，再见。"
    " | 那就再见吧 | 再见再见 | 再 见 | 没有问题了，再见！ | 拜拜 | 拜拜啦 | OK拜拜 | 好的 bye bye | 晚安 | 明天见"
    " | 嗯，拜拜 | 我要挂了 | 我要掛了 | 我挂了 | 那我挂了 | 先挂了 | 嗯，那我先挂了啊 | 挂了吧 | 挂了 | 可以挂了"
    " | 我想挂电话 | 请挂断电话 | 請掛斷電話 | 请挂断电话。 | 挂断 | 把电话挂了吧 | 麻烦你挂断电话 | 能挂断电话吗？"
    " | 可以帮我挂断电话吗 | 结束通话 | 不用了，谢谢 | 不用了谢谢 | 不用了，謝謝 | 谢谢，不用了 | 不用了"
    " | 没别的事了，谢谢 | 没事了 | 就这样吧 | 不用了挂了吧 | no thanks that's all bye"
)

# What only mentions leaving, asks about it, or forbids it.
NO_GOODBYES = (
    "don't hang up | Please don't hang up. | do not hang up the phone | dont hang up | never hang up on me"
    " | I don't want to hang up | don't you dare hang up | Goodbye? No, don't hang up. | please do not disconnect"
    " | how do I say goodbye in French? | the song is called Goodbye Yellow Brick Road | She said, goodbye."
    " | he never said goodbye | What is the French word, goodbye? | bye? | hang up? | should I hang up? | hang on"
    " | did you hang up? | why did you hang up | hang up my coat | if it rings, hang up | when you are done, hang up"
    " | I bought a good buy | Bye Bye Birdie is a musical | that's all I know about cars and trains"
    " | no thanks for that | good evening | no | thank you | goodbyes are hard"
    " | I have to say goodbye to my old car and buy a new one | 不要挂断 | 不要掛斷 | 别挂电话 | 別掛電話 | 先别挂"
    " | 先别挂，我还有事 | 别挂 | 不想挂 | 不许挂 | 你不能挂断电话 | 千万别挂 | 她跟我说再见了吗？ | 她跟我说再见了"
    " | 他说，再见 | 再见用英语怎么说 | 要挂了吗 | 可以挂了吗？ | 你怎么挂了 | 电话挂了 | 他挂了 | 我要挂号"
    " | 我要挂失 | 墙上挂了一幅画 | 不用了，我知道电话是多少，你帮我查一下 | 没让你挂断 | 别说再见"
    " | 如果没人接，请挂断 | 再见，别挂 | 不用挂断 | 等一下再挂 | 你挂了 | 谢谢 | 好的 | 《再见，我的爱人》是谁唱的"
    " | Don't hang up, thank you, bye. | 别挂电话，谢谢，再见"
    " | 挂 | 我要挂 | 你要挂了 | 请勿挂机 | 怎么挂断电话 | 用英语怎么说，再见 | 再见，等一下 | 我要挂专家号"
    " | Hang up? No. | bye. oh wait | hello goodbye | how to hang up | do I have to hang up | can I hang up now"
    " | goodbye my old friend the dog | nothing else matters | that is all wrong | I will not hang up"
)


# Every utterance with its wish, one by one.
SAID = [(wish, text) for wish, texts in [*WISHES, (Goodbye(), GOODBYES)] for text in texts.split(" | ")]


@pytest.mark.parametrize(("wish", "text"), SAID)
def test_wishes(wish: Wish, text: str) -> None:
    """Each way of saying it gives the same wish."""
    assert understand(text) == wish


@pytest.mark.parametrize(("wish", "text"), [(wish, text) for wish, text in SAID if not isinstance(wish, Say)])
def test_what_is_looked_through(wish: Wish, text: str) -> None:
    """Capitals, full-width forms, spaces and fillers change nothing."""
    full_width = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)
    for same in (text.upper(), full_width, f"  {text}  ", text.replace(" ", "\u3000 "), f"Um, {text}", f"嗯，{text}"):
        assert understand(same) == wish, same


@pytest.mark.parametrize("text", ["", "   ", "\n", "。", "???", "……", "，", " . "])
def test_nothing(text: str) -> None:
    """Blanks and punctuation are no words."""
    assert understand(text) == Nothing()


@pytest.mark.parametrize("text", NO_GOODBYES.split(" | "))
def test_no_goodbyes(text: str) -> None:
    """A negation, a mention, a question or a condition does not end the call."""
    assert understand(text) != Goodbye()


@pytest.mark.parametrize(
    "text",
    ["I need a therapist", "这家酒店的营业时间", "这趟火车几点", "dinner time", "count on me", "等一下", "300", "um"],
)
def test_anything_else_is_read_back(text: str) -> None:
    """What is no wish is echoed as it was said."""
    assert understand(text) == Echo(text)


def test_dictation_is_read_back() -> None:
    """An utterance that is longer than any wish is echoed, whatever it ends with."""
    text = "yes, and more, " * LONGEST + "goodbye"
    assert understand(text) == Echo(text)


@given(
    st.text()
    | st.text("不要挂再见数到等一秒从 ,.，。?？byehangup019点半几现在")
    | st.from_regex(r"(count|wait|数到|等) ?[0-9一十百万亿.]{1,20}")
)
def test_every_text_is_understood_somehow(text: str) -> None:
    """No text raises, and what is read back is not blank."""
    wish = understand(text)
    if isinstance(wish, Say | Echo):
        assert wish.text.strip()


@pytest.mark.parametrize("text", ["你好", "Say 你好", "𠀀", "從1"])
def test_chinese(text: str) -> None:
    """One Chinese character makes the language Chinese."""
    assert language_of(text) == "zh"


@pytest.mark.parametrize("text", ["", "hello", "300", "…", "привет"])
def test_not_chinese(text: str) -> None:
    """Without a Chinese character the line answers in English."""
    assert language_of(text) == "en"


def caller_lines(shared: Path, language: str) -> Iterator[tuple[bool, str]]:
    """Give every caller line of the corpus, and whether it opens its dialogue."""
    with (shared / "corpus" / "dialogues" / f"{language}.jsonl").open(encoding="utf-8") as file:
        for line in file:
            lines = [turn["content"] for turn in json.loads(line)["turns"] if turn["role"] == "user"]
            yield from ((number == 0, text) for number, text in enumerate(lines))


LEAVING = re.compile(r"bye|\bno\b.*thank|that(?:'s| is|'ll be| will be) (?:all|it)|再见|拜拜|不用了|挂", re.IGNORECASE)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_ordinary_dialogue_does_not_hang_up(shared: Path, language: str) -> None:
    """In recorded dialogues only lines with a word of leaving end the call, and no opening line does."""
    lines = list(caller_lines(shared, language))
    leaving = [(opens, text) for opens, text in lines if understand(text) == Goodbye()]
    assert len(lines) > 100
    assert leaving
    assert [text for opens, text in leaving if opens or not LEAVING.search(text)] == []
    # The bare farewells are not missed either.
    farewells = [text for _, text in lines if re.search(r"(?:\bgood ?bye|\bbye|再见)\W*\Z", text, re.IGNORECASE)]
    assert [text for text in farewells if understand(text) != Goodbye()] == []
