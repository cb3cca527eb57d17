"""What each platform's node sends, and keeps of what was said, against a scripted server on a real socket."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import pytest

from offhook.dialects.choose import HEADER
from offhook.errors import SetupError
from offhook.node import BargeIn, Call, LLMNode
from offhook.node.platforms import PLATFORMS
from tests.node.handclock import HandClock
from tests.node.scripted import DONE, SSE, Asked, ScriptedServer, chunk, plain, response

STOP = chunk(finish="stop")
HELLO = plain(chunk("Hello there."), STOP, DONE)
HTTP = [name for name, platform in PLATFORMS.items() if platform.socket is None]

Facts = dict[str, Any]
FACTS: Facts = {"instance_id": "c-1", "caller": "138", "callee": "139", "user_data": {"name": "李", "vip": True}}


async def played(platform: str, *lines: str, script: list[Any] | None = None, **options: Any) -> list[Asked]:
    """Play the lines and give the questions that were asked."""
    async with (
        ScriptedServer(script or HELLO) as server,
        LLMNode("abc", "k", server.base_url, platform=platform) as node,
    ):
        call = Call(node, pace=False, **{"early": False, **FACTS, **options})
        for line in lines:
            await call.say(line)
    return [asked for asked in server.asked if asked.method == "POST"]


OWN = {"x-call-id": "c-1", "x-caller": "138", "x-callee": "139"}
DATA = '{"name":"李","vip":true}'
# For each platform the fields and headers that carry what is known of the call.
SENT: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "alibaba_ims": (
        {
            "extendData": {
                "instanceId": "c-1",
                "channelId": "r",
                "sentenceId": 1,
                "callerNumber": "138",
                "calleeNumber": "139",
                "userData": DATA,
            }
        },
        {},
    ),
    "trtc": (
        {"MetaInfo": FACTS["user_data"]},
        {"x-task-id": "c-1", "x-request-id": "c-1-1", "x-room-id": "r", "x-room-id-type": "1"},
    ),
    "agora": ({"turn_id": 0, "interruptable": True}, {**OWN, "x-user-data": DATA}),
    "volcengine": ({"custom": FACTS["user_data"], "round_id": 1, "maxTokens": 1024}, OWN),
    "vapi": (
        {
            "call": {"id": "c-1", "type": "inboundPhoneCall"},
            "customer": {"number": "138"},
            "phoneNumber": {"number": "139"},
            "metadata": FACTS["user_data"],
        },
        {},
    ),
    "elevenlabs": ({"elevenlabs_extra_body": FACTS["user_data"]}, OWN),
    "livekit": (
        {"metadata": {"name": "李", "vip": "true"}, "stream_options": {"include_usage": True}},
        {"x-livekit-room-id": "c-1", "x-livekit-job-id": "AJ_c-1", "x-caller": "138"},
    ),
    "pipecat": ({"stream_options": {"include_usage": True}, "tool_choice": "auto"}, {**OWN, "x-user-data": DATA}),
    "deepgram": ({}, {**OWN, "x-user-data": DATA}),
    "assemblyai": ({}, {}),
    "bolna": ({}, {}),
    "zego": ({}, {}),
    "plain": ({}, {}),
}


@pytest.mark.parametrize("platform", HTTP)
async def test_what_is_known_of_the_call_stands_where_the_platform_puts_it(platform: str) -> None:
    """Each platform's question has the ids, numbers and data in that platform's fields and headers."""
    fields, headers = SENT[platform]
    (asked,) = await played(platform, "hi", channel_id="r")
    assert asked.headers["authorization"] == "Bearer k"
    assert (asked.body["model"], asked.body["stream"]) == ("abc", True)
    assert asked.body["messages"][-1]["content"] == "hi"
    assert fields.items() <= asked.body.items()
    assert headers.items() <= asked.headers.items()


@pytest.mark.parametrize("platform", HTTP)
async def test_a_platform_that_nothing_tells_is_named(platform: str) -> None:
    """Where no field is a platform's own a header names it, unless the path of the address does; plain has no name."""
    named = platform in ("assemblyai", "bolna", "deepgram", "pipecat", "zego")
    (asked,) = await played(platform, "hi")
    assert asked.headers.get(HEADER) == (platform if named else None)
    async with (
        ScriptedServer(HELLO) as server,
        LLMNode("abc", "k", f"{server.base_url}/{platform}/v1", platform=platform) as node,
    ):
        await Call(node, pace=False, early=False).say("hi")
    assert all(HEADER not in asked.headers for asked in server.asked)


@pytest.mark.parametrize("platform", HTTP)
async def test_what_a_platform_does_not_send_is_nowhere(platform: str) -> None:
    """What a platform has no field for is in no part of its question, and what it has one for is in some."""
    secrets: Facts = {"instance_id": "c-47-11", "caller": "1380013", "callee": "1390013", "user_data": "userdatum"}
    (asked,) = await played(platform, "hi", **secrets)
    whole = asked.raw.decode() + asked.target + str(asked.headers)
    named = {"instance_id": "c-47-11", "caller_number": "1380013", "callee_number": "1390013", "user_data": "userdatum"}
    assert {name for name, value in named.items() if value in whole} == set(PLATFORMS[platform].sends)


@pytest.mark.parametrize(
    ("platform", "kept"),
    [("trtc", 1), ("agora", 32), ("alibaba_ims", 20), ("volcengine", 21), ("vapi", 41), ("plain", 41)],
)
async def test_the_history_is_as_long_as_the_platform_keeps_it(platform: str, kept: int) -> None:
    """Of a long call each platform sends as many messages as it keeps, the newest last."""
    asked = await played(platform, *map(str, range(21)))
    messages = asked[-1].body["messages"]
    assert len(messages) == kept
    assert messages[-1]["content"] == "20"


@pytest.mark.parametrize("platform", HTTP)
async def test_a_plain_reply_is_heard_by_every_platform(platform: str) -> None:
    """A server that knows nothing of any platform is understood by all of them, and no order is found in its words."""
    words = "Press 1 < 2, or say <b>bye</b> [smile]."
    script = plain(*(chunk(letter) for letter in words), DONE)
    async with ScriptedServer(script) as server, LLMNode("m", "k", server.base_url, platform=platform) as node:
        call = Call(node, pace=False, early=False)
        turn = await call.say("hi")
    answer = turn.answer
    assert (turn.text, turn.heard, answer.error, answer.done) == (words, words, None, True)
    assert (answer.hangup, answer.transfer, answer.protected, answer.to_app, call.ended) == (
        False,
        None,
        False,
        (),
        None,
    )


@pytest.mark.parametrize("platform", HTTP)
async def test_a_prompt_stays_first(platform: str) -> None:
    """A system prompt is the first message of every question, also where no history is sent."""
    asked = await played(platform, "a", "b", system="Be brief.")
    assert [one.body["messages"][0]["content"] for one in asked] == ["Be brief."] * 2


async def test_agora_tells_what_the_caller_cut_off() -> None:
    """Agora's history has what was spoken of a reply that was cut off, and beside it the whole of it."""
    async with (
        ScriptedServer([SSE, chunk("One two three four.")], hold=1) as server,
        LLMNode("m", "k", server.base_url, platform="agora") as node,
    ):
        call = Call(node, pace=False, greeting="Hello.")
        await call.say("count", barge_in=BargeIn(characters=7))
        await call.say("stop", barge_in=BargeIn(characters=3))
    greeting, count, cut, stop = server.asked[1].body["messages"]
    assert [one["metadata"]["source"] for one in (greeting, count, cut, stop)] == ["greeting", "asr", "llm", "asr"]
    assert [one["turn_id"] for one in (greeting, count, cut, stop)] == [0, 0, 0, 1]
    assert cut["content"] == "One two"
    assert cut["metadata"]["interrupted"] is True
    assert cut["metadata"]["original"] == "One two three four."


@pytest.mark.parametrize("platform", ["livekit", "pipecat"])
async def test_frameworks_keep_what_was_heard(platform: str) -> None:
    """A framework's history ends where the caller cut in, without any mark."""
    async with (
        ScriptedServer([SSE, chunk("One two three.")], hold=True) as server,
        LLMNode(
            "m", "k", server.base_url, platform=msgspec.structs.replace(PLATFORMS[platform], prewarm=False)
        ) as node,
    ):
        call = Call(node, pace=False, early=False)
        await call.say("count", barge_in=BargeIn(characters=7))
    assert call.history[-1] == {"role": "assistant", "content": "One two"}


async def test_livekit_lists_the_models_and_asks_early() -> None:
    """LiveKit lists the models once, and asks about the words before it asks about the whole utterance."""
    models = response("404 Not Found", b"")
    async with (
        ScriptedServer(models, HELLO) as server,
        LLMNode("m", "k", server.base_url, platform="livekit") as node,
    ):
        call = Call(node, pace=False)
        await call.say("What time is it?")
        await call.say("Bye!")
    said = [asked.body["messages"][-1]["content"] for asked in server.asked if asked.method == "POST"]
    assert [asked.method for asked in server.asked].count("GET") == 1
    assert said == ["What time is it", "What time is it?", "Bye", "Bye!"]
    assert [message["role"] for message in call.history] == ["user", "assistant"] * 2


async def test_volcengine_asks_about_growing_words_at_the_same_time() -> None:
    """With Prefill the earlier questions stay open while the last one is answered, and are left then."""
    waiting = [SSE]
    async with (
        ScriptedServer(waiting, waiting, HELLO, hold=2) as server,
        LLMNode("m", "k", server.base_url, platform="volcengine") as node,
    ):
        turn = await Call(node, pace=False, early=True).say("从一数到三百吧")
        await server.left.wait()
    assert [asked.body["messages"][-1]["content"] for asked in server.asked] == [
        "从一数",
        "从一数到三",
        "从一数到三百吧",
    ]
    assert {asked.body["round_id"] for asked in server.asked} == {1}
    assert turn.text == "Hello there."


async def test_a_barge_in_may_leave_the_connection_open() -> None:
    """Where the connection is left open it ends only after the next question, and the first turn was cut off."""
    async with (
        ScriptedServer([SSE, chunk("One two three.")], HELLO, hold=1) as server,
        LLMNode("m", "k", server.base_url) as node,
    ):
        call = Call(node, pace=False, barge_in="open")
        first = await call.say("count", barge_in=BargeIn(characters=3))
        assert not server.left.is_set()
        second = await call.say("stop")
        await server.left.wait()
    assert (first.interrupted, first.heard, first.answer.interrupted) == (True, "One", False)
    assert (second.text, server.connections) == ("Hello there.", 2)


@pytest.mark.parametrize("end", ["caller", "agent"])
async def test_what_was_left_open_ends_with_the_call(end: str) -> None:
    """A connection that a barge-in left open is closed when the call ends, whoever ends it."""
    bye = plain(chunk('<imsagent_hangup endword="Bye."/>'), STOP, DONE)
    async with (
        ScriptedServer([SSE, chunk("One two three.")], bye, hold=1) as server,
        LLMNode("m", "k", server.base_url) as node,
    ):
        call = Call(node, pace=False, barge_in="open")
        await call.say("count", barge_in=BargeIn(characters=3))
        if end == "caller":
            call.hang_up()
        else:
            await call.say("bye")
        await server.left.wait()
        assert call.ended == end


async def test_a_protected_reply_is_not_cut_off() -> None:
    """Neither characters, nor a moment, nor the caller cut in on a protected reply; hanging up does."""
    protected = [SSE, chunk("<No Interrupting>One "), chunk("two.")]
    moment = asyncio.Event()
    cuts: list[bool] = []

    def cut(piece: str) -> None:
        moment.set()
        cuts.append(call.barge_in())

    async with (
        ScriptedServer([*protected, 20, STOP, DONE], protected, hold=True) as server,
        LLMNode("m", "k", server.base_url, clock=HandClock(moment)) as node,
    ):
        call = Call(node, pace=False)
        whole = await call.say("a", on_piece=cut, barge_in=BargeIn(seconds=1, characters=2))
        left = await call.say("b", on_piece=lambda piece: call.hang_up() if piece == "two." else None)
    assert (whole.text, whole.interrupted, whole.answer.protected) == ("One two.", False, True)
    assert cuts == [False, False]
    assert (left.interrupted, call.ended) == (True, "caller")


@pytest.mark.parametrize("platform", ["deepgram", "trtc", "zego"])
async def test_a_whole_address_is_used_as_it_is(platform: str) -> None:
    """A platform that is given the whole address asks there, with its query."""
    async with ScriptedServer(HELLO) as server:
        url = f"{server.base_url}/chat/completions?a=1"
        async with LLMNode("m", "k", url, platform=platform) as node:
            await Call(node, pace=False).say("hi")
    assert server.asked[0].target == "/v1/chat/completions?a=1"


async def test_vapi_appends_to_whatever_it_is_given() -> None:
    """Vapi appends its path also to an address that has it already."""
    async with (
        ScriptedServer(HELLO) as server,
        LLMNode("m", "k", f"{server.base_url}/chat/completions", platform="vapi") as node,
    ):
        await Call(node, pace=False).say("hi")
    assert server.asked[0].target == "/v1/chat/completions/chat/completions"


def test_an_unknown_platform_is_told_with_the_known_ones() -> None:
    """A name that is no platform's is an error that lists all names."""
    with pytest.raises(
        SetupError, match=re.escape("There is no platform 'nobody'; there are: " + ", ".join(PLATFORMS))
    ):
        LLMNode("m", "k", "http://h/v1", platform="nobody")


@pytest.mark.parametrize(
    ("platform", "facts", "header", "sent"),
    [
        ("pipecat", {"user_data": '{\n "a": 1\r\n}'}, "x-user-data", '{ "a": 1 }'),
        ("trtc", {"instance_id": "a\r\nX-Evil: 1\x00"}, "x-task-id", "a X-Evil: 1"),
        ("livekit", {"caller": "\udcff1"}, "x-caller", "?1"),
    ],
)
async def test_a_header_is_one_line(platform: str, facts: Facts, header: str, sent: str) -> None:
    """What a header cannot hold becomes a space, and never a header of its own."""
    (asked,) = await played(platform, "hi", **facts)
    assert asked.headers[header] == sent
    assert "x-evil" not in asked.headers


async def test_extra_fields_and_parameters_go_with_any_platform() -> None:
    """What is asked for beside the platform's own fields stands beside them."""
    async with (
        ScriptedServer(HELLO) as server,
        LLMNode("m", "k", server.base_url, platform="vapi") as node,
        node.ask([{"role": "user", "content": "x"}], extra={"seed": 1}, query=[("q", "2")]) as answer,
    ):
        assert [piece async for piece in answer] == ["Hello there."]
    assert (server.asked[0].body["seed"], server.asked[0].target) == (1, "/v1/chat/completions?q=2")
    assert "tools" in server.asked[0].body
