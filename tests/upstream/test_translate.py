"""What a model service streams becomes a turn's events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offhook.errors import UpstreamBroken
from offhook.events import Finish, Text, ToolCall, Usage
from offhook.upstream.translate import Translator
from offhook.wire.sse import ServerEvent

DONE = ServerEvent(b"[DONE]")


def chunk(delta: Any, finish: str | None = None, **more: Any) -> ServerEvent:
    """Give the event of one chunk."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return ServerEvent(json.dumps({"choices": choices, **more}).encode())


def test_words_come_at_once_and_the_finish_at_the_end() -> None:
    """Text is given by the read that brought it, usage and finish by the end of the stream."""
    translator = Translator()
    assert translator.feed([chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"})]) == [Text("Hi")]
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    last = ServerEvent(json.dumps({"choices": [], "usage": usage}).encode())
    assert translator.feed([chunk({}, "stop"), last, DONE]) == []
    assert translator.done
    assert translator.flush() == [Usage(3, 2), Finish("stop")]


def test_reasoning_is_not_said() -> None:
    """Reasoning, under either name, gives no event."""
    translator = Translator()
    assert translator.feed([chunk({"reasoning_content": "hm"}), chunk({"reasoning": "hm"})]) == []


CALL = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
NOTHING: dict[str, list[ServerEvent]] = {
    "a role": [chunk({"role": "assistant", "content": ""})],
    "reasoning": [chunk({"reasoning_content": "Well, hm."})],
    "a thought": [chunk({"content": "<think>Well,"}), chunk({"content": " hm.</think>"})],
    "white space": [chunk({"content": " "}), chunk({"content": "\n"})],
    "marks": [chunk({"content": "..."})],
    "usage": [chunk({}, usage={"prompt_tokens": 1, "completion_tokens": 1})],
    "a null delta": [chunk(None)],
    "half a call": [chunk({"tool_calls": [CALL]})],
    "a call of nothing": [chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, "tool_calls")],
}


@pytest.mark.parametrize("events", NOTHING.values(), ids=NOTHING)
def test_what_nobody_can_hear_is_not_useful(events: list[ServerEvent]) -> None:
    """None of it answers a caller, and an answer of nothing else has failed, unless it was whole calls after all."""
    translator = Translator()
    translator.feed(events)
    assert not translator.useful
    if events is NOTHING["half a call"]:
        assert translator.feed([DONE]) == []
        assert translator.useful
    else:
        translator.feed([chunk({}, "stop"), DONE])
        with pytest.raises(UpstreamBroken, match="no words"):
            translator.flush()


@pytest.mark.parametrize(
    ("delta", "useful", "moved"),
    [
        ({"content": "Hi"}, True, 1),
        ({"content": " "}, False, 0),
        ({"content": "</think>"}, False, 0),
        ({"content": "5"}, True, 1),
        ({"refusal": "No."}, True, 1),
        ({"reasoning": "Hm."}, False, 0),
        ({"tool_calls": [CALL]}, False, 1),
    ],
)
def test_words_and_calls_bring_an_answer_on(delta: dict[str, Any], useful: bool, moved: int) -> None:
    """Each event that holds some is counted; the same again counts again, a whole call that is repeated does not."""
    translator = Translator()
    translator.feed([chunk(delta)])
    assert (translator.useful, translator.moved) == (useful, moved)
    translator.feed([chunk(delta)])
    assert translator.moved == (1 if "tool_calls" in delta else 2 * moved)


@pytest.mark.parametrize("end", [chunk({}, "stop"), DONE, ServerEvent(b"{")])
def test_the_end_is_known_before_the_usage(end: ServerEvent) -> None:
    """A finish chunk, [DONE] or a failure tell that nothing more of the answer comes."""
    translator = Translator()
    translator.feed([chunk({"content": "Hi"})])
    assert not translator.finished
    translator.feed([end])
    assert translator.finished


def test_an_answer_that_was_filtered_may_be_empty() -> None:
    """What a service held back is no failure of the service: asked again it would do the same."""
    translator = Translator()
    translator.feed([chunk({}, "content_filter"), DONE])
    assert translator.flush() == [Finish("content_filter")]


def test_an_answer_may_begin_inside_its_reasoning() -> None:
    """With ``thinks_first`` only what stands behind the closing tag is said."""
    translator = Translator(thinks_first=True)
    assert translator.feed([chunk({"content": "Hm."})]) == []
    assert translator.feed([chunk({"content": " </think>\n\nHi"})]) == [Text("Hi")]


def test_what_was_held_back_is_given_at_the_end() -> None:
    """The beginning of what might have been a tag is words after all."""
    translator = Translator()
    assert translator.feed([chunk({"content": "1 <"})]) == [Text("1 ")]
    translator.feed([chunk({}, "stop"), DONE])
    assert translator.flush() == [Text("<"), Finish("stop")]


def test_tokens_are_estimated_where_nobody_counts() -> None:
    """Words, reasoning and tool calls count, since all of them are paid for."""
    translator = Translator()
    assert translator.estimated() == 0
    translator.feed([chunk({"content": "12345678"})])
    assert translator.estimated() == 2
    translator.feed([chunk({"reasoning_content": "1234"}), chunk({"tool_calls": [CALL]})])
    assert translator.estimated() == 2 + 1 + 1


def test_a_refusal_is_said() -> None:
    """A model that declines is heard: the line is not silent."""
    assert Translator().feed([chunk({"refusal": "I cannot do that."})]) == [Text("I cannot do that.")]


def test_calls_are_given_whole_at_the_end() -> None:
    """Fragments of a tool call become one event, and the reply ends with tool_calls."""
    translator = Translator()
    first = {"index": 1, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}
    assert translator.feed([chunk({"tool_calls": [first]})]) == []
    assert translator.feed([chunk({"tool_calls": [{"index": 1, "function": {"arguments": ":1}"}}]}, "stop")]) == []
    assert translator.flush() == [ToolCall("f", '{"x":1}', "a"), Finish("tool_calls")]


def called(arguments: str, name: str = "f", index: int = 0) -> ServerEvent:
    """Give the event of a tool call."""
    return chunk({"tool_calls": [{"index": index, "id": "a", "function": {"name": name, "arguments": arguments}}]})


@pytest.mark.parametrize("arguments", ["", '{"x"', "{}", '{"x":1}'])
@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_call_in_an_answer_that_was_cut_is_not_made(reason: str, arguments: str) -> None:
    """Nobody knows what is missing: the words end for that reason, and without words the service has failed."""
    translator = Translator()
    translator.feed([chunk({"content": "So."}), called(arguments), chunk({}, reason), DONE])
    assert translator.flush() == [Finish(reason)]  # type: ignore[arg-type]  # mypy sees a str, the test the two words
    for spoken in (False, True):
        translator = Translator(spoken=spoken)
        translator.feed([called(arguments), chunk({}, reason), DONE])
        assert not translator.useful
        with pytest.raises(UpstreamBroken):
            translator.flush()


@pytest.mark.parametrize("arguments", ["", '{"x"', "[]", "1", "null", '{"x": NaN', "[" * 100_000])
def test_a_call_without_a_finish_counts_only_when_it_is_whole(arguments: str) -> None:
    """Behind ``[DONE]`` alone arguments that are no JSON object were cut off: such a call is not made."""
    for spoken in (False, True):
        translator = Translator(spoken=spoken)
        translator.feed([called(arguments), DONE])
        assert not translator.useful
        with pytest.raises(UpstreamBroken):
            translator.flush()
    translator = Translator()
    translator.feed([chunk({"content": "So."}), called(arguments), DONE])
    assert translator.flush() == [Finish("stop")]
    translator = Translator()
    translator.feed([called("{}"), called(arguments, "g", 1), DONE])
    assert translator.useful
    assert translator.flush() == [ToolCall("f", "{}", "a"), Finish("tool_calls")]


@pytest.mark.parametrize("reason", ["stop", "tool_calls"])
def test_a_call_of_a_whole_answer_may_have_no_arguments(reason: str) -> None:
    """Behind a proper finish an empty text means none."""
    translator = Translator()
    translator.feed([called(""), chunk({}, reason), DONE])
    assert translator.useful
    assert translator.flush() == [ToolCall("f", "{}", "a"), Finish("tool_calls")]


@pytest.mark.parametrize("events", [[chunk({}, "stop")], [chunk({"reasoning": "Hm."}), chunk({}, "stop")], [DONE]])
def test_an_answer_may_be_empty_where_the_turn_has_spoken(events: list[ServerEvent]) -> None:
    """A model that has said all before its tools ran ends well, and nobody waits for more of it."""
    translator = Translator(spoken=True)
    translator.feed(events)
    assert translator.useful
    translator.feed([DONE])
    assert translator.flush() == [Finish("stop")]


def test_an_empty_answer_that_was_cut_is_none_although_the_turn_has_spoken() -> None:
    """Only a model that stopped by itself had nothing more to say."""
    translator = Translator(spoken=True)
    translator.feed([chunk({}, "length"), DONE])
    with pytest.raises(UpstreamBroken, match="no words"):
        translator.flush()


HANGUP = "<imsagent_hangup/>"


@pytest.mark.parametrize(
    "pieces", [[HANGUP], list(HANGUP), ["<imsagent_say text='", "Hello'", "/>"], ["<imsagent_", "hi"]]
)
def test_a_tag_of_the_platform_is_not_useful(pieces: list[str]) -> None:
    """Nobody hears what the voice chain takes out; it is given all the same, for the chain to take out."""
    translator = Translator(tags=("<imsagent_",))
    given = translator.feed([chunk({"content": piece}) for piece in pieces])
    assert "".join(event.text for event in given if isinstance(event, Text)) == "".join(pieces)
    assert not translator.useful
    assert translator.feed([chunk({"content": "/> Hello"})])
    assert translator.useful


@pytest.mark.parametrize(("words", "useful"), [(HANGUP, False), ("<imsagent_hi", True), ("<5", True)])
def test_the_end_tells_what_was_a_tag(words: str, useful: bool) -> None:
    """What might have become a tag is judged at the end: an answer of nothing but tags has failed."""
    translator = Translator(tags=("<imsagent_", "<5star"))
    translator.feed([chunk({"content": words}), chunk({}, "stop"), DONE])
    assert not translator.useful
    if useful:
        assert translator.flush()[-1] == Finish("stop")
    else:
        with pytest.raises(UpstreamBroken, match="no words"):
            translator.flush()


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_cut_end_is_kept(reason: str) -> None:
    """A reply that the service cut ends for the same reason here."""
    translator = Translator()
    translator.feed([chunk({"content": "a"}, reason)])
    assert translator.flush()[-1] == Finish(reason)  # type: ignore[arg-type]  # mypy sees a str, the test the two words


@pytest.mark.parametrize(
    "broken",
    [
        ServerEvent(b"<html>"),
        ServerEvent(b'{"error": {"message": "overloaded"}}'),
        ServerEvent(b'{"code": 500}', "error"),
        ServerEvent(b'{"choices": [{"delta": {}, "error": {"message": "overloaded"}}]}'),
    ],
    ids=["not json", "error object", "error event", "error inside a choice"],
)
def test_what_came_before_a_failure_is_said_first(broken: ServerEvent) -> None:
    """Words in the same read as a failure are given; the end of the stream raises it."""
    translator = Translator()
    assert translator.feed([chunk({"content": "Hel"}), broken, chunk({"content": "lo"})]) == [Text("Hel")]
    assert translator.done
    with pytest.raises(UpstreamBroken):
        translator.flush()


def test_a_stream_that_just_ends_is_broken() -> None:
    """Without a finish reason and without [DONE] the reply has failed, whatever was said."""
    translator = Translator()
    translator.feed([chunk({"content": "Hel"})])
    with pytest.raises(UpstreamBroken, match="in the middle"):
        translator.flush()
