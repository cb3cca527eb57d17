"""Which dialect a request speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.dialects.alibaba_ims import ALIBABA_IMS
from offhook.dialects.plain import PLAIN
from offhook.errors import SetupError

if TYPE_CHECKING:
    from offhook.dialects.base import Arrival, Dialect

# In the order in which their marks are looked for; ``plain`` is what is left.
DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (ALIBABA_IMS, PLAIN)}

HEADER = "x-offhook-dialect"


def named(name: str) -> Dialect:
    """Give the dialect of that name. Raises SetupError when there is none."""
    dialect = DIALECTS.get(name)
    if dialect is None:
        raise SetupError(f"There is no dialect {name!r}; there are: auto, {', '.join(DIALECTS)}.")
    return dialect


def choose(arrival: Arrival, setting: Dialect | None) -> Dialect:
    """Give the dialect that the setting fixes, else that the ``x-offhook-dialect`` header names, else by marks."""
    if setting is not None:
        return setting
    asked = DIALECTS.get(arrival.headers.get(HEADER, ""))
    if asked is not None:
        return asked
    return next((dialect for dialect in DIALECTS.values() if dialect.marks(arrival)), PLAIN)
