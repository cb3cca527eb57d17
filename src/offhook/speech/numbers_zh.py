"""Numbers in a Chinese sentence, in the words that are said for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offhook.speech.numbers_library import ask
from offhook.speech.numbers_rules import AMOUNT, MINUS, REFERENCE, TELEPHONES, apply, groups, split
from offhook.speech.numbers_signs import CHINESE, NUMBER_CHINESE

if TYPE_CHECKING:
    from offhook.speech.numbers_rules import Rule

_PLAIN = str.maketrans("0123456789", "零一二三四五六七八九")
# In what names a thing one is yao, since yi is easily heard as qi, seven.
_NAME = str.maketrans("0123456789", "零幺二三四五六七八九")
_LONGEST = 16
_TO = r"(?:[~\uff5e\u2013\u2014-]+| [~\uff5e\u2013\u2014-]+ )"
# What is counted with liang and not with er. Not a floor, a month or a day, which are numbered.
_COUNTED = (
    r"(?:[个位名天年次份斤分间张倍晚夜件套只台辆本条种家杯瓶盒箱袋块片把根颗双对组项门周秒米吨元万亿千人岁度克升遍趟句页部集场局步站篇幅首座"
    r"款类批些者段回顿圈轮笔道]|百元|小时|分钟|分半|公里|公斤|公顷|厘米|毫米|毫升|平方|立方|[汤茶大小]匙|勺|星期|刻钟|点(?!\d))"
)
_LIANG = re.compile(_COUNTED)
# As in 2年级, 2次元: numbered all the same.
_NUMBERED = re.compile(
    r"分之|年级|次元|次方|度空间|个半月|人转|位数|万元户|对[于的]|点[零一二三四五六七八九0-9]|家(?=和)|门口|道口"
)


def digits(text: str) -> str:
    """Read digits one by one, as in a year."""
    return text.translate(_PLAIN)


def name(text: str) -> str:
    """Read digits one by one, as in a telephone number."""
    return text.translate(_NAME)


def cardinal(whole: str) -> str:
    """Read a whole number; one with a leading zero, or that is too long, digit by digit."""
    if len(whole) > _LONGEST or (len(whole) > 1 and whole.startswith("0")):
        return digits(whole)
    # A word of measure behind it, or the library takes eleven digits for a telephone number and three for a name.
    words = ask(f"{whole}\u5143", "zh") or ""
    return digits(whole) if not words.endswith("\u5143") else "二" if whole == "2" else words[:-1]


def amount(text: str, behind: str = "") -> str:
    """Read an amount; ``behind`` is what stands behind it, which decides between er and liang."""
    whole, fraction = split(text)
    if whole == "2" and not fraction and _LIANG.match(behind) and not _NUMBERED.match(behind):
        return "两"
    words = cardinal(whole.lstrip("0") or "0" if fraction else whole)
    return f"{words}点{digits(fraction)}" if fraction else words


def _behind(match: re.Match[str]) -> str:
    return match.string[match.end() : match.end() + 4]


def _minus(match: re.Match[str]) -> str:
    return "负" if match["minus"] else ""


# --- telephone numbers and other names made of digits -------------------------------------------------------------


def _telephone(match: re.Match[str]) -> str | None:
    found = groups(match[0])
    if found is None or re.match("[元块个人天年米万千]|公里|平", _behind(match)):
        return None
    # A space is a pause already, and stays; hyphens and brackets are not read.
    return ("加" if match[0].startswith("+") else "") + name(re.sub(r"[^0-9 ]", "", match[0]))


_NAMED = re.compile(
    r"(?P<before>(?:尾号|验证码|校验码|密码|口令|单号|编号|卡号|账号|帐号|证号|房号|房间号?|包间|包厢|会议室|教室|工号|学号|邮编|代码|"
    r"分机|航班|车次|车牌号?|热线|电话|手机号?|号码|客服|[拨打]打?|致电|呼叫|转接?|工单|流水号|批次|取件码|提取码|股票)"
    r"(?:号码?|是|为|转|[:\uff1a# ]){0,3}[A-Z]{0,3})(?P<number>[0-9]{3,}+)"
    r"(?![.,:/][0-9]|[-~]| ?%|[元块个人天年月日次分万亿千百小]|多|次)"
)
_CALLED = re.compile(
    r"(?<![0-9.,:])(?P<before>)(?P<number>1[0-9]{2}|1[0-9]{4}|9[56][0-9]{3})(?=(?:客服|热线|电话|急救|报警|短信))"
)
# Numbers of services that nobody calls a sum.
_SERVICE = re.compile(
    r"(?<![0-9.,:/-])(?P<before>)(?P<number>100(?:10|86)|123(?:06|15|33|45|48|66|68)|95[0-9]{3}(?<!000))"
    r"(?![0-9%]|[.,:/-][0-9]| ?[元块个人天年月次分万亿千百米平名户台条件])"
)
_ALARM = re.compile(
    r"(?P<before>(?:火警|报警|急救|匪警|查号)(?:台|电话|号码|是|为|[:\uff1a ]){0,3})(?P<number>1[0-9]{2})"
    r"(?![0-9~-]|[.,:/][0-9]| ?%|[起元块个人天年月日次分万亿千百名例台])"
)
_ROOM = re.compile(r"(?<![0-9.,:/-])(?P<before>)(?P<number>[0-9]{3,4})(?=室|房间|号房|包间|包厢|教室|会议室)")
_KNOWN = re.compile(
    r"(?<![0-9.,:/])(?P<before>)(?P<number>618(?=大促|活动|购物|期间|年中)|(?:985|211)(?=[、和]|高校|大学|院校|工程)|315(?=晚会))"
)


def _named(match: re.Match[str]) -> str:
    return match["before"].replace("#", "") + name(match["number"])


_LONG = re.compile(
    r"(?<![0-9.,$\u20ac\u00a3\u00a5\uffe5])[0-9]{7,}+(?!,[0-9]{3}(?![0-9])|\.[0-9])"
    r"(?! ?(?:[元块个人天年次万亿千百股平米户台条件吨]|公里|美元|欧元|日元|港元|人民币|%|[a-z]))"
)


def _long(match: re.Match[str]) -> str | None:
    return None if match[0].endswith("000") and len(match[0]) <= _LONGEST else name(match[0])


_VERSION = re.compile(r"(?<![0-9.,])[0-9]{1,5}(?:\.[0-9]{1,5}){2,}+(?![0-9])")
# MF705-706, B1-203: rooms, and the hyphen is said.
_ROOMS = re.compile(r"(?<=[A-Za-z])[0-9]{1,5}(?:-[0-9]{3,5})+(?![0-9-])")
_CODE = re.compile(
    r"(?:(?<=[A-Za-z])|(?<=[A-Za-z]-))[0-9]{3,}+(?!\.[0-9])"
    # 1080P is a name, 500GB is an amount.
    r"|(?<![0-9.,])[0-9]{3,}+(?=[A-Za-z])(?!(?:[KMGT](?:B|bps|b)?|k)(?![A-Za-z0-9]))"
)
# Business to business, and its like: "to".
_B2B = re.compile(r"(?<![A-Za-z0-9])([BCGOP])2([BCGOP])(?![A-Za-z0-9])")

# --- dates and times ----------------------------------------------------------------------------------------------

# Behind a date, hour or floor a hyphen leads to the next and is no minus.
_FROM = re.compile(rf"(?<=[0-9][日号月点年楼层]){_TO}(?=[0-9]{{1,4}} ?[日号月点年楼层])")
_MONTHS = re.compile(rf"(?<![0-9.-])([0-9]{{1,2}}){_TO}(?=[0-9]{{1,2}} ?月)")
_ISO = re.compile(
    r"(?<![0-9][-./])(?<![0-9])([12][0-9]{3})([-./])([0-9]{1,2})\2([0-9]{1,2})(?:T(?=[0-9])|-([0-9]{1,2})\.([0-9]{1,2}))?"
    r"(?![0-9]|[/.][0-9]|-[0-9]+-)"
)
_AMERICAN = re.compile(r"(?<![0-9/.-])([0-9]{1,2})([-/])([0-9]{1,2})\2([12][0-9]{3})(?![0-9]|[-/.][0-9])")
_SHORT = re.compile(r"(?<![0-9/.-])(1[0-2]|0?[1-9])/(1[3-9]|2[0-9]|3[01])(?![0-9/]|\.[0-9]|[人次份])")
_YEAR_MONTH = re.compile(r"(?<![0-9/.-])((?:19|20)[0-9]{2})[-/.](1[0-2]|0[1-9])(?![0-9/]|[-.][0-9])")
_IN_WORDS = re.compile(
    rf"(?:(?P<year>(?<![0-9])[0-9]{{4}}) ?年 ?)?(?<![0-9.])(?P<month>[0-9]{{1,2}}) ?月(?: ?(?P<day>[0-9]{{1,2}})"
    rf"(?:{_TO}(?P<last>[0-9]{{1,2}}))? ?(?P<word>[日号]))?"
)


def _date(year: str, month: str, day: str) -> str | None:
    if not 1 <= int(month) <= 12 or not 1 <= int(day) <= 31:
        return None
    first = f"{digits(year)}年" if year else ""
    return f"{first}{cardinal(month.lstrip('0'))}月{cardinal(day.lstrip('0'))}日"


def _iso(match: re.Match[str]) -> str | None:
    first = _date(match[1], match[3], match[4])
    last = _date("", match[5], match[6]) if match[5] else ""
    return None if first is None or last is None else f"{first}到{last}" if last else first


def _in_words(match: re.Match[str]) -> str | None:
    # Not by the library, which counts on 2月2日: "two days".
    numbers = {part: match[part] for part in ("year", "month", "day", "last")}
    text = match[0]
    for part in ("last", "day", "month", "year"):
        number = numbers[part]
        if number:
            start, end = match.start(part) - match.start(), match.end(part) - match.start()
            words = digits(number) if part == "year" else cardinal(number.lstrip("0") or "0")
            if part == "last":
                start = match.end("day") - match.start()
                words = "到" + words
            text = text[:start] + words + text[end:]
    return text


# 2000年前 may be two thousand years ago; 1999年前 is not.
_YEAR = re.compile(
    r"(?<![0-9.,-])(?:(?:1[0-9]|20|21)[0-9]{2})(?= ?(?:(?<!00)年|年(?![前后来间多]|之[前久]|的?历史)|年代|款|届|财年"
    r"|学年|赛季|级|版|[春夏秋冬]))"
    r"|(?<=[(\uff08\uff0c, ])(?:19|20)[0-9]{2}(?=[)\uff09])|(?<![0-9])[0-9]0(?=后(?![来面天]))"
)
_YEARS = re.compile(
    rf"(?<![0-9.,-])((?:19|20)[0-9]{{2}})(年?)(?:{_TO}|/)((?:19|20)[0-9]{{2}}|[0-9]{{2}}(?=赛季|学年|财年))(?![0-9元块.,%])"
)
_CLOCK = r"(?:[01]?[0-9]|2[0-4])[:\uff1a][0-5][0-9](?:[:\uff1a][0-5][0-9])?"
_TIMES = re.compile(rf"(?<![0-9])(?<![0-9]:)({_CLOCK}) ?[~\uff5e\u2013\u2014-]+ ?(?={_CLOCK}(?![0-9:]))")
_TIME = re.compile(
    r"(?<![0-9.,])(?<![0-9]:)([0-9]{1,2})[:\uff1a]([0-9]{2})(?:[:\uff1a]([0-9]{2}))?(?![0-9:]|\.[0-9])"
    r"(?P<half> ?[AaPp]\.?[Mm]\b\.?)?"
)
_SCORED = re.compile(r"(?:比分|比例|比率|战胜|击败|赢|输|胜|负)[^0-9]{0,4}$")
_SCORE = re.compile(r"(?<![0-9:.])([0-9]{1,7})[:\uff1a]([0-9]{1,7})(?![0-9:])")


def _time(match: re.Match[str]) -> str | None:
    hour, minute, second = int(match[1]), match[2], match[3]
    if hour > 24 or minute > "59" or (second or "00") > "59" or (hour == 24 and minute != "00"):
        return None
    if _SCORED.search(match.string[max(0, match.start() - 8) : match.start()]) and not second:
        return None
    half = re.sub(r"[ .]", "", match["half"] or "").lower()
    part = {"am": "上午", "pm": "下午", "": ""}[half]
    words = "两" if hour == 2 else cardinal(str(hour))
    words = f"{part}{words}点"
    if second:
        return f"{words}{_sixtieth(minute)}分{_sixtieth(second)}秒"
    # The library says "zero to zero" for midnight, and otherwise just this.
    return words if minute == "00" else f"{words}{_sixtieth(minute)}分"


def _sixtieth(text: str) -> str:
    return f"零{digits(text[1])}" if text[0] == "0" and text != "00" else cardinal(text.lstrip("0") or "0")


# --- money, percent, units ----------------------------------------------------------------------------------------

_MONEY = {
    **dict.fromkeys(("$", "US$", "USD"), "美元"),
    **dict.fromkeys(("HK$", "HKD"), "港元"),
    **dict.fromkeys(("\u20ac", "EUR"), "欧元"),
    **dict.fromkeys(("\u00a3", "GBP"), "英镑"),
    **dict.fromkeys(("\u00a5", "\uffe5", "RMB", "CNY"), "元"),
    "JPY": "日元",
}
_SIGN = "|".join(re.escape(sign) for sign in sorted(_MONEY, key=len, reverse=True))
# An English word of scale moves the point by so many digits, and this is said behind.
_WORDS = {"thousand": (3, ""), "million": (2, "万"), "billion": (1, "亿"), "trillion": (0, "万亿")}
_ENGLISH = re.compile(rf"({AMOUNT}) ?(thousand|million|billion|trillion)(?![A-Za-z])", re.IGNORECASE)


def _english(match: re.Match[str]) -> str:
    places, word = _WORDS[match[2].lower()]
    whole, fraction = split(match[1])
    moved = whole + fraction[:places].ljust(places, "0")
    return (moved.lstrip("0") or "0") + (f".{rest}" if (rest := fraction[places:]) else "") + word


_SCALE = r"(?P<scale>[百千]?万亿?|[百千]?亿|[百千])?"
_PRICE = re.compile(
    rf"(?<![A-Za-z])(?P<minus>{MINUS})?(?P<sign>{_SIGN}) ?(?P<first>{AMOUNT})(?:{_TO}(?:{_SIGN})?(?P<last>{AMOUNT}))?"
    rf"{_SCALE}(?P<unit>美元|美金|欧元|英镑|日元|港元|港币|人民币|元|块)?"
)
_PRICE_BEHIND = re.compile(
    rf"(?P<minus>{MINUS})?(?P<first>{AMOUNT})(?:{_TO}(?P<last>{AMOUNT}))?{_SCALE} ?"
    r"(?P<sign>[A-Z]{3}(?![A-Za-z])|[\u20ac\u00a3]|[美欧日港]?元)(?P<unit>)"
)


def _range(match: re.Match[str], behind: str) -> str:
    """Read one amount, or two as from one to the other."""
    first, last = match["first"], match["last"]
    return f"{amount(first, behind)}到{amount(last, behind)}" if last else amount(first, behind)


def _price(match: re.Match[str]) -> str | None:
    sign = match["sign"]
    if sign not in _MONEY and not sign.endswith("元"):
        return None
    unit = (match["scale"] or "") + (match["unit"] or _MONEY.get(sign, sign))
    words = _range(match, unit if match["scale"] else "元")
    # Three point five zero: the zeros behind a price are not said.
    if "点" in words and not match["last"]:
        words = re.sub("点$", "", words.rstrip("零"))
    return _minus(match) + words + unit


_PERCENT = re.compile(
    rf"(?P<minus>{MINUS})?(?P<first>{AMOUNT}) ?[%\uff05]?(?:{_TO}(?P<last>{AMOUNT}) ?[%\uff05])?(?<=[%\uff05])"
)


def _percent(match: re.Match[str]) -> str:
    last = f"到百分之{amount(match['last'])}" if match["last"] else ""
    return f"{_minus(match)}百分之{amount(match['first'])}{last}"


# Where the library leaves the letters, or says them otherwise than people do; the rest is asked.
_UNITS = {
    "kg": "公斤", "KG": "公斤", "g": "克", "t": "吨", "km": "公里", "KM": "公里", "CM": "厘米", "MM": "毫米",
    "in": "英寸", "mL": "毫升", "ML": "毫升", "L": "升", "s": "秒", "mins": "分钟", "hrs": "小时", "lbs": "磅",
    "kcal": "千卡", "W": "瓦", "V": "伏", "kWh": "千瓦时", "mAh": "毫安时", "dB": "分贝", "Hz": "赫兹",
    "kHz": "千赫兹", "MHz": "兆赫兹", "GHz": "吉赫兹", "Mbps": "兆", "\u33a1": "平方米", "m\u00b2": "平方米",
    "m2": "平方米", "km\u00b2": "平方公里", "km2": "平方公里", "\u2103": "摄氏度", "\u00b0C": "摄氏度",
    "\u2109": "华氏度", "\u00b0F": "华氏度", "\u00b0": "度",
}  # fmt: skip
_ASKED = (
    *("km/h", "m/s", "mg", "ml", "mm", "cm", "m\u00b3", "m3", "m", "h", "min", "ms", "kW", "lb", "ft", "oz", "mph"),
    *("\u03bcm", "nm", "mi", "ha"),
)
_UNIT = "|".join(re.escape(unit) for unit in sorted((*_UNITS, *_ASKED), key=len, reverse=True))
_MEASURE = re.compile(
    rf"(?<![A-Za-z])(?P<minus>{MINUS})?(?P<first>{AMOUNT})(?:{_TO}(?P<last>{AMOUNT}))? ?(?P<unit>{_UNIT})"
    r"(?![A-Za-z0-9\u00b2\u00b3/])"
)
_PER_MILLE = re.compile(rf"({AMOUNT}) ?\u2030")


def _measure(match: re.Match[str]) -> str | None:
    unit = _UNITS.get(match["unit"])
    if unit is not None:
        # Each of them is counted with liang.
        return _minus(match) + _range(match, "度") + unit
    # Asked with a number that stands out: a speed is said as so much an hour, with the number behind.
    words = ask(f"7{match['unit']}", "zh")
    return words and _minus(match) + words.replace("七", _range(match, "度"))


# --- ordinals, fractions, ranges, and the rest --------------------------------------------------------------------

_ORDINAL = re.compile(r"(?<=第)[0-9]{1,16}(?![0-9.,])")
_DISCOUNT = re.compile(r"(?<![0-9.,])([0-9])\.([0-9])(?=折)")
_FRACTION = re.compile(r"(?<![0-9./])([0-9]{1,3})/([0-9]{1,3})(?![0-9/]|\.[0-9])")
_FROM_TO = re.compile(
    rf"(?<![A-Za-z0-9-])(?P<first>{AMOUNT})(?P<unit>[\u4e00-\u9fff]{{0,2}}){_TO}(?P<last>{AMOUNT})"
    r"(?![0-9A-Za-z]|-[0-9]| ?=)"
)
_REST = re.compile(rf"(?P<minus>{MINUS}(?=[0-9]))?(?P<number>{AMOUNT})")


def _ordinal(match: re.Match[str]) -> str:
    # 第二百: behind it nothing is counted.
    words = cardinal(match[0])
    return "二" + words[1:] if words.startswith("两百") else words


def _fraction(match: re.Match[str]) -> str:
    first, second = match.groups()
    if first in {"24", "7"} and second in {"24", "7"}:
        return f"{cardinal(first)}杠{cardinal(second)}"
    # 70/88届 is no part of a whole: the second is counted.
    part = 2 <= int(second) <= 100 and 0 < int(first) < int(second) and second[0] != "0"
    if part and not re.match("[届号期]", _behind(match)):
        return f"{cardinal(second)}分之{cardinal(first)}"
    return f"{cardinal(first)}杠{cardinal(second)}"


def _from_to(match: re.Match[str]) -> str | None:
    behind, unit = _behind(match), match["unit"]
    (first, _), (last, _) = split(match["first"]), split(match["last"])
    small = (len(first), first) < (len(last), last)
    # 3-201 is the third house or floor, and room 201.
    score = len(first) == len(last) == 1 and first > last and not re.match("[号室楼栋层单座幢户]", behind)
    room = len(first) == 1 and len(last) >= 3 and not last.endswith("0") and not _LIANG.match(behind)
    before = match.string[max(0, match.start() - 8) : match.start()]
    word = "到" if unit or (small and not room) else "比" if score or _SCORED.search(before) else "杠"
    return (
        f"{amount(match['first'], unit or behind)}{unit}{word}{name(last) if room else amount(match['last'], behind)}"
    )


def _rest(match: re.Match[str]) -> str:
    return ("负" if match["minus"] else "") + amount(match["number"], _behind(match))


RULES: tuple[Rule, ...] = (
    *CHINESE,
    (_FROM, lambda match: "到"),
    (_MONTHS, lambda match: f"{cardinal(match[1].lstrip('0') or '0')}到"),
    (_ISO, _iso),
    (_AMERICAN, lambda match: _date(match[4], match[1], match[3]) or _date(match[4], match[3], match[1])),
    *((shape, _telephone) for shape in TELEPHONES),
    *((pattern, _named) for pattern in (_NAMED, _CALLED, _ALARM, _SERVICE, _ROOM, _KNOWN)),
    NUMBER_CHINESE,
    (_TIMES, lambda match: f"{match[1]}到"),
    (_TIME, _time),
    (_SCORE, lambda match: f"{amount(match[1])}比{amount(match[2])}"),
    (_YEAR_MONTH, lambda match: f"{digits(match[1])}年{cardinal(match[2].lstrip('0'))}月"),
    (_SHORT, lambda match: _date("", match[1], match[2])),
    (_IN_WORDS, _in_words),
    (_YEARS, lambda match: f"{digits(match[1])}{match[2]}到{digits(match[3])}"),
    (_YEAR, lambda match: digits(match[0])),
    (_B2B, lambda match: f"{match[1]} to {match[2]}"),
    (_ENGLISH, _english),
    (_PRICE, _price),
    (_PRICE_BEHIND, _price),
    (_PERCENT, _percent),
    (_PER_MILLE, lambda match: f"千分之{amount(match[1])}"),
    (_MEASURE, _measure),
    (_VERSION, lambda match: "点".join(map(cardinal, match[0].split(".")))),
    (_LONG, _long),
    (_ORDINAL, _ordinal),
    (_DISCOUNT, lambda match: digits(match[1] + match[2])),
    (_FRACTION, _fraction),
    (REFERENCE, lambda match: name(match[0])),
    (_ROOMS, lambda match: name(match[0]).replace("-", "杠")),
    (_FROM_TO, _from_to),
    (_CODE, lambda match: name(match[0])),
    (_REST, _rest),
)


def read(sentence: str) -> str:
    """Give a Chinese sentence with its numbers in words."""
    return apply(sentence, RULES, spaced=False)
