"""The HTTP side of everything that calls an OpenAI-specification endpoint."""

from offhook.client.client import EndpointClient, EndpointStream

__all__ = ["EndpointClient", "EndpointStream"]
