"""What stands in the place of what a shaper dropped."""

from __future__ import annotations

# What was dropped between what was given and what comes: something, and with it white space or an arrow.
DROPPED, BLANK, ARROW = 1, 2, 4

OPENING = frozenset("([{<（【《「『“‘\"'")
_CLOSING = frozenset(".,!?;:)]}>，。！？；：、）】》」』”’…%")
_PAUSES = frozenset(".,!?;:，。！？；：、…—-")
# From here on, scripts that put no blanks between words.
UNSPACED = "\u2e80"


def is_closing(character: str) -> bool:
    """Tell whether no blank stands before a character."""
    return character in _CLOSING


def bridge(left: str, right: str, gap: int) -> str:
    """Give what stands between two characters, of which the left may be none, in the place of what was dropped."""
    if not left or left.isspace() or left in OPENING or right.isspace() or right in _CLOSING:
        return ""
    unspaced = left >= UNSPACED or right >= UNSPACED
    if gap & ARROW and left not in _PAUSES:
        return "，" if unspaced else ", "
    if gap & BLANK:
        return " "
    return " " if left.isalnum() and right.isalnum() and not unspaced else ""
