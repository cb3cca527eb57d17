"""One line per turn in fixed fields, and nothing private in any of them."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from offhook.clock import SystemClock
from offhook.errors import (
    AgentError,
    OffhookError,
    Overloaded,
    Stopping,
    ToolError,
    TooMany,
    TurnTimeout,
    UpstreamBroken,
)
from offhook.events import Attempt, ToolRun
from offhook.observe.hooks import TurnDetails
from offhook.observe.logs import JsonFormatter, TurnLog
from offhook.server.keys import KeyFile, Limits
from offhook.testing import LiveServer, live_server, scripted_upstream
from tests.raw import AUTH, KEY, Wire, chat_body, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from offhook.events import Turn

CALLER, CALLEE = "13800000001", "13800000002"
PRIVATE = [CALLER, CALLEE, "my pin is 4711", "4711", "Zhang San", "gold", "tenant", KEY, "sk-upstream"]
LINE = re.compile(
    r"turn call=(?P<call>\S+) turn=(?P<turn>\S+) dialect=(?P<dialect>\S+) model=(?P<model>\S+) "
    r"which=(?P<which>\w+) memory=(?P<memory>\w+) "
    r"first_ms=(?P<first>[\d.]+|-) end_ms=(?P<end>[\d.]+) finish=(?P<finish>\w+)(?: stop_ms=(?P<stop>[\d.]+))? "
    r"(?:gap_ms=(?P<gap>[\d.]+) )?(?:asides=(?P<asides>\S+) )?(?:attempts=(?P<attempts>\d+) )?"
    r"(?:tools=(?P<tools>\d+) )?(?:tokens_in=(?P<tokens_in>\d+) tokens_out=(?P<tokens_out>\d+) )?"
    r"request=(?P<request>\S+)"
)


def body(text: str = "my pin is 4711", call: str = "call-1", **fields: Any) -> dict[str, Any]:
    return chat_body(
        text,
        extendData={
            "instanceId": call,
            "sentenceId": 3,
            "callerNumber": CALLER,
            "calleeNumber": CALLEE,
            "userData": '{"name":"Zhang San","level":"gold"}',
        },
        **fields,
    )


def everything(turn: Turn) -> str:
    """Give all that is known of a turn, as a careless agent puts it into an exception."""
    call = turn.call
    return f"{turn.text} {call.caller} {call.callee} {call.user_data} {call.query} {turn.body} {turn!r}"


async def agent(turn: Turn) -> AsyncIterator[Any]:
    command = turn.call.id
    if command == "raise":
        raise ValueError(everything(turn))
    if command == "raise ours":
        raise AgentError(everything(turn))
    if command == "raise ours from theirs":
        raise AgentError(everything(turn)) from ValueError(everything(turn))
    if command == "value":
        yield {"text": everything(turn)}
    yield "Hello."
    if command == "raise later":
        raise KeyError(everything(turn))
    if command == "hold":
        await turn.cancelled.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    # The same turn of the same call is asked for again and again here.
    with live_server(agent, replay_for=0.0) as server:
        yield server


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def ask(server: LiveServer, request_body: dict[str, Any]) -> int:
    """Give the status, once the turn has ended and been logged."""
    before = len(server.turns)
    headers = {**AUTH, "X-Request-Id": "req-9"}
    reply = request(server.base_url, request_body, headers, path="/v1/chat/completions?tenant=a&api-key=" + KEY)
    server.wait_for_turns(before + 1)
    return reply.status


def the_turn(lines: pytest.LogCaptureFixture) -> re.Match[str]:
    [message] = [record.getMessage() for record in lines.records if record.getMessage().startswith("turn ")]
    match = LINE.fullmatch(message)
    assert match, message
    return match


def test_a_turn_is_one_line_with_its_fields(server: LiveServer, lines: pytest.LogCaptureFixture) -> None:
    """Call, turn, dialect, model, first useful event, end, finish and request stand in one line of level INFO."""
    assert ask(server, body()) == 200
    line = the_turn(lines)
    assert (line["call"], line["turn"], line["dialect"], line["model"]) == ("call-1", "3", "alibaba_ims", "abc")
    assert (line["finish"], line["stop"], line["request"]) == ("stop", None, "req-9")
    assert 0 <= float(line["first"]) <= float(line["end"])
    [record] = [record for record in lines.records if record.name == "offhook.turn"]
    assert record.levelno == logging.INFO


def test_a_turn_of_a_plain_client_has_dashes(server: LiveServer, lines: pytest.LogCaptureFixture) -> None:
    """What the platform did not say is a dash."""
    ask(server, chat_body())
    line = the_turn(lines)
    assert (line["call"], line["turn"]) == ("-", "-")


def test_a_cancelled_turn_says_how_long_the_agent_took_to_stop(
    server: LiveServer, lines: pytest.LogCaptureFixture
) -> None:
    """The line of a turn that the client left holds the time from the disconnect to the agent's end."""
    before = len(server.turns)
    with Wire(server.base_url) as wire:
        wire.ask(body(call="hold"))
        wire.read_until(b"Hello")
    server.wait_for_turns(before + 1)
    line = the_turn(lines)
    assert line["finish"] == "cancelled"
    assert line["stop"] is not None


@pytest.mark.parametrize("call", ["raise", "raise ours", "raise ours from theirs", "value", "raise later", "hello"])
@pytest.mark.parametrize("streamed", [True, False])
def test_nothing_private_is_logged_whatever_the_agent_raises(
    server: LiveServer, lines: pytest.LogCaptureFixture, call: str, streamed: bool
) -> None:
    """No key, number, transcript, user data or query string is in any log record, also when an exception holds them."""
    ask(server, body(call=call, stream=streamed))
    assert lines.records
    for record in lines.records:
        text = logging.Formatter().format(record)
        assert [secret for secret in PRIVATE if secret in text] == []


def test_a_failed_agent_is_named_by_type_and_place(server: LiveServer, lines: pytest.LogCaptureFixture) -> None:
    """The log of a failed turn has level ERROR and says which exception came from which line, and how to see more."""
    ask(server, body(call="raise"))
    assert the_turn(lines)["finish"] == "failed"
    errors = [record for record in lines.records if record.name == "offhook.turn"]
    assert {record.levelno for record in errors} == {logging.ERROR}
    text = lines.text
    assert "ValueError" in text
    assert re.search(r"test_logs\.py:\d+ in agent", text)
    assert "--log-content" in text
    assert "Traceback" not in text


def test_a_wrong_value_is_named_by_its_type(server: LiveServer, lines: pytest.LogCaptureFixture) -> None:
    """Who writes the agent sees in one line of the log what it gave, by its type."""
    ask(server, body(call="value"))
    [_, message] = [record.getMessage() for record in lines.records if record.name == "offhook.turn"]
    assert message == "AgentValueError: The agent gave dict, which is neither text nor an event."


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (401, b'{"error":{"message":"Incorrect API key: sk-upstream, said 4711"}}', "401"),
        (400, b'{"error":{"message":"bad input: my pin is 4711"}}', "400"),
        (500, b"Zhang San", "500"),
    ],
)
def test_what_a_model_service_says_of_an_error_is_not_logged_but_its_status_is(
    lines: pytest.LogCaptureFixture, status: int, answer: bytes, words: str
) -> None:
    """Services repeat the key and the input in their errors; the log names the kind of error and the status."""
    with (
        scripted_upstream(answer, status=status) as upstream,
        live_server(upstream=upstream.base_url, upstream_key="sk-upstream") as server,
    ):
        ask(server, body())
    text = lines.text
    assert "upstream_" in text and words in text
    assert [secret for secret in PRIVATE if secret in text] == []


def test_an_unreachable_model_service_is_told_in_words(lines: pytest.LogCaptureFixture) -> None:
    """An operator sees which service could not be reached."""
    with live_server(upstream="http://127.0.0.1:9/v1") as server:
        ask(server, body())
    assert "upstream_unreachable" in lines.text
    assert "127.0.0.1:9" in lines.text


def test_content_is_logged_when_it_is_switched_on(lines: pytest.LogCaptureFixture) -> None:
    """With log_content the message and the traceback of the agent's exception are there."""
    with live_server(agent, log_content=True) as server:
        ask(server, body(call="raise"))
    assert "Traceback" in lines.text
    assert CALLER in lines.text


@pytest.mark.parametrize(
    "call",
    [
        "a\nturn call=forged",
        "a b",
        'a"b',
        "a=b",
        "a\\b",
        "a\u2028b",
        "a\x1b[2Jb",
        "\r\n",
        "通话",
        "x" * 100_000,
        "\x00",
    ],
)
def test_an_id_cannot_forge_a_line_or_a_field(server: LiveServer, lines: pytest.LogCaptureFixture, call: str) -> None:
    """Whatever a client sends as its call id or model stays in its own field of its own line, in bounded length."""
    ask(server, body(call=call, model=call))
    [record] = [record for record in lines.records if record.name == "offhook.turn"]
    message = record.getMessage()
    assert message.isprintable()
    assert len(message) < 2000
    assert message.count("call=") == 1 or '"' in message.split("call=")[1]
    rest = re.sub(r'"(?:[^"\\]|\\.)*"', "quoted", message)
    assert LINE.fullmatch(rest), rest


def details(error: Exception | None, reason: str = "failed", **fields: Any) -> TurnDetails:
    return TurnDetails(
        **fields,
        request_id="req_1",
        call_id=None,
        turn_id=None,
        platform="plain",
        model="abc",
        which="newer",
        memory="window",
        reason=reason,
        error=error,
        events=0,
        started=0.0,
        first_useful=None,
        cancelled=None,
        ended=0.1,
        stopped_at=0.1,
    )


@pytest.mark.parametrize("error", [AgentError("secret"), OffhookError("secret"), ToolError("secret")])
def test_the_message_of_an_error_that_an_agent_may_raise_is_not_logged(
    lines: pytest.LogCaptureFixture, error: OffhookError
) -> None:
    """An error that anybody may have filled with words is named by its type alone."""
    TurnLog().turn_ended(details(error))
    assert "secret" not in lines.text
    assert type(error).__name__ in lines.text


def test_the_detail_of_an_upstream_error_is_logged(lines: pytest.LogCaptureFixture) -> None:
    """What went wrong with a model service is said in our words: the message and its detail."""
    TurnLog().turn_ended(details(UpstreamBroken("It broke off.", detail="at http://host/v1")))
    assert "upstream_broken: It broke off. (at http://host/v1)" in lines.text


def test_a_hook_survives_a_failure_without_an_error(lines: pytest.LogCaptureFixture) -> None:
    """A reply that an agent ended as failed by itself is a line too."""
    TurnLog().turn_ended(details(None))
    assert "finish=failed" in lines.text


def test_what_was_said_beside_the_answer_and_what_it_took_is_in_the_line(lines: pytest.LogCaptureFixture) -> None:
    """The longest gap, fillers and apologies, attempts, tools and tokens stand in the line where there are any."""
    begun = (Attempt("one", "m"), Attempt("two", "m", number=2))
    ran = (ToolRun("look_up", "{}", "ok", 0.1),)
    seen = details(
        None,
        "stop",
        gap=0.75,
        asides=("filler", "closing"),
        begun=begun,
        tools=ran,
        prompt_tokens=80,
        completion_tokens=4,
    )
    TurnLog().turn_ended(seen)
    line = the_turn(lines)
    assert (line["gap"], line["asides"], line["attempts"], line["tools"]) == ("750.0", "filler,closing", "2", "1")
    assert (line["tokens_in"], line["tokens_out"]) == ("80", "4")


def test_what_there_is_none_of_is_not_in_the_line(lines: pytest.LogCaptureFixture) -> None:
    """A plain turn of one attempt has none of the fields that tell of more."""
    TurnLog().turn_ended(details(None, "stop", begun=(Attempt("one", "m"),)))
    line = the_turn(lines)
    assert [line[name] for name in ("stop", "gap", "asides", "attempts", "tools", "tokens_in")] == [None] * 6


def test_a_refused_turn_is_no_failure_of_an_agent(lines: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """On a telephone a turn past a limit is a warning that says so, and a search for faults finds nothing."""
    made = KeyFile(tmp_path).create(SystemClock(), "shop", limits=Limits(turns_per_minute=1))
    with live_server(agent, data_dir=str(tmp_path)) as server:
        for call in ("one", "two"):
            reply = request(server.base_url, body(call=call), {"Authorization": f"Bearer {made.key}"})
            assert reply.status == 200
        server.wait_for_turns(2)
    told = [record for record in lines.records if record.name == "offhook.turn" and record.levelno > logging.INFO]
    assert [record.levelno for record in told] == [logging.WARNING] * 2
    assert told[1].getMessage() == "rate_limit_exceeded: a limit of its key is reached"
    assert "--log-content" not in lines.text


OURS = [
    (TooMany("secret", retry_after=1), "rate_limit_exceeded: a limit of its key is reached", "the turn was refused"),
    (
        Overloaded("secret", retry_after=1),
        "overloaded: the server answers as many turns as it may",
        "the turn was refused",
    ),
    (Stopping("secret"), "stopping: the server is going down", "the turn was ended"),
    (
        TurnTimeout("secret"),
        "turn_timeout: the agent gave nothing in the time that a turn has",
        "the turn ran out of time",
    ),
]


@pytest.mark.parametrize(("error", "words", "message"), OURS)
def test_an_error_that_says_what_it_is_has_a_line_of_its_own(
    lines: pytest.LogCaptureFixture, error: OffhookError, words: str, message: str
) -> None:
    """It is a warning in our words, by its code, without a place, and without what an agent may have put into it."""
    try:
        raise error
    except OffhookError:
        TurnLog().turn_ended(details(error))
    turn, why = lines.records
    assert (turn.levelno, why.levelno) == (logging.WARNING, logging.WARNING)
    assert why.getMessage() == words
    line = json.loads(JsonFormatter().format(why))
    assert (line["message"], line["code"], line["error"]) == (message, error.code, words.partition(": ")[2])
    assert "place" not in line
    assert "secret" not in lines.text


def test_with_content_such_an_error_says_its_message(lines: pytest.LogCaptureFixture) -> None:
    """With content switched on the message of the error stands there: which limit it was."""
    TurnLog(content=True).turn_ended(details(TooMany("This key's limit is reached: 3 calls at once.", retry_after=1)))
    assert "rate_limit_exceeded: This key's limit is reached: 3 calls at once." in lines.text
    assert "Traceback" not in lines.text


@pytest.mark.parametrize(("error", "words"), [(TurnTimeout("x"), "in the time"), (ToolError("x"), "the tools led")])
def test_why_a_turn_failed_that_had_no_answer_is_told_in_words(
    lines: pytest.LogCaptureFixture, error: OffhookError, words: str
) -> None:
    """A turn that ran out of time or of rounds is not told as a defect of the agent."""
    TurnLog().turn_ended(details(error))
    assert words in lines.text
    assert "the agent failed" not in lines.text
