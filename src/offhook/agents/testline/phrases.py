"""What the test line says, in both languages, for the ear: short sentences and no markup. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from offhook.agents.testline.words import Language
    from offhook.events import Turn

NOTHING_HEARD = "I heard nothing. 我什么也没有听到。"


@dataclass(frozen=True, slots=True)
class Phrases:
    """The sentences of one language; every one ends so that the next can follow it."""

    hello: str
    from_and_to: str
    from_only: str
    to_only: str
    unknown_numbers: str
    # By what is known: (call, room).
    known: Mapping[tuple[bool, bool], str]
    turn: str
    turn_name: str
    offers: str
    caller: str
    callee: str
    call: str
    room: str
    platform: str
    unknown: Mapping[str, str]
    echo: str
    nothing_yet: str
    waited: str
    waited_one: str
    waited_most: str
    count_limit: str
    comma: str
    full_stop: str
    user_data: str
    pair: str
    no_user_data: str
    yes_no_none: tuple[str, str, str]
    unknown_place: str
    goodbye: str


ENGLISH = Phrases(
    hello="Hello, this is the offhook test line. ",
    from_and_to="You are calling from {caller}, and you called {callee}. ",
    from_only="You are calling from {caller}. ",
    to_only="You called {callee}. ",
    unknown_numbers="I was not told who is calling. ",
    known={
        (True, True): "I know the call and the room. ",
        (True, False): "I know the call, but not the room. ",
        (False, True): "I know the room, but not the call. ",
        (False, False): "I was told neither call nor room. ",
    },
    turn="This is turn {turn}. ",
    turn_name="This turn is called {turn}. ",
    offers="Ask me to count to ten, to wait three seconds, for the time in Tokyo, who is calling, or for the user data."
    " Anything else I read back. Say goodbye, and I hang up.",
    caller="The caller is {0}. ",
    callee="The number called is {0}. ",
    call="The call is {0}. ",
    room="The room is {0}. ",
    platform="The platform is {0}.",
    unknown={
        "caller": "The caller's number is not known. ",
        "callee": "The number called is not known. ",
        "call": "The call has no name. ",
        "room": "The room is not known. ",
    },
    echo="You said: {0}",
    nothing_yet="I have not said anything yet.",
    waited="I waited {0} seconds.",
    waited_one="I waited one second.",
    waited_most="I waited {0} seconds, and I never wait longer.",
    count_limit="I count no further than {0}. ",
    comma=", ",
    full_stop=".",
    user_data="The user data is as follows: ",
    pair="{0}: {1}",
    no_user_data="No user data came with this call.",
    yes_no_none=("yes", "no", "nothing"),
    unknown_place="I do not know the time in {0}. Name a city, such as Tokyo, or a zone, such as Asia/Shanghai.",
    goodbye="Goodbye, and thank you for calling.",
)

CHINESE = Phrases(
    hello="您好，这里是offhook测试线路。",
    from_and_to="您的号码是{caller}，您拨打的是{callee}。",
    from_only="您的号码是{caller}。",
    to_only="您拨打的是{callee}。",
    unknown_numbers="我不知道是谁打来的。",
    known={
        (True, True): "我知道这通电话和房间。",
        (True, False): "我知道这通电话，但不知道房间。",
        (False, True): "我知道房间，但不知道是哪通电话。",
        (False, False): "我不知道是哪通电话，也不知道房间。",
    },
    turn="这是第{turn}轮。",
    turn_name="这一轮的编号是{turn}。",
    offers="您可以让我从一数到十，等三秒再说，也可以问东京现在几点，谁打给谁，或者用户数据。别的话我会读给您听。说再见，我就挂断。",
    caller="主叫号码是{0}。",
    callee="被叫号码是{0}。",
    call="这通电话的编号是{0}。",
    room="房间是{0}。",
    platform="平台是{0}。",
    unknown={
        "caller": "主叫号码未知。",
        "callee": "被叫号码未知。",
        "call": "这通电话没有编号。",
        "room": "房间未知。",
    },
    echo="您说的是：{0}",
    nothing_yet="我还没有说过话。",
    waited="我等了{0}秒。",
    waited_one="我等了一秒。",
    waited_most="我等了{0}秒，再长我就不等了。",
    count_limit="我最多数到{0}。",
    comma="，",
    full_stop="。",
    user_data="用户数据如下：",
    pair="{0}：{1}",
    no_user_data="这通电话没有用户数据。",
    yes_no_none=("是", "否", "空"),
    unknown_place="我不知道{0}的时间。请说一个城市，比如东京，或者一个时区，比如Asia/Shanghai。",
    goodbye="再见，感谢您的来电。",
)

PHRASES: Mapping[Language, Phrases] = {"en": ENGLISH, "zh": CHINESE}

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
# First hour of each part of the day.
_PARTS = ((18, "晚上"), (13, "下午"), (12, "中午"), (6, "上午"), (0, "凌晨"))
# Deeper than this nobody follows by ear.
_DEEPEST = 5
# Up to a mark, else up to a space, else 40 characters.
_PIECE = re.compile(r".{1,40}?(?:[,.!?;:]+(?=\s)\s*|[，。！？；：、]+\s*|\Z)|.{1,40}(?:\s+|\Z)|.{1,40}", re.DOTALL)


def pieces(text: str) -> list[str]:
    """Cut a text into phrases, as a model would stream it; joined they are the text."""
    return _PIECE.findall(text)


def greeting(turn: Turn, say: Phrases) -> str:
    """Greet, say what is known of the call, and what can be asked for."""
    call = turn.call
    numbers = {"caller": _number(call.caller or ""), "callee": _number(call.callee or "")}
    which = {
        (True, True): say.from_and_to,
        (True, False): say.from_only,
        (False, True): say.to_only,
        (False, False): say.unknown_numbers,
    }[bool(call.caller), bool(call.callee)]
    known = say.known[bool(call.id), bool(call.room)]
    return say.hello + which.format(**numbers) + known + _turn(turn, say) + say.offers


def who(turn: Turn, say: Phrases) -> str:
    """Say all that is known of the call."""
    call = turn.call
    facts = (
        say.caller.format(_number(call.caller)) if call.caller else say.unknown["caller"],
        say.callee.format(_number(call.callee)) if call.callee else say.unknown["callee"],
        say.call.format(call.id) if call.id else say.unknown["call"],
        say.room.format(call.room) if call.room else say.unknown["room"],
        _turn(turn, say),
        say.platform.format(call.platform.replace("_", " ")),
    )
    return "".join(facts)


def user_data(data: Any, say: Phrases) -> str:
    """Report the business data of the call, pair by pair."""
    if data is None or data in ("", {}, []):
        return say.no_user_data
    return say.user_data + _value(data, say) + say.full_stop


def time_at(moment: datetime, place: str, language: Language) -> str:
    """Tell a time and date at a place."""
    hour, minute = moment.hour, moment.minute
    if language == "zh":
        part = next(name for first, name in _PARTS if hour >= first)
        clock = f"{hour if hour <= 12 else hour - 12}点" + (f"{minute:02}分" if minute else "整")
        return f"{place}现在是{part}{clock}，{moment.month}月{moment.day}日，星期{'一二三四五六日'[moment.weekday()]}。"
    clock = f"{hour % 12 or 12}:{minute:02} {'AM' if hour < 12 else 'PM'}"
    return f"In {place} it is {clock}, on {_WEEKDAYS[moment.weekday()]}, {_MONTHS[moment.month - 1]} {moment.day}."


def plain(value: float) -> str:
    """Give a number as it is said: 3 and not 3.0."""
    return f"{value:.10g}"


def _turn(turn: Turn, say: Phrases) -> str:
    name = turn.id or str(sum(message.role == "user" for message in turn.history) or 1)
    return (say.turn if name.isdecimal() else say.turn_name).format(turn=name)


def _number(number: str) -> str:
    """Space out the digits of a telephone number, so that it is read digit by digit; other names stay as they are."""
    if re.search(r"[^0-9+\-() .*#]", number):
        return number
    return " ".join(re.sub(r"[\-() .]", "", number)) or number


def _value(value: Any, say: Phrases, depth: int = 0) -> str:
    yes, no, none = say.yes_no_none
    if value is None or depth > _DEEPEST:
        return none if value is None else "..."
    if isinstance(value, bool):
        return yes if value else no
    if isinstance(value, Mapping):
        return say.comma.join(say.pair.format(key, _value(item, say, depth + 1)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return say.comma.join(_value(item, say, depth + 1) for item in value)
    return str(value)
