"""Retell and ConversationRelay as the node plays them, against a server of the tests' own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import EndpointError, EndpointUnreachable, OffhookError, SetupError, WireError
from offhook.node import BargeIn, Call, CallTurn, ExtendData, LLMNode
from offhook.node.platforms import WIRES
from offhook.node.platforms.base import Asking
from tests.node.handclock import HandClock
from tests.node.sockets import Frame, SocketServer

CONFIG = {"response_type": "config", "config": {"auto_reconnect": True, "call_details": True}}


def response(number: int, content: str, *, complete: bool = True, **more: Any) -> Frame:
    """Give a frame of a Retell reply."""
    return {
        "response_type": "response",
        "response_id": number,
        "content": content,
        "content_complete": complete,
        "end_call": False,
        **more,
    }


def retell(frame: Frame) -> list[Frame]:
    """Answer a question by its number: 1 says hello, 2 hangs up, 3 transfers, 4 goes on for ever."""
    if frame.get("interaction_type") != "response_required":
        return []
    number = frame["response_id"]
    old = response(number - 1, "too late")
    match number:
        case 1:
            return [old, response(1, "Hel", complete=False), {"response_type": "ping_pong"}, response(1, "lo.")]
        case 2:
            return [old, response(2, "Bye.", end_call=True)]
        case 3:
            return [response(3, "Wait.", transfer_number="+1")]
    return [response(number, "Never ending", complete=False, no_interruption_allowed=number == 5)]


async def test_a_retell_call() -> None:
    """A Retell call has its id in the path, its facts in call_details, and ends by end_call."""
    async with (
        SocketServer(retell, [CONFIG]) as server,
        LLMNode("m", "k", f"{server.address}/x/llm-websocket?a=1", platform="retell") as node,
    ):
        call = Call(node, instance_id="c/1", caller="138", callee="139", user_data={"a": 1}, system="S", pace=False)
        hello = await call.say("hi")
        bye = await call.say("bye")
    assert server.targets == ["/x/llm-websocket/c%2F1?a=1"]
    assert "authorization" not in server.headers[0]
    details = next(frame for frame in server.frames if frame["interaction_type"] == "call_details")["call"]
    assert details["call_id"] == "c/1"
    assert (details["from_number"], details["to_number"], details["metadata"]) == ("138", "139", {"a": 1})
    asked = [frame for frame in server.frames if frame["interaction_type"] == "response_required"]
    assert [frame["response_id"] for frame in asked] == [1, 2]
    assert [(one["role"], one["content"]) for one in asked[1]["transcript"]] == [
        ("system", "S"),
        ("user", "hi"),
        ("agent", "Hello."),
        ("user", "bye"),
    ]
    assert (hello.text, hello.answer.done, bye.text, bye.answer.hangup) == ("Hello.", True, "Bye.", True)
    assert call.ended == "agent"
    assert hello.answer.first_token is not None


async def test_a_retell_server_speaks_first() -> None:
    """What a Retell server says as response 0 is the turn with which the call wakes up."""
    async with (
        SocketServer(retell, [CONFIG, response(0, "Good day.")]) as server,
        LLMNode("m", "k", server.address, platform="retell") as node,
    ):
        call = Call(node, pace=False)
        assert (await call.wake_up()).text == "Good day."
        assert (await call.say("bye")).answer.hangup


async def test_a_newer_retell_question_follows_a_barge_in() -> None:
    """After a barge-in the newer question goes out on the same connection, and nothing of the old reply is heard."""
    async with SocketServer(retell) as server, LLMNode("m", "k", server.address, platform="retell") as node:
        call = Call(node, pace=False)
        call._sentences = 2
        transfer = await call.say("a")
        call.ended = None
        cut = await call.say("b", barge_in=BargeIn(characters=5))
        protected = call.say("c", on_piece=lambda _: call.hang_up() if not call.barge_in() else None)
        kept = await protected
    assert (transfer.answer.transfer, transfer.finish) == ("+1", "transfer")
    assert (cut.interrupted, cut.heard, call.history[3]["content"]) == (True, "Never", "Never")
    assert kept.answer.protected
    assert len(server.targets) == 1


def relay(frame: Frame) -> list[Frame]:
    """Answer a prompt by its words."""
    if frame["type"] != "prompt":
        return []
    match frame["voicePrompt"]:
        case "bye":
            end = {"type": "end", "handoffData": '{"reasonCode":"done"}'}
            return [{"type": "text", "token": "Bye.", "last": False}, end]
        case "human":
            return [{"type": "end", "handoffData": '{"transfer":"+1"}'}]
        case "long":
            return [{"type": "text", "token": "One two", "last": False}]
    return [{"type": "text", "token": "Hel", "last": False}, {"type": "text", "token": "lo.", "last": True}]


async def test_a_relay_call() -> None:
    """A ConversationRelay call begins with its setup and has a prompt for each utterance."""
    async with (
        SocketServer(relay) as server,
        LLMNode("m", "k", f"{server.address}/any?api-key=z", platform="conversation_relay") as node,
    ):
        call = Call(node, instance_id="CA1", caller="+138", callee="+139", user_data={"a": "b", "n": 1}, pace=False)
        hello = await call.say("hi")
        await call.say("bye")
    assert server.targets == ["/any?api-key=z"]
    setup, hi, bye = server.frames
    assert (setup["type"], setup["callSid"], setup["from"], setup["to"]) == ("setup", "CA1", "+138", "+139")
    assert setup["customParameters"] == {"a": "b", "n": "1"}
    assert [one["voicePrompt"] for one in (hi, bye)] == ["hi", "bye"]
    assert (hello.text, call.turns[1].text, call.ended) == ("Hello.", "Bye.", "agent")


async def test_a_relay_barge_in_is_a_frame() -> None:
    """A barge-in tells the server what was heard, and the call goes on on the same connection."""
    async with (
        SocketServer(relay) as server,
        LLMNode("m", "k", server.address, platform="conversation_relay", clock=HandClock()) as node,
    ):
        call = Call(node, pace=False)
        await call.say("long", barge_in=BargeIn(characters=3))
        last = await call.say("human")
    interrupt = server.frames[2]
    assert (interrupt["type"], interrupt["utteranceUntilInterrupt"]) == ("interrupt", "One")
    assert isinstance(interrupt["durationUntilInterruptMs"], int)
    assert (last.answer.transfer, call.ended, len(server.targets)) == ("+1", "agent", 1)


def ending(frame: Frame) -> list[Frame]:
    """Complete a reply, and end the session behind it, or only when the caller has cut in."""
    end: Frame = {"type": "end", "handoffData": '{"to":"+1"}'}
    match frame.get("voicePrompt"):
        case "bye":
            return [{"type": "text", "token": "Bye.", "last": True}, end]
        case "hm":
            return [{"type": "text", "token": "Bye now.", "last": False, "interruptible": True}]
        case None:
            return [end] if frame["type"] == "interrupt" else []
    return [{"type": "text", "token": "Good.", "last": True, "interruptible": False}]


async def test_a_relay_server_may_end_the_call_behind_its_reply() -> None:
    """A session that ends when the reply was complete already ends the call, and the turn has the transfer."""
    async with (
        SocketServer(ending) as server,
        LLMNode("m", "k", server.address, platform="conversation_relay") as node,
    ):
        call = Call(node, pace=False)
        turn = await call.say("bye")
        await call.wait_ended()
    assert turn.text == "Bye."
    assert (call.ended, call.turns[0].answer.transfer, call.turns[0].finish) == ("agent", "+1", "transfer")


async def test_an_end_that_comes_on_a_barge_in_ends_the_call() -> None:
    """A session that the server ends is over, also where the caller has just cut in."""
    async with (
        SocketServer(ending) as server,
        LLMNode("m", "k", server.address, platform="conversation_relay") as node,
    ):
        call = Call(node, pace=False)
        await call.say("hm", barge_in=BargeIn(characters=3))
        good = await call.say("go on")
    assert (good.text, good.answer.protected, call.ended) == ("Good.", True, "agent")


@pytest.mark.parametrize(
    ("base", "platform", "target"),
    [
        ("http", "retell", "/retell/k/model=a%2Fb/llm-websocket/c"),
        ("http", "conversation_relay", "/conversationrelay?api-key=k&model=a/b"),
        ("ws", "conversation_relay", "/v1"),
    ],
)
async def test_an_http_address_is_that_of_offhooks_own_door(base: str, platform: str, target: str) -> None:
    """Of an http address only the host is taken, for the door that an offhook server has there."""
    async with SocketServer(lambda frame: None) as server:
        address = server.address.replace("ws", base, 1) + "/v1"
        async with LLMNode("a/b", "k", address, platform=platform) as node:
            await Call(node, instance_id="c", pace=False).say("hi")
    assert server.targets == [target]


async def failed(server: SocketServer, platform: str) -> CallTurn:
    """Give the turn of a call to a server that fails."""
    async with LLMNode("m", "k", server.address, platform=platform) as node:
        call = Call(node, instance_id="c", pace=False)
        turn = await call.say("hi")
        again = await call.say("hi")
    assert again.answer.error is not None
    return turn


FAULTS: list[tuple[Any, int, type[OffhookError], str]] = [
    (lambda frame: None, 101, EndpointUnreachable, "closed the connection"),
    (lambda frame: ["[1]"], 101, WireError, "no JSON object"),
    (lambda frame: [{"type": "error", "description": "it broke"}], 101, EndpointError, "it broke"),
    (relay, 403, EndpointError, "refused the WebSocket with 403"),
]


@pytest.mark.parametrize(("answer", "status", "kind", "words"), FAULTS)
async def test_what_goes_wrong_on_the_socket_is_recorded(
    answer: Any, status: int, kind: type[OffhookError], words: str
) -> None:
    """What goes wrong on the WebSocket is in the record of the turn, and is not raised."""
    async with SocketServer(answer, status=status) as server:
        turn = await failed(server, "conversation_relay")
    assert type(turn.answer.error) is kind
    assert words in str(turn.answer.error)
    assert turn.finish == "error"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from(
    [
        "type",
        "token",
        "last",
        "interruptible",
        "handoffData",
        "description",
        "response_type",
        "response_id",
        "content",
        "content_complete",
        "end_call",
        "transfer_number",
        "no_interruption_allowed",
        "config",
        "call_details",
    ]
)
KNOWN = st.sampled_from(["text", "end", "error", "response", "config", '{"to": 1}', '{"to": "+1"}', 1, True])


@pytest.mark.parametrize("protocol", WIRES)
@given(frame=st.dictionaries(NAMES, KNOWN | VALUES, max_size=6))
def test_no_frame_is_too_odd_to_be_read(protocol: str, frame: Frame) -> None:
    """Whatever a frame holds, reading it gives text, known orders and what may be sent as JSON, and raises nothing."""
    asking = Asking(model_id="m", messages=[{"role": "user", "content": "x"}], facts=ExtendData(sentence_id=1))
    part = WIRES[protocol].read(frame, asking)
    assert isinstance(part.text, str)
    assert all(isinstance(order.to, str) for order in part.orders)
    assert json.loads(json.dumps(WIRES[protocol].answering(frame, asking))) is not None


async def test_nobody_there_is_an_error_of_the_turn() -> None:
    """Without a server the turn has failed, and the address shows no key."""
    async with SocketServer(relay) as server:
        address = server.address
    async with LLMNode("m", "secret", address.replace("ws", "http"), platform="retell") as node:
        turn = await Call(node, pace=False).say("hi")
    assert isinstance(turn.answer.error, EndpointUnreachable)
    assert "secret" not in str(turn.answer.error)


@pytest.mark.parametrize("address", ["ftp://h/x", "h:80", "ws://", "wss://u:p@h/x", "ws://h:99999"])
def test_an_address_that_cannot_work_is_told_before_the_call(address: str) -> None:
    """An address that is none of a WebSocket, or holds a password, is refused when the node is made."""
    with pytest.raises(SetupError):
        LLMNode("m", "k", address, platform="retell")


async def test_leaving_closes_the_socket() -> None:
    """When the node is closed the server sees its WebSocket close."""
    async with SocketServer(relay) as server:
        async with LLMNode("m", "k", server.address, platform="conversation_relay") as node:
            await Call(node, pace=False).say("hi")
        await server.left.wait()
