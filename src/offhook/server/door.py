"""What every address has in common: a request id, a method, a key, and errors in the OpenAI shape."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qsl

import msgspec

from offhook.errors import OffhookError, WrongMethod
from offhook.server.answers import answer, error_messages
from offhook.server.auth import ANYBODY, Owner
from offhook.server.door_address import masked

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from offhook.clock import Clock
    from offhook.server.auth import Keys
    from offhook.server.keys import KeyScope

log = logging.getLogger("offhook.server")

_LONGEST_REQUEST_ID = 128


class Visit(msgspec.Struct, frozen=True):
    """A request before its body is read. Header names are in lower case; of a repeated name the last counts.

    ``owner`` is whose key it came with. ``path`` shows none.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    request_id: str
    owner: Owner = ANYBODY


class Door:
    """A raw ASGI address. A subclass says what it does in ``visit``, which methods it has, and which scope it is in.

    Without ``keys`` it asks for none. ``on_refused`` is given the code of each error that it answers with.
    """

    methods: ClassVar[tuple[str, ...]] = ("GET", "HEAD")
    scope: ClassVar[KeyScope] = "chat"

    def __init__(self, *, keys: Keys | None, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self.on_refused: Callable[[str | None], None] = lambda code: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = read_visit(scope, self._clock)
        try:
            visit = msgspec.structs.replace(visit, owner=self._check(visit))
            await self.visit(visit, scope, receive, send)
        except OffhookError as error:
            self.on_refused(error.code)
            await answer(send, refused(error, visit))
        except Exception:
            # A defect of this server. The client gets an answer that it can read, the log gets the rest.
            log.exception("a request failed inside the server: request=%s", visit.request_id)
            failure = OffhookError("The server failed on this request; its log says why.")
            await answer(send, error_messages(failure, request_id=visit.request_id))

    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. An OffhookError raised before anything was sent becomes its answer."""
        raise OffhookError(f"Nothing is served at {visit.path}.")

    def _check(self, visit: Visit) -> Owner:
        if visit.method not in self.methods:
            raise WrongMethod(
                f"{visit.method} is not served at {visit.path}; use {' or '.join(self.methods)}.",
                allow=", ".join(self.methods),
            )
        return ANYBODY if self._keys is None else self._keys.check(visit.headers, visit.query, self.scope)


def refused(error: OffhookError, visit: Visit) -> tuple[Message, Message]:
    """Give the ASGI messages of an error response.

    A client that waits for ``100 Continue`` and gets an error may keep its body to itself, and nobody could then tell
    where its next request begins: such a connection ends (RFC 9110, 10.1.1).
    """
    said = {"status": error.status, "code": error.code, "request": visit.request_id.replace(" ", "_")}
    log.info("a request was refused: %(status)d %(code)s request=%(request)s", said)
    start, body = error_messages(error, request_id=visit.request_id)
    if "expect" in visit.headers:
        start["headers"].append((b"connection", b"close"))
    return start, body


def read_visit(scope: Scope, clock: Clock) -> Visit:
    """Read what the request line and headers say."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    asked = headers.get("x-request-id", "")
    good = 0 < len(asked) <= _LONGEST_REQUEST_ID and asked.isascii() and asked.isprintable()
    return Visit(
        method=scope["method"],
        path=masked(scope["path"]),
        headers=headers,
        query=query,
        request_id=asked if good else clock.new_id("req_"),
    )
