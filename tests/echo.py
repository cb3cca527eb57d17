"""A tiny application of another kind behind our connection: it tells what arrived, over HTTP and over a WebSocket."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import uvicorn

from offhook.server.protocol import LineProtocol
from offhook.server.run import base_url_of, bind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send


class Echo:
    """Answers a request with what it was. ``heard`` is that of each, and ``ports`` the client's of each."""

    def __init__(self) -> None:
        self.base_url = ""
        self.heard: list[dict[str, Any]] = []
        self.ports: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._talk(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        self.ports.append(scope["client"][1])
        heard = {
            "method": scope["method"],
            "path": scope["path"],
            "version": scope["http_version"],
            "headers": [name.decode() for name, _ in scope["headers"]],
            **digest(body),
        }
        self.heard.append(heard)
        answer = json.dumps(heard).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _talk(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            else:
                await send({"type": "websocket.send", "text": message["text"]})


def digest(body: bytes) -> dict[str, Any]:
    """Give what is told of a body."""
    return {"length": len(body), "sha256": sha256(body).hexdigest()}


@contextmanager
def echo_server() -> Iterator[Echo]:
    """Serve it on a free port, with a WebSocket implementation that is none of ours."""
    echo = Echo()
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(echo, http=LineProtocol, ws="websockets-sansio", loop="uvloop", lifespan="off", log_config=None)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    echo.base_url = base_url_of(listener)
    try:
        yield echo
    finally:
        server.should_exit = True
        thread.join()
