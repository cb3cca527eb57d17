"""The side of everything that calls an endpoint: HTTP, and WebSocket."""

from offhook.client.client import EndpointClient, EndpointStream
from offhook.client.socket import EndpointSocket, socket_address

__all__ = ["EndpointClient", "EndpointSocket", "EndpointStream", "socket_address"]
