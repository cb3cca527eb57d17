"""TRTC over HTTP: its retries have the id of the request that they repeat, and its app is told beside the words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import live_server
from tests.callers import Scene, gist, heard, plain, scene
from tests.raw import AUTH, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from offhook.events import Turn

GRACE = 2.0
# One task always sleeps on the clock: the one that ends calls for their silence.
LINGERING = 2


@pytest.fixture
def stage() -> Iterator[Scene]:
    with scene(turn_deadline=0, turn_silence=0, filler="off", speech="none") as made:
        yield made


def named(call: str, request_id: str) -> dict[str, str]:
    """Give the headers that the platform sends."""
    return {"X-Task-Id": call, "X-Request-Id": request_id, "X-Sdk-App-Id": "1400000000", "X-Room-Id": "room"}


def test_a_retry_with_the_same_request_id_joins_and_takes_no_place(stage: Scene) -> None:
    """Both requests hear the one reply, and when it is over no place on the server is taken."""
    first = stage.ask(plain("hold"), named("t-1", "r-1"))
    run = stage.talker.run("t-1")
    again = stage.ask(plain("hold"), named("t-1", "r-1"))
    stage.seen()
    run.go_on()
    assert gist(heard(first)) == gist(heard(again)) == ("so be it.", [], "stop")
    assert len(stage.talker.of("t-1")) == 1
    (turn,) = stage.ended("t-1", 1)
    assert (turn.turn_id, turn.request_id, turn.platform) == ("r-1", "r-1", "trtc")
    assert stage.server._line.admission.live == 0


def test_a_late_first_word_is_waited_for_two_seconds(stage: Scene) -> None:
    """A platform that went away before the first word finds the reply when it is back within the grace."""
    stage.ask(plain("hold"), named("t-2", "r-1")).close()
    run = stage.talker.run("t-2")
    stage.clock.wait_for_sleepers(LINGERING)
    stage.clock.advance(GRACE - 0.1)
    again = stage.ask(plain("hold"), named("t-2", "r-1"))
    stage.seen()
    run.go_on()
    assert gist(heard(again)) == ("so be it.", [], "stop")
    assert len(stage.talker.of("t-2")) == 1


def test_nobody_is_waited_for_longer(stage: Scene) -> None:
    """When the platform does not come back within the grace the agent is cancelled."""
    stage.ask(plain("hold"), named("t-3", "r-1")).close()
    run = stage.talker.run("t-3")
    stage.clock.wait_for_sleepers(LINGERING)
    stage.clock.advance(GRACE + 0.1)
    assert stage.talker.over(run).cancelled


def test_the_next_words_end_the_reply_to_the_last(stage: Scene) -> None:
    """Another request id is a newer turn of the call, although no history comes with it."""
    stage.ask(plain("talk"), named("t-4", "r-1"))
    run = stage.talker.run("t-4")
    said = stage.tell(plain("more"), named("t-4", "r-2"))
    assert said.text == "You said more."
    assert stage.talker.over(run).cancelled
    assert stage.talker.run("t-4", 2).history == [("user", "talk"), ("assistant", "Well, "), ("user", "more")]


async def signalling(turn: Turn) -> AsyncIterator[Any]:
    """Tell the app of a form before and behind the words."""
    yield turn.say_to_app({"form": "address", "step": 1})
    yield "Please look at your screen."
    yield turn.say_to_app({"form": "\u2028"})
    yield turn.hangup("Goodbye.")


def test_a_smaller_request_id_is_no_older_turn(stage: Scene) -> None:
    """The ids are names: one that is a smaller number is the newer turn all the same, and is answered."""
    assert stage.tell(plain("one"), named("t-6", "900")).text == "You said one."
    assert stage.tell(plain("two"), named("t-6", "17")).text == "You said two."


def test_the_app_is_told_beside_the_words() -> None:
    """The app is told in chunks without choices, or in one object; the hang-up that TRTC lacks leaves its words."""
    with live_server(signalling) as server:
        raw = request(server.base_url, plain("hello"), {**AUTH, **named("t-5", "r-1")}).body
        whole = request(server.base_url, plain("hello", stream=False), {**AUTH, **named("t-5", "r-2")}).body
    events = [json.loads(line[6:]) for line in raw.decode().split("\n") if line.startswith("data: {")]
    told = [event for event in events if "choices" not in event]
    assert [(event["type"], event["metainfo"]) for event in told] == [
        ("meta.info", {"form": "address", "step": 1}),
        ("meta.info", {"form": "\u2028"}),
    ]
    assert events[0] is told[0]
    assert len({(event["id"], event["created"]) for event in events}) == 1
    deltas = [event["choices"][0] for event in events if "choices" in event]
    assert "".join(delta["delta"].get("content", "") for delta in deltas) == "Please look at your screen. Goodbye."
    assert deltas[-1]["finish_reason"] == "stop"
    message = json.loads(whole)["choices"][0]["message"]
    assert message["content"] == "Please look at your screen. Goodbye."
    assert message["metainfo"] == {"form": "\u2028", "step": 1}
