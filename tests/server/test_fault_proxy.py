"""A network that fails between us and a model service: what is heard of it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from offhook.testing import fault_proxy, fault_upstream, live_server, says
from tests.fault_table import NETWORK_FIRST, NETWORK_MID, Outcome
from tests.oracle import check_error, check_http, check_stream
from tests.raw import Wire
from tests.upstream.paced import call_body, service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offhook.testing import FaultProxy, LiveServer
    from tests.fault_table import Case

ANSWER = says("Well, ", "it is ", "five.")
OTHER = says("The other one ", "says so.")
# Deadlines that no turn comes to; each case below shortens the one that it is about.
PATIENT: dict[str, Any] = {
    "failover_first_useful": 60.0,
    "failover_stall_after": 60.0,
    "failover_attempts": 2,
    "turn_deadline": 60.0,
    "filler": "off",
}


def name_of(case: Case) -> str:
    """Give the name of a case."""
    return case.name.replace(" ", "-")


def behind(proxy: FaultProxy, *more: str, deadlines: Mapping[str, float]) -> dict[str, Any]:
    """Give the settings of a server that asks through the proxy first, then at these addresses."""
    tables = [
        {"name": f"service {place}", "base_url": base_url, "weight": 1e9**-place, "connections": 0}
        for place, base_url in enumerate((proxy.base_url, *more))
    ]
    return {**PATIENT, **deadlines, "upstream_table": tables}


def check(server: LiveServer, wire: Wire, outcome: Outcome, code: str | None, *, plain: bool = False) -> None:
    """Assert that the turn has the outcome for the client, in the record where there is one, and no task."""
    reply = check_http(wire.read_response())
    [details] = server.wait_for_turns(1)
    assert (details.reason, getattr(details.error, "code", None)) == (outcome.value.reason, code)
    assert server.live == 0
    if outcome is Outcome.NOTHING and plain:
        assert (reply.status, check_error(reply.body)["code"]) == (503, code)
        return
    assert reply.status == 200
    said = check_stream(reply.body, usage_asked=False, error_expected=outcome is Outcome.BROKEN)
    assert (said.error["code"] if said.error else None) == (code if outcome is Outcome.BROKEN else None)
    assert details.asides == (("apology",) if outcome is Outcome.NOTHING else ())
    expected = {Outcome.WHOLE: ANSWER.whole, Outcome.OTHER: OTHER.whole, Outcome.BROKEN: "Well, ", Outcome.NOTHING: ""}
    if outcome is not Outcome.NOTHING:
        assert said.text == expected[outcome]
    if not plain:
        [record] = server.records("c1")
        assert (record.reason, record.error, record.sent) == (outcome.value.reason, code, expected[outcome])


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "telephone"])
@pytest.mark.parametrize("case", NETWORK_FIRST, ids=name_of)
def test_the_network_fails_before_the_request(case: Case, plain: bool) -> None:
    """Whoever has no other service is told, by a status or in words; slowness alone is no failure."""
    with fault_upstream(ANSWER) as target, fault_proxy(target.base_url) as proxy:
        case.act(proxy)
        with live_server(**behind(proxy, deadlines=case.deadlines)) as server, Wire(server.base_url) as wire:
            body = call_body()
            if plain:
                del body["extendData"]
            wire.ask(body)
            check(server, wire, case.outcome, case.code, plain=plain)
            if case.outcome is Outcome.NOTHING:
                proxy.restore()
                proxy.wait_for_live(0)


@pytest.mark.parametrize("case", [case for case in NETWORK_FIRST if case.outcome is Outcome.NOTHING], ids=name_of)
def test_the_network_to_one_of_two_services_fails(case: Case) -> None:
    """The other service answers, and nothing is said twice."""
    with ExitStack() as stack:
        target = stack.enter_context(fault_upstream(ANSWER))
        other = stack.enter_context(fault_upstream(OTHER))
        proxy = stack.enter_context(fault_proxy(target.base_url))
        case.act(proxy)
        late = {"failover_first_useful": 0.2} if case.deadlines else {}
        server = stack.enter_context(live_server(**behind(proxy, other.base_url, deadlines=late)))
        wire = stack.enter_context(Wire(server.base_url))
        wire.ask(call_body())
        check(server, wire, Outcome.OTHER, None)
        proxy.restore()
        proxy.wait_for_live(0)
        assert len(other.requests) == 1


@pytest.mark.parametrize("case", NETWORK_MID, ids=name_of)
def test_the_network_fails_in_the_middle(case: Case) -> None:
    """What was said is said once and the failure is told; what can still be read is the whole answer."""
    with (
        service() as target,
        fault_upstream(OTHER) as other,
        fault_proxy(target.base_url) as proxy,
        live_server(**behind(proxy, other.base_url, deadlines=case.deadlines)) as server,
        Wire(server.base_url) as wire,
    ):
        wire.ask(call_body())
        asked = target.asked()
        asked.say("Well, ")
        wire.read_until(b'"Well, "')
        case.act(proxy)
        if "between" not in case.name:
            asked.say("it is ")
            if case.outcome is Outcome.WHOLE:
                asked.say("five.")
                asked.end()
        check(server, wire, case.outcome, case.code)
        proxy.restore()
        if case.outcome is Outcome.BROKEN:
            asked.wait_left()
            with suppress(OSError):  # Where it was not reset.
                asked.hang_up()
            proxy.wait_for_live(0)
        assert other.requests == []
