"""What a faulty model service says, and the ways in which it fails: one fault at one phase of an answer.

``POSSIBLE`` is every fault in every phase in which it means something; ``DESCRIPTIONS`` says what each does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Phase = Literal["connect", "before_headers", "after_headers", "after_role", "mid", "before_done"]
Fault = Literal[
    "refuse", "delay", "stall", "role_only", "comments", "reasoning", "think", "endless", "whitespace", "empty",
    "dribble", "merged", "cut", "reset", "half_close", "status_401", "status_429", "status_500", "status_502",
    "wrong_json", "html", "error_event",
]  # fmt: skip

PHASES: Final[Mapping[Phase, str]] = {
    "connect": "the connection is being made",
    "before_headers": "the request was read and nothing was sent",
    "after_headers": "the headers were sent and no event",
    "after_role": "the chunk with the role was sent and no text",
    "mid": "some pieces of text or tool calls were sent",
    "before_done": "everything was sent but [DONE]",
}

_IN_STREAM: Final[tuple[Phase, ...]] = ("after_headers", "after_role", "mid", "before_done")
_SENT: Final[tuple[Phase, ...]] = ("before_headers", *_IN_STREAM)
_SPOKEN: Final[tuple[Phase, ...]] = ("after_role", "mid")
_SHAPED: Final[tuple[Phase, ...]] = ("before_headers", "after_headers", "mid")

_TABLE: Final[Mapping[Fault, tuple[tuple[Phase, ...], str]]] = {
    "refuse": (("connect",), "The port is closed."),
    "delay": (_SENT, "Nothing comes for `seconds`, then the answer goes on."),
    "stall": (("connect", *_SENT), "Nothing more comes, and the connection stays open until the client leaves."),
    "role_only": (("after_headers",), "The chunk with the role comes, and then nothing more."),
    "comments": (_IN_STREAM, "Keep-alive comments come for ever."),
    "reasoning": (_SPOKEN, "Chunks with reasoning_content come for ever."),
    "think": (_SPOKEN, "A <think> tag is opened, and text inside it comes for ever."),
    "endless": (_SPOKEN, "Text comes for ever."),
    "whitespace": (_SPOKEN, "Text that is white space comes for ever."),
    "empty": (("after_headers", "after_role"), "The finish chunk and [DONE] come at once, without any text."),
    "dribble": (_SHAPED, "The rest comes byte by byte."),
    "merged": (_SHAPED, "The rest comes in one write."),
    "cut": (_SHAPED, "The rest comes in writes that end inside events and inside UTF-8 characters."),
    "reset": (("connect", *_SENT), "The connection is reset (RST)."),
    "half_close": (("connect", *_SENT), "The service ends the connection in good order (FIN), and not the answer."),
    "status_401": (("before_headers",), "The status is 401, with an error body."),
    "status_429": (("before_headers",), "The status is 429, with an error body and Retry-After."),
    "status_500": (("before_headers",), "The status is 500, with an error body."),
    "status_502": (("before_headers",), "The status is 502, with a page of HTML as gateways send it."),
    "wrong_json": (
        ("before_headers", "after_headers", "after_role", "mid"),
        "Before the headers the whole answer is cut JSON with status 200; later one event is, and the answer goes on.",
    ),
    "html": (
        ("before_headers", "after_headers", "after_role", "mid"),
        "Before the headers the answer is a page of HTML with status 200; later the page ends the event stream.",
    ),
    "error_event": (_IN_STREAM, "An event with an error comes, and the body ends without [DONE]."),
}

DESCRIPTIONS: Final[Mapping[Fault, str]] = {fault: says for fault, (_, says) in _TABLE.items()}
POSSIBLE: Final[tuple[tuple[Fault, Phase], ...]] = tuple(
    (fault, phase) for fault, (phases, _) in _TABLE.items() for phase in phases
)


class Called(msgspec.Struct, frozen=True):
    """A tool call of an answer; its JSON ``arguments`` come in so many ``fragments``, each a chunk of its own."""

    name: str
    arguments: str = "{}"
    fragments: int = 1
    id: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What the service says to one request, and what goes wrong; made by ``says`` and ``with_fault``.

    The pieces are the texts, then the fragments of the tool calls; ``every`` is the pause between two, in seconds.
    ``after`` is the number of pieces before the phase ``mid``, ``seconds`` how long a ``delay`` is, ``beat`` the
    pause in seconds within what comes for ever, ``retry_after`` the seconds that a 429 asks for.
    """

    text: tuple[str, ...] = ()
    calls: tuple[Called, ...] = ()
    every: float = 0.0
    fault: Fault | None = None
    phase: Phase | None = None
    after: int = 1
    seconds: float = 0.2
    beat: float = 0.05
    retry_after: int = 1

    @property
    def whole(self) -> str:
        """The text without its faults."""
        return "".join(self.text)


def says(*text: str, calls: Sequence[Called] = (), every: float = 0.0) -> Answer:
    """Give an answer without a fault: pieces of text, then tool calls, with ``every`` seconds between the pieces.

    Raises ValueError when a call has less than one fragment.
    """
    if any(call.fragments < 1 for call in calls):
        raise ValueError("a tool call has at least one fragment")
    return Answer(text=text, calls=tuple(calls), every=every)


def with_fault(
    answer: Answer,
    fault: Fault,
    phase: Phase,
    *,
    after: int = 1,
    seconds: float = 0.2,
    beat: float = 0.05,
    retry_after: int = 1,
) -> Answer:
    """Give the answer with one fault at one phase; the options are those of ``Answer``.

    Raises ValueError for a fault that means nothing in that phase: see ``POSSIBLE``.
    """
    if (fault, phase) not in POSSIBLE:
        raise ValueError(f"no {fault} in the phase {phase}: one of {[two for two in POSSIBLE if two[0] == fault]}")
    if after < 0:
        raise ValueError("mid is after a number of pieces that is not negative")
    options: dict[str, Any] = {"after": after, "seconds": seconds, "beat": beat, "retry_after": retry_after}
    return msgspec.structs.replace(answer, fault=fault, phase=phase, **options)


assert set(_TABLE) == set(get_args(Fault)), "every fault has its row"
