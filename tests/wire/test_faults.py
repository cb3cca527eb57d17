"""Errors have the OpenAI shape, and the headers that make clients act rightly."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook import errors
from offhook.errors import (
    AgentError,
    BadField,
    BadKey,
    OffhookError,
    Overloaded,
    Stopping,
    TooMany,
    TurnError,
    TurnTimeout,
    UnknownModel,
    UpstreamBusy,
    UpstreamRefused,
    UpstreamTimeout,
    WrongMethod,
)
from offhook.wire import faults
from tests.oracle import check_error

# Surrogates included, as Python strings may hold them.
ANY_STRING = st.text(st.characters(exclude_categories=()))
CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, OffhookError)]


def sample(kind: type[OffhookError]) -> OffhookError:
    if kind is WrongMethod:
        return WrongMethod("No.", allow="POST")
    return kind("No.", retry_after=2.0) if issubclass(kind, TooMany | Overloaded) else kind("No.")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_the_openai_shape(kind: type[OffhookError]) -> None:
    """The body of every error has exactly the four fields."""
    assert check_error(faults.error_body(sample(kind))) == {
        "message": "No.",
        "type": kind.type,
        "param": None,
        "code": kind.code,
    }


def test_the_param_is_told() -> None:
    """The path of a wrong field is the error's ``param``."""
    assert check_error(faults.error_body(BadField("No.", param="messages[0].role")))["param"] == "messages[0].role"


@given(ANY_STRING, ANY_STRING)
@example("\ud800", "ok")
@example("ok", "\udfff")
def test_any_message_is_written(message: str, param: str) -> None:
    """Any words, lone surrogates included, give one event with its blank line."""
    raw = faults.error_event(BadField(message + "!", param=param))
    assert raw.startswith(b"data: ") and raw.endswith(b"\n\n") and raw.count(b"\n") == 2
    assert check_error(raw[6:-2])["message"].endswith("!")


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (BadField("No."), {}),
        (UnknownModel("No."), {}),
        (BadKey("No."), {b"www-authenticate": b"Bearer"}),
        (WrongMethod("No.", allow="GET, POST"), {b"allow": b"GET, POST"}),
        (AgentError("No."), {b"x-should-retry": b"false"}),
        (UpstreamRefused("No."), {b"x-should-retry": b"false"}),
        (UpstreamTimeout("No."), {b"x-should-retry": b"false"}),
        (TurnTimeout("No."), {b"x-should-retry": b"false"}),
        (Stopping("No."), {b"x-should-retry": b"true"}),
        (UpstreamBusy("No.", retry_after="7"), {b"x-should-retry": b"false"}),
        (TooMany("No.", retry_after=6.2), {b"retry-after": b"7", b"x-should-retry": b"true"}),
        (Overloaded("No.", retry_after=0.0), {b"retry-after": b"1", b"x-should-retry": b"true"}),
    ],
)
def test_the_headers_of_an_error(error: OffhookError, headers: dict[bytes, bytes]) -> None:
    """An error response has the headers that its status asks for, and none besides."""
    given_headers = faults.error_headers(error)
    assert dict(given_headers) == headers
    assert len(given_headers) == len(headers)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_5xx_says_whether_to_retry(kind: type[OffhookError]) -> None:
    """Every error that an OpenAI SDK client would repeat by itself says whether it should."""
    told = dict(faults.error_headers(sample(kind))).get(b"x-should-retry")
    repeated = kind.status >= 500 or kind.status in (409, 429)
    assert told == ((b"true" if kind.retryable else b"false") if repeated else None)


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if issubclass(kind, TurnError)])
def test_a_turn_that_failed_is_a_503_that_nobody_repeats(kind: type[OffhookError]) -> None:
    """Whatever it was: a client that repeats the request leaves its caller in silence meanwhile."""
    assert (kind.status, kind.retryable) == (503, False)
