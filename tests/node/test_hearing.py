"""What a platform speaks of a reply, and what it obeys instead."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.node import AnswerRecord, LLMNode
from offhook.node.hearing import Hearing
from offhook.node.platforms import PLATFORMS
from tests.node.scripted import DONE, ScriptedServer, chunk, event, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

ASK = [{"role": "user", "content": "x"}]
STOP = chunk(finish="stop")


async def heard(platform: str, *events: bytes, **options: Any) -> AnswerRecord:
    """Give the record of a reply of these events."""
    async with (
        ScriptedServer(plain(*events, STOP, DONE)) as server,
        LLMNode("m", "k", server.base_url, platform=platform, **options) as node,
        node.ask(ASK) as answer,
    ):
        pieces = [piece async for piece in answer]
    assert "".join(pieces) == answer.result.text
    assert answer.result.error is None
    return answer.result


def call(name: str, arguments: str = "{}", index: int = 0) -> bytes:
    """Give the event of a whole tool call."""
    function = {"name": name, "arguments": arguments}
    return chunk(tool_calls=[{"index": index, "id": f"c{index}", "type": "function", "function": function}])


TAGS = [
    ('Bye.<imsagent_hangup endword="See you > soon."/>', "Bye.See you > soon.", ("hangup",)),
    ("Bye.<IMSAGENT_HANGUP endword='So long'></imsagent_hangup >", "Bye.So long", ("hangup", "hangup")),
    ("<imsagent_hangup/>", "", ("hangup",)),
    (
        'A<imsagent_transfer_call caller="111", callee="123", err_msg="no", msg="One moment."/>B',
        "AOne moment.B",
        ("transfer",),
    ),
    ("< No\n interrupting > Hi", " Hi", ("protect",)),
    ("Hi <no INTERRUPTING>there", "Hi there", ("protect",)),
    ("1 < 2 <b>bold</b> <imsagent_hang> <noise>", "1 < 2 <b>bold</b> <imsagent_hang> <noise>", ()),
    ("a <imsagent_hangup endword='x", "a <imsagent_hangup endword='x", ()),
    ("<<imsagent_hangup/>", "<", ("hangup",)),
    ("<no", "<no", ()),
]


@pytest.mark.parametrize(("text", "spoken", "kinds"), TAGS)
@given(cuts=st.lists(st.integers(0, 90), max_size=8))
def test_tags_are_obeyed_and_not_spoken_however_they_are_cut(
    text: str, spoken: str, kinds: Sequence[str], cuts: list[int]
) -> None:
    """What is spoken and what is ordered do not depend on where a text is cut."""
    hearing = Hearing(PLATFORMS["alibaba_ims"])
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    said = "".join(hearing.text(text[a:b]) for a, b in itertools.pairwise(places))
    assert said + hearing.end([]) == spoken
    assert [order.kind for order in hearing.orders] == list(kinds)


def test_no_more_is_held_back_than_may_be_a_tag() -> None:
    """A text waits only from a sign on that may begin a tag of the platform, and not for ever."""
    hearing = Hearing(PLATFORMS["alibaba_ims"])
    assert hearing.text("a <") == "a "
    assert hearing.text("b") == "<b"
    assert hearing.text("<imsagent_hangup ") == ""
    endless = "x" * 3000
    assert hearing.text(endless) == "<imsagent_hangup " + endless
    assert Hearing(PLATFORMS["plain"]).text("<imsagent_hangup/>") == "<imsagent_hangup/>"


async def test_a_tag_transfers_the_call() -> None:
    """The number of a transfer's tag, and what the platform says with it, are in the record."""
    result = await heard("alibaba_ims", chunk('Ok. <imsagent_transfer_call callee="123" msg="Wait."/>'))
    assert (result.transfer, result.text, result.hangup) == ("123", "Ok. Wait.", False)


@pytest.mark.parametrize("flush", ["<flush />", "<flush>", "</flush>", "<FLUSH/>"])
async def test_vapi_is_not_made_to_speak_its_flush(flush: str) -> None:
    """The flush tag is not spoken, in any of its forms."""
    assert (await heard("vapi", chunk(f"One.{flush[:3]}"), chunk(f"{flush[3:]} Two."))).text == "One. Two."


FUNCTIONS = [
    ("alibaba_ims", call("hangup"), True, None, ""),
    ("alibaba_ims", call("transfer", '{"number":"1"}'), False, None, ""),
    ("vapi", call("endCall"), True, None, ""),
    ("vapi", call("hangup"), False, None, ""),
    ("vapi", call("transferCall", '{"destination":"+1"}'), False, "+1", ""),
    ("vapi", call("transferCall", '{"destination":{"type":"number","number":"+1"}}'), False, "+1", ""),
    ("elevenlabs", call("end_call", '{"reason":"r","message":"Bye."}'), True, None, "Bye."),
    (
        "elevenlabs",
        call("transfer_to_number", '{"transfer_number":"+1","client_message":"Wait.","agent_message":"Hi."}'),
        False,
        "+1",
        "Wait.",
    ),
    ("elevenlabs", call("transfer_to_agent", '{"agent_number":0}'), False, "0", ""),
    ("livekit", call("transfer", '{"number":"+1"}'), False, "+1", ""),
    ("pipecat", call("hangup", "{broken"), True, None, ""),
    ("plain", call("hangup", ""), True, None, ""),
    ("trtc", call("hangup"), False, None, ""),
    ("volcengine", call("hangup"), False, None, ""),
]


@pytest.mark.parametrize(("platform", "ordered", "hangup", "transfer", "words"), FUNCTIONS)
async def test_the_functions_of_the_platform_end_the_call(
    platform: str, ordered: bytes, hangup: bool, transfer: str | None, words: str
) -> None:
    """Only the functions that the platform itself runs end the call, and what they make it say is spoken last."""
    result = await heard(platform, chunk("Well. "), ordered)
    assert (result.hangup, result.transfer, result.text) == (hangup, transfer, "Well. " + words)
    assert len(result.tool_calls) == 1


async def test_a_repeated_function_is_obeyed_once() -> None:
    """A function that is called again and again is obeyed once."""
    again = [call("end_call", '{"message":"Bye."}', index) for index in range(3)]
    result = await heard("elevenlabs", *again)
    assert (result.hangup, result.text) == (True, "Bye.")


async def test_the_node_may_know_another_hangup_function() -> None:
    """The function that a person has named ends the call, and the platform's usual one no more."""
    assert (await heard("vapi", call("bye"), hangup_function="bye")).hangup
    assert not (await heard("vapi", call("endCall"), hangup_function="bye")).hangup


async def test_trtc_hands_chunks_to_the_app() -> None:
    """A chunk of the type meta.info goes to the app, is not spoken, and counts as a sign of life."""
    meta = event({"id": "1", "type": "meta.info", "created": 1, "metainfo": {"page": 2}})
    result = await heard("trtc", meta, chunk("Look."), meta)
    assert (result.text, result.to_app) == ("Look.", ({"page": 2}, {"page": 2}))
    assert (await heard("vapi", meta)).to_app == ()


async def test_agora_takes_its_chunk_only_as_the_first() -> None:
    """The chunk that protects a reply counts as the very first one and at no other place."""
    custom = event({"object": "chat.completion.custom_metadata", "choices": [], "metadata": {"interruptable": False}})
    assert (await heard("agora", custom, chunk("a"))).protected
    assert not (await heard("agora", chunk("", role="assistant"), custom, chunk("a"))).protected
    assert not (await heard("plain", custom, chunk("a"))).protected
