"""How log lines look, for people and for programs, and where they go."""

from __future__ import annotations

import ast
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from offhook.errors import UpstreamBroken
from offhook.observe.hooks import TurnDetails
from offhook.observe.logs import JsonFormatter, Said, TextFormatter, TurnLog, dropped_lines, set_up
from offhook.testing import live_server
from tests.documents import REPO
from tests.raw import chat_body, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TURN = TurnDetails(
    request_id="req_1",
    call_id="call-1",
    turn_id="3",
    platform="plain",
    model="abc",
    which="newer",
    memory="window",
    reason="stop",
    error=None,
    events=1,
    started=0.0,
    first_useful=None,
    cancelled=None,
    ended=0.1,
    stopped_at=0.1,
    gap=0.02,
)
HOUSE = ("offhook", "uvicorn.error", "asyncio", "opentelemetry")


@pytest.fixture
def loggers() -> Iterator[None]:
    """Put the loggers back as they were."""
    named = [logging.getLogger(name) for name in HOUSE]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in named]
    yield
    for logger, (handlers, propagate, level) in zip(named, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


def record(message: object, *args: object, level: int = logging.INFO, name: str = "offhook.turns") -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, message, args, None)


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert "\n" not in line
    read: dict[str, Any] = json.loads(line)
    return read


def logged(details: TurnDetails, caplog: pytest.LogCaptureFixture, **options: Any) -> list[logging.LogRecord]:
    with caplog.at_level(logging.DEBUG):
        TurnLog(**options).turn_ended(details)
    return caplog.records


def test_a_turn_is_one_object(caplog: pytest.LogCaptureFixture) -> None:
    """The line of a turn as JSON has a fixed message, and its values as numbers, strings and null."""
    [turn] = logged(TURN, caplog)
    line = as_json(turn)
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "offhook.turn",
        "message": "turn",
        "call": "call-1",
        "turn": "3",
        "dialect": "plain",
        "model": "abc",
        "which": "newer",
        "memory": "window",
        "first_ms": None,
        "end_ms": 100.0,
        "finish": "stop",
        "gap_ms": 20.0,
        "request": "req_1",
    }


def test_a_failure_names_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    """What failed is an object of its own: a fixed message, the reason in fields, and call, turn and request."""
    error = UpstreamBroken("It broke off.", detail="at http://host/v1")
    [_, failure] = logged(msgspec.structs.replace(TURN, reason="failed", error=error), caplog)
    line = as_json(failure)
    assert (line["message"], line["code"], line["level"]) == ("a model service failed", "upstream_broken", "error")
    assert (line["error"], line["detail"]) == ("It broke off.", "at http://host/v1")
    assert (line["call"], line["turn"], line["request"]) == ("call-1", "3", "req_1")


def test_a_traceback_is_a_field(caplog: pytest.LogCaptureFixture) -> None:
    """With content switched on the traceback stands in the object, so that it is still one line."""
    [_, failure] = logged(
        msgspec.structs.replace(TURN, reason="failed", error=ValueError("what")), caplog, content=True
    )
    assert as_json(failure)["traceback"] == "ValueError: what"


@pytest.mark.parametrize(
    ("template", "args", "message", "fields"),
    [
        (
            "a retry joined the reply of %s: request=%s",
            ("r1", "r2"),
            "a retry joined the reply of r1",
            {"request": "r2"},
        ),
        (
            "a request was refused: %d %s request=%s",
            (401, "no", "r"),
            "a request was refused: 401 no",
            {"request": "r"},
        ),
        ("%d agents did not stop within %.0f s", (2, 3.0), "2 agents did not stop within 3 s", {}),
        ("lost: lines=%d call=%s", (3, None), "lost", {"lines": 3, "call": None}),
        ("100%% of %s", ("it",), "100% of it", {}),
        (
            "the tool %(name)s failed: %(error)s at %(ms).1f%% request=%(request)s",
            ({"name": "book", "error": ValueError("x"), "ms": 2.25, "request": None},),
            "the tool {name} failed: {error} at {ms}%",
            {"name": "book", "error": "x", "ms": 2.25, "request": None},
        ),
        ("100% plain", (), "100% plain", {}),
        ("call=%s is over", ("a b",), "call=a b is over", {}),
    ],
)
def test_the_fields_of_a_plain_message_are_fields(
    template: str, args: tuple[object, ...], message: str, fields: dict[str, Any]
) -> None:
    """What has a name in a message becomes a field of the object, and the rest of it the message."""
    line = as_json(record(template, *args))
    assert line["message"] == message
    assert {name: value for name, value in line.items() if name not in {"ts", "level", "logger", "message"}} == fields


@pytest.mark.parametrize("value", ['"}\n{"level":"fatal"', "a\u2028b", "\x1b[2J", "\ud800", "通话", "x" * 100_000])
def test_a_value_cannot_forge_an_object(value: str) -> None:
    """Whatever a client sends as an id stays in its field of its one line, in bounded length."""
    for made in (record("it came: call=%s", value), record(Said("it came", {"call": value, "level": value}))):
        line = as_json(made)
        assert line["message"] == "it came"
        assert line["level"] == "info"
        assert value.startswith(line["call"])
        assert len(line["call"]) <= 1024


@pytest.mark.parametrize("value", ["a\nb", "a\u2028b", "\x1b[2J", "\x00"])
def test_a_message_for_people_stays_on_its_line(value: str) -> None:
    """What would end a line or move a terminal is escaped in any message, also in one of another's making."""
    line = TextFormatter().format(record("it came: call=%s", value))
    assert line.isprintable()
    assert "it came: call=" in line


def test_set_up_sends_our_logs_to_standard_error_once(capsys: pytest.CaptureFixture[str], loggers: None) -> None:
    """Setting logs up twice does not write every line twice, and the level is kept to."""
    before = set_up("warning")
    queue = set_up("warning")
    assert not before._thread.is_alive()
    logging.getLogger("offhook.turn").info("quiet")
    logging.getLogger("offhook.turn").warning("loud")
    logging.getLogger("uvicorn.error").warning("theirs")
    assert queue.drain()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("loud") == 1
    assert captured.err.count("theirs") == 1
    assert "quiet" not in captured.err
    assert dropped_lines() == 0
    queue.close()


def test_set_up_writes_objects_where_they_are_asked_for(capsys: pytest.CaptureFixture[str], loggers: None) -> None:
    """With the format ``json`` every line on standard error is an object, also one that cannot be made."""
    queue = set_up("info", "json")
    log = logging.getLogger("offhook.turns")
    log.info("a request was refused: %d request=%s", 401, "r")
    assert queue.drain()
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["request"] == "r"
    queue.close()


def test_news_of_others_are_shown_from_warnings_up(capsys: pytest.CaptureFixture[str], loggers: None) -> None:
    """The HTTP server's own news are left out whatever the level is."""
    queue = set_up("debug")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("offhook").debug("ours")
    assert queue.drain()
    shown = capsys.readouterr().err
    assert "ours" in shown
    assert "started" not in shown
    queue.close()


# --- every message of ours ----------------------------------------------------------------------------------------

# A percent sign, a place with a name in either way, and any other place.
PLACES = re.compile(r"%%|(?<=\s)[a-z_]+=%[\d.]*[a-z]|%\([a-z_]+\)[\d.]*[a-z]|(?P<nameless>%[-+ 0#]*[\d.]*[a-zA-Z])")
LEVELS = {"debug": 0, "info": 0, "warning": 0, "error": 0, "exception": 0, "critical": 0, "log": 1}


def wrong_messages(source: str) -> list[str]:
    """Name the log calls whose message is made on the spot, or has a part without a name."""
    tree = ast.parse(source)
    constants = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in LEVELS:
            continue
        if "log" not in ast.unparse(node.func.value).lower():
            continue
        message = node.args[LEVELS[node.func.attr]]
        if isinstance(message, ast.Call) and ast.unparse(message.func) == "Said":
            if isinstance(message.args[0], ast.JoinedStr | ast.BinOp | ast.Call):
                found.append(f"line {node.lineno}: {ast.unparse(message)}")
            continue
        text = constants.get(ast.unparse(message), getattr(message, "value", None))
        if not isinstance(text, str) or any(place["nameless"] for place in PLACES.finditer(text)):
            found.append(f"line {node.lineno}: {ast.unparse(message)}")
    return found


@pytest.mark.parametrize("path", sorted((REPO / "src" / "offhook").rglob("*.py")), ids=lambda path: path.stem)
def test_every_message_of_ours_is_a_fixed_text(path: Path) -> None:
    """Whatever varies in a log line of ours has a name, so that it is a field of the object."""
    assert wrong_messages(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("call", "right"),
    [
        ('log.info("it is over")', True),
        ('log.info("it is %d%% over: call=%s", 3, call)', False),
        ('log.info("it is over: call=%s", call)', True),
        ('log.info("%(calls)d are over", {"calls": 2})', True),
        ('log.error("over: %s", call)', False),
        ('self._log.log(logging.INFO, "over: %s", call)', False),
        ('log.warning(f"over: {call}")', False),
        ('log.warning("over: " + call)', False),
        ('log.info(Said(f"over: {call}"))', False),
        ('log.info(Said("over", {"call": call}))', True),
    ],
)
def test_a_nameless_part_is_found(call: str, right: bool) -> None:
    """The check of messages can fail."""
    assert (wrong_messages(call) == []) is right


def test_a_refused_request_is_a_fixed_text_and_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    """The line of a refused request has its status and code as fields, and reads the same for people."""
    with live_server(lambda turn: "Hello.") as server, caplog.at_level(logging.INFO):
        assert request(server.base_url, chat_body(), {"Authorization": "Bearer wrong"}).status == 401
    [refused] = [entry for entry in caplog.records if "was refused" in str(entry.msg)]
    line = as_json(refused)
    assert (line["message"], line["status"], line["code"]) == (
        "a request was refused: {status} {code}",
        401,
        "invalid_api_key",
    )
    assert refused.getMessage() == f"a request was refused: 401 invalid_api_key request={line['request']}"
