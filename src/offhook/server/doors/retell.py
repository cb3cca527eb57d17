"""Retell's door: ``.../llm-websocket/{call_id}``, one WebSocket for each call, and a new one after a lost connection.

Sources: see ``dialects/retell.py``. The platform can send no header, so the key is a part of the URL. A WebSocket that
closes ends no call, since the platform may come back; it is never closed from here with 1000, which would hang up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from offhook.dialects.base import read_object
from offhook.dialects.retell import FIRST, RETELL, Responses, config, pong, request_of, response_id
from offhook.server.door_address import parts_of
from offhook.server.doors.door import SocketDoor
from offhook.server.doors.session import Asking, Session, model_of, with_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from offhook.clock import Timer
    from offhook.server.door import Visit
    from offhook.server.doors.socket import SocketOutlet

# Seconds that an agent which speaks first waits for the call object.
_DETAILS = 1.0


class RetellDoor(SocketDoor):
    """``.../retell/<API-KEY>/llm-websocket/{call_id}``, the key as well in the query or not at all."""

    @override
    def session(self, visit: Visit, path: str, scope: Scope, outlet: SocketOutlet) -> Session:
        key, model = parts_of(path)
        visit = with_key(visit, key)

        def check() -> Any:
            return self._keys.check(visit.headers, visit.query, "chat")

        check()
        return RetellSession(
            scope["path_params"]["call_id"],
            visit=visit,
            check=check,
            model=model_of(model or visit.query.get("model"), self._reception),
            outlet=outlet,
            reception=self._reception,
            clock=self._clock,
            on_refused=self.on_refused,
        )


class RetellSession(Session):
    """One WebSocket of a call. ``newest`` is the response that the platform waits for."""

    dialect = RETELL

    def __init__(self, call_id: str, **common: Any) -> None:
        super().__init__(**common)
        self._call_id = call_id
        self._call: Mapping[str, Any] = {}
        self._newest: int | None = None
        self._transcript: Any = None
        self._asking: Asking | None = None
        self._beginning: Timer | None = None

    @override
    def opened(self) -> None:
        self.outlet.frame(config())
        again = self.reception.goes_on(self._call_id, self.check())
        if self.reception.options(RETELL).begin and not again:
            self._beginning = self.later(_DETAILS, self._begin)
        else:
            # The platform lets the caller speak first.
            for frame in Responses(FIRST).finish():
                self.outlet.frame(frame)

    @override
    def hear(self, frame: Mapping[str, Any]) -> None:
        match frame.get("interaction_type"):
            case "ping_pong":
                self.outlet.frame(pong(frame))
            case "call_details":
                self._call = read_object(frame.get("call"))
                self._begin()
            case "response_required" | "reminder_required":
                self._respond(frame)
            case "update_only":
                pass
            case _:
                self.puzzled("it has no interaction_type that is known")

    @override
    def closed(self) -> None:
        self._stop_beginning()

    def _respond(self, frame: Mapping[str, Any]) -> None:
        asked = response_id(frame)
        if asked is None:
            self.puzzled("it asks for a response and has no response_id")
            return
        transcript = frame.get("transcript")
        if self._newest is not None and (
            asked < self._newest or (asked, transcript) == (self._newest, self._transcript)
        ):
            # The platform takes nothing of an older response, and is being told the newest already.
            return
        self._stop_beginning()
        self._newest, self._transcript = asked, transcript
        self._ask(frame, asked)

    def _begin(self) -> None:
        """Let the agent speak first, once."""
        if self._beginning is not None:
            self._stop_beginning()
            self._newest = FIRST
            self._ask({"interaction_type": "begin", "response_id": FIRST}, FIRST)

    def _stop_beginning(self) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
            self._beginning = None

    def _ask(self, frame: Mapping[str, Any], asked: int) -> None:
        if self._asking is not None:
            # The platform takes nothing of an older response, and would take it for this one's under the same id.
            self._asking.reader.mute()
        request = request_of(frame, call_id=self._call_id, call=self._call, model=self.model)
        self._asking = self.ask(request, Responses(asked))
