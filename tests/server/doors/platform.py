"""For tests of the WebSocket doors: the platform's side of one, spoken by a client that nobody here wrote."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.raw import KEY, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from websockets.sync.client import ClientConnection

    from tests.callers import Scene

# What a scene with these settings waits for is told by its tests.
QUIET: dict[str, Any] = {"turn_silence": 0, "turn_deadline": 0, "filler": "off"}


class Line:
    """A WebSocket of the platform. ``frames`` are all that have come."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    def send(self, frame: Mapping[str, Any] | str | bytes) -> None:
        """Send a frame: an object, or anything else as it is."""
        self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    def read(self) -> dict[str, Any]:
        """Give the next frame."""
        frame: dict[str, Any] = json.loads(self.socket.recv(timeout=PATIENCE))
        self.frames.append(frame)
        return frame

    def until(self, true: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Give the next frames, up to the first for which something is true."""
        frames = [self.read()]
        while not true(frames[-1]):
            frames.append(self.read())
        return frames

    def heard(self, scene: Scene) -> None:
        """Return when the server has taken what was sent."""
        assert self.socket.ping().wait(PATIENCE)
        scene.seen()

    def code(self) -> int:
        """Give the code with which the server closes, once it has."""
        try:
            while True:
                self.read()
        except ConnectionClosed as end:
            assert end.rcvd is not None, "the connection broke"
            return end.rcvd.code

    def close(self) -> None:
        """Close it, as a platform does when the call is over."""
        self.socket.close()


@contextmanager
def dialled(scene: Scene, path: str, headers: Mapping[str, str] | None = None, **options: Any) -> Iterator[Line]:
    """Give a WebSocket of the server at a path."""
    url = scene.server.base_url.removesuffix("/v1").replace("http://", "ws://") + path
    with connect(url, additional_headers=dict(headers or {}), close_timeout=1, **options) as socket:
        yield Line(socket)


def refused(scene: Scene, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Give status and error of a handshake that the server refuses."""
    try:
        with dialled(scene, path, headers):
            raise AssertionError("the server accepted it")
    except InvalidStatus as refusal:
        error: dict[str, Any] = json.loads(refusal.response.body or b"{}")["error"]
        return refusal.response.status_code, error


def retell_path(call: str, key: str = KEY) -> str:
    """Give the address of a call as the platform makes it from the URL that it was given."""
    return f"/retell/{key}/llm-websocket/{call}"


def wanted(id: int, *said: tuple[str, str], kind: str = "response_required") -> dict[str, Any]:
    """Give Retell's frame that wants a response."""
    transcript = [{"role": role, "content": content} for role, content in said]
    return {"interaction_type": kind, "response_id": id, "transcript": transcript}


def answered(id: int) -> Callable[[dict[str, Any]], bool]:
    """Tell of a frame whether it ends Retell's response with this id."""
    return lambda frame: frame.get("response_id") == id and frame["content_complete"]


def words(frames: list[dict[str, Any]]) -> str:
    """Give the words of Retell's responses."""
    return "".join(frame.get("content", "") for frame in frames)


def ended_by(scene: Scene, call: str) -> str | None:
    """Give by what a call has ended, as it is recorded once the server has had its steps for that."""
    for _ in range(20):
        scene.seen()
        stored = scene.server.stored(call)
        if stored is not None and stored.call.ended_by is not None:
            return stored.call.ended_by
    return None


SETUP: dict[str, Any] = {
    "type": "setup",
    "sessionId": "VX1",
    "callSid": "CA1",
    "from": "+14155550100",
    "to": "+14155550123",
    "direction": "inbound",
    "customParameters": {"tier": "gold"},
}


def relay_path(key: str = KEY) -> str:
    """Give the address of a ConversationRelay session."""
    return f"/conversationrelay?api-key={key}"


def setup(call: str = "CA1", session: str = "VX1", **parameters: str) -> dict[str, Any]:
    """Give the first frame of a session."""
    return {**SETUP, "callSid": call, "sessionId": session, "customParameters": parameters or {"tier": "gold"}}


def prompt(text: str, **more: Any) -> dict[str, Any]:
    """Give the frame of what the caller said."""
    return {"type": "prompt", "voicePrompt": text, "lang": "en-US", "last": True, **more}


def last(frame: dict[str, Any]) -> bool:
    """Tell whether a frame ends a ConversationRelay reply."""
    return frame["type"] == "text" and frame["last"] is True


def tokens(frames: list[dict[str, Any]]) -> str:
    """Give the words of text frames."""
    return "".join(frame["token"] for frame in frames if frame["type"] == "text")
