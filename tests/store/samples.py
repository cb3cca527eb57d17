"""Calls and turns to write, and what a file of them holds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from offhook.store.base import CallRecord, EventRecord, PromptChange, TurnKept, TurnRecord

if TYPE_CHECKING:
    from pathlib import Path

# When the stores under test are asked the time.
NOW = 1_000_000.0


def call(id: str = "call-1", **fields: Any) -> CallRecord:
    """Give a call that was just active."""
    given: dict[str, Any] = {"platform": "alibaba_ims", "begun_at": NOW - 60, "last_at": NOW, **fields}
    return CallRecord(id=id, **given)


def turn(uid: str = "turn-1", call_id: str = "call-1", **fields: Any) -> TurnRecord:
    """Give a turn."""
    given: dict[str, Any] = {"model": "default", "said": "hello", "sent": "Good day.", "received_at": NOW, **fields}
    return TurnRecord(uid=uid, call_id=call_id, **given)


def kept(uid: str = "turn-1", call_id: str = "call-1", **fields: Any) -> TurnKept:
    """Give a turn with its call."""
    return TurnKept(call=call(call_id), turn=turn(uid, call_id, **fields))


FULL_CALL = CallRecord(
    id="通话-1",
    platform="trtc",
    begun_at=NOW - 12.345678901,
    last_at=NOW,
    named=True,
    room="room\x00one",
    caller="***4567",
    callee="***9999",
    caller_mark="a" * 64,
    callee_mark="b" * 64,
    user_data='{"vip": true, "name": "王小明"}',
    state='{"step": 3}',
    ended_at=NOW + 1,
    ended_by="hangup",
)

FULL_TURN = TurnRecord(
    uid="turn-full",
    call_id=FULL_CALL.id,
    model="gpt",
    turn_id="17",
    request_id="req_1",
    which="grown",
    kind="silence",
    said="我想查一下订单\u2028“好吗”\x00\n",
    digest=bytes(range(32)),
    spoken=b"\x00\xff",
    stream=False,
    memory="call",
    prompt=PromptChange(drop=1, keep=5, add=({"role": "user", "content": [{"type": "text", "text": "嗯😀"}]},)),
    generated="**Good** day.",
    sent="Good day.",
    map=((0, 2), (4, 8)),
    heard=4,
    reason="length",
    error="upstream_timeout",
    prompt_tokens=100,
    completion_tokens=2**63 - 1,
    received_at=NOW + 0.125,
    started=0.001,
    first_useful=0.25,
    first_byte=0.2625,
    cancelled=1.5,
    ended=1.75,
    cost=0.0123,
    events=(
        EventRecord(kind="tool_call", at=0.5, data={"name": "查询", "arguments": {"n": [1, 2.5, None, True, "x"]}}),
        EventRecord(kind="attempt", at=0.01),
        EventRecord(kind="huge", at=0.01, data={"digits": 2**80}),
    ),
)


def files_holding(folder: Path, *words: str) -> list[str]:
    """Name the files of a folder that hold one of these words.

    Another process looks: in this one, closing a file would drop the locks that SQLite has on it.
    """
    script = (
        "import sys, pathlib\n"
        "for file in sorted(pathlib.Path(sys.argv[1]).rglob('*')):\n"
        "    if file.is_file() and any(word.encode() in file.read_bytes() for word in sys.argv[2:]): print(file.name)\n"
    )
    run = [sys.executable, "-c", script, str(folder), *words]
    return subprocess.run(run, capture_output=True, text=True, timeout=25, check=True).stdout.split()
