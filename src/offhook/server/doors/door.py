"""The door of a WebSocket platform, as raw ASGI: the handshake, the key, and then its frames one by one."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.errors import OffhookError
from offhook.server.answers import deny, error_messages
from offhook.server.door import read_visit, refused
from offhook.server.doors.session import FAILED, Ended, Session
from offhook.server.doors.socket import MOST_WAITING, SocketOutlet
from offhook.server.flow import FAREWELL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from offhook.clock import Clock
    from offhook.server.auth import Keys
    from offhook.server.door import Visit
    from offhook.server.reception import Reception

log = logging.getLogger("offhook.server")

# So many frames are heard before others have the loop.
_AT_A_TIME = 16
# The escape of a surrogate, which may be a lone one.
_SURROGATE = re.compile(r"\\u[dD]")


class SocketDoor:
    """A WebSocket address. A subclass makes the session of one connection.

    ``patience`` is how many seconds a client may take nothing, ``setup`` how many it has to say who it is.
    """

    def __init__(
        self, *, reception: Reception, keys: Keys, clock: Clock, patience: float = 30.0, setup: float = 10.0
    ) -> None:
        self._reception = reception
        self._keys = keys
        self._clock = clock
        self._patience = patience
        self._setup = setup
        self.on_refused: Callable[[str | None], None] = lambda code: None

    def session(self, visit: Visit, path: str, scope: Scope, outlet: SocketOutlet) -> Session:
        """Give the session of a connection; ``path`` is the whole one. Raises OffhookError to refuse the handshake."""
        raise OffhookError(f"Nothing is served at {visit.path}.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # The handshake.
        visit = read_visit({**scope, "method": "GET"}, self._clock)
        outlet = SocketOutlet(scope, send, clock=self._clock, patience=self._patience)
        try:
            self._reception.refuse_when_stopping()
            session = self.session(visit, scope["path"], scope, outlet)
        except OffhookError as error:
            self.on_refused(error.code)
            await deny(send, refused(error, visit))
            return
        except Exception:
            log.exception("a handshake failed inside the server: request=%s", visit.request_id)
            failure = OffhookError("The server failed on this request; its log says why.")
            await deny(send, error_messages(failure, request_id=visit.request_id))
            return
        await send({"type": "websocket.accept"})
        scope.get("extensions", {}).get(FAREWELL, []).append(session.last_words)
        try:
            session.opened()
            session.flush()
            await self._listen(session, receive)
        except Ended as end:
            outlet.close(end.code, end.reason)
        except Exception:
            # A defect of this server.
            log.exception("a WebSocket failed inside the server: request=%s", visit.request_id)
            outlet.close(FAILED, "The server failed.")
        finally:
            # Before the first wait: an agent is cancelled within the step in which the disconnect is seen.
            await session.close()
        if outlet.waiting:
            # The goodbye, and what stands before it.
            await outlet.drain()

    async def _listen(self, session: Session, receive: Receive) -> None:
        """Hand the frames to the session until the platform has gone."""
        for count in itertools.count(1):
            message = await receive()
            if count % _AT_A_TIME == 0:
                # Those that are there already are given without a wait, and others wait for the loop.
                await asyncio.sleep(0)
            if message["type"] == "websocket.disconnect":
                return
            frame = read_frame(message)
            if frame is None:
                session.puzzled("it is no JSON object")
                continue
            session.hear(frame)
            session.flush()
            if session.outlet.waiting > MOST_WAITING:
                # One that asks and does not read is not listened to until it does.
                await session.outlet.drain()


def read_frame(message: Message) -> Mapping[str, Any] | None:
    """Give the object that a message holds, None where it holds none."""
    text = message.get("text")
    if text is None:
        return None
    try:
        frame = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if _SURROGATE.search(text) is None:
            return None
        frame = _with_halves(text)
    return frame if isinstance(frame, dict) else None


def _with_halves(text: str) -> Any:
    """Give what stands in a JSON text in which half a surrogate pair may stand, None where that is none either."""
    try:
        # What UTF-8 cannot hold becomes a question mark: a caller is not left without an answer for it.
        whole = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
        return msgspec.json.decode(whole)
    except (ValueError, RecursionError):
        return None
