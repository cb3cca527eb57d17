"""A platform's LLM node: asks an endpoint as the platform does, and understands its answer."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from offhook.client import EndpointClient
from offhook.clock import SystemClock
from offhook.errors import OffhookError
from offhook.node.answer import Answer
from offhook.node.hearing import Hearing
from offhook.node.platforms import PLATFORMS, WIRES, Platform, platform_of
from offhook.node.platforms.base import Asking
from offhook.node.request import ExtendData, Outgoing, read_capture
from offhook.node.socket import SocketAnswer, SocketLine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from offhook.clock import Clock

_CHAT = "/chat/completions"
_DIALECT = "x-offhook-dialect"
_NO_HEADER = re.compile(r"[\x00-\x20\x7f]+")


class LLMNode:
    """A node with the three values that a person pastes into it.

    ``platform`` is whose node it is, by default the workflow's: it decides how requests look and what is obeyed in a
    reply. ``hangup_function`` is the function that ends the call where another than the platform's usual one does
    (``MatchFunction`` of the workflow's ``FunctionMap``). As platforms only stream, an answer in JSON is an error here,
    even a correct one. Raises SetupError when the platform is unknown, or the base URL or the key cannot work.
    """

    def __init__(
        self,
        model_id: str,
        api_key: str | None,
        base_url: str,
        *,
        clock: Clock | None = None,
        platform: Platform | str = "alibaba_ims",
        hangup_function: str | None = None,
        read_timeout: float | None = None,
    ) -> None:
        self.model_id = model_id
        self.clock: Clock = clock or SystemClock()
        self.platform = platform if isinstance(platform, Platform) else platform_of(platform)
        self.hangup_function = hangup_function
        if self.platform.whole_url:
            base_url = _without_chat(base_url)
        self.client = EndpointClient(_over_http(base_url) if self.platform.socket else base_url, api_key,
                                     read_timeout=read_timeout)  # fmt: skip
        self._base_url = base_url
        self._api_key = api_key
        # The WebSockets of the calls, by the calls' ids.
        self._lines: dict[str, SocketLine] = {}
        if self.platform.socket:
            # An address that cannot work is told of before the call.
            self._new_line(self.platform.socket, "call")

    async def __aenter__(self) -> LLMNode:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that are kept for the next request, and those of the calls."""
        lines, self._lines = list(self._lines.values()), {}
        for line in lines:
            await line.close()
        await self.client.close()

    async def prewarm(self) -> None:
        """List the models before the first question, where the platform does; what goes wrong concerns nobody."""
        if self.platform.prewarm:
            try:
                await self.client.get_json()
            except OffhookError:
                # The first question tells of what stands in the way.
                return

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        extend_data: ExtendData | None = None,
        *,
        extra: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Give the answer to ``messages``, oldest first, to be entered with ``async with``.

        ``extra`` are more fields of the body, ``query`` more parameters of the URL (``OpenAIExtraQuery``); a platform
        that speaks WebSocket has neither.
        """
        clock = self.clock
        asking = Asking(
            model_id=self.model_id,
            messages=messages,
            facts=extend_data or ExtendData(),
            at=clock.now(),
            id=clock.new_id(""),
        )
        if self.platform.socket is not None:
            return SocketAnswer(self.client, clock, self._line(self.platform.socket, asking), asking, self._hearing())
        outgoing = self.platform.request(asking)
        assert not isinstance(outgoing.body, bytes)
        body = {**outgoing.body, **(extra or {})}
        headers = {name: _one_line(value) for name, value in {**outgoing.headers, **self._name()}.items()}
        return self._answer(Outgoing(body, headers=headers, query=(*outgoing.query, *query)))

    def resend(self, path: Path | str) -> Answer:
        """Give the answer to a request that ``serve --capture`` kept: its body, query and headers, the node's own key.

        It goes to the node's base URL, whatever path was captured. A request that asked for no stream is answered with
        JSON, which is read too. Entering raises SetupError when the file cannot be read or is no capture.
        """

        async def prepare() -> Outgoing:
            return await asyncio.to_thread(read_capture, path, self._api_key)

        return Answer(self.client, self.clock, prepare, self._hearing())

    def _answer(self, outgoing: Outgoing) -> Answer:
        async def prepare() -> Outgoing:
            return outgoing

        return Answer(self.client, self.clock, prepare, self._hearing())

    def _name(self) -> Mapping[str, str]:
        """Give the header that names a platform which nothing else in its question does, see ``docs/dialects.md``."""
        told = not self.platform.unmarked or not PLATFORMS.keys().isdisjoint(urlsplit(self._base_url).path.split("/"))
        return {} if told else {_DIALECT: self.platform.name}

    def _hearing(self) -> Hearing:
        return Hearing(self.platform, self.hangup_function)

    def _line(self, protocol: str, asking: Asking) -> SocketLine:
        call_id = asking.facts.instance_id or asking.id
        line = self._lines.get(call_id)
        if line is None:
            line = self._lines[call_id] = self._new_line(protocol, call_id)
        return line

    def _new_line(self, protocol: str, call_id: str) -> SocketLine:
        wire, clock = WIRES[protocol], self.clock
        return SocketLine(wire, self._base_url, self._api_key, model_id=self.model_id, call_id=call_id, clock=clock)


def _one_line(value: str) -> str:
    """Give a text as a header can hold it."""
    return _NO_HEADER.sub(" ", value).strip().encode("utf-8", "replace").decode()


def _without_chat(base_url: str) -> str:
    """Give the base of a whole address: what stands in front of the part that is appended to it."""
    path, mark, query = base_url.strip().partition("?")
    return path.rstrip("/").removesuffix(_CHAT) + mark + query


def _over_http(base_url: str) -> str:
    """Give the address at which a server of WebSockets can be asked for its models."""
    text = base_url.strip()
    return "http" + text[2:] if text.startswith(("ws:", "wss:")) else text
