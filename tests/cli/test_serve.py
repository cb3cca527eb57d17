"""``offhook serve`` as a person runs it: what it prints, what it keeps, how it refuses, and how it ends."""

from __future__ import annotations

import logging
import os
import re
import signal
import stat
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from offhook.cli.main import main
from offhook.config import FIELDS, TABLES
from offhook.server.run import bind
from tests.oracle import check_http, check_stream
from tests.raw import Wire, chat_body, get, request
from tests.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

AGENT = """
import time
from offhook import Turn

async def reply(turn: Turn):
    if "bye" in turn.text.lower():
        yield "Goodbye, and thank you for calling."
        yield turn.hangup()
    else:
        yield f"You said: {turn.text}"

def plain(turn):
    yield "One."
    if turn.text == "hang":
        time.sleep(1000)

number = 3
"""


def serve(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Serving:
    """Give a running ``offhook serve`` on a free port."""
    return Serving(["-m", "offhook", "serve", "--port", "0", *arguments], cwd=folder, environ=environ)


def said(server: Serving, text: str, key: str) -> str:
    reply = request(server.base_url, chat_body(text), {"Authorization": f"Bearer {key}"})
    assert reply.status == 200, reply.body
    return check_stream(reply.body, model="abc", usage_asked=False).text


def one_line(err: str) -> str:
    """Give the only line of what went to standard error."""
    assert "Traceback" not in err
    [line] = err.splitlines()
    assert line.startswith("offhook: ")
    return line


def refused(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
    """Give the one line with which a process of the command is refused."""
    with Serving(["-m", "offhook", "serve", *arguments], cwd=folder, environ=environ, wait=False) as server:
        assert server.end() == 2, server.err
    assert server.out == ""
    return one_line(server.err)


@pytest.fixture
def same_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the command run in this process: what it changes in it is put back."""
    loggers = [logging.getLogger(name) for name in ("offhook", "uvicorn.error")]
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("OFFHOOK_")]:
        monkeypatch.delenv(name)
    yield folder
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    for logger, handlers, propagate, level in before:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a working directory with an agent in it."""
    (tmp_path / "app.py").write_text(AGENT)
    return tmp_path


# --- what it prints and keeps -------------------------------------------------------------------------------------


def test_the_readme_agent_answers(folder: Path) -> None:
    """With a key and a ModelId the three values stand there, the key is not repeated, and the agent answers."""
    with serve(folder, "app:reply", "--api-key", "k-one", "--api-key", "k-two", "--model-id", "abc") as server:
        assert re.search(r"ModelId +abc\n", server.out)
        assert re.search(r"base URL +http://127\.0\.0\.1:\d+/v1\n", server.out)
        assert "API-KEY" in server.out
        assert "k-one" not in server.out
        assert "app:reply" in server.out
        assert said(server, "hello", "k-one") == "You said: hello"
        assert said(server, "hello", "k-two") == "You said: hello"
        bye = request(server.base_url, chat_body("Bye"), {"api-key": "k-one"})
        transcript = check_stream(bye.body, usage_asked=False)
        assert [call.name for call in transcript.calls] == ["hangup"]
        assert request(server.base_url, chat_body(model="xyz"), {"api-key": "k-one"}).status == 404
        assert server.stop() == 0
    assert "turn call=" in server.err
    assert "hello" not in server.err and "k-one" not in server.err


def test_without_a_key_one_is_made_shown_once_and_kept(folder: Path) -> None:
    """The first start prints the key that it made; the second does not show it, and it still works."""
    kept = folder / "data" / "api-key"
    with serve(folder, "--data-dir", "data") as server:
        found = re.search(r"API-KEY +(ofk_\S+)\n", server.out)
        assert found
        key = found[1]
        assert kept.read_text().strip() == key
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert get(server.base_url, "/v1/models", {"api-key": key}).status == 200
        assert server.stop() == 0
    assert key not in server.err
    with serve(folder, environ={"OFFHOOK_DATA_DIR": "data"}) as server:
        assert key not in server.out
        assert "data/api-key" in server.out
        assert get(server.base_url, "/v1/models", {"api-key": key}).status == 200
        assert server.stop() == 0


def test_a_first_start_that_fails_makes_no_key(folder: Path) -> None:
    """The key is still shown by the first start that works."""
    refused(folder, "nosuch:reply", "--data-dir", "data")
    assert not (folder / "data" / "api-key").exists()


def test_a_start_that_fails_leaves_the_key_of_another_server(folder: Path) -> None:
    """A second server on a port that is taken does not take the key of the first away."""
    with serve(folder, "app:reply", "--data-dir", "data") as first:
        kept = (folder / "data" / "api-key").read_text()
        refused(folder, "app:reply", "--data-dir", "data", "--port", str(urlsplit(first.base_url).port))
        assert (folder / "data" / "api-key").read_text() == kept


def test_a_key_in_the_upstream_s_address_is_not_shown(folder: Path) -> None:
    """The greeting names the model service without its query."""
    with serve(folder, "--upstream", "http://127.0.0.1:9/v1?api-key=sk-query") as server:
        pass
    assert "http://127.0.0.1:9/v1" in server.out
    assert "sk-query" not in server.out + server.err


def test_a_refused_key_leaves_a_line_in_the_log(folder: Path) -> None:
    """Who is called at night sees that somebody came with a wrong key, and not which."""
    with serve(folder, "--api-key", "right-key") as server:
        assert request(server.base_url, chat_body("hello"), {"Authorization": "Bearer wrong-key"}).status == 401
        # By its end everything is written that was logged.
        assert server.stop() == 0
    assert "a request was refused: 401 invalid_api_key request=req_" in server.err
    assert "wrong-key" not in server.err


def test_the_environment_and_the_file_are_read(folder: Path) -> None:
    """Settings may come from OFFHOOK_ variables and from ./offhook.toml, the agent too."""
    (folder / "offhook.toml").write_text('model_id = "abc"\napi_key = "from-file"\nport = 1\n')
    environ = {"OFFHOOK_AGENT": "app.py:reply", "OFFHOOK_API_KEY": "from-variable", "OFFHOOK_LOG_LEVEL": "error"}
    with serve(folder, environ=environ) as server:
        assert said(server, "hello", "from-variable") == "You said: hello"
        assert get(server.base_url, "/v1/models", {"api-key": "from-file"}).status == 401
        assert server.stop() == 0
    assert server.err == ""


def test_show_prints_what_came_and_what_went_back(folder: Path) -> None:
    """--show writes the exchange to standard output with the key masked, and --capture keeps it as a file."""
    with serve(folder, "app:reply", "--api-key", "k-one", "--show", "--capture", "kept") as server:
        assert said(server, "hello", "k-one") == "You said: hello"
        assert server.stop() == 0
    assert "--> POST /v1/chat/completions" in server.out
    assert "You said: " in server.out
    assert len(list((folder / "kept").iterdir())) == 1
    assert "k-one" not in server.out + server.err
    assert "Traceback" not in server.err


def test_no_auth_lets_in_without_a_key(folder: Path) -> None:
    """On loopback --no-auth says so, and makes no key."""
    with serve(folder, "app:reply", "--no-auth", "--data-dir", "data") as server:
        assert "--no-auth" in server.out
        assert request(server.base_url, chat_body(), {}).status == 200
        assert server.stop() == 0
    assert not (folder / "data" / "api-key").exists()


# --- what it refuses ----------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_one_line(folder: Path) -> None:
    """The line names the port and the way out."""
    with bind("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
        line = refused(folder, "--api-key", "k", "--port", port)
    assert port in line and "--port" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere:reply"], "no module 'nowhere'"),
        (["nowhere.py:reply"], "no file nowhere.py"),
        (["app"], "module:function"),
        (["app:replay"], "it has: reply, plain"),
        (["app:number"], "not a function"),
        (
            ["raising:reply"],
            "ValueError: two lines (",
        ),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--config", "broken.toml"], "not valid TOML"),
        (["--config", "wrong.toml"], "did you mean 'port'"),
        (["--platform", "alibabaims"], "'alibabaims'"),
        (["--log-level", "loud"], "loud"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid"),
        (["--host", "0.0.0.0", "--no-auth"], "loopback"),
        (["--upstream", "nonsense"], "http"),
        (["--upstream-model", "qwen"], "--upstream"),
        (["app:reply", "--upstream", "http://host/v1"], "leave one out"),
        (["--data-dir", "app.py"], "--data-dir"),
        (["--capture", "app.py"], "app.py"),
        (["--api-key", ""], "--api-key"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_two(
    same_process: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    """Every mistake that a person can make when starting is told in one line on standard error."""
    (same_process / "raising.py").write_text("raise ValueError('two\\nlines')\n")
    (same_process / "broken.toml").write_text("port = \n")
    (same_process / "wrong.toml").write_text("prot = 1\n")
    keyless = {"--data-dir", "--no-auth"} & set(arguments)
    key = [] if keyless or "--api-key" in arguments else ["--api-key", "k"]
    monkeypatch.setattr(sys, "argv", ["offhook", "serve", "--port", "0", *key, *arguments])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 2
    captured = capsys.readouterr()
    assert words in one_line(captured.err)
    assert captured.out == ""


def test_a_wrong_variable_is_named(folder: Path) -> None:
    """The line says which variable holds the wrong value."""
    assert "OFFHOOK_PORT" in refused(folder, environ={"OFFHOOK_PORT": "eighty"})


# --- how it ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well_and_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    """With a live reply and an idle connection the process ends with 0, without a traceback and without children."""
    with serve(folder, "app:plain", "--api-key", "k", "--stop-timeout", "0") as server:
        with Wire(server.base_url) as idle, Wire(server.base_url) as live:
            idle.ask(None, method="GET", path="/healthz")
            assert check_http(idle.read_response()).status == 200
            live.ask(chat_body("hang"), {"api-key": "k"})
            live.read_until(b"One")
            assert server.stop(number) == 0
            body = check_http(live.read_response()).body
        said = check_stream(body, usage_asked=False, error_expected=True)
        assert said.error is not None and said.error["code"] == "stopping"
        with pytest.raises(ProcessLookupError):
            os.killpg(server.pid, 0)
    assert "Traceback" not in server.err
    assert "Exception" not in server.err


def test_help_tells_every_setting(tmp_path: Path) -> None:
    """The help names each option with the variable that does the same."""
    with Serving(["-m", "offhook", "serve", "--help"], cwd=tmp_path, wait=False) as server:
        assert server.end() == 0
    for name in FIELDS:
        if name != "agent" and name not in TABLES:
            assert "--" + name.replace("_", "-") in server.out
            assert f"OFFHOOK_{name.upper()}" in server.out
