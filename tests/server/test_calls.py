"""A call has a state of its own, a beginning and an end, of which the agent is told once each."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from offhook.testing import JumpClock
from tests.callers import Run, Scene, Talker, heard, plain, scene, turn
from tests.raw import AUTH, error_of, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from offhook.events import OpenCall, Turn

IDLE = 900.0


class Host(Talker):
    """A talker that is told of calls: ``told`` has what it heard, in order, and ``said`` where its turns stand in it.

    ``count`` in a call's state counts its turns. A call whose id begins with "broken" makes both functions fail, one
    that begins with "slow" makes the start wait for ``open_up``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str | None, str | None]] = []
        self.states: list[dict[str, Any]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: asyncio.Event | None = None

    @override
    async def __call__(self, turn: Turn) -> AsyncIterator[Any]:
        async for value in super().__call__(turn):
            yield value

    async def on_call_start(self, call: OpenCall) -> None:
        self._note("start", call)
        call.state["began"] = call.state.get("began", 0) + 1
        assert call.id is not None
        if call.id.startswith("slow"):
            self._loop, self._opened = asyncio.get_running_loop(), asyncio.Event()
            await self._opened.wait()
            self._note("started", call)
        self._fail(call)

    async def on_call_end(self, call: OpenCall) -> None:
        call.state["ended"] = call.ended_by
        self._note("end", call)
        self._fail(call)

    @override
    async def before(self, run: Run) -> None:
        state = run.turn.state
        self.states.append(dict(state))
        state["count"] = state.get("count", 0) + 1
        if run.turn.text == "spoil":
            state["bad"] = object()
        if run.turn.text == "mend":
            del state["bad"]
        with self._changed:
            self.told.append(("turn", run.turn.call.id, None))
            self._changed.notify_all()

    def open_up(self) -> None:
        """Let a slow start go on."""
        assert self._loop is not None and self._opened is not None
        self._loop.call_soon_threadsafe(self._opened.set)

    def news(self, call: str, count: int) -> list[str]:
        """Give what was told of a call, once there is so much: its start, its turns, and who ended it."""
        self.wait(lambda: len(self._of(call)) >= count)
        return self._of(call)

    def _of(self, call: str) -> list[str]:
        return [ended_by or what for what, id, ended_by in list(self.told) if id == call]

    def _note(self, what: str, call: OpenCall) -> None:
        with self._changed:
            self.told.append((what, call.id, call.ended_by))
            self._changed.notify_all()

    def _fail(self, call: OpenCall) -> None:
        if call.id is not None and call.id.startswith("broken"):
            raise {"exit": SystemExit, "cancel": asyncio.CancelledError}.get(call.id.split()[-1], ValueError)()


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Scene]:
    with scene(Host(), call_idle=IDLE, turn_silence=0, dialect={"plain": {"call_id": "header:X-Call"}}) as made:
        yield made


@pytest.fixture
def stage(shared_stage: Scene) -> Iterator[Scene]:
    yield shared_stage
    shared_stage.hang_up()


@pytest.fixture
def host(stage: Scene) -> Host:
    assert isinstance(stage.talker, Host)
    return stage.talker


def end(stage: Scene, call: str, *, key: bool = True) -> tuple[int, Any]:
    """Tell the server that a call has ended; give the status, and the error's code or what was answered."""
    reply = request(stage.server.base_url, {}, AUTH if key else {}, path=f"/v1/calls/{call}/end")
    return reply.status, error_of(reply)["code"] if reply.status >= 400 else json.loads(reply.body)


# --- the state ----------------------------------------------------------------------------------------------------


def test_the_state_is_kept_between_turns(stage: Scene, host: Host) -> None:
    """What a turn leaves in turn.state the next one finds, and the call's record has it."""
    for id in (1, 2, 3):
        stage.tell(turn("counted", id, "hello"))
    assert host.states[-3:] == [{"began": 1}, {"began": 1, "count": 1}, {"began": 1, "count": 2}]
    stored = stage.server.stored("counted")
    assert stored is not None and json.loads(stored.call.state or "") == {"began": 1, "count": 3}


def test_the_state_is_not_shared_between_calls(stage: Scene, host: Host) -> None:
    """Another call has its own, and a request without a call has one for itself."""
    stage.tell(turn("first", 1, "hello"))
    stage.tell(turn("second", 1, "hello"))
    stage.tell(turn(None, 1, "hello"))
    stage.tell(plain("hello"))
    assert host.states[-4:] == [{"began": 1}, {"began": 1}, {}, {}]


def test_a_state_that_is_not_json_is_logged_and_the_last_good_one_kept(
    stage: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The turn is answered all the same, and a state that is put right is kept again."""
    states: list[Any] = []
    for id, text in enumerate(("hello", "spoil", "hello", "mend"), 1):
        assert stage.tell(turn("spoiled", id, text)).text == f"You said {text}."
        stored = stage.server.stored("spoiled")
        states.append(json.loads(stored.call.state or "") if stored else None)
    assert [state["count"] for state in states] == [1, 1, 1, 4]
    assert "turn.state holds what is not JSON, so it is not kept: TypeError call=spoiled" in caplog.text


# --- the beginning ------------------------------------------------------------------------------------------------


def test_the_agent_is_told_once_before_the_first_turn(stage: Scene, host: Host) -> None:
    """on_call_start is over before the first turn begins, and is not run for the turns behind it."""
    wire = stage.ask(turn("slow", 1, "hello"))
    assert host.news("slow", 1) == ["start"]
    stage.seen()
    host.open_up()
    assert heard(wire).text == "You said hello."
    stage.tell(turn("slow", 2, "hello"))
    assert host.news("slow", 4) == ["start", "started", "turn", "turn"]


def test_a_first_turn_that_is_cancelled_leaves_the_start_to_the_next(stage: Scene, host: Host) -> None:
    """on_call_start goes on when the caller cuts in on the first turn, whose agent is never run."""
    wire = stage.ask(turn("slow and cut", 1, "hello"))
    assert host.news("slow and cut", 1) == ["start"]
    wire.close()
    stage.seen()
    wire = stage.ask(turn("slow and cut", 2, "hello"))
    stage.seen()
    host.open_up()
    assert heard(wire).text == "You said hello."
    assert host.news("slow and cut", 3) == ["start", "started", "turn"]
    assert stage.reasons("slow and cut") == ["cancelled", "stop"]


@pytest.mark.parametrize("how", ["value", "exit", "cancel"])
def test_a_start_or_end_that_fails_is_logged(
    stage: Scene, host: Host, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """The turn is answered, the server lives, and the call ends all the same."""
    name = f"broken by {how}"
    for id in (1, 2):
        assert stage.tell(turn(name, id, "hello")).text == "You said hello."
    assert end(stage, name.replace(" ", "%20")) == (200, {"ended": True})
    assert host.news(name, 4) == ["start", "turn", "turn", "callback"]
    assert stage.tell(turn("after " + name, 1, "hello")).text == "You said hello."
    stored = stage.server.stored(name)
    assert stored is not None and stored.call.ended_by == "callback"
    for function in ("on_call_start", "on_call_end"):
        assert f"{function} failed: " in caplog.text


def test_a_request_without_a_call_tells_nobody(stage: Scene, host: Host) -> None:
    """There is nothing that could begin or end."""
    told = len(host.told)
    stage.tell(plain("hello"))
    stage.tell(turn(None, 1, "bye"))
    stage.seen()
    assert [what for what, _, _ in host.told[told:]] == ["turn", "turn"]


# --- the end ------------------------------------------------------------------------------------------------------


def ended_by(stage: Scene, call: str) -> str | None:
    """Give by what a call has ended, as it is recorded."""
    stored = stage.server.stored(call)
    assert stored is not None
    return stored.call.ended_by


def test_a_hang_up_ends_the_call(stage: Scene, host: Host) -> None:
    """on_call_end comes after the turn that hung up, and the record says command."""
    stage.tell(turn("hung up", 1, "hello"))
    stage.tell(turn("hung up", 2, "bye"))
    assert host.news("hung up", 4) == ["start", "turn", "turn", "command"]
    stage.seen()
    assert ended_by(stage, "hung up") == "command"


def test_a_hang_up_that_the_caller_cut_off_ends_nothing(stage: Scene, host: Host) -> None:
    """A turn that was superseded before its hang-up was over has not ended the call."""
    stage.begun("cut off", 1, "talk")
    stage.tell(turn("cut off", 2, "hello"))
    stage.seen()
    assert host.news("cut off", 3) == ["start", "turn", "turn"]


def test_silence_ends_the_call(stage: Scene, host: Host) -> None:
    """A call ends when there was no turn for as long as the setting says, counted from its last one."""
    stage.tell(turn("silent", 1, "hello"))
    stage.clock.advance(IDLE - 1)
    stage.tell(turn("silent", 2, "hello"))
    stage.clock.advance(IDLE - 1)
    stage.seen()
    assert host.news("silent", 3) == ["start", "turn", "turn"]
    stage.clock.advance(1)
    assert host.news("silent", 4) == ["start", "turn", "turn", "idle"]
    stage.seen()
    assert ended_by(stage, "silent") == "idle"


def test_a_long_turn_is_no_silence(stage: Scene, host: Host) -> None:
    """While a turn is live the call has not ended, however long that takes."""
    wire = stage.begun("long", 1, "talk")
    stage.clock.advance(IDLE + 1)
    stage.seen()
    host.run("long").go_on()
    assert heard(wire).text == "Well, so be it."
    stage.seen()
    assert host.news("long", 2) == ["start", "turn"]
    stage.clock.advance(IDLE)
    assert host.news("long", 3) == ["start", "turn", "idle"]


def test_a_callback_ends_the_call(stage: Scene, host: Host) -> None:
    """Whoever knows of the end tells the server, once, with a key, and for a call that is live."""
    stage.tell(turn("told", 1, "hello"))
    assert end(stage, "told", key=False)[0] == 401
    assert end(stage, "nobody") == (404, "call_not_found")
    assert host.news("told", 2) == ["start", "turn"]
    assert end(stage, "told") == (200, {"ended": True})
    assert host.news("told", 3) == ["start", "turn", "callback"]
    assert end(stage, "told") == (404, "call_not_found")
    stage.seen()
    assert ended_by(stage, "told") == "callback"


def test_an_id_may_hold_anything(stage: Scene, host: Host) -> None:
    """An id with a slash, a question mark or a letter of any script can be told of, percent-encoded."""
    for id, written in (("a/b", "a%2Fb"), ("a?b", "a%3Fb"), ("通话", "%E9%80%9A%E8%AF%9D"), ("end", "end")):
        stage.tell(turn(id, 1, "hello"))
        assert end(stage, written) == (200, {"ended": True})
        assert host.news(id, 3) == ["start", "turn", "callback"]


@pytest.mark.parametrize("by", ["callback", "command", "idle"])
def test_a_call_that_goes_on_after_its_end_starts_again_with_its_state(stage: Scene, host: Host, by: str) -> None:
    """on_call_start comes once more and finds the state, the next end is told too, and the record is open again."""
    call = f"on-after-{by}"
    stage.tell(turn(call, 1, "bye" if by == "command" else "hello"))
    if by == "callback":
        end(stage, call)
    elif by == "idle":
        stage.clock.advance(IDLE)
    assert host.news(call, 3) == ["start", "turn", by]
    stage.seen()
    stage.tell(turn(call, 2, "hello"))
    assert host.news(call, 5) == ["start", "turn", by, "start", "turn"]
    assert host.states[-1] == {"began": 2, "count": 1, "ended": by}
    assert ended_by(stage, call) is None
    assert end(stage, call) == (200, {"ended": True})
    assert host.news(call, 6)[-1] == "callback"


# --- the server's end ---------------------------------------------------------------------------------------------


def test_a_restart_ends_no_call(tmp_path: Path) -> None:
    """Shutting down tells nobody of an end, the call goes on where it was, and its end is told by the new server."""
    clock, first, second = JumpClock(), Host(), Host()
    settings: dict[str, Any] = {"store": "sqlite", "data_dir": str(tmp_path), "call_idle": IDLE}
    with scene(first, clock=clock, **settings) as stage:
        for call in ("goes on", "says nothing more"):
            stage.tell(turn(call, 1, "hello"))
    assert [what for what, _, _ in first.told] == ["start", "turn"] * 2
    with scene(second, clock=clock, **settings) as stage:
        stage.tell(turn("goes on", 2, "hello"))
        assert second.states == [{"began": 1, "count": 1}]
        assert ended_by(stage, "goes on") is None
        assert end(stage, "goes%20on") == (200, {"ended": True})
        assert second.news("goes on", 2) == ["turn", "callback"]
        clock.advance(IDLE)
        assert second.news("says nothing more", 1) == ["idle"]


def test_an_idle_call_goes_on_with_its_state_from_the_file(tmp_path: Path) -> None:
    """Also when the call was forgotten for its silence the store gives its state back."""
    host = Host()
    with scene(host, store="sqlite", data_dir=str(tmp_path), call_idle=IDLE) as stage:
        stage.tell(turn("c", 1, "hello"))
        stage.clock.advance(IDLE)
        assert host.news("c", 3) == ["start", "turn", "idle"]
        # Committed in order: when this one is, the end of the other is.
        stage.tell(turn("d", 1, "hello"))
        stage.tell(turn("c", 2, "hello"))
        assert host.states[-1] == {"began": 2, "count": 1, "ended": "idle"}


def test_the_log_says_nothing_of_the_state(stage: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """What an agent keeps of a caller is not logged, also when it cannot be kept."""
    with caplog.at_level(logging.DEBUG, "offhook"):
        stage.tell(turn("private", 1, "spoil"))
    assert "not kept" in caplog.text
    assert "object object" not in caplog.text
