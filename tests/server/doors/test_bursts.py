"""Many frames at once, the same response asked for anew, and frames with half a letter: the newest is answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from offhook.dialects.retell import pong
from offhook.server.doors.door import read_frame
from tests.callers import Scene, scene
from tests.raw import get
from tests.server.doors.platform import (
    QUIET,
    answered,
    dialled,
    last,
    prompt,
    relay_path,
    retell_path,
    setup,
    tokens,
    wanted,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stage() -> Iterator[Scene]:
    with scene(**QUIET) as stage:
        yield stage


def raw(frame: dict[str, Any]) -> bytes:
    """Give a frame as it stands on the wire, masked with zeros (RFC 6455, 5.2)."""
    text = json.dumps(frame).encode()
    return b"\x81\xfe" + len(text).to_bytes(2, "big") + b"\0\0\0\0" + text


def test_of_many_frames_the_newest_is_answered(stage: Scene) -> None:
    """Those that were overtaken before their turn began become none, and others are served meanwhile."""
    count = 3000
    with dialled(stage, retell_path("c1")) as line:
        line.until(answered(0))
        line.socket.socket.sendall(b"".join(raw(wanted(id, ("user", "hello"))) for id in range(1, count + 1)))
        assert get(stage.server.base_url, "/healthz", {}).status == 200
        frames = line.until(answered(count))
        assert words([frame for frame in frames if frame["response_id"] == count]) == "You said hello."
    assert len(stage.talker.of("c1")) < count / 2


def test_of_many_prompts_the_last_is_answered(stage: Scene) -> None:
    """And the session remembers what was said in all of them."""
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        for id in range(300):
            line.send(prompt(f"word {id}"))
        line.until(lambda frame: "word 299" in frame["token"])
        line.until(last)
    run = stage.talker.runs[-1]
    assert run.turn.text == "word 299"
    assert ("user", "word 298") in run.window


def test_an_older_reply_stops_under_the_same_id(stage: Scene) -> None:
    """The platform could not tell its words from those of the newer one."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(1, ("user", "talk")))
        line.until(lambda frame: frame.get("content", "").startswith("Well"))
        older = stage.talker.run("c1")
        line.send(wanted(1, ("user", "talk to me")))
        line.until(lambda frame: frame.get("content", "").startswith("Well"))
        older.go_on()
        stage.talker.run("c1", 2).go_on()
        assert words(line.until(answered(1))) == "so be it."


@pytest.mark.parametrize(("given", "said"), [(5, 5), (1.5, 1.5), (True, 0), ("x", 0), (None, 0), (10**400, 0)])
def test_a_ping_is_answered_with_a_number(given: object, said: float) -> None:
    """What is no number stands for none."""
    assert json.loads(pong({"timestamp": given}))["timestamp"] == said
    assert not isinstance(json.loads(pong({"timestamp": given}))["timestamp"], bool)


def test_half_a_letter_is_no_reason_for_silence(stage: Scene) -> None:
    """A transcript that was cut within a surrogate pair is answered all the same."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(json.dumps(wanted(1, ("user", "cut \ud83d"))))
        assert words(line.until(answered(1))) == "You said cut ?."
    with dialled(stage, relay_path()) as line:
        line.send(setup())
        line.send(json.dumps(prompt("\ude00 hello")))
        assert tokens(line.until(last)) == "You said ? hello."


@pytest.mark.parametrize("text", ['{"a":"\\ud83d"', '"\\ud83d"', '["\\uD83D"]', "\\ud83d", '{"a":"\\ud83d","b":NaN}'])
def test_what_is_no_object_is_none_with_half_a_letter_either(text: str) -> None:
    """It is passed over as any other."""
    assert read_frame({"type": "websocket.receive", "text": text}) is None


def test_a_whole_letter_stays_whole() -> None:
    """Only what stands alone is replaced."""
    frame = read_frame({"type": "websocket.receive", "text": '{"a":"\\ud83d\\ude00 \\ud83d \\\\ud83d"}'})
    assert frame == {"a": "\U0001f600 ? \\ud83d"}
