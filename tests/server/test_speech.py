"""What is done to the text before it is spoken: as the key says, else the dialect, else the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.clock import SystemClock
from offhook.errors import SetupError
from offhook.server.keys import KeyFile
from offhook.testing import live_server
from tests.oracle import check_stream
from tests.raw import chat_body, request

if TYPE_CHECKING:
    from pathlib import Path

WRITTEN = "<think>hm</think>It is 3. <imsagent_hangup/>"
SPOKEN = "It is 3. "


async def reply(turn: Any) -> Any:
    """Say what a model says that knows no better."""
    yield WRITTEN


def said(server: Any, *, key: str = "test-key", **fields: Any) -> str:
    """Give what goes out for a request with these fields."""
    reply = request(server.base_url, chat_body("Hi", **fields), {"Authorization": f"Bearer {key}"})
    return check_stream(reply.body, usage_asked=False).text


IMS: dict[str, Any] = {"extendData": {"instanceId": "c1"}}


def test_the_settings_say_what_is_done() -> None:
    """By default nothing is left that nobody should hear; with none everything is."""
    with live_server(reply) as server:
        assert said(server, **IMS) == SPOKEN
    with live_server(reply, speech="none") as server:
        assert said(server, **IMS) == WRITTEN


def test_a_dialect_may_have_its_own() -> None:
    """Its requests are spoken as its options say, the others as the setting does."""
    with live_server(reply, speech="think,tags", dialect={"alibaba_ims": {"speech": "none"}}) as server:
        assert said(server, **IMS) == WRITTEN
        assert said(server) == "It is 3. <imsagent_hangup/>"


def test_a_key_may_have_its_own(tmp_path: Path) -> None:
    """What it says wins over the dialect and the settings."""
    made = KeyFile(tmp_path).create(SystemClock(), "screen", speech="none")
    options = {"alibaba_ims": {"speech": "think,-tags"}}
    with live_server(reply, data_dir=str(tmp_path), dialect=options) as server:
        assert said(server, key=made.key, **IMS) == WRITTEN
        assert said(server, **IMS) == "It is 3. <imsagent_hangup/>"


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
def test_a_request_for_json_gets_it_as_it_is(kind: str) -> None:
    """Nobody is to hear it, and a changed letter would break it; a platform's tags stay disarmed."""
    with live_server(reply) as server:
        assert said(server, response_format={"type": kind}) == WRITTEN
        assert said(server, response_format={"type": kind}, **IMS) == "<think>hm</think>" + SPOKEN
        assert said(server, response_format={"type": "text"}) == SPOKEN


@pytest.mark.parametrize(
    "settings", [{"speech": "loud"}, {"dialect": {"plain": {"speech": "loud"}}}], ids=["setting", "dialect"]
)
def test_a_word_that_names_nothing_stops_the_start(settings: dict[str, Any]) -> None:
    """The server does not begin with half of what it was told."""
    table = r"\[dialect.plain\]: " if "dialect" in settings else "^"
    with (
        pytest.raises(SetupError, match=rf"{table}speech = 'loud': there is no 'loud'"),
        live_server(reply, **settings),
    ):
        pass
