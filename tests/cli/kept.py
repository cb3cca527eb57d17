"""For the tests of the commands about records: records as a server writes them, and the commands run on them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.clock import SystemClock
from offhook.config import FIELDS
from offhook.errors import SetupError
from offhook.store.base import CallRecord, Change, EventRecord, PromptChange, TurnKept, TurnRecord
from offhook.store.choose import make_store
from offhook.store.numbers import mark, masked, number_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typer.testing import Result

HOUR = 3600.0
CALLER, CALLEE = "13800000001", "13800000002"
# A turn in which everything happened.
FULL = TurnRecord(
    uid="turn_full",
    call_id="",
    model="abc",
    turn_id="1",
    request_id="req_1",
    which="grown",
    said="What do you have?",
    digest=b"\x00\xff",
    spoken=b"\x01\x02",
    memory="aligned",
    prompt=PromptChange(keep=1, add=({"role": "user", "content": "What do you have?"},)),
    generated="One, two, three, four, five, six.",
    sent="One, two, three, four,",
    map=((0, 0),),
    heard=9,
    reason="superseded",
    error="upstream_timeout",
    prompt_tokens=80,
    completion_tokens=4,
    started=0.0001,
    first_useful=0.1802,
    first_byte=0.1803,
    cancelled=0.912,
    ended=0.9125,
    events=(
        EventRecord(kind="attempt", at=0.001, data={"upstream": "127.0.0.1", "model": "qwen"}),
        EventRecord(kind="tool_call", at=0.2, data={"name": "order", "arguments": '{"n": 1}', "id": "call_1"}),
        EventRecord(kind="command", at=0.3, data={"name": "hangup"}),
        EventRecord(kind="retry", at=0.4, data={"request_id": "req_2"}),
    ),
)
PLAIN = TurnRecord(uid="turn_plain", call_id="", model="abc", said="hi", generated="Hello.", sent="Hello.", ended=0.2)


def call(
    data: Path, id: str, *, ago: float = 60.0, lasts: float = 42.0, caller: str = CALLER, **more: Any
) -> CallRecord:
    """Give a call that began so many seconds ago, of the server whose data directory is ``data``."""
    secret = number_secret(data)
    begun = round(SystemClock().now()) - ago
    return CallRecord(
        id=id,
        platform="alibaba_ims",
        begun_at=begun,
        last_at=begun + lasts,
        caller=masked(caller),
        caller_mark=mark(secret, caller),
        **more,
    )


def keep(data: Path, one: CallRecord, *turns: TurnRecord) -> CallRecord:
    """Record a call with these turns, a second after the other, as a server does; give the call."""
    changes: list[Change] = [
        TurnKept(
            call=one,
            turn=msgspec.structs.replace(
                turn, uid=f"{one.id}/{place}", call_id=one.id, received_at=one.begun_at + place
            ),
        )
        for place, turn in enumerate(turns)
    ]
    asyncio.run(_write(data, changes or [one]))
    return one


async def _write(data: Path, changes: list[Change]) -> None:
    store = make_store("sqlite", data_dir=data, now=SystemClock().now)
    assert store is not None
    await store.start()
    try:
        for change in changes:
            await store.write(change)
    finally:
        await store.close()


# --- commands -----------------------------------------------------------------------------------------------------


def alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder, without this machine's settings; give the data directory in it, which is not there yet."""
    monkeypatch.chdir(folder)
    for name in ("config", *FIELDS):
        monkeypatch.delenv(f"OFFHOOK_{name.upper()}", raising=False)
    data = folder / "data"
    monkeypatch.setenv("OFFHOOK_DATA_DIR", str(data))
    return data


def ran(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run a command that ends well."""
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False, env=env)
    assert result.exit_code == 0
    return result


def said(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Give what a command prints; nothing goes to standard error."""
    result = ran(*arguments, env=env)
    assert result.stderr == ""
    return result.stdout


def listed(*arguments: str) -> Any:
    """Give what a command prints with --json."""
    return json.loads(said(*arguments, "--json"))


def ids(*arguments: str) -> list[str]:
    """Give the ids in the list of calls."""
    return [one["id"] for one in listed("calls", *arguments)]


def refused(*arguments: str, by: type[Exception] = SetupError) -> str:
    """Give what is wrong, which a command says in one line."""
    with pytest.raises(by) as caught:
        ran(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)
