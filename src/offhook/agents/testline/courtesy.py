"""What is looked through in an utterance: fillers, greetings, thanks and the polite words around a wish. Pure."""

from __future__ import annotations

import re


def english(*words: str) -> str:
    """Give a pattern for any of these English words, ending where the word ends."""
    return f"(?:(?:{'|'.join(words)})(?![a-z0-9']))"


def either(*words: str) -> str:
    """Give a pattern for any of these; for Chinese words, which end nowhere, and for finished patterns."""
    return f"(?:{'|'.join(words)})"


HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
GAP = r"[\s,.!?;:。~\-\u2014\u2026\"'“”]"

FILLER = either(
    english(
        "u+m+|u+h+m?|e+r+m?|h+m+|m+|mhm|a+h+|oh|well|so|and|but|okay|ok|alright|all right|right|yes|yeah|yep|no|nope",
        "sure|great|perfect|awesome|cool|fine|sounds (?:good|great)|never mind",
        "good(?! ?(?:bye|night|morning|afternoon|evening|day))",
    ),
    "嗯+|呃+|额+|啊+|哦+|噢+|唔+|诶+|欸+|哎+|那个|那么|那|这个|就是(?=说|,)",
    "好[的吧了嘞啊呀]?|行[吧了啊]?|对[的了啊]?|是的|没事|没有?问题了?|知道了|明白了?",
)
THANKS = either(
    english(
        r"(?:many )?thank(?: ?you|s)(?: so much| very much| a lot| again)?"
        r"(?: for (?:(?:all )?(?:your|the) (?:help|time|assistance|information|call)|calling|helping(?: me)?))?",
        "i (?:really )?appreciate (?:it|that|your help)|you(?:'ve| have) been (?:very |so )?helpful|please",
        r"have an? (?:very )?(?:nice|good|great|lovely|wonderful)"
        r" (?:day|evening|night|afternoon|morning|weekend|one|time)",
    ),
    "多谢你?|谢谢(?:你们?|您|啦)?|谢了|感谢您?|辛苦了|麻烦[你您]了|打扰了",
)
HELLO = either(
    english(
        r"(?:hello|hi|hey|hiya|good (?:morning|afternoon|evening|day)|greetings)(?: (?:there|again|everyone|offhook))?"
    ),
    "你们?好[啊呀吗]?|您好[啊呀]?|大家好|喂+|嗨|哈[喽啰罗]|[早中晚]上?好|[上下]午好|早安",
)
ASKING = either(
    english(
        "(?:can|could|would|will) you|(?:can|may|could) i (?:have|get|know|hear)|just|kindly|now|go ahead and",
        "i(?:'d| would) like (?:you )?to(?: know)?|i want (?:you )?to(?: know)?|let me (?:know|hear)|do you know",
        "tell me|give me|excuse me|(?:i'm )?sorry",
    ),
    "请问|请[你您]?|麻烦[你您]?|劳驾|帮我|帮忙|你?给我|[你您]?(?:能不能|可不可以|可以|能)",
    "我想(?:知道|问一?下?|听)?|我要听|问一下|告诉我|你知道|不好意思|打扰一下|[你您](?=从|数|等)",
)
_TAIL_WORDS = either(
    "(?<![a-z0-9])" + english("please|thanks|thank you|for me|(?:right )?now|then|okay|ok|will you"),
    "吧|吗|呢|呀|啊|哈|哦|嘛|好吗|好不好|可以吗|行吗|行不行|谢谢[你您]?|一下|了",
)

# Possessive everywhere: what was looked through is not looked at again, however long the utterance.
_LEAD = re.compile(rf"{GAP}*+(?:(?:{HELLO}|{THANKS}|{ASKING}|{FILLER}){GAP}*+)*+")
_TAIL = re.compile(rf"(?:{_TAIL_WORDS}|{GAP})\Z")
_LONGEST_TAIL = 10
_HELLO = re.compile(rf"(?<![a-z]){HELLO}")
_SPACE_BESIDE_HAN = re.compile(rf"(?<=[{HAN}]) | (?=[{HAN}])")


def tight(text: str) -> str:
    """Drop the spaces that speech recognition puts between Chinese characters."""
    return _SPACE_BESIDE_HAN.sub("", text)


def lead(text: str) -> int:
    """Give where the courtesies at the beginning of a folded text end."""
    found = _LEAD.match(text)
    return found.end() if found else 0


def bare(text: str) -> str:
    """Give a folded text without the courtesies around it."""
    text = text[lead(text) :]
    # Only the end is searched, so that a long run of 吗 costs its length and not its square.
    while found := _TAIL.search(text, max(0, len(text) - _LONGEST_TAIL)):
        text = text[: found.start()]
    return text


def greets(text: str) -> bool:
    """Tell whether a folded text holds a greeting."""
    return _HELLO.search(text) is not None
