"""Status webhooks over the real wire: whoever shows the secret is believed, and nobody else does anything."""

from __future__ import annotations

import gzip
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from offhook.cli.config import masked
from offhook.clock import SystemClock
from offhook.config import load
from offhook.errors import SetupError
from offhook.server.capture import MASK
from offhook.settings import Settings
from offhook.testing import live_server
from tests.callers import Scene, scene
from tests.raw import Wire, error_of, get, request
from tests.server.hooked import (
    BODIES,
    GOOD,
    IMS,
    TAKEN,
    TOKEN,
    WEBHOOKS,
    Host,
    ims,
    post,
    proof,
    settings,
    stored,
    unmarked,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Scene]:
    with scene(Host(), **settings()) as made:
        yield made


@pytest.fixture
def stage(shared_stage: Scene) -> Iterator[Scene]:
    yield shared_stage
    shared_stage.hang_up()


# --- who may ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(WEBHOOKS))
def test_only_the_platform_ends_a_call(stage: Scene, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Without the secret, with another, or with an API key of ours the answer is 401 and the call goes on."""
    caplog.set_level(logging.DEBUG)
    stage.tell(*unmarked("shut", sorted(WEBHOOKS).index(name)))
    body, now = json.dumps(BODIES[name]).encode(), stage.clock.now()
    url, path = stage.server.base_url, f"/v1/webhooks/{name}"
    wrong = proof(name, body, now, "an0ther")
    for headers in ({}, wrong, {"Authorization": "Bearer test-key"}, proof(name, b"other", now, "x")):
        assert post(url, path, body, headers) == (401, "invalid_api_key")
    assert stored(stage, "shut").call.ended_by is None
    for good in (path, f"/webhooks/{name}", f"/any/prefix/webhooks/{name}"):
        assert post(url, good, body, proof(name, body, now)) == TAKEN
    assert stored(stage, "shut").call.ended_by == "callback"
    secret = next(iter(WEBHOOKS[name].values()))
    assert secret not in caplog.text and "an0ther" not in caplog.text


def test_an_old_signature_is_refused(stage: Scene) -> None:
    """What somebody has overheard is good for five minutes."""
    body = json.dumps(BODIES["retell"]).encode()
    headers = proof("retell", body, stage.clock.now() - 400)
    assert post(stage.server.base_url, "/webhooks/retell", body, headers) == (401, "invalid_api_key")


def test_without_its_secret_there_is_no_address() -> None:
    """A platform that the settings do not name has no webhook, whatever is sent there."""
    with live_server(Host(), **settings(alibaba_ims={"token": TOKEN})) as server:
        for path in ("/webhooks/vapi", "/webhooks/retell", "/v1/webhooks/", "/webhooks/nobody"):
            assert post(server.base_url, path, {}, GOOD) == (404, "unknown_url")
        assert get(server.base_url, IMS, GOOD).status == 405
    with live_server(Host()) as server:
        assert post(server.base_url, IMS, {}, GOOD) == (404, "unknown_url")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/webhooks/zego", "add [webhooks.NAME] to offhook.toml; there are: alibaba_ims, vapi, retell."),
        ("/v1/webhooks/", "add [webhooks.NAME] to offhook.toml; there are: alibaba_ims, vapi, retell."),
        ("/v1/webhooks/retell/", "add [webhooks.retell] with its api_key to offhook.toml; there are: alibaba_ims, "),
        ("/webhooks/vapi", "add [webhooks.vapi] with its secret to offhook.toml; "),
    ],
)
def test_who_sends_to_a_webhook_that_is_not_set_is_told_what_to_add(path: str, words: str) -> None:
    """The answer names the table of the file, and the platforms that there may be one for."""
    with live_server(Host()) as server:
        said = error_of(request(server.base_url, {}, GOOD, path=path))["message"]
    assert words in said and "base URL" not in said


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"vapi": {}}, r"\[webhooks.vapi\] has to have secret"),
        ({"vapi": {"secret": ""}}, "has to have secret"),
        ({"vapi": {"token": "t"}}, "has to have secret"),
        ({"retell": {"api_key": "k", "token": "t"}}, "has to have api_key, and nothing else"),
        ({"trtc": {"token": "t"}}, "no webhook of 'trtc'; there are: alibaba_ims, vapi, retell"),
    ],
)
def test_a_webhook_needs_its_own_secret(table: dict[str, Any], message: str) -> None:
    """A server does not start where a webhook has no secret, an empty one, or one of another kind."""
    with pytest.raises(SetupError, match=message), live_server(Host(), **settings(**table)):
        pass


def test_the_file_names_the_webhooks(tmp_path: Path) -> None:
    """They stand in [webhooks.NAME], and a wrong name in there is told."""
    file = tmp_path / "offhook.toml"
    file.write_text('[webhooks.vapi]\nsecret = "s"\ntenant = "shop"\n')
    table = load({}, config=str(file), environ={"HOME": str(tmp_path)}).settings.webhooks["vapi"]
    assert (table.secret, table.tenant) == ("s", "shop")
    file.write_text('[webhooks.vapi]\nsecret = "s3cret"\nsecrets = "x"\n')
    with pytest.raises(SetupError) as caught:
        load({}, config=str(file), environ={"HOME": str(tmp_path)})
    assert "s3cret" not in caught.value.message


def test_no_secret_is_shown() -> None:
    """offhook config masks the secrets, and --show the headers that they come in."""
    made = settings()
    plain = masked(Settings(webhooks=made["webhooks"]))["webhooks"]
    assert {name: table[next(iter(WEBHOOKS[name]))] for name, table in plain.items()} == dict.fromkeys(WEBHOOKS, MASK)
    lines: list[str] = []
    with live_server(Host(), show=lines.append, **made) as server:
        for name in WEBHOOKS:
            body = json.dumps(BODIES[name]).encode()
            headers = proof(name, body, SystemClock().now())
            assert post(server.base_url, f"/webhooks/{name}", body, headers) == TAKEN
    told = "\n".join(lines)
    assert told.count("/webhooks/") >= 3
    assert TOKEN not in told and "secret-of-vapi" not in told and ",d=" not in told


# --- what is sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_not_json_is_refused(stage: Scene, body: bytes) -> None:
    """A body that cannot be read is a 400, behind the secret."""
    assert post(stage.server.base_url, IMS, body, GOOD) == (400, "invalid_json")


def test_what_is_no_object_is_refused(stage: Scene) -> None:
    """A list or a number is a 400, too."""
    for body in (b"[]", b"1", b'"text"', b"null"):
        assert post(stage.server.base_url, IMS, body, GOOD) == (400, "invalid_value")


def test_a_body_has_a_limit() -> None:
    """More than max_body bytes are refused, and before the secret nothing is read."""
    with live_server(Host(), max_body=1000, **settings()) as server:
        assert post(server.base_url, IMS, {"event": "x" * 2000}, GOOD) == (413, "body_too_large")
        with Wire(server.base_url) as wire:
            wire.send(f"POST {IMS} HTTP/1.1\r\nHost: t\r\nContent-Length: 900\r\n\r\n".encode())
            assert wire.read_response().startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("name", sorted(WEBHOOKS))
def test_a_compressed_body_is_refused(stage: Scene, name: str) -> None:
    """It is a 415 that says so, and before it the secret is asked for where that is not a signature."""
    body = gzip.compress(json.dumps(BODIES[name]).encode())
    headers = {**proof(name, body, stage.clock.now()), "Content-Encoding": "gzip"}
    url, path = stage.server.base_url, f"/webhooks/{name}"
    assert post(url, path, body, headers) == (415, "unsupported_media_type")
    stranger = (415, "unsupported_media_type") if name == "retell" else (401, "invalid_api_key")
    assert post(url, path, body, {"Content-Encoding": "gzip"}) == stranger
    plain = json.dumps(BODIES[name]).encode()
    headers = {**proof(name, plain, stage.clock.now()), "Content-Encoding": "identity"}
    assert post(url, path, plain, headers) == TAKEN


def test_other_events_are_left_alone(stage: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """An event that tells nothing is taken and counted, and its name and content are not logged."""
    caplog.set_level(logging.DEBUG, "offhook.server")
    for _ in range(2):
        ims(stage, "nobody", "brand_new_event", data={"text": "my number is 4711"})
    counted = [record.getMessage() for record in caplog.records if "told nothing" in record.getMessage()]
    assert len(counted) == 2 and "4711" not in caplog.text and "brand_new" not in caplog.text
