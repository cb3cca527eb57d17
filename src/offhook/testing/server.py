"""The real server on a free port, and what it can tell of its turns."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from offhook.clock import SystemClock
from offhook.config import Settings
from offhook.server.build import build_line
from offhook.server.edge import edge_of
from offhook.server.run import ServerThread, bind
from offhook.testing.caller import Caller, placed_call
from offhook.testing.clock import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from offhook.clock import Clock
    from offhook.observe.hooks import TurnDetails
    from offhook.server.line import Line
    from offhook.store.base import StoredCall, TurnRecord


class TurnRecorder:
    """A hook that keeps the details of every turn that ended; safe in any thread."""

    def __init__(self) -> None:
        self.turns: list[TurnDetails] = []
        self._changed = threading.Condition()

    def turn_ended(self, details: TurnDetails) -> None:
        with self._changed:
            self.turns.append(details)
            self._changed.notify_all()

    def wait(self, count: int = 1, timeout: float = PATIENCE) -> list[TurnDetails]:
        """Give the turns when so many have ended. Raises TimeoutError after ``timeout`` real seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.turns) >= count, timeout):
                raise TimeoutError(f"{len(self.turns)} turns have ended, not {count}")
            return list(self.turns)


class LiveServer:
    """A server that runs: where it is, its key, and what is going on and has ended on it."""

    def __init__(
        self, thread: ServerThread, line: Line, api_key: str, recorder: TurnRecorder, model_ids: Sequence[str] = ()
    ) -> None:
        self.base_url = thread.base_url
        self.api_key = api_key
        self._model_id = next(iter(model_ids), "any")
        self._thread = thread
        self._line = line
        self._recorder = recorder

    @property
    def live(self) -> int:
        """How many turns have a task."""
        return self._line.engine.live

    @property
    def connections(self) -> int:
        """How many connections are open, idle ones included."""
        return self._thread.connections

    @property
    def turns(self) -> list[TurnDetails]:
        """The details of the turns that have ended, oldest first."""
        return list(self._recorder.turns)

    @property
    def missed(self) -> int:
        """How many requests had a history that did not fit what the call remembers."""
        return self._line.calls.missed

    def wait_for_turns(self, count: int = 1, timeout: float = PATIENCE) -> list[TurnDetails]:
        """Give the turns when so many have ended. Raises TimeoutError after ``timeout`` real seconds."""
        return self._recorder.wait(count, timeout)

    def records(self, call_id: str) -> tuple[TurnRecord, ...]:
        """Give the records of a call's turns, oldest first; none for a call that is not recorded."""
        stored = self.stored(call_id)
        return stored.turns if stored else ()

    def stored(self, call_id: str) -> StoredCall | None:
        """Give a call as it is recorded; None when it is not."""
        store = self._line.store
        return None if store is None else self._thread.ask(store.find(call_id))

    def call(self, *, model_id: str | None = None, **options: Any) -> AbstractContextManager[Caller]:
        """Place a call, to be used with ``with``; ``options`` are those of ``offhook.node.Call``.

        Without ``model_id`` it asks for the first ModelId that the server answers for.
        """
        return placed_call(model_id or self._model_id, self.api_key, self.base_url, **options)


@contextmanager
def live_server(
    agent: Callable[..., Any] | str | None = None,
    *,
    api_key: str = "test-key",
    clock: Clock | None = None,
    show: Callable[[str], None] | None = None,
    **settings: Any,
) -> Iterator[LiveServer]:
    """Serve an agent (a function, its name, or None for what the settings say) on a free loopback port.

    ``settings`` are those of ``offhook serve``, by their names; ``show`` takes what ``--show`` prints.
    The server runs in a thread of its own, over a real socket.
    """
    named = agent if isinstance(agent, str) else None
    recorder = TurnRecorder()
    # What a test records is gone with it, unless it says where to keep it.
    made = Settings(**{"agent": named, "port": 0, "show": show is not None, "store": "memory", **settings})
    line = build_line(
        made,
        keys=(api_key,),
        clock=clock or SystemClock(),
        hooks=[recorder],
        function=None if isinstance(agent, str) else agent,
        show=show or print,
    )
    server = ServerThread(line, bind("127.0.0.1", 0), edge=edge_of(made))
    server.start()
    try:
        yield LiveServer(server, line, api_key, recorder, [*made.agents, *made.model_id])
    finally:
        server.stop()
