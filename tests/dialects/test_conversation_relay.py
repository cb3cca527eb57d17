"""What ConversationRelay's frames say, how a reply is written for it, and how its handshake is signed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offhook.dialects.base import Arrival, Delivery
from offhook.dialects.choose import choose
from offhook.dialects.conversation_relay import (
    CONVERSATION_RELAY,
    Tokens,
    call_id_of,
    end,
    is_signed,
    request_of,
    secret_of,
    without_secret,
)
from offhook.events import Command, Event, Text

SETUP = {"callSid": "CA1", "from": "+1", "to": "+2", "customParameters": {"api-key": "s", "Token": "s", "tier": "gold"}}
TOKEN = "12345"


def arrival(said: list[dict[str, Any]], setup: dict[str, Any] | None = None) -> Arrival:
    """Give a conversation as the door makes a request of it."""
    request = request_of(without_secret(setup or SETUP), said, turn="x-1", asked="prompt", model="m")
    return Arrival(request=request, headers={}, query={})


def written(*events: Event) -> tuple[list[dict[str, Any]], Tokens]:
    """Give the frames of a reply, and what wrote them."""
    tokens = Tokens()
    frames = [frame for event in events for frame in tokens.write(CONVERSATION_RELAY.write(event, Delivery()))]
    return [json.loads(frame) for frame in (*frames, *tokens.finish())], tokens


def test_a_request_that_a_session_makes_is_known_as_such() -> None:
    """Its dialect is told by what the door puts beside the conversation, and nobody's chat completion is of it."""
    came = arrival([{"role": "user", "content": "Hi."}])
    assert CONVERSATION_RELAY.marks(came)
    assert choose(came, None).name == "plain"


def test_the_setup_says_who_is_on_the_line_and_keeps_no_key() -> None:
    """Parameters are the user's own data, save what holds a key."""
    reading = CONVERSATION_RELAY.read(arrival([{"role": "user", "content": "Hi."}]))
    assert (reading.call.id, reading.call.caller, reading.call.callee) == ("CA1", "+1", "+2")
    assert reading.call.user_data == {"tier": "gold"}
    assert secret_of(SETUP) == "s"
    assert secret_of({"customParameters": [1]}) is None


def test_a_message_says_how_far_it_was_heard() -> None:
    """The marks of the session are known to the memory, and are no fields of the message."""
    said: list[dict[str, Any]] = [
        {"role": "assistant", "content": "We", "interrupted": True, "heard": 2},
        {"role": "user", "content": "No"},
    ]
    reply, words = CONVERSATION_RELAY.read(arrival(said)).history
    assert (reply.text, reply.interrupted, reply.heard) == ("We", True, 2)
    assert (words.interrupted, words.heard) == (False, None)
    assert reply.fields == {"role": "assistant", "content": "We"}


@pytest.mark.parametrize(
    ("setup", "id"),
    [
        ({"callSid": "a", "callControlId": "b"}, "a"),
        ({"callControlId": "b", "callSessionId": "c"}, "b"),
        ({"callSid": "", "sessionId": 7}, "7"),
        ({}, None),
    ],
)
def test_the_call_is_named_by_what_there_is(setup: dict[str, Any], id: str | None) -> None:
    """Twilio's name for it comes first, then Telnyx's, then the session's."""
    assert call_id_of(setup) == id


def test_a_reply_is_text_and_what_the_session_ends_with() -> None:
    """The last frame is empty; a hang-up and a transfer stand in none of them."""
    frames, tokens = written(Text("Bye."), Command("hangup"))
    assert frames == [
        {"type": "text", "token": "Bye.", "last": False},
        {"type": "text", "token": "", "last": True},
    ]
    assert tokens.handoff == {"reasonCode": "hangup"}
    _, tokens = written(Command("transfer", to='+3"}'))
    assert json.loads(json.loads(end(tokens.handoff or {}))["handoffData"]) == {"reasonCode": "transfer", "to": '+3"}'}
    assert written(Text("x"))[1].handoff is None


def test_a_protected_reply_says_so_in_every_frame() -> None:
    """The word is the platform's own."""
    assert [frame["interruptible"] for frame in written(Command("protect"), Text("a"))[0]] == [False, False]


def test_what_the_platform_does_not_take_is_refused_with_a_reason() -> None:
    """The side channel alone."""
    assert "ConversationRelay" in (CONVERSATION_RELAY.refuses("say_to_app", Delivery()) or "")
    assert CONVERSATION_RELAY.refuses("hangup", Delivery()) is None


# Made with hmac and base64 of another program (openssl dgst -sha1 -hmac 12345 -binary | base64).
SIGNED = {
    ("example.com", "/conversationrelay", ""): "F/riUr1Fp8YPVFfod5xOuGpAKMI=",
    ("example.com", "/conversationrelay", "b=2&a=1"): "72ddDdXK/ZLApEiebsoFnu7R7Vw=",
}


@pytest.mark.parametrize(("where", "signature"), SIGNED.items())
def test_a_signature_is_that_of_the_address(where: tuple[str, str, str], signature: str) -> None:
    """It is good for its own URL and token, and for no other."""
    host, target, query = where
    assert is_signed(signature, TOKEN, host=host, target=target, query=query)
    assert not is_signed(signature, "1234", host=host, target=target, query=query)
    assert not is_signed(signature, TOKEN, host="example.org", target=target, query=query)
    assert not is_signed(signature, TOKEN, host=host, target=target + "/", query=query)
    assert not is_signed(signature, TOKEN, host=host, target=target, query="c=3")
    assert not is_signed(signature + "\ud800é", TOKEN, host=host, target=target, query=query)


def test_parameters_may_be_signed_as_those_of_a_form() -> None:
    """Sorted, behind the URL without its query, as the signature of a webhook has them."""
    assert is_signed(
        "5X1mk7P4/w47BjdLQF1vUYG8fzU=", TOKEN, host="example.com", target="/conversationrelay", query="b=2&a=1"
    )
