"""The model agent: one OpenAI-specification model service behind the line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from offhook.agents.prompt import check, fill_in
from offhook.events import Attempt, Finish
from offhook.upstream.attempt import Upstream
from offhook.upstream.translate import Translator, request_body

if TYPE_CHECKING:
    from offhook.agents.base import ReplyWriter
    from offhook.events import Event, OpenCall, Turn
    from offhook.upstream.spec import UpstreamSpec


# After so many reads the loop gets its turn: a service that says everything at once never makes us wait.
_BURST = 16


class ModelAgent:
    """Asks a model service and passes its words on as they come; reasoning is never spoken.

    ``system_prompt`` is a template (see ``agents/prompt.py``) and stands before the platform's messages.
    Raises SetupError when it asks for a name that no turn has.
    """

    def __init__(self, spec: UpstreamSpec, *, system_prompt: str | None = None) -> None:
        check(system_prompt or "")
        self._spec = spec
        self._system_prompt = system_prompt
        self._upstream = Upstream(spec)
        # Neither path nor query: a key may stand in either.
        self._host = urlsplit(spec.base_url).netloc.rpartition("@")[2]

    @property
    def attends(self) -> bool:
        return False

    async def call_started(self, call: OpenCall) -> None:
        """Do nothing: a model keeps nothing of a call."""

    async def call_ended(self, call: OpenCall) -> None:
        """Do nothing: a model keeps nothing of a call."""

    async def start(self) -> None:
        """Do nothing: connections are made by the first turn that needs one."""

    async def close(self) -> None:
        await self._upstream.close()

    async def answer(self, turn: Turn, reply: ReplyWriter) -> None:
        prompt = fill_in(self._system_prompt, turn) if self._system_prompt else None
        body = request_body(turn, model=self._spec.model, system_prompt=prompt)
        translator = Translator()
        reply.write(Attempt(upstream=self._host, model=body["model"]))
        async with self._upstream.attempt(body) as attempt:
            reads = 0
            while not translator.done:
                read = await attempt.read()
                if read is None:
                    break
                await _write(translator.feed(read), reply)
                reads += 1
                if reads % _BURST == 0:
                    await asyncio.sleep(0)
            # The last words have been passed on; tool calls and the end are not held up by the end of the body.
            await _write(translator.flush(), reply)
            await attempt.finish()


async def _write(events: list[Event], reply: ReplyWriter) -> None:
    """Write what one read brought, in one go."""
    spoken = [event for event in events if not isinstance(event, Finish)]
    if spoken:
        reply.write(*spoken)
        if reply.blocked:
            await reply.drain()
    for event in events:
        if isinstance(event, Finish):
            reply.close(event)
