"""W3C Trace Context, as it is passed on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
# Version, trace, parent and flags; a later version than ours may have more behind a dash.
_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?"
)
_LONGEST_PARENT = 256
# What everybody has to pass on; more may be left out.
_LONGEST_STATE = 512


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Give ``traceparent`` and ``tracestate`` of a request as they came, for the requests that its turn makes.

    A ``traceparent`` that is not as W3C Trace Context says is left out, and ``tracestate`` with it.
    """
    given = {name.lower(): value for name, value in headers.items() if name.lower() in (TRACEPARENT, TRACESTATE)}
    parent = given.get(TRACEPARENT, "").strip(" \t")
    if not _is_parent(parent):
        return {}
    state = given.get(TRACESTATE, "").strip(" \t")
    if state and len(state) <= _LONGEST_STATE and state.isascii() and state.isprintable():
        return {TRACEPARENT: parent, TRACESTATE: state}
    return {TRACEPARENT: parent}


def _is_parent(value: str) -> bool:
    if len(value) > _LONGEST_PARENT or not (value.isascii() and value.isprintable()):
        return False
    match = _PARENT.fullmatch(value)
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["more"] is not None):
        return False
    return bool(match["trace"].strip("0") and match["span"].strip("0"))
