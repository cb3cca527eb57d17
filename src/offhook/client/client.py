"""The client of an OpenAI-specification endpoint, on aiohttp.

A reply is read as bytes, never by lines: U+2028 is legal inside JSON strings, and aiohttp's line reader has a limit.
A reply that is left early has its connection aborted, so that the server learns of it at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from offhook import __version__
from offhook.client.address import address, bearer
from offhook.client.faults import FOREIGN, decode_body, excerpt, not_a_stream, refusal, translate
from offhook.errors import EndpointError
from offhook.wire.sse import Decoder, ServerEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from yarl import URL

CHAT = "/chat/completions"
MODELS = "/models"

# Of an answer that is an error only so many bytes are read, and for so many seconds.
_ERROR_BYTES = 64 * 1024
_ERROR_SECONDS = 5.0


class EndpointStream:
    """The event stream of one reply, from its headers on.

    ``at_end`` tells that the body has ended; ``read`` then gives an empty list, and never before.
    """

    __slots__ = ("_at", "_decoder", "_response", "at_end")

    def __init__(self, response: aiohttp.ClientResponse, at: str) -> None:
        self._response = response
        self._at = at
        self._decoder = Decoder()
        self.at_end = False

    @property
    def status(self) -> int:
        """The HTTP status, always a success."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer; names in any case."""
        return self._response.headers

    @property
    def pending(self) -> bytes:
        """What came of an event that is not complete; lost when the body has ended."""
        return self._decoder.pending

    async def read(self) -> list[ServerEvent]:
        """Give all events that one read of the network completed; an empty list only at the end of the body.

        Raises EndpointUnreachable when the connection is lost, EndpointError when the read timeout passes, WireError
        when an event is too large.
        """
        content = self._response.content
        while not self.at_end:
            try:
                data = await content.readany()
            except FOREIGN as error:
                # The library raises one and the same error for every closed connection: its traceback would grow.
                raise translate(error, self._at) from error.with_traceback(None)
            if data:
                events = self._decoder.feed(data)
            else:
                self.at_end = True
                events = self._decoder.flush()
            if events:
                return events
        return []

    async def finish(self, within: float = 0.05) -> None:
        """Wait at most ``within`` seconds for the end of the body, so that the connection can serve again."""
        try:
            async with asyncio.timeout(within):
                while not self.at_end:
                    self.at_end = not await self._response.content.readany()
        except FOREIGN as error:
            # A timeout too. The reply was complete before: what the connection does now concerns nobody.
            error.with_traceback(None)

    def close(self) -> None:
        """Let the connection go: kept for the next request after the end of the body, else aborted at once."""
        if not self.at_end:
            connection = self._response.connection
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
        self._response.close()


class _Opening:
    """Sends a request when it is entered, and closes its stream when it is left."""

    __slots__ = ("_body", "_client", "_headers", "_query", "_stream")

    def __init__(
        self, client: EndpointClient, body: bytes, headers: Mapping[str, str], query: Iterable[tuple[str, str]]
    ) -> None:
        self._client = client
        self._body = body
        self._headers = headers
        self._query = query
        self._stream: EndpointStream | None = None

    async def __aenter__(self) -> EndpointStream:
        client = self._client
        headers = {"Accept": "text/event-stream", **self._headers}
        response = await client.send("POST", client.chat_url(self._query), self._body, headers)
        if response.content_type != "text/event-stream":
            kind = response.headers.get("Content-Type", "")
            raise not_a_stream(response.status, excerpt(kind), await _read_some(response))
        self._stream = EndpointStream(response, client.at)
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()


class EndpointClient:
    """Calls one endpoint. ``api_key`` may be None for an endpoint that asks for none.

    ``connect_timeout`` is in seconds and covers name, connection and TLS; ``read_timeout`` is the longest silence in
    seconds, None for no limit; ``keepalive`` is how many seconds an idle connection is kept: less than the 5 s of
    common servers, because a request on a connection that the server is just closing is lost.
    Raises SetupError when the base URL or the key cannot work.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float | None = None,
        keepalive: float = 4.0,
    ) -> None:
        self._chat = address(base_url, CHAT)
        self._base_url = base_url
        self._headers = {"User-Agent": f"offhook/{__version__}", **bearer(api_key)}
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_timeout, sock_connect=connect_timeout, sock_read=read_timeout
        )
        self._keepalive = keepalive
        self._session: aiohttp.ClientSession | None = None

    @property
    def at(self) -> str:
        """The address that is called, without its query (which may hold a key)."""
        return str(self._chat.with_query(None))

    async def __aenter__(self) -> EndpointClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the idle connections; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def post_stream(
        self,
        body: Mapping[str, Any] | bytes,
        *,
        headers: Mapping[str, str] | None = None,
        query: Iterable[tuple[str, str]] = (),
    ) -> _Opening:
        """Give a context that sends a chat request and whose value is the reply's stream; leaving it aborts.

        Entering raises EndpointUnreachable, EndpointError for an error status or an answer that is no event stream,
        WireError for an answer that is not HTTP. Cancelling it before the headers closes the connection too.
        """
        return _Opening(self, _encode(body), headers or {}, query)

    async def post_json(
        self,
        body: Mapping[str, Any] | bytes,
        *,
        headers: Mapping[str, str] | None = None,
        query: Iterable[tuple[str, str]] = (),
    ) -> dict[str, Any]:
        """Send a chat request and give the JSON object that answers it.

        Raises as ``post_stream`` does, and EndpointError when the answer is no JSON object.
        """
        fields = {"Accept": "application/json", **(headers or {})}
        return await self._json(await self.send("POST", self.chat_url(query), _encode(body), fields))

    async def get_json(self, path: str = MODELS, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Give the JSON object at ``path`` under the base URL. Raises as ``post_json`` does."""
        url = address(self._base_url, path)
        return await self._json(await self.send("GET", url, None, {"Accept": "application/json", **(headers or {})}))

    def chat_url(self, query: Iterable[tuple[str, str]] = ()) -> URL:
        """Give the address of the chat completions with more query parameters."""
        more = list(query)
        return self._chat.extend_query(more) if more else self._chat

    async def send(
        self, method: str, url: URL, body: bytes | None, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """Send one request and give its answer once the headers are there; the taker closes it.

        Raises EndpointUnreachable, EndpointError for a status that is no success, WireError.
        """
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
        try:
            # A redirect is not followed: it would cost a round trip on every turn of a call.
            response = await self._open().request(method, url, data=body, headers=headers, allow_redirects=False)
        except FOREIGN as error:
            raise translate(error, self.at) from error
        if response.ok and response.status < 300:
            return response
        location, retry_after = response.headers.get("Location"), response.headers.get("Retry-After")
        raise refusal(response.status, response.reason or "", await _read_some(response), location, retry_after)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=self._keepalive),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A compressed stream would wait in the compressor's buffer.
                headers={"Accept-Encoding": "identity", **self._headers},
                timeout=self._timeout,
                trust_env=False,
            )
        return self._session

    async def _json(self, response: aiohttp.ClientResponse) -> dict[str, Any]:
        try:
            raw = await response.read()
        except FOREIGN as error:
            raise translate(error, self.at) from error
        finally:
            response.close()
        body = decode_body(raw)
        if not isinstance(body, dict):
            kind = excerpt(response.headers.get("Content-Type", "no content type"))
            raise EndpointError(
                f"the endpoint answered with {kind}, which is no JSON object", http_status=response.status, body=body
            )
        return body


def _encode(body: Mapping[str, Any] | bytes) -> bytes:
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


async def _read_some(response: aiohttp.ClientResponse) -> bytes:
    """Give the beginning of a body that is not a stream, and let its connection go."""
    raw = b""
    try:
        async with asyncio.timeout(_ERROR_SECONDS):
            while len(raw) < _ERROR_BYTES and (data := await response.content.readany()):
                raw += data
    except FOREIGN:
        # The status is what matters; what was read of the explanation is used.
        pass
    finally:
        response.close()
    return raw[:_ERROR_BYTES]
