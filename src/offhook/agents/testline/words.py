"""What the caller of the test line wants, read from what was said. Pure.

``understand`` takes an utterance to one of the wishes below. Fillers, courtesies, greetings, capitals, full-width
forms, traditional characters and spaces between Chinese characters are looked through, and numbers may be words.
A wish has to be the whole utterance or its last sentence; what is no wish is read back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from offhook.agents.testline import courtesy
from offhook.agents.testline.courtesy import HAN, english
from offhook.agents.testline.goodbye import is_goodbye
from offhook.agents.testline.numbers import DURATION, digits, fold, seconds
from offhook.agents.testline.places import is_known

Language: TypeAlias = Literal["zh", "en"]

# Nobody asks for something in more characters than this: it is dictation, and is read back.
LONGEST = 200
# Seconds from one number to the next.
PACE = 0.2
SLOWLY = 1.0


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing was heard."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The caller says hello, or asks what this is."""


@dataclass(frozen=True, slots=True)
class WhoIsCalling:
    """Who called whom, in which call, which turn."""


@dataclass(frozen=True, slots=True)
class TellUserData:
    """What business data came with the call."""


@dataclass(frozen=True, slots=True)
class TellTime:
    """The time at a place; an empty place is the caller's own."""

    place: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """Count from start to stop, up or down, with so many seconds from one number to the next."""

    start: int
    stop: int
    pace: float = PACE


@dataclass(frozen=True, slots=True)
class Wait:
    """So many seconds of silence before the first word."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Say:
    """Words that the caller asks to hear."""

    text: str


@dataclass(frozen=True, slots=True)
class SayAgain:
    """The previous reply once more."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The caller leaves."""


@dataclass(frozen=True, slots=True)
class Echo:
    """Anything else: it is read back."""

    text: str


Wish: TypeAlias = (
    Nothing | Greeting | WhoIsCalling | TellUserData | TellTime | Count | Wait | Say | SayAgain | Goodbye | Echo
)

_HAN = re.compile(f"[{HAN}]")
_NO_SYMBOL = re.compile(r"[\s!-/:-@\[-`{-~，。！？：；、…—～“”‘’（）《》「」]*")
_TO_LAST_SENTENCE = re.compile(r".*(?:[!?;。]|\.(?![0-9]))(?=[^!?;。]*\w)")


def language_of(text: str) -> Language:
    """Give the language to answer in: Chinese when the text holds a Chinese character."""
    return "zh" if _HAN.search(text) else "en"


def understand(text: str) -> Wish:
    """Read the caller's wish from an utterance, in either language."""
    said = " ".join(text.split())
    if _NO_SYMBOL.fullmatch(said):
        return Nothing()
    if len(said) > LONGEST:
        return Echo(said)
    heard = courtesy.tight(said)
    key = fold(heard)
    wish = _read_back(heard, key)
    if wish is not None:
        return wish
    if is_goodbye(key):
        return Goodbye()
    last = _TO_LAST_SENTENCE.match(key)
    return _wish(key) or (_wish(key[last.end() :]) if last else None) or Echo(said)


def _wish(key: str) -> Wish | None:
    text = digits(courtesy.bare(key))
    if not text:
        return Greeting() if courtesy.greets(key) else None
    for read in (_count, _wait, _time, _topic):
        wish = read(text)
        if wish is not None:
            return wish
    return None


# --- reading back -------------------------------------------------------------------------------------------------

_AGAIN = re.compile(
    english("(?:repeat|say)(?: that| it)?(?: (?:again|once more|one more time))?", "pardon(?: me)?", "come again")
    + r"|[你您]?(?:再[说讲念读]一[遍次]|重复(?:一[遍次下])?|刚才说(?:的是|了)?什么)"
)
_SAY = re.compile(
    r"(?:repeat(?: after me| the sentence| the words?)?|read back|say)(?![a-z',])[\s:]*+"
    r"|(?:跟[着随]?我(?:一起)?来?|学我)[读念说讲](?:一[遍下])?[\s:,]*+"
    r"|(?:重复|复述)(?:一[遍下])?(?:这句话|下面的?话|我的话)?[\s:,]*+"
    r"|(?:说:|(?<=请)说|(?<=请你)说)[\s:,]*+"
)


def _read_back(heard: str, key: str) -> Wish | None:
    """Read "repeat after me ..."; the answer is cut from what was heard, with its capitals and marks."""
    if _AGAIN.fullmatch(courtesy.bare(key)):
        return SayAgain()
    found = _SAY.match(key, courtesy.lead(key))
    if found is None or _NO_SYMBOL.fullmatch(heard, found.end()):
        return None
    return Say(heard[found.end() :].lstrip(":,：， "))


# --- counting -----------------------------------------------------------------------------------------------------

_N = "([0-9]+)"
_HOW = r"(?: (?:up|down|back|backwards?|upwards?|downwards?|aloud|out loud|slowly|quickly|fast|all the way))*+"
_ZH_HOW = "(?:(?:慢慢|快速|尽快|尽量快)[地的]?|快点|一直|往[上下后]|倒着|大声)*+"
_COUNT = re.compile(
    rf"(?:start )?count(?:ing)?(?: the)?(?: numbers)?{_HOW}(?: from)?(?: {_N})?{_HOW}"
    rf" (?:to|until|till|through) {_N}\b.*"
    rf"|(?:以?每[^,]{{0,12}}?(?:的速度)?,?)?从?{_N}?(?:开始)?,?{_ZH_HOW}[报倒]?数(?:数|一数|一下)?,?从?{_N}?(?:一直)?[数报]?到{_N}.*"
    rf"|从{_N}到{_N}[数报].*"
)
_COUNT_DOWN = re.compile(
    rf"(?:start )?count(?:ing)? (?:down|back|backwards?) from {_N}\b.*|倒数{_N}.*|从{_N}(?:开始)?倒(?:着)?数.*"
)
_COUNT_TO_TEN = re.compile(r"(?:start )?count(?:ing)?|数一?数|数个数|报数")
# Numbers in a time, a time, numbers in that time: "2 per second", every 0.5 seconds, 每秒2个, 隔1秒.
_EVERY = re.compile(
    rf"(?:([0-9]+) ?(?:numbers? |times? )?)?(?:(?:per|every|each|with|at|a) |每隔?|间?隔|停)"
    rf"(?:a (?:pace|pause|gap|interval) of )?({DURATION})[数报说念]?(?:([0-9]+) ?个)?"
)
# The same without a word between: 1秒2个, "5 numbers a second".
_IN = re.compile(rf"({DURATION})[数报说念]?([0-9]+) ?个|([0-9]+) ?(?:numbers? )?(1 second|1 minute)\b")
_NO_PAUSE = re.compile(r"as (?:fast|quickly) as|without (?:a pause|pausing|stopping)|[尽最]量?快|不要停")
_SLOWLY = re.compile(r"\bslowly\b|慢")


def _count(text: str) -> Count | None:
    if _COUNT_TO_TEN.fullmatch(text):
        return Count(1, 10)
    if found := _COUNT.fullmatch(text):
        start, stop = ["1", *filter(None, found.groups())][-2:]
        return Count(_whole(start), _whole(stop), _pace(found))
    if found := _COUNT_DOWN.fullmatch(text):
        return Count(_whole(next(filter(None, found.groups()))), 1, _pace(found))
    return None


def _whole(number: str) -> int:
    # Python refuses to read thousands of digits; nine are more than anybody counts.
    return int(number) if len(number) < 10 else 10**9


def _pace(wish: re.Match[str]) -> float:
    """Read the pace out of a wish to count; ours where nothing is said of it."""
    first = next(index for index, group in enumerate(wish.groups(), start=1) if group)
    for part in (wish.string[wish.end(wish.lastindex or first) :], wish.string[: wish.start(first)]):
        if found := _EVERY.search(part):
            return seconds(found[2]) / max(1.0, float(found[1] or found[3] or 1))
        if found := _IN.search(part):
            return seconds(found[1] or found[4]) / max(1.0, float(found[2] or found[3]))
    if _NO_PAUSE.search(wish.string):
        return 0.0
    return SLOWLY if _SLOWLY.search(wish.string) else PACE


# --- waiting ------------------------------------------------------------------------------------------------------

_SPEAK = r"(?:之后|以后|后)?,?(?:然后)?[你您]?[再才]?(?:说话?|回?答(?:应|复)?|回复|开口|讲话?|应答|告诉)?我?"
_WAIT = re.compile(
    r"(?:wait|pause|hold(?: on)?|hang on|sleep|say nothing|(?:stay|be|keep) (?:silent|quiet)"
    r"|(?:don't|do not) (?:speak|talk|say anything))(?: for)?(?: about| another)? "
    rf"({DURATION})(?:[ ,]+(?:and|then|before)\b.*)?"
    rf"|(?:answer|reply|respond|speak|talk)(?: me| to me)? (?:in|after) ({DURATION})"
    rf"|(?:等待?|停顿?|暂停|沉默|安静|保持沉默|保持安静|过|静音)(?:我|个|上|一下|大约)*+({DURATION}){_SPEAK}"
    rf"|({DURATION})(?:钟)?(?:之后|以后|后)[你您]?再?(?:说话?|回?答|回复|开口|讲话?|告诉我)"
)


def _wait(text: str) -> Wait | None:
    found = _WAIT.fullmatch(text)
    return Wait(seconds(next(filter(None, found.groups())))) if found else None


# --- the time -----------------------------------------------------------------------------------------------------

_WHAT_TIME = r"(?:是|到)?(?:几点(?:钟|几分)?|什么时[间候]|啥时候|几时|时间)"
_NOW = "(?:现在|当前|目前|此刻|这会儿?)"
_THERE = "(?:那边|那里|那儿|当地)?的?"
_TIME_HERE = re.compile(
    r"(?:what(?:'s| is)? )?(?:the )?(?:current |exact |local |right )?time"
    r"(?: is it| it is| do you have)?(?: right now| now)?"
    rf"|(?:do you |have you )?(?:have|got) the time|{_NOW}的?{_WHAT_TIME}|几点钟?|报时|报一?下时间|时间"
)
_TIME_THERE = re.compile(
    r"(?:what(?:'s| is)? )?(?:the )?(?:current |exact |local )?time(?: is it| it is)?(?: right now| now| currently)?"
    r" in (?:the )?([^?!]+?)(?: right now| now| currently| at the moment| today| time)?"
    rf"|{_NOW}([^,。?!]+?){_THERE}(?:{_WHAT_TIME})|([^,。?!]+?){_THERE}{_NOW}的?{_WHAT_TIME}"
)
# Without "now" it may be anything that has a time, so the place has to be one we know, or an IANA name.
_TIME_OF = re.compile(
    rf"(?:what(?:'s| is) )?(?:the )?(?:current )?([^?!]+?) time|what time is it ([^?!]+)"
    rf"|([^,。?!]+?){_THERE}{_WHAT_TIME}"
)


def _time(text: str) -> TellTime | None:
    if _TIME_HERE.fullmatch(text):
        return TellTime()
    if found := _TIME_THERE.fullmatch(text):
        return TellTime(next(filter(None, found.groups())).strip())
    if found := _TIME_OF.fullmatch(text):
        place = next(filter(None, found.groups())).strip()
        return TellTime(place) if "/" in place or is_known(place) else None
    return None


# --- everything else ----------------------------------------------------------------------------------------------

_WHO = re.compile(
    r"who(?:'s| is| am) (?:i|this|calling(?: whom?)?|on the (?:line|phone))|who(?: has)? called(?: whom?)?"
    r"|(?:what(?:'s| is) )?(?:my|your)(?: caller| calling| phone| telephone)? (?:number|id)|(?:the )?caller id"
    r"|what number (?:am i|are you|did i|is this)(?: (?:calling|call|dial))?(?: from)?"
    r"|(?:which|what) (?:turn|call|room) (?:is this|am i in|are we in)"
    r"|(?:what(?:'s| is) )?(?:the |my |this )?(?:call|turn|room) (?:id|number)"
    r"|(?:我|来电的?|主叫|被叫|对方|打电话的人?)(?:是谁|的?(?:号码|电话)(?:是(?:多少|什么|几号))?)"
    r"|谁在?(?:给谁)?(?:打|呼叫)(?:的?电话|给谁|来的?|谁)|谁的?来电|第几[句轮次]"
    r"|这是(?:第几[句轮次]|哪个?(?:电话|通话|房间))|(?:通话|呼叫|来电)(?:信息|编号)(?:是(?:多少|什么))?"
)
_DATA = re.compile(
    r"(?:(?:what(?:'s| is| are)?|which|read|report|show|list|is there|have|do you have)\b.{0,30})?"
    r"\b(?:user|business|customer|my) ?data\b.{0,30}|what (?:data )?do you (?:know|have) (?:about|on) me"
    r"|[^,。]{0,8}?(?:用户|业务|客户|我)的?(?:数据|资料|信息)[^,。]{0,8}"
)
_GREETING = re.compile(
    r"(?:(?:can|do) you )?hear me|are you there|(?:is )?any(?:body|one) there|help(?: me)?"
    r"|what can (?:you do|i (?:ask|say|do))|who are you|what (?:is this|are you|do you do)"
    r"|[你您]?听(?:得|不)?(?:到|见|清楚?)(?:我?(?:说话|讲话)|我)?|[你您]?在[吗么不]?|有人在?|帮助|怎么用"
    r"|(?:[你您]|这)(?:里是哪里|是(?:谁|哪[里位]|什么))|哪位|有(?:什么|哪些)功能"
    r"|[你您]?[都还]?[能会]?(?:可以)?[做干][些点]?(?:什么|啥)"
)


def _topic(text: str) -> Wish | None:
    if _WHO.fullmatch(text):
        return WhoIsCalling()
    if _DATA.fullmatch(text):
        return TellUserData()
    return Greeting() if _GREETING.fullmatch(text) else None
