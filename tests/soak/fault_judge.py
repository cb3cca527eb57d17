"""Judges one turn by the bytes that its caller got: how it ended, what was said, and how long it was silent."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from offhook.turns.phrases import APOLOGIES, FILLERS
from tests.oracle import check_error, check_http, check_stream
from tests.soak.fault_caller import MARK

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.soak.fault_caller import Turn

CLOSINGS = {"en": ["That is all I have.", "I have to stop here."], "zh": ["我先说到这里。", "就先这样吧。"]}

_CONTENT = re.compile(rb'"content":("(?:[^"\\]|\\.)*")')
_END = re.compile(rb'"finish_reason":"\w+"|data: \{"error"|^HTTP/1\.1 [345]')
# What a service says that has no end: words which are no marks, and nothing else may come between those.
_ENDLESS = re.compile(r"And so on,|and on,")


def _any_of(phrases: Iterable[Sequence[str]]) -> str:
    return "|".join(re.escape(phrase) for some in phrases for phrase in some)


_ASIDES = re.compile(
    rf"\s*(?P<filler>{_any_of(FILLERS.values())})?(?P<said>.*?)"
    rf"(?:(?P<apology>{_any_of(APOLOGIES.values())})|(?P<closing>{_any_of(CLOSINGS.values())}))?\s*",
    re.DOTALL,
)


class Verdict(NamedTuple):
    """What a caller saw of a turn.

    ``ending`` is ``whole``, ``apology``, ``closing``, ``error``, ``status`` or ``left``. The seconds: ``sound`` to the
    first thing to hear, ``useful`` to the first word of the answer, each to the end where nothing came before; ``gap``
    the longest silence after that, ``gap_at`` when it began. ``wrong`` is what no turn may do, empty where it did not.
    ``said`` is what came of the answer itself.
    """

    ending: str
    code: str | None
    filler: bool
    complete: bool
    sound: float
    useful: float
    gap: float
    gap_at: float
    said: str
    wrong: str


def judge(turn: Turn) -> Verdict:
    """Judge a turn that is over."""
    raw = b"".join(data for _, data in turn.came)
    marks = list(accumulate(len(data) for _, data in turn.came))
    words = [(found.end(), str(json.loads(found[1]))) for found in _CONTENT.finditer(raw)]
    text = "".join(word for _, word in words)
    try:
        ending, code = _ending(turn, raw)
        parts = _ASIDES.fullmatch(text)
        assert parts is not None, f"what was said cannot be read: {text!r}"
        complete = _check_said(turn, parts["said"])
        if parts["apology"]:
            assert not parts["said"].strip(), f"an apology behind an answer: {text!r}"
        if ending == "whole" and (parts["apology"] or parts["closing"]):
            ending = "apology" if parts["apology"] else "closing"
        elif ending == "whole" and turn.newer is None:
            assert complete, f"an answer that is not whole looks as if it were: {text!r}"
        wrong, filler, said = "", bool(parts["filler"]), parts["said"].strip()
    except AssertionError as error:
        ending, code, wrong, filler, complete = "wrong", None, f"{turn.name}: {error}", False, False
        said = text

    def at(offset: int) -> float:
        return turn.came[bisect_left(marks, offset)][0]

    ended = next((at(found.end()) for found in _END.finditer(raw)), None)
    over = min(time for time in (ended, turn.ended, turn.left, turn.lost) if time is not None)
    heard = [at(offset) for offset, word in words if word.strip()]
    # Where a filler was said, it is what was heard first, and no word of the answer.
    useful = heard[1:] if filler else heard
    points = [*useful, over]
    gap, gap_at = max(((later - sooner, sooner) for sooner, later in pairwise(points)), default=(0.0, over))
    return Verdict(
        ending,
        code,
        filler,
        complete,
        (heard[0] if heard else over) - turn.asked,
        points[0] - turn.asked,
        gap,
        gap_at,
        said,
        wrong,
    )


def _ending(turn: Turn, raw: bytes) -> tuple[str, str | None]:
    """Give how the response ended, and the code of its error. Raises AssertionError for what is no honest end."""
    assert turn.lost is None, f"the connection broke after {raw[-200:]!r}"
    if turn.left is not None:
        assert turn.how != "given up", f"there was no end to {raw[-200:]!r}"
        if raw.startswith(b"HTTP/1.1 200") and raw.endswith(b"\n\n\r\n"):
            _, _, body = raw.partition(b"\r\n\r\n")
            check_stream(_unchunked(body), model="soak", usage_asked=False, cut=True)
        return "left", None
    reply = check_http(raw)
    if reply.status != 200:
        return "status", check_error(reply.body)["code"]
    failed = b'data: {"error"' in reply.body
    said = check_stream(reply.body, model="soak", usage_asked=False, error_expected=failed)
    assert not said.calls, f"nobody asked for tools: {said.calls}"
    return ("error", (said.error or {}).get("code")) if failed else ("whole", None)


def _unchunked(body: bytes) -> bytes:
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return data


def _check_said(turn: Turn, said: str) -> bool:
    """Tell whether an answer came to its end.

    Raises AssertionError for words of two answers, of another turn, twice, left out, or that nobody said.
    """
    found = MARK.findall(said)
    rest = _ENDLESS.sub("", MARK.sub("", said)).strip()
    assert not rest, f"nobody said {rest!r}"
    assert len({(service, tag, number) for service, tag, number, _, _ in found}) <= 1, f"words of two answers: {said!r}"
    assert all(tag == turn.tag for _, tag, _, _, _ in found), f"words of another turn: {said!r}"
    assert [int(place) for *_, place, _ in found] == list(range(len(found))), f"twice, or left out: {said!r}"
    return bool(found) and len(found) == int(found[0][4])
