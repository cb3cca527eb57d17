"""A process that answers the turns of a call with a side effect each, and is there to be killed.

It is given a folder and the turns to answer. The side effect writes its turn into a line of the file
``effects``; that of the turn ``hang`` then never ends. For each turn that is answered it prints a line of JSON with
turn, outcome and text.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from offhook.clock import SystemClock
from offhook.events import ToolCall, ToolRun, Turn
from offhook.store.sql import SqlStore
from offhook.tools.ledger import Ledger, Occasion
from offhook.tools.run import Toolbox
from offhook.tools.schema import tool
from offhook.turns.journal import Journal
from offhook.turns.spool import Spool

FOLDER = Path(sys.argv[1])
TURNS = sys.argv[2:]


class Never:
    """A turn that is not cancelled."""

    def is_set(self) -> bool:
        return False

    async def wait(self) -> None:
        await asyncio.Event().wait()


def note(turn: str) -> None:
    """Write that the side effect of a turn has happened; it is there whenever the process dies."""
    file = os.open(FOLDER / "effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{turn}\n".encode())
    os.close(file)


@tool(side_effect=True, timeout=60)
async def pay(turn: str) -> str:
    """Pay."""
    await asyncio.to_thread(note, turn)
    if turn == "hang":
        await asyncio.Event().wait()
    return f"paid for {turn}"


async def main() -> None:
    """Answer the turns, one after the other."""
    clock = SystemClock()
    store = SqlStore(FOLDER / "offhook.db", now=clock.now)
    journal = Journal(store, Spool(FOLDER / "spool", size=2**16), clock)
    await journal.start()
    ledger = Ledger(journal, clock)
    toolbox = Toolbox([pay], clock=clock, timeout=60, ledger=ledger)
    for turn in TURNS:
        runs: list[ToolRun] = []
        asked = ToolCall("pay", msgspec.json.encode({"turn": turn}).decode())
        given = Turn(text="", cancelled=Never())
        (text,) = await toolbox.run([asked], given, hold=0, occasion=Occasion("call-1", turn), ended=runs.append)
        line = msgspec.json.encode({"turn": turn, "outcome": runs[0].outcome, "text": text})
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
    await ledger.close()
    await toolbox.close()
    await journal.close()


if __name__ == "__main__":
    asyncio.run(main())
