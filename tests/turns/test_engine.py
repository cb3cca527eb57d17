"""The engine owns the task of every turn, and a disconnect is its decision."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from offhook.errors import AgentError, Stopping, TurnOver, UpstreamBusy
from offhook.events import CallContext, Command, Finish, Text, ToolCall, Turn
from offhook.turns import engine as engine_module
from offhook.turns.live import Opening
from tests.doubles import Listener, Scripted, Stage, forever

if TYPE_CHECKING:
    from offhook.agents.base import ReplyWriter


async def say_hello(turn: Turn, reply: ReplyWriter) -> None:
    reply.write(Text("Hello."))


async def hold_after_hello(turn: Turn, reply: ReplyWriter) -> None:
    reply.write(Text("Hello."))
    await forever()


async def started() -> None:
    """Let tasks that are ready take their first step."""
    await asyncio.sleep(0)


# --- a turn that goes well ----------------------------------------------------------------------------------------


async def test_a_turn_has_one_task_and_leaves_none() -> None:
    """A turn runs in one task of its own, and nothing is left of it when it has ended."""
    stage = Stage()
    before = asyncio.all_tasks()
    live, reader = await stage.begin(say_hello)
    assert asyncio.all_tasks() - before == {live.task} and stage.engine.live == 1
    await stage.over(live)
    assert reader.events == [Text("Hello."), Finish("stop")]
    assert stage.engine.live == 0
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("event", [Command("hangup"), ToolCall("lookup")])
async def test_a_reply_with_a_call_ends_with_tool_calls(event: Command | ToolCall) -> None:
    """The engine gives the reason tool_calls to a reply that holds a command or a tool call."""

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        reply.write(Text("Bye."), event)

    stage = Stage()
    live, reader = await stage.begin(answer)
    await stage.over(live)
    assert reader.finish == Finish("tool_calls")


async def test_an_agent_may_end_its_reply_with_a_reason_of_its_own() -> None:
    """The finish that an agent gave is kept."""

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        reply.write(Text("Too lo"))
        reply.close(Finish("length"))

    stage = Stage()
    live, reader = await stage.begin(answer)
    await stage.over(live)
    assert reader.finish == Finish("length")
    assert stage.hook.turns[0].reason == "length"


async def test_the_task_waits_until_a_slow_reader_has_taken_the_end() -> None:
    """A turn is not over before its readers could take everything."""
    stage = Stage()
    live, reader = await stage.begin(say_hello)
    reader.block()
    await started()
    assert reader.finish == Finish("stop")
    assert stage.engine.live == 1
    reader.unblock()
    await stage.over(live)
    assert stage.engine.live == 0


async def test_the_hooks_are_told_of_each_turn_once_with_its_times() -> None:
    """A hook is given one turn_ended per turn: its names, its reason and its times since the request came."""
    stage = Stage()
    go = asyncio.Event()

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        await stage.clock.sleep(0.2)
        reply.write(Text("  "))
        reply.write(Text("Hello."))
        await stage.clock.sleep(0.3)
        go.set()

    stage.clock.advance(5)
    live, _ = await stage.begin(answer)
    for seconds in (0.2, 0.3):
        await asyncio.to_thread(stage.clock.wait_for_sleepers)
        stage.clock.advance(seconds)
    await go.wait()
    await stage.over(live)
    [details] = stage.hook.turns
    assert details.request_id == "req_1"
    assert (details.reason, details.error, details.cancelled) == ("stop", None, None)
    assert details.started == 0.0
    assert details.first_useful == pytest.approx(0.2)
    assert details.ended == pytest.approx(0.5)
    assert details.stopped_at == pytest.approx(5.5)
    assert details.events == 3


# --- a reader that leaves -----------------------------------------------------------------------------------------


async def test_a_client_that_is_gone_before_the_agent_starts_never_runs_it() -> None:
    """Leaving in the step of begin ends the turn before the agent's first line, and the hook hears of it."""
    ran = []

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        ran.append(turn)

    stage = Stage()
    live, reader = await stage.begin(answer)
    stage.engine.leave(live, reader)
    await stage.over(live)
    assert ran == []
    [details] = stage.hook.turns
    assert (details.reason, details.first_useful, details.events) == ("cancelled", None, 1)


async def test_the_last_reader_to_leave_cancels_the_turn_within_its_step() -> None:
    """The reply is closed as cancelled and the signal set before leave returns; the agent then stops."""
    stage = Stage()
    live, reader = await stage.begin(hold_after_hello)
    await started()
    assert not live.turn.cancelled.is_set()
    stage.engine.leave(live, reader)
    assert live.turn.cancelled.is_set()
    assert live.reply.finish == Finish("cancelled")
    await stage.over(live)
    assert reader.events == [Text("Hello.")]
    [details] = stage.hook.turns
    assert details.reason == "cancelled"
    assert details.cancelled == 0.0


async def test_one_of_two_readers_may_leave() -> None:
    """A turn goes on as long as somebody reads it."""
    stage = Stage()
    live, first = await stage.begin(hold_after_hello)
    second = Listener()
    live.reply.attach(second)
    await started()
    stage.engine.leave(live, first)
    assert live.reply.finish is None
    assert not live.turn.cancelled.is_set()
    stage.engine.leave(live, second)
    assert live.turn.cancelled.is_set()
    await stage.over(live)


async def test_leaving_a_reply_that_has_ended_changes_nothing() -> None:
    """A reader that leaves after the finish cancels nobody."""
    stage = Stage()
    live, reader = await stage.begin(say_hello)
    await stage.over(live)
    stage.engine.leave(live, reader)
    assert live.reply.finish == Finish("stop")
    assert not live.turn.cancelled.is_set()
    assert [details.reason for details in stage.hook.turns] == ["stop"]


async def test_an_agent_can_wait_for_its_cancellation() -> None:
    """Everybody who awaits the signal goes on when the turn is cancelled, and at once from then on."""
    heard: list[str] = []

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        async def watch(name: str) -> None:
            await turn.cancelled.wait()
            heard.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(watch("one"))
            gone = group.create_task(watch("gone"))
            await asyncio.sleep(0)
            gone.cancel()
            try:
                await forever()
            finally:
                await turn.cancelled.wait()
                heard.append("again")

    stage = Stage()
    live, reader = await stage.begin(answer)
    for _ in range(4):
        await started()
    stage.engine.leave(live, reader)
    await stage.over(live)
    assert sorted(heard) == ["again", "one"]


async def test_a_cancelled_agent_may_clean_up_but_not_speak() -> None:
    """The agent's finally runs to its end; a write in it raises TurnOver and nobody hears it."""
    seen: list[str] = []

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            try:
                reply.write(Text("one more thing"))
            except TurnOver:
                seen.append("over")

    stage = Stage()
    live, reader = await stage.begin(answer)
    await started()
    stage.engine.leave(live, reader)
    await stage.over(live)
    assert seen == ["over"]
    assert live.reply.events == [Finish("cancelled")]


# --- an agent that fails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["Well, "]])
async def test_an_agent_that_raises_ends_its_reply_as_failed(words: list[str]) -> None:
    """The error in the finish is an AgentError that tells nothing of the exception, which is its cause."""
    cause = ValueError("13800000001 said so")

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        for word in words:
            reply.write(Text(word))
        raise cause

    stage = Stage()
    live, reader = await stage.begin(answer)
    await stage.over(live)
    assert reader.text == "".join(words)
    finish = reader.finish
    assert finish is not None and finish.reason == "failed"
    assert isinstance(finish.error, AgentError)
    assert finish.error.__cause__ is cause
    assert "13800000001" not in str(finish.error)
    assert [details.reason for details in stage.hook.turns] == ["failed"]


async def test_an_error_of_ours_is_passed_on_as_it_is() -> None:
    """An OffhookError that an agent raises is the error of the finish itself."""
    busy = UpstreamBusy("slow down", retry_after="3")

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        raise busy

    stage = Stage()
    live, reader = await stage.begin(answer)
    await stage.over(live)
    assert reader.finish is not None and reader.finish.error is busy


async def test_an_agent_that_calls_exit_fails_and_the_loop_lives() -> None:
    """SystemExit from an agent is a failure of this turn, not the end of the server."""

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        raise SystemExit(3)

    stage = Stage()
    live, reader = await stage.begin(answer)
    await stage.over(live)
    assert reader.finish is not None and reader.finish.reason == "failed"
    assert isinstance(reader.finish.error, AgentError)


async def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    """An agent that ends with the CancelledError of something of its own has failed: the caller is still there."""

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        inner = asyncio.ensure_future(forever())
        inner.cancel()
        await inner

    stage = Stage()
    live, reader = await stage.begin(answer)
    await stage.over(live)
    assert reader.finish is not None and reader.finish.reason == "failed"
    assert stage.hook.turns[0].reason == "failed"


# --- the end of the engine ----------------------------------------------------------------------------------------


async def test_close_lets_a_live_turn_end_within_the_grace() -> None:
    """A turn that ends by itself during the grace keeps its own finish."""
    stage = Stage()
    go = asyncio.Event()

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        reply.write(Text("Almost "))
        await go.wait()
        reply.write(Text("done."))

    _, reader = await stage.begin(answer)
    closing = asyncio.ensure_future(stage.engine.close(grace=20))
    await asyncio.sleep(0)
    go.set()
    await closing
    assert reader.text == "Almost done."
    assert reader.finish == Finish("stop")
    assert stage.engine.live == 0


async def test_close_cancels_what_is_left_with_an_honest_reason() -> None:
    """Without grace a live turn is cancelled at once, and its reader is told that the server goes down."""
    stage = Stage()
    live, reader = await stage.begin(hold_after_hello)
    await started()
    await stage.engine.close()
    assert reader.finish is not None and reader.finish.reason == "cancelled"
    assert isinstance(reader.finish.error, Stopping)
    assert live.turn.cancelled.is_set()
    assert stage.engine.live == 0


async def test_hurry_ends_the_grace() -> None:
    """A second request to stop cancels the live turns although the grace is not over."""
    stage = Stage()
    _, reader = await stage.begin(hold_after_hello)
    await started()
    closing = asyncio.ensure_future(stage.engine.close(grace=20))
    await asyncio.sleep(0)
    assert reader.finish is None
    stage.engine.hurry()
    await closing
    assert reader.finish is not None and isinstance(reader.finish.error, Stopping)


async def test_no_turn_begins_while_the_engine_closes() -> None:
    """Begin raises Stopping, a 503 that may be tried again, and the agent is not run."""
    stage = Stage()
    await stage.engine.close()
    with pytest.raises(Stopping) as raised:
        await stage.begin(say_hello)
    assert (raised.value.status, raised.value.retryable) == (503, True)
    assert stage.engine.live == 0


async def test_an_agent_that_ignores_its_cancellation_is_reported(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Close gives up on an agent that does not stop, and says so in the log."""
    monkeypatch.setattr(engine_module, "_LONGEST_CLEAN_UP", 0.02)
    release = asyncio.Event()

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    stage = Stage()
    live, _ = await stage.begin(answer)
    await started()
    with caplog.at_level(logging.WARNING, "offhook.turns"):
        await stage.engine.close()
    assert "1 agents did not stop" in caplog.text
    assert stage.engine.live == 1
    release.set()
    await stage.over(live)


async def test_a_task_that_is_cancelled_from_outside_is_a_cancelled_turn() -> None:
    """Whoever ends the loop cancels the task itself; the reply then ends as cancelled."""
    stage = Stage()
    live, reader = await stage.begin(hold_after_hello)
    await started()
    assert live.task is not None and live.task.cancel()
    await stage.over(live)
    assert reader.finish == Finish("cancelled")
    assert len(stage.hook.turns) == 1


async def test_a_turn_that_cannot_be_made_starts_nothing() -> None:
    """When the request cannot be read as a turn the error is the caller's, and no task is left."""
    stage = Stage()

    def make(cancelled: object, history: object, state: object, **more: object) -> Turn:
        raise ValueError("no turn")

    opening = Opening(make, request_id="req_1", received=0.0, call=CallContext())
    with pytest.raises(ValueError, match="no turn"):
        await stage.engine.begin(opening, Scripted(say_hello), Listener())
    assert stage.engine.live == 0
