"""Each platform's own side of the line, as data and small functions; ``platform_of`` finds one by its name."""

from __future__ import annotations

from offhook.errors import SetupError
from offhook.node.platforms.agora import AGORA
from offhook.node.platforms.alibaba_ims import ALIBABA_IMS
from offhook.node.platforms.base import Platform
from offhook.node.platforms.conversation_relay import CONVERSATION_RELAY, RELAY_WIRE
from offhook.node.platforms.elevenlabs import ELEVENLABS
from offhook.node.platforms.frameworks import LIVEKIT, PIPECAT
from offhook.node.platforms.plain import ASSEMBLYAI, BOLNA, DEEPGRAM, PLAIN, ZEGO
from offhook.node.platforms.retell import RETELL, RETELL_WIRE
from offhook.node.platforms.trtc import TRTC
from offhook.node.platforms.vapi import VAPI
from offhook.node.platforms.volcengine import VOLCENGINE

__all__ = ["PLATFORMS", "WIRES", "Platform", "platform_of"]

PLATFORMS = {
    platform.name: platform
    for platform in (
        *(ALIBABA_IMS, TRTC, AGORA, VOLCENGINE, VAPI, ELEVENLABS, LIVEKIT, PIPECAT),
        *(ASSEMBLYAI, BOLNA, DEEPGRAM, ZEGO, PLAIN, RETELL, CONVERSATION_RELAY),
    )
}

# The protocols of those that speak WebSocket, by ``Platform.socket``.
WIRES = {"retell": RETELL_WIRE, "conversation_relay": RELAY_WIRE}


def platform_of(name: str) -> Platform:
    """Give the platform of that name. Raises SetupError when there is none."""
    platform = PLATFORMS.get(name)
    if platform is None:
        raise SetupError(f"There is no platform {name!r}; there are: {', '.join(PLATFORMS)}.")
    return platform
