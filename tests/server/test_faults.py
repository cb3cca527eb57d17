"""A model service that fails: what is heard of it, in every fault and phase of ``tests/fault_table.py``."""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from typing_extensions import override

from offhook.clock import SystemClock
from offhook.settings import AgentSpec
from offhook.testing import POSSIBLE, fault_upstream, live_server, says, with_fault
from offhook.turns.phrases import APOLOGIES
from tests.fault_table import LASTING, TABLE, Outcome, Stated
from tests.oracle import Transcript, check_error, check_http, check_stream
from tests.raw import Wire, chat_body, get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from offhook.clock import Timer
    from offhook.observe.hooks import TurnDetails
    from offhook.store.base import TurnRecord
    from offhook.testing import FaultUpstream, LiveServer
    from offhook.testing.faults import Fault, Phase

Pair = tuple["Fault", "Phase"]

# The phase mid is after two of these; with the pauses no read of the network brings the first word and the fault.
ANSWER = says("Well, ", "it is ", "九点十五分", " now.", every=0.1)
OTHER = says("The other one ", "says so.")
SAID = "Well, it is "
CLOSING = "I have to stop here."
# In real seconds, since the service is a real one: what has to come comes in a small part of these.
DEADLINES: Mapping[str, Any] = {
    "failover_first_useful": 0.6,
    "failover_stall_after": 1.0,
    "failover_attempts": 3,
    "turn_deadline": 2.0,
    "filler": "off",
}
PATIENT: Mapping[str, Any] = {
    "failover_first_useful": 60.0,
    "failover_stall_after": 60.0,
    "turn_deadline": 0.0,
    "filler": "off",
}
# So many callers at once, most of whom wait.
CALLERS = 16
# Who asks: whether on a telephone, whether there is another service, and on which line.
COLUMNS = {
    "plain": (False, False),
    "telephone": (True, False),
    "plain beside": (False, True),
    "telephone beside": (True, True),
    "closing": (True, False),
}
# Where a client can leave while the service does what it should not; not at the end, which comes by itself.
LEFT = [pair for pair in TABLE if (pair[0] in LASTING or pair[0] == "delay") and pair[1] != "before_done"]
WORDS_OF = re.compile(rb'"content":"([^"]+)"')


class Seen(NamedTuple):
    """What a client got, and what is known of its turn; the record where the request named its call."""

    status: int
    retry: str | None
    said: Transcript
    details: TurnDetails
    record: TurnRecord | None


def name_of(pair: Pair) -> str:
    """Give the name of a case."""
    return "-".join(pair)


def has_column(pair: Pair, column: str) -> bool:
    """Tell whether there is such a case: a closing phrase is for what breaks off."""
    return column != "closing" or TABLE[pair].alone is Outcome.BROKEN


def table_of(service: FaultUpstream, name: str, **more: Any) -> dict[str, Any]:
    """Give the entry of a service in [[upstream]]."""
    return {"name": name, "base_url": service.base_url, "model": name, "connections": 0, **more}


def ended(server: LiveServer, name: str, value: str) -> TurnDetails:
    """Give what the hooks were told of the turn whose field of that name has this value, once it is over."""
    turns = server.turns
    while True:
        for details in turns:
            if getattr(details, name) == value:
                return details
        turns = server.wait_for_turns(len(turns) + 1)


def ask(wire: Wire, model: str, *, telephone: bool) -> None:
    """Send the request of a case, whose ModelId is its call too."""
    body = chat_body(model=model)
    if telephone:
        body["extendData"] = {"instanceId": model, "sentenceId": 1}
    wire.ask(body)


def seen(server: LiveServer, model: str, outcome: Outcome, *, telephone: bool) -> Seen:
    """Give what came of a turn; a client leaves what does not end."""
    said = Transcript()
    status, retry = 200, None
    with Wire(server.base_url) as wire:
        ask(wire, model, telephone=telephone)
        if outcome is Outcome.ENDLESS:
            said.text = b"".join(WORDS_OF.findall(wire.read_until(b'"and on, "'))).decode()
        else:
            reply = check_http(wire.read_response())
            status, retry = reply.status, reply.header("x-should-retry")
            if status == 200:
                broken = b'data: {"error":' in reply.body
                said = check_stream(reply.body, model=model, usage_asked=False, error_expected=broken)
            else:
                said.error = check_error(reply.body)
    details = ended(server, "model", model)
    [record] = server.records(model) if telephone else [None]
    return Seen(status, retry, said, details, record)


class Line:
    """The servers, a faulty service for each pair, and what becomes of every case."""

    def __init__(self, stack: ExitStack) -> None:
        other = stack.enter_context(fault_upstream(OTHER))
        self.services = {
            pair: stack.enter_context(fault_upstream(with_fault(ANSWER, *pair, after=2, seconds=0.1)))
            for pair in POSSIBLE
        }
        tables = [table_of(other, "other", weight=1e-9)]
        agents: dict[str, str | AgentSpec] = {}
        for pair, service in self.services.items():
            for column, (_, beside) in COLUMNS.items():
                name = f"{name_of(pair)} {column}"
                # One entry each, since health is counted by entry. The connection is late in one fault alone.
                late = {"connect_timeout": 0.3} if pair == ("stall", "connect") else {}
                tables.append(table_of(service, name, weight=1e9, **late))
                agents[name] = AgentSpec(upstreams=[name, "other"] if beside else [name])
        settings: dict[str, Any] = {"agents": agents, "upstream_table": tables, **DEADLINES}
        self.server = stack.enter_context(live_server(**settings))
        self.closing = stack.enter_context(live_server(**settings, closing_phrases={"en": [CLOSING]}))
        pool = stack.enter_context(ThreadPoolExecutor(CALLERS))
        self._cases: dict[tuple[Pair, str], Future[Seen]] = {
            (pair, column): pool.submit(self._run, pair, column)
            for pair in TABLE
            for column in COLUMNS
            if has_column(pair, column)
        }

    def _run(self, pair: Pair, column: str) -> Seen:
        telephone, beside = COLUMNS[column]
        stated = TABLE[pair]
        server = self.closing if column == "closing" else self.server
        outcome = stated.beside if beside else stated.alone
        return seen(server, f"{name_of(pair)} {column}", outcome, telephone=telephone)

    def of(self, pair: Pair, column: str) -> Seen:
        """Give what became of a case."""
        return self._cases[pair, column].result()

    def wait(self, pair: Pair | None = None) -> None:
        """Return when every case is over, or every one of a pair."""
        for (of, _), case in self._cases.items():
            if pair in (None, of):
                case.exception()


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """Give the servers and services of all cases, which are run at once."""
    with ExitStack() as stack:
        yield Line(stack)


def check(seen: Seen, outcome: Outcome, code: str | None, *, telephone: bool) -> None:
    """Assert that a turn ended as it is stated, and in no other way, for its client and in its record."""
    said, details, record = seen.said, seen.details, seen.record
    apology = outcome is Outcome.NOTHING and telephone
    assert (details.reason, getattr(details.error, "code", None)) == (outcome.value.reason, code)
    assert details.asides == (("apology",) if apology else ())
    refused = outcome is Outcome.NOTHING and not telephone
    assert (seen.status, seen.retry) == ((503, "false") if refused else (200, None))
    match outcome:
        case Outcome.WHOLE:
            assert said.text == ANSWER.whole
        case Outcome.OTHER:
            assert said.text == OTHER.whole
        case Outcome.NOTHING:
            assert said.text.rstrip() in APOLOGIES["en"] if telephone else said.text == ""
        case Outcome.BROKEN:
            # White space may follow that came for ever.
            assert said.text in (SAID, ANSWER.whole) or said.text.rstrip() == SAID.rstrip()
        case Outcome.ENDLESS:
            assert re.fullmatch(f"({SAID})?And so on, and on, ", said.text)
    assert (said.error["code"] if said.error else None) == (None if apology else code)
    if outcome is not Outcome.ENDLESS:
        assert said.finish_reason == (None if said.error else "stop")
    if record is not None:
        assert (record.reason, record.error) == (outcome.value.reason, code)
        heard = "" if apology else said.text
        assert record.sent.startswith(heard) if outcome is Outcome.ENDLESS else record.sent == heard


def test_every_fault_in_every_phase_is_in_the_table() -> None:
    """What can go wrong has a stated outcome, and nothing else has, in the order of the phases."""
    assert list(TABLE) == list(POSSIBLE)


@pytest.mark.parametrize("column", ["plain", "telephone"])
@pytest.mark.parametrize("pair", TABLE, ids=name_of)
def test_alone(line: Line, pair: Pair, column: str) -> None:
    """A turn whose only service fails ends as the table says, for a plain client and on a telephone."""
    stated: Stated = TABLE[pair]
    seen = line.of(pair, column)
    check(seen, stated.alone, stated.code, telephone=COLUMNS[column][0])
    assert len(seen.details.begun) == stated.tries


@pytest.mark.parametrize("column", ["plain beside", "telephone beside"])
@pytest.mark.parametrize("pair", TABLE, ids=name_of)
def test_beside_a_healthy_one(line: Line, pair: Pair, column: str) -> None:
    """Where a second service can be asked the turn ends as the table says; no text is of both of them."""
    stated = TABLE[pair]
    seen = line.of(pair, column)
    check(seen, stated.beside, stated.code_beside, telephone=COLUMNS[column][0])
    asked = [attempt.upstream for attempt in seen.details.begun]
    assert asked == [f"{name_of(pair)} {column}", *["other"] * (stated.beside is Outcome.OTHER)]
    if stated.beside is Outcome.OTHER:
        assert [attempt.outcome for attempt in seen.details.attempts][-1] == "answered"


@pytest.mark.parametrize("pair", [pair for pair in TABLE if has_column(pair, "closing")], ids=name_of)
def test_with_a_closing_phrase(line: Line, pair: Pair) -> None:
    """What breaks off ends with the phrase and as a reply that ended well; the truth is in the record."""
    _, _, said, details, record = line.of(pair, "closing")
    assert said.text.endswith(CLOSING)
    assert said.text.removesuffix(CLOSING).rstrip() in (SAID.rstrip(), ANSWER.whole)
    assert said.text.count(CLOSING) == 1
    assert (said.error, said.finish_reason) == (None, "stop")
    assert details.asides == ("closing",)
    assert record is not None
    assert (record.reason, record.error) == ("failed", TABLE[pair].code)
    assert record.sent.rstrip() in (SAID.rstrip(), ANSWER.whole)


@pytest.mark.parametrize("pair", [pair for pair in TABLE if pair[0] in LASTING], ids=name_of)
def test_a_service_that_goes_on_for_ever_is_left(line: Line, pair: Pair) -> None:
    """No connection stays open to a service that was given up, or whose client has left."""
    line.wait(pair)
    service = line.services[pair]
    assert len(service.wait_for_disconnects(len(service.requests))) == len(service.requests)
    assert service.requests or pair[1] == "connect"


def test_no_turn_is_left(line: Line) -> None:
    """When all is over no turn has a task."""
    line.wait()
    assert (line.server.live, line.closing.live) == (0, 0)


# --- the client leaves meanwhile ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patient() -> Iterator[tuple[LiveServer, dict[Pair, FaultUpstream]]]:
    """Give a server without deadlines that could be what ends a turn, and a faulty service for each pair."""
    with ExitStack() as stack:
        services = {
            pair: stack.enter_context(fault_upstream(with_fault(ANSWER, *pair, after=2, seconds=60.0))) for pair in LEFT
        }
        tables = [table_of(service, name_of(pair), connect_timeout=60.0) for pair, service in services.items()]
        agents: dict[str, Any] = {name_of(pair): AgentSpec(upstreams=[name_of(pair)]) for pair in LEFT}
        server = stack.enter_context(live_server(agents=agents, upstream_table=tables, **PATIENT))
        yield server, services


@pytest.mark.parametrize("by", ["fin", "rst"])
@pytest.mark.parametrize("pair", LEFT, ids=name_of)
def test_a_client_that_leaves_in_the_middle_of_a_fault(
    patient: tuple[LiveServer, dict[Pair, FaultUpstream]], pair: Pair, by: str
) -> None:
    """The turn is recorded as cancelled with what was sent, and the connection to the service is closed."""
    server, services = patient
    service, (fault, phase) = services[pair], pair
    call = f"{name_of(pair)} {by}"
    before = len(service.disconnects)
    with Wire(server.base_url) as wire:
        wire.ask(chat_body(model=name_of(pair), extendData={"instanceId": call, "sentenceId": 1}))
        if phase == "mid":
            wire.read_until(b'"it is "')
        elif fault == "endless":
            wire.read_until(b'"And so on, "')
        elif phase == "connect":
            assert get(server.base_url, "/healthz").status == 200
        else:
            service.wait_for_requests(before + 1)
        if by == "rst":
            wire.reset()
    details = ended(server, "call_id", call)
    [record] = server.records(call)
    assert (details.reason, details.error) == ("cancelled", None)
    assert (record.reason, record.error, record.first_useful is not None) == (
        "cancelled",
        None,
        phase == "mid" or fault == "endless",
    )
    assert record.sent.startswith(SAID) if phase == "mid" else fault == "endless" or record.sent == ""
    if phase != "connect":
        assert len(service.wait_for_disconnects(before + 1)) == before + 1
    service.wait_for_live(0)
    assert server.live == 0


# --- the clock ----------------------------------------------------------------------------------------------------


class Early(SystemClock):
    """A clock whose timers come a little before their time, as those of uvloop do."""

    @override
    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return super().call_later(seconds * 0.9, callback)


def test_a_deadline_whose_timer_comes_early_is_kept() -> None:
    """A service that is late is given up all the same; nothing else would end this turn."""
    with (
        fault_upstream(with_fault(ANSWER, "stall", "after_headers")) as late,
        fault_upstream(OTHER) as other,
        live_server(
            clock=Early(),
            upstream_table=[table_of(late, "late", weight=1e9), table_of(other, "other", weight=1e-9)],
            **{**PATIENT, "failover_first_useful": 0.1},
        ) as server,
    ):
        check(seen(server, "abc", Outcome.OTHER, telephone=True), Outcome.OTHER, None, telephone=True)
        late.wait_for_disconnects(1)
