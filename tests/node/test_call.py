"""Whole calls over the node, against a scripted server on a real socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from offhook.errors import EndpointError
from offhook.node import BargeIn, Call, LLMNode, Pace
from tests.node.handclock import HandClock
from tests.node.scripted import DONE, SSE, ScriptedServer, chunk, event, plain, response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HANGUP = {"index": 0, "id": "c", "type": "function", "function": {"name": "hangup", "arguments": "{}"}}
STOP = chunk(finish="stop")
BYE = plain(chunk("再见。"), chunk(tool_calls=[HANGUP]), chunk(finish="tool_calls"), DONE)


@pytest.fixture
async def two_turns() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(plain(chunk("一。"), STOP, DONE), plain(chunk("二。"), STOP, DONE), BYE) as server:
        yield server


def roles(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages]


async def test_a_call_keeps_ids_and_history(two_turns: ScriptedServer) -> None:
    """Every turn carries the same call, the next sentence id as an int, and all that was said before."""
    async with LLMNode("abc", "k", two_turns.base_url) as node:
        call = Call(
            node, instance_id="i", channel_id="r", caller="138", callee="139", user_data={"a": "乙"}, pace=False
        )
        for line in ("a", "b", "c"):
            await call.say(line)
    bodies = [asked.body for asked in two_turns.asked]
    assert [body["extendData"].pop("sentenceId") for body in bodies] == [1, 2, 3]
    extend = {"instanceId": "i", "channelId": "r", "callerNumber": "138", "calleeNumber": "139"}
    assert all(body["extendData"] == {**extend, "userData": '{"a":"乙"}'} for body in bodies)
    assert roles(bodies[2]["messages"]) == [
        ("user", "a"),
        ("assistant", "一。"),
        ("user", "b"),
        ("assistant", "二。"),
        ("user", "c"),
    ]


@pytest.mark.parametrize(
    ("options", "sent"),
    [({}, [("system", "")]), ({"system": "p"}, [("system", "p")]), ({"greeting": "g"}, [("assistant", "g")])],
)
async def test_an_agent_can_speak_first(two_turns: ScriptedServer, options: Any, sent: Any) -> None:
    """A call that begins with the agent is a request in which no caller has spoken, and happens once."""
    async with LLMNode("abc", "k", two_turns.base_url) as node:
        call = Call(node, pace=False, **options)
        assert (await call.wake_up()).text == "一。"
        with pytest.raises(RuntimeError, match="only once"):
            await call.wake_up()
        await call.say("a")
    first, second = (roles(asked.body["messages"]) for asked in two_turns.asked)
    assert first == sent
    assert second == [*(sent if options else []), ("assistant", "一。"), ("user", "a")]
    assert [turn.caller for turn in call.turns] == ["", "a"]


async def test_a_hangup_ends_the_call(two_turns: ScriptedServer) -> None:
    """The hangup ends the call once its text was said, by the agent, and nothing can be said afterwards."""
    async with LLMNode("abc", "k", two_turns.base_url) as node:
        call = Call(node, pace=False)
        for line in ("a", "b"):
            await call.say(line)
            assert call.ended is None
        pieces: list[str] = []
        turn = await call.say("bye", on_piece=pieces.append)
        assert (pieces, turn.text, turn.heard, turn.finish) == (["再见。"], "再见。", "再见。", "hangup")
        assert call.ended == "agent"
        with pytest.raises(RuntimeError, match="ended by the agent"):
            await call.say("hello?")
        call.hang_up()
    assert call.ended == "agent"
    assert [turn.sentence_id for turn in call.turns] == [1, 2, 3]
    assert len(two_turns.asked) == 3


async def test_a_call_makes_its_own_ids() -> None:
    """Two calls without given ids are two different calls in two different rooms."""
    node = LLMNode("m", "k", "http://127.0.0.1:1")
    first, second = Call(node), Call(node)
    assert first.instance_id
    assert first.instance_id != second.instance_id


async def test_prompt_and_greeting_begin_the_history(two_turns: ScriptedServer) -> None:
    """The system prompt and the greeting stand before the caller's first words."""
    async with LLMNode("m", "k", two_turns.base_url) as node:
        await Call(node, system="be kind", greeting="您好", pace=False).say("a")
    sent = roles(two_turns.asked[0].body["messages"])
    assert sent == [("system", "be kind"), ("assistant", "您好"), ("user", "a")]


@pytest.mark.parametrize(("history_sync", "kept"), [(False, "one two three"), (True, "one two<ims_agent_interrupted>")])
async def test_a_barge_in_cuts_the_history_where_the_platform_does(history_sync: bool, kept: str) -> None:
    """After a barge-in the history holds what was said, or what was heard with the platform's mark at the cut."""
    async with (
        ScriptedServer([SSE, chunk("one two three")], hold=True) as server,
        LLMNode("m", "k", server.base_url) as node,
    ):
        call = Call(node, history_sync=history_sync, pace=False)
        turn = await call.say("go", barge_in=BargeIn(characters=7))
        await server.left.wait()
    assert (turn.text, turn.heard, turn.interrupted, turn.finish) == ("one two three", "one two", True, "barge-in")
    assert turn.answer.interrupted
    assert roles(call.history) == [("user", "go"), ("assistant", kept)]


async def test_a_barge_in_during_speech_cuts_at_a_whole_word() -> None:
    """A barge-in in the middle of a piece leaves the whole words that were spoken until then."""
    clock = HandClock(asyncio.Event())
    async with (
        ScriptedServer(plain(chunk("今天天气 one two"), STOP, DONE)) as server,
        LLMNode("m", "k", server.base_url, clock=clock) as node,
    ):
        call = Call(node, history_sync=True, pace=Pace(characters_per_second=10, words_per_second=5))
        saying = asyncio.create_task(call.say("go"))
        await clock.sleeping.wait()
        clock.at += 0.7
        call.barge_in()
        turn = await saying
    assert (turn.heard, turn.interrupted) == ("今天天气 one", True)
    assert roles(call.history)[-1] == ("assistant", "今天天气 one<ims_agent_interrupted>")


async def test_speech_takes_its_time_on_the_clock() -> None:
    """Each piece is handed over when its speech begins, and the turn ends when the last was spoken."""
    clock = HandClock()
    begun: list[tuple[str, float]] = []
    async with (
        ScriptedServer(plain(chunk("今天"), chunk("天气。"), chunk("Hi"), STOP, DONE)) as server,
        LLMNode("m", "k", server.base_url, clock=clock) as node,
    ):
        call = Call(node, pace=Pace(characters_per_second=4, words_per_second=2))
        await call.say("go", on_piece=lambda piece: begun.append((piece, clock.at - 100)))
    assert begun == [("今天", 0.0), ("天气。", 0.5), ("Hi", 1.0)]
    assert clock.at == 101.5


async def test_a_barge_in_before_the_first_word_leaves_no_empty_message() -> None:
    """A turn that was cut before any text keeps the caller's words and no assistant message, and the call goes on."""
    async with ScriptedServer([SSE], hold=True) as server, LLMNode("m", "k", server.base_url) as node:
        call = Call(node, history_sync=True, pace=False)
        saying = asyncio.create_task(call.say("one"))
        await server.arrived.wait()
        assert call.barge_in()
        turn = await saying
        assert not call.barge_in()
        await server.left.wait()
        assert (turn.text, turn.interrupted) == ("", True)
        assert roles(call.history) == [("user", "one")]
        assert call.ended is None


async def test_a_barge_in_after_seconds_needs_no_word() -> None:
    """A barge-in by time comes although the agent is silent."""
    async with ScriptedServer([], hold=True) as server, LLMNode("m", "k", server.base_url, clock=HandClock()) as node:
        turn = await Call(node).say("one", barge_in=BargeIn(seconds=2))
    assert turn.interrupted
    assert turn.answer.first_token is None


async def test_a_hangup_that_the_caller_cuts_in_on_is_not_executed() -> None:
    """A caller who cuts in on the goodbye stays on the line."""
    async with (
        ScriptedServer([SSE, chunk("Good", tool_calls=[HANGUP])], hold=True) as server,
        LLMNode("m", "k", server.base_url) as node,
    ):
        call = Call(node, pace=False)
        turn = await call.say("bye", barge_in=BargeIn(characters=4))
    assert turn.answer.hangup
    assert call.ended is None


async def test_the_caller_may_hang_up_in_the_middle() -> None:
    """When the caller hangs up during a reply the node disconnects, and the caller ended the call."""
    async with ScriptedServer([SSE, chunk("long")], hold=True) as server, LLMNode("m", "k", server.base_url) as node:
        call = Call(node, pace=False)
        turn = await call.say("go", on_piece=lambda _: call.hang_up())
        await server.left.wait()
    assert call.ended == "caller"
    assert turn.interrupted


async def test_a_failed_turn_keeps_what_was_said() -> None:
    """After an error in the stream the history holds the text before it, after a refusal only the caller's words."""
    failing = plain(chunk("half"), event({"error": {"message": "broke"}}))
    async with ScriptedServer(failing, response("500 Oh", b"")) as server, LLMNode("m", "k", server.base_url) as node:
        call = Call(node, pace=False)
        first = await call.say("a")
        second = await call.say("b")
    assert isinstance(first.answer.error, EndpointError)
    assert isinstance(second.answer.error, EndpointError)
    assert (first.finish, second.finish) == ("error", "error")
    assert roles(call.history) == [("user", "a"), ("assistant", "half"), ("user", "b")]
    assert call.ended is None


async def test_a_cancelled_turn_is_in_the_log() -> None:
    """Cancelling the task that speaks disconnects, logs the turn as interrupted, and stays a cancellation."""
    async with ScriptedServer([SSE, chunk("a")], hold=True) as server, LLMNode("m", "k", server.base_url) as node:
        call = Call(node, pace=False)
        heard = asyncio.Event()
        saying = asyncio.create_task(call.say("go", on_piece=lambda _: heard.set()))
        await heard.wait()
        saying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saying
        await server.left.wait()
    assert [(turn.text, turn.interrupted) for turn in call.turns] == [("a", True)]


async def test_two_utterances_cannot_be_answered_at_once() -> None:
    """A second utterance during a reply is refused until the caller has cut in."""
    async with ScriptedServer([SSE], hold=True) as server, LLMNode("m", "k", server.base_url) as node:
        call = Call(node, pace=False)
        saying = asyncio.create_task(call.say("one"))
        await server.arrived.wait()
        with pytest.raises(RuntimeError, match="another utterance"):
            await call.say("two")
        call.barge_in()
        await saying
    assert roles(call.history) == [("user", "one")]


async def test_an_error_in_a_callback_is_raised() -> None:
    """What the on_piece callback raises comes out of say, and the connection is closed."""

    def fail(piece: str) -> None:
        raise ValueError(piece)

    async with ScriptedServer([SSE, chunk("a")], hold=True) as server, LLMNode("m", "k", server.base_url) as node:
        with pytest.raises(ValueError, match="a"):
            await Call(node, pace=False).say("one", on_piece=fail)
        await server.left.wait()
