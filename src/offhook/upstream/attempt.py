"""One try at one model service, and the connections that it goes over."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Literal

from offhook.client.client import EndpointClient
from offhook.errors import (
    EndpointError,
    EndpointUnreachable,
    OffhookError,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnfit,
    UpstreamUnreachable,
    WireError,
)
from offhook.upstream.health import Breaker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from offhook.client.client import EndpointStream
    from offhook.clock import Clock
    from offhook.upstream.spec import UpstreamSpec
    from offhook.wire.sse import ServerEvent


# Longer than the pause between two sentences of a caller; a service that closes before is asked again at once.
_KEEP_ALIVE = 30.0
# Seconds that the first connections have to be made in, before anybody calls.
_WARM_UP = 5.0


class Upstream:
    """A model service, its health, and the kept-alive connections to it. Raises SetupError for an impossible address.

    The name is resolved anew at least every ten seconds, and certificates are always verified.
    """

    def __init__(self, spec: UpstreamSpec, clock: Clock, *, open_for: float = 10.0) -> None:
        self.spec = spec
        self._clock = clock
        self.breaker = Breaker(open_for=open_for)
        self._headers = dict(spec.headers)
        if spec.key and spec.key_header:
            self._headers[spec.key_header] = spec.key
        bearer = None if spec.key_header else spec.key
        self._client = EndpointClient(
            spec.base_url, bearer, connect_timeout=spec.connect_timeout, keepalive=_KEEP_ALIVE
        )

    def state(self) -> Literal["closed", "open", "half_open"]:
        """Give the state of its breaker now."""
        return self.breaker.state(self._clock.monotonic())

    async def warm_up(self) -> None:
        """Make the connections that the spec asks for, by asking for the list of models; failing is no news."""
        if not self.spec.connections:
            return
        with contextlib.suppress(OffhookError, TimeoutError):
            async with asyncio.timeout(_WARM_UP), asyncio.TaskGroup() as group:
                for _ in range(self.spec.connections):
                    group.create_task(self._greet())

    async def _greet(self) -> None:
        with contextlib.suppress(OffhookError):
            await self._client.get_json(headers=self._headers)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._client.close()

    def attempt(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Attempt:
        """Give a context that asks the service; leaving it early closes the connection at once."""
        return Attempt(self._client, body, {**self._headers, **headers} if headers else self._headers)


class Attempt:
    """A request that is on its way, from before its headers to the end of its stream."""

    __slots__ = ("_opening", "_stream")

    def __init__(self, client: EndpointClient, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self._opening = client.post_stream(body, headers=headers)
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
        except EndpointUnreachable as error:
            # It was reached, or there would be no stream.
            raise UpstreamBroken("The model service broke off in the middle.", detail=error.message) from error
        except OffhookError as error:
            raise as_upstream_error(error) from error
        return events or None

    def close(self) -> None:
        """Let the connection go now: kept if the body has ended, else aborted. For the context's owner, in any task."""
        if self._stream is not None:
            self._stream.close()

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
    if status == 429 or (status == 503 and error.retry_after is not None):
        return UpstreamBusy(message, retry_after=error.retry_after)
    if status in (400, 413, 422):
        return UpstreamUnfit(message)
    if status in (408, 409, 425):
        return UpstreamBroken(message)
    if status < 300:
        return UpstreamBroken("The model service answered with something that is not an event stream.")
    return UpstreamBroken(message) if status >= 500 else UpstreamRefused(message)
