"""Knows web and e-mail addresses by their form, and says them in words."""

from __future__ import annotations

import re

# An address is looked at so far. One that is longer is cut to its host, and what follows is not said.
LIMIT = 100
# So much punctuation at the end of an address belongs to the sentence around it.
MAX_TAIL = 8

# Without the comma, quotes and square brackets: in a sentence they end an address more often than they belong to it.
BODY = r"[A-Za-z0-9\-._~:/?#@!$&()*+;=%]"
_TRAILING = ".:;!?~*)("

# Of the top-level domains those that people say, and no ending of a file's name.
_DOMAINS = frozenset(
    "com org net edu gov mil int info biz io ai app dev cn tw hk jp kr sg uk de fr eu ca au ru nl ch se br mx nz xyz"  # noqa: SIM905  a list has a line for each
    " top vip shop store site online tech cloud wiki club link cc tv icu".split()
)
# These are words, or endings of files too: they need a path behind them, a scheme before them or an e-mail around them.
_WITH_PATH = frozenset(
    "me us it in is to at be so no my am co gg fm ly id ph pl py sh rs md es cat page live".split()  # noqa: SIM905  as above, in one line
)

_URL = re.compile(rf"(?:(?:https?|ftp)://|www\.)(?=[A-Za-z0-9]){BODY}+", re.IGNORECASE)
_URL_PARTS = re.compile(
    r"(?:(?:https?|ftp)://)?(?:[^/?#@]*@)?(?:www\.)?(?P<host>[A-Za-z0-9](?:[A-Za-z0-9-]|\.(?=[A-Za-z0-9]))*)"
    r"(?::(?P<port>\d{1,5}))?(?P<path>/[^?#]*)?",
    re.IGNORECASE,
)
_EMAIL = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9_+%.-]{0,62}[A-Za-z0-9_+-])?@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_HOST = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){1,6}(?P<last>[A-Za-z]{2,6})(?![A-Za-z0-9_@-])(?P<path>/[A-Za-z0-9])?")
_SAID = re.compile(r"[A-Za-z._~-]*(?:[0-9]{1,4}[A-Za-z._~-]*)?")

# How a language says a dot, a slash, an at sign and a port.
_WORDS = {
    "en": {".": " dot ", "/": " slash ", "@": " at ", ":": " port "},
    "zh": {".": "点", "/": "斜杠", "@": "艾特", ":": "端口"},
}


def words_of(language: str) -> dict[str, str]:
    """Give the words of a language such as ``zh-CN`` for the signs of an address; English ones where none are known."""
    return _WORDS.get(language.lower().partition("-")[0], _WORDS["en"])


def trimmed(body: str) -> int:
    """Give the length of an address without the punctuation behind it, which belongs to the sentence."""
    end = len(body)
    while end and body[end - 1] in _TRAILING and not (body[end - 1] == ")" and "(" in body[:end]):
        end -= 1
    return end


def tail(run: str) -> str:
    """Give the punctuation at the end of a run, as far as it may belong to the sentence around an address."""
    return run[len(run.rstrip(_TRAILING)) :][-MAX_TAIL:]


def is_domain(last: str, *, path: bool) -> bool:
    """Tell whether this is the last part of a domain; some are only where a path follows."""
    name = last.lower()
    # ASP.NET is no address.
    cased = last.islower() or (last.isupper() and (path or last != "NET"))
    return (name in _DOMAINS or (path and name in _WITH_PATH)) and cased


def say_host(host: str, words: dict[str, str]) -> str:
    """Give a host in words."""
    return host.replace(".", words["."])


def say_path(path: str, words: dict[str, str]) -> str:
    """Give a path in words, and nothing of one that nobody would read out: long, deep, or with long numbers.

    Query and fragment are not said.
    """
    path = re.split("[?#]", path, maxsplit=1)[0]
    parts = [part for part in path.split("/") if part]
    if len(path) > 40 or len(parts) > 3 or not all(len(part) <= 20 and _SAID.fullmatch(part) for part in parts):
        return ""
    return "".join(words["/"] + part.replace(".", words["."]) for part in parts)


def say_url(url: str, words: dict[str, str]) -> str:
    """Give an address that begins with its scheme or ``www.`` in words, without these."""
    parts = _URL_PARTS.match(url)
    if parts is None:
        return ""
    port = words[":"] + parts["port"] if parts["port"] else ""
    return say_host(parts["host"], words) + port + say_path(parts["path"] or "", words)


def find(word: str) -> tuple[int, int] | None:
    """Give the place of the first address in a text without blanks, or None; ``Booking.com`` is a name and none."""
    if url := re.search(r"(?<![A-Za-z0-9])(?:(?:https?|ftp)://|www\.)(?=[A-Za-z0-9])", word, re.IGNORECASE):
        return url.start(), url.start() + trimmed(word[url.start() :])
    if "@" in word and (email := _EMAIL.search(word)):
        return email.span()
    host = _HOST.match(word)
    if host is None or not is_domain(host["last"], path=bool(host["path"])) or (word[0].isupper() and not host["path"]):
        return None
    end = host.end("last")
    return 0, max(end, trimmed(word)) if word[end : end + 1] in ("/", ":", "?", "#") else end
