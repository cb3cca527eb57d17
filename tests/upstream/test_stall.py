"""A model service that falls silent in the middle of its answer, and one that only seems to."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from offhook.errors import UpstreamTimeout
from offhook.events import Text
from offhook.testing import JumpClock
from offhook.testing.fault_server import fault_upstream
from offhook.testing.faults import says, with_fault
from offhook.upstream.answering import Answering
from offhook.upstream.attempt import Upstream
from offhook.upstream.spec import UpstreamSpec
from tests.raw import AUTH, Wire, chat_body, get
from tests.upstream.paced import COMMENT, DONE, call_body, chunk, failover, heard, service, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.testing.faults import Fault

STALL = 5.0
CALL = {"index": 0, "id": "call_1", "function": {"name": "find", "arguments": "{}"}}


@pytest.mark.parametrize(
    "more",
    [None, [COMMENT, COMMENT], [chunk({"reasoning_content": "Hm."})], [text("<think>Hm.")], [text(" "), text("\n")]],
    ids=["nothing", "comments", "reasoning", "think", "white space"],
)
def test_a_gap_after_the_first_word_is_a_death(more: list[bytes] | None) -> None:
    """After ``stall_after`` without a word the service is left and the reply ends with an error, whatever else came."""
    clock = JumpClock()
    with failover(clock=clock) as (server, [one, two]), Wire(server.base_url) as wire:
        wire.ask(call_body())
        stalling = one.asked()
        stalling.say("Well, ")
        wire.read_until(b"Well, ")
        if more is not None:
            stalling.write(*more)
        clock.wait_for_timers(1)
        clock.advance(STALL)
        stalling.wait_left()
        said = heard(wire, error_expected=True)
        server.wait_for_turns(1)
        [record] = server.records("c1")
        assert two.left_alone
    assert said.text.strip() == "Well,"
    assert said.error is not None
    assert said.error["code"] == "upstream_timeout"
    assert (record.reason, record.error) == ("failed", "upstream_timeout")
    assert [event.data["outcome"] for event in record.events if event.kind == "attempt_ended"] == ["failed"]


@pytest.mark.parametrize("fault", ["comments", "reasoning", "think", "whitespace"])
def test_what_comes_for_ever_after_the_first_word_is_a_death(fault: Fault) -> None:
    """A service that stays busy without a word is left like a silent one."""
    clock = JumpClock()
    plan = [with_fault(says("Well, ", "never"), fault, "mid", beat=0.001)]
    with (
        fault_upstream(plan) as busy,
        failover(1, clock=clock, tables=[{"base_url": busy.base_url}]) as (server, _),
        Wire(server.base_url) as wire,
    ):
        wire.ask(chat_body())
        wire.read_until(b"Well, ")
        clock.wait_for_timers(1)
        clock.advance(STALL)
        busy.wait_for_disconnects(1)
        assert heard(wire, error_expected=True).error is not None


@pytest.mark.timeout(10)
@pytest.mark.parametrize("more", [chunk({"reasoning_content": "Hm."}), text("<think>"), text(" ")])
async def test_what_is_read_without_a_word_does_not_move_the_end(more: bytes) -> None:
    """Each of them was read a moment before the end, and the end comes when it would have come without them."""
    clock = JumpClock()
    with service() as one:
        upstream = Upstream(UpstreamSpec(name="a", base_url=one.base_url), clock)
        body = {"model": "m", "messages": []}
        answering = Answering(upstream, body, {}, clock, place=0, number=1, stall_after=STALL)
        qualifying = asyncio.create_task(answering.qualify())
        asked = await asyncio.to_thread(one.asked)
        asked.say("Well, ")
        assert await qualifying == [Text("Well, ")]
        answering.watch()
        for _ in range(4):
            clock.advance(STALL / 5)
            asked.write(more)
            await answering.read()
        clock.advance(STALL / 5)
        await asyncio.to_thread(asked.wait_left)
        with pytest.raises(UpstreamTimeout):
            await answering.read()
        await upstream.close()


def test_words_in_time_keep_an_answer_alive() -> None:
    """The gap is counted anew from each word, and a whole answer may take far longer."""
    clock = JumpClock()
    words = [f"word{number}, " for number in range(6)]
    with failover(1, clock=clock) as (server, [one]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        asked = one.asked()
        for word in words:
            asked.say(word)
            wire.read_until(word.encode())
            clock.wait_for_timers(1)
            clock.advance(STALL - 0.1)
        asked.end()
        assert heard(wire).text == "".join(words)


def test_the_gap_of_a_service_wins() -> None:
    """``stall_after`` of an entry stands above that of all."""
    clock = JumpClock()
    with (
        failover(1, clock=clock, each={"stall_after": 0.5}, failover_stall_after=60.0) as (server, [one]),
        Wire(server.base_url) as wire,
    ):
        wire.ask(chat_body())
        asked = one.asked()
        asked.say("Well, ")
        wire.read_until(b"Well, ")
        clock.wait_for_timers(1)
        clock.advance(0.5)
        asked.wait_left()
        assert heard(wire, error_expected=True).error is not None


def test_fragments_of_a_call_are_no_silence() -> None:
    """Behind the first word a long tool call keeps its answer alive; it ends as usual."""
    clock = JumpClock()
    with failover(1, clock=clock) as (server, [one]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        asked = one.asked()
        asked.say("Let me see. ")
        wire.read_until(b"see. ")
        for part, word in (('{"a":', "So, "), ("1}", "well. ")):
            clock.wait_for_timers(1)
            clock.advance(STALL - 0.1)
            asked.write(chunk({"tool_calls": [{**CALL, "function": {"name": "find", "arguments": part}}]}), text(word))
            wire.read_until(word.strip().encode())
        asked.end()
        assert heard(wire).finish_reason == "tool_calls"


@pytest.mark.parametrize("calls", [False, True])
@pytest.mark.parametrize("lost", [False, True])
def test_a_service_that_says_nothing_after_its_end_has_ended_well(calls: bool, lost: bool) -> None:
    """Only the usage is waited for behind the finish chunk, for a second, and a lost connection is none either."""
    clock = JumpClock()
    with failover(1, clock=clock) as (server, [one]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        asked = one.asked()
        asked.say("Hello, ")
        wire.read_until(b"Hello, ")
        asked.write(text("you"), chunk({"tool_calls": [CALL]} if calls else {}, "stop"))
        wire.read_until(b'"you"')
        if lost:
            asked.hang_up()
        else:
            clock.wait_for_timers(1)
            clock.advance(1.0)
            asked.wait_left()
        said = heard(wire)
    assert said.text == "Hello, you"
    assert said.finish_reason == ("tool_calls" if calls else "stop")


def test_the_usage_may_come_late() -> None:
    """Within that second the usage still counts."""
    clock = JumpClock()
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    with failover(1, clock=clock) as (server, [one]), Wire(server.base_url) as wire:
        wire.ask(chat_body())
        asked = one.asked()
        asked.write(text("Hello"), chunk({}, "stop"))
        wire.read_until(b"Hello")
        clock.wait_for_timers(1)
        clock.advance(0.9)
        asked.write(chunk({}, usage=usage), DONE)
        assert heard(wire).finish_reason == "stop"
        assert server.wait_for_turns(1)[0].prompt_tokens == 7


class WaitingClock(JumpClock):
    """Tells whether the client is waited for, by the timer that was set last: that one, or the service's."""

    FOR_SERVICE = 7.0
    FOR_CLIENT = 1e6

    def __init__(self) -> None:
        super().__init__()
        self.for_client = False

    @override
    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        if seconds in (self.FOR_SERVICE, self.FOR_CLIENT):
            self.for_client = seconds == self.FOR_CLIENT
        return super().call_later(seconds, callback)


def test_a_client_that_does_not_read_is_no_silence_of_the_service() -> None:
    """While nobody takes the words, and so nobody reads the service, it is not taken for dead."""
    clock = WaitingClock()
    piece = "x" * 50_000
    settings: dict[str, Any] = {
        "failover_stall_after": clock.FOR_SERVICE,
        "limits_slow_reader": clock.FOR_CLIENT,
    }
    with (
        failover(1, clock=clock, **settings) as (server, [one]),
        Wire(server.base_url, receive_buffer=16_384) as wire,
    ):
        wire.ask(chat_body())
        asked = one.asked()

        def talk() -> None:
            # The connection may be gone: then the assertions below fail.
            with suppress(OSError):
                for _ in range(300):
                    asked.say(piece)
                asked.end()

        talking = threading.Thread(target=talk)
        talking.start()
        wire.read_until(b"xxx")
        # Each answer is many steps of the loop: so long it stands still.
        still = 0
        while still < 50:
            assert get(server.base_url, "/v1/models", AUTH).status == 200
            still = still + 1 if clock.for_client else 0
        clock.advance(10 * clock.FOR_SERVICE)
        assert get(server.base_url, "/v1/models", AUTH).status == 200
        assert len(heard(wire).text) == 300 * len(piece)
        talking.join()
