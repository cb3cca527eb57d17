"""An agent that takes the steps which its caller names, and what a test of how a turn sounds asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from offhook.events import ToolCall
from offhook.turns.phrases import FILLERS
from tests.callers import Run, Talker, plain, turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook.events import Turn
    from tests.callers import Scene
    from tests.raw import Wire

STEPS: dict[str, Any] = {
    "say": "It is 3.",
    "dots": "... ",
    "think": "<think>he wants three</think>",
    "call": ToolCall("look", "{}", "call_1"),
}


class Stepper(Talker):
    """An agent that takes the steps which the caller names: ``hold`` waits, ``fail`` raises, the others are given."""

    @override
    async def __call__(self, turn: Turn) -> AsyncIterator[Any]:
        run = Run(turn)
        self._enter(run)
        try:
            for step in turn.text.split():
                if step == "hold":
                    await run.held()
                elif step == "fail":
                    raise RuntimeError("as it was told")
                elif step in STEPS:
                    yield STEPS[step]
        finally:
            self._leave(run)


def asked(stage: Scene, text: str, call: str | None = None, id: int | None = None, **more: Any) -> tuple[Wire, Run]:
    """Give the connection and the run of a turn, plain where no call is named, whose agent runs."""
    runs = len(stage.talker.runs)
    wire = stage.ask(plain(text, **more) if call is None else turn(call, id, text, **more))
    stage.talker.wait(lambda: len(stage.talker.runs) > runs)
    return wire, stage.talker.runs[-1]


def filler_in(text: str, language: str = "en") -> str:
    """Give the only filler that a text begins with, which a space follows where words have spaces."""
    [phrase] = [phrase for phrase in FILLERS[language] if text.startswith(phrase)]
    return phrase
