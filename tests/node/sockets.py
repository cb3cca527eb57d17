"""A WebSocket server for tests that answers frames as a function says, and notes what it was sent."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

Frame = dict[str, Any]


class SocketServer:
    """Sends ``opening`` on each connection, and for each frame what ``answer`` gives; None closes the connection."""

    def __init__(
        self, answer: Callable[[Frame], Iterable[Any] | None], opening: Iterable[Frame] = (), status: int = 101
    ) -> None:
        self._answer = answer
        self._opening = list(opening)
        self._status = status
        self.frames: list[Frame] = []
        self.targets: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.came = asyncio.Event()
        self.left = asyncio.Event()

    @property
    def address(self) -> str:
        """What a platform is given, without a path."""
        host, port = self._runner.addresses[0][:2]
        return f"ws://{host}:{port}"

    async def __aenter__(self) -> SocketServer:
        application = web.Application()
        application.router.add_get("/{tail:.*}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def until(self, count: int) -> list[Frame]:
        """Give the frames once so many have come."""
        while len(self.frames) < count:
            self.came.clear()
            await self.came.wait()
        return self.frames

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.targets.append(request.raw_path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self._status != 101:
            return web.Response(status=self._status)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for frame in self._opening:
            await socket.send_json(frame)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            frame = json.loads(message.data)
            self.frames.append(frame)
            self.came.set()
            answers = self._answer(frame)
            if answers is None:
                break
            for one in answers:
                await (socket.send_str(one) if isinstance(one, str) else socket.send_json(one))
        self.left.set()
        return socket
