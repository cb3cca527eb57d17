"""The webhooks that there are, by the name of their platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.errors import SetupError
from offhook.webhooks import alibaba_ims, retell, vapi

if TYPE_CHECKING:
    from offhook.webhooks.base import Webhook

WEBHOOKS: dict[str, Webhook] = {one.WEBHOOK.name: one.WEBHOOK for one in (alibaba_ims, vapi, retell)}


def named(name: str) -> Webhook:
    """Give the webhook of a platform. Raises SetupError when there is none."""
    found = WEBHOOKS.get(name)
    if found is None:
        raise SetupError(f"There is no webhook of {name!r}; there are: {', '.join(WEBHOOKS)}.")
    return found
