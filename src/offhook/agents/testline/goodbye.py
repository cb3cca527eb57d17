"""When the line hangs up. Pure.

Hanging up on somebody is worse than reading back, so a goodbye is one of these and no more:

| what is said | counts when it is | and not |
| --- | --- | --- |
| goodbye, bye bye, good night, 再见, 拜拜, 晚安 | the last clause | "She said, goodbye": after a word of saying |
| hang up the phone, 我要挂了, 请挂断电话 | the last clause | "If it rings, hang up": after a condition |
| no thanks, that's all, 不用了, 没别的事了 | the whole utterance | 不用了，我知道电话: with another matter |

Any of them may come with courtesies ("好的谢谢再见", "Bye, and thank you"). None counts

- when hanging up is negated anywhere: "don't hang up", 先别挂;
- when it is a question, "bye?", 要挂了吗, other than a polite request: "could you hang up?", 能挂断电话吗;
- when other words stand around it: "the song is called Goodbye Yellow Brick Road", 她跟我说再见了.

"Say goodbye" asks to hear the word and does not come here. "Good night" is a goodbye, as it is in English;
"good evening" is a greeting.
"""

from __future__ import annotations

import re

from offhook.agents.testline.courtesy import FILLER, THANKS, either, english

_CLAUSE_END = re.compile(r"[!?;。\n\u2026,~]+|\.+(?![0-9])")
_QUOTES = " -'\"“”"

_FAREWELL = either(
    english(
        r"(?:good[ -]?bye|bye(?:[ -]?bye)*|farewell|good ?night|take care"
        r"|(?:talk|speak) (?:to you )?(?:later|soon|tomorrow)"
        r"|see (?:you|ya)(?: (?:later|soon|tomorrow|again|around|then|next (?:time|week)))?)"
        r"(?: (?:now|then|for now|everyone|everybody|all|guys|sir|madam|ma'am|my friend))?"
    ),
    r"(?:就|我们|咱们)?(?:再见|再会|拜拜+|掰掰|回见|回头见|明天见|下次见|下次再?聊|回头再?聊|改天再?聊|晚安)[了啦吧啊哦喽咯呀哈嘞]*+",
)
_ENGLISH_ORDER = english(
    r"(?:you (?:can|may|should) |let's |let us |i(?:'ll| will| have to| need to| must| gotta|'ve got to| am going to"
    r"|'m going to|'m gonna| want to|'d like to| would like to| want you to|'d like you to) )?"
    r"(?:please |just |now |go ahead and )*+"
    r"(?:(?:hang up|disconnect)(?: on me)?(?: (?:the|this|my) (?:phone|call|line|telephone))?"
    r"|(?:end|drop|terminate|finish) (?:the|this|my) (?:phone )?call)(?: (?:right )?now| for me)*",
    r"i(?:'m| am) hanging up(?: now)?",
)
_CHINESE_ORDER = (
    r"(?:我们|我|咱们|你|您|先|就|要|得|该|想|请|麻烦|可以|能|帮我|给我|现在|马上|立刻|直接|把(?:电话|通话|线路?))*+"
    r"(?:挂(?:[断掉机线](?:电话|通话)?|电话|通话|(?=[了吧啦]))|结束(?:这次|本次)?(?:通话|电话)|断开(?:电话|通话|连接))"
    r"(?:一下|吧|了|啦|哦|啊|哈|喽|咯)*+"
)
# 你挂了 and 你要挂了 are about somebody else.
_ORDER = rf"(?![你您][要想得该就先]*+挂断?(?:电话)?了\Z){either(_ENGLISH_ORDER, _CHINESE_ORDER)}"
_REQUEST = either(r"(?:can|could|would|will) you ", r"[你您]?(?:能不能|可不可以|可以|能)(?:帮我|请)?")
_REFUSAL = either(
    english(
        *("no (?:thanks|thank you)(?: very much)?", "no i'm (?:all )?good", "nothing (?:else|more)"),
        *("i(?:'m| am) (?:all )?(?:done|finished)", "that(?:'s| is) it for (?:now|today)"),
        r"(?:i think )?(?:that(?:'s| is|'ll be| will be)|that would be) all"
        r"(?: (?:that )?i (?:need|needed|want|wanted))?(?: for (?:now|today))?",
    ),
    r"(?:都|也|真的)?(?:不用|不需要|不必)[了啦][吧啊]?",
    r"没有?(?:什么)?(?:别的|其他|其它)的?(?:事情?|问题|需要|要求)?[了啦]",
    *("没(?:有|什么)?事情?[了啦]", "没有?了", "[就先]+(?:这样|到这里?|这些)[吧了啦]?"),
)

_CIVIL = rf"(?:{either(_REFUSAL, THANKS, FILLER)}[ \-]*+)*+"
_IS_CIVIL = re.compile(_CIVIL)
_IS_FAREWELL = re.compile(rf"{_CIVIL}(?:{_FAREWELL}[ \-]*+)++{_CIVIL}")
_IS_ORDER = re.compile(rf"{_CIVIL}{_ORDER} ?{_CIVIL}")
_IS_REQUEST = re.compile(rf"{_CIVIL}{_REQUEST}{_ORDER}(?:吗|好吗|么)? ?{_CIVIL}")
_HAS_REFUSAL = re.compile(rf"(?<![a-z]){_REFUSAL}")
_NEGATED = re.compile(
    r"\b(?:don't|dont|do not|never(?! mind)|not|won't|without|shouldn't|can't|cannot)(?: [a-z']+){0,2}"
    r" (?:hang|hanging|disconnect|end the|end this|say bye|say good ?bye)\b"
    r"|(?:别|不要|不想|不能|不许|不准|不可以|不会|不该|不让|勿|没让|没说|没要|不用(?!了)|不(?=挂))"
    r"[^,.!?。;]{0,6}?(?:挂|断开|断线|结束通话|再见|拜拜)"
)
_SAYING = re.compile(
    r"(?:(?<!to )\bsay|\b(?:says|said|saying|told me|(?:is|was|it's|are) called|titled|means?"
    r"|(?:word|words|phrase|song|title|name)(?: is| was)?)"
    r"|(?<![想要])说了?|说的是|叫做?|写着|写的是|念|问|翻译|意思是)\Z"
)
_CONDITION = re.compile(
    r"\b(?:if|when|whenever|once(?! again| more)|after|before|until|unless)\b"
    r"|如果|要是|假如|万一|等.*(?:以后|之后|再|就)|的时候|之前|以后|之后"
)


# "Hang up? No."
_TAKEN_BACK = frozenset({"no", "nope"})


def is_goodbye(said: str) -> bool:
    """Tell whether a folded utterance takes leave; the rules stand at the top of this file."""
    if _NEGATED.search(said):
        return False
    clauses = [clause for part in _CLAUSE_END.split(said) if (clause := part.strip(_QUOTES))]
    whole = " ".join(clauses)
    question = said.rstrip(_QUOTES).endswith("?")
    if not question and _IS_CIVIL.fullmatch(whole) and _HAS_REFUSAL.search(whole):
        return True
    while clauses and _IS_CIVIL.fullmatch(clauses[-1]):
        if clauses.pop() in _TAKEN_BACK:
            return False
    return bool(clauses) and _leaves(clauses[:-1], clauses[-1], question)


def _leaves(before: list[str], last: str, question: bool) -> bool:
    if before and _SAYING.search(before[-1]):
        return False
    conditional = any(_CONDITION.search(clause) for clause in before)
    if _IS_REQUEST.fullmatch(last) and not last.endswith(("了吗", "了么")):
        return not conditional
    if question or last.endswith(("吗", "么")):
        return False
    return bool(_IS_FAREWELL.fullmatch(last) or (_IS_ORDER.fullmatch(last) and not conditional))
