"""What an agent is given as history over HTTP: the whole call where the platform cuts it, or what the platform sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import JumpClock
from tests.callers import Said, Scene, Talker, plain, scene, turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MARK = "<ims_agent_interrupted>"


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Scene]:
    with scene(dialect={"plain": {"call_id": "header:X-Call"}}) as made:
        yield made


@pytest.fixture
def stage(shared_stage: Scene) -> Iterator[Scene]:
    yield shared_stage
    shared_stage.hang_up()


def said(text: str) -> list[Said]:
    """Give a caller's words and what the agent answers to them."""
    return [("user", text), ("assistant", f"You said {text}.")]


def converse(stage: Scene, call: str, *texts: str, shown: int) -> list[list[Said]]:
    """Hold a conversation in which the platform shows the last ``shown`` records; give each turn's history."""
    records: list[Said] = []
    for id, text in enumerate(texts, 1):
        assert stage.tell(turn(call, id, text, before=records[max(0, len(records) - shown) :])).text
        records += said(text)
    return [run.history for run in stage.talker.of(call)]


@pytest.mark.parametrize("shown", [0, 1, 2, 1000])
def test_the_history_is_the_whole_call_however_little_the_platform_shows(stage: Scene, shown: int) -> None:
    """With the last message alone, and with two records, every turn of the call is there."""
    call = f"window of {shown}"
    histories = converse(stage, call, "one", "two", "three", "four", shown=shown)
    assert histories == [
        [("user", "one")],
        [*said("one"), ("user", "two")],
        [*said("one"), *said("two"), ("user", "three")],
        [*said("one"), *said("two"), *said("three"), ("user", "four")],
    ]
    assert [record.memory for record in stage.records(call)] == ["first", "aligned", "aligned", "aligned"]


def test_the_window_is_what_the_platform_sent(stage: Scene) -> None:
    """turn.window stays what came, beside the history of the call."""
    converse(stage, "both", "one", "two", "three", shown=1)
    assert [run.window for run in stage.talker.of("both")] == [
        [("user", "one")],
        [said("one")[1], ("user", "two")],
        [said("two")[1], ("user", "three")],
    ]


def test_system_messages_stand_in_front(stage: Scene) -> None:
    """The platform's system message of this request leads the whole call."""
    for id, (prompt, text) in enumerate((("be kind", "one"), ("be brief", "two")), 1):
        stage.tell(turn("led", id, text, before=[("system", prompt)]))
    assert stage.talker.of("led")[1].history == [("system", "be brief"), *said("one"), ("user", "two")]


def test_a_grown_turn_is_there_once(stage: Scene) -> None:
    """The shorter form of what the caller said is not part of the call."""
    stage.tell(turn("grown", 1, "one"))
    stage.begun("grown", 2, "talk")
    stage.tell(turn("grown", 2, "two and a half"))
    assert stage.talker.of("grown")[-1].history == [*said("one"), ("user", "two and a half")]


def test_of_a_turn_that_was_cut_off_what_was_sent_is_remembered(stage: Scene) -> None:
    """Where the platform does not show it, the call has as much of the reply as went out."""
    stage.begun("cut", 1, "talk").close()
    stage.talker.over(stage.talker.run("cut"))
    stage.tell(turn("cut", 2, "two"))
    assert stage.talker.of("cut")[-1].history == [("user", "talk"), ("assistant", "Well, "), ("user", "two")]


def test_calls_and_models_do_not_share_a_memory(stage: Scene) -> None:
    """Another call, and another model of the same call, begin with what the platform shows them."""
    stage.tell(turn("mine", 1, "one"))
    stage.tell(turn("yours", 1, "two"))
    stage.tell(turn("mine", 2, "three", model="other"))
    assert stage.talker.of("yours")[0].history == [("user", "two")]
    assert stage.talker.of("mine")[1].history == [("user", "three")]


def test_a_request_beside_the_conversation_leaves_the_memory(stage: Scene) -> None:
    """One that is not streamed, such as a summary, gets its own messages and is no part of the call."""
    stage.tell(turn("aside", 1, "one"))
    stage.tell(turn("aside", 1, "sum up", stream=False))
    stage.tell(turn("aside", 2, "two"))
    assert [run.history for run in stage.talker.of("aside")][1:] == [
        [("user", "sum up")],
        [*said("one"), ("user", "two")],
    ]


def test_a_window_that_does_not_fit_is_used_as_it_came(stage: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """A miss is counted, the log says it, and from then on the call is remembered anew."""
    strange = [("user", "something"), ("assistant", "else entirely"), ("user", "two")]
    missed = stage.server.missed
    with caplog.at_level(logging.INFO, "offhook.turn"):
        stage.tell(turn("lost", 1, "one"))
        stage.tell(turn("lost", 2, "two", before=strange[:-1]))
        stage.tell(turn("lost", 3, "three"))
        details = stage.ended("lost", 3)
    assert [one.memory for one in details] == ["first", "missed", "aligned"]
    assert stage.server.missed == missed + 1
    assert [line for line in caplog.messages if "turn=2" in line and "memory=missed" in line]
    assert [run.history for run in stage.talker.of("lost")][1:] == [
        strange,
        [*strange, said("two")[1], ("user", "three")],
    ]


def test_what_was_heard_reaches_the_record_and_the_prompt(stage: Scene) -> None:
    """The platform's mark of an interruption is taken over as an offset, and the call remembers what was heard."""
    stage.tell(turn("heard", 1, "one two three"))
    stage.tell(turn("heard", 2, "stop", before=[("user", "one two three"), ("assistant", f"You said{MARK}")]))
    stage.tell(turn("heard", 3, "go on"))
    before = [("user", "one two three"), ("assistant", "You said"), *said("stop")]
    assert stage.talker.of("heard")[-1].history == [*before, ("user", "go on")]
    first, second, _ = stage.records("heard")
    assert (first.generated, first.sent, first.heard) == ("You said one two three.", "You said one two three.", 8)
    assert second.heard is None


def test_a_reply_that_only_its_retry_got_is_remembered() -> None:
    """What went out with a replay counts as said, although nobody had it the first time."""
    with scene(dialect={"alibaba_ims": {"cancel_grace": 5.0}}) as stage:
        stage.begun("c", 1, "hold").close()
        stage.clock.wait_for_sleepers(2)
        stage.talker.run("c").go_on()
        stage.talker.over(stage.talker.run("c"))
        assert stage.tell(turn("c", 1, "hold")).text == "so be it."
        stage.seen()
        stage.tell(turn("c", 2, "two"))
        history = [("user", "hold"), ("assistant", "so be it."), ("user", "two")]
        assert stage.talker.of("c")[-1].history == history


# --- settings -----------------------------------------------------------------------------------------------------


def test_a_plain_client_sends_its_history_itself(stage: Scene) -> None:
    """Where nothing else is said the plain dialect's window is the history."""
    header = {"X-Call": "plain"}
    stage.tell(plain("one"), header)
    stage.tell(plain("two"), header)
    assert [run.history for run in stage.talker.of("plain")] == [[("user", "one")], [("user", "two")]]


HISTORIES: list[tuple[str, Sequence[Said]]] = [
    ("call", [*said("one"), ("user", "two")]),
    ("window", [("user", "two")]),
]


@pytest.mark.parametrize(("memory", "history"), HISTORIES)
def test_the_setting_wins_over_the_dialect(memory: str, history: Sequence[Said]) -> None:
    """With memory = "call" a plain call is remembered, and with "window" an Alibaba one is not."""
    with scene(memory=memory, dialect={"plain": {"call_id": "header:X-Call"}}) as stage:
        for text in ("one", "two"):
            stage.tell(plain(text), {"X-Call": "plain"})
        converse(stage, "ims", "one", "two", shown=0)
        assert [stage.talker.of(call)[1].history for call in ("plain", "ims")] == [list(history)] * 2


def test_the_memory_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A server that is started anew on the same file knows the call as before, with what was heard."""
    clock, talker = JumpClock(), Talker()
    settings: dict[str, Any] = {"store": "sqlite", "data_dir": str(tmp_path)}
    with scene(clock=clock, **settings) as stage:
        stage.tell(turn("c", 1, "one"))
        stage.tell(turn("c", 2, "two", before=[("user", "one"), ("assistant", f"You{MARK}")]))
    with scene(talker, clock=clock, **settings) as stage:
        stage.tell(turn("c", 3, "three"))
        before = [("user", "one"), ("assistant", "You"), *said("two")]
        assert talker.of("c")[0].history == [*before, ("user", "three")]
        assert [(record.memory, record.heard) for record in stage.records("c")] == [
            ("first", 3),
            ("aligned", None),
            ("aligned", None),
        ]
