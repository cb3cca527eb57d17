"""A WebSocket of JSON frames, on aiohttp: what the platforms that speak no HTTP have for a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from yarl import URL

from offhook import __version__
from offhook.client.address import without_query
from offhook.client.faults import FOREIGN, translate
from offhook.errors import EndpointError, EndpointUnreachable, SetupError, WireError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
# The longest frame that is taken, in bytes.
_FRAME_BYTES = 4 * 1024 * 1024
# How many seconds a server has to answer that the WebSocket is closed.
_CLOSE_SECONDS = 1.0


def socket_address(base_url: str, path: str = "", query: Iterable[tuple[str, str]] = ()) -> URL:
    """Give the address of a WebSocket: a ws(s) URL as it is, of an http(s) URL the host with ``path`` and ``query``.

    Raises SetupError when it is neither.
    """
    text = base_url.strip()
    shown = without_query(text)
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise SetupError(f"The address {shown!r} is not a URL: {error}.") from None
    if url.scheme not in _SCHEMES or not url.host or port is None:
        raise SetupError(
            f"The address {shown!r} must look like wss://host/path, or http://host:port for offhook's own."
        )
    if url.user is not None or url.password is not None:
        raise SetupError("The address must not hold a name or password.")
    if url.scheme in ("http", "https"):
        url = url.with_path(path, encoded=True).with_query(list(query)).with_scheme(_SCHEMES[url.scheme])
    return url


class EndpointSocket:
    """One WebSocket to ``url``. ``at`` is how it may be shown: without its query, which may hold a key."""

    def __init__(self, url: URL, *, at: str, connect_timeout: float = 10.0) -> None:
        self._url = url
        self._at = at
        self._headers = {"User-Agent": f"offhook/{__version__}"}
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_connect=connect_timeout)
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def open(self) -> None:
        """Connect. Raises EndpointUnreachable, EndpointError when the server refuses the WebSocket, WireError."""
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), headers=self._headers, timeout=self._timeout, trust_env=False
        )
        try:
            self._socket = await self._session.ws_connect(
                self._url, max_msg_size=_FRAME_BYTES, timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS)
            )
        except aiohttp.WSServerHandshakeError as error:
            await self.close()
            raise EndpointError(
                f"{self._at} refused the WebSocket with {error.status}", http_status=error.status
            ) from error
        except FOREIGN as error:
            await self.close()
            raise translate(error, self._at) from error

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send one frame. Raises EndpointUnreachable when the connection is lost."""
        assert self._socket is not None
        try:
            await self._socket.send_str(msgspec.json.encode(frame).decode())
        except FOREIGN as error:
            raise translate(error, self._at) from error

    async def receive(self) -> dict[str, Any]:
        """Give the next frame that is a JSON object.

        Raises EndpointUnreachable when the connection is closed, WireError when a frame is no JSON object.
        """
        assert self._socket is not None
        message = await self._socket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            try:
                return msgspec.json.decode(message.data, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise WireError(f"a frame of {self._at} is no JSON object: {error}") from error
        code, reason = self._socket.close_code, message.extra
        told = f" with {code}" if code else ""
        raise EndpointUnreachable(f"{self._at} closed the connection{told}{f': {reason}' if reason else ''}")

    async def close(self) -> None:
        """Close it; once more is no harm."""
        socket, self._socket = self._socket, None
        session, self._session = self._session, None
        if socket is not None:
            await socket.close()
        if session is not None:
            await session.close()
