"""What the platform sends and what went back, as text and as files, without a secret in it."""

from __future__ import annotations

import json
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest

from offhook.errors import SetupError
from offhook.testing import live_server
from tests.oracle import check_stream
from tests.raw import PATIENCE, Wire, chat_body, raw_request, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from offhook.events import Turn

KEY = "sk-very-secret"
CHAT = "/v1/chat/completions"


async def agent(turn: Turn) -> AsyncIterator[Any]:
    if turn.text == "wait":
        yield "Waiting."
        await turn.cancelled.wait()
    yield "You said: "
    yield turn.text


class Shown:
    """Takes what --show prints."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, text: str) -> None:
        with self._changed:
            self.texts.append(text)
            self._changed.notify_all()

    def wait(self, count: int = 1) -> str:
        """Give the last of so many exchanges: its request and its reply."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.texts) >= 2 * count, PATIENCE)
            return "".join(self.texts[-2:])

    def wait_for_a_request(self) -> str:
        """Give the first request, whether or not it has been answered."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.texts), PATIENCE)
            return self.texts[0]


def captured(folder: Path) -> list[dict[str, Any]]:
    """Give the files in the order of their names; read when the server has stopped, so all are written."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.iterdir())]


def test_show_prints_the_request_and_the_reply() -> None:
    """Method, path, query, headers and body of the request stand there, and the reply's status, headers and text."""
    shown = Shown()
    with live_server(agent, api_key=KEY, show=shown) as server:
        headers = {"Authorization": f"Bearer {KEY}", "X-Platform": "ims"}
        request(server.base_url, chat_body("你好", extendData={"sentenceId": 3}), headers, path=f"{CHAT}?task_id=t1")
        text = shown.wait()
    assert text.startswith(f"--> POST {CHAT}?task_id=t1\n")
    assert "    x-platform: ims\n" in text
    assert '"content": "你好"' in text
    assert '"sentenceId": 3' in text
    assert f"<-- 200 (complete) to POST {CHAT}\n" in text
    assert "    content-type: text/event-stream; charset=utf-8\n" in text
    assert '{"content":"You said: "}' in text
    assert "data: [DONE]" in text


def test_show_prints_bodies_that_are_no_json_as_they_are() -> None:
    """A Python literal is shown as text, beside the error that it got."""
    shown = Shown()
    with live_server(agent, api_key=KEY, show=shown) as server:
        request(server.base_url, b"{'model': 'abc'}", {"api-key": KEY})
        text = shown.wait()
    assert "{'model': 'abc'}" in text
    assert "<-- 400 (complete)" in text
    assert "Python literal" in text


def test_a_request_is_shown_before_it_is_answered() -> None:
    """While the agent is still silent one sees what the platform asked."""
    shown = Shown()
    with live_server(agent, api_key=KEY, show=shown) as server, Wire(server.base_url) as wire:
        wire.ask(chat_body("wait"), {"Authorization": f"Bearer {KEY}"})
        text = shown.wait_for_a_request()
        wire.read_until(b"Waiting")
        assert server.live == 1
    assert '"content": "wait"' in text
    assert "<--" not in text


def test_what_is_shown_cannot_command_the_terminal() -> None:
    """Control characters in an address, which anybody may send, and in a body are shown as numbers."""
    shown = Shown()
    with live_server(agent, api_key=KEY, show=shown) as server:
        request(server.base_url, None, {}, method="GET", path="/%1b%5d0;owned%07%0d")
        shown.wait(1)
        request(server.base_url, b"\x1b[2J\xc2\x9b2J", {"api-key": KEY})
        shown.wait(2)
    text = "".join(shown.texts)
    assert "/\\x1b]0;owned\\x07\\x0d" in text
    assert "\\x1b[2J\\x9b2J" in text
    assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": f"Bearer {KEY}"}, ""),
        ({"Authorization": f"bearer  {KEY}"}, ""),
        ({"Authorization": KEY, "api-key": KEY}, ""),
        ({"Authorization": f"{KEY} and more", "api-key": KEY}, ""),
        ({"Authorization": f"Bearer {KEY}", "authorization": f"Bearer {KEY}"}, ""),
        ({"API-KEY": KEY, "X-Api-Key": KEY, "Cookie": f"session={KEY}", "Proxy-Authorization": f"Basic {KEY}"}, ""),
        ({"X-Twilio-Signature": f"{KEY}", "X-Retell-Signature": KEY}, f"?api-key={KEY}"),
        ({}, f"?api-key={KEY}"),
        ({}, f"?api-key=sk%2Dvery%2Dsecret&task_id=t1&token={KEY}&API_KEY={KEY}"),
    ],
)
def test_no_secret_is_shown_or_kept(tmp_path: Path, headers: dict[str, str], query: str) -> None:
    """Keys are masked wherever they came: in headers of any case, and in the query."""
    shown = Shown()
    folder = tmp_path / "kept"
    with live_server(agent, api_key=KEY, show=shown, capture=str(folder)) as server:
        request(server.base_url, chat_body(), headers, path=CHAT + query)
        shown.wait()
    [file] = folder.iterdir()
    for text in ("".join(shown.texts), file.read_text("utf-8")):
        assert KEY not in text
        assert "secret" not in text
        assert "***" in text


def test_captured_files_hold_the_exchange_as_it_was(tmp_path: Path) -> None:
    """A file holds the request with its body as JSON, the reply's bytes as text, and when it came."""
    folder = tmp_path / "deep" / "kept"
    body = chat_body("你好\u2028", extendData={"userData": '{"a":"b"}'}, unknown=[1, None, 2.5])
    with live_server(agent, capture=str(folder)) as server:
        request(server.base_url, body, path=f"{CHAT}?task_id=t1&task_id=t2&empty=")
    [kept] = captured(folder)
    assert kept["offhook_capture"] == 1
    sent = kept["request"]
    assert (sent["method"], sent["path"]) == ("POST", CHAT)
    assert sent["query"] == [["task_id", "t1"], ["task_id", "t2"], ["empty", ""]]
    assert sent["body"] == body
    assert ["content-type", "application/json"] in sent["headers"]
    reply = kept["reply"]
    assert (reply["status"], reply["ended"]) == (200, "complete")
    assert check_stream(reply["body"].encode(), usage_asked=False).text == "You said: 你好\u2028"


def test_captured_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """The folder has mode 0700 and each file 0600: they hold what callers said."""
    folder = tmp_path / "kept"
    with live_server(agent, capture=str(folder)) as server:
        request(server.base_url, chat_body())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    [file] = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_exchange_has_a_file_of_its_own_in_order(tmp_path: Path) -> None:
    """Exchanges are kept in the order in which they ended, errors and bodies that are no JSON included."""
    with live_server(agent, capture=str(tmp_path)) as server:
        request(server.base_url, chat_body("one"))
        request(server.base_url, b"nonsense \xff")
        request(server.base_url, chat_body("three"), {})
        raw_request(server.base_url, None, method="GET", path="/healthz")
    kept = captured(tmp_path)
    assert [one["reply"]["status"] for one in kept] == [200, 400, 401, 200]
    assert kept[0]["request"]["body"]["messages"][0]["content"] == "one"
    assert kept[1]["request"]["body"] == "nonsense \ufffd"


def test_a_disconnect_is_noted(tmp_path: Path) -> None:
    """What was sent before the client left is kept, with the fact that it left."""
    with live_server(agent, capture=str(tmp_path)) as server:
        with Wire(server.base_url) as wire:
            wire.ask(chat_body("wait"))
            wire.read_until(b"Waiting")
        server.wait_for_turns(1)
    [kept] = captured(tmp_path)
    assert kept["reply"]["ended"] == "the client disconnected"
    assert "Waiting" in kept["reply"]["body"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """--capture on something that is no folder is refused when the server is set up."""
    (tmp_path / "file").write_text("")
    for place in ("file", "file/inside"):
        with pytest.raises(SetupError, match="captur") as raised, live_server(agent, capture=str(tmp_path / place)):
            pass
        assert "\n" not in str(raised.value)


def test_a_capture_that_fails_is_told_and_the_call_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the folder is gone the reply is not, and the log says that nothing was kept."""
    folder = tmp_path / "kept"
    with live_server(agent, capture=str(folder)) as server:
        folder.rmdir()
        reply = request(server.base_url, chat_body())
        assert check_stream(reply.body, usage_asked=False).text == "You said: hello"
    assert "not be kept" in caplog.text


def test_a_deeply_nested_body_does_not_swell(tmp_path: Path) -> None:
    """A body of many brackets is kept about as long as it came."""
    # Brackets in strings are no nesting, and must not hide it either.
    nested = {"deep": [json.loads('["]]]",' * 400 + "0" + "]" * 400)] * 20}
    with live_server(agent, api_key=KEY, capture=str(tmp_path / "kept")) as server:
        request(server.base_url, {**chat_body(), **nested}, {"api-key": KEY})
    [file] = (tmp_path / "kept").iterdir()
    assert file.stat().st_size < 200_000
    assert json.loads(file.read_text("utf-8"))["request"]["body"]["deep"] == nested["deep"]
