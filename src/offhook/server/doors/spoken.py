"""How far a reply was spoken, as the platform's own words for it say. Pure."""

from __future__ import annotations

from offhook.turns.signs import offset


def reached(spoken: str, text: str) -> int | None:
    """Give where in ``text`` that ends which was spoken of it from its beginning; None where it is something else.

    Letters and digits count, case does not: platforms write what they spoke in their own way. Who tells more than the
    whole text has spoken all of it.
    """
    exact = offset(spoken, text)
    if exact is not None:
        return exact
    # Nobody speaks more of it than there is.
    wanted = _letters(spoken[: 2 * len(text) + 100])
    if not wanted:
        return None
    at = 0
    for place, character in enumerate(text):
        letters = _letters(character)
        if letters and at >= len(wanted):
            return len(text[:place].rstrip())
        if letters != wanted[at : at + len(letters)]:
            return None
        at += len(letters)
    return len(text) if at else None


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
