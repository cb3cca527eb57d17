"""What a model service is sent: each field of its entry as it looks on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import live_server
from tests.raw import AUTH, Wire, chat_body
from tests.upstream.paced import call_body, chunk, failover, heard, service, text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.upstream.paced import Asked

MESSAGES = [{"role": "user", "content": "hello"}]


def asked_with(request: dict[str, Any] | None = None, trace: dict[str, str] | None = None, **entry: Any) -> Asked:
    """Give what a service of this entry was asked for a request."""
    with failover(1, each=entry) as (server, [one]), Wire(server.base_url) as wire:
        wire.ask(request or chat_body(), {**AUTH, **(trace or {})})
        asked = one.asked()
        asked.end(text("Hello."))
        assert heard(wire).text == "Hello."
    return asked


def test_a_plain_entry_asks_plainly() -> None:
    """Name and address alone: the request's own model, a stream with usage, no key."""
    asked = asked_with()
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "abc",
        "messages": MESSAGES,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "authorization" not in asked.headers


def test_the_key_is_a_bearer_token() -> None:
    """It goes into ``Authorization``, and the caller's own key nowhere."""
    asked = asked_with(key="secret")
    assert asked.headers["authorization"] == "Bearer secret"
    assert "test-key" not in str(asked.headers)


def test_the_key_may_be_in_a_file(tmp_path: Path) -> None:
    """What the file holds is the token."""
    file = tmp_path / "key"
    file.write_text("from-file\n")
    assert asked_with(key_file=str(file)).headers["authorization"] == "Bearer from-file"


def test_an_azure_entry() -> None:
    """The base URL's query stays behind the path, and the key is in a header of its own, as it is."""
    with service() as one:
        base = one.base_url.replace("/v1", "/openai/deployments/gpt-4o?api-version=2024-10-21")
        table = {"name": "azure", "base_url": base, "key": "secret", "key_header": "api-key", "connections": 1}
        with live_server(upstream_table=[table]) as server, Wire(server.base_url) as wire:
            one.wait_for_greetings(1)
            wire.ask(chat_body())
            asked = one.asked()
            asked.end(text("Hello."))
            assert heard(wire).text == "Hello."
    assert asked.path == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert asked.headers["api-key"] == "secret"
    assert "authorization" not in asked.headers


def test_model_headers_and_body_are_added() -> None:
    """An entry's model stands above the request's, its headers and body are sent with every request."""
    asked = asked_with(
        chat_body(temperature=0.9),
        model="qwen-plus",
        headers={"X-Tenant": "t1"},
        body={"enable_thinking": False, "temperature": 0.1},
    )
    assert asked.headers["x-tenant"] == "t1"
    assert (asked.body["model"], asked.body["enable_thinking"], asked.body["temperature"]) == ("qwen-plus", False, 0.1)


def test_quirks_of_a_service() -> None:
    """No usage is asked for, fields are left out, and the limit of tokens has the service's own name."""
    wanted = chat_body(seed=7, temperature=0.5, max_tokens=50, parallel_tool_calls=True)
    asked = asked_with(wanted, usage=False, omit=["seed", "parallel_tool_calls"], max_tokens_as="max_completion_tokens")
    assert asked.body == {
        "model": "abc",
        "messages": MESSAGES,
        "stream": True,
        "temperature": 0.5,
        "max_completion_tokens": 50,
    }


def test_both_limits_of_tokens_become_one() -> None:
    """The newer name wins where a request has both."""
    asked = asked_with(chat_body(max_tokens=50, max_completion_tokens=60), max_tokens_as="max_tokens")
    assert asked.body["max_tokens"] == 60
    assert "max_completion_tokens" not in asked.body


@pytest.mark.parametrize(
    ("place", "name"), [("user", "user"), ("body:session_id", "session_id"), ("body:user", "user"), ("none", None)]
)
def test_the_calls_id_may_be_in_the_body(place: str, name: str | None) -> None:
    """Under the name that the service has for it; a request without a call has none."""
    body = asked_with(call_body("c-7"), call_id_as=place).body
    assert [field for field, value in body.items() if value == "c-7"] == ([name] if name else [])
    assert "user" not in asked_with(chat_body(user="u"), call_id_as=place).body


def test_the_calls_id_may_be_a_header() -> None:
    """As it is where a header can hold it, else percent-encoded, so that nothing can be smuggled in."""
    assert asked_with(call_body("c-7"), call_id_as="header:x-session-id").headers["x-session-id"] == "c-7"
    odd = asked_with(call_body("c\r\nx: 1 \u00e9"), call_id_as="header:x-session-id").headers
    assert odd["x-session-id"] == "c%0D%0Ax: 1 %C3%A9"
    assert "x" not in odd


def test_a_trace_goes_on() -> None:
    """The caller's W3C trace context reaches the service."""
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    assert asked_with(trace=trace).headers["traceparent"] == trace["traceparent"]


def test_a_model_that_begins_inside_its_reasoning_is_understood() -> None:
    """With ``thinks_first`` what stands before the closing tag is not said."""
    with failover(1, each={"thinks_first": True}) as (server, [one]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        one.asked().end(text("Hm. "), text("Well.</think>"), text("\n\nHello."))
        assert heard(wire).text == "Hello."


def test_a_request_goes_to_the_named_services_alone() -> None:
    """``upstreams`` chooses from the entries; each has its own model."""
    with failover(tables=[{"model": "one"}, {"model": "two"}], upstreams=["b"]) as (server, [one, two]):
        with Wire(server.base_url) as wire:
            wire.ask(chat_body())
            asked = two.asked()
            asked.end(text("Hello."))
            assert heard(wire).text == "Hello."
        assert asked.body["model"] == "two"
        assert one.left_alone


def test_what_a_turn_costs_is_recorded() -> None:
    """The service's own count times its price; without a price there is no cost."""
    usage = chunk({}, usage={"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500})
    for priced, cost in (({"price": {"prompt": 2.0, "completion": 8.0}}, 0.006), ({}, None)):
        with failover(1, each=priced) as (server, [one]), Wire(server.base_url) as wire:
            wire.ask(call_body())
            one.asked().end(text("Hello."), usage)
            assert heard(wire).text == "Hello."
            [details] = server.wait_for_turns(1)
            [record] = server.records("c1")
        assert details.cost == record.cost == cost
        assert (record.prompt_tokens, record.completion_tokens) == (1000, 500)
