"""The workflow's LLM node: asks an endpoint as the platform does, and understands its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from offhook.client import EndpointClient
from offhook.clock import SystemClock
from offhook.node.answer import Answer
from offhook.node.request import Outgoing, read_capture, request_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from offhook.clock import Clock
    from offhook.node.request import ExtendData

    # Gives the body of a request from ModelId, history and call context.
    Shape = Callable[[str, Sequence[Mapping[str, Any]], ExtendData | None], dict[str, Any]]


class LLMNode:
    """A node with the three values that a person pastes into it.

    ``hangup_function`` is the function that ends the call (``MatchFunction`` of the workflow's ``FunctionMap``);
    ``shape`` builds the body, by default as the vendor's page has it. As the platform only streams, an answer in JSON
    is an error here, even a correct one. Raises SetupError when the base URL or the key cannot work.
    """

    def __init__(
        self,
        model_id: str,
        api_key: str | None,
        base_url: str,
        *,
        clock: Clock | None = None,
        hangup_function: str = "hangup",
        shape: Shape = request_body,
        read_timeout: float | None = None,
    ) -> None:
        self.model_id = model_id
        self.clock: Clock = clock or SystemClock()
        self.hangup_function = hangup_function
        self.client = EndpointClient(base_url, api_key, read_timeout=read_timeout)
        self._api_key = api_key
        self._shape = shape

    async def __aenter__(self) -> LLMNode:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that are kept for the next request."""
        await self.client.close()

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        extend_data: ExtendData | None = None,
        *,
        extra: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Give the answer to ``messages``, oldest first, to be entered with ``async with``.

        ``extra`` are more fields of the body, ``query`` more parameters of the URL (``OpenAIExtraQuery``).
        """
        body = self._shape(self.model_id, messages, extend_data)
        return self._answer(Outgoing({**body, **(extra or {})}, query=tuple(query)))

    def resend(self, path: Path | str) -> Answer:
        """Give the answer to a request that ``serve --capture`` kept: its body, query and headers, the node's own key.

        It goes to the node's base URL, whatever path was captured. A request that asked for no stream is answered with
        JSON, which is read too. Entering raises SetupError when the file cannot be read or is no capture.
        """

        async def prepare() -> Outgoing:
            return await asyncio.to_thread(read_capture, path, self._api_key)

        return Answer(self.client, self.clock, prepare, hangup_function=self.hangup_function)

    def _answer(self, outgoing: Outgoing) -> Answer:
        async def prepare() -> Outgoing:
            return outgoing

        return Answer(self.client, self.clock, prepare, hangup_function=self.hangup_function)
