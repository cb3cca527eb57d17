"""Which dialect a request speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.dialects.agora import AGORA
from offhook.dialects.alibaba_ims import ALIBABA_IMS
from offhook.dialects.assemblyai import ASSEMBLYAI
from offhook.dialects.bolna import BOLNA
from offhook.dialects.conversation_relay import CONVERSATION_RELAY
from offhook.dialects.deepgram import DEEPGRAM
from offhook.dialects.elevenlabs import ELEVENLABS
from offhook.dialects.livekit import LIVEKIT
from offhook.dialects.pipecat import PIPECAT
from offhook.dialects.plain import PLAIN
from offhook.dialects.retell import RETELL
from offhook.dialects.trtc import TRTC
from offhook.dialects.vapi import VAPI
from offhook.dialects.volcengine import VOLCENGINE
from offhook.dialects.zego import ZEGO
from offhook.errors import SetupError

if TYPE_CHECKING:
    from offhook.dialects.base import Arrival, Dialect

# In the order in which their marks are looked for; ``plain`` is what is left. First come those who send what nobody
# else does; Vapi before Agora, since its users' own metadata may stand beside its call. Volcengine's marks are weaker,
# and Alibaba's IMS is told by a query parameter too, whose name a person who puts ids into the URL may choose.
DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        TRTC,
        LIVEKIT,
        VAPI,
        AGORA,
        ELEVENLABS,
        PIPECAT,
        ASSEMBLYAI,
        BOLNA,
        DEEPGRAM,
        ZEGO,
        VOLCENGINE,
        ALIBABA_IMS,
        RETELL,
        CONVERSATION_RELAY,
        PLAIN,
    )
}

_HERE = {name: dialect for name, dialect in DIALECTS.items() if dialect.door == "http"}

HEADER = "x-offhook-dialect"


def named(name: str) -> Dialect:
    """Give the dialect of that name. Raises SetupError when there is none."""
    dialect = DIALECTS.get(name)
    if dialect is None:
        raise SetupError(f"There is no dialect {name!r}; there are: {', '.join(DIALECTS)}.")
    return dialect


def fixed(platform: str) -> Dialect | None:
    """Give the dialect that every chat completion is taken for, None for ``auto``.

    Raises SetupError when there is none of that name, or it comes by a WebSocket.
    """
    if platform == "auto":
        return None
    dialect = DIALECTS.get(platform)
    if dialect is None:
        raise SetupError(f"There is no dialect {platform!r}; there are: auto, {', '.join(_HERE)}.")
    if dialect.door == "socket":
        raise SetupError(
            f"The platform {platform!r} sends no chat completions: it comes by a WebSocket, which is open whatever the "
            "setting is. Leave platform at auto."
        )
    return dialect


def choose(arrival: Arrival, setting: Dialect | None) -> Dialect:
    """Give the dialect of a request: what the setting fixes, else what the request names, else by its marks.

    It is one of those that come with chat completions. A request names a dialect in its ``x-offhook-dialect`` header,
    or in a part of its URL's path: a platform that lets nothing but the base URL be set is given
    ``https://host/deepgram/v1``.
    """
    if setting is not None:
        return setting
    asked = _HERE.get(arrival.headers.get(HEADER, ""))
    if asked is None:
        asked = next((_HERE[part] for part in arrival.path.split("/") if part in _HERE), None)
    if asked is not None:
        return asked
    return next((dialect for dialect in _HERE.values() if dialect.marks(arrival)), PLAIN)
