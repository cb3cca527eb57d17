"""For tests of webhooks: a server that takes them, an agent that is told of ends, and what platforms send."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from offhook.settings import WebhookSpec
from tests.callers import Talker, plain
from tests.raw import error_of, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offhook.events import OpenCall
    from offhook.store.base import StoredCall
    from tests.callers import Scene

TOKEN = "t0ken-of-ims"
WEBHOOKS: dict[str, dict[str, Any]] = {
    "alibaba_ims": {"token": TOKEN},
    "vapi": {"secret": "secret-of-vapi"},
    "retell": {"api_key": "key-of-retell"},
}
GOOD = {"Authorization": TOKEN}
QUIET = {"turn_silence": 0, "turn_deadline": 0, "filler": "off"}
IMS = "/webhooks/alibaba_ims"


class Host(Talker):
    """A talker that keeps how its calls ended: by what, who hung up, and the duration."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[tuple[str | None, str | None, str | None, float | None]] = []

    async def on_call_end(self, call: OpenCall) -> None:
        with self._changed:
            self.ends.append((call.id, call.ended_by, call.hung_up_by, call.duration))
            self._changed.notify_all()

    def ended(self, call: str, times: int) -> None:
        """Return when a call has ended so many times."""
        self.wait(lambda: sum(end[0] == call for end in self.ends) >= times)

    def end(self, call: str) -> tuple[str | None, str | None, float | None]:
        """Give how a call ended, once it has, which is told once."""
        self.wait(lambda: any(end[0] == call for end in self.ends))
        (found,) = [end[1:] for end in self.ends if end[0] == call]
        return found


def settings(**tables: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of a server with these webhooks, all of them by default."""
    return {**QUIET, "webhooks": {name: WebhookSpec(**table) for name, table in (tables or WEBHOOKS).items()}}


def post(base_url: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
    """Send a webhook; give the status, and the error's code or what was answered."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = request(base_url, raw, headers, path=path)
    return reply.status, error_of(reply)["code"] if reply.status >= 400 else json.loads(reply.body)


TAKEN = (200, {"received": True})


def unmarked(call: str, id: int = 1) -> tuple[dict[str, Any], dict[str, str]]:
    """Give a request in which no platform can be seen, and the headers that name its call and turn."""
    return plain("hello"), {"X-Call-Id": call, "X-Turn-Id": str(id)}


def ims(stage: Scene, call: str, event: str, **fields: Any) -> None:
    """Send an agent callback of a call, of now."""
    at = round(stage.clock.now() * 1000)
    body = {"aiAgentId": "a", "instanceId": call, "event": event, "code": 200, "timestamp": at, **fields}
    assert post(stage.server.base_url, IMS, body, GOOD) == TAKEN


def said(stage: Scene, call: str, turn_id: int, producer: str, text: str, id: str) -> None:
    """Send the callback about something that was said."""
    entry = {"dialogueId": id, "roundId": str(turn_id), "producer": producer, "text": text}
    at = round(stage.clock.now() * 1000)
    ims(stage, call, "chat_record", data={"dialogues": [{**entry, "time": at}]})


def hung_up(stage: Scene, call: str, role: int = 1, *, ago: float = 0.0) -> None:
    """Send the callback about the end of a telephone call of 12 seconds, which was so many seconds ago."""
    end = stage.clock.now() - ago
    ims(stage, call, "outbound_call", data={"callEndTime": end, "callDuration": 12, "hangupRole": role})


def stored(stage: Scene, call: str) -> StoredCall:
    """Give a call that has to be recorded."""
    found = stage.server.stored(call)
    assert found is not None
    return found


def closed(stage: Scene, call: str) -> tuple[str | None, str | None, float | None]:
    """Give how a call is recorded to have ended: by what, who hung up, and the duration."""
    one = stored(stage, call).call
    return one.ended_by, one.hung_up_by, one.duration


BODIES: dict[str, dict[str, Any]] = {
    "alibaba_ims": {"instanceId": "shut", "event": "agent_stop"},
    "vapi": {"message": {"type": "status-update", "status": "ended", "call": {"id": "shut"}}},
    "retell": {"event": "call_ended", "call": {"call_id": "shut"}},
}


def proof(name: str, body: bytes, now: float, key: str | None = None) -> dict[str, str]:
    """Give the headers by which a platform shows that it is the one."""
    if name == "alibaba_ims":
        return {"Authorization": f"Bearer {key or TOKEN}"}
    if name == "vapi":
        return {"X-Vapi-Secret": key or "secret-of-vapi"}
    stamp = str(round(now * 1000))
    digest = hmac.new((key or "key-of-retell").encode(), body + stamp.encode(), sha256).hexdigest()
    return {"X-Retell-Signature": f"v={stamp},d={digest}"}
