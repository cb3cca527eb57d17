"""A newer turn ends the one that is live, a late one is never run, and nobody else's turn is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import live_server, scripted_upstream
from offhook.testing.upstream import HOLD
from tests.callers import Scene, gist, heard, plain, scene, turn
from tests.oracle import check_http
from tests.raw import Wire, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = {"plain": {"call_id": "header:X-Call"}}
NOTHING: tuple[str, list[Any], str] = ("", [], "stop")


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Scene]:
    with scene(dialect=HEADER) as made:
        yield made


@pytest.fixture
def stage(shared_stage: Scene) -> Iterator[Scene]:
    yield shared_stage
    shared_stage.hang_up()


# --- superseded ---------------------------------------------------------------------------------------------------

# What comes first, what then, and whether the second shows the first one and its reply.
OVERTAKING = [
    pytest.param(1, 2, False, id="newer"),
    pytest.param("9", 10, True, id="newer, with what was said"),
    pytest.param("b", "a", False, id="newer by arrival"),
    pytest.param(1, "01", False, id="grown"),
    pytest.param(None, None, True, id="without turn ids, behind the live one"),
    pytest.param(None, None, False, id="without turn ids, other last words"),
]


@pytest.mark.parametrize(("first", "second", "shown"), OVERTAKING)
@pytest.mark.parametrize("words", ["talk", "hold"])
def test_a_turn_that_comes_after_a_live_one_ends_it(
    stage: Scene, first: int | str | None, second: int | str | None, shown: bool, words: str
) -> None:
    """The older agent is cancelled, its response ends with a lone stop and its record as superseded."""
    call = f"{first} {second} {shown} {words}"
    wire = stage.begun(call, first, words)
    before = [("user", words), ("assistant", "Well, ")] if shown else []
    assert stage.tell(turn(call, second, "hello", before=before)).text == "You said hello."
    assert gist(heard(wire)) == ("Well, " if words == "talk" else "", [], "stop")
    assert stage.talker.over(stage.talker.run(call)).cancelled
    older, newer = stage.records(call)
    assert (older.reason, older.sent, newer.reason) == ("superseded", "Well, " if words == "talk" else "", "stop")


def test_a_plain_call_is_superseded_too(stage: Scene) -> None:
    """A call that is named by a header has turns as any other."""
    header = {"X-Call": "plain"}
    wire = stage.ask(plain("talk"), header)
    wire.read_until(b"Well, ")
    assert stage.tell(plain("hello"), header).text == "You said hello."
    assert gist(heard(wire)) == ("Well, ", [], "stop")


def test_everybody_who_reads_a_superseded_reply_is_told(stage: Scene) -> None:
    """A turn and its retry, both on the line, end with a stop."""
    wires = [stage.begun("both", 1, "talk"), stage.ask(turn("both", 1, "talk"))]
    wires[1].read_until(b"Well, ")
    stage.tell(turn("both", 2, "hello"))
    assert [gist(heard(wire)) for wire in wires] == [("Well, ", [], "stop")] * 2


def test_a_superseded_turn_closes_the_connection_to_its_model() -> None:
    """The model service sees the client of the older turn leave while the newer one still goes on."""
    with scripted_upstream("Well, ", HOLD) as upstream, live_server(None, upstream=upstream.base_url) as server:
        with Wire(server.base_url) as older, Wire(server.base_url) as newer:
            older.ask(turn("c", 1, "hello"))
            older.read_until(b"Well, ")
            newer.ask(turn("c", 2, "hello"))
            newer.read_until(b"Well, ")
            assert len(upstream.wait_for_disconnects(1)) == 1
            assert gist(heard(older)) == ("Well, ", [], "stop")
            assert server.live == 1
        assert [details.reason for details in server.wait_for_turns(2)] == ["superseded", "cancelled"]


def test_a_platform_may_be_told_of_it_by_an_error() -> None:
    """With superseded = "error" the older response breaks off: by an event, or by a status before its first byte."""
    with scene(dialect={"alibaba_ims": {"superseded": "error"}}) as stage:
        spoken, silent = stage.begun("spoken", 1, "talk"), stage.begun("silent", 1, "hold")
        for call in ("spoken", "silent"):
            assert stage.tell(turn(call, 2, "hello")).text == "You said hello."
        said = heard(spoken, error=True)
        assert said.text == "Well, " and said.error is not None and said.error["code"] == "superseded"
        refused = check_http(silent.read_response())
        assert (refused.status, error_of(refused)["code"]) == (409, "superseded")


# --- beside -------------------------------------------------------------------------------------------------------

OTHERS = [
    pytest.param(1, turn("{}", 2, "hello", model="other"), id="another model's turn"),
    pytest.param(1, turn("another of {}", 2, "hello"), id="another call's turn"),
    pytest.param(1, turn(None, 2, "hello"), id="no call id"),
    pytest.param(1, turn("{}", 2, "hello", stream=False), id="a newer turn, not streamed"),
    pytest.param(1, turn("{}", 1, "hello", stream=False), id="a grown turn, not streamed"),
    pytest.param(2, turn("{}", 1, "hello", stream=False), id="an older turn, not streamed"),
    pytest.param(None, turn("{}", None, "hello", stream=False), id="without turn ids, not streamed"),
    pytest.param(
        None,
        turn("{}", None, "hello", before=[("user", "a"), ("assistant", "b")]),
        id="without turn ids, another history",
    ),
]


@pytest.mark.parametrize(("id", "other"), OTHERS)
def test_what_has_nothing_to_do_with_a_live_turn_leaves_it(
    stage: Scene, id: int | None, other: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    """Both are answered whole."""
    call = request.node.name
    extend = other["extendData"]
    if "instanceId" in extend:
        other = {**other, "extendData": {**extend, "instanceId": extend["instanceId"].format(call)}}
    wire = stage.begun(call, id, "talk")
    assert stage.tell(other).text == "You said hello."
    stage.talker.run(call).go_on()
    assert gist(heard(wire)) == ("Well, so be it.", [], "stop")


def test_a_turn_that_is_not_streamed_is_not_ended_by_a_newer_one(stage: Scene) -> None:
    """A reply that is wanted whole is nobody's speech."""
    wire = stage.begun("whole", 1, "hold", stream=False)
    assert stage.tell(turn("whole", 2, "hello")).text == "You said hello."
    stage.talker.run("whole").go_on()
    assert check_http(wire.read_response()).status == 200
    assert sorted(stage.reasons("whole")) == ["stop", "stop"]


def test_requests_without_a_call_id_never_touch_each_other(stage: Scene) -> None:
    """The same words twice are two turns, and both agents run."""
    runs = len(stage.talker.runs)
    wires = [stage.ask(plain("talk")), stage.ask(plain("talk")), stage.ask(turn(None, 1, "talk"))]
    for wire in wires:
        wire.read_until(b"Well, ")
    assert len(stage.talker.runs) == runs + 3
    for run in stage.talker.runs[runs:]:
        run.go_on()
    assert [gist(heard(wire))[0] for wire in wires] == ["Well, so be it."] * 3


# --- late ---------------------------------------------------------------------------------------------------------


def test_a_late_request_never_starts_the_agent(stage: Scene) -> None:
    """A turn before the newest gets an empty stop, in its first, grown or cancelled form, and the newest goes on."""
    cancelled = stage.begun("late", 2, "hold")
    cancelled.close()
    assert stage.talker.over(stage.talker.run("late")).cancelled
    wire = stage.begun("late", 10, "talk")
    for id, text in ((1, "hello"), (2, "hold"), (2, "hold on"), ("9", "hello")):
        assert gist(stage.tell(turn("late", id, text))) == NOTHING
    stage.talker.run("late", 2).go_on()
    assert heard(wire).text == "Well, so be it."
    assert stage.tell(turn("late", 9, "hello")).text == ""
    assert len(stage.talker.of("late")) == 2
    assert stage.reasons("late") == ["cancelled", "stop"]


def test_a_late_request_that_was_answered_gets_its_answer_again(stage: Scene) -> None:
    """A retry of an older turn that ended well is given the stored reply, while a newer one is live."""
    first = stage.tell(turn("answered", 1, "look"))
    wire = stage.begun("answered", 2, "talk")
    assert gist(stage.tell(turn("answered", 1, "look"))) == gist(first)
    stage.talker.run("answered", 2).go_on()
    assert heard(wire).text == "Well, so be it."
    assert len(stage.talker.of("answered")) == 2


def test_tool_results_are_the_next_step_and_end_nothing(stage: Scene) -> None:
    """A request with the turn's tool calls and their results runs beside what the turn still says."""
    first = turn("steps", 1, "talk")
    wire = stage.begun("steps", 1, "talk")
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    results = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    with stage.ask({**first, "messages": [*first["messages"], *results]}) as next_step:
        next_step.read_until(b"Well, ")
        for run in stage.talker.of("steps"):
            run.go_on()
        assert [heard(one).text for one in (wire, next_step)] == ["Well, so be it."] * 2
    assert [record.which for record in stage.records("steps")] == ["newer", "continuation"]


def test_what_a_request_is_stands_in_its_record(stage: Scene) -> None:
    """The record names the request as the table does."""
    stage.tell(turn("named", 1, "hello"))
    stage.tell(turn("named", 1, "hello there"))
    stage.tell(turn("named", 2, "hello"))
    stage.tell(turn("named", 3, "hello", stream=False))
    stage.tell(turn("named", 4, "fail"))
    stage.tell(turn("named", 4, "fail"))
    names = [record.which for record in stage.records("named")]
    assert names == ["newer", "grown", "newer", "beside", "newer", "retry"]
