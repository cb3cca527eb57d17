"""Streams of every shape that services send come out as they were meant; 106 recorded ones, where the corpus is."""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from offhook.errors import UpstreamBroken, WireError
from offhook.events import Finish, Text, ToolCall, Usage
from offhook.speech.think import ThinkShaper
from offhook.upstream.translate import Translator
from offhook.wire.fold import Fold
from offhook.wire.sse import Decoder, ServerEvent

if TYPE_CHECKING:
    from offhook.events import Event

SHARED = Path(os.environ.get("OFFHOOK_SHARED") or Path(__file__).resolve().parents[3] / "shared")
INDEX = SHARED / "corpus" / "sse" / "index.jsonl"
RECORDS: dict[str, dict[str, Any]] = (
    {record["id"]: record for record in map(json.loads, INDEX.read_text("utf-8").splitlines())}
    if INDEX.is_file()
    else {}
)
WAYS = ["whole", "cut", "bytes"]


def pieces(raw: bytes, way: str, seed: str) -> list[bytes]:
    """Cut at places that are the same in every run, some of them one byte apart; or not at all, or everywhere."""
    if way == "whole":
        return [raw]
    if way == "bytes":
        return [bytes([byte]) for byte in raw]
    dice = random.Random(seed)
    places = dice.sample(range(len(raw) + 1), min(len(raw), 400) // 2)
    edges = [0, *sorted(places + [place + 1 for place in places if place < len(raw)]), len(raw)]
    return [raw[start:end] for start, end in itertools.pairwise(edges)]


def decoded(parts: list[bytes]) -> list[ServerEvent]:
    decoder = Decoder()
    return [event for part in parts for event in decoder.feed(part)] + decoder.flush()


def folded(events: list[ServerEvent]) -> tuple[Fold, str | None]:
    """Read the events as a client does; give what came, and the words of the error that ended it."""
    fold = Fold()
    for event in events:
        if event.data == b"[DONE]":
            break
        try:
            fold.feed(event.data)
        except WireError as error:
            return fold, error.message
    return fold, None


def translated(parts: list[bytes]) -> tuple[Translator, list[Event]]:
    """Read a body as events; give the translator, to be flushed, and what it gave before the end."""
    decoder, translator = Decoder(), Translator()
    said = [event for part in parts for event in translator.feed(decoder.feed(part))]
    return translator, said + translator.feed(decoder.flush())


def calls(fold: Fold) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in fold.calls]


def error_of(record: dict[str, Any], raw: bytes) -> str | None:
    """Give the words of the error in a stream. The index passes over one that stands between the events."""
    if record["error"] is not None:
        return str(record["error"].get("error", record["error"])["message"])
    if "error_field_line" not in record["features"]:
        return None
    line = next(line for line in raw.splitlines() if line.startswith(b"error: "))
    return str(json.loads(line[7:])["error"]["message"])


# --- the corpus ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", RECORDS or ["absent"])
def test_a_recorded_stream(name: str, way: str, shared: Path) -> None:
    """A recorded stream gives what an independent reader found in it, whole and cut."""
    record = RECORDS[name]
    raw = (shared / "corpus" / "sse" / record["file"]).read_bytes()
    fold, error = folded(decoded(pieces(raw, way, name)))
    expected = record["expected"]
    assert fold.text == expected["text"]
    assert fold.reasoning == expected["reasoning"]
    assert fold.refusal == expected["refusal"]
    assert fold.finish_reason == expected["finish_reason"]
    assert calls(fold) == [(call["id"], call["name"], call["arguments"]) for call in expected["tool_calls"]]
    assert error == error_of(record, raw)
    if error is None:
        assert fold.usage == record["usage"]


@pytest.mark.parametrize("name", RECORDS or ["absent"])
def test_a_recorded_stream_as_events(name: str, shared: Path) -> None:
    """A recorded stream becomes the events that its index says, or breaks where it has an error, no end or no words."""
    record = RECORDS[name]
    raw = (shared / "corpus" / "sse" / record["file"]).read_bytes()
    expected = record["expected"]
    translator, said = translated(pieces(raw, "cut", name))
    shaper = ThinkShaper()
    words = shaper.feed(expected["text"]) + shaper.flush() + expected["refusal"]
    ended = record["done"] or expected["finish_reason"]
    # A call of an answer that was cut is not made: nobody knows what is missing.
    whole = [] if expected["finish_reason"] in ("length", "content_filter") else expected["tool_calls"]
    if error_of(record, raw) is not None or not ended or not (words.strip() or whole):
        assert words.startswith("".join(e.text for e in said if isinstance(e, Text)))
        with pytest.raises(UpstreamBroken):
            translator.flush()
        return
    rest = translator.flush()
    assert "".join(e.text for e in said + rest if isinstance(e, Text)) == words
    assert [(e.id, e.name, e.arguments) for e in rest if isinstance(e, ToolCall)] == [
        (call["id"], call["name"], call["arguments"] or "{}") for call in whole
    ]
    assert any(isinstance(e, Usage) for e in rest) == (record["usage"] is not None)
    assert isinstance(rest[-1], Finish)


def test_reasoning_in_the_text_of_a_recorded_stream(shared: Path) -> None:
    """Reasoning that a service leaves in the text, within tags, is not in what is spoken."""
    names = [name for name, record in RECORDS.items() if "think_tags_in_content" in record["features"]]
    assert names
    for name in names:
        raw = (shared / "corpus" / "sse" / RECORDS[name]["file"]).read_bytes()
        fold, shaper = Fold(), ThinkShaper()
        events = [event for event in decoded([raw]) if event.data != b"[DONE]"]
        spoken = "".join(shaper.feed(fold.feed(event.data).text) for event in events) + shaper.flush()
        assert spoken == fold.text.partition("</think>")[2].lstrip() != ""


def test_the_corpus_is_all_there(shared: Path) -> None:
    """All recorded streams that the index names are read."""
    assert len(RECORDS) == len(list((shared / "corpus" / "sse").glob("*.sse"))) >= 106


# --- one small stream for each shape ------------------------------------------------------------------------------


def said(delta: object, reason: object = None, **more: Any) -> str:
    return line({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more})


def line(value: object) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def part(arguments: object = "", **fields: Any) -> dict[str, Any]:
    """Give the delta of one fragment of a tool call."""
    name = fields.pop("name", None)
    return {
        "tool_calls": [{**fields, "function": {"arguments": arguments} | ({"name": name} if name is not None else {})}]
    }


DONE = "data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
TOLD: list[Event] = [Text("Ye"), Text("s."), Finish("stop")]
CALLED: list[Event] = [ToolCall("look", '{"at":1}', "c1"), Finish("tool_calls")]
YES = said({"content": "Ye"}) + said({"content": "s."})
STOP = said({}, "stop")

SHAPES: dict[str, tuple[str, list[Event]]] = {
    "by the book": (said({"role": "assistant", "content": ""}) + YES + STOP + DONE, TOLD),
    "usage at the end": (YES + STOP + line({"choices": [], "usage": USAGE}) + DONE, [*TOLD[:2], Usage(7, 2), TOLD[2]]),
    "usage on every chunk": (
        said({"content": "Ye"}, usage={**USAGE, "completion_tokens": 1}) + said({"content": "s."}, "stop", usage=USAGE),
        [*TOLD[:2], Usage(7, 2), TOLD[2]],
    ),
    "no [DONE]": (YES + STOP, TOLD),
    "no finish reason": (YES + DONE, TOLD),
    "finish on the last words": (said({"content": "Ye"}) + said({"content": "s."}, "stop") + DONE, TOLD),
    "finish repeated": (YES + STOP + STOP + said({"content": ""}, "stop") + DONE, TOLD),
    "finish before the last words": (said({"content": "Ye"}, "stop") + said({"content": "s."}, "stop") + DONE, TOLD),
    "no choices anywhere": (
        (nothing := line({"choices": [], "prompt_filter_results": []}))
        + said({"content": "Ye"})
        + nothing
        + said({"content": "s."})
        + nothing
        + STOP
        + nothing
        + DONE,
        TOLD,
    ),
    "null and missing deltas": (
        said(None) + line({"choices": [{"index": 0}]}) + line({"choices": None}) + YES + said(None, "stop") + DONE,
        TOLD,
    ),
    "null content and calls": (said({"content": None, "tool_calls": None}) + YES + STOP + DONE, TOLD),
    "comments and blank lines": (": wait\n\n:\n\n\n" + YES.replace("\n\n", "\n: still\n\n\n\n") + STOP + DONE, TOLD),
    "event, id and retry fields": ("retry: 5\nid: 1\nevent: message\n" + YES + "event: ping\n\n" + STOP + DONE, TOLD),
    "CRLF": ((YES + STOP + DONE).replace("\n", "\r\n"), TOLD),
    "CR": ((YES + STOP + DONE).replace("\n", "\r"), TOLD),
    "no space behind the colon": ((YES + STOP + DONE).replace("data: ", "data:"), TOLD),
    "a byte order mark": ("\ufeff" + YES + STOP + DONE, TOLD),
    "reasoning_content": (said({"content": None, "reasoning_content": "hm"}) + YES + STOP + DONE, TOLD),
    "reasoning": (said({"content": "", "reasoning": "hm"}) + YES + STOP + DONE, TOLD),
    "reasoning beside words": (said({"content": "Ye", "reasoning": "hm"}) + said({"content": "s."}, "stop"), TOLD),
    "parts": (
        said({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]})
        + said({"content": [{"type": "text", "text": "Y"}, {"type": "text", "text": "e"}]})
        + said({"content": "s."}, "stop"),
        TOLD,
    ),
    "a refusal": (said({"content": None, "refusal": "Ye"}) + said({"refusal": "s."}, "stop") + DONE, TOLD),
    "another choice": (
        YES + line({"choices": [{"index": 1, "delta": {"content": "No."}, "finish_reason": "length"}]}) + STOP + DONE,
        TOLD,
    ),
    "a line separator inside": (said({"content": "a\u2028b"}) + STOP, [Text("a\u2028b"), Finish("stop")]),
    "cut short": (YES + said({}, "length") + DONE, [*TOLD[:2], Finish("length")]),
    "a call by the book": (
        said(part(index=0, id="c1", type="function", name="look"))
        + said(part('{"at"', index=0))
        + said(part(":1}", index=0))
        + said({}, "tool_calls")
        + DONE,
        CALLED,
    ),
    "a whole call, and stop": (said(part('{"at":1}', index=0, id="c1", name="look")) + STOP + DONE, CALLED),
    "a call without an index": (
        said(part('{"at"', id="c1", name="look")) + said(part(":1}")) + said({}, "tool_calls") + DONE,
        CALLED,
    ),
    "a call with an index from 1": (
        said(part("", index=1, id="c1", name="look")) + said(part('{"at":1}', index=1), "tool_calls") + DONE,
        CALLED,
    ),
    "id and name repeated": (
        said(part('{"at"', index=0, id="c1", name="look")) + said(part(":1}", index=0, id="c1", name="look")) + STOP,
        CALLED,
    ),
    "id and name emptied": (
        said(part('{"at"', index=0, id="c1", name="look")) + said(part(":1}", index=0, id="", name="")) + STOP,
        CALLED,
    ),
    "id and name null": (
        said(part('{"at"', index=0, id="c1", name="look")) + said(part(":1}", index=0, id=None, name=None)) + STOP,
        CALLED,
    ),
    "arguments on the finish chunk": (
        said(part("", index=0, id="c1", name="look")) + said(part('{"at":1}', index=0), "tool_calls") + DONE,
        CALLED,
    ),
    "arguments null, and none ever": (
        said(part(None, index=0, id="c1", name="look")) + said({}, "tool_calls") + DONE,
        [ToolCall("look", "{}", "c1"), Finish("tool_calls")],
    ),
    "words and a call": (
        said({"content": "Ye"}) + said({"content": "s."} | part('{"at":1}', index=0, id="c1", name="look")) + STOP,
        [*TOLD[:2], *CALLED],
    ),
    "two calls": (
        said(part("", index=0, id="c1", name="look"))
        + said(part("", index=1, id="c2", name="look"))
        + said(part('{"at":1}', index=0))
        + said(part('{"at":2}', index=1))
        + STOP
        + DONE,
        [CALLED[0], ToolCall("look", '{"at":2}', "c2"), CALLED[1]],
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_of_the_field(shape: str, way: str) -> None:
    """A stream of each shape gives the events that were meant, whole and cut, and no reasoning among them."""
    text, expected = SHAPES[shape]
    translator, given = translated(pieces(text.encode(), way, shape))
    assert given + translator.flush() == expected


BROKE = {"error": {"message": "It broke.", "type": "server_error", "code": 500}}
# Each of these comes behind the first word.
ERRORS: dict[str, str] = {
    "an error event": f"event: error\n{line(BROKE)}",
    "an error event without a key": f"event: error\n{line({'code': 'busy', 'message': 'It broke.'})}",
    "an error key": line(BROKE),
    "an error key, and [DONE]": line(BROKE) + DONE,
    "an error key that is a text": line({"error": "It broke."}) + DONE,
    "an object that is the error": line({"object": "error", "message": "It broke.", "code": 400}) + DONE,
    "an error in a chunk": said({"content": ""}, "stop", **BROKE) + DONE,
    "an error in a choice": line({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", **BROKE}]}) + DONE,
    "an error line": f"error: {json.dumps(BROKE)}\n\n",
    "an error line and no blank one": f"error: {json.dumps(BROKE)}\n",
    "an error line and no end": f"error: {json.dumps(BROKE)}",
    "a bare line": f"{json.dumps(BROKE)}\n\n",
    "a bare line, and [DONE]": f"{json.dumps(BROKE)}\n{DONE}",
    "a bare line and no end": json.dumps(BROKE),
    "a bare line with CRLF": f"{json.dumps(BROKE)}\r\n",
    "a bare body of many lines": json.dumps(BROKE, indent=2) + "\n",
    "a bare body of many lines and no end": json.dumps(BROKE, indent=2),
    "a bare body of many lines, and [DONE]": json.dumps(BROKE, indent=2) + "\n" + DONE,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", ERRORS)
def test_an_error_of_the_field(shape: str, way: str) -> None:
    """An error of each shape breaks the reply behind its first word, with the service's own words as the cause."""
    translator, given = translated(pieces((said({"content": "Ye"}) + ERRORS[shape]).encode(), way, shape))
    assert given == [Text("Ye")]
    with pytest.raises(UpstreamBroken) as caught:
        translator.flush()
    assert isinstance(caught.value.__cause__, WireError)
    assert caught.value.__cause__.message == "It broke."


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "body", [json.dumps(BROKE), json.dumps(BROKE, indent=1) + "\n"], ids=["one line", "many lines"]
)
def test_a_body_that_is_the_error(body: str, way: str) -> None:
    """An error body where a stream was announced is told as the error that it is."""
    [event] = decoded(pieces(body.encode(), way, body))
    assert (json.loads(event.data), event.type) == (BROKE, "error")
    assert folded([event])[1] == "It broke."


def test_bare_json_ends_with_its_blank_line() -> None:
    """Bare JSON that is cut off by a blank line is an error, and the stream goes on behind it."""
    assert decoded([b'data: 1\n\n{"error":\n "x"\n\ndata: 2\n\n']) == [
        ServerEvent(b"1"),
        ServerEvent(b'{"error":\n "x"', "error"),
        ServerEvent(b"2"),
    ]


@pytest.mark.parametrize("bare", [b'{"error": 1}', b'{"error":\n1'])
@pytest.mark.parametrize("name", [b"data: ", b"data:"])
def test_an_event_behind_bare_json_stays_its_own(bare: bytes, name: bytes) -> None:
    """An event right behind bare JSON comes after it and has no type from it, in one read as in two."""
    expected = [ServerEvent(b"0"), ServerEvent(bare, "error"), ServerEvent(b"2")]
    for parts in ([bare + b"\n" + name + b"2\n\n"], [bare + b"\n", name + b"2\n\n"]):
        assert decoded([b"data: 0\n\n", *parts]) == expected


def test_bare_json_is_bounded() -> None:
    """Bare JSON counts towards the size of an event, on many lines as on one."""
    decoder = Decoder(max_event=100)
    with pytest.raises(WireError, match="larger than 100 bytes"):
        for _ in range(20):
            decoder.feed(b'{"a": [\n')


@pytest.mark.parametrize(
    "text", [YES, said({"content": "Ye"}) + 'data: {"choices": [{"del', ": nothing but a comment\n\n", ""]
)
def test_a_stream_without_an_end(text: str) -> None:
    """A stream that ends before a finish reason or [DONE] is broken, whatever came of it."""
    translator, _ = translated([text.encode()])
    with pytest.raises(UpstreamBroken):
        translator.flush()
