"""What holds at every WebSocket door: keys, limits, hostile frames, a server that goes down."""

from __future__ import annotations

import json
import logging
import os
import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import connect

from offhook.server.auth import Keys
from tests.callers import Scene, scene
from tests.raw import KEY, Wire, get
from tests.server.doors.platform import (
    QUIET,
    answered,
    dialled,
    last,
    prompt,
    refused,
    relay_path,
    retell_path,
    setup,
    tokens,
    wanted,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOING_AWAY, POLICY, TOO_BIG = 1001, 1008, 1009


@pytest.fixture
def stage() -> Iterator[Scene]:
    with scene(**QUIET) as stage:
        yield stage


# --- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (retell_path("c1"), {}),
        (f"/a/b{retell_path('c1')}/", {}),
        (f"/llm-websocket/c1?api-key={KEY}", {}),
        ("/llm-websocket/c1", {"Authorization": f"Bearer {KEY}"}),
        (f"/retell/{KEY}/model=any/llm-websocket/c1", {}),
    ],
)
def test_a_key_may_stand_in_the_address(stage: Scene, path: str, headers: dict[str, str]) -> None:
    """A platform that sends no header has its key in the path or the query, under any prefix."""
    with dialled(stage, path, headers) as line:
        line.send(wanted(1, ("user", "hello")))
        assert words(line.until(answered(1))) == "You said hello."


@pytest.mark.parametrize("path", ["/llm-websocket/c1", retell_path("c1", "wrong"), relay_path("wrong")])
def test_a_handshake_without_a_good_key_is_refused(stage: Scene, path: str) -> None:
    """The platform is answered with the status and the error that a request would be."""
    status, error = refused(stage, path)
    assert (status, error["code"]) == (401, "invalid_api_key")
    assert stage.talker.runs == []


def test_a_model_that_nobody_answers_for_is_refused() -> None:
    """Of several agents one is named in the address, and none is guessed."""
    with scene(model_id=["front", "back"], **QUIET) as stage:
        for path in (retell_path("c1"), f"/retell/{KEY}/model=side/llm-websocket/c1"):
            status, error = refused(stage, path)
            assert (status, error["code"]) == (404, "model_not_found")
        with dialled(stage, f"/retell/{KEY}/model=back/llm-websocket/c1") as line:
            line.send(wanted(1, ("user", "hello")))
            line.until(answered(1))
        assert stage.talker.run("c1").turn.model == "back"


def test_a_key_may_be_a_parameter_of_the_session(stage: Scene) -> None:
    """ConversationRelay can be given it beside the URL, and nobody else is told of it."""
    with dialled(stage, "/conversationrelay") as line:
        line.send(setup(**{"api-key": KEY, "tier": "gold"}))
        line.send(prompt("hello"))
        assert tokens(line.until(last)) == "You said hello."
    turn = stage.talker.run("CA1").turn
    assert turn.call.user_data == {"tier": "gold"}
    assert KEY not in json.dumps(turn.body)


@pytest.mark.parametrize("first", [setup(**{"api-key": "wrong"}), setup(), prompt("hello")])
def test_a_session_that_shows_no_key_is_closed(stage: Scene, first: dict[str, Any]) -> None:
    """Where the handshake has none the first frame must, and nothing is answered before."""
    with dialled(stage, "/conversationrelay") as line:
        line.send(first)
        assert line.code() == POLICY
    assert stage.talker.runs == []


def test_a_session_that_says_nothing_is_closed(stage: Scene) -> None:
    """Who does not say who he is has as long as the head of a request has."""
    with dialled(stage, relay_path()) as line:
        stage.clock.wait_for_timers(1)
        stage.clock.advance(10.0)
        assert line.code() == POLICY


def test_the_platform_may_sign_its_handshake() -> None:
    """With the account's token a signature over the URL is as good as a key, and a wrong one is none."""
    from offhook.dialects.conversation_relay import is_signed

    with scene(dialect={"conversation_relay": {"auth_token": "12345"}}, **QUIET) as stage:
        host = stage.server.base_url.removeprefix("http://").removesuffix("/v1")
        good = sign(f"wss://{host}/conversationrelay?a=b", "12345")
        assert is_signed(good, "12345", host=host, target="/conversationrelay", query="a=b")
        with dialled(stage, "/conversationrelay?a=b", {"X-Twilio-Signature": good}) as line:
            line.send(setup())
            line.send(prompt("hello"))
            assert tokens(line.until(last)) == "You said hello."
        for bad in (sign(f"wss://{host}/conversationrelay", "12345"), sign(f"wss://{host}/conversationrelay?a=b", "1")):
            with dialled(stage, "/conversationrelay?a=b", {"X-Twilio-Signature": bad}) as line:
                line.send(setup())
                assert line.code() == POLICY


def sign(url: str, token: str) -> str:
    """Give a signature as the platform makes it."""
    import base64
    import hmac

    return base64.b64encode(hmac.new(token.encode(), url.encode(), "sha1").digest()).decode()


def test_no_log_and_no_capture_holds_the_key(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """The address holds it, and is written nowhere as it came."""
    caplog.set_level(logging.DEBUG)
    with scene(capture=str(tmp_path), **QUIET) as stage:
        with dialled(stage, retell_path("c1")) as line:
            line.send(wanted(1, ("user", "secret words")))
            line.until(answered(1))
        assert get(stage.server.base_url, retell_path("c1")).status == 404
        turn = stage.talker.run("c1").turn
        assert KEY not in json.dumps([turn.body, dict(turn.call.query)])
    kept = [file.read_text() for file in tmp_path.iterdir()]
    assert kept
    # What the test's own client logs is not the server's.
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    assert not [text for text in (*kept, *logged) if KEY in text or "secret words" in text]


def test_a_websocket_is_spoken_at_its_doors_alone(stage: Scene) -> None:
    """At any other address an offer of one is passed over, as any offer is."""
    for path in ("/v1/chat/completions", "/", "/llm-websocket", "/conversationrelays"):
        with Wire(stage.server.base_url) as wire:
            wire.send(
                f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            assert wire.read_until(b"\r\n").startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 ", b"HTTP/1.1 401 "))


def test_a_handshake_that_cannot_be_read_is_answered(stage: Scene) -> None:
    """What the one parser takes and the other does not ends with a response, and is not held for ever."""
    with Wire(stage.server.base_url) as wire:
        wire.send(
            f"GET {retell_path('c1')} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"X-Long: {'x' * 20_000}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert wire.read_to_end().startswith(b"HTTP/1.1 400 ")


# --- frames -------------------------------------------------------------------------------------------------------

GARBAGE: list[Any] = [
    "",
    "no json",
    "[1, 2]",
    "null",
    "[" * 5000,
    b"\x00\xff",
    b"{}",
    {},
    {"interaction_type": 7, "type": []},
    {"interaction_type": "response_required", "type": "prompt"},
    {"interaction_type": "response_required", "response_id": "one", "type": "prompt", "voicePrompt": {}},
    {"interaction_type": "response_required", "response_id": True, "type": "dtmf", "digit": 1},
    {"interaction_type": "call_details", "call": "none", "type": "interrupt", "utteranceUntilInterrupt": [1]},
    {"interaction_type": "update_only", "transcript": 3, "type": "dtmf", "digit": "12"},
    {"interaction_type": "ping_pong", "type": "error", "description": None},
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_no_frame_is_passed_over(stage: Scene, garbage: Any) -> None:
    """Nothing that a platform sends harms the call: the next good frame is answered."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(garbage)
        line.send({"interaction_type": "response_required", "response_id": 1, "transcript": [{"role": 1}, 2, {}]})
        line.until(answered(1))
    with dialled(stage, relay_path()) as line:
        line.send(garbage)
        line.send({**setup(), "customParameters": garbage if isinstance(garbage, list) else 3})
        line.send(garbage)
        line.send(prompt("good"))
        assert tokens(line.until(last)) == "You said good."


def test_random_frames_harm_nobody(stage: Scene) -> None:
    """Whatever stands in the members of a frame, the server lives and answers the next one."""
    dice = random.Random(7)
    values: list[Any] = [None, True, -1, 1.5, 10**30, "", "x", "\ud83d\ude00", [], [{}], {}, {"a": [1]}]
    names = [
        "interaction_type",
        "response_id",
        "transcript",
        "call",
        "type",
        "voicePrompt",
        "last",
        "digit",
        "timestamp",
    ]
    kinds = [
        "response_required",
        "reminder_required",
        "call_details",
        "ping_pong",
        "setup",
        "prompt",
        "dtmf",
        "interrupt",
    ]
    with dialled(stage, retell_path("c1")) as retell, dialled(stage, relay_path()) as relay:
        for _ in range(150):
            frame = {name: dice.choice(values) for name in dice.sample(names, 5)}
            frame |= {"interaction_type": dice.choice(kinds), "type": dice.choice(kinds)}
            retell.send(frame)
            relay.send(frame)
        retell.send(wanted(7 * 10**15, ("user", "sane")))
        retell.until(answered(7 * 10**15))
        relay.send(setup())
        relay.send(prompt("sane"))
        relay.until(lambda frame: frame.get("token", "").startswith("You said sane"))


def test_a_frame_that_is_too_large_ends_the_websocket() -> None:
    """It is as a body that is too large, and the server goes on."""
    with scene(max_body=100_000, **QUIET) as stage:
        with dialled(stage, retell_path("c1")) as line:
            line.send(wanted(1, ("user", "x" * 200_000)))
            assert line.code() == TOO_BIG
        with dialled(stage, retell_path("c1")) as line:
            line.send(wanted(1, ("user", "hello")))
            line.until(answered(1))


# --- limits -------------------------------------------------------------------------------------------------------


def test_a_call_that_finds_no_place_is_told_in_words() -> None:
    """Only a voice is on the other end, so that a refusal is spoken."""
    with scene(limits_turns=1, limits_queue=0, **QUIET) as stage, dialled(stage, retell_path("c1")) as first:
        first.send(wanted(1, ("user", "hold")))
        run = stage.talker.run("c1")
        with dialled(stage, retell_path("c2")) as second:
            second.send(wanted(1, ("user", "hello")))
            said = words(second.until(answered(1)))
        assert said not in ("", "You said hello.")
        run.go_on()
        assert words(first.until(answered(1))) == "so be it."
    assert stage.talker.of("c2") == []


def test_a_turn_that_waits_for_a_place_is_given_up_when_the_platform_goes() -> None:
    """A caller who hangs up in the queue leaves no turn behind."""
    with scene(limits_turns=1, **QUIET) as stage, dialled(stage, retell_path("c1")) as first:
        first.send(wanted(1, ("user", "hold")))
        run = stage.talker.run("c1")
        with dialled(stage, retell_path("c2")) as second:
            second.send(wanted(1, ("user", "hello")))
            second.heard(stage)
        stage.seen()
        run.go_on()
        first.until(answered(1))
        stage.seen()
    assert stage.talker.of("c2") == []


@pytest.mark.parametrize(
    "ask", [(retell_path("c1"), [wanted(1, ("user", "hold"))]), (relay_path(), [setup(), prompt("hold")])]
)
def test_a_server_that_goes_down_lets_the_live_turn_end(ask: tuple[str, list[dict[str, Any]]]) -> None:
    """The caller of a turn that does not end in time is told so, and the WebSocket closes as going away."""
    path, frames = ask
    with ExitStack() as platform:
        with scene(**QUIET) as stage:
            line = platform.enter_context(dialled(stage, path))
            for frame in frames:
                line.send(frame)
            stage.talker.wait(lambda: len(stage.talker.runs) == 1)
        assert line.code() == GOING_AWAY
        assert "".join(frame.get("content") or frame.get("token") or "" for frame in line.frames) != ""
    assert stage.talker.runs[0].cancelled


def test_who_does_not_read_is_cut_off() -> None:
    """A reply without end waits for its reader, holds no more than a little, and ends with its connection."""

    async def endless(turn: Any) -> Any:
        while True:
            yield "word " * 2000

    from offhook.testing import JumpClock, live_server

    clock = JumpClock()
    with live_server(endless, clock=clock, limits_slow_reader=5, **QUIET) as server:
        url = server.base_url.removesuffix("/v1").replace("http://", "ws://") + retell_path("c1", server.api_key)
        with connect(url, close_timeout=1, max_queue=1, max_size=None) as socket:
            socket.send(json.dumps(wanted(1, ("user", "go"))))
            clock.wait_for_timers(1)
            while not server.turns:
                clock.advance(5.0)
                os.sched_yield()
        [details] = server.wait_for_turns(1)
        assert details.reason == "cancelled"


def test_a_key_that_is_revoked_in_a_call_answers_no_more_turns(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every turn is asked for with the key, as every request is."""
    with dialled(stage, retell_path("c1")) as line:
        line.send(wanted(1, ("user", "hello")))
        line.until(answered(1))
        monkeypatch.setattr(Keys, "_owner", lambda keys, key: None)
        line.send(wanted(2, ("user", "hello"), ("agent", "You said hello."), ("user", "again")))
        assert line.code() == POLICY
    assert len(stage.talker.of("c1")) == 1
