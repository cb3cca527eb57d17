"""What a tool that gives a command is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.events import Command, ToolCall, ToolRun, Turn
from offhook.testing import JumpClock
from offhook.tools.ledger import Occasion
from offhook.tools.run import Toolbox
from offhook.turns.live import CancelSignal

if TYPE_CHECKING:
    import pytest


async def test_a_tool_cannot_hang_up(caplog: pytest.LogCaptureFixture) -> None:
    """The model is told to do it itself, and the log says what happened."""

    async def leave() -> Command:
        return Command("hangup")

    box = Toolbox([leave], clock=JumpClock(), timeout=1.0)
    ended: list[ToolRun] = []
    turn = Turn(text="bye", cancelled=CancelSignal())
    [text] = await box.run([ToolCall("leave")], turn, hold=0.0, occasion=Occasion("c", "t"), ended=ended.append)
    await box.close()
    assert "call hangup itself" in text
    assert [run.outcome for run in ended] == ["failed"]
    assert "a tool gave a command" in caplog.text
