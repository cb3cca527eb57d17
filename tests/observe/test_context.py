"""Trace context is passed on as it came, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.observe.traces import passed_on

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("headers", "carried"),
    [
        ({}, {}),
        ({"traceparent": HEADER}, {"traceparent": HEADER}),
        ({"Traceparent": HEADER, "TraceState": "a=1,b=2"}, {"traceparent": HEADER, "tracestate": "a=1,b=2"}),
        ({"traceparent": f" {HEADER}\t"}, {"traceparent": HEADER}),
        ({"traceparent": HEADER, "tracestate": "x" * 512}, {"traceparent": HEADER, "tracestate": "x" * 512}),
        ({"traceparent": HEADER, "tracestate": "x" * 513}, {"traceparent": HEADER}),
        ({"traceparent": HEADER, "tracestate": "a=1\r\nx: y"}, {"traceparent": HEADER}),
        ({"traceparent": HEADER, "tracestate": ""}, {"traceparent": HEADER}),
        ({"tracestate": "a=1"}, {}),
        (
            {"traceparent": f"00-{TRACE}-{PARENT}-00", "authorization": "Bearer k"},
            {"traceparent": f"00-{TRACE}-{PARENT}-00"},
        ),
        ({"traceparent": f"cc-{TRACE}-{PARENT}-01-more"}, {"traceparent": f"cc-{TRACE}-{PARENT}-01-more"}),
    ],
)
def test_good_context_is_passed_on_as_it_came(headers: dict[str, str], carried: dict[str, str]) -> None:
    """A traceparent that keeps to W3C Trace Context goes on unchanged, with its tracestate, and nothing else."""
    assert passed_on(headers) == carried


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}0-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"cc-{TRACE}-{PARENT}-01more",
        f"cc-{TRACE}-{PARENT}-01-{'x' * 300}",
        f"cc-{TRACE}-{PARENT}-01-a\r\nx: y",
        f"00-{TRACE}-{PARENT}-0",
        f"{HEADER},{HEADER}",
    ],
)
def test_bad_context_is_left_out(value: str) -> None:
    """A traceparent that is none is not passed on, nor is the tracestate beside it."""
    assert passed_on({"traceparent": value, "tracestate": "a=1"}) == {}


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "x"]), st.text()))
def test_what_is_passed_on_is_a_header(headers: dict[str, str]) -> None:
    """Whatever came, what is passed on can stand in a header."""
    for name, value in passed_on(headers).items():
        assert name in ("traceparent", "tracestate")
        assert value.isascii() and value.isprintable()
