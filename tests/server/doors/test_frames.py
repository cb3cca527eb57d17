"""What the platforms that speak WebSocket send, as far as it is documented, is read in whole by their doors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.callers import Scene, scene
from tests.server.doors.platform import QUIET, answered, dialled, last, relay_path, retell_path

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = sorted(Path(__file__).with_name("frames").glob("*/*.json"))
KEYS = {"source", "note", "call", "frames", "expect"}


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    with scene(**QUIET) as stage:
        yield stage


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_frames_are_read(path: Path, stage: Scene) -> None:
    """Each frame that asks is a turn with the expected words, ids and numbers, and no other frame is one."""
    fixture: dict[str, Any] = json.loads(path.read_text("utf-8"))
    assert fixture.keys() == KEYS and fixture["source"].startswith("https://") and fixture["note"]
    platform, call, expected = path.parent.name, fixture["call"], fixture["expect"]
    with dialled(stage, retell_path(call) if platform == "retell" else relay_path()) as line:
        for one in fixture["frames"]:
            line.send(one["frame"])
            if one["asks"] is not None:
                line.until(answered(one["asks"]) if platform == "retell" else last)
            else:
                line.heard(stage)
    runs = stage.talker.of(call)
    assert len(runs) == len(expected["turns"])
    for run, wanted in zip(runs, expected["turns"], strict=True):
        turn = run.turn
        found = {"id": turn.id, "kind": turn.kind, "text": turn.text, "roles": [one.role for one in turn.history]}
        assert {name: found[name] for name in wanted} == wanted
        context = turn.call
        assert (context.platform, context.id) == (platform, call)
        assert (context.caller, context.callee) == (expected["caller"], expected["callee"])
        assert context.user_data == expected["user_data"]


def test_every_platform_has_frames() -> None:
    """Neither of the two is without any."""
    assert {path.parent.name for path in FIXTURES} == {"retell", "conversation_relay"}
