"""One try at one model service, and the connections that it goes over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offhook.client.client import EndpointClient
from offhook.errors import (
    EndpointError,
    EndpointUnreachable,
    OffhookError,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from offhook.client.client import EndpointStream
    from offhook.upstream.spec import UpstreamSpec
    from offhook.wire.sse import ServerEvent


class Upstream:
    """A model service and the kept-alive connections to it. Raises SetupError when its address cannot work."""

    def __init__(self, spec: UpstreamSpec) -> None:
        self._spec = spec
        self._client = EndpointClient(spec.base_url, spec.key, read_timeout=spec.read_timeout)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._client.close()

    def attempt(self, body: Mapping[str, Any]) -> Attempt:
        """Give a context that asks the service; leaving it early closes the connection at once."""
        return Attempt(self._client, body)


class Attempt:
    """A request that is on its way, from before its headers to the end of its stream."""

    __slots__ = ("_opening", "_stream")

    def __init__(self, client: EndpointClient, body: Mapping[str, Any]) -> None:
        self._opening = client.post_stream(body)
        self._stream: EndpointStream | None = None

    async def __aenter__(self) -> Attempt:
        try:
            self._stream = await self._opening.__aenter__()
        except OffhookError as error:
            raise as_upstream_error(error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opening.__aexit__(kind, error, traceback)

    async def read(self) -> list[ServerEvent] | None:
        """Give the events that one read of the network completed; None at the end of the body.

        Raises an UpstreamError when the service breaks off or says nothing for too long.
        """
        assert self._stream is not None, "an attempt is read inside its context"
        try:
            events = await self._stream.read()
        except OffhookError as error:
            raise as_upstream_error(error) from error
        return events or None

    async def finish(self) -> None:
        """Read the end of a body whose last event has come, so that its connection can serve again."""
        assert self._stream is not None, "an attempt is read inside its context"
        await self._stream.finish()


# What most often stands behind an error status.
_ADVICE = {
    401: " Check the upstream's key.",
    403: " Check the upstream's key.",
    404: " Check the upstream's address and model.",
}


def as_upstream_error(error: OffhookError) -> OffhookError:
    """Give the error of the line for one of the client: the one table of what goes wrong with a model service."""
    if isinstance(error, EndpointUnreachable):
        return UpstreamUnreachable("The model service cannot be reached.", detail=error.message)
    if isinstance(error, WireError):
        return UpstreamBroken("The model service does not keep the protocol.", detail=error.message)
    if not isinstance(error, EndpointError):
        return error
    status = error.http_status
    if status is None:
        return UpstreamTimeout("The model service did not answer in time.", detail=error.message)
    message = f"The model service answered {status}.{_ADVICE.get(status, '')}"
    if status == 429:
        return UpstreamBusy(message, retry_after=error.retry_after)
    if status < 300:
        return UpstreamBroken("The model service answered with something that is not an event stream.")
    return UpstreamBroken(message) if status >= 500 else UpstreamRefused(message)
