"""What a webhook of a platform is, and the lenient readers that all of them share."""

from __future__ import annotations

import hmac
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec

from offhook.store.base import Spoken

Side: TypeAlias = Literal["agent", "caller", "system"]

# Seconds that a call may last, and an epoch time in seconds: what is beyond is in milliseconds, or nonsense.
_LONGEST_CALL = 30 * 86_400.0
_SECONDS_END = 1e11
_LATEST = 1e14
# Characters of an id, a name or a number; what is longer is none.
_LONGEST_NAME = 512
# Characters of business data; what is longer is none: a part of it could not be read.
_LONGEST_DATA = 65_536

_UNLIKE = re.compile(r"[^a-z0-9]")


class CallNews(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook tells of one call. Times are since the epoch, ``duration`` is in seconds.

    ``at`` is when it happened, ``connected_at`` when somebody took the call. ``ended`` tells that the call is over.
    """

    call_id: str
    at: float | None = None
    connected_at: float | None = None
    ended: bool = False
    hung_up_by: Side | None = None
    duration: float | None = None
    spoken: tuple[Spoken, ...] = ()
    caller: str | None = None
    callee: str | None = None
    user_data: str | None = None


Headers: TypeAlias = Mapping[str, str]
Object: TypeAlias = Mapping[str, Any]


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook of one platform.

    ``setting`` is the name of its secret in ``[webhooks.NAME]``. ``check`` is given headers (names in lower case),
    body, secret and the time in seconds, and tells whether the platform sent them; where it does not sign the body
    (``signs``), that is empty. ``read`` gives what the body tells, nothing for an event that tells nothing of a call;
    it raises nothing.
    """

    name: str
    setting: Literal["token", "secret", "api_key"]
    check: Callable[[Headers, bytes, str, float], bool]
    read: Callable[[Object], tuple[CallNews, ...]]
    signs: bool = False


def same(offered: str, secret: str) -> bool:
    """Compare in a time that tells nothing of the secret; an empty secret is nobody's."""
    return hmac.compare_digest(offered.encode(errors="replace"), secret.encode(errors="replace")) and bool(secret)


def without_scheme(authorization: str) -> str:
    """Give what stands behind ``Bearer`` in an Authorization header, or the whole of it (RFC 9110, 11.4)."""
    scheme, _, rest = authorization.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else authorization.strip()


def same_token(authorization: str, token: str) -> bool:
    """Compare an Authorization header with a token, each with or without the ``Bearer`` in front of it."""
    return same(without_scheme(authorization), without_scheme(token))


# --- members of an object that nobody promises --------------------------------------------------------------------


def plain_name(name: str) -> str:
    """Give a name without what spellings differ in: ``HangupRole``, ``hangupRole`` and ``hangup_role`` are one."""
    return _UNLIKE.sub("", name.lower())


class Members:
    """The members of an object, found in any spelling; of a text that holds an object, those of that."""

    def __init__(self, value: object) -> None:
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except (msgspec.DecodeError, RecursionError, UnicodeError):
                value = None
        given = value if isinstance(value, Mapping) else {}
        self._members = {plain_name(str(name)): member for name, member in given.items()}

    def get(self, *names: str) -> Any:
        """Give the first of these members that is there and not null."""
        found = (self._members.get(plain_name(name)) for name in names)
        return next((member for member in found if member is not None), None)


def name_of(value: object) -> str | None:
    """Give an id, a name or a number as a text; None for what is none, or longer than any."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip() if isinstance(value, str) or abs(value) < 2**63 else ""
    return text if 0 < len(text) <= _LONGEST_NAME else None


def text_of(value: object) -> str | None:
    """Give a text that is not blank; None for anything else."""
    return value if isinstance(value, str) and value.strip() else None


def object_text(value: object) -> str | None:
    """Give business data as a text: as it is, or an object as JSON; None for what is longer than any."""
    if not isinstance(value, Mapping):
        text = text_of(value)
    else:
        try:
            text = msgspec.json.encode(value).decode() if value else None
        except (RecursionError, UnicodeError):
            text = None
    return text if text is None or len(text) <= _LONGEST_DATA else None


def number_of(value: object) -> float | None:
    """Give a number, or a text of digits, that is finite; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > 40:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def seconds_of(value: object, unit: float = 1.0) -> float | None:
    """Give the length of a call in seconds from a number of ``unit`` seconds; None for what is no such length."""
    number = number_of(value)
    if number is None:
        return None
    length = number * unit
    return length if 0.0 <= length <= _LONGEST_CALL else None


def moment_of(value: object) -> float | None:
    """Give a time since the epoch in seconds, from seconds, milliseconds or ISO 8601; None for anything else.

    A time without a zone is in UTC.
    """
    number = number_of(value)
    if number is not None:
        seconds = number if number < _SECONDS_END else number / 1000.0
        return seconds if 0.0 < number < _LATEST else None
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        time = datetime.fromisoformat(value.strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
