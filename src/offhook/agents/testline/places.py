"""Where it is what time: the cities that the test line knows in both languages, and the zones of the machine."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from zoneinfo import ZoneInfo, available_timezones

from offhook.agents.testline.numbers import fold

# Zone; what English speakers say; what Chinese speakers say, the first being how the test line calls it.
CITIES = (
    ("Asia/Shanghai", "beijing, shanghai, china, shenzhen, guangzhou, hangzhou", "北京, 上海, 中国, 深圳, 广州, 杭州"),
    ("Asia/Hong_Kong", "hong kong", "香港"),
    ("Asia/Macau", "macau, macao", "澳门"),
    ("Asia/Taipei", "taipei, taiwan", "台北, 台湾"),
    ("Asia/Urumqi", "urumqi", "乌鲁木齐"),
    ("Asia/Tokyo", "tokyo, japan, osaka, kyoto, yokohama", "东京, 日本, 大阪, 京都, 横滨"),
    ("Asia/Seoul", "seoul, korea, south korea", "首尔, 汉城, 韩国"),
    ("Asia/Singapore", "singapore", "新加坡"),
    ("Asia/Kuala_Lumpur", "kuala lumpur, malaysia", "吉隆坡, 马来西亚"),
    ("Asia/Bangkok", "bangkok, thailand", "曼谷, 泰国"),
    ("Asia/Ho_Chi_Minh", "ho chi minh city, saigon, hanoi, vietnam", "胡志明市, 西贡, 河内, 越南"),
    ("Asia/Manila", "manila, philippines", "马尼拉, 菲律宾"),
    ("Asia/Jakarta", "jakarta", "雅加达"),
    (
        "Asia/Kolkata",
        "delhi, new delhi, mumbai, bangalore, kolkata, india",
        "新德里, 德里, 孟买, 班加罗尔, 加尔各答, 印度",
    ),
    ("Asia/Karachi", "karachi, pakistan", "卡拉奇, 巴基斯坦"),
    ("Asia/Dubai", "dubai, abu dhabi", "迪拜, 阿布扎比"),
    ("Asia/Riyadh", "riyadh", "利雅得"),
    ("Asia/Tehran", "tehran", "德黑兰"),
    ("Asia/Jerusalem", "tel aviv, jerusalem, israel", "特拉维夫, 耶路撒冷, 以色列"),
    ("Europe/Istanbul", "istanbul, turkey", "伊斯坦布尔, 土耳其"),
    ("Europe/Moscow", "moscow", "莫斯科"),
    ("Europe/Athens", "athens, greece", "雅典, 希腊"),
    ("Africa/Cairo", "cairo, egypt", "开罗, 埃及"),
    ("Africa/Johannesburg", "johannesburg, cape town, south africa", "约翰内斯堡, 开普敦, 南非"),
    ("Africa/Nairobi", "nairobi, kenya", "内罗毕, 肯尼亚"),
    ("Africa/Lagos", "lagos, nigeria", "拉各斯, 尼日利亚"),
    ("Europe/Berlin", "berlin, germany, munich, frankfurt, hamburg", "柏林, 德国, 慕尼黑, 法兰克福, 汉堡"),
    ("Europe/Paris", "paris, france", "巴黎, 法国"),
    ("Europe/Rome", "rome, italy, milan", "罗马, 意大利, 米兰"),
    ("Europe/Madrid", "madrid, barcelona", "马德里, 巴塞罗那"),
    ("Europe/Lisbon", "lisbon", "里斯本"),
    ("Europe/Amsterdam", "amsterdam, netherlands", "阿姆斯特丹, 荷兰"),
    ("Europe/Brussels", "brussels, belgium", "布鲁塞尔, 比利时"),
    ("Europe/Zurich", "zurich, geneva, switzerland", "苏黎世, 日内瓦, 瑞士"),
    ("Europe/Vienna", "vienna, austria", "维也纳, 奥地利"),
    ("Europe/Stockholm", "stockholm, sweden", "斯德哥尔摩, 瑞典"),
    ("Europe/Warsaw", "warsaw, poland", "华沙, 波兰"),
    ("Europe/London", "london, england, uk, united kingdom, britain", "伦敦, 英国"),
    ("Europe/Dublin", "dublin, ireland", "都柏林, 爱尔兰"),
    ("America/New_York", "new york, boston, washington, miami, atlanta", "纽约, 波士顿, 华盛顿, 迈阿密, 美东"),
    ("America/Chicago", "chicago, dallas, houston, austin", "芝加哥, 达拉斯, 休斯顿"),
    ("America/Denver", "denver", "丹佛"),
    (
        "America/Los_Angeles",
        "los angeles, san francisco, seattle, las vegas, silicon valley, california",
        "洛杉矶, 旧金山, 西雅图, 拉斯维加斯, 硅谷, 加州, 美西",
    ),
    ("America/Toronto", "toronto, montreal, ottawa", "多伦多, 蒙特利尔, 渥太华"),
    ("America/Vancouver", "vancouver", "温哥华"),
    ("America/Mexico_City", "mexico city", "墨西哥城"),
    ("America/Sao_Paulo", "sao paulo, são paulo, rio, rio de janeiro", "圣保罗, 里约, 里约热内卢"),
    ("America/Argentina/Buenos_Aires", "buenos aires, argentina", "布宜诺斯艾利斯, 阿根廷"),
    ("Australia/Sydney", "sydney, canberra", "悉尼, 雪梨, 堪培拉"),
    ("Australia/Melbourne", "melbourne", "墨尔本"),
    ("Pacific/Auckland", "auckland, wellington, new zealand", "奥克兰, 惠灵顿, 新西兰"),
    ("Pacific/Honolulu", "honolulu, hawaii", "火奴鲁鲁, 檀香山, 夏威夷"),
    ("UTC", "utc, greenwich, universal", "协调世界时, 世界, 格林威治, 格林尼治"),
)

_BY_NAME = MappingProxyType(
    {name: zone for zone, english, chinese in CITIES for name in (*english.split(", "), *chinese.split(", "))}
)
_SPOKEN = MappingProxyType({name: name.upper() if name in ("uk", "utc") else name.title() for name in _BY_NAME})
_CHINESE_NAMES = MappingProxyType({zone: chinese.split(", ")[0] for zone, _, chinese in CITIES})


def is_known(place: str) -> bool:
    """Tell whether a place is in the table of cities; spelled in any case."""
    return fold(place) in _BY_NAME


def find_zone(place: str) -> ZoneInfo | None:
    """Find the zone of a city or of an IANA name in any case; None when there is none. Reads the disk at first."""
    name = fold(place.strip())
    zone = _BY_NAME.get(name) or _machine_zones().get(name.replace(" ", "_"))
    return ZoneInfo(zone) if zone else None


def place_name(zone: ZoneInfo, language: str, place: str = "") -> str:
    """Give a zone's name for the ear: the city that the caller named, else Tokyo or 东京 for Asia/Tokyo."""
    if place in _SPOKEN and place.isascii() == (language == "en"):
        return _SPOKEN[place]
    if language == "zh" and zone.key in _CHINESE_NAMES:
        return _CHINESE_NAMES[zone.key]
    return zone.key.rpartition("/")[2].replace("_", " ")


@cache
def _machine_zones() -> dict[str, str]:
    """Give the machine's zones by their folded name, and by the city in it: asia/tokyo and tokyo."""
    zones = sorted(available_timezones())
    # Full names win: UTC is also the last word of Etc/UTC.
    return {fold(zone.rpartition("/")[2]): zone for zone in zones} | {fold(zone): zone for zone in zones}
