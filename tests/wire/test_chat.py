"""Requests: what is accepted, how it is read, and how the rest is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import BadField, BadJson
from offhook.wire.chat import decode_request, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.wire.chat import ChatRequest

USER: dict[str, Any] = {"role": "user", "content": "明天天氣晴怎麼樣?"}
# The sample values of the vendor's page, written as JSON.
PAGE: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "今天天氣怎麼樣?"},
        {"role": "assistant", "content": "今天天氣晴朗。"},
        USER,
    ],
    "model": "abc",
    "stream": True,
    "extendData": {
        "instanceId": "68e00b6640e*****3e943332fee7",
        "channelId": "123",
        "sentenceId": "3",
        "userData": '{"aaaa":"bbbb"}',
    },
}
# The same as the page prints it: Python literals, one of them without its first quote.
PAGE_LITERAL = """{'messages': [{'role': 'user', 'content': '今天天氣怎麼樣?'},
{'role': 'assistant', 'content': '今天天氣晴朗。'}],
'model': 'abc', 'stream': True,
'extendData':
{'instanceId':'68e00b6640e*****3e943332fee7','channelId':'123','sentenceId':'3',userData':'{"aaaa":"bbbb"}'}}"""


def decode(**fields: Any) -> ChatRequest:
    return decode_request(json.dumps({"messages": [USER], "model": "abc", **fields}).encode())


def refused(body: bytes | dict[str, Any]) -> BadField:
    with pytest.raises(BadField) as caught:
        decode_request(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


@pytest.mark.parametrize("sentence_id", ["3", 3])
def test_the_values_of_the_page(sentence_id: object) -> None:
    """The page's sample values, written as JSON, are a request, and ``extendData`` is kept as it came."""
    body = {**PAGE, "extendData": {**PAGE["extendData"], "sentenceId": sentence_id}}
    request = decode_request(json.dumps(body).encode())
    assert (request.model, request.stream, len(request.messages)) == ("abc", True, 3)
    assert request.messages[-1].content == USER["content"]
    assert request.body == body


@pytest.mark.parametrize("role", ["plugin", "function", "developer", "tool", "system", "", "某"])
def test_any_role_is_kept(role: str) -> None:
    """A role that nobody knows is kept as it came."""
    assert decode(messages=[{"role": role, "content": "x"}]).messages[0].role == role


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({}, ""),
        ({"content": None}, ""),
        ({"content": ""}, ""),
        ({"content": []}, ""),
        ({"content": "words"}, "words"),
        ({"content": [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AA=="}}]}, ""),
        (
            {
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:,"}},
                    {"type": "text", "text": "what "},
                    {"type": "text", "text": "is this?"},
                ]
            },
            "what is this?",
        ),
        ({"content": ["bare ", "strings"]}, "bare strings"),
        ({"content": [None, 3, {"type": "text", "text": None}, {"type": "text"}, {"text": 3}]}, ""),
    ],
)
def test_content_in_every_form(message: dict[str, Any], text: str) -> None:
    """Content may be a string, null, missing, or a list of parts, whose texts are joined."""
    request = decode(messages=[{"role": "user", **message}])
    assert text_of(request.messages[0].content) == text
    assert request.body["messages"] == [{"role": "user", **message}]


def test_unknown_fields_are_kept() -> None:
    """Fields that OpenAI does not define, at any depth, never fail and stay in the body."""
    fields = {
        "extendData": {"userData": "not JSON", "more": [1]},
        "(body)": 5,
        "body": "x",
        "messages": [{"role": "user", "content": "x", "turn_id": 4, "metadata": {"a": None}}],
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "maxTokens": 7,
    }
    assert decode(**fields).body == {"model": "abc", **fields}


@pytest.mark.parametrize("user_data", ["", "{", '{"a":"b"}', "3", "null", "it's", "\u2028", {"a": 1}, None, 3, [[]]])
def test_any_user_data_is_kept(user_data: object) -> None:
    """``userData`` may be any string, or anything else."""
    assert decode(extendData={"userData": user_data}).body["extendData"]["userData"] == user_data


@pytest.mark.parametrize(("fields", "stream"), [({}, False), ({"stream": None}, False), ({"stream": True}, True)])
def test_a_missing_stream_means_false(fields: dict[str, Any], stream: bool) -> None:
    """``stream`` missing, or null, means a whole completion."""
    assert bool(decode(**fields).stream) is stream


@pytest.mark.parametrize(
    ("options", "asked"),
    [(None, False), ({}, False), ({"include_usage": None}, False), ({"include_usage": True}, True)],
)
def test_usage_is_asked_by_stream_options(options: object, asked: bool) -> None:
    """Only ``stream_options.include_usage`` asks for the usage chunk."""
    assert decode(stream_options=options).include_usage is asked
    assert decode().include_usage is False


def test_null_means_missing() -> None:
    """Every optional field may be null, as other clients send it."""
    names = ["stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed"]
    names += ["presence_penalty", "frequency_penalty", "tools"]
    request = decode(**dict.fromkeys(names))
    assert [getattr(request, name) for name in names] == [None] * len(names)


def test_sampling_parameters_are_read() -> None:
    """Numbers without a fraction are numbers too, and ``stop`` may be one string or several."""
    request = decode(temperature=1, top_p=0.5, max_tokens=7, stop=["a", "b"], seed=-(1 << 70), tools=[{"x": 1}])
    assert (request.temperature, request.top_p, request.max_tokens) == (1.0, 0.5, 7)
    assert (request.stop, request.seed, request.tools) == (["a", "b"], -(1 << 70), [{"x": 1}])


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "abc"}, "messages"),
        ({"messages": [USER]}, "model"),
        ({"messages": [], "model": "abc"}, "messages"),
        ({"messages": None, "model": "abc"}, "messages"),
        ({"messages": "hello", "model": "abc"}, "messages"),
        ({"messages": {"0": USER}, "model": "abc"}, "messages"),
        ({"messages": [USER], "model": None}, "model"),
        ({"messages": [USER], "model": 3}, "model"),
        ({"messages": [USER, "hello"], "model": "abc"}, "messages[1]"),
        ({"messages": [{"content": "x"}], "model": "abc"}, "messages[0].role"),
        ({"messages": [USER, {"role": 3}], "model": "abc"}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": 3}], "model": "abc"}, "messages[0].content"),
        ({"messages": [USER], "model": "abc", "stream": "true"}, "stream"),
        ({"messages": [USER], "model": "abc", "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"messages": [USER], "model": "abc", "temperature": "hot"}, "temperature"),
        ({"messages": [USER], "model": "abc", "tools": {}}, "tools"),
        ({"messages": [USER], "model": "abc", "tools": [3]}, "tools[0]"),
        ({"messages": [USER], "model": "abc", "stop": ["a", 3]}, "stop[1]"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    """A field that is missing or has the wrong type is named by its path, in the message too."""
    error = refused(body)
    assert error.param == param
    assert f"'{param}'" in error.message
    assert "$" not in error.message
    assert error.status == 400


@pytest.mark.parametrize("body", [b"[]", b"3", b"null", b'"text"', b'[{"messages": []}]'])
def test_a_body_that_is_no_object(body: bytes) -> None:
    """JSON that is no object is refused as such."""
    assert "JSON object" in refused(body).message


def why_not_json(body: bytes) -> str:
    with pytest.raises(BadJson) as caught:
        decode_request(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")
    return caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        PAGE_LITERAL,
        PAGE_LITERAL.replace("userData'", "'userData'"),
        str(PAGE),
        "  \r\n\t" + str(PAGE),
        "{ \n  'messages' : [] }",
        "{\"messages\": [\n\n 'x']}",
        '{"stream":True}',
        '{"stream":\n  False }',
        '{"a": [1, None]}',
        '{"a": None',
        "[\n'x']",
        '{"content": "it\'s", \'model\': 1}',
        str({"content": "it's", "model": 'say "x"'}),
    ],
)
def test_a_python_literal_is_recognised(body: str) -> None:
    """A Python literal, as the page prints its examples, is refused with words that say so."""
    message = why_not_json(body.encode())
    assert "Python literal" in message
    assert "json.dumps" in message


def test_the_page_itself_is_recognised(shared: Path) -> None:
    """The sample values are refused with those words when they are taken from the page as it is."""
    page = (shared / "seed" / "llm-standard-interface.txt").read_text("utf-8")
    samples = [line for line in page.splitlines() if line.startswith(("[{'role'", "{'instanceId'"))]
    assert len(samples) == 2
    for sample in samples:
        assert "Python literal" in why_not_json(sample.encode())


@pytest.mark.parametrize(
    "body",
    [
        '{"messages": [{"role": "user", "content": "He said: \'hi\', [\'x\'] {\'y\': True, None}"}],}',
        '{"content": "it\'s", "model": "abc",}',
        '{"a": ["it\'s: \'x\'" "y"]}',
        '{"a": "True", "b": : None}',
        '{"a": Nonesuch}',
        '{"a": Truely}',
        '{"a": true',
        '{"a": nil}',
        "{model: 'abc'}",
        '{"a": "\'',
        "not JSON, 'at all': True",
        "model=abc&x=['a']",
        '{"a": 1e999}',
        '{"a": "\\x"}',
    ],
)
def test_other_broken_json_is_no_python_literal(body: str) -> None:
    """Broken JSON is not called a Python literal for the apostrophes and words inside its strings."""
    message = why_not_json(body.encode())
    assert "Python" not in message
    assert message.startswith("The body is not valid JSON: ")


@pytest.mark.parametrize("body", [b"", b" \r\n\t"])
def test_an_empty_body(body: bytes) -> None:
    """An empty body is called empty."""
    assert "empty" in why_not_json(body)


@pytest.mark.parametrize("body", [b'{"a": "\xff"}', b"\xff\xfe{\x00}\x00", "{'a': '你好'}".encode("gbk")])
def test_bytes_that_are_no_utf8(body: bytes) -> None:
    """Bytes in another encoding are bad JSON and nothing worse."""
    why_not_json(body)


@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_deep_nesting_does_not_crash(deep: bytes) -> None:
    """A body nested without end is refused, also inside a field that is only kept."""
    assert "deep" in why_not_json(deep)
    assert "deep" in why_not_json(b'{"messages": [], "model": "m", "extendData": %b' % deep)


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_politely(body: bytes) -> None:
    """Whatever comes, the answer is a request or one of the two errors."""
    try:
        decode_request(body)
    except (BadJson, BadField) as error:
        assert error.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["messages", "model", "stream", "stream_options", "tools", "stop", "extendData", "(body)", "seed"]
)


@given(st.dictionaries(FIELDS | st.text(), JSON, max_size=6))
def test_any_object_is_answered_politely(body: dict[str, Any]) -> None:
    """Any JSON object is a request or is refused with a message."""
    try:
        decode_request(json.dumps(body).encode())
    except (BadField, BadJson) as error:
        assert error.message


@given(JSON)
def test_any_extend_data_is_kept(value: object) -> None:
    """Any JSON value in an unknown field is kept as it is."""
    raw = json.dumps({"messages": [USER], "model": "m", "x": value}, ensure_ascii=False).encode()
    assert decode_request(raw).body["x"] == value
