"""Runs the tools that the model asked for: together, each with its time limit; what goes wrong is told to the model."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from offhook.errors import SetupError
from offhook.events import Command, ToolCall, ToolRun
from offhook.store.base import Intent
from offhook.tools.ledger import Ledger, Outcome, error_text
from offhook.tools.limit import is_done_within
from offhook.tools.pool import DaemonPool
from offhook.tools.schema import BadArguments, ToolSpec, describe
from offhook.wire.chat import well_formed

if TYPE_CHECKING:
    from offhook.clock import Clock
    from offhook.events import Turn
    from offhook.tools.ledger import Occasion

log = logging.getLogger("offhook.tools")

# Bytes of a result that the model is given; the rest is cut off.
MOST_RESULT = 64 * 1024
# Characters of what a tool raised that the model is given.
_MOST_SAID = 1000

_Plan: TypeAlias = Outcome | Callable[[], Awaitable[Outcome]]

BUSY = Outcome(error_text("This was not done: too many tools are running."), "refused", "busy")


class Toolbox:
    """Tools by name. Used in one event loop.

    ``tools`` are functions, marked with ``@tool`` or not, or what ``describe`` gave. ``timeout`` is how many seconds a
    tool may take that says nothing of its own, ``threads`` how many plain functions run at once. ``ledger`` sees to it
    that side effects happen at most once; without one that holds as long as the toolbox lives.

    Raises SetupError when two tools have one name, or one cannot be described.
    """

    def __init__(
        self,
        tools: Iterable[Callable[..., Any] | ToolSpec],
        *,
        clock: Clock,
        timeout: float,
        threads: int = 32,
        ledger: Ledger | None = None,
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._ledger = Ledger(None, clock) if ledger is None else ledger
        self._pool = DaemonPool(threads, "offhook-tool")
        self._specs: dict[str, ToolSpec] = {}
        self._said: dict[tuple[str, str], int] = {}
        # What was given up and has not ended yet is among them.
        self._tasks: set[asyncio.Task[Outcome]] = set()
        for given in tools:
            spec = given if isinstance(given, ToolSpec) else describe(given)
            if spec.name in self._specs:
                raise SetupError(f"There are two tools named {spec.name!r}: give one another with @tool(name=...).")
            self._specs[spec.name] = spec
        self.definitions = [spec.definition() for spec in self._specs.values()]
        self.names = frozenset(self._specs)

    def filler_of(self, name: str, language: str | None) -> str | None:
        """Give the tool's own filler in a language such as "zh-CN", each time the next one; None where it has none."""
        spec = self._specs.get(name)
        if spec is None or not spec.fillers:
            return None
        wanted = (language or "").lower().replace("_", "-")
        main = wanted.partition("-")[0]
        close = next((key for key in spec.fillers if main and key.partition("-")[0] == main), "")
        chosen = next((key for key in (wanted, main, close, "") if key in spec.fillers), None)
        if chosen is None:
            return None
        count = self._said[name, chosen] = self._said.get((name, chosen), -1) + 1
        phrases = spec.fillers[chosen]
        return phrases[count % len(phrases)]

    async def run(
        self,
        calls: Sequence[ToolCall],
        turn: Turn,
        *,
        hold: float,
        occasion: Occasion,
        ended: Callable[[ToolRun], None],
    ) -> list[str]:
        """Run what the model asked for in one round, all of it at once; give the texts for the model in that order.

        ``ended`` is told of each as it ends. ``hold`` is how many seconds a side effect waits where the platform is
        speculative. Cancelled, it stops the tools that are no side effects, and drops the side effects that have not
        begun; those that have go on to their end, of which ``ended`` is not told.
        """
        plans = [self._plan(call, turn, hold, occasion) for call in calls]
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(self._one(call, plan, ended), name="tool call")
            for call, plan in zip(calls, plans, strict=True)
        ]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def close(self, limit: float = 1.0) -> None:
        """Stop what still runs, and wait for it ``limit`` seconds; threads are not waited for.

        The ledger is closed first: it waits for the side effects.
        """
        self._pool.close()
        left = set(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await is_done_within(self._clock, limit, asyncio.gather(*left, return_exceptions=True))

    # --- one call ---------------------------------------------------------------------------------------------------

    def _plan(self, call: ToolCall, turn: Turn, hold: float, occasion: Occasion) -> _Plan:
        """Give what is to be done for a call; within one step for all of a round, so that equal ones are counted."""
        spec = self._specs.get(call.name)
        if spec is None:
            names = ", ".join(self._specs)
            return Outcome(
                error_text(f"There is no tool {call.name!r}. There are: {names}."), "refused", "unknown_tool"
            )
        try:
            given = spec.decode(call.arguments)
        except BadArguments as error:
            return Outcome(error_text(f"Bad arguments: {error}"), "refused", "bad_arguments")
        arguments = given if spec.turn is None else {**given, spec.turn: turn}
        work = partial(self._attempt, spec, arguments)
        if not spec.side_effect:
            return work
        intent = Intent(
            key=occasion.key(spec.name, given),
            call_id=occasion.call_id,
            turn=occasion.turn,
            tool=spec.name,
            at=self._clock.now(),
        )
        return partial(self._ledger.once, intent, work, hold=hold if occasion.speculative else 0.0)

    async def _one(self, call: ToolCall, plan: _Plan, ended: Callable[[ToolRun], None]) -> str:
        begun = self._clock.monotonic()
        text, outcome, code = plan if isinstance(plan, Outcome) else await plan()
        seconds = self._clock.monotonic() - begun
        log.log(
            logging.INFO if outcome in ("ok", "again") else logging.WARNING,
            "tool name=%s outcome=%s code=%s ms=%.1f",
            # Any other name is the model's invention.
            call.name if call.name in self._specs else "-",
            outcome,
            code or "-",
            seconds * 1000,
        )
        ended(ToolRun(call.name, call.arguments, outcome, seconds, id=call.id, code=code))
        return text

    async def _attempt(self, spec: ToolSpec, arguments: dict[str, Any]) -> Outcome:
        """Run a tool within its time; whatever it does, that is an outcome."""
        limit = self._timeout if spec.timeout is None else spec.timeout
        start = _Start()
        task = asyncio.get_running_loop().create_task(self._invoke(spec, arguments, start), name=f"tool {spec.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        over = never_begun = False
        try:
            over = await is_done_within(self._clock, limit, task)
        finally:
            if not over:
                never_begun = start.take()
                # Not waited for: it may not obey.
                task.cancel()
        if never_begun:
            return BUSY
        if not over:
            maybe = " Nobody knows whether it was done." if spec.side_effect else ""
            return Outcome(error_text(f"It did not end within {limit:g} seconds, and was given up.{maybe}"), "timeout")
        return _failed("CancelledError", "") if task.cancelled() else task.result()

    async def _invoke(self, spec: ToolSpec, arguments: dict[str, Any], start: _Start) -> Outcome:
        call = partial(spec.function, **arguments)
        try:
            if inspect.iscoroutinefunction(spec.function):
                if not start.take():
                    return BUSY
                value = await call()
            else:
                value = await self._in_thread(call, start)
                if inspect.isawaitable(value):
                    # A plain function that hands on a coroutine of an async one.
                    value = await value
            if isinstance(value, Command):
                order = value.name
                log.warning("a tool gave a command, which only a model or an agent can: %(name)s", {"name": order})
                return _failed("TypeError", f"a tool cannot {order}; call {order} itself")
            return Outcome(_text(value), "ok")
        except (Exception, SystemExit) as error:
            # The user's own function: it may raise anything, and may call exit().
            said = {"name": spec.name, "error": type(error).__name__, "place": _place(error)}
            log.warning("the tool %(name)s failed: %(error)s at %(place)s", said)
            return _failed(type(error).__name__, _words(error))

    def _in_thread(self, call: Callable[[], Any], start: _Start) -> asyncio.Future[Any]:
        """Run a plain function in a thread, unless it is given up before one is free."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            if not start.take():
                return
            value: Any = None
            error: BaseException | None = None
            try:
                value = context.run(call)
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # The loop has been closed: nobody waits any more.
                loop.call_soon_threadsafe(_settle, future, value, error)

        self._pool.submit(job)
        return future


class _Start:
    """Decides once, between the thread that would begin a tool and the loop that gives it up."""

    def __init__(self) -> None:
        self._token = [None]

    def take(self) -> bool:
        """Tell whether this is the first to ask; safe in any thread."""
        try:
            self._token.pop()
        except IndexError:
            return False
        return True


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        future.set_exception(error)
    else:
        future.set_exception(RuntimeError(f"it raised {type(error).__name__}"))


def _failed(kind: str, words: str) -> Outcome:
    return Outcome(error_text(f"{kind}: {words}" if words else kind), "failed", kind)


def _place(error: BaseException) -> str:
    """Say where it was raised; by the frames alone, as reading the lines would block."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return "-"
    code = place.tb_frame.f_code
    return f"{code.co_filename}:{place.tb_lineno} in {code.co_name}"


def _words(error: BaseException) -> str:
    try:
        return str(error)[:_MOST_SAID]
    except Exception:
        return ""  # Of a class of the user's own whose __str__ fails.


def _text(value: Any) -> str:
    """Give what a tool returned as the text for the model. Raises what msgspec raises for what has no JSON."""
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=_plain).decode()
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > MOST_RESULT:
        text = data[:MOST_RESULT].decode("utf-8", "ignore") + f" [cut off here: {len(data)} bytes in all]"
    return well_formed(text)


def _plain(value: Any) -> Any:
    """Give what JSON has no form for in one that it has: a pydantic model as its fields, anything else as its text."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)
