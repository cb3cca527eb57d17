"""The door for status webhooks of platforms: checked first, read then, and told to the calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from typing_extensions import override

from offhook.errors import BadField, BadJson, BadKey, SetupError
from offhook.server.answers import answer, json_messages
from offhook.server.body import check_coding, read_body
from offhook.server.door import Door
from offhook.webhooks.choose import named

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from offhook.clock import Clock
    from offhook.config import Settings
    from offhook.server.door import Visit
    from offhook.turns.told import Told
    from offhook.webhooks.base import Webhook

log = logging.getLogger("offhook.server")

SECRETS = ("token", "secret", "api_key")


class WebhookDoor(Door):
    """``POST .../webhooks/{platform}``: what one platform tells of its calls.

    It asks for no API key but for the platform's ``secret``. What it tells is of the calls of ``tenant``, None for
    whosever they are. ``max_body`` is in bytes.
    """

    methods: ClassVar[tuple[str, ...]] = ("POST",)

    def __init__(
        self, webhook: Webhook, *, secret: str, tenant: str | None, told: Told, max_body: int, clock: Clock
    ) -> None:
        super().__init__(keys=None, clock=clock)
        self.name = webhook.name
        self._webhook = webhook
        self._secret = secret
        self._tenant = tenant
        self._told = told
        self._max_body = max_body
        self._left_alone = 0

    @override
    async def visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._webhook.signs:
            # Before the body is read, as with keys.
            self._check_secret(visit, b"")
        check_coding(visit.headers)
        body = await read_body(visit.headers, receive, self._max_body)
        if body is None:
            return
        if self._webhook.signs:
            self._check_secret(visit, body)
        await self._take(body)
        await answer(send, json_messages(200, b'{"received":true}', request_id=visit.request_id))

    def _check_secret(self, visit: Visit, body: bytes) -> None:
        if not self._webhook.check(visit.headers, body, self._secret, self._clock.now()):
            raise BadKey(
                f"This webhook did not come with the {self._webhook.setting} of [webhooks.{self.name}], "
                "or is not signed with it."
            )

    async def _take(self, body: bytes) -> None:
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise BadJson("The body of the webhook is not JSON.") from None
        if not isinstance(value, Mapping):
            raise BadField("The body of the webhook is not an object.")
        news = self._webhook.read(value)
        if not news:
            self._left_alone += 1
            said = {"platform": self.name, "count": self._left_alone}
            log.debug("webhooks that told nothing of a call: %(count)d platform=%(platform)s", said)
        for one in news:
            known = await self._told.take(one, self._tenant, self.name)
            said = {"platform": self.name, "known": known, "ended": one.ended}
            log.debug("a webhook was taken: platform=%(platform)s known=%(known)s ended=%(ended)s", said)


def webhook_doors(settings: Settings, told: Told, clock: Clock) -> list[WebhookDoor]:
    """Give the doors of the platforms in ``[webhooks]``. Raises SetupError for one without its secret."""
    doors = []
    for name, table in settings.webhooks.items():
        webhook = named(name)
        given: dict[str, Any] = {key: getattr(table, key) for key in SECRETS}
        secret = given.pop(webhook.setting)
        if not secret or any(value is not None for value in given.values()):
            raise SetupError(f"[webhooks.{name}] has to have {webhook.setting}, and nothing else to know it by.")
        doors.append(
            WebhookDoor(webhook, secret=secret, tenant=table.tenant, told=told, max_body=settings.max_body, clock=clock)
        )
    return doors
