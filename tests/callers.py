"""For tests of turns over HTTP: a scene of one server, an agent that does what it is told, and its callers."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from offhook.events import Command, ToolCall
from offhook.testing import JumpClock, live_server
from tests.oracle import Transcript, check_completion, check_http, check_stream
from tests.raw import AUTH, PATIENCE, Wire, get, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from offhook.events import Turn
    from offhook.observe.hooks import TurnDetails
    from offhook.store.base import TurnRecord
    from offhook.testing import LiveServer

Said = tuple[str, str]


class Run:
    """A time that the agent was run: with what, and what its turn's signal said when it was over."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.history: list[Said] = [(message.role, message.text) for message in turn.history]
        self.window: list[Said] = [(message.role, message.text) for message in turn.window]
        self.over = False
        self.cancelled = False
        self._loop = asyncio.get_running_loop()
        self._released = asyncio.Event()

    async def held(self) -> None:
        """Wait until somebody lets it go on."""
        await self._released.wait()

    def go_on(self) -> None:
        """Let it go on; safe in any thread."""
        self._loop.call_soon_threadsafe(self._released.set)


class Talker:
    """An agent that does what the caller's first word says, and keeps its runs; safe in any thread.

    ``hold`` says nothing until it is let go on, ``talk`` something before that; ``fail`` raises, ``look`` calls a tool,
    ``bye`` hangs up, ``long`` ends for its length. All else is repeated.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._changed = threading.Condition()

    async def __call__(self, turn: Turn) -> AsyncIterator[Any]:
        run = Run(turn)
        self._enter(run)
        try:
            await self.before(run)
            word = turn.text.partition(" ")[0]
            if word in ("hold", "talk"):
                if word == "talk":
                    yield "Well, "
                await run.held()
                yield "so be it."
            elif word == "fail":
                raise RuntimeError("as it was told")
            elif word in ANSWERS:
                for value in ANSWERS[word]:
                    yield value
            else:
                yield f"You said {turn.text}."
        finally:
            self._leave(run)

    async def before(self, run: Run) -> None:
        """Do something before the first word; nothing here."""

    def of(self, call: str) -> list[Run]:
        """Give the runs for a call, oldest first."""
        return [run for run in list(self.runs) if run.turn.call.id == call]

    def run(self, call: str, place: int = 1) -> Run:
        """Give the run for a call, the first or a later one, once it has begun."""
        self.wait(lambda: len(self.of(call)) >= place)
        return self.of(call)[place - 1]

    def over(self, run: Run) -> Run:
        """Give a run once it is over."""
        self.wait(lambda: run.over)
        return run

    def wait(self, true: Callable[[], bool]) -> None:
        """Return when something that runs make true is true."""
        with self._changed:
            assert self._changed.wait_for(true, PATIENCE)

    def _enter(self, run: Run) -> None:
        with self._changed:
            self.runs.append(run)
            self._changed.notify_all()

    def _leave(self, run: Run) -> None:
        with self._changed:
            run.over, run.cancelled = True, run.turn.cancelled.is_set()
            self._changed.notify_all()


ANSWERS: dict[str, tuple[Any, ...]] = {
    "look": ("One moment.", ToolCall("lookup", '{"n":1}', "call_7")),
    "bye": ("Goodbye.", Command("hangup")),
}


class Scene:
    """A server on a jumping clock, and its agent."""

    def __init__(self, server: LiveServer, talker: Talker, clock: JumpClock) -> None:
        self.server = server
        self.talker = talker
        self.clock = clock
        self._wires: list[Wire] = []

    def ask(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Wire:
        """Send a request on a connection of its own; what comes is to be read."""
        wire = Wire(self.server.base_url)
        self._wires.append(wire)
        wire.ask(body, {**AUTH, **(headers or {})})
        return wire

    def tell(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Transcript:
        """Give what is answered to a request, streamed or whole."""
        reply = request(self.server.base_url, body, {**AUTH, **(headers or {})})
        assert reply.status == 200, reply.body
        if body["stream"]:
            return check_stream(reply.body, model=body["model"], usage_asked=False)
        return check_completion(reply.body, model=body["model"])

    def begun(self, call: str, id: int | str | None, text: str, **more: Any) -> Wire:
        """Give the connection of a turn whose agent runs, and has said what it says at once."""
        runs = len(self.talker.of(call))
        wire = self.ask(turn(call, id, text, **more))
        self.talker.run(call, runs + 1)
        if text == "talk":
            wire.read_until(b"Well, ")
        return wire

    def records(self, call: str) -> list[TurnRecord]:
        """Give the records of a call's turns."""
        return list(self.server.records(call))

    def reasons(self, call: str) -> list[str]:
        """Give how the turns of a call ended, as it is recorded."""
        return [record.reason for record in self.records(call)]

    def ended(self, call: str, count: int) -> list[TurnDetails]:
        """Give what the hooks were told of a call's turns, once so many are over."""
        turns = self.server.turns
        while len(found := [details for details in turns if details.call_id == call]) < count:
            turns = self.server.wait_for_turns(len(turns) + 1)
        return found

    def seen(self) -> None:
        """Return when the server has seen what came before, such as a client that left."""
        for _ in range(2):
            assert get(self.server.base_url, "/healthz").status == 200

    def hang_up(self) -> None:
        """Close every connection that was made."""
        for wire in self._wires:
            wire.close()
        self._wires.clear()


@contextmanager
def scene(talker: Talker | None = None, *, clock: JumpClock | None = None, **settings: Any) -> Iterator[Scene]:
    """Serve an agent that does what it is told; ``settings`` are those of ``live_server``."""
    talker, clock = talker or Talker(), clock or JumpClock()
    with live_server(talker, clock=clock, **settings) as server:
        stage = Scene(server, talker, clock)
        try:
            yield stage
        finally:
            stage.hang_up()


def turn(
    call: str | None,
    id: int | str | None,
    text: str,
    *,
    before: Sequence[Said] = (),
    stream: bool = True,
    model: str = "abc",
) -> dict[str, Any]:
    """Give a request of the Alibaba workflow: call, turn, and what the caller said, behind what was said ``before``."""
    extend = {"instanceId": call, "sentenceId": id}
    said = [*before, ("user", text)]
    return {
        "model": model,
        "messages": [{"role": role, "content": content} for role, content in said],
        "stream": stream,
        "extendData": {name: value for name, value in extend.items() if value is not None},
    }


def plain(text: str, *, before: Sequence[Said] = (), stream: bool = True, model: str = "abc") -> dict[str, Any]:
    """Give a plain request; its call stands in a header, or nowhere."""
    body = turn(None, None, text, before=before, stream=stream, model=model)
    del body["extendData"]
    return body


def heard(wire: Wire, *, model: str = "abc", error: bool = False) -> Transcript:
    """Give what a whole stream said."""
    reply = check_http(wire.read_response())
    assert reply.status == 200, reply.body
    return check_stream(reply.body, model=model, usage_asked=False, error_expected=error)


def gist(said: Transcript) -> tuple[str, list[tuple[str, str, str]], str | None]:
    """Give what matters to a caller: the words, the calls, and how it ended."""
    return said.text, [(call.id, call.name, call.arguments) for call in said.calls], said.finish_reason
