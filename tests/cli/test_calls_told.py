"""What a platform reported of a call is shown with it: who hung up, how long it was, and what was spoken."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from offhook.clock import SystemClock
from offhook.store.base import CallTold, Spoken
from offhook.store.choose import make_store
from tests.cli.kept import PLAIN, alone, call, keep, listed, said

if TYPE_CHECKING:
    from pathlib import Path

ID = "68e00b66"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return alone(tmp_path, monkeypatch)


def tell(data: Path, change: CallTold) -> None:
    """Record what a platform reported."""

    async def write() -> None:
        store = make_store("sqlite", data_dir=data, now=SystemClock().now)
        assert store is not None
        await store.start()
        await store.write(change)
        await store.close()

    asyncio.run(write())


@pytest.fixture
def begun(data: Path) -> float:
    """Record a call of which the platform reported everything; give when it began."""
    data.mkdir(parents=True, exist_ok=True)
    one = call(data, ID)
    keep(data, msgspec.structs.replace(one, ended_at=one.begun_at + 42.5, ended_by="command"), PLAIN)
    words = (
        Spoken(key="1", role="caller", text="hi", at=one.begun_at),
        Spoken(key="2", role="agent", text="Hel\x1b[31m", at=one.begun_at + 1, turn_id="1"),
        Spoken(key="3", role="other", text="A third voice.", at=None),
    )
    tell(
        data,
        CallTold(call_id=ID, hung_up_by="caller", duration=61.4, connected_at=one.begun_at - 2, spoken=words),
    )
    return one.begun_at


def test_the_list_says_who_hung_up(begun: float) -> None:
    """Beside what ended the call stands who hung up; as JSON both, and the duration."""
    assert "command (caller)" in said("calls")
    (found,) = listed("calls")
    assert (found["ended_by"], found["hung_up_by"], found["duration"]) == ("command", "caller", 61.4)


def test_a_call_shows_what_was_reported(begun: float) -> None:
    """Who hung up, the duration, and behind the turns what was spoken, of which a terminal obeys nothing."""
    shown = said("calls", "show", ID)
    assert "\nhung up by  caller\nduration    1:01\n" in shown
    assert shown.endswith(
        "\nas the platform reported it\n  caller      hi\n  agent       Hel\ufffd[31m\n  other       A third voice.\n"
    )


def test_a_call_as_json_has_what_was_reported(begun: float) -> None:
    """Everything that was reported is there, with points in time in ISO 8601."""
    found = json.loads(said("calls", "show", ID, "--json"))
    assert (found["call"]["hung_up_by"], found["call"]["duration"]) == ("caller", 61.4)
    assert found["call"]["connected_at"].endswith("+00:00")
    assert [(one["role"], one["text"], one["turn_id"]) for one in found["spoken"]] == [
        ("caller", "hi", None),
        ("agent", "Hel\x1b[31m", "1"),
        ("other", "A third voice.", None),
    ]
    assert [one["at"] is None for one in found["spoken"]] == [False, False, True]


def test_where_nothing_was_reported_nothing_is_shown(data: Path) -> None:
    """A call without reports looks as it did."""
    keep(data, call(data, ID), PLAIN)
    shown = said("calls", "show", ID)
    assert "hung up by" not in shown and "duration" not in shown and "reported" not in shown
