"""Webhooks of every platform are read as far as they can be, whatever comes, and known by their secret alone."""

from __future__ import annotations

import hmac
import json
import math
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import SetupError
from offhook.store.base import Spoken
from offhook.webhooks.base import CallNews, Members, moment_of, name_of, number_of, object_text, seconds_of
from offhook.webhooks.choose import WEBHOOKS, named

NOW = 1_700_000_000.0
MS = 1_700_000_000_000
NAMES = sorted(WEBHOOKS)


def read(name: str, body: Any) -> CallNews | None:
    """Give the one thing that a webhook tells, None for nothing."""
    news = named(name).read(body)
    assert len(news) <= 1
    return news[0] if news else None


# --- Alibaba IMS --------------------------------------------------------------------------------------------------


def ims(event: str, **fields: Any) -> dict[str, Any]:
    """Give an agent callback."""
    return {"aiAgentId": "a", "instanceId": "i1", "event": event, "code": 200, "timestamp": MS, **fields}


def test_ims_tells_when_a_call_begins_and_ends() -> None:
    """session_start connects it and agent_stop ends it, each at its time."""
    assert read("alibaba_ims", ims("session_start")) == CallNews(call_id="i1", at=NOW, connected_at=NOW)
    stop = ims("agent_stop", userData={"vip": 1}, extendData='{"callerNumber": 138, "calleeNumber": "139"}')
    assert read("alibaba_ims", stop) == CallNews(
        call_id="i1", at=NOW, ended=True, caller="138", callee="139", user_data='{"vip":1}'
    )


def test_ims_tells_what_was_said() -> None:
    """Each dialogue of a chat_record is an utterance under its id, with its role, turn and time."""
    data = {
        "requestId": "r",
        "dialogues": [
            {"dialogueId": "d1", "roundId": 7, "producer": "user", "text": "你好", "time": MS, "type": "normal"},
            {"DialogueId": "d2", "RoundId": "7", "Producer": "agent", "Text": "Hello.", "Time": str(MS + 500)},
            {"producer": "agent", "text": "  "},
            "nothing",
        ],
    }
    for given_data in (data, json.dumps(data)):
        news = read("alibaba_ims", ims("chat_record", data=given_data))
        assert news is not None and not news.ended
        assert news.spoken == (
            Spoken(key="d1", role="caller", text="你好", at=NOW, turn_id="7"),
            Spoken(key="d2", role="agent", text="Hello.", at=NOW + 0.5, turn_id="7"),
        )


def test_ims_words_without_an_id_are_known_again() -> None:
    """A dialogue without an id has the same key each time that it is sent, and another one has another."""
    entry = {"roundId": "7", "producer": "agent", "text": "Hello.", "time": MS}
    keys = []
    for one in (entry, dict(entry), {**entry, "time": MS + 1}, {**entry, "text": "Hello!"}):
        news = read("alibaba_ims", ims("chat_record", data={"dialogues": [one]}))
        assert news is not None
        keys.append(news.spoken[0].key)
    assert keys[0] == keys[1] and len(set(keys)) == 3


@pytest.mark.parametrize(("role", "side"), [(0, "agent"), ("1", "caller"), (2, "system"), (9, None)])
def test_ims_tells_who_hung_up_a_telephone_call(role: Any, side: str | None) -> None:
    """A callback of a telephone call that says when it ended has who hung up, its length and its numbers."""
    data = {
        "CallStartTime": "2023-11-14T22:13:20+00:00",
        "callEndTime": "2023-11-14T22:13:25Z",
        "callDuration": "5",
        "hangup_role": role,
        "CallerNumber": "138",
        "CalleeNumber": "139",
    }
    for event in ("outbound_call", "inbound_call"):
        assert read("alibaba_ims", ims(event, data=data)) == CallNews(
            call_id="i1",
            at=NOW + 5,
            connected_at=NOW,
            ended=True,
            hung_up_by=side,  # type: ignore[arg-type]  # a parameter of the test has no literal type
            duration=5.0,
            caller="138",
            callee="139",
        )


def test_ims_a_call_that_rings_has_not_ended() -> None:
    """A status without an end says nothing of one."""
    news = read("alibaba_ims", ims("outbound_call", data={"status": "ringing", "callDuration": 0}))
    assert news == CallNews(call_id="i1", at=NOW)


@pytest.mark.parametrize("event", ["agent_start", "error", "llm_data_received", "audio_record", "intent_detected", 5])
def test_ims_other_events_tell_nothing(event: Any) -> None:
    """What is no news of a call's end or words is left alone."""
    assert read("alibaba_ims", ims(event, data={"text": "x"})) is None


# --- Vapi ---------------------------------------------------------------------------------------------------------


def vapi(type: str, **fields: Any) -> dict[str, Any]:
    """Give a server message."""
    return {"message": {"type": type, "call": {"id": "v1"}, "timestamp": MS, **fields}}


REPORT = vapi(
    "end-of-call-report",
    endedReason="customer-ended-call",
    startedAt="2023-11-14T22:13:20.000Z",
    endedAt="2023-11-14T22:14:20.500Z",
    customer={"number": "+1555"},
    artifact={
        "messages": [
            {"role": "system", "message": "Be brief.", "time": MS},
            {"role": "bot", "message": "Hello.", "time": MS + 1000, "secondsFromStart": 1.0},
            {"role": "user", "message": "Hi.", "secondsFromStart": 2.5},
            {"role": "tool_calls", "message": "", "time": MS},
        ]
    },
)


def test_vapi_reports_a_whole_call() -> None:
    """end-of-call-report has who hung up, the duration and what the two sides said, and nobody else's words."""
    assert read("vapi", REPORT) == CallNews(
        call_id="v1",
        at=NOW + 60.5,
        connected_at=NOW,
        ended=True,
        hung_up_by="caller",
        duration=60.5,
        caller="+1555",
        spoken=(
            Spoken(key="00000001", role="agent", text="Hello.", at=NOW + 1),
            Spoken(key="00000002", role="caller", text="Hi.", at=NOW + 2.5),
        ),
    )
    told = {"message": {**REPORT["message"], "durationSeconds": 59.9}}
    news = read("vapi", told)
    assert news is not None and news.duration == 59.9


@pytest.mark.parametrize(
    ("reason", "side"),
    [
        ("assistant-ended-call", "agent"),
        ("assistant-said-end-call-phrase", "agent"),
        ("customer-ended-call-during-transfer", "caller"),
        ("silence-timed-out", "system"),
        ("assistant-forwarded-call", "system"),
        ("hangup", None),
        (None, None),
    ],
)
def test_vapi_says_who_hung_up(reason: str | None, side: str | None) -> None:
    """status-update with the status ended has the reason too."""
    news = read("vapi", vapi("status-update", status="ended", endedReason=reason))
    assert news is not None and (news.ended, news.hung_up_by) == (True, side)


def test_vapi_other_messages_tell_nothing() -> None:
    """A call that is under way is connected then, and what asks for something is left alone."""
    assert read("vapi", vapi("status-update", status="in-progress")) == CallNews(call_id="v1", at=NOW, connected_at=NOW)
    for message in (vapi("status-update", status="ringing"), vapi("tool-calls"), vapi("hang"), {"message": "x"}, {}):
        assert read("vapi", message) is None


# --- Retell -------------------------------------------------------------------------------------------------------


def retell(event: str, **fields: Any) -> dict[str, Any]:
    """Give a webhook."""
    call = {"call_id": "r1", "from_number": "+1", "to_number": "+2", "start_timestamp": MS, **fields}
    return {"event": event, "call": call}


def test_retell_reports_a_whole_call() -> None:
    """call_ended and call_analyzed have who hung up, the duration and each utterance with its response."""
    fields = {
        "end_timestamp": MS + 9000,
        "duration_ms": 9000,
        "disconnection_reason": "user_hangup",
        "metadata": {"a": 1},
        "transcript_object": [
            {"role": "agent", "content": "Hello.", "words": [{"start": 0.5}], "metadata": {"response_id": 0}},
            {"role": "user", "content": "Hi.", "words": []},
            {"role": "transfer_target", "content": "Desk."},
        ],
    }
    for event in ("call_ended", "call_analyzed"):
        assert read("retell", retell(event, **fields)) == CallNews(
            call_id="r1",
            at=NOW + 9,
            connected_at=NOW,
            ended=True,
            hung_up_by="caller",
            duration=9.0,
            caller="+1",
            callee="+2",
            user_data='{"a":1}',
            spoken=(
                Spoken(key="00000000", role="agent", text="Hello.", at=NOW + 0.5, turn_id="0"),
                Spoken(key="00000001", role="caller", text="Hi."),
                Spoken(key="00000002", role="other", text="Desk."),
            ),
        )


def test_retell_a_call_that_starts_has_not_ended() -> None:
    """call_started tells when the call was connected, and other events nothing."""
    assert read("retell", retell("call_started")) == CallNews(
        call_id="r1", at=NOW, connected_at=NOW, caller="+1", callee="+2"
    )
    assert read("retell", retell("transcript_updated")) is None
    assert read("retell", {"event": "call_ended", "call": {}}) is None


@pytest.mark.parametrize(
    ("reason", "side"),
    [("agent_hangup", "agent"), ("inactivity", "system"), ("user_requested_dnc", None), (None, None), (7, None)],
)
def test_retell_says_who_hung_up(reason: Any, side: str | None) -> None:
    """What is neither side is the system, and what does not say is nobody."""
    news = read("retell", retell("call_ended", disconnection_reason=reason))
    assert news is not None and news.hung_up_by == side


# --- who sent it --------------------------------------------------------------------------------------------------


def signed(body: bytes, key: str = "key", at: float = NOW) -> dict[str, str]:
    """Give the header with Retell's signature."""
    stamp = str(int(at * 1000))
    digest = hmac.new(key.encode(), body + stamp.encode(), sha256).hexdigest()
    return {"x-retell-signature": f"v={stamp},d={digest}"}


def test_a_signature_is_of_this_body_this_key_and_this_time() -> None:
    """Another body, key or digit, or a time more than five minutes away, is refused."""
    check = WEBHOOKS["retell"].check
    assert check(signed(b"{}"), b"{}", "key", NOW)
    assert check(signed(b"{}", at=NOW - 299), b"{}", "key", NOW)
    assert check(signed(b"{}", at=NOW + 299), b"{}", "key", NOW)
    assert not check(signed(b"{}", at=NOW - 301), b"{}", "key", NOW)
    assert not check(signed(b"{}", at=NOW + 301), b"{}", "key", NOW)
    assert not check(signed(b"{}"), b"{ }", "key", NOW)
    assert not check(signed(b"{}", "other"), b"{}", "key", NOW)
    assert not check(signed(b"{}", ""), b"{}", "", NOW)
    good = signed(b"{}")["x-retell-signature"]
    stamp, _, digest = good.partition(",d=")
    bad = [
        "",
        "v=,d=",
        "v=1,d=",
        good[:-1],
        good + "0",
        good.upper(),
        digest,
        f"{stamp}0,d={digest}",
        f"v=\u0663,d={digest}",
        f"{good},{good}",
        "v=" + "9" * 5000 + f",d={digest}",
    ]
    for wrong in bad:
        assert not check({"x-retell-signature": wrong}, b"{}", "key", NOW)
    assert not check({}, b"{}", "key", NOW)


@pytest.mark.parametrize("name", ["alibaba_ims", "vapi"])
def test_a_token_stands_in_its_header(name: str) -> None:
    """The whole secret is taken in the Authorization header, with or without a scheme, and nothing else."""
    check = WEBHOOKS[name].check
    for good in ("s3cret", "Bearer s3cret", "bearer  s3cret", " s3cret "):
        for secret in ("s3cret", "Bearer s3cret"):
            assert check({"authorization": good}, b"", secret, NOW)
    for bad in ("", "s3cre", "s3crett", "S3CRET", "Basic s3cret", "Bearer", "Bearer ", "s3cret\x00", "\udcff"):
        assert not check({"authorization": bad}, b"", "s3cret", NOW)
    assert not check({"authorization": ""}, b"", "", NOW)
    for nothing in ("", "Bearer", "Bearer "):
        assert not check({"authorization": nothing}, b"", nothing, NOW)
    assert not check({}, b"", "", NOW)
    assert check({"x-vapi-secret": "s3cret"}, b"", "s3cret", NOW) == (name == "vapi")


def test_there_is_no_webhook_of_any_other_name() -> None:
    """A wrong name is told with those that there are."""
    with pytest.raises(SetupError, match="no webhook of 'ims'; there are: alibaba_ims, vapi, retell"):
        named("ims")


# --- anything -----------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = (
    "instanceId event data dialogues text time timestamp extendData userData message call id type status endedReason "
    "artifact messages role content words start call_id transcript_object metadata response_id duration_ms "
    "start_timestamp callEndTime"
)
KNOWN = st.sampled_from(MEMBERS.split())
VALUES = st.sampled_from(["chat_record", "outbound_call", "end-of-call-report", "call_ended", "agent_stop", "c1", MS])
BODIES = st.recursive(
    JSON | VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KNOWN | st.text(max_size=5), inner, max_size=8),
    max_leaves=25,
)


@pytest.mark.parametrize("name", NAMES)
@given(body=st.dictionaries(KNOWN, BODIES, max_size=8))
def test_any_object_is_read(name: str, body: dict[str, Any]) -> None:
    """No member of any type raises anything, and what is read is of the types that it has to be."""
    if name == "alibaba_ims":
        body = {"instanceId": "c1", "event": "chat_record", **body}
    elif name == "vapi":
        body = {"message": {"call": {"id": "c1"}, "type": "end-of-call-report", **body}}
    else:
        body = {"event": "call_ended", "call": {"call_id": "c1", **body}}
    for news in named(name).read(body):
        assert news.call_id and isinstance(news.call_id, str)
        for number in (news.at, news.connected_at, news.duration, *(one.at for one in news.spoken)):
            assert number is None or math.isfinite(number)
        assert all(isinstance(one.text, str) and one.text and one.key for one in news.spoken)


def test_numbers_and_times_are_sane() -> None:
    """What is no time, no length or no name is none."""
    assert moment_of(MS) == moment_of(NOW) == moment_of(str(MS)) == NOW
    assert moment_of("2023-11-14T22:13:20") == moment_of("2023-11-14T23:13:20+01:00") == NOW
    bad: list[Any] = [None, True, 0, -1, 1e300, math.nan, math.inf, 10**400, "", "soon", "9" * 50, [], {}, "x" * 100]
    for wrong in bad:
        assert moment_of(wrong) is None
    assert seconds_of("5") == seconds_of(5000, 0.001) == 5.0
    for wrong in [*bad[:2], -1, math.nan, 1e9, "long"]:
        assert seconds_of(wrong) is None
    assert name_of(7) == "7" and name_of(" a ") == "a"
    for wrong in [None, True, 1.5, "", " ", "x" * 600, 10**400, {}]:
        assert name_of(wrong) is None
    assert number_of("1e2") == 100.0 and number_of(True) is None
    assert object_text({}) is None and object_text("x") == "x" and object_text(5) is None


def test_a_text_that_holds_an_object_is_read_to_any_depth() -> None:
    """Brackets without end are no object, and cost no crash."""
    assert Members("[" * 100_000).get("a") is None
    assert Members('{"a":' * 100_000).get("a") is None
    assert Members('{"A_b": 1}').get("aB") == 1


def test_business_data_has_a_length() -> None:
    """A text or an object that is longer than any is none, and one as long as that is there."""
    for longest in ("x" * 65_536, {"a": "x" * 65_528}):
        text = object_text(longest)
        assert text is not None and len(text) == 65_536
    assert object_text("x" * 65_537) is object_text({"a": "x" * 65_529}) is None
