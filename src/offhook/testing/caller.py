"""A caller for tests that are not async: the call runs in a thread of its own, and each turn is one line."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from offhook.node import Call, CallTurn, LLMNode
from offhook.testing.clock import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from offhook.node.call import EndedBy


class Caller:
    """One call. Every turn carries what was said before, as a workflow's request does.

    ``wake_up`` and ``say`` wait for the whole reply, ``start`` does not. Each raises what went wrong on the line, and
    RuntimeError once the call has ended.
    """

    def __init__(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._loop = loop

    @property
    def turns(self) -> list[CallTurn]:
        """The turns that are over, oldest first."""
        return list(self._call.turns)

    @property
    def ended(self) -> EndedBy | None:
        """Who ended the call: ``agent``, ``caller``, or None."""
        return self._call.ended

    def wake_up(self) -> CallTurn:
        """Let the agent speak first, and give the turn. Raises TimeoutError after 10 seconds."""
        return self._run(self._call.wake_up()).result(PATIENCE)

    def say(self, text: str) -> CallTurn:
        """Say something and give the turn. Raises TimeoutError after 10 seconds."""
        return self.start(text).result(PATIENCE)

    def start(self, text: str) -> Future[CallTurn]:
        """Say something; ``result(timeout)`` of what this gives is the turn."""
        return self._run(self._call.say(text))

    def barge_in(self) -> None:
        """Cut in on the reply that is being spoken, if there is one."""
        self._loop.call_soon_threadsafe(self._call.barge_in)

    def _run(self, turn: Coroutine[Any, Any, CallTurn]) -> Future[CallTurn]:
        return asyncio.run_coroutine_threadsafe(_checked(turn), self._loop)


async def _checked(turn: Coroutine[Any, Any, CallTurn]) -> CallTurn:
    done = await turn
    if done.answer.error is not None:
        raise done.answer.error
    return done


@contextmanager
def placed_call(model_id: str, api_key: str, base_url: str, **options: Any) -> Iterator[Caller]:
    """Place a call; ``options`` are those of ``offhook.node.Call``. It ends with the context."""
    ready: Future[Caller] = Future()
    stop = asyncio.Event()

    async def live() -> None:
        async with LLMNode(model_id, api_key, base_url) as node:
            call = Call(node, **{"pace": False, **options})
            ready.set_result(Caller(call, asyncio.get_running_loop()))
            await stop.wait()
            call.hang_up()
            # What is still being answered ends before its connection does.
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    def run() -> None:
        try:
            asyncio.run(live())
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="caller", daemon=True)
    thread.start()
    caller = ready.result(PATIENCE)
    try:
        yield caller
    finally:
        caller._loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
