"""``offhook serve`` that is told to stop while a WebSocket's reply goes on: its last frame and its hang-up go out."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.raw import KEY, PATIENCE, get
from tests.server.doors.platform import last, prompt, relay_path, retell_path, setup, tokens, wanted, words
from tests.serving import Serving

if TYPE_CHECKING:
    from pathlib import Path

AGENT = """
import asyncio

def gate():
    # Opens when the test writes into it.
    with open("gate") as file:
        file.read()

async def reply(turn):
    yield "Let me see. "
    await asyncio.to_thread(gate)
    yield turn.hangup("Goodbye then.")
"""


def drained(folder: Path, path: str, *asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the frames of a WebSocket whose server is told to stop in the middle of a reply, up to its end."""
    (folder / "agents.py").write_text(AGENT)
    os.mkfifo(folder / "gate")
    arguments = ["serve", "agents.py:reply", "--api-key", KEY, "--port", "0", "--data-dir", "data"]
    frames: list[dict[str, Any]] = []
    with Serving(["-m", "offhook", *arguments, "--stop-timeout", "60"], cwd=folder) as server:
        url = server.base_url.removesuffix("/v1").replace("http://", "ws://") + path
        with connect(url, close_timeout=1) as socket:
            for frame in asked:
                socket.send(json.dumps(frame))
            while not any("Let me see" in str(frame) for frame in frames):
                frames.append(json.loads(socket.recv(timeout=PATIENCE)))
            server.signal(signal.SIGTERM)
            while get(server.base_url, "/readyz", {}).status == 200:
                pass
            (folder / "gate").write_text("go")
            try:
                while True:
                    frames.append(json.loads(socket.recv(timeout=PATIENCE)))
            except ConnectionClosed as end:
                assert end.rcvd is not None and end.rcvd.code == 1001
        assert server.end() == 0
    assert "Traceback" not in server.err
    return frames


def test_the_last_frame_of_a_retell_reply_goes_out(tmp_path: Path) -> None:
    """It waits for the record, and the WebSocket is not closed before."""
    frames = drained(tmp_path, retell_path("c1"), wanted(1, ("user", "hi")))
    assert words(frames) == "Let me see. Goodbye then."
    assert frames[-1]["content_complete"] is True
    assert frames[-1]["end_call"] is True


def test_the_end_of_a_session_goes_out(tmp_path: Path) -> None:
    """What would have waited until the words are spoken is sent when the server goes down."""
    frames = drained(tmp_path, relay_path(), setup(), prompt("hi"))
    assert tokens(frames) == "Let me see. Goodbye then."
    assert last(frames[-2])
    assert frames[-1]["type"] == "end"
