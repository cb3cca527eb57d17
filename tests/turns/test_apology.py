"""A turn that fails tells its caller in words where he could not see an error, and the model never learns of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.coord.memory import MemoryCoordinator
from offhook.dialects.alibaba_ims import ALIBABA_IMS, INTERRUPTED
from offhook.dialects.base import Options
from offhook.errors import Stopping
from offhook.events import Aside, CallContext, Command, Finish, Message, Text, Turn
from offhook.server.outlet import Outlet
from offhook.server.stream import CompletionReader, Face, StreamReader
from offhook.testing import JumpClock, live_server
from offhook.turns.calls import Calls
from offhook.turns.engine import Engine
from offhook.turns.live import Opening
from offhook.turns.phrases import APOLOGIES
from offhook.turns.sound import Manner
from offhook.wire.chat import decode_request
from tests.callers import heard, plain, scene, turn
from tests.doubles import Listener, Scripted, forever
from tests.raw import AUTH, error_of, request, stream
from tests.steps import Stepper, asked, filler_in

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.agents.base import ReplyWriter
    from offhook.events import Cancellation
    from offhook.turns.state import CallState
    from tests.callers import Scene

CLOSING = {"en": ["Sorry, the line broke."]}
CHINESE = "我想问一下我的订单到哪里了 fail"


# --- what is heard ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "language"), [("fail", "en"), (CHINESE, "zh"), ("think fail", "en")])
def test_on_a_telephone_a_failure_is_an_apology(text: str, language: str) -> None:
    """The stream has status 200 and ends well, in the language that the caller spoke."""
    with scene(Stepper()) as stage:
        said = stage.tell(turn("c", 1, text))
        assert said.text in APOLOGIES[language]
        assert (said.finish_reason, said.calls) == ("stop", [])
        stage.ended("c", 1)
        [record] = stage.records("c")
        assert (record.reason, record.error, record.generated, record.sent) == ("failed", "agent_error", "", "")
        [event] = record.events
        assert (event.kind, event.data) == ("aside", {"text": said.text, "why": "apology"})
        assert record.first_useful is None and record.first_byte is not None


@pytest.mark.parametrize("streamed", [True, False])
def test_elsewhere_a_failure_is_a_status(streamed: bool) -> None:
    """A program can read it, and is told not to ask again by itself."""
    with scene(Stepper()) as stage:
        reply = request(stage.server.base_url, plain("fail", stream=streamed), AUTH)
        assert (reply.status, error_of(reply)["code"]) == (503, "agent_error")
        assert reply.header("x-should-retry") == "false"


@pytest.mark.parametrize(
    ("dialect", "call", "status"),
    [({"plain": {"telephone": True}}, None, 200), ({"alibaba_ims": {"telephone": False}}, "c", 503)],
)
def test_what_a_telephone_is_can_be_set(dialect: dict[str, Any], call: str | None, status: int) -> None:
    """The settings of a dialect win over what it says of its platform."""
    with scene(Stepper(), dialect=dialect) as stage:
        body = plain("fail") if call is None else turn(call, 1, "fail")
        assert request(stage.server.base_url, body, AUTH).status == status


def test_one_s_own_apologies_are_said() -> None:
    """[apology.phrases] stands in place of ours."""
    with scene(Stepper(), apology_phrases={"en": ["Oh dear."]}) as stage:
        assert stage.tell(turn("c", 1, "fail")).text == "Oh dear."


def test_the_language_is_the_setting_s_where_nobody_has_spoken() -> None:
    """A caller who has not said a word is spoken to as the platform's callers mostly are, or as it is set."""

    async def agent(turn: Turn) -> str:
        raise RuntimeError("as it was told")

    for set_to, language in (("auto", "zh"), ("en", "en")):
        with live_server(agent, language=set_to) as server:
            assert stream(server.base_url, turn("c", 1, "3")).text in APOLOGIES[language]


def test_the_hang_up_follows_the_apology() -> None:
    """apology_then = "hangup" ends the telephone call once the apology was spoken, and the record says who did."""
    with scene(Stepper(), apology_then="hangup") as stage:
        said = stage.tell(turn("c", 1, "fail"))
        assert said.text in APOLOGIES["en"]
        assert ([call.name for call in said.calls], said.finish_reason) == (["hangup"], "tool_calls")
        stage.ended("c", 1)
        stored = stage.server.stored("c")
        assert stored is not None and stored.call.ended_by == "command"
        assert [event.kind for event in stored.turns[0].events] == ["aside", "command"]
        assert stored.turns[0].reason == "failed"


def test_the_transfer_follows_the_apology() -> None:
    """apology_then = "transfer:NUMBER" connects the caller to somebody, by the platform's tag."""
    with scene(Stepper(), apology_then="transfer:4001") as stage:
        said = stage.tell(turn("c", 1, "fail"))
        apology, tag = said.text[: said.text.index("<")], said.text[said.text.index("<") :]
        assert apology in APOLOGIES["en"] and tag == '<imsagent_transfer_call callee="4001"/>'
        assert (said.calls, said.finish_reason) == ([], "stop")


def test_nothing_follows_the_apology_of_a_filler_elsewhere() -> None:
    """Who is no telephone cannot be hung up on."""
    with scene(Stepper(), apology_then="hangup") as stage:
        wire, run = asked(stage, "hold fail")
        stage.clock.advance(1.5)
        wire.read_until(b'. "')
        run.go_on()
        said = heard(wire)
        assert said.text.removeprefix(f"{filler_in(said.text)} ") in APOLOGIES["en"]
        assert (said.calls, said.finish_reason) == ([], "stop")


@pytest.mark.parametrize("call", ["c", None])
def test_after_the_first_word_it_is_the_error_event(call: str | None) -> None:
    """Where no closing phrase is set."""
    with scene(Stepper()) as stage:
        said = heard(asked(stage, "say fail", call, 1)[0], error=True)
        assert said.text == "It is 3."
        assert said.error is not None and said.error["code"] == "agent_error"


@pytest.mark.parametrize("call", ["c", None])
def test_after_the_first_word_a_closing_phrase_may_stand_for_it(call: str | None) -> None:
    """With [closing.phrases] the reply ends well to the ear, and the record has the truth."""
    with scene(Stepper(), closing_phrases=CLOSING) as stage:
        said = heard(asked(stage, "say fail", call, 1)[0])
        assert (said.text, said.finish_reason) == ("It is 3. Sorry, the line broke.", "stop")
        if call is not None:
            stage.ended(call, 1)
            [record] = stage.records(call)
            assert (record.reason, record.generated, record.sent) == ("failed", "It is 3.", "It is 3.")
            assert [event.data["why"] for event in record.events] == ["closing"]


def test_who_cuts_in_is_told_nothing() -> None:
    """A turn that its platform has left ends in silence, and as cancelled."""
    with scene(Stepper(), closing_phrases=CLOSING, speech="think,tags") as stage:
        wire, run = asked(stage, "say hold", "c", 1)
        wire.read_until(b"It is 3.")
        wire.close()
        stage.talker.over(run)
        stage.ended("c", 1)
        [record] = stage.records("c")
        assert (record.reason, record.events) == ("cancelled", ())


def test_a_superseded_reply_ends_without_a_word() -> None:
    """A newer turn has something better to say."""
    with scene(Stepper(), closing_phrases=CLOSING, speech="think,tags") as stage:
        wire, _ = asked(stage, "say hold", "c", 1)
        wire.read_until(b"It is 3.")
        assert stage.tell(turn("c", 2, "say")).text == "It is 3."
        assert heard(wire).text == "It is 3."


@pytest.mark.parametrize("steps", ["fail", "hold"])
def test_a_turn_that_ended_in_an_apology_is_run_again(steps: str) -> None:
    """A retry asks for an answer, and an apology is none."""
    with scene(Stepper()) as stage:
        for place in (1, 2):
            wire, _ = asked(stage, steps, "c", 1)
            stage.clock.advance(8)
            assert heard(wire).text in APOLOGIES["en"]
            stage.ended("c", place)
        assert [record.which for record in stage.records("c")] == ["newer", "retry"]


async def test_a_server_that_stops_says_so_in_words() -> None:
    """Live telephone replies end with an apology, others with the error, and their agents are cancelled."""
    clock = JumpClock()
    coord: MemoryCoordinator[CallState] = MemoryCoordinator()
    engine = Engine(clock, Calls(clock, owner="server_1", coord=coord))

    def make(cancelled: Cancellation, history: tuple[Message, ...], state: dict[str, Any], **more: Any) -> Turn:
        return Turn(text="hello", cancelled=cancelled)

    async def answer(turn: Turn, reply: ReplyWriter) -> None:
        await forever()

    ears = {True: Listener(), False: Listener()}
    for telephone, reader in ears.items():
        opening = Opening(
            make, request_id="r", received=0.0, call=CallContext(), manner=Manner(telephone=telephone, fillers=True)
        )
        await engine.begin(opening, Scripted(answer), reader)
    await engine.close()
    [apology, finish] = ears[True].events
    assert isinstance(apology, Aside) and apology.why == "apology" and apology.text in APOLOGIES["en"]
    assert isinstance(finish, Finish) and (finish.reason, finish.excused) == ("cancelled", True)
    [finish] = ears[False].events
    assert isinstance(finish, Finish) and isinstance(finish.error, Stopping) and not finish.excused


# --- what the model knows of it -----------------------------------------------------------------------------------


def histories(stage: Scene) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Give history and window of the last run."""
    run = stage.talker.runs[-1]
    return run.history, run.window


@pytest.mark.parametrize("memory", ["call", "window"])
def test_an_apology_is_not_in_the_history(memory: str) -> None:
    """The platform sends it as the assistant's words; the window holds it, the history of the agent does not."""
    with scene(Stepper(), memory=memory) as stage:
        apology = stage.tell(turn("c", 1, "fail")).text
        before = [("user", "fail"), ("assistant", apology)]
        stage.tell(turn("c", 2, "say", before=before))
        assert histories(stage) == ([("user", "fail"), ("user", "say")], [*before, ("user", "say")])
        if memory == "call":
            assert [record.memory for record in stage.records("c")] == ["first", "aligned"]


@pytest.mark.parametrize("memory", ["call", "window"])
def test_a_filler_is_not_in_the_history(memory: str) -> None:
    """Of a reply that began with one the answer is there, as the model gave it."""
    with scene(Stepper(), memory=memory, filler="on", closing_phrases=CLOSING) as stage:
        wire, run = asked(stage, "hold say fail", "c", 1)
        stage.clock.advance(1.5)
        wire.read_until(b'. "')
        run.go_on()
        shown = heard(wire).text
        assert shown.endswith("It is 3. Sorry, the line broke.") and shown.startswith(filler_in(shown))
        stage.tell(turn("c", 2, "say", before=[("user", "hold say fail"), ("assistant", shown)]))
        history, _ = histories(stage)
        assert history == [("user", "hold say fail"), ("assistant", "It is 3."), ("user", "say")]
        assert stage.server.missed == 0


@pytest.mark.parametrize(("spoken", "history"), [(4, None), (-4, "It i"), (0, "It is 3.")])
def test_what_was_heard_is_counted_without_the_filler(spoken: int, history: str | None) -> None:
    """Who cut in on the filler heard nothing of the answer; who cut in on the answer heard what he heard of it."""
    with scene(Stepper(), filler="on") as stage:
        wire, run = asked(stage, "hold say", "c", 1)
        stage.clock.advance(1.5)
        wire.read_until(b'. "')
        run.go_on()
        shown = heard(wire).text
        cut = shown[:spoken] + INTERRUPTED if spoken else shown
        stage.tell(turn("c", 2, "say", before=[("user", "hold say"), ("assistant", cut)]))
        answered = [] if history is None else [("assistant", history)]
        assert histories(stage)[0] == [("user", "hold say"), *answered, ("user", "say")]
        [record, _] = stage.records("c")
        assert record.heard == (None if spoken == 0 else len(history or ""))
        assert stage.server.missed == 0


def test_a_model_may_say_what_the_house_could_have_said() -> None:
    """Where the call is known only what was said in it by the house is taken out."""
    with scene(Stepper(), filler_phrases={"en": ["It is 3.", "It is 4."]}) as stage:
        stage.tell(turn("c", 1, "say"))
        before = [("user", "say"), ("assistant", "It is 3.")]
        stage.tell(turn("c", 2, "say more", before=before))
        assert histories(stage)[0] == [*before, ("user", "say more")]
        assert stage.server.missed == 0
        # Of a request that names no call it is not known.
        stage.tell(plain("say", before=[("user", "hello"), ("assistant", "It is 3. And 4.")]))
        assert histories(stage)[0][1] == ("assistant", "And 4.")


def test_after_a_restart_the_call_still_knows_what_the_house_said(tmp_path: Path) -> None:
    """It stands in the records, also where the phrases are set otherwise now."""
    clock, settings = JumpClock(), {"store": "sqlite", "data_dir": str(tmp_path)}
    with scene(Stepper(), clock=clock, apology_phrases={"en": ["Oh dear."]}, **settings) as stage:
        assert stage.tell(turn("c", 1, "fail")).text == "Oh dear."
        stage.ended("c", 1)
    with scene(Stepper(), clock=clock, **settings) as stage:
        stage.tell(turn("c", 2, "say", before=[("user", "fail"), ("assistant", "Oh dear.")]))
        assert histories(stage)[0] == [("user", "fail"), ("user", "say")]


# --- what counts as sent ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_command_that_is_written_as_text_is_no_word(streamed: bool) -> None:
    """What went out is counted in what can be heard: a platform's tag is not."""

    async def send(message: Any) -> None:
        """It goes out at once."""

    request = decode_request(b'{"model":"abc","messages":[{"role":"user","content":"hi"}]}')
    face = Face(request=request, request_id="req_1", dialect=ALIBABA_IMS, options=Options())
    clock = JumpClock()
    reader = (StreamReader if streamed else CompletionReader)(face, Outlet({"type": "http"}, send), clock)
    reader.read([Text("Well, "), Command("transfer", to="4001"), Aside("bye.", "closing"), Finish()])
    await reader.drain()
    assert reader.sent == len("Well, bye.")
