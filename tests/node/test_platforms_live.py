"""Every platform's node against this server: what the agent is told, and what becomes of what it orders."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from offhook.dialects.choose import DIALECTS
from offhook.node import BargeIn, Call, LLMNode
from offhook.node.platforms import PLATFORMS
from offhook.testing import JumpClock, live_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offhook.events import Event, Turn
    from offhook.node import CallTurn

FACTS = {"instance_id": "c-1", "caller": "138", "callee": "139", "user_data": {"name": "Li"}}
# What a node can tell of the call, as the agent sees it: the turn's id where there is one.
TURN_IDS = {"alibaba_ims": "1", "trtc": "c-1-1", "agora": "0", "volcengine": "1", "retell": "1"}
# Who hangs up when the agent says so: the others' reply has no way to.
HANGS_UP = {
    *("alibaba_ims", "vapi", "elevenlabs", "livekit", "pipecat"),
    *("bolna", "deepgram", "plain", "retell", "conversation_relay"),
}
# Who sends no history.
FORGETFUL = {"trtc"}


class Agent:
    """Notes its turns; says goodbye, transfers, counts until it is cancelled, or answers."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    async def __call__(self, turn: Turn) -> AsyncIterator[Event | str]:
        self.turns.append(turn)
        if "bye" in turn.text:
            yield turn.hangup("Goodbye now.")
        elif "human" in turn.text:
            yield turn.transfer("+15550001", "One moment.")
        elif "count" in turn.text:
            yield "One two three four five six. "
            await asyncio.Event().wait()
        elif "app" in turn.text:
            yield turn.protect()
            yield turn.say_to_app({"page": 2})
            yield "Look at your screen."
        else:
            yield "All right."


class Played(NamedTuple):
    """A call that was played: as the platform has it, as the agent saw it, and how its turns ended."""

    call: Call
    seen: list[Turn]
    ended: list[str]

    @property
    def turn(self) -> CallTurn:
        """The last turn."""
        return self.call.turns[-1]


# A line of the caller that is cut in on after seven characters of the reply.
CUT = BargeIn(characters=7)


def play(platform: str, *lines: str, **options: Any) -> Played:
    """Play a call of which everything is known against the server; the caller cuts in on counting.

    Where the server ends the call only once all is spoken, the clock is moved until it has.
    """
    agent = Agent()

    async def answer(turn: Turn) -> AsyncIterator[Event | str]:
        async for event in agent(turn):
            yield event

    async def talk(base_url: str, api_key: str) -> Call:
        async with LLMNode("abc", api_key, base_url, platform=platform) as node:
            call = Call(node, pace=False, **{"early": False, **FACTS, **options})
            for line in lines:
                await call.say(line, barge_in=CUT if line == "count" else None)
            if node.platform.ends_late and lines[-1] in ("bye", "human"):
                await asyncio.to_thread(clock.wait_for_timers, 1)
                clock.advance(60)
                await call.wait_ended()
            return call

    clock = JumpClock()
    with live_server(answer, clock=clock, turn_silence=0, turn_deadline=0, filler="off") as server:
        call = asyncio.run(talk(server.base_url, server.api_key))
        ended = [details.reason for details in server.wait_for_turns(len(lines))]
    return Played(call, agent.turns, ended)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_agent_is_told_what_the_platform_sends(platform: str) -> None:
    """Call, turn, numbers and data reach the agent where the platform sends them, and are None where it does not."""
    played = play(platform, "hello")
    turn, (seen,) = played.turn, played.seen
    assert (turn.answer.error, turn.text, turn.heard) == (None, "All right.", "All right.")
    assert (seen.call.platform, seen.text, seen.kind) == (platform, "hello", "utterance")
    sends = PLATFORMS[platform].sends
    data = seen.call.user_data
    if platform == "retell":
        # What the platform knows of a call is one object, with the customer's own inside.
        data = data["metadata"]
    told = {
        "instance_id": seen.call.id == "c-1",
        "caller_number": seen.call.caller == "138",
        "callee_number": seen.call.callee == "139",
        "user_data": data == {"name": "Li"},
    }
    assert {name for name, is_told in told.items() if is_told} == sends
    assert seen.id == TURN_IDS.get(platform, seen.id)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_hangup_ends_the_call_where_the_platform_takes_it(platform: str) -> None:
    """The same goodbye is heard on every platform, and the call ends where its reply can end it."""
    played = play(platform, "bye")
    turn, call = played.turn, played.call
    assert played.seen[0].can("hangup") == (platform in HANGS_UP)
    assert turn.text == "Goodbye now."
    assert (turn.answer.hangup, call.ended) == ((True, "agent") if platform in HANGS_UP else (False, None))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_transfer_ends_the_call_where_the_platform_takes_it(platform: str) -> None:
    """The words of a transfer are heard once on every platform, and the number arrives where it can."""
    played = play(platform, "human")
    turn, call = played.turn, played.call
    assert turn.text == "One moment."
    assert turn.answer.transfer == ("+15550001" if platform in HANGS_UP else None)
    assert call.ended == ("agent" if platform in HANGS_UP else None)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_barge_in_cancels_the_agent(platform: str) -> None:
    """When the caller cuts in and says something else, the agent's first turn is ended and the second is answered."""
    played = play(platform, "count", "go on")
    first, second = played.call.turns
    history = [message.role for message in played.seen[1].window if message.role != "system"]
    assert (first.interrupted, first.heard) == (True, "One two")
    assert (second.text, second.answer.error) == ("All right.", None)
    assert sorted(played.ended) in (["cancelled", "stop"], ["stop", "superseded"])
    assert history == (["user"] if platform in FORGETFUL else ["user", "assistant", "user"])


@pytest.mark.parametrize("platform", ["alibaba_ims", "vapi", "trtc"])
def test_a_newer_question_ends_the_older_on_an_open_connection(platform: str) -> None:
    """Where a barge-in leaves the connection open, the newer question cancels the older turn all the same."""
    played = play(platform, "count", "go on", barge_in="open")
    assert played.turn.text == "All right."
    assert sorted(played.ended) == ["stop", "superseded"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_commands_that_a_platform_has_not_are_never_spoken(platform: str) -> None:
    """Protection and messages to the app arrive on the platforms that have them, and everybody hears only the words."""
    turn = play(platform, "app").turn
    assert turn.text.strip() == "Look at your screen."
    assert turn.answer.to_app == (({"page": 2},) if platform == "trtc" else ())
    if platform in ("alibaba_ims", "agora"):
        assert turn.answer.protected


@pytest.mark.parametrize("platform", ["livekit", "volcengine", "deepgram"])
def test_early_questions_do_not_disturb_the_turn(platform: str) -> None:
    """Questions before the caller has finished are answered too, and the whole utterance as if they were not there."""
    played = play(platform, "What is the time now?", "bye", early=True)
    assert [turn.text for turn in played.call.turns] == ["All right.", "Goodbye now."]
    assert [turn.text for turn in played.seen if turn.text in ("bye", "What is the time now?")][-1] == "bye"


def test_every_dialect_is_played() -> None:
    """Every dialect that this server reads has a platform's node, and each node's dialect is there."""
    assert set(DIALECTS) == set(PLATFORMS)
