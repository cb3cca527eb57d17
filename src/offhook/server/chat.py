"""The chat door: one request in, one turn begun, its reply read out while the disconnect is watched for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from typing_extensions import override

from offhook.dialects.base import Arrival, Dialect
from offhook.dialects.choose import choose
from offhook.server.body import check_content_type, read_body
from offhook.server.door import Door, Visit
from offhook.server.outlet import Outlet
from offhook.server.reception import Guest, Reception
from offhook.server.stream import CompletionReader, StreamReader
from offhook.wire.chat import decode_request

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from offhook.clock import Clock
    from offhook.server.auth import Keys

log = logging.getLogger("offhook.server")

_SUFFIX = "/chat/completions"
# So many different mis-pasted addresses are told of before it is left at that.
_MOST_WARNINGS = 16


class ChatDoor(Door):
    """``POST .../chat/completions``, as raw ASGI: nothing is between the agent and the client's transport.

    ``dialect`` is that of every request, None to tell it from each. ``slow_reader`` is in seconds, see ``Outlet``.
    """

    methods = ("POST",)

    def __init__(
        self,
        *,
        reception: Reception,
        keys: Keys,
        clock: Clock,
        dialect: Dialect | None = None,
        max_body: int = 8 * 1024 * 1024,
        slow_reader: float = 30.0,
    ) -> None:
        super().__init__(keys=keys, clock=clock)
        self._reception = reception
        self._dialect = dialect
        self._max_body = max_body
        self._slow_reader = slow_reader
        self._warned: set[str] = set()

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        received = self._clock.monotonic()
        check_content_type(visit.headers)
        body = await read_body(visit.headers, receive, self._max_body)
        if body is None:
            return
        request = decode_request(body)
        arrival = Arrival(request=request, headers=visit.headers, query=visit.query, path=scope["path"])
        dialect = choose(arrival, self._dialect)
        if not dialect.doubles_path:
            self._warn_of_doubled_path(visit.path)
        prepared = self._reception.prepare(Guest(arrival, dialect, visit.owner, visit.request_id, received))
        outlet = Outlet(scope, send, clock=self._clock, patience=self._slow_reader)
        reader = (StreamReader if request.stream else CompletionReader)(prepared.face, outlet, self._clock)
        live = await self._reception.begin(prepared, reader, receive, self.on_refused)
        if live is None:
            return
        try:
            # The agent starts only when this task waits: a client that has already gone never starts it.
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._reception.leave(live, reader)

    def _warn_of_doubled_path(self, path: str) -> None:
        if path.count(_SUFFIX) < 2 or path in self._warned or len(self._warned) >= _MOST_WARNINGS:
            return
        self._warned.add(path)
        log.warning(
            "a request came to %(path)r: the base URL in the workflow's LLM node already ends in %(suffix)s, which the "
            "platform appends by itself; set the base URL to one that ends in %(base)r",
            {"path": path, "suffix": _SUFFIX, "base": path[: path.index(_SUFFIX)] or "the host"},
        )
