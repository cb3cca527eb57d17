"""The addresses of the endpoint, and the application that serves them."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.routing import Route, Router, WebSocketRoute
from typing_extensions import override

from offhook.errors import Overloaded, Stopping, UnknownCall, UnknownPath
from offhook.server.answers import answer, deny, json_messages, whole_messages
from offhook.server.door import Door, Visit, read_visit, refused
from offhook.turns.call import key_of
from offhook.webhooks.choose import WEBHOOKS
from offhook.wire.models import encode_list, encode_one

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.types import Receive, Scope, Send

    from offhook.clock import Clock
    from offhook.observe.metrics import Metrics
    from offhook.server.auth import Keys
    from offhook.server.chat import ChatDoor
    from offhook.server.doors.door import SocketDoor
    from offhook.server.line import Line
    from offhook.server.webhooks import WebhookDoor


# Under any prefix, as the webhooks themselves.
_WEBHOOK = re.compile(r"/webhooks(?:/([^/]*))?/?\Z")


class ModelsDoor(Door):
    """``GET .../models`` and ``GET .../models/{id}``: the ModelIds that are answered for."""

    scope = "models"

    def __init__(self, *, model_ids: Sequence[str], keys: Keys, clock: Clock) -> None:
        super().__init__(keys=keys, clock=clock)
        self._model_ids = tuple(model_ids)
        self._created = int(clock.now())

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        model_id = scope["path_params"].get("model_id")
        if model_id is None:
            body = encode_list(self._model_ids, self._created)
        else:
            body = encode_one(model_id, self._model_ids, self._created)
        await answer(send, json_messages(200, body, request_id=visit.request_id))


class HealthDoor(Door):
    """``GET /healthz``: the process lives. Without a key, like ``/readyz``."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(keys=None, clock=clock)

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, json_messages(200, b'{"status":"ok"}', request_id=visit.request_id))


class ReadyDoor(Door):
    """``GET /readyz``: the server takes new turns; 503 when it has too many, and once it goes down.

    ``degraded`` names what it does without.
    """

    def __init__(self, *, line: Line, clock: Clock) -> None:
        super().__init__(keys=None, clock=clock)
        self._line = line

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        if self._line.engine.stopping:
            raise Stopping("The server is going down; try another one.")
        if self._line.admission.overloaded:
            raise Overloaded("This server answers as many turns as it may; try another one.", retry_after=1)
        body: dict[str, Any] = {"status": "ready"}
        if degraded := self._line.engine.degraded:
            body["degraded"] = degraded
        await answer(send, json_messages(200, msgspec.json.encode(body), request_id=visit.request_id))


class EndDoor(Door):
    """``POST .../calls/{id}/end``: the call has ended, as somebody knows who is told; 404 when it is not live here."""

    methods = ("POST",)
    scope = "calls"

    def __init__(self, *, line: Line, keys: Keys, clock: Clock) -> None:
        super().__init__(keys=keys, clock=clock)
        self._line = line

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        call_id = scope["path_params"]["call_id"]
        key = key_of(call_id, visit.owner.tenant)
        if key is None or not self._line.calls.end(key, "callback"):
            raise UnknownCall(f"The call {call_id!r} is not live here.")
        await answer(send, json_messages(200, b'{"ended":true}', request_id=visit.request_id))


class MetricsDoor(Door):
    """``GET /metrics``: the figures of the server for Prometheus."""

    scope = "metrics"

    def __init__(self, *, metrics: Metrics, keys: Keys | None, clock: Clock) -> None:
        super().__init__(keys=keys, clock=clock)
        self._metrics = metrics

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        body, content_type = self._metrics.render(visit.headers.get("accept", ""))
        await answer(send, whole_messages(200, body, content_type.encode(), request_id=visit.request_id))


class NowhereDoor:
    """Every other address: 404, with what to correct."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.on_refused: Callable[[str | None], None] = lambda code: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = read_visit({"method": "GET", **scope}, self._clock)
        error = UnknownPath(f"Nothing is served at {visit.method} {visit.path}. {_advice(visit.path)}")
        self.on_refused(error.code)
        if scope["type"] == "websocket":
            await deny(send, refused(error, visit))
        else:
            await answer(send, refused(error, visit))


def _advice(path: str) -> str:
    """Give what to correct for an address at which nothing is."""
    found = _WEBHOOK.search(path)
    if found is None:
        return (
            "Chat completions are at /v1/chat/completions: set the base URL to one that ends in /v1; "
            "the client appends /chat/completions."
        )
    names = ", ".join(WEBHOOKS)
    if found[1] in WEBHOOKS:
        return (
            f"To take what {found[1]} sends, add [webhooks.{found[1]}] with its {WEBHOOKS[found[1]].setting} "
            f"to offhook.toml; there are: {names}."
        )
    return f"Webhooks are at /webhooks/NAME: add [webhooks.NAME] to offhook.toml; there are: {names}."


def make_router(
    line: Line,
    *,
    chat: ChatDoor,
    models: ModelsDoor,
    metrics: MetricsDoor | None,
    keys: Keys,
    clock: Clock,
    webhooks: Sequence[WebhookDoor] = (),
    retell: SocketDoor | None = None,
    relay: SocketDoor | None = None,
    on_refused: Callable[[str | None], None] = lambda code: None,
) -> Router:
    """Give the ASGI application. Chat and models are served under any prefix, since base URLs are mis-pasted.

    ``on_refused`` is given the code of each request that is refused, save those that only ask how the server is.
    """
    end, nowhere = EndDoor(line=line, keys=keys, clock=clock), NowhereDoor(clock)
    sockets = [door for door in (retell, relay) if door is not None]
    doors: list[Door | NowhereDoor | SocketDoor] = [chat, models, end, nowhere, *webhooks, *sockets]
    if metrics is not None:
        doors.append(metrics)
    for door in doors:
        door.on_refused = on_refused

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        await line.start()
        try:
            yield
        finally:
            await line.close()

    return Router(
        [
            Route("/healthz", HealthDoor(clock=clock)),
            Route("/readyz", ReadyDoor(line=line, clock=clock)),
            *([] if metrics is None else [Route("/metrics", metrics)]),
            *socket_routes(retell, relay),
            *(Route(prefix + "/chat/completions", chat) for prefix in ("", "/{prefix:path}")),
            *(Route(prefix + "/calls/{call_id:path}/end", end) for prefix in ("", "/{prefix:path}")),
            *(Route(f"{prefix}/webhooks/{door.name}", door) for door in webhooks for prefix in ("", "/{prefix:path}")),
            *(Route(prefix + "/models", models) for prefix in ("", "/{prefix:path}")),
            *(Route(prefix + "/models/{model_id:path}", models) for prefix in ("", "/{prefix:path}")),
        ],
        redirect_slashes=False,
        default=nowhere,
        lifespan=lifespan,
    )


def socket_routes(retell: SocketDoor | None, relay: SocketDoor | None) -> list[WebSocketRoute]:
    """Give the addresses of the WebSocket doors, under any prefix; see ``door_address.py``."""
    routes = []
    if retell is not None:
        routes += [
            WebSocketRoute(f"{prefix}/llm-websocket/{doubled}{{call_id}}{slash}", retell)
            for prefix in ("", "/{prefix:path}")
            for doubled in ("", "/")
            for slash in ("", "/")
        ]
    if relay is not None:
        routes += [
            WebSocketRoute(f"{prefix}/{name}{rest}", relay)
            for prefix in ("", "/{prefix:path}")
            for name in ("conversationrelay", "conversation-relay")
            for rest in ("", "/", "/{rest:path}")
        ]
    return routes
